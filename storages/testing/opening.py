"""What `open` gives in each mode of Python's, and what it refuses."""

from __future__ import annotations

import io

from django.core.files.base import File

from .case import ContractCase, item

KIB = 1024
UNKNOWN_MODES = ("", "q", "rq", "b", "+", "rw", "wa", "rr", "r++", "rbt", "rbb", "xw")


class OpenContract(ContractCase):
    """Items 33 to 36 and 43 to 45: what `open` gives, and refuses."""

    @item(33)
    def test_file_is_opened_for_reading_bytes_by_default(self) -> None:
        self.save("directory/file.txt")
        with self.storage.open("directory/file.txt") as file:
            self.assertIsInstance(file, File)
            self.assertEqual(file.mode, "rb")
            self.assertEqual(file.read(), b"content")

    @item(33)
    def test_open_file_has_the_name_in_the_storage(self) -> None:
        self.save("directory/file.txt")
        for mode in ("rb", "r", "wb", "w", "ab", "r+b"):
            with self.subTest(mode), self.storage.open("directory/file.txt", mode) as file:
                expected = self.name_of_open("directory/file.txt", self.storage)
                self.assertEqual(file.name, expected)

    @item(33)
    def test_open_file_has_the_mode_it_was_opened_in(self) -> None:
        self.save("file")
        for mode in ("rb", "r", "wb", "w", "ab", "r+b"):
            with self.subTest(mode), self.storage.open("file", mode) as file:
                self.assertEqual(file.mode, mode)

    @item(34)
    def test_missing_file_raises_when_it_is_opened(self) -> None:
        for mode in ("rb", "r", "r+b", "r+"):
            for name in ("missing", "missing directory/file.txt"):
                with self.subTest(mode, name=name), self.unchanged():
                    self.assertRaises(FileNotFoundError, self.storage.open, name, mode)

    @item(34)
    def test_error_for_a_missing_file_tells_its_name_in_the_storage_alone(self) -> None:
        for name in ("missing", "directory/missing.txt"):
            with self.subTest(name), self.assertRaises(FileNotFoundError) as caught:
                self.storage.open(name)
            self.assertEqual(caught.exception.filename, name)
            self.assertNotIn(self.root, str(caught.exception))

    @item(35)
    def test_directory_cannot_be_opened(self) -> None:
        self.save("one/two/file.txt")
        for mode in ("rb", "r", "r+b"):
            for name in ("one", "one/two"):
                with (
                    self.subTest(mode, name=name),
                    self.unchanged(),
                    self.assertRaises((IsADirectoryError, FileNotFoundError)),
                ):
                    self.storage.open(name, mode)

    @item(36)
    def test_text_is_decoded_from_utf_8_with_one_kind_of_line_end(self) -> None:
        self.raw().put("file", "é\r\n漢\r😀\n".encode())
        with self.storage.open("file", "r") as file:
            self.assertEqual(file.read(), "é\n漢\n😀\n")

    @item(36)
    def test_characters_and_line_ends_may_lie_across_any_buffer(self) -> None:
        text = "aé漢😀\r\n" * 60_000
        self.raw().put("file", text.encode())
        for size in (-1, 1000, 64 * KIB):
            with self.subTest(size=size), self.storage.open("file", "r") as file:
                found = "".join(iter(lambda: file.read(size), ""))  # noqa: B023
                self.assertTrue(found == text.replace("\r\n", "\n"), f"{len(found)} characters")

    @item(43)
    def test_unknown_mode_is_refused_before_anything_is_done(self) -> None:
        self.save("file")
        for mode in UNKNOWN_MODES:
            for name in ("file", "missing"):
                with self.subTest(mode, name=name), self.unchanged():
                    self.assertRaises(ValueError, self.storage.open, name, mode)

    @item(44)
    def test_file_open_for_reading_refuses_to_be_written(self) -> None:
        self.save("file")
        for mode, data in (("rb", b"data"), ("r", "data")):
            with self.subTest(mode), self.unchanged(), self.storage.open("file", mode) as file:
                self.assertRaises(io.UnsupportedOperation, file.write, data)
                self.assertRaises(io.UnsupportedOperation, file.truncate)
                self.assertEqual(len(file.read()), 7)

    @item(44)
    def test_file_open_for_writing_refuses_to_be_read(self) -> None:
        for mode in ("wb", "w", "ab", "a"):
            with self.subTest(mode), self.storage.open("file", mode) as file:
                self.assertRaises(io.UnsupportedOperation, file.read)
                self.assertRaises(io.UnsupportedOperation, file.readline)

    @item(45)
    def test_text_is_no_bytes_and_bytes_are_no_text(self) -> None:
        for mode, data in (("wb", "text"), ("ab", "text"), ("w", b"bytes"), ("a", b"bytes")):
            with self.subTest(mode), self.storage.open("file", mode) as file:
                self.assertRaises(TypeError, file.write, data)
        self.assert_stored("file", b"")
