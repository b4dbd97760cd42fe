"""What a storage does on an FTP server: describe, list, read, store, rename and remove.

RFC 959 with the extensions of RFC 3659 (MLST, SIZE, MDTM). Paths are absolute, so that nothing
depends on a working directory.
"""

# ruff: noqa: S321 - that FTP is not encrypted is told by a system check.

from __future__ import annotations

import errno
import ftplib
import posixpath
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import cached_property

from storages.driver import Entry, Source

from .connection import BLOCK, Connection, Download, send
from .errors import MISSING, REFUSED, BrokenTransferError, Refusal, told
from .listings import Listing, parse_facts, parse_list, parse_time

_DIRECTORY = Entry(0, is_directory=True)


class Files(Connection):
    """The files that a connection leads to."""

    refusals = (*REFUSED, Refusal)
    #: True if a directory was seen in its own listing.
    lists_itself = False

    def path(self, key: str) -> str:
        """Return the absolute path of a key, which may begin where signing in leads to."""
        return posixpath.join("" if key.startswith("/") else self.home, key).rstrip("/") or "/"

    @cached_property
    def home(self) -> str:
        """Return the directory that signing in leads to."""
        path = ftplib.parse257(self.sendcmd("PWD"))
        return path.encode("latin-1").decode(self.path_encoding, "surrogateescape")

    def ask(self, verb: str, path: str) -> str:
        """Send one command about one path and return the reply."""
        with self._hiding(path) as sent:
            return self.sendcmd(f"{verb} {sent}")

    def describe(self, path: str) -> Entry:
        """Describe what is at a path.

        Raises a refusal that `told` knows as missing only where it is: what a server says of SIZE
        counts if it was asked for facts before, else the listing of the parent decides.
        """
        if path == "/":
            return _DIRECTORY
        for look in (self._by_facts, self._by_size):
            try:
                if (entry := look(path)) is not None:
                    return entry
            except ftplib.error_perm as exc:
                if self.has_facts and told(exc) in MISSING:
                    raise
        parent, name = posixpath.split(path)
        entries = self.entries(parent)
        if name not in entries:
            raise Refusal(errno.ENOENT, "No such file")
        return entries[name]

    def find(self, path: str) -> Entry | None:
        """Describe what is at a path, None only where nothing is."""
        try:
            return self.describe(path)
        except (ftplib.error_perm, Refusal) as exc:
            if told(exc) in MISSING:
                return None
            raise

    def entries(self, path: str) -> dict[str, Entry]:
        """Return what a directory holds, links followed."""
        try:
            listing = self._facts(path) if self.has_facts else self._list(path)
        except REFUSED as exc:
            self._require_directory(path, exc)
            raise
        return {
            name: entry or self._follow(posixpath.join(path, name))
            for name, entry in listing.items()
            if name not in {".", ".."}
        }

    def remove(self, path: str) -> None:
        """Remove a file or an empty directory."""
        try:
            self.remove_file(path)
        except ftplib.error_perm as exc:
            if not self._existing(path, exc).is_directory:
                raise
            self._remove_empty(path)

    def _remove_empty(self, path: str) -> None:
        try:
            self.remove_directory(path)
        except ftplib.error_perm as exc:
            if self.entries(path):
                raise Refusal(errno.ENOTEMPTY, "The directory is not empty") from exc
            raise

    def make_directories(self, path: str) -> None:
        """Make a directory and its parents; others may make them at the same time."""
        missing = []
        while (entry := self.find(path)) is None:
            missing.append(path)
            path = posixpath.dirname(path)
        if not entry.is_directory:
            raise Refusal(errno.ENOTDIR, "A parent is not a directory")
        for each in reversed(missing):
            try:
                self.make_directory(each)
            except ftplib.error_perm:
                made = self.find(each)
                if made is None or not made.is_directory:
                    raise

    def find_file(self, path: str) -> bool:
        """Return True if a file has a path, False if nothing has; raises for a directory."""
        entry = self.find(path)
        if entry is not None and entry.is_directory:
            raise Refusal(errno.EISDIR, "A directory has this name")
        return entry is not None

    def list_names(self, path: str) -> list[str]:
        """Return the base names of what is in a directory."""
        return [*self.entries(path)]

    def make_directory(self, path: str) -> None:
        """Make one directory, which only one can."""
        self.ask("MKD", path)

    def remove_file(self, path: str) -> None:
        """Remove a file."""
        self.ask("DELE", path)

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""
        self.ask("RMD", path)

    def move(self, source: str, target: str) -> None:
        """Rename a file; most servers replace a target."""
        with self._hiding(source) as old, self._hiding(target) as new:
            self.rename(old, new)

    # -- content ----------------------------------------------------------------------------------

    def retrieve(self, path: str, start: int) -> Download:
        """Begin to read a file from byte ``start``."""
        try:
            with self._hiding(path) as sent:
                return Download(self, self.transfercmd(f"RETR {sent}", start or None))
        except ftplib.error_perm as exc:
            self._existing(path, exc)
            raise

    def store(self, path: str, source: Source) -> None:
        """Write a file from the current position of ``source``."""
        with self._hiding(path) as sent:
            try:
                with self.transfercmd(f"STOR {sent}") as data:
                    send(data, source)
            except BrokenTransferError:
                # The server's reply tells why it stopped reading.
                with self.hurried(), suppress(OSError):
                    self.voidresp()
                raise
            self.voidresp()

    def set_modified(self, path: str, moment: datetime) -> None:
        """Set the time of a file where the server lets clients do that (draft-somers-ftp-mfxx)."""
        if self.has_times:
            with suppress(*REFUSED):
                self.ask(f"MFMT {moment:%Y%m%d%H%M%S}", path)

    # -- private ----------------------------------------------------------------------------------

    def _by_facts(self, path: str) -> Entry | None:
        if not self.has_facts:
            return None
        lines = self.ask("MLST", path).split("\n")
        return parse_facts(lines[1].removeprefix(" "))[1] if len(lines) > 2 else None

    def _by_size(self, path: str) -> Entry:
        size = self.ask("SIZE", path)[4:].strip()
        if not (size.isascii() and size.isdigit()):
            raise ftplib.error_proto("The reply to SIZE is no number")
        modified = None
        with suppress(ftplib.error_perm):
            modified = parse_time(self.ask("MDTM", path)[4:].strip())
        return Entry(int(size), modified)

    def _follow(self, path: str) -> Entry:
        """Describe what a link leads to: only files have a size."""
        try:
            return self._by_size(path)
        except ftplib.error_perm:
            return _DIRECTORY

    def _facts(self, path: str) -> Listing:
        return dict(map(parse_facts, self._lines("MLSD", path)))

    def _list(self, path: str) -> Listing:
        """List by LIST, with the names that begin with a dot where the server knows how.

        For what is no readable directory, some servers list nothing and others what matches a
        pattern. Only the entry "." shows that it is one, where the server has that.
        """
        found: Listing = {}
        with suppress(*REFUSED):
            found = self._list_with("LIST -a", path)
        if not found:
            found = self._list_with("LIST", path)
        self.lists_itself |= "." in found
        if "." not in found or set(path) & set("*?[{"):
            self._require_directory(path)
        if "." not in found and self.lists_itself:
            # It was made meanwhile, or it may not be read.
            found = self._list_with("LIST -a", path)
            if "." not in found:
                raise Refusal(errno.EACCES, "The directory cannot be listed")
        return found

    def _list_with(self, command: str, path: str) -> Listing:
        return parse_list(self._lines(command, path), datetime.now(UTC))

    def _lines(self, command: str, path: str) -> list[str]:
        with (
            self._hiding(path) as sent,
            closing(Download(self, self.transfercmd(f"{command} {sent}"))) as download,
        ):
            text = b"".join(iter(lambda: download.read(BLOCK), b""))
            download.finish()
        lines = text.decode(self.path_encoding, "replace").split("\n")
        return [line.removesuffix("\r") for line in lines if line.strip()]

    def _existing(self, path: str, exc: Exception) -> Entry:
        """Describe what is at a path about which the server refused something."""
        entry = self.find(path)
        if entry is None:
            raise Refusal(errno.ENOENT, "No such file") from exc
        return entry

    def _require_directory(self, path: str, exc: Exception | None = None) -> None:
        if not self.describe(path).is_directory:
            raise Refusal(errno.ENOTDIR, "Not a directory") from exc
