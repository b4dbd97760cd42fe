"""Files that are open for reading behave as Python's own."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.files.storage import InMemoryStorage

from .case import ContractCase, item
from .sources import random_bytes

KIB = 1024
MIB = 1024 * 1024


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
        uses: dict[str, list[tuple[str, tuple[Any, ...]]]] = {
            "rb": [("read", ()), ("readline", ()), ("seek", (0,)), ("seek", (0, 1)), ("tell", ())],
            "wb": [("write", (b"more",)), ("seek", (0,)), ("tell", ()), ("truncate", (0,))],
        }
        for mode, calls in uses.items():
            file = self.storage.open("file", mode)
            file.close()
            for name, arguments in calls:
                with self.subTest(mode=mode, use=name):
                    self.assertRaises(ValueError, getattr(file, name), *arguments)

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
