"""Files that are open for writing: published whole when they are closed, or not at all."""

from __future__ import annotations

import gc
import io
from typing import Any

from .case import ContractCase, item
from .sources import random_bytes

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
