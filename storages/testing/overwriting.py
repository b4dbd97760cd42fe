"""Names that are taken: a free one is found without a race, or the file is replaced at once."""

from __future__ import annotations

import itertools
import re
from functools import partial
from threading import Barrier, Event, Thread
from typing import Any, Self

from django.core.files.base import File
from django.core.files.storage import Storage

from .case import ContractCase, Impossible, RawStore, item
from .parallel import Recipe, in_processes, in_threads, own_connections
from .sources import Interrupted, failing, meeting, random_bytes

SUFFIX = "_[a-zA-Z0-9]{7}"
SAVES = 16  # in each race
PROCESSES = 4
READS = 30  # that a reader makes while a file is overwritten
OVERWRITES = 20  # meanwhile, at least
FAILURES = 1000  # to read, after which a file is taken to be unreadable while it is overwritten
TRIES = 1000  # to find a free name, after which a save is taken to go on for ever


class UniqueNameContract(ContractCase):
    """Items 22, 23, 26 to 29 and 32: a storage with ``file_overwrite`` off never replaces a file.

    They are impossible where ``modes`` lacks False.
    """

    def assert_alternative(self, name: str, root: str, extension: str = "") -> None:
        """Assert that a name is ``root`` with a suffix of Django's before ``extension``."""
        self.assertRegex(name, f"^{re.escape(root)}{SUFFIX}{re.escape(extension)}$")

    @item(22)
    def test_taken_name_gets_a_suffix_before_its_whole_extension(self) -> None:
        archive = ("file", ".tar.gz")
        for root, extension in (("directory/file", ".txt"), archive, ("file", "")):
            with self.subTest(root + extension):
                first = self.save(root + extension, b"first", self.unique)
                second = self.save(root + extension, b"second", self.unique)
                self.assertEqual(first, root + extension)
                self.assert_alternative(second, root, extension)
                self.assert_stored(first, b"first")
                self.assert_stored(second, b"second")

    @item(22)
    def test_file_of_another_client_takes_a_name_too(self) -> None:
        self.raw().put("directory/file.txt", b"another client's")
        name = self.save("directory/file.txt", b"ours", self.unique)
        self.assert_alternative(name, "directory/file", ".txt")
        self.assert_stored("directory/file.txt", b"another client's")
        self.assert_stored(name, b"ours")

    @item(23)
    def test_suffix_stands_in_the_base_name(self) -> None:
        for root, extension in (
            ("directory.with.dots/file", ""),
            ("directory.with.dots/file", ".txt"),
            ("directory/.hidden", ""),
            (".hidden", ".txt"),
        ):
            with self.subTest(root + extension):
                self.save(root + extension, b"first", self.unique)
                second = self.save(root + extension, b"second", self.unique)
                self.assert_alternative(second, root, extension)
                self.assert_stored(second, b"second")

    @item(26)
    def test_threads_that_save_one_name_get_a_file_each(self) -> None:
        contents = [b"content %d" % index for index in range(SAVES)]
        self.check_race(save_at_once(self.unique, contents), contents)

    @item(28)
    def test_threads_that_save_one_name_with_equal_content_get_a_file_each(self) -> None:
        contents = SAVES * [b"the same"]
        self.check_race(save_at_once(self.unique, contents), contents)

    @item(28)
    def test_equal_content_under_a_taken_name_is_a_file_of_its_own(self) -> None:
        first, second = (self.save("file.txt", b"the same", self.unique) for _ in range(2))
        self.assertNotEqual(first, second)
        self.unique.delete(first)
        self.assert_stored(second, b"the same")

    @item(27)
    def test_processes_that_save_one_name_get_a_file_each(self) -> None:
        # Each content comes twice, from two processes: equal ones are files of their own too.
        contents = [b"content %d" % (index % (SAVES // 2)) for index in range(SAVES)]
        recipe = Recipe.of(self.unique, self.secrets)
        shares = in_processes(recipe, PROCESSES, partial(save_share, contents))
        self.check_race([name for share in shares for name in share], contents)

    def check_race(self, names: list[str], contents: list[bytes]) -> None:
        """Each save has a name of its own, and its own content under it; nothing else is there."""
        self.assertEqual(len(set(names)), SAVES)
        for name, content in zip(names, contents, strict=True):
            self.assert_stored(name, content)
        self.assertEqual(sorted(self.raw().names()), sorted(names))

    @item(29)
    def test_name_taken_by_another_client_during_a_save_is_not_replaced(self) -> None:
        for size in (7, self.large_size + 1):
            with self.subTest(size=size):
                name = f"{size}/file.txt"
                self.check_taken_meanwhile(name, random_bytes(size), b"another client's")

    @item(28, 29)
    def test_name_taken_during_a_save_of_equal_content_is_not_shared(self) -> None:
        self.check_taken_meanwhile("file.txt", b"the same", b"the same")

    def check_taken_meanwhile(self, name: str, content: bytes, other: bytes) -> None:
        """Plant another client's file when the name is chosen and the content is being read."""
        source = Interrupted(content, lambda: self.raw().put(name, other))
        saved = self.unique.save(name, File(source, "file"))
        self.assert_stored(name, other)
        self.assertNotEqual(saved, name)
        self.assert_stored(saved, content)

    @item(32)
    def test_save_gives_up_where_every_name_is_taken(self) -> None:
        self.raw().put("file", b"another client's")
        storage = Recipe.of(self.unique, self.secrets).make(get_available_name=insist("file"))
        with self.unchanged(), self.assertRaises(FileExistsError):
            self.save("file", b"ours", storage)


class OverwriteContract(ContractCase):
    """Items 24, 25, 30 and 31: a storage with ``file_overwrite`` on replaces a file, whole.

    They are impossible where ``modes`` lacks True.
    """

    def limit(self, *keys: str) -> None:
        """Raise Impossible for each of these tests if the storage never overwrites."""
        super().limit(*keys)
        if keys[-1] in vars(OverwriteContract) and True not in self.modes:
            raise Impossible("it never overwrites")

    @item(24)
    def test_save_of_a_taken_name_replaces_the_file(self) -> None:
        for name in ("file.txt", "directory.with.dots/file"):
            with self.subTest(name):
                self.save(name, b"first")
                self.assertEqual(self.save(name, b"the second"), name)
                self.assert_stored(name, b"the second")
                self.assertEqual(self.read(name), b"the second")
                self.assertEqual(self.storage.size(name), 10)
        self.assertEqual(len(list(self.raw().names())), 2)

    @item(24)
    def test_available_name_is_the_name_itself(self) -> None:
        self.save("file.txt")
        self.assertEqual(self.storage.get_available_name("file.txt"), "file.txt")

    @item(24)
    def test_file_of_another_client_is_replaced_too(self) -> None:
        self.raw().put("file", b"another client's")
        self.assertEqual(self.save("file", b"ours"), "file")
        self.assert_stored("file", b"ours")

    @item(24)
    def test_time_is_not_older_after_overwriting(self) -> None:
        if not self.has_modified_time:
            raise Impossible("the service keeps no modified time")
        self.save("file", b"first")
        before = self.storage.get_modified_time("file")
        self.save("file", b"second")
        self.assertGreaterEqual(self.storage.get_modified_time("file"), before)

    @item(25)
    def test_shorter_content_leaves_no_tail_of_the_longer(self) -> None:
        for longer in (10, 100_000, self.large_size + 1):
            with self.subTest(longer=longer):
                self.save("file", random_bytes(longer))
                self.save("file", b"shorter")
                self.assert_stored("file", b"shorter")
                self.assertEqual(self.read("file"), b"shorter")
                self.assertEqual(self.storage.size("file"), 7)

    @item(30)
    def test_readers_see_old_or_new_content_while_a_file_is_overwritten(self) -> None:
        contents = [bytes([65 + index]) * 200_000 for index in range(4)]
        self.save("file", contents[0])
        with Reader(self.make_storage(file_overwrite=True), "file") as reader:
            for number in itertools.count():
                self.save("file", contents[number % 4])
                if number >= OVERWRITES and reader.has_enough:
                    break
        self.assertEqual(reader.missed, [])
        self.assertGreaterEqual(len(reader.found), READS)
        for found in reader.found:
            self.assertTrue(found in contents, f"{len(found)} bytes: {sorted(set(found))}")

    @item(30)
    def test_file_keeps_its_content_until_the_new_one_is_there_whole(self) -> None:
        raw = self.raw()
        for size in (100_000, self.large_size + 1):
            with self.subTest(size=size):
                self.save("file", b"old")
                seen: list[bytes | None] = []
                source = Interrupted(random_bytes(size), partial(look, raw, seen), after=size // 2)
                self.storage.save("file", File(source, "file"))
                for content in seen:
                    self.assert_same(content, b"old")
                self.assert_stored("file", source.getvalue())

    @item(31)
    def test_failed_overwrite_leaves_the_file_as_it_was(self) -> None:
        self.save("file", b"old")
        with self.assertRaises(EOFError):
            self.storage.save("file", failing(100_000, EOFError("no more"), can_seek=True))
        self.assert_stored("file", b"old")
        self.assertEqual(self.read("file"), b"old")
        self.assertEqual(self.storage.size("file"), 3)


class Reader(Thread):
    """Reads a file again and again during a ``with`` block, and keeps what it found."""

    def __init__(self, storage: Storage, name: str) -> None:
        super().__init__()
        self.storage = storage
        self.name_read = name
        self.stopped = Event()
        self.found: list[bytes] = []
        self.missed: list[Exception] = []
        self.failed = 0

    @property
    def has_enough(self) -> bool:
        """Return True if there is no use in more overwriting."""
        useless = bool(self.missed) or self.failed >= FAILURES or not self.is_alive()
        return useless or len(self.found) >= READS

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stopped.set()
        self.join()

    def run(self) -> None:
        with own_connections():
            while not self.stopped.is_set():
                self.read()

    def read(self) -> None:
        """Read once; an error for a file replaced while it was read is no missing file."""
        try:
            with self.storage.open(self.name_read) as file:
                self.found.append(file.read())
        except FileNotFoundError as exc:
            self.missed.append(exc)
        except OSError:
            self.failed += 1


def look(raw: RawStore, seen: list[bytes | None]) -> None:
    """Note what the raw store holds as "file"."""
    seen.append(raw.get("file"))


def save_at_once(storage: Storage, contents: list[bytes]) -> list[str]:
    """Save contents under one name, each when all have chosen a name; return the names."""
    barrier = Barrier(len(contents))
    return in_threads(
        len(contents),
        lambda index: storage.save("file.txt", meeting(contents[index], barrier)),
    )


def save_share(contents: list[bytes], storage: Storage, process: int) -> list[str]:
    """Save one process's share of the contents at once; return the names."""
    count = len(contents) // PROCESSES
    return save_at_once(storage, contents[process * count : (process + 1) * count])


def insist(name: str) -> Any:
    """Return a method that says one name alone is free, until it was asked too often."""
    left = iter(range(TRIES))

    def get_available_name(_storage: Storage, _name: str, **_options: Any) -> str:
        if next(left, None) is None:
            raise AssertionError(f"a save asked for a free name {TRIES} times")
        return name

    return get_available_name
