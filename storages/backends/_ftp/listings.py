"""What FTP servers say of their files: facts (RFC 3659), and LIST lines of Unix and DOS kinds."""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from storages.driver import Entry
from storages.utils import shown

from .errors import Refusal

#: Names and what is known of them; None for a link, or a file of unknown size.
Listing = dict[str, Entry | None]

_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]

# Mode, links, owner and group, size, time. One space ends the time; what follows is the name's own.
_UNIX = re.compile(
    r"(?P<kind>[a-zA-Z-])[-\w]{9}\S*\s.*?\b(?P<size>\d+)\s+"
    r"(?:(?P<month>[A-Za-z]{3})\s+(?P<day>\d\d?)\s+(?:(?P<clock>\d\d?:\d\d)|(?P<year>\d{4}))"
    r"|(?P<iso>\d{4}-\d\d-\d\d \d\d:\d\d)(?::\d\d)?(?! [+-]\d{4} )) (?P<name>.+)"
)
#: GNU's ls on a name that is gone or closed when it looks: one line on errors, one in the list.
_UNSEEN = re.compile(r"[a-zA-Z-]\?{9}\s+(?:\?\s+){3,5}(?P<name>\S.*)")
_COMPLAINT = re.compile(r"(?:\S*/)?ls: cannot access '(?:.*/)?(?P<name>[^/]+)': .*")
#: BSD's ls, and the one in the server of GNU inetutils: one line alone.
_GONE = ": No such file or directory"
_DOS = re.compile(
    r"(?:(?P<month>\d\d)[-/](?P<day>\d\d)[-/](?P<year>\d{4}|\d\d)"
    r"|(?P<iso>\d{4}-\d\d-\d\d))\s+(?P<hour>\d\d?):(?P<minute>\d\d)\s?(?P<half>[AP]M)?\s+"
    r"(?:<(?P<kind>DIR)>(?: {10}|\s+)|(?P<size>\d+) )(?P<name>.+)"
)


# Some write 19104 for 2004: a digit more, which must not make another time of it.
_MOMENT = re.compile(r"[0-9]{14}(\.[0-9]*)?")


def parse_time(text: str) -> datetime | None:
    """Return a time of RFC 3659 section 2.3, aware; None where the text is none."""
    if not _MOMENT.fullmatch(text):
        return None
    fraction = int(f"{text[15:]:0<6}"[:6])
    try:
        return datetime(
            int(text[:4]),
            int(text[4:6]),
            int(text[6:8]),
            int(text[8:10]),
            int(text[10:12]),
            int(text[12:14]),
            fraction,
            tzinfo=UTC,
        )
    except ValueError:
        return None


def parse_facts(line: str) -> tuple[str, Entry | None]:
    """Return name and description of a line that MLST or MLSD gives (RFC 3659 section 7.2).

    Raises Refusal (EIO) for a line of another kind.
    """
    text, _, name = line.partition(" ")
    if not name or (text and "=" not in text):
        raise _unknown(line)
    facts = {}
    for fact in text.split(";"):
        key, _, value = fact.partition("=")
        facts[key.lower()] = value
    kind = facts.get("type", "file").lower()
    size = facts.get("size", "")
    is_directory = kind in {"dir", "cdir", "pdir"}
    # With all permissions it may be a link, whose own mode and size ProFTPD tells.
    is_known = (
        kind == "file" and size.isascii() and size.isdigit() and facts.get("unix.mode") != "0777"
    )
    if not (is_directory or is_known):
        return name, None
    return name, Entry(
        0 if is_directory else int(size),
        parse_time(facts.get("modify", "")),
        parse_time(facts["create"]) if "create" in facts else None,
        etag=facts.get("unique"),
        is_directory=is_directory,
    )


def parse_list(lines: Collection[str], now: datetime) -> Listing:
    """Read the answer to LIST; ``now`` tells the year of times without one.

    Raises Refusal (EIO) for a line of another kind: what it hides is not known.
    """
    found: Listing = {}
    unseen = set()
    for line in lines:
        if match := _UNIX.fullmatch(line):
            name, entry = _unix(match, now)
        elif match := _DOS.fullmatch(line):
            name, entry = match["name"], _dos(match)
        elif match := _UNSEEN.fullmatch(line):
            name, entry = match["name"], None
        elif match := _COMPLAINT.fullmatch(line):
            unseen.add(match["name"])
            continue
        elif not line.strip() or line.startswith("total ") or line.endswith(_GONE):
            continue
        else:
            raise _unknown(line)
        found[name] = entry
    if not unseen <= found.keys() or (not found and is_disturbed(lines)):
        raise Refusal(errno.EIO, "The FTP server could not list the directory")
    return found


def is_disturbed(lines: Iterable[str]) -> bool:
    """Return True if a name went away while LIST was at work: any line may be in two pieces then.

    The program that lists complains past its own buffer, so in the middle of a line.
    """
    return any(line.endswith(_GONE) for line in lines)


def _unknown(line: str) -> Refusal:
    return Refusal(
        errno.EIO, f"The FTP server's listing has a line of an unknown kind: {shown(line)}"
    )


def _unix(match: re.Match[str], now: datetime) -> tuple[str, Entry | None]:
    name, size = match["name"], int(match["size"])
    if match["kind"] == "l":
        return _link_name(name, size), None
    if match["kind"] not in "-d":
        # Of a device the numbers are no size.
        return name, None
    return name, _entry(match["kind"] == "d", size, _unix_time(match, now))


def _link_name(text: str, size: int) -> str:
    """Return what stands before the arrow; a link's size is the length of what stands behind."""
    arrow = len(text) - size - 4
    return text[:arrow] if text[arrow : arrow + 4] == " -> " else text.partition(" -> ")[0]


def _unix_time(match: re.Match[str], now: datetime) -> datetime | None:
    with suppress(ValueError):
        if match["iso"]:
            return datetime.fromisoformat(match["iso"]).replace(tzinfo=UTC)
        month, day = _MONTHS.index(match["month"].lower()) + 1, int(match["day"])
        if match["year"]:
            return datetime(int(match["year"]), month, day, tzinfo=UTC)
        hour, minute = map(int, match["clock"].split(":"))
        return _latest(month, day, hour, minute, now)
    return None


def _latest(month: int, day: int, hour: int, minute: int, now: datetime) -> datetime | None:
    """Return the latest such time that is past; a day of grace is for servers in other zones."""
    for year in range(now.year + 1, now.year - 8, -1):
        # The 29th of February is not in every year.
        with suppress(ValueError):
            moment = datetime(year, month, day, hour, minute, tzinfo=UTC)
            if moment <= now + timedelta(1):
                return moment
    return None


def _dos(match: re.Match[str]) -> Entry:
    return _entry(match["kind"] is not None, int(match["size"] or 0), _dos_time(match))


def _dos_time(match: re.Match[str]) -> datetime | None:
    with suppress(ValueError):
        if match["iso"]:
            day = datetime.fromisoformat(match["iso"])
        else:
            year = int(match["year"])
            # POSIX's rule for years of two digits.
            year += 0 if year > 99 else 1900 if year > 68 else 2000
            day = datetime(year, int(match["month"]), int(match["day"]))  # noqa: DTZ001
        hour = int(match["hour"])
        if match["half"]:
            hour = hour % 12 + (12 if match["half"] == "PM" else 0)
        return day.replace(hour=hour, minute=int(match["minute"]), tzinfo=UTC)
    return None


def _entry(is_directory: bool, size: int, modified: datetime | None) -> Entry:
    return Entry(0 if is_directory else size, modified, is_directory=is_directory)
