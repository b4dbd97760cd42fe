"""Times of files in UTC, which not every FTP server tells: vsftpd tells its local time if told so.

Facts (RFC 3659) are in UTC. For servers without them a file that was written just now shows by how
much what MDTM says, and what a listing says, is off.
"""

# ruff: noqa: S321 - that FTP is not encrypted is told by a system check.

from __future__ import annotations

import ftplib
import posixpath
import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from storages.temporaries import beside, notice

from .connection import Connection, without
from .errors import REFUSED
from .listings import Listing, parse_time
from .transfers import end_tls

STEP: Final = timedelta(minutes=15)  # zones differ by whole ones
WIDEST: Final = timedelta(hours=14)  # more is a wrong clock, no zone
VALID: Final = 3600.0  # seconds; a server may begin daylight saving


LOCAL_TIME: Final = (
    "This server tells times in its local time, where UTC is the rule: a file that was written "
    "just now shows the zone, and times are taken by that."
)


class Zones(NamedTuple):
    """By how much the times of a server are ahead of UTC."""

    told: timedelta = timedelta(0)  # by MDTM
    listed: timedelta = timedelta(0)  # in the lines of LIST


class Timed(Connection):
    """Tells and sets the times of files in UTC."""

    has_facts: bool
    #: What was found out of the server, for all its connections.
    traits: dict[str, Any]

    def ask(self, verb: str, path: str) -> str:
        """Send one command about one path and return the reply."""
        # As `_hiding` does, in fewer steps: this is done for every request.
        sent = path.encode(self.path_encoding, "surrogateescape").decode("latin-1")
        try:
            return self.sendcmd(f"{verb} {sent}")
        except REFUSED as exc:
            raise without(sent, exc) from None

    def time_of(self, path: str) -> datetime | None:
        """Return the time of a file, None where the server tells none."""
        told = self._told(path)
        return None if told is None else told - self.zones(path).told

    def set_modified(self, path: str, moment: datetime) -> None:
        """Set the time of a file where the server lets clients do that.

        By MFMT (draft-somers-ftp-mfxx), or by the MDTM with a time that came before it. A server
        in local time takes that as well.
        """
        there = moment + self.traits.get("zones", Zones()).told
        with suppress(*REFUSED):
            self.ask(f"{'MFMT' if self.has_times else 'MDTM'} {there:%Y%m%d%H%M%S}", path)

    def zones(self, path: str) -> Zones:
        """Return the zones of the server, found out once: by an empty file beside a path.

        Where none may be written the times are taken as they are told.
        """
        if "zones" not in self.traits:
            probe = beside(path, "part")
            with suppress(ftplib.Error):
                self._make_empty(probe)
                # Not tried on a connection that is lost meanwhile, where it would wait again.
                with suppress(ftplib.Error):
                    self.learn_zones(probe)
                self.ask("DELE", probe)
        zones: Zones = self.traits.setdefault("zones", Zones())
        return zones

    def in_utc(self, path: str, found: Listing) -> Listing:
        """Return a listing of a directory with its times in UTC."""
        files = (entry for entry in found.values() if entry and not entry.is_directory)
        if not any(entry.modified for entry in files):
            return found
        zone = self.zones(posixpath.join(path, "any")).listed
        if not zone:
            return found
        return {
            name: entry and replace(entry, modified=entry.modified and entry.modified - zone)
            for name, entry in found.items()
        }

    def learn_zones(self, path: str) -> None:
        """Learn the zones of a server without facts by a file that was written just now."""
        due: float = self.traits.get("zones due", 0.0)
        if self.has_facts or time.monotonic() < due:
            return
        told, listed = self._told(path), self._listed(path)
        zone = _zone_of(told)
        zones = Zones(zone, zone if listed is None else _zone_of(listed))
        if any(zones):
            notice(self.traits, LOCAL_TIME)
        self.traits["zones"] = zones
        self.traits["zones due"] = time.monotonic() + VALID

    def _told(self, path: str) -> datetime | None:
        with suppress(*REFUSED):
            return parse_time(self.ask("MDTM", path)[4:].strip())
        return None

    def _listed(self, path: str) -> datetime | None:
        """Return the time of a file as a listing of its directory tells it."""
        raise NotImplementedError

    def _make_empty(self, path: str) -> None:
        with self._hiding(path) as sent:
            with self.transfercmd(f"STOR {sent}") as data:
                end_tls(data)
            self.voidresp()


def _zone_of(told: datetime | None) -> timedelta:
    """Return the zone in which a server told the time of a file that was written just now."""
    if told is None:
        return timedelta(0)
    zone = round((told - datetime.now(UTC)) / STEP) * STEP
    return zone if abs(zone) <= WIDEST else timedelta(0)
