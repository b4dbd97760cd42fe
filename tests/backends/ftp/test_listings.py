"""Listings as FTP servers write them, and the names, sizes and times that are in them."""

from __future__ import annotations

from datetime import UTC, datetime
from ftplib import error_proto

import pytest

from storages.backends._ftp.listings import parse_facts, parse_list, parse_time
from storages.driver import Entry

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def file(size: int, *moment: int) -> Entry:
    return Entry(size, datetime(*moment, tzinfo=UTC))  # type: ignore[arg-type, misc]


def directory(*moment: int) -> Entry:
    return Entry(0, datetime(*moment, tzinfo=UTC), is_directory=True)  # type: ignore[arg-type, misc]


UNIX = {
    "-rw-r--r--   1 ftp  ftp   1234 Feb 28 09:15 a.txt": ("a.txt", file(1234, 2026, 2, 28, 9, 15)),
    "-rw-r--r--   1 ftp  ftp   1234 Mar  2 11:00 a.txt": ("a.txt", file(1234, 2026, 3, 2, 11)),
    "-rw-r--r--   1 ftp  ftp   1234 Mar  2 13:00 a.txt": ("a.txt", file(1234, 2025, 3, 2, 13)),
    "-rw-r--r--   1 ftp  ftp   234 Dec 31 23:59 a.txt": (
        "a.txt",
        file(234, 2025, 12, 31, 23, 59),
    ),
    "-rw-r--r--   1 ftp  ftp   1234 Feb 29 00:00 a.txt": ("a.txt", file(1234, 2024, 2, 29)),
    "-rw-r--r--   1 ftp  ftp   1234 Feb 29  2020 a.txt": ("a.txt", file(1234, 2020, 2, 29)),
    "-rw-r--r--   1 ftp  ftp      0 Jan  1  1970 a b.txt": ("a b.txt", file(0, 1970, 1, 1)),
    "-rw-r--r--   1 ftp  ftp      5 Jan  1  1970   two  spaces ": (
        "  two  spaces ",
        file(5, 1970, 1, 1),
    ),
    "-rw-r--r--   1 ftp  ftp      5 Jan  1  1970 5 Feb 28 09:15 x": (
        "5 Feb 28 09:15 x",
        file(5, 1970, 1, 1),
    ),
    "-rw-r--r--   1 ftp  ftp      5 Jan  1  1970 a -> b": ("a -> b", file(5, 1970, 1, 1)),
    "-rw-r--r--+  1 1001 Domain Users 5 Jan  1  1970 a": ("a", file(5, 1970, 1, 1)),
    "-rw-r--r--   1 1001 5 Jan  1  1970 a": ("a", file(5, 1970, 1, 1)),
    "-rw-r--r--.  1 ftp ftp 5 2020-02-29 09:15 a": ("a", file(5, 2020, 2, 29, 9, 15)),
    "-rwsr-xr-t   1 ftp ftp 4294967297 Jan  1  1970 a": ("a", file(4294967297, 1970, 1, 1)),
    "-rw-r--r--   1 ftp ftp 5 Foo 99 09:15 a": ("a", Entry(5)),
    "drwxr-xr-x   3 ftp  ftp   4096 Jan  1  1970 my files": ("my files", directory(1970, 1, 1)),
    "drwxr-xr-x   3 ftp  ftp   4096 Jan  1  1970 .": (".", directory(1970, 1, 1)),
    "crw-rw-rw-   1 root root 1, 3 Jan  1  1970 null": ("null", file(3, 1970, 1, 1)),
    "lrwxrwxrwx   1 ftp ftp 6 Jan  1  1970 a -> target": ("a", None),
    "lrwxrwxrwx   1 ftp ftp 1 Jan  1  1970 a -> b -> c": ("a -> b", None),
    "lrwxrwxrwx   1 ftp ftp 6 Jan  1  1970 a -> b -> c": ("a", None),
    "lrwxrwxrwx   1 ftp ftp 0 Jan  1  1970 a -> b -> c": ("a", None),
}

DOS = {
    "02-23-05  09:24PM       <DIR>          my files": ("my files", directory(2005, 2, 23, 21, 24)),
    "02-23-05  12:24AM       <DIR>           leading": (" leading", directory(2005, 2, 23, 0, 24)),
    "02-23-2005  12:24PM               1234 a b.txt": ("a b.txt", file(1234, 2005, 2, 23, 12, 24)),
    "02-23-98  01:24AM                  1234 a.txt": ("a.txt", file(1234, 1998, 2, 23, 1, 24)),
    "02-23-98  01:24AM                  1234  a.txt": (" a.txt", file(1234, 1998, 2, 23, 1, 24)),
    "2020-02-29  21:24               1234 a.txt": ("a.txt", file(1234, 2020, 2, 29, 21, 24)),
    "02-30-98  01:24AM                  1234 a.txt": ("a.txt", Entry(1234)),
}

FACTS = {
    "type=file;size=5;modify=20200229091500; a.txt": ("a.txt", file(5, 2020, 2, 29, 9, 15)),
    "Type=FILE;Size=5;Modify=20200229091500.250;  a b ": (
        " a b ",
        file(5, 2020, 2, 29, 9, 15, 0, 250_000),
    ),
    "type=dir;modify=20200229091500; d;x=y": ("d;x=y", directory(2020, 2, 29, 9, 15)),
    "type=cdir;modify=20200229091500; .": (".", directory(2020, 2, 29, 9, 15)),
    "type=file;size=5;unique=fe00g3142b3; a": ("a", Entry(5, etag="fe00g3142b3")),
    "type=file;size=5;create=20200229091500; a": (
        "a",
        Entry(5, created=datetime(2020, 2, 29, 9, 15, tzinfo=UTC)),
    ),
    "type=file;size=5;modify=yesterday; a": ("a", Entry(5)),
    "type=file;modify=20200229091500; a": ("a", None),
    "type=file;size=-5; a": ("a", None),
    "type=file;size=5;unix.mode=0777; a": ("a", None),
    "type=OS.unix=slink:/target;size=5; a": ("a", None),
    "type=OS.unix=symlink;size=5; a": ("a", None),
}


@pytest.mark.parametrize("line", [*UNIX, *DOS])
def test_line_of_a_listing_is_understood(line: str) -> None:
    name, entry = (UNIX | DOS)[line]
    assert parse_list([line], NOW) == {name: entry}


def test_lines_that_are_no_entries_are_left_out() -> None:
    assert parse_list(["total 12", "", *list(UNIX)[:1]], NOW) == dict([next(iter(UNIX.values()))])


@pytest.mark.parametrize(
    "line",
    [
        "+i8388621.29609,m824255902,/,\tdev",
        "a.txt",
        "-rw-r--r-- 1 ftp ftp Jan  1  1970 without size",
        "-rw-r--r-- 1 ftp ftp 5 Jan  1  1970 ",
        "??????????? ? ? ? ? ? a",
        "{}",
    ],
)
def test_line_of_an_unknown_kind_is_an_error(line: str) -> None:
    with pytest.raises(error_proto):
        parse_list([line], NOW)


@pytest.mark.parametrize("line", FACTS)
def test_facts_are_understood(line: str) -> None:
    assert parse_facts(line) == FACTS[line]


@pytest.mark.parametrize("text", ["", "2020", "20201301000000", "19100229091500x", "²⁰²⁰"])
def test_time_that_is_none_is_none(text: str) -> None:
    assert parse_time(text) is None
