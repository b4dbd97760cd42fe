"""Directories on an SFTP server: made, removed and listed."""

from __future__ import annotations

import errno
import math

from paramiko import sftp

from .connection import Connection
from .messages import Attributes, text

SCANS = 8  # of a directory, at most, in which names go away meanwhile


class Directories(Connection):
    """What a conversation with a server does about directories. Paths are as `Session` has them."""

    def make_directory(self, path: str, mode: int | None = None) -> None:
        """Make one directory."""
        self.call(sftp.CMD_MKDIR, text(path), Attributes(mode=mode).pack())

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""
        self.call(sftp.CMD_RMDIR, text(path))

    def list_names(self, path: str) -> list[str]:
        """Return the base names of what is in a directory."""
        return [name for name, _ in self.scan(path) if name not in {".", ".."}]

    def scan(self, path: str, most: float = math.inf) -> list[tuple[str, Attributes]]:
        """Return what a directory holds, or ``most`` entries or a few more of it.

        Names that are no UTF-8 are left out: names of ours cannot say them.
        """
        for _ in range(SCANS):
            if (found := self._scan(path, most)) is not None:
                return [entry for entry in found if not _is_odd(entry[0])]
        raise OSError(
            errno.EBUSY,
            "The SFTP server cannot list the directory while files in it go away: try again",
        )

    def _scan(self, path: str, most: float) -> list[tuple[str, Attributes]] | None:
        """Return what a directory holds; None if a name went away before the server looked at it.

        AsyncSSH's server looks at each and ends the listing then. It opens files and directories
        that are not there as well, and says so in the same words.
        """
        handle = self.call(sftp.CMD_OPENDIR, text(path)).text()
        found: list[tuple[str, Attributes]] = []
        try:
            while len(found) < most and (entries := self._next_entries(handle)):
                found += entries
        except FileNotFoundError:
            # Not by `lookup`, which asks this method where the server tells no kind.
            there = self.call(sftp.CMD_STAT, text(path)).attributes()
            if there.is_directory or (found and not there.has_kind):
                return None
            raise
        finally:
            self.close(handle)
        return found

    def _next_entries(self, handle: bytes) -> list[tuple[str, Attributes]]:
        self.ask(sftp.CMD_READDIR, text(handle))
        reply = self.reply()
        if reply.is_end:
            return []
        entries = []
        for _ in range(reply.checked().integer()):
            name, _long = reply.text(), reply.text()
            entries.append((name.decode(errors="surrogateescape"), reply.attributes()))
        return entries

    def close(self, handle: bytes) -> None:
        """Close a handle of a file or directory."""
        self.call(sftp.CMD_CLOSE, text(handle))


def _is_odd(name: str) -> bool:
    return any("\udc80" <= letter <= "\udcff" for letter in name)
