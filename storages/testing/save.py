"""Saving: whatever content Django may be handed is stored whole, or nothing is stored."""

from __future__ import annotations

import errno
import io
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage
from django.core.files.uploadedfile import (
    InMemoryUploadedFile,
    SimpleUploadedFile,
    TemporaryUploadedFile,
)

from .case import ContractCase, Impossible, item
from .parallel import Recipe, in_processes, in_threads, peak_memory
from .sources import Generated, Pieces, failing, http_response, pipe, random_bytes

KIB = 1024
MIB = 1024 * 1024

#: What a name or content that cannot be saved raises, in Django's own storages and here.
REFUSED = (SuspiciousFileOperation, TypeError, ValueError)


class SaveContract(ContractCase):
    """Items 1 to 21. Whether parts were used for a large file is for the backend's own test."""

    # -- contents ---------------------------------------------------------------------------------

    @item(1)
    def test_saved_bytes_are_read_back(self) -> None:
        name = self.storage.save("directory/file.txt", ContentFile(b"one two"))
        self.assertEqual(name, "directory/file.txt")
        self.assert_stored(name, b"one two")
        self.assertEqual(list(self.raw().names()), [name])
        self.assertEqual(self.read(name), b"one two")

    @item(2)
    def test_save_without_a_name_uses_the_name_of_the_content(self) -> None:
        name = self.storage.save(None, ContentFile(b"content", "directory/own name.txt"))
        self.assertEqual(name, "directory/own name.txt")
        self.assert_stored(name, b"content")

    @item(2)
    def test_save_without_any_name_fails_before_the_content_is_read(self) -> None:
        for storage in self.each_mode():
            content = failing(0, AssertionError("the content was read"), can_seek=False)
            content.name = None
            with self.unchanged(), self.assertRaises(REFUSED):
                storage.save(None, content)

    @item(3)
    def test_empty_content_is_a_file(self) -> None:
        name = self.save("empty", b"")
        self.assert_stored(name, b"")
        self.assertTrue(self.storage.exists(name))
        self.assertEqual(self.storage.size(name), 0)
        self.assertEqual(self.read(name), b"")

    @item(4)
    def test_contents_of_every_size_are_stored_whole(self) -> None:
        for size in (1, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, MIB):
            with self.subTest(size=size):
                self.check_round_trip(random_bytes(size))

    @item(5)
    def test_contents_around_the_size_of_parts_are_stored_whole(self) -> None:
        for size in (self.large_size - 1, self.large_size, 2 * self.large_size + 1):
            with self.subTest(size=size):
                self.check_round_trip(random_bytes(size))

    def check_round_trip(self, content: bytes) -> None:
        """Save, look, read, and remove so that many large files do not add up."""
        name = self.save("file", content)
        self.assert_stored(name, content)
        self.assertEqual(self.storage.size(name), len(content))
        self.assert_same(self.read(name), content)
        self.storage.delete(name)

    @item(6)
    def test_saving_a_large_file_takes_little_memory(self) -> None:
        size = 256 * MIB
        recipe = Recipe.of(self.storage, self.secrets)
        (peak,) = in_processes(recipe, 1, partial(save_zeros, size))
        self.assertLessEqual(peak, self.memory_budget)
        self.assertEqual(self.storage.size("large"), size)
        self.storage.delete("large")

    @item(7)
    def test_text_content_is_stored_as_utf_8(self) -> None:
        for storage in self.each_mode():
            name = storage.save("text", ContentFile("é漢😀\r\n"))
            self.assert_stored(name, "é漢😀\r\n".encode())

    @item(8)
    def test_text_files_are_stored_as_utf_8(self) -> None:
        text = "é漢😀\n" * 1000
        for kind, content in (
            ("StringIO", io.StringIO(text)),
            (
                "upload",
                InMemoryUploadedFile(io.StringIO(text), None, "f", "text/plain", 9, "utf-8"),
            ),
        ):
            with self.subTest(kind):
                self.assert_stored(self.storage.save(kind, content), text.encode())

    # -- files that stay the caller's -------------------------------------------------------------

    @item(9)
    def test_upload_on_disk_is_saved_and_can_still_be_closed_and_removed(self) -> None:
        for storage in self.each_mode():
            upload = TemporaryUploadedFile("upload.bin", "application/x-own", 7, None)
            upload.write(b"content")
            upload.seek(0)
            path = upload.temporary_file_path()
            self.assert_stored(storage.save("upload", upload), b"content")
            self.assertFalse(upload.closed)
            upload.close()
            self.assertFalse(Path(path).exists())

    @item(10)
    def test_saved_file_stays_open(self) -> None:
        with tempfile.TemporaryFile() as on_disk:
            on_disk.write(b"content")
            on_disk.flush()
            memory = io.BytesIO(b"content")
            for kind, content in {
                "memory upload": InMemoryUploadedFile(memory, None, "f", "text/plain", 7, None),
                "simple upload": SimpleUploadedFile("f", b"content"),
                "content file": ContentFile(b"content"),
                "file on disk": on_disk,
                "wrapped file on disk": File(on_disk, "f"),
                "bytes": io.BytesIO(b"content"),
            }.items():
                with self.subTest(kind):
                    self.assert_stored(self.storage.save(kind, content), b"content")
                    self.assertFalse(content.closed)

    @item(11)
    def test_content_is_saved_from_its_start_wherever_it_stands(self) -> None:
        with tempfile.TemporaryFile() as on_disk:
            on_disk.write(b"content")
            for kind, content in {
                "bytes": io.BytesIO(b"content"),
                "content file": ContentFile(b"content"),
                "file on disk": on_disk,
                "upload": SimpleUploadedFile("f", b"content"),
            }.items():
                with self.subTest(kind):
                    self.check_positions(content)

    def check_positions(self, content: Any) -> None:
        """Save a file that stands at its start, in the middle and at its end."""
        for position in (0, 3, 7):
            content.seek(position)
            name = self.storage.save(f"from {position}", content)
            self.assert_stored(name, b"content")
            self.storage.delete(name)

    @item(12)
    def test_content_that_cannot_seek_is_saved_whole(self) -> None:
        content = random_bytes(300 * KIB)
        pieces = (content[at : at + 1000] for at in range(0, len(content), 1000))
        sources: dict[str, AbstractContextManager[Any]] = {
            "pipe": pipe(content),
            "HTTP response": http_response(content),
            "generator": nullcontext(Generated(pieces)),
        }
        for kind, source in sources.items():
            with self.subTest(kind), source as file:
                self.assert_stored(self.storage.save("file", File(file, "file")), content)

    @item(12)
    def test_content_that_cannot_seek_is_saved_whole_under_a_free_name(self) -> None:
        taken = self.save("file", b"taken", self.unique)
        content = random_bytes(300 * KIB)
        with pipe(content) as file:
            name = self.unique.save("file", File(file, "file"))
        self.assert_stored(name, content)
        self.assert_stored(taken, b"taken")

    @item(13)
    def test_content_that_tells_a_wrong_size_is_saved_as_it_is_or_refused(self) -> None:
        for size in (0, 3, 1000, None):
            with self.subTest(size=size):
                self.check_told_size(size)

    def check_told_size(self, size: int | None) -> None:
        """Save seven bytes that claim to be ``size``."""
        content: Any = ContentFile(b"content")
        content.size = size
        name = f"told {size}"
        try:
            self.storage.save(name, content)
        except Exception:  # noqa: BLE001 - any refusal is fine that stores nothing
            self.assert_stored(name, None)
        else:
            self.assert_stored(name, b"content")

    # -- contents that fail -----------------------------------------------------------------------

    @item(14)
    def test_error_of_the_content_reaches_the_caller_and_nothing_is_stored(self) -> None:
        for storage in self.each_mode():
            for good, can_seek in self.failures():
                with self.unchanged():
                    self.check_failure(storage, "new", good, can_seek=can_seek)

    @item(14)
    def test_error_of_the_content_leaves_the_previous_content(self) -> None:
        self.raw().put("file", b"previous")
        for storage in self.each_mode():
            for good, can_seek in self.failures():
                with self.unchanged():
                    self.check_failure(storage, "file", good, can_seek=can_seek)

    @item(14)
    def test_error_of_the_content_is_never_taken_for_the_service_s(self) -> None:
        for error in (
            ConnectionResetError(errno.ECONNRESET, "the content's own connection"),
            TimeoutError(errno.ETIMEDOUT, "the content's own server"),
            FileNotFoundError(errno.ENOENT, "the content's own file"),
            KeyError("the content's own key"),
        ):
            with self.subTest(type(error).__name__), self.unchanged():
                self.check_failure(self.storage, "file", 10 * KIB, error, can_seek=True)

    def failures(self) -> Iterator[tuple[int, bool]]:
        """Yield bytes before the error and whether the content can seek, in a subtest each."""
        for good in (0, 10 * KIB, self.large_size + 1):
            for can_seek in (True, False):
                with self.subTest(good=good, can_seek=can_seek):
                    yield good, can_seek

    def check_failure(
        self,
        storage: Storage,
        name: str,
        good: int,
        error: Exception | None = None,
        *,
        can_seek: bool,
    ) -> None:
        """Save a failing content; the very exception it raised is raised."""
        error = error or BrokenContentError("the disk is gone")
        with self.assertRaises(type(error)) as caught:
            storage.save(name, failing(good, error, can_seek=can_seek))
        self.assertIs(caught.exception, error)

    @item(15)
    def test_own_chunks_of_a_content_are_what_is_stored(self) -> None:
        for storage in self.each_mode():
            name = storage.save("pieces", Pieces(b"one ", b"", b"two", b""))
            self.assert_stored(name, b"one two")

    # -- directories ------------------------------------------------------------------------------

    @item(16)
    def test_directories_of_a_name_are_made(self) -> None:
        for storage in self.each_mode():
            name = storage.save("one/two/three/file", ContentFile(b"content"))
            self.assert_stored(name, b"content")
        self.assertEqual(self.storage.listdir("one/two")[0], ["three"])

    @item(16)
    def test_threads_make_the_same_directories_at_once(self) -> None:
        for attempt in range(4):
            names = [f"{attempt}/one/two/{index}" for index in range(4)]
            saved = in_threads(4, lambda index: self.save(names[index], b"%d" % index))  # noqa: B023
            self.assertEqual(saved, names)
        self.assertEqual(len(set(self.raw().names())), 16)
        self.assert_stored("3/one/two/2", b"2")

    @item(17)
    def test_save_under_a_file_is_refused_and_stores_nothing(self) -> None:
        self.save("file", b"a file")
        if not self.has_directories:
            self.assert_stored(self.save("file/below"), b"content")
            self.assert_stored("file", b"a file")
            raise Impossible("keys have no parents: a file and files under its name live together")
        for storage in self.each_mode():
            for name in ("file/below", "file/further/below"):
                with self.unchanged(), self.assertRaises((FileExistsError, NotADirectoryError)):
                    self.save(name, storage=storage)

    # -- names ------------------------------------------------------------------------------------

    @item(18)
    def test_max_length_shortens_the_root_of_a_name_and_keeps_its_extension(self) -> None:
        for storage in self.each_mode():
            for content in (b"first", b"second"):
                long = "directory/" + 30 * "a" + ".txt"
                name = storage.save(long, ContentFile(content), max_length=30)
                self.assertLessEqual(len(name), 30)
                self.assertRegex(name, r"^directory/a+(_\w{7})?\.txt$")
                self.assert_stored(name, content)

    @item(18)
    def test_max_length_that_leaves_nothing_of_a_name_is_refused(self) -> None:
        for storage in self.each_mode():
            with self.unchanged(), self.assertRaises(SuspiciousFileOperation):
                storage.save("directory/file.txt", ContentFile(b"content"), max_length=13)

    @item(19)
    def test_returned_name_is_the_name_of_the_file_in_every_method(self) -> None:
        for storage in self.each_mode():
            self.save("directory/file.txt", b"another", storage)
            name = self.save("directory/file.txt", b"content", storage)
            self.assertTrue(storage.exists(name))
            self.assertEqual(storage.size(name), 7)
            self.assertEqual(self.read(name, storage), b"content")
            storage.delete(name)
            self.assertFalse(storage.exists(name))
            self.assert_stored(name, None)

    @item(19)
    def test_url_of_a_returned_name_is_the_file_s(self) -> None:
        self.require_urls()
        for storage in self.each_mode():
            name = self.save("directory/a file.txt", storage=storage)
            self.assert_url_of(storage.url(name), name, b"content")

    @item(20)
    def test_content_type_is_guessed_from_the_name(self) -> None:
        for name, kind in (("page.html", "text/html"), ("photo.JPG", "image/jpeg")):
            with self.subTest(name):
                headers = self.headers(self.save(name))
                self.assertEqual(headers["Content-Type"].partition(";")[0], kind)

    @item(20)
    def test_content_type_of_an_upload_is_kept(self) -> None:
        upload = SimpleUploadedFile("photo.jpg", b"content", content_type="image/x-own")
        headers = self.headers(self.storage.save("page.html", upload))
        self.assertEqual(headers["Content-Type"], "image/x-own")

    @item(20)
    def test_content_type_of_an_upload_makes_no_page_of_a_picture(self) -> None:
        for kind in ("text/html", "image/svg+xml", "text/html\nX-Forged: 1", "*/*"):
            with self.subTest(kind):
                upload = SimpleUploadedFile("photo.jpg", b"<script>", content_type=kind)
                headers = self.headers(self.storage.save("photo.jpg", upload))
                self.assertEqual(headers["Content-Type"], "image/jpeg")

    @item(20)
    def test_compressed_files_are_served_as_they_are(self) -> None:
        for name in ("archive.tar.gz", "drawing.svgz", "data.csv.bz2"):
            with self.subTest(name):
                headers = self.headers(self.save(name))
                self.assertFalse(headers.get("Content-Encoding"))
                self.assertNotIn(
                    headers["Content-Type"], {"application/x-tar", "image/svg+xml", "text/csv"}
                )

    @item(21)
    def test_paths_are_names_in_every_method(self) -> None:
        path: Any = PurePosixPath("directory", "file.txt")
        for storage in self.each_mode():
            self.assertEqual(storage.get_available_name(path), "directory/file.txt")
            self.assertEqual(storage.save(path, ContentFile(b"content")), "directory/file.txt")
            self.assertTrue(storage.exists(path))
            self.assertEqual(storage.size(path), 7)
            self.assertEqual(self.read(path, storage), b"content")
            self.assertEqual(storage.listdir(path.parent), ([], ["file.txt"]))
            storage.delete(path)
            self.assert_stored("directory/file.txt", None)

    @item(21)
    def test_paths_are_names_for_urls_and_times(self) -> None:
        self.require_urls()
        path: Any = PurePosixPath("directory", "file.txt")
        name = self.save("directory/file.txt")
        # Two URLs of one file need not be equal, where the service makes a new one each time.
        self.assert_url_of(self.storage.url(path), name, b"content")
        if self.has_modified_time:
            times = self.storage.get_modified_time(path), self.storage.get_modified_time(name)
            self.assertEqual(*times)


class BrokenContentError(Exception):
    """What a content raises here: a class that no backend knows."""


def save_zeros(size: int, storage: Storage, _index: int) -> int:
    """Save a sparse file of ``size`` bytes from disk as "large"; return the peak of memory."""
    storage.save("small", ContentFile(b"connects, and imports what a save needs"))
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        return peak_memory(lambda: storage.save("large", File(file, "large")))
