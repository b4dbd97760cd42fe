"""Items 121 to 128 and 130: open files, whoever writes and whatever changes meanwhile."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from .case import Impossible, item
from .copies import RebuiltStorages
from .fields import make_document
from .parallel import Recipe

CHILD = "import os; os.write(1, b'by a child')"


class HandleContract(RebuiltStorages):
    """What holds between an open file and everything else that goes on."""

    # -- descriptors ------------------------------------------------------------------------------

    @item(121)
    def test_bytes_written_to_a_descriptor_are_stored_in_their_place(self) -> None:
        for mode, before in (("wb", b""), ("w+b", b""), ("ab", b"old "), ("xb", b"")):
            name = f"file {mode}"
            if before:
                self.raw().put(name, before)
            with self.subTest(mode), self.storage.open(name, mode) as file:
                self.assertEqual(file.write(b"header "), 7)
                descriptor = descriptor_of(file)
                file.flush()
                os.write(descriptor, b"body ")
                file.write(b"end")
            self.assert_stored(name, before + b"header body end")

    @item(121)
    def test_what_a_child_writes_is_stored(self) -> None:
        for mode, before in (("wb", b""), ("ab", b"old ")):
            self.raw().put("file", b"old ")
            with self.subTest(mode), self.storage.open("file", mode) as file:
                command = [sys.executable, "-c", CHILD]
                subprocess.run(command, stdout=descriptor_of(file), check=True)
            self.assert_stored("file", before + b"by a child")

    # -- changes meanwhile ------------------------------------------------------------------------

    @item(122)
    def test_file_that_was_replaced_while_it_was_changed_is_not_stored_over(self) -> None:
        for mode in ("ab", "r+b", "a+b", "a", "r+"):
            self.raw().put("file", b"stored ")
            file: Any = self.storage.open("file", mode)
            with self.storage.open("file", "ab") as other:
                other.write(b"and another's")
            file.write(b"ours" if "b" in mode else "ours")
            with self.subTest(mode):
                self.assertRaises(OSError, file.close)
                self.assertTrue(file.closed)
                self.assert_stored("file", b"stored and another's")

    @item(122)
    def test_file_that_was_made_while_it_was_appended_to_is_not_stored_over(self) -> None:
        one, other = self.storage.open("file", "ab"), self.storage.open("file", "ab")
        one.write(b"one")
        one.close()
        other.write(b"other")
        self.assertRaises(OSError, other.close)
        self.assert_stored("file", b"one")

    @item(122)
    def test_file_that_was_removed_while_it_was_changed_does_not_come_back(self) -> None:
        self.save("file", b"stored")
        file = self.storage.open("file", "r+b")
        file.write(b"ours")
        self.storage.delete("file")
        self.assertRaises(OSError, file.close)
        self.assert_stored("file", None)

    @item(122)
    def test_changes_one_after_the_other_are_all_stored(self) -> None:
        for line in (b"1", b"2", b"3"):
            with self.storage.open("file", "ab") as file:
                file.write(line)
        self.assert_stored("file", b"123")

    @item(123)
    def test_open_file_stays_where_it_was_opened(self) -> None:
        places: list[Any] = [self.make_located("one"), self.make_located("other")]
        tenant = switching(places, self.secrets)
        content = os.urandom(1_000_000)
        places[0].save("read", ContentFile(content))
        places[1].save("read", ContentFile(b"another's"))
        with tenant.open("read") as reading, tenant.open("file", "wb") as writing:
            places.reverse()
            self.assert_same(reading.read(10), content[:10])
            reading.seek(700_000)
            self.assert_same(reading.read(), content[700_000:])
            writing.write(b"content")
        self.assertEqual([each.exists("file") for each in places], [False, True])
        self.assertEqual(self.read("read", tenant), b"another's")

    # -- names ------------------------------------------------------------------------------------

    @item(124)
    def test_name_that_was_shortened_replaces_no_other_file(self) -> None:
        names = {
            self.storage.save(f"{'report ' * 4}{month} 2026.txt", ContentFile(month.encode()), 30)
            for month in ("March", "April", "March")
        }
        self.assertEqual(len(names), 3)
        self.assertEqual(sorted(self.read(each) for each in names), [b"April", b"March", b"March"])

    @item(130)
    def test_slashes_before_a_name_mean_nothing_to_a_url(self) -> None:
        self.save("css/a.css")
        for name in ("/css/a.css", "//css/a.css", "\\css\\a.css"):
            with self.subTest(name):
                self.assert_url_of(self.storage.url(name), "css/a.css", b"content")

    # -- contents ---------------------------------------------------------------------------------

    @item(125)
    def test_whatever_can_be_read_is_a_content(self) -> None:
        for storage in self.each_mode():
            kinds: tuple[Any, ...] = (OnlyReads, SeeksSilently, OnlyChunks, NoName)
            for kind in kinds:
                with self.subTest(kind.__name__):
                    name = storage.save(f"{kind.__name__}.txt", kind(b"content"))
                    self.assert_stored(name, b"content")

    @item(125)
    def test_what_is_no_content_is_refused_with_what_to_give(self) -> None:
        for storage in self.each_mode():
            wrong: Any
            for wrong in ("text", b"bytes", 7, None, {}):
                with (
                    self.subTest(wrong=wrong),
                    self.unchanged(),
                    self.assertRaisesRegex(TypeError, "ContentFile"),
                ):
                    storage.save("file.txt", wrong)

    # -- modes ------------------------------------------------------------------------------------

    @item(126)
    def test_text_has_one_kind_of_line_end_in_every_mode_that_reads(self) -> None:
        for mode in ("r", "r+", "a+"):
            self.raw().put("file", b"one\r\ntwo\rthree\n")
            with self.subTest(mode), self.storage.open("file", mode) as file:
                file.seek(0)
                self.assertEqual(file.read(), "one\ntwo\nthree\n")

    @item(126)
    def test_truncate_past_the_end_makes_a_file_longer(self) -> None:
        for mode in ("r+b", "ab", "a+b"):
            self.raw().put("file", b"0123")
            with self.subTest(mode), self.storage.open("file", mode) as file:
                self.assertEqual(file.truncate(6), 6)
            self.assert_stored("file", b"0123\0\0")

    @item(127)
    def test_file_of_a_model_is_opened_again_in_another_mode(self) -> None:
        self.raw().put("file", b"content")
        document: Any = make_document(self.storage, "file")
        for mode, data, stored in (("wb", b"new", b"new"), ("ab", b"er", b"newer")):
            with document.file.open(mode) as file:
                file.write(data)
            self.assert_stored("file", stored)
            with document.file.open("rb") as file:
                self.assertEqual(file.read(), stored)
            with document.file.open("r") as file:
                self.assertEqual(file.read(), stored.decode())
            with document.file.open() as file:
                self.assertEqual(file.read(), stored)

    @item(128)
    def test_base_url_is_never_none(self) -> None:
        for storage in (self.storage, self.make_storage(base_url=None)):
            self.assertIsNotNone(getattr(storage, "base_url", ""))


class OnlyReads:
    """A content that can be read, once."""

    name = "content"

    def __init__(self, content: bytes) -> None:
        self.read: Callable[..., bytes] = io.BytesIO(content).read


class SeeksSilently(OnlyReads):
    """A content whose ``seek`` does not tell where it is then."""

    def __init__(self, content: bytes) -> None:
        file = io.BytesIO(content)
        self.read, self.tell, self._file = file.read, file.tell, file

    def seek(self, *place: int) -> None:
        self._file.seek(*place)


class OnlyChunks:
    """A content of pieces alone."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def chunks(self, _size: int | None = None) -> list[bytes]:
        return [self._content[:3], b"", self._content[3:]]


class NoName(io.BytesIO):
    """A content without a name, as sockets and streams are."""


def descriptor_of(file: Any) -> int:
    """Return a descriptor; a file that has none falls back to ``write``, as Pillow does."""
    try:
        descriptor: int = file.fileno()
    except (AttributeError, OSError) as exc:
        raise Impossible("a file being written has no descriptor") from exc
    return descriptor


def switching(places: list[Any], secrets: Any) -> Storage:
    """Return a storage whose location is that of the first of some storages, at each moment."""
    recipe = Recipe.of(places[0], secrets)
    if places[0].location == places[1].location:
        raise Impossible("its location does not tell its places apart")
    options = {name: each for name, each in recipe.options.items() if name != "location"}
    location = property(lambda _storage: places[0].location)
    return Recipe(recipe.path, recipe.args, options).make(location=location)
