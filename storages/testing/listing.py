"""Items 89 to 97: what listings hold."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count, takewhile
from pathlib import Path
from threading import Event
from typing import Any, ClassVar, Final

from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from .case import Impossible, NotTried, item
from .names import OddNames, in_directories
from .parallel import in_threads
from .spellings import COMMANDS, PUNCTUATION, SCRIPTS

MANY: Final = 2500  # files in one directory: more than two pages of any service
PLANTERS: Final = 8  # threads
STAYING: Final = 150  # files in a directory in which others come and go
LISTINGS: Final = 20  # of it meanwhile


class ListingContract(OddNames):
    """Items 89 to 97."""

    #: Files of a listing of more than two pages, of the storages that `make_paged` and
    #: `make_interrupted` return.
    paged: ClassVar[int] = MANY

    def plant_many(self, names: Iterable[str]) -> None:
        """Plant small files past the backend, as fast as the service allows."""
        raw = self.raw()
        with ThreadPoolExecutor(PLANTERS) as pool:
            list(pool.map(lambda name: raw.put(name, b"x"), names))

    def make_paged(self) -> Storage:
        """Return a storage whose listings of ``paged`` names have several pages."""
        return self.storage

    def make_interrupted(self, change: Callable[[], None]) -> Storage:  # noqa: ARG002
        """Return a storage that calls ``change`` between two pages of its next listing."""
        raise NotTried("no make_interrupted()")

    @item(89)
    def test_listing_has_base_names_of_directories_and_files(self) -> None:
        for name in ("a.txt", "b", "dir/c.txt", "dir/d.txt", "dir2/sub/e.txt"):
            self.save(name)
        self.assert_lists("", ["dir", "dir2"], ["a.txt", "b"])
        self.assert_lists("dir", [], ["c.txt", "d.txt"])
        self.assert_lists("dir2", ["sub"], [])

    @item(89)
    def test_listing_is_a_pair_of_lists(self) -> None:
        self.save("dir/a.txt")
        found = self.storage.listdir("")
        self.assertIsInstance(found, tuple)
        self.assertEqual([type(each) for each in found], [list, list])

    @item(89)
    def test_root_has_two_names(self) -> None:
        self.save("dir/a.txt")
        self.save("b.txt")
        for name in ("", ".", "./"):
            with self.subTest(name=name):
                self.assert_lists(name, ["dir"], ["b.txt"])

    @item("89b")
    def test_slash_is_the_root(self) -> None:
        self.save("dir/a.txt")
        self.assert_lists("/", ["dir"], [])

    @item(89)
    def test_empty_root_lists_as_empty(self) -> None:
        self.assert_lists("", [], [])

    @item(89)
    def test_listing_shows_what_other_clients_did(self) -> None:
        self.raw().put("dir/a.txt", b"content")
        self.assert_lists("", ["dir"], [])
        self.assert_lists("dir", [], ["a.txt"])

    @item(90)
    def test_directory_is_the_same_with_a_slash_at_its_end(self) -> None:
        for name in ("a/b/c/d.txt", "a/b/e.txt"):
            self.save(name)
        for name, expected in (("a", (["b"], [])), ("a/b", (["c"], ["e.txt"]))):
            for spelling in (name, f"{name}/"):
                with self.subTest(name=spelling):
                    self.assert_lists(spelling, *expected)

    @item(91)
    def test_directory_of_many_keys_is_listed_once(self) -> None:
        for number in range(20):
            self.save(f"dir/sub{number % 2}/{number}.txt")
        self.assert_lists("", ["dir"], [])
        self.assert_lists("dir", ["sub0", "sub1"], [])

    @item(91)
    def test_marker_of_an_empty_directory_is_no_file(self) -> None:
        if self.has_directories:
            raise Impossible("directories are real, and need no marker")
        self.raw().put("dir/", b"")
        self.raw().put("dir/sub/", b"")
        self.assert_lists("", ["dir"], [])
        self.assert_lists("dir", ["sub"], [])
        self.assert_lists("dir/sub", [], [])

    @item(92)
    def test_directories_and_files_that_begin_alike_do_not_mix(self) -> None:
        for name in ("sub/a.txt", "sub.txt", "sub2/b.txt", "sub-c.txt", "su/d.txt"):
            self.save(name)
        self.assert_lists("sub", [], ["a.txt"])
        self.assert_lists("su", [], ["d.txt"])
        self.assert_lists("", ["su", "sub", "sub2"], ["sub-c.txt", "sub.txt"])

    @item(92)
    def test_directory_within_one_of_the_same_name_is_its_own(self) -> None:
        self.save("a/a/a/b.txt")
        self.save("a/c.txt")
        self.assert_lists("a", ["a"], ["c.txt"])
        self.assert_lists("a/a", ["a"], [])

    @item(93)
    def test_missing_directory_is_empty_or_an_error_where_directories_are_real(self) -> None:
        self.save("dir/a.txt")
        for name in ("missing", "dir/missing", "di"):
            with self.subTest(name=name):
                self.assert_lists_as_missing(name)

    @item(94)
    def test_files_of_several_pages_are_each_listed_once(self) -> None:
        self.storage = self.make_paged()
        names = [f"{number:04}.txt" for number in range(self.paged)]
        self.plant_many(f"many/{name}" for name in names)
        self.assert_lists("many", [], names)

    @item("94b")
    def test_directories_of_several_pages_are_each_listed_once(self) -> None:
        self.storage = self.make_paged()
        names = [f"{number:04}" for number in range(self.paged // 2)]
        self.plant_many(f"many/{name}/a.txt" for name in names)
        self.assert_lists("many", names, [])

    @item(95)
    def test_change_between_pages_loses_and_doubles_no_other_file(self) -> None:
        names = [f"{number:04}.txt" for number in range(self.paged)]

        def change() -> None:
            self.storage.delete(f"many/{names[0]}")
            self.save("many/0000-new.txt")
            self.save("many/9999-new.txt")

        storage = self.make_interrupted(change)
        self.plant_many(f"many/{name}" for name in names)
        _, files = storage.listdir("many")
        self.assertTrue(self.storage.exists("many/9999-new.txt"))
        self.assertEqual([name for name, count in Counter(files).items() if count > 1], [])
        self.assertEqual(set(names[1:]) - set(files), set())

    @item("95b")
    def test_listing_has_each_file_that_stays_while_others_come_and_go(self) -> None:
        # More than the buffer of a program that lists for a server, whose complaints go between.
        names = [f"{number:03}-stays.txt" for number in range(STAYING)]
        self.plant_many(f"many/{name}" for name in names)
        ended = Event()

        def job(index: int) -> list[list[str]]:
            if index:
                for number in takewhile(lambda _: not ended.is_set(), count()):
                    for directory in ("many", f"goes-{index}-{number}"):
                        name = f"{directory}/{index}-goes.txt"
                        self.storage.delete(self.storage.save(name, ContentFile(b"x")))
                    # Dropbox lets nobody remove a folder only if it is empty.
                    with suppress(IsADirectoryError):
                        self.storage.delete(directory)
                return []
            try:
                return [found for _ in range(LISTINGS) for found in self.listed_each_way("many")]
            finally:
                ended.set()

        found, *_ = in_threads(3, job)
        for files in found:
            # Each once, whatever else is there: Pure-FTPd renames by way of a name of its own.
            self.assertEqual(sorted(name for name in files if "stays" in name), names)

    @item("95c")
    def test_walk_of_a_place_that_goes_away_meanwhile_is_an_error(self) -> None:
        if not self.has_directories:
            raise Impossible("directories are what keys imply")
        root = self.local_directory()
        away = root.with_name(f"{root.name}-away")
        names = [f"{each}/1.txt" for each in "abc"]
        for name in names:
            self.save(name)
        # What was not listed yet is not gone because its place is: a directory that was renamed,
        # or a disk that was unmounted, which leaves an empty directory.
        for leaves in (False, True):
            with self.subTest(leaves=leaves):
                found: Any = self.storage.scan(recursive=True)  # type: ignore[attr-defined]
                self.assertEqual(next(found)[0], names[0])
                moved = [(each, away / each.name) for each in root.iterdir()]
                if leaves:
                    away.mkdir()
                else:
                    moved = [(root, away)]
                for source, target in moved:
                    source.rename(target)
                with self.assertRaises(OSError):
                    list(found)
                for source, target in moved:
                    target.rename(source)
        away.rmdir()

    def listed_each_way(self, directory: str) -> Iterator[list[str]]:
        """Yield the base names of a directory's files as `listdir` and a walk find them."""
        yield self.storage.listdir(directory)[1]
        if scan := getattr(self.storage, "scan", None):
            yield [posixpath.basename(name) for name, _ in scan(recursive=True)]

    @item(96)
    def test_odd_names_are_listed_as_they_were_saved(self) -> None:
        table = {**PUNCTUATION, **SCRIPTS, **COMMANDS}
        files = [name for label, name in table.items() if self.takes(label, name)]
        inside = [name for label, name in in_directories(table).items() if self.takes(label, name)]
        for name in files:
            self.save(f"files/{name}")
        for name in inside:
            self.save(f"directories/{name}")
        self.assert_lists("files", [], files)
        self.assert_lists("directories", [name.removesuffix("/x.txt") for name in inside], [])

    @item(131)
    def test_walk_finds_each_file_below_a_directory_once(self) -> None:
        scan = getattr(self.storage, "scan", None)
        if scan is None:
            raise Impossible("it has no scan()")
        for name in ("a.txt", "dir/b.txt", "dir/deep/c.txt", "dir.txt", "other/d.txt"):
            self.save(name, name.encode())
        found = list(scan("dir", recursive=True))
        self.assertEqual(
            sorted((name, entry.size) for name, entry in found),
            [("dir/b.txt", len("dir/b.txt")), ("dir/deep/c.txt", len("dir/deep/c.txt"))],
        )
        names = [name for name, _ in scan(recursive=True)]
        self.assertEqual(
            sorted(names), ["a.txt", "dir.txt", "dir/b.txt", "dir/deep/c.txt", "other/d.txt"]
        )

    @item(97)
    def test_dangling_links_and_pipes_do_not_break_listings(self) -> None:
        directory = self.local_directory()
        self.save("a.txt")
        (directory / "dangling").symlink_to(directory / "missing")
        os.mkfifo(directory / "pipe")
        _, files = self.storage.listdir("")
        self.assertIn("a.txt", files)
        self.assertEqual(len(files), len(set(files)))

    @item(97)
    def test_unreadable_entries_do_not_break_listings(self) -> None:
        directory = self.local_directory()
        self.save("a.txt")
        self.save("dir/b.txt")
        self.save("secret.txt")
        for name in ("dir", "secret.txt"):
            path = directory / name
            self.addCleanup(path.chmod, 0o700)
            path.chmod(0)
        self.assert_lists("", ["dir"], ["a.txt", "secret.txt"])

    def local_directory(self) -> Path:
        """Return where the storage keeps its files on this machine."""
        try:
            return Path(self.storage.path("a.txt")).parent
        except NotImplementedError as exc:
            raise Impossible("the files are not on this machine") from exc

    def assert_lists_as_missing(self, name: str) -> None:
        """Fail unless a missing directory is an error where there are any, else empty."""
        if self.has_directories:
            with self.assertRaises(FileNotFoundError):
                self.storage.listdir(name)
        else:
            self.assert_lists(name, [], [])

    def assert_lists(self, name: str, directories: list[str], files: list[str]) -> None:
        """Fail unless a listing has just these names, in any order."""
        found = self.storage.listdir(name)
        self.assertEqual((sorted(found[0]), sorted(found[1])), (sorted(directories), sorted(files)))
