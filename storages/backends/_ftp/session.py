"""What a storage does on an FTP server beside looking: read, store, rename and remove."""

# ruff: noqa: S321 - that FTP is not encrypted is told by a system check.

from __future__ import annotations

import errno
import ftplib
import posixpath
import time
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime

from storages.driver import Entry, Source
from storages.temporaries import NO_EXCLUSION, beside, corrected, is_temporary, notice
from storages.utils import shown

from .errors import (
    MISSING,
    REFUSED,
    BrokenTransferError,
    ContentError,
    Refusal,
    UnknownCommand,
    told,
)
from .lookups import Lookups
from .times import VALID
from .transfers import BLOCK, Download, send

TRIES = 3  # to remove a directory, at most, in which there are temporary files alone


class Files(Lookups):
    """The files that a connection leads to."""

    # -- changes ----------------------------------------------------------------------------------

    def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""
        try:
            self.remove_file(path)
        except REFUSED as exc:
            if not self._existing(path, exc).is_directory:
                raise
            self._remove_empty(path)

    def _remove_empty(self, path: str) -> None:
        for left in reversed(range(TRIES)):
            try:
                self.remove_directory(path)
            except REFUSED as exc:
                names = self.list_names(path)
                # Another client may have written there for a moment, to learn the server's zone.
                if left and all(map(is_temporary, names)):
                    continue
                if names:
                    raise Refusal(errno.ENOTEMPTY, "The directory is not empty") from exc
                raise
            return

    def find_beside(self, path: str, neighbour: str) -> bool:
        """Return True if anything has a path, beside a file that is known to be there.

        Lists nothing where renaming can be asked about, which a directory of 20,000 files is
        grateful for. What was asked so is not renamed.
        """
        if self.has_facts:
            return self.find(path) is not None
        try:
            self.ask("RNFR", path)
        except ftplib.error_perm as exc:
            if told(exc) in (None, *MISSING):
                with suppress(*REFUSED):
                    self.ask("RNFR", neighbour)
                    return False
            return self.find(path) is not None
        return True

    def make_directories(self, path: str) -> None:
        """Make a directory and its parents; others may make them at the same time."""
        nearest = self._nearest(path)
        missing = path[len(nearest) :].strip("/").split("/") if path != nearest else []
        for each in missing:
            nearest = posixpath.join(nearest, each)
            self.require_kept(nearest)
            try:
                self.make_directory(nearest)
            except REFUSED as exc:
                made = self.find(nearest)
                if made is None:
                    raise
                if not made.is_directory:
                    raise Refusal(errno.ENOTDIR, "A parent is not a directory") from exc

    def make_directory(self, path: str) -> None:
        """Make one directory, which only one can."""
        self.ask("MKD", path)

    def require_kept(self, path: str) -> None:
        """Raise where the server is known to give a new name another ending."""
        end = path[-1:]
        if (end.isspace() or end == ".") and not self._keeps(end, posixpath.dirname(path)):
            raise Refusal(errno.EINVAL, f"The FTP server changes names that end with {end!r}")

    def _keeps(self, end: str, directory: str) -> bool:
        """Return True if names keep an ending, found out once by one that harms nobody.

        Pure-FTPd makes an underscore of a space, and systems such as Windows drop spaces and dots,
        so that the file of another name would be replaced.
        """
        trait = f"keeps {end!r}"
        if trait not in self.traits:
            probe = beside(f"{directory}/probe", "lock")
            self.make_directory(probe)
            with suppress(*REFUSED):
                self.make_directory(f"{probe}/a{end}")
            names = self.list_names(probe)
            self.traits[trait] = names == [f"a{end}"]
            for each in (*(f"{probe}/{name}" for name in names), probe):
                with suppress(*REFUSED):
                    self.remove_directory(each)
        return bool(self.traits[trait])

    def makes_directories_once(self, path: str) -> bool:
        """Return True if a directory that is there cannot be made again, found out once."""
        if "locks" not in self.traits:
            try:
                self.make_directory(path)
            except REFUSED:
                self.traits["locks"] = True
            else:
                self.traits["locks"] = False
                notice(self.traits, NO_EXCLUSION)
        return bool(self.traits["locks"])

    def remove_file(self, path: str) -> None:
        """Remove a file."""
        self.ask("DELE", path)

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""
        self.ask("RMD", path)

    def move(self, source: str, target: str) -> None:
        """Rename a file; most servers replace a target."""
        try:
            self.ask("RNFR", source)
            self.ask("RNTO", target)
        except UnknownCommand as exc:
            raise Refusal(
                errno.EOPNOTSUPP,
                f"The FTP server renames nothing, as a save has to; it says {shown(str(exc))}",
            ) from exc

    # -- content ----------------------------------------------------------------------------------

    def retrieve(self, path: str, start: int) -> Download:
        """Begin to read a file from byte ``start``."""
        try:
            with self._hiding(path) as sent:
                return self._retrieve(f"RETR {sent}", start)
        except REFUSED as exc:
            self._existing(path, exc)
            raise

    def _retrieve(self, command: str, start: int) -> Download:
        try:
            return Download(self, self.transfercmd(command, start or None))
        except UnknownCommand:
            if not start:
                raise
        # Without REST what stands before is read for nothing.
        download = Download(self, self.transfercmd(command))
        download.skip(start)
        return download

    def stat(self, path: str) -> Entry:
        """Describe what is at a path, by reading a file if the server is known to tell no size."""
        entry = self.describe(path)
        return entry if self.traits.get("sizes", True) else self.measured(path, entry)

    def measured(self, path: str, entry: Entry) -> Entry:
        """Return an entry of size 0 with its true size: some servers tell none of any file."""
        if entry.size or entry.is_directory:
            return entry
        with closing(self.retrieve(path, 0)) as download:
            size = sum(map(len, iter(lambda: download.read(BLOCK), b"")))
            download.finish()
        if size:
            self.traits["sizes"] = False
        return replace(entry, size=size)

    def stored(self, path: str) -> Entry:
        """Describe a file that was written just now, by its size alone where the clock is right."""
        now = time.monotonic()
        if not self.has_facts and now < self.traits.get("clock due", 0.0):
            with suppress(*REFUSED):
                size = self._by_size(path, with_time=False)
                return self.measured(path, replace(size, modified=datetime.now(UTC)))
        self.learn_zones(path)
        entry = self.measured(path, self.describe(path))
        if entry.modified is not None and corrected(entry.modified) is None:
            self.traits["clock due"] = now + VALID
        return entry

    def store(self, path: str, source: Source) -> None:
        """Write a file from the current position of ``source``."""
        with self._hiding(path) as sent:
            try:
                with self.transfercmd(f"STOR {sent}") as data:
                    send(self, data, source)
            except (BrokenTransferError, ContentError):
                # The server's reply tells why it stopped reading, or that it is done with the file.
                with self.hurried(), suppress(OSError):
                    self.voidresp()
                raise
            self.voidresp()

    def _existing(self, path: str, exc: Exception) -> Entry:
        """Describe what is at a path about which the server refused something."""
        entry = self.find(path)
        if entry is None:
            raise Refusal(errno.ENOENT, "No such file") from exc
        return entry
