"""Items 76 to 88: what exists, sizes, times, and deleting."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import ClassVar, Final

from django.core.files.storage import Storage
from django.test import override_settings
from django.utils import timezone

from .case import ContractCase, Impossible, NotTried, item
from .parallel import in_threads

CLOCK_SLACK: Final = timedelta(seconds=2)  # what two clocks may differ by
DELETED: Final = 20  # directories that threads delete


class LookupContract(ContractCase):
    """Items 76 to 88."""

    #: What the service rounds times to.
    time_precision: ClassVar[timedelta] = timedelta(seconds=1)
    #: As `has_modified_time`.
    has_created_time: ClassVar[bool] = True
    has_accessed_time: ClassVar[bool] = True

    def make_denied(self) -> Storage:
        """Return a storage on this test's root whose account the service refuses."""
        raise NotTried("no make_denied()")

    # -- exists -----------------------------------------------------------------------------------

    @item(76)
    def test_file_exists_from_its_save_to_its_deletion(self) -> None:
        self.assertIs(self.storage.exists("dir/a.txt"), False)
        self.save("dir/a.txt")
        self.assertIs(self.storage.exists("dir/a.txt"), True)
        self.storage.delete("dir/a.txt")
        self.assertIs(self.storage.exists("dir/a.txt"), False)

    @item(76)
    def test_file_of_another_client_exists(self) -> None:
        self.raw().put("dir/a.txt", b"content")
        self.assertTrue(self.storage.exists("dir/a.txt"))
        self.assertFalse(self.storage.exists("dir/a"))

    @item(77)
    def test_exists_raises_when_the_server_is_away(self) -> None:
        with self.assertRaises(OSError) as raised:
            self.make_unreachable().exists("a.txt")
        self.assertNotIsInstance(raised.exception, FileNotFoundError)

    @item("77b")
    def test_exists_raises_when_access_is_denied(self) -> None:
        self.save("a.txt")
        with self.assertRaises(PermissionError):
            self.make_denied().exists("a.txt")

    @item(78)
    def test_directory_with_files_exists(self) -> None:
        self.save("dir/sub/a.txt")
        for name in ("dir", "dir/", "dir/sub"):
            with self.subTest(name=name):
                self.assertIs(self.storage.exists(name), True)
        for name in ("di", "dir/su", "dir/sub/a", "ir"):
            with self.subTest(name=name):
                self.assertIs(self.storage.exists(name), False)

    # -- delete -----------------------------------------------------------------------------------

    @item(79)
    def test_deleting_a_missing_file_is_no_error(self) -> None:
        self.storage.delete("missing.txt")
        self.storage.delete("missing/directory/a.txt")

    @item(79)
    def test_deleting_twice_is_no_error(self) -> None:
        self.save("a.txt")
        self.storage.delete("a.txt")
        self.storage.delete("a.txt")

    @item(79)
    def test_deleting_nothing_is_a_value_error(self) -> None:
        self.save("a.txt")
        for name in ("", None):
            with self.subTest(name=name), self.assertRaises(ValueError):
                self.storage.delete(name)  # type: ignore[arg-type]
        self.assert_stored("a.txt", b"content")

    @item(80)
    def test_delete_raises_when_the_server_is_away(self) -> None:
        with self.assertRaises(OSError) as raised:
            self.make_unreachable().delete("a.txt")
        self.assertNotIsInstance(raised.exception, FileNotFoundError)

    @item("80b")
    def test_delete_raises_when_access_is_denied(self) -> None:
        self.save("a.txt")
        with self.assertRaises(PermissionError):
            self.make_denied().delete("a.txt")
        self.assert_stored("a.txt", b"content")

    @item(81)
    def test_delete_removes_no_sibling_that_begins_alike(self) -> None:
        siblings = ("dir/a.txt.bak", "dir/a.tx", "dir/a", "dir2/a.txt", "a.txt", "dir/b/a.txt")
        for name in ("dir/a.txt", *siblings):
            self.save(name)
        self.storage.delete("dir/a.txt")
        self.assertEqual(set(self.raw().names()), set(siblings))

    @item(81)
    def test_delete_of_a_directory_removes_no_file_in_it(self) -> None:
        self.save("dir/a.txt")
        for name in ("dir", "dir/"):
            # A service with directories of its own may say that this one is not empty.
            with self.subTest(name=name), suppress(OSError):
                self.storage.delete(name)
        self.assert_stored("dir/a.txt", b"content")

    @item("79b")
    def test_threads_may_delete_one_directory_at_once(self) -> None:
        if not self.has_directories:
            raise Impossible("directories are what keys imply")
        names = [f"dir{number}" for number in range(DELETED)]
        for name in names:
            self.save(f"{name}/a.txt")
            self.storage.delete(f"{name}/a.txt")

        def delete(_index: int) -> None:
            for name in names:
                self.storage.delete(name)

        in_threads(4, delete)
        self.assertEqual([name for name in names if self.storage.exists(name)], [])

    @item(82)
    def test_name_is_free_at_once_after_a_deletion(self) -> None:
        for content in (b"first", b"second", b"third"):
            self.assertEqual(self.save("dir/a.txt", content, self.unique), "dir/a.txt")
            self.assertEqual(self.read("dir/a.txt"), content)
            self.unique.delete("dir/a.txt")
        self.assertEqual(list(self.raw().names()), [])

    # -- size -------------------------------------------------------------------------------------

    @item(83)
    def test_size_counts_bytes(self) -> None:
        for content in (b"", b"x", "é漢".encode(), b"\r\n" * 50_000):
            with self.subTest(size=len(content)):
                name = self.save("a.bin", content)
                self.assertEqual(self.storage.size(name), len(content))

    @item(83)
    def test_size_of_a_missing_file_is_an_error(self) -> None:
        for name in ("missing.txt", "missing/a.txt"):
            with self.subTest(name=name), self.assertRaises(FileNotFoundError):
                self.storage.size(name)

    @item(84)
    def test_size_of_what_compresses_well_is_what_is_stored(self) -> None:
        for name in ("a.css", "a.svg", "a.json", "a.txt"):
            with self.subTest(name=name):
                self.save(name, b"body { color: red }\n" * 5000)
                stored = self.raw().get(name)
                assert stored is not None
                self.assertEqual(self.storage.size(name), len(stored))

    # -- times ------------------------------------------------------------------------------------

    @item(85)
    def test_modified_time_is_aware_and_in_utc_with_use_tz(self) -> None:
        self.need_modified_time()
        with override_settings(USE_TZ=True):
            moment = self.assert_about_now(self.storage.get_modified_time)
        self.assertEqual(moment.utcoffset(), timedelta(0))

    @item(85)
    def test_modified_time_is_naive_and_local_without_use_tz(self) -> None:
        self.need_modified_time()
        with override_settings(USE_TZ=False):
            moment = self.assert_about_now(self.storage.get_modified_time)
        self.assertTrue(timezone.is_naive(moment))

    @item("85b")
    def test_modified_time_is_newer_after_overwriting(self) -> None:
        self.need_modified_time()
        if True not in self.modes:
            raise Impossible("it never overwrites")
        self.save("a.txt", b"before")
        before = self.storage.get_modified_time("a.txt")
        end = time.monotonic() + (self.time_precision + CLOCK_SLACK).total_seconds()
        # Some services write nothing where the content is the same.
        while (now := time.monotonic()) < end and (
            self.storage.get_modified_time("a.txt") == before
        ):
            self.save("a.txt", b"after %f" % now)
        self.assertGreater(self.storage.get_modified_time("a.txt"), before)

    @item(86)
    def test_time_zone_of_the_process_may_differ_from_the_setting(self) -> None:
        self.need_modified_time()
        for zone in ("Asia/Tokyo", "America/St_Johns"):
            with self.subTest(zone=zone), process_zone(zone):
                self.assert_right_in_both_modes(self.storage.get_modified_time)

    @item(86)
    def test_times_are_right_on_both_sides_of_a_change_of_the_clock(self) -> None:
        self.need_modified_time()
        for zone in zones_about_a_change(datetime.now(UTC)):
            with self.subTest(zone=zone), process_zone(zone):
                self.assert_right_in_both_modes(self.storage.get_modified_time)

    @item(87)
    def test_created_time_is_right_or_not_implemented(self) -> None:
        self.assert_time_as_declared(self.has_created_time, self.storage.get_created_time)

    @item(87)
    def test_accessed_time_is_right_or_not_implemented(self) -> None:
        self.assert_time_as_declared(self.has_accessed_time, self.storage.get_accessed_time)

    @item(88)
    def test_modified_time_of_a_missing_file_is_an_error(self) -> None:
        for name in ("missing.txt", "missing/a.txt"):
            with self.subTest(name=name), self.assertRaises(FileNotFoundError):
                self.storage.get_modified_time(name)

    @item(88)
    def test_other_times_of_a_missing_file_are_errors(self) -> None:
        for read in (self.storage.get_created_time, self.storage.get_accessed_time):
            with self.assertRaises((FileNotFoundError, NotImplementedError)):
                read("missing.txt")

    # -- checks -----------------------------------------------------------------------------------

    def need_modified_time(self) -> None:
        """Declare a test impossible where the service keeps no modified time, and says so."""
        if not self.has_modified_time:
            self.assert_time_as_declared(False, self.storage.get_modified_time)
            raise Impossible("the service keeps no modified time")

    def assert_about_now(self, read: Callable[[str], datetime]) -> datetime:
        """Save a file; fail unless a time of it lies between before and after, both included."""
        slack = self.time_precision + CLOCK_SLACK
        before = datetime.now(UTC) - slack
        name = self.save("a.txt")
        after = datetime.now(UTC) + slack
        moment = read(name)
        # A naive time is of the zone of the process, where an hour in autumn comes twice.
        moments = [moment.replace(fold=fold).astimezone(UTC) for fold in (0, 1)]
        self.assertTrue(any(before <= each <= after for each in moments), f"{moment} is not now")
        return moment

    def assert_right_in_both_modes(self, read: Callable[[str], datetime]) -> None:
        """Fail unless a time is right with USE_TZ and without."""
        for use_tz in (True, False):
            with self.subTest(use_tz=use_tz), override_settings(USE_TZ=use_tz):
                self.assertEqual(timezone.is_aware(self.assert_about_now(read)), use_tz)

    def assert_time_as_declared(self, has_time: bool, read: Callable[[str], datetime]) -> None:
        """Fail unless a time is right where the service keeps it, and is refused where not."""
        if has_time:
            self.assert_right_in_both_modes(read)
            return
        name = self.save("a.txt")
        with self.assertRaises(NotImplementedError):
            read(name)


@contextmanager
def process_zone(zone: str) -> Iterator[None]:
    """Put this process into a time zone that the setting ``TIME_ZONE`` does not know of."""
    if not hasattr(time, "tzset"):
        raise Impossible("this system cannot change the time zone of a process")
    before = os.environ.get("TZ")
    try:
        os.environ["TZ"] = zone
        time.tzset()
        yield
    finally:
        os.environ.pop("TZ")
        if before is not None:
            os.environ["TZ"] = before
        time.tzset()


def zones_about_a_change(now: datetime) -> Iterator[str]:
    """Yield zones, as in the variable TZ, whose daylight saving begins or ends around ``now``.

    The POSIX form counts days from 0 and gives the moment in the time before the change.
    """
    for offset in (timedelta(minutes=-30), timedelta(minutes=30)):
        change = now + offset
        begins, ends = change + timedelta(hours=1), change + timedelta(hours=2)
        yield f"STD-1DST-2,{day_and_time(begins)},{day_and_time(begins + timedelta(days=90))}"
        yield f"STD-1DST-2,{day_and_time(ends - timedelta(days=90))},{day_and_time(ends)}"


def day_and_time(moment: datetime) -> str:
    """Write a moment as the variable TZ has it, to the second."""
    return f"{moment.timetuple().tm_yday - 1}/{moment:%H:%M:%S}"
