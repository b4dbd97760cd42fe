"""Files: open in any mode of Python's, published whole when they are closed, or not at all."""

from __future__ import annotations

import gc
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.files.base import File
from django.core.files.storage import InMemoryStorage

from .case import ContractCase, item
from .sources import random_bytes

KIB = 1024
MIB = 1024 * 1024

#: Modes in which a file is written, with what is stored of b"0123456789" after writing b"ab".
WRITTEN = {
    "wb": b"ab",
    "w": b"ab",
    "w+b": b"ab",
    "w+": b"ab",
    "ab": b"0123456789ab",
    "a": b"0123456789ab",
    "a+b": b"0123456789ab",
    "a+": b"0123456789ab",
    "r+b": b"ab23456789",
    "r+": b"ab23456789",
}
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


class ReadContract(ContractCase):
    """Items 46 to 50, 57, 58 and 60: a file open for reading."""

    @item(46)
    def test_read_takes_any_size(self) -> None:
        self.save("file", b"0123456789")
        with self.storage.open("file") as file:
            self.assertEqual(file.read(0), b"")
            self.assertEqual(file.read(4), b"0123")
            self.assertEqual(file.read(100), b"456789")
            self.assertEqual(file.read(1), b"")
            self.assertEqual(file.read(), b"")
        for everything in ((), (-1,), (None,)):
            with self.subTest(everything), self.storage.open("file") as file:
                file.read(1)
                self.assertEqual(file.read(*everything), b"123456789")

    @item(46)
    def test_read_gives_as_many_bytes_as_asked_for(self) -> None:
        content = random_bytes(MIB + 1)
        self.save("file", content)
        for size in (1000, 64 * KIB, 300_000):
            with self.subTest(size=size), self.storage.open("file") as file:
                pieces = list(iter(lambda: file.read(size), b""))  # noqa: B023
                self.assertEqual({len(piece) for piece in pieces[:-1]}, {size})
                self.assert_same(b"".join(pieces), content)

    @item(47)
    def test_seek_and_tell_know_every_origin(self) -> None:
        self.save("file", b"0123456789")
        with self.storage.open("file") as file:
            for offset, whence, position, rest in (
                (4, io.SEEK_SET, 4, b"456789"),
                (-3, io.SEEK_END, 7, b"789"),
                (-2, io.SEEK_CUR, 8, b"89"),
                (0, io.SEEK_END, 10, b""),
                (5, io.SEEK_END, 15, b""),
                (100, io.SEEK_SET, 100, b""),
                (0, io.SEEK_SET, 0, b"0123456789"),
            ):
                with self.subTest(offset=offset, whence=whence):
                    file.seek(offset, whence)
                    self.assertEqual(file.tell(), position)
                    self.assertEqual(file.read(), rest)
                    self.assertEqual(file.tell(), max(position, 10))

    @item(47)
    def test_seek_works_over_any_distance(self) -> None:
        content = random_bytes(2 * MIB)
        self.save("file", content)
        with self.storage.open("file") as file:
            for position in (MIB, 5, MIB + 70_000, 2 * MIB - 1, 0, 300 * KIB, 299 * KIB):
                file.seek(position)
                self.assert_same(file.read(1000), content[position : position + 1000])
                self.assertEqual(file.tell(), min(position + 1000, 2 * MIB))
            file.seek(1)
            self.assert_same(file.read(), content[1:])

    @item(47)
    def test_seek_before_the_start_is_refused(self) -> None:
        self.save("file", b"0123456789")
        with self.storage.open("file") as file:
            file.read(3)
            self.assertRaises((OSError, ValueError), file.seek, -1)
            self.assertEqual(file.tell(), 3)
            self.assertEqual(file.read(1), b"3")

    @item(48)
    def test_lines_are_read_as_from_any_file(self) -> None:
        self.save("file", b"one\ntwo\r\n\nlast")
        for mode, lines in (
            ("rb", [b"one\n", b"two\r\n", b"\n", b"last"]),
            ("r", ["one\n", "two\n", "\n", "last"]),
        ):
            for way, read in READ_LINES.items():
                with self.subTest(way, mode=mode), self.storage.open("file", mode) as file:
                    self.assertEqual(read(file), lines)

    @item(48)
    def test_long_lines_are_read_whole(self) -> None:
        lines = [b"%d " % index * 20_000 + b"\r\n" for index in range(10)]
        self.save("file", b"".join(lines))
        for way, read in READ_LINES.items():
            with self.subTest(way), self.storage.open("file") as file:
                self.assertTrue(read(file) == lines)

    @item(48)
    def test_readline_stops_at_its_limit(self) -> None:
        self.save("file", b"one\ntwo\n")
        with self.storage.open("file") as file:
            self.assertEqual(file.readline(2), b"on")
            self.assertEqual(file.readline(), b"e\n")
            self.assertEqual(file.readline(100), b"two\n")
            self.assertEqual(file.readline(), b"")

    @item(49)
    def test_readinto_fills_a_buffer(self) -> None:
        self.save("file", b"0123456789")
        with self.storage.open("file") as file:
            buffer = bytearray(7)
            self.assertEqual(file.readinto(buffer), 7)
            self.assertEqual(buffer, b"0123456")
            self.assertEqual(file.readinto(buffer), 3)
            self.assertEqual(buffer[:3], b"789")
            self.assertEqual(file.readinto(buffer), 0)

    @item(49)
    def test_file_tells_what_can_be_done_with_it(self) -> None:
        self.save("file")
        for mode, can_read, can_write in (
            ("rb", True, False),
            ("r", True, False),
            ("wb", False, True),
            ("w", False, True),
            ("ab", False, True),
            ("r+b", True, True),
            ("w+b", True, True),
        ):
            with self.subTest(mode):
                file = self.storage.open("file", mode)
                self.assertEqual(
                    (file.readable(), file.writable(), file.seekable(), file.closed),
                    (can_read, can_write, True, False),
                )
                file.close()
                self.assertEqual(
                    (file.readable(), file.writable(), file.seekable(), file.closed),
                    (False, False, False, True),
                )

    @item(49)
    def test_closed_file_refuses_to_be_used(self) -> None:
        self.save("file")
        file = self.storage.open("file")
        file.close()
        self.assertRaises(ValueError, file.read)
        file = self.storage.open("file", "wb")
        file.close()
        self.assertRaises(ValueError, file.write, b"more")

    @item(50)
    def test_chunks_are_the_whole_file_in_exact_pieces(self) -> None:
        self.save("file", b"0123456789")
        with self.storage.open("file") as file:
            for read in (0, 3, 10):
                with self.subTest(read=read):
                    file.seek(read)
                    self.assertEqual(list(file.chunks(4)), [b"0123", b"4567", b"89"])
                    self.assertEqual(list(file.chunks(100)), [b"0123456789"])

    @item(50)
    def test_chunks_of_a_large_file_are_exact(self) -> None:
        content = random_bytes(MIB + 1)
        self.save("file", content)
        with self.storage.open("file") as file:
            chunks = list(file.chunks())
            self.assertEqual({len(chunk) for chunk in chunks[:-1]}, {file.DEFAULT_CHUNK_SIZE})
            self.assert_same(b"".join(chunks), content)

    @item(50)
    def test_multiple_chunks_tells_whether_there_is_more_than_one(self) -> None:
        self.save("file", b"0123456789")
        with self.storage.open("file") as file:
            self.assertTrue(file.multiple_chunks(9))
            self.assertFalse(file.multiple_chunks(10))
            self.assertFalse(file.multiple_chunks())

    @item(51)
    def test_size_of_a_file_being_read_is_that_of_the_file(self) -> None:
        for content in (b"", b"content", random_bytes(MIB)):
            with self.subTest(size=len(content)):
                self.save("file", content)
                with self.storage.open("file") as file:
                    file.read(3)
                    self.assertEqual(file.size, len(content))
                    self.assert_same(file.read(), content[3:])

    @item(52)
    def test_open_of_an_open_file_goes_back_to_its_start(self) -> None:
        self.save("file", b"0123456789")
        with self.storage.open("file") as file:
            for mode in ((), ("rb",)):
                file.seek(4)
                again = file.open(*mode)
                self.assertEqual(again.read(), b"0123456789")

    @item(52)
    def test_open_of_a_closed_file_reads_what_is_stored_now(self) -> None:
        self.save("file", b"before")
        file = self.storage.open("file")
        file.read()
        file.close()
        self.save("file", b"afterwards")
        with file.open() as again:
            self.assertEqual(again.read(), b"afterwards")
            self.assertEqual(again.size, 10)

    @item(52)
    def test_open_of_a_closed_file_that_is_gone_raises(self) -> None:
        self.save("file")
        file = self.storage.open("file")
        file.close()
        self.storage.delete("file")
        self.assertRaises((FileNotFoundError, ValueError), file.open)

    @item(52)
    def test_open_of_an_open_file_only_goes_back_whatever_the_mode(self) -> None:
        self.save("file")
        with self.unchanged(), self.storage.open("file") as file:
            file.read(3)
            self.assertIs(file.open("wb"), file)
            self.assertEqual(file.read(), b"content")

    @item(52)
    def test_open_of_a_closed_file_opens_it_in_the_mode_given(self) -> None:
        for before, after, stored in (
            ("rb", "wb", b"new"),
            ("wb", "ab", b"new"),
            ("rb", "ab", b"contentnew"),
            ("ab", "r+b", b"newtent"),
        ):
            with self.subTest(before=before, after=after):
                self.save("file")
                file = self.storage.open("file", before)
                file.close()
                with file.open(after) as again:
                    self.assertEqual(again.write(b"new"), 3)
                self.assert_stored("file", stored)
                with file.open("r") as again:
                    self.assertEqual(again.read(), stored.decode())

    @item(57)
    def test_files_open_at_once_are_read_independently(self) -> None:
        content = random_bytes(600 * KIB)
        self.save("file", content)
        with self.storage.open("file") as one, self.storage.open("file") as other:
            self.assert_same(one.read(1000), content[:1000])
            self.assert_same(other.read(500_000), content[:500_000])
            one.seek(550_000)
            self.assert_same(other.read(), content[500_000:])
            self.assert_same(one.read(), content[550_000:])

    @item(57)
    def test_closing_one_file_leaves_another_open(self) -> None:
        content = random_bytes(600 * KIB)
        self.save("file", content)
        with self.storage.open("file") as one:
            one.read(1)
            with self.storage.open("file") as other:
                other.read(1)
            self.assert_same(one.read(), content[1:])

    @item(58)
    def test_file_replaced_while_it_is_read_gives_one_content_or_an_error(self) -> None:
        for size in (4 * MIB, MIB, 8 * MIB):
            with self.subTest(size=size), self.replaced(size) as file:
                self.assertIn(letters(file), (None, {"o": 4 * MIB - 1000}))

    @item(58)
    def test_move_in_a_replaced_file_gives_one_content_or_an_error(self) -> None:
        for size in (4 * MIB, MIB, 8 * MIB):
            with self.subTest(size=size), self.replaced(size) as file:
                file.seek(2 * MIB)
                self.assertIn(letters(file), (None, {"o": 2 * MIB}))

    @item(58)
    def test_replaced_file_read_again_gives_one_content_or_an_error(self) -> None:
        for size in (4 * MIB, MIB, 8 * MIB):
            with self.subTest(size=size), self.replaced(size) as file:
                letters(file)
                file.seek(0)
                self.assertIn(letters(file), (None, {"o": 4 * MIB}, {"n": size}))

    @contextmanager
    def replaced(self, size: int) -> Iterator[Any]:
        """Open a file of o's, read 1000, and replace it by so many n's."""
        self.save("file", b"o" * 4 * MIB)
        with self.storage.open("file") as file:
            self.assertEqual(file.read(1000), b"o" * 1000)
            self.save("file", b"n" * size, self.make_storage(file_overwrite=True))
            yield file

    @item(60)
    def test_open_file_is_a_content_to_save(self) -> None:
        content = random_bytes(MIB)
        self.save("file", content)
        for storage in self.each_mode():
            with self.storage.open("file") as file:
                file.read(1000)
                name = storage.save("copy", file)
                self.assertFalse(file.closed)
            self.assert_stored(name, content)

    @item(60)
    def test_files_of_this_and_other_storages_are_contents_of_each_other(self) -> None:
        other = InMemoryStorage()
        self.save("file", b"content of this")
        with self.storage.open("file") as file:
            other.save("file", file)
        with other.open("file") as file:
            self.assertEqual(file.read(), b"content of this")
            self.assert_stored(self.storage.save("back", file), b"content of this")

    @item(60)
    def test_file_can_be_saved_over_itself(self) -> None:
        content = random_bytes(MIB)
        self.save("file", content)
        with self.storage.open("file") as file:
            self.storage.save("file", file)
        self.assert_stored("file", content)


class WriteContract(ContractCase):
    """Items 37 to 42, 51 and 53 to 56: a file open for writing.

    Django's own `FileSystemStorage` writes in place: its subclasses declare what that cannot keep.
    """

    def write(self, name: str, mode: str, *pieces: Any) -> None:
        """Open, write each of the pieces, and close."""
        with self.storage.open(name, mode) as file:
            for piece in pieces:
                self.assertEqual(file.write(piece), len(piece))

    @item(37)
    def test_file_opened_for_writing_and_closed_is_empty(self) -> None:
        for mode in ("wb", "w", "w+b"):
            with self.subTest(mode):
                self.write(f"new {mode}", mode)
                self.assert_stored(f"new {mode}", b"")
                self.raw().put("file", b"previous")
                self.write("file", mode)
                self.assert_stored("file", b"")

    @item(38)
    def test_writes_follow_each_other(self) -> None:
        self.write("file", "wb", b"one ", b"", b"two ", b"three")
        self.assert_stored("file", b"one two three")
        self.write("file", "w", "é ", "", "漢\n", "😀\r\n")
        self.assert_stored("file", "é 漢\n😀\r\n".encode())

    @item(38)
    def test_many_large_writes_are_stored_whole(self) -> None:
        content = random_bytes(self.large_size + 1)
        self.write("file", "wb", *(content[at : at + MIB] for at in range(0, len(content), MIB)))
        self.assert_stored("file", content)

    @item(38)
    def test_file_opened_for_writing_makes_its_directories(self) -> None:
        self.write("one/two/file", "wb", b"content")
        self.assert_stored("one/two/file", b"content")

    @item(38)
    def test_written_file_can_be_moved_in_and_cut(self) -> None:
        with self.storage.open("file", "wb") as file:
            file.write(b"0123456789")
            file.seek(2)
            file.write(b"ab")
            self.assertEqual(file.tell(), 4)
            file.truncate(6)
        self.assert_stored("file", b"01ab45")

    @item(38)
    def test_what_was_written_can_be_read_where_the_mode_has_both(self) -> None:
        with self.storage.open("file", "w+b") as file:
            file.write(b"0123456789")
            file.seek(3)
            self.assertEqual(file.read(2), b"34")
            file.write(b"ab")
            file.seek(0)
            self.assertEqual(file.read(), b"01234ab789")
        self.assert_stored("file", b"01234ab789")

    @item(38)
    def test_lines_are_written_as_they_are(self) -> None:
        with self.storage.open("file", "wb") as file:
            file.writelines([b"one\n", b"two\r\n", b"three"])
        self.assert_stored("file", b"one\ntwo\r\nthree")

    @item(39)
    def test_new_file_is_not_there_before_it_is_closed(self) -> None:
        for mode in ("wb", "xb", "ab"):
            with self.subTest(mode):
                file = self.storage.open(f"new {mode}", mode)
                with self.unchanged():
                    file.write(random_bytes(MIB))
                    file.flush()
                self.assertFalse(self.storage.exists(f"new {mode}"))
                file.close()
                self.assertTrue(self.storage.exists(f"new {mode}"))
                self.assert_stored(f"new {mode}", random_bytes(MIB))

    @item(39)
    def test_file_keeps_its_content_until_the_written_one_is_closed(self) -> None:
        self.save("file", b"previous")
        with self.storage.open("file", "wb") as file:
            file.write(random_bytes(MIB))
            file.flush()
            self.assert_stored("file", b"previous")
            self.assertEqual(self.read("file"), b"previous")
        self.assert_same(self.read("file"), random_bytes(MIB))
        self.assertEqual(self.storage.size("file"), MIB)

    @item(40)
    def test_appending_keeps_what_is_stored(self) -> None:
        self.raw().put("file", b"stored ")
        self.write("file", "ab", b"more ", b"and more")
        self.assert_stored("file", b"stored more and more")
        self.write("file", "a", " é")
        self.assert_stored("file", "stored more and more é".encode())

    @item(40)
    def test_appending_to_a_missing_file_creates_it(self) -> None:
        self.write("new", "ab", b"content")
        self.assert_stored("new", b"content")
        self.write("newer", "ab")
        self.assert_stored("newer", b"")

    @item(40)
    def test_appending_begins_at_the_end_of_a_large_file(self) -> None:
        content = random_bytes(self.large_size + 1)
        self.raw().put("file", content)
        with self.storage.open("file", "ab") as file:
            self.assertEqual(file.tell(), len(content))
            file.write(b"more")
        self.assert_stored("file", content + b"more")

    @item(40)
    def test_appending_writes_at_the_end_wherever_the_file_stands(self) -> None:
        for mode in ("ab", "a+b"):
            with self.subTest(mode):
                self.raw().put("file", b"0123456789")
                with self.storage.open("file", mode) as file:
                    file.seek(3)
                    file.write(b"ab")
                    file.seek(0)
                    file.write(b"cd")
                self.assert_stored("file", b"0123456789abcd")

    @item(40)
    def test_appending_can_read_what_is_stored_where_the_mode_has_both(self) -> None:
        self.raw().put("file", b"0123456789")
        with self.storage.open("file", "a+b") as file:
            file.seek(4)
            self.assertEqual(file.read(2), b"45")
            file.write(b"ab")
            file.flush()
            file.seek(8)
            self.assertEqual(file.read(), b"89ab")
        self.assert_stored("file", b"0123456789ab")

    @item(41)
    def test_updating_reads_moves_writes_inside_and_extends(self) -> None:
        self.raw().put("file", b"0123456789")
        with self.storage.open("file", "r+b") as file:
            self.assertEqual(file.read(2), b"01")
            file.seek(4)
            file.write(b"ab")
            self.assertEqual(file.read(2), b"67")
            file.seek(0, io.SEEK_END)
            file.write(b" and more")
            file.seek(0)
            self.assertEqual(file.read(), b"0123ab6789 and more")
        self.assert_stored("file", b"0123ab6789 and more")

    @item(41)
    def test_updating_can_cut_a_file(self) -> None:
        self.raw().put("file", b"0123456789")
        with self.storage.open("file", "r+b") as file:
            file.truncate(4)
        self.assert_stored("file", b"0123")

    @item(41)
    def test_updating_without_a_change_leaves_the_file(self) -> None:
        self.raw().put("file", b"0123456789")
        with self.unchanged(), self.storage.open("file", "r+b") as file:
            self.assertEqual(file.read(), b"0123456789")

    @item(37, 38, 40, 41)
    def test_each_mode_writes_where_it_should(self) -> None:
        for mode, expected in WRITTEN.items():
            with self.subTest(mode):
                self.raw().put("file", b"0123456789")
                self.write("file", mode, b"ab" if "b" in mode else "ab")
                self.assert_stored("file", expected)

    @item(42)
    def test_creating_makes_a_new_file(self) -> None:
        for mode, data in (("xb", b"content"), ("x", "content")):
            with self.subTest(mode):
                self.write(f"new {mode}", mode, data)
                self.assert_stored(f"new {mode}", b"content")

    @item(42)
    def test_creating_a_file_that_exists_is_refused(self) -> None:
        self.raw().put("file", b"another client's")
        for mode in ("xb", "x", "x+b"):
            with self.subTest(mode), self.unchanged():
                self.assertRaises(FileExistsError, self.storage.open, "file", mode)

    @item(51)
    def test_size_of_a_file_being_written_is_what_was_written(self) -> None:
        self.raw().put("file", b"0123456789")
        for mode, start in (("wb", 0), ("ab", 10), ("r+b", 10)):
            with self.subTest(mode), self.storage.open("file", mode) as file:
                self.assertEqual(file.size, start)
                file.seek(start)
                file.write(b"more")
                self.assertEqual(file.size, start + 4)
                file.write(b"!")
            self.assert_stored("file", b"0123456789"[:start] + b"more!")
            self.raw().put("file", b"0123456789")

    @item(53)
    def test_file_closed_twice_is_stored_once(self) -> None:
        file = self.storage.open("file", "wb")
        file.write(b"ours")
        file.close()
        self.assert_stored("file", b"ours")
        self.raw().put("file", b"another client's")
        file.close()
        with file:
            pass
        self.assert_stored("file", b"another client's")

    @item(53)
    def test_file_read_may_be_closed_twice(self) -> None:
        self.save("file")
        for mode in ("rb", "r"):
            file = self.storage.open("file", mode)
            file.read(1)
            file.close()
            file.close()
            self.assertTrue(file.closed)

    @item(54)
    def test_exception_in_a_with_block_publishes_nothing(self) -> None:
        self.raw().put("file", b"0123456789")
        for mode in ("wb", "w", "ab", "r+b", "w+b"):
            for name in ("file", "new"):
                if name == "file" or mode[0] != "r":
                    self.check_abandoned(name, mode)
        self.check_abandoned("new", "xb")

    def check_abandoned(self, name: str, mode: str) -> None:
        """Leave a file by an exception, after some writes and after many."""
        data: Any = b"data" if "b" in mode else "data"
        for times in (0, 1, self.large_size // 4 + 1):
            with self.subTest(mode, name=name, times=times), self.unchanged():
                with self.assertRaises(EOFError), self.storage.open(name, mode) as file:
                    file.write(data * times)
                    raise EOFError
                self.assertTrue(file.closed)

    @item(54)
    def test_storage_works_after_an_abandoned_write(self) -> None:
        with self.assertRaises(EOFError), self.storage.open("file", "wb") as file:
            file.write(b"abandoned")
            raise EOFError
        self.save("file", b"saved")
        file.close()
        self.assert_stored("file", b"saved")

    @item(55)
    def test_file_dropped_without_close_publishes_nothing_and_warns(self) -> None:
        self.raw().put("file", b"previous")
        for mode in ("wb", "w", "ab", "r+b", "xb"):
            for size in (0, 7, MIB):
                name = "new" if mode == "xb" else "file"
                with self.subTest(mode, size=size), self.unchanged():
                    self.check_dropped(name, mode, size)

    def check_dropped(self, name: str, mode: str, size: int) -> None:
        """Write, and let go of the file."""
        file: Any = self.storage.open(name, mode)
        file.write(size * (b"d" if "b" in mode else "d"))
        with self.assertWarns(ResourceWarning) as caught:
            del file
            # Frames of an error that was handled may still hold it, as in Python 3.13's contextlib.
            if not caught.warnings:
                gc.collect()

    @item(56)
    def test_error_of_publishing_is_raised_by_close_once(self) -> None:
        file = self.storage.open("file", "xb")
        file.write(b"ours")
        self.raw().put("file", b"another client's")
        with self.unchanged():
            self.assertRaises(FileExistsError, file.close)
            self.assertTrue(file.closed)
            file.close()

    @item(56)
    def test_error_of_publishing_is_raised_by_a_with_block(self) -> None:
        with self.assertRaises(FileExistsError), self.storage.open("file", "xb") as file:
            file.write(b"ours")
            self.raw().put("file", b"another client's")
        self.assertTrue(file.closed)
        self.assert_stored("file", b"another client's")
        self.raw().put("another", b"file")
        self.save("file", b"the storage still works")


READ_LINES: dict[str, Callable[[Any], list[Any]]] = {
    "readlines": lambda file: list(file.readlines()),
    "readline": lambda file: list(iter(file.readline, file.read(0))),
    "iteration": list,
}


def letters(file: Any) -> dict[str, int] | None:
    """Read what is left of a file; return how often it has which letter, None for an error."""
    try:
        content = file.read()
    except OSError:
        return None
    return {letter: content.count(letter.encode()) for letter in sorted(set(content.decode()))}
