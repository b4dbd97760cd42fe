"""Listings as FTP servers write them, and the names, sizes and times that are in them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from storages.backends._ftp.errors import Refusal
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
    "crw-rw-rw-   1 root root 1, 3 Jan  1  1970 null": ("null", None),
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


def test_name_that_ls_could_not_look_at_is_asked_for() -> None:
    # As GNU's ls prints it, with and without the owner, where a file went away meanwhile.
    gone = "/bin/ls: cannot access 'b c': No such file or directory"
    for line in ("-????????? ? ? ?            ? b c", "-????????? ? ? ? ?            ? b c"):
        assert parse_list([gone, "total 0", line], NOW) == {"b c": None}
    with pytest.raises(Refusal, match="could not list"):
        parse_list([gone], NOW)


def test_name_of_which_ls_says_alone_that_it_is_gone_is_left_out() -> None:
    line, (name, entry) = next(iter(UNIX.items()))
    for gone in ("b c", "ls: b c", "/bin/ls: ./b c"):
        assert parse_list([f"{gone}: No such file or directory", line], NOW) == {name: entry}
        # Or else it is the directory that is gone.
        with pytest.raises(Refusal, match="could not list"):
            parse_list([f"{gone}: No such file or directory"], NOW)


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
    with pytest.raises(Refusal):
        parse_list([line], NOW)


@pytest.mark.parametrize("line", FACTS)
def test_facts_are_understood(line: str) -> None:
    assert parse_facts(line) == FACTS[line]


@pytest.mark.parametrize(
    "text",
    ["", "2020", "191010101120000", "20200229091500Z", "20201301000000", "19100229091500x", "²⁰²⁰"],
)
def test_time_that_is_none_is_none(text: str) -> None:
    assert parse_time(text) is None


#: One line, or more, of each format in the public collections (D. J. Bernstein's ftpparse,
#: FileZilla's and Apache Commons Net's tests): name, size and kind, or None where it raises.
FORMATS: dict[str, tuple[str, tuple[str, int, bool] | None]] = {
    "Unix": (
        "-rw-r--r--   1 root     other        531 Jan 29 03:26 README",
        ("README", 531, False),
    ),
    "Unix, old": (
        "dr-xr-xr-x   2 root     other        512 Apr  8  1994 etc",
        ("etc", 0, True),
    ),
    "Unix, no group": ("dr-xr-xr-x   2 root     512 Apr  8  1994 etc", ("etc", 0, True)),
    "Unix, numeric owner": ("-rw-r--r-- 1 1001 1001 7 Jan 25 00:17 a", ("a", 7, False)),
    "Unix, spaces in group": (
        "-rw-r--r-- 1 bob domain users 7 Jan 25 00:17 a",
        ("a", 7, False),
    ),
    "Unix, ACL": ("-rw-r--r--+ 1 bob bob 7 Jan 25 00:17 a", ("a", 7, False)),
    "Unix, ISO times": ("-rw-r--r-- 1 bob bob 7 2020-02-29 09:15 a", ("a", 7, False)),
    "Unix, full times": ("-rw-r--r-- 1 b b 7 2020-02-29 09:15:33.000000000 +0000 a", None),
    "Unix, times with a zone": ("-rw-r--r-- 1 b b 7 2020-02-29 09:15:33 +0000 a", None),
    "Unix, day before month": ("-rw-r--r-- 1 root other 531 29 Jan 03:26 README", None),
    "Unix, German": ("-rw-r--r-- 1 root other 531 26. Jul 00:34 README", None),
    "Unix, Japanese": ("-rw-r--r-- 1 root other 2 4月 1日 15:00 a", None),
    "Unix, sizes with units": ("-rw-r--r-- 1 root other 5.2K Jan 29 03:26 README", None),
    "NetWare by Hethmon": (
        "----------   1 owner    group         1803128 Jul 10 10:18 ls-lR.Z",
        ("ls-lR.Z", 1803128, False),
    ),
    "WFTPD": (
        "-rwxrwxrwx   1 noone    nogroup      322 Aug 19  1996 message.ftp",
        ("message.ftp", 322, False),
    ),
    "NetPresenz, file": (
        "-------r--         326  1391972  1392298 Nov 22  1995 MegaPhone.sit",
        ("MegaPhone.sit", 1392298, False),
    ),
    "NetPresenz, directory": (
        "drwxrwxr-x               folder        2 May 10  1996 network",
        ("network", 0, True),
    ),
    "DOS, directory": ("04-27-00  09:09PM       <DIR>          licensed", ("licensed", 0, True)),
    "DOS, file": (
        "04-14-00  03:47PM                  589 readme.htm",
        ("readme.htm", 589, False),
    ),
    "IIS, years of four digits": (
        "04-14-2000  03:47PM                  589 readme.htm",
        ("readme.htm", 589, False),
    ),
    "DOS, sizes with commas": ("04-14-00  03:47PM                1,589 readme.htm", None),
    "Unix, seconds and year": ("-rw-r--r-- 1 root wheel 531 Jan 29 03:26:11 2020 README", None),
    "Unix, several group words": (
        "-rw-r--r-- 1 bob (domain users) 531 Jan 29 03:26 READ ME",
        ("READ ME", 531, False),
    ),
    "Unix, SELinux": ("drwxr-xr-x. 2 root root 6 Jan 29 03:26 etc", ("etc", 0, True)),
    "Unix, total in German": ("insgesamt 12", None),
    "Unix, numbers for names": (
        "drwxr-xr-x    2 1001     1001         4096 Feb 25 19:03 2019 01",
        ("2019 01", 0, True),
    ),
    "Unix, no name for the owner": (
        "drwxr-xr-x 2 1001 4096 Feb 25 19:03 in",
        ("in", 0, True),
    ),
    "IIS, 24 hours": ("05-30-16  14:30                   52 File.txt", ("File.txt", 52, False)),
    "IIS, 24 hours, directory": (
        "05-30-16  14:00       <DIR>          Network",
        ("Network", 0, True),
    ),
    "Windows, junction": ("05-30-16  02:00PM    <JUNCTION>     here [C:\\there]", None),
    "Windows, link": ("05-30-16  02:00PM    <SYMLINKD>     here [C:\\there]", None),
    "EPLF, directory": ("+i8388621.29609,m824255902,/,\tdev", None),
    "EPLF, file": ("+i8388621.44468,m839956783,r,s10376,\tRFCEPLF", None),
    "VMS, refused": (
        "ACCT.DIR;1  %RMS-E-PRV, insufficient privilege or file protection violation",
        None,
    ),
    "VMS, first line": ("Directory DISK$USER:[SMITH]", None),
    "VMS, second line of a long name": (
        "                 213/216  29-JAN-1996 03:33:12  [A,B]   (RWED,RWED,,)",
        None,
    ),
    "MVS, on tape": ("V43525 Tape                                             SOME.TAPE", None),
    "OS/400, library": ("QPGMR          135168 07/12/06 07:18:34 *FILE      EMPLOYEE", None),
    "NetWare, as Unix": (
        "d---------   1 supervisor  512 Jan 16 18:53 login",
        ("login", 0, True),
    ),
    "VMS, MultiNet": ("00README.TXT;1      2 30-DEC-1996 17:44 [SYSTEM] (RWED,RWED,RE,RE)", None),
    "VMS, directory": ("CORE.DIR;1          1  8-SEP-1996 16:09 [SYSTEM] (RWE,RWE,RE,RE)", None),
    "VMS": (
        "CII-MANUAL.TEX;1  213/216  29-JAN-1996 03:33:12  [ANONYMOU,ANONYMOUS]   (RWED,RWED,,)",
        None,
    ),
    "MVS, header": ("Volume Unit    Referred Ext Used Recfm Lrecl BlkSz Dsorg Dsname", None),
    "MVS, data set": ("WYOSPT 3420   2003/05/21  1  200  FB      80  8053  PS  48-MVS.FILE", None),
    "MVS, migrated": ("Migrated                                                SOME.FILE", None),
    "MVS, member": (
        "D40      01.00 2002/09/12 2002/10/11 09:37    11    11     0 KIL001",
        None,
    ),
    "OS/400, directory": ("QSYS           77824 02/23/00 15:09:55 *DIR       foo/", None),
    "OS/400, file": ("QSYS              35 02/23/00 15:09:55 *STMF      a.txt", None),
    "OS/2, file": ("    73098      A          04-06-97   15:15  ds0.internic1.zip", None),
    "OS/2, directory": ("     0           DIR   01-17-98   10:32  ETC", None),
    "NetWare, directory": (
        "d [R----F--] supervisor            512       Jan 16 18:53    login",
        None,
    ),
    "NetWare, file": ("- [R----F--] rhesus             214059       Oct 20 15:27    cx.exe", None),
    "VxWorks": ("     2048    Dec-12-1996  15:18:00   subdir  <DIR>", None),
    "z/VM": (
        "README   TEXT     V         71         26          1 1997-04-02 12:33:20 TCP291",
        None,
    ),
    "Tandem": ('IARPTS        101          16354 18-Mar-09 15:09:12 244, 10 "nnnn"', None),
}


@pytest.mark.parametrize("form", FORMATS)
def test_formats_of_the_public_collections_are_right_or_raise(form: str) -> None:
    line, expected = FORMATS[form]
    if expected is None:
        with pytest.raises(Refusal):
            parse_list([line], NOW)
        return
    (name, entry), *others = parse_list([line], NOW).items()
    assert entry is not None
    assert not others
    assert (name, entry.size, entry.is_directory) == expected


@pytest.mark.parametrize("line", ["", "500", "a.txt", "-rw-r--r-- 1 ftp ftp 5 Jan  1  1970 a"])
def test_lines_that_are_no_facts_raise(line: str) -> None:
    with pytest.raises(Refusal):
        parse_facts(line)
