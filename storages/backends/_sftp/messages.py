"""What SFTP version 3 says: attributes, replies and refusals (draft-ietf-secsh-filexfer-02)."""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from paramiko import sftp

from storages.driver import Entry
from storages.utils import shown

_END = struct.pack(">I", sftp.SFTP_EOF)
_ERRNO = {
    sftp.SFTP_NO_SUCH_FILE: (errno.ENOENT, os.strerror(errno.ENOENT)),
    sftp.SFTP_PERMISSION_DENIED: (
        errno.EACCES,
        "Permission denied: the server's account needs rights on this name and its directory",
    ),
    sftp.SFTP_OP_UNSUPPORTED: (errno.EOPNOTSUPP, "The server does not offer this operation"),
}


class LostError(ConnectionResetError):
    """The connection broke; the request may or may not have been carried out."""


class Refused(OSError):
    """The server refuses a request for a reason that it does not tell by a code."""


#: What the server refuses, after which it goes on to listen.
REFUSALS = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    Refused,
)


def moment(seconds: int | None) -> datetime | None:
    """Return a time of the protocol, aware."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


class Attributes(NamedTuple):
    """What the protocol tells of a file; times in seconds since 1970, None is not told."""

    size: int | None = None
    uid: int | None = None
    gid: int | None = None
    mode: int | None = None
    accessed: int | None = None
    modified: int | None = None

    @property
    def is_directory(self) -> bool:
        """Return True if this is a directory."""
        return stat.S_ISDIR(self.mode or 0)

    @property
    def is_link(self) -> bool:
        """Return True if this is a symbolic link."""
        return stat.S_ISLNK(self.mode or 0)

    @property
    def is_told(self) -> bool:
        """Return True if this tells all of a file or a directory that a listing gives."""
        return self.is_directory or (self.has_kind and not self.is_link and self.size is not None)

    @property
    def has_kind(self) -> bool:
        """Return True if this tells whether it is a file or a directory."""
        return stat.S_IFMT(self.mode or 0) != 0

    def of_kind(self, *, is_directory: bool) -> Attributes:
        """Return this as a directory or as a file."""
        kind = stat.S_IFDIR if is_directory else stat.S_IFREG
        return self._replace(mode=stat.S_IMODE(self.mode or 0) | kind)

    def pack(self) -> bytes:
        """Return owner, mode and times as a request carries them; two are both or neither."""
        owner = b"" if self.uid is None else struct.pack(">II", self.uid, self.gid)
        mode = b"" if self.mode is None else struct.pack(">I", self.mode)
        times = b"" if self.modified is None else struct.pack(">II", self.accessed, self.modified)
        flags = (2 if owner else 0) | (4 if mode else 0) | (8 if times else 0)
        return struct.pack(">I", flags) + owner + mode + times

    def entry(self) -> Entry:
        """Return this in the terms of `storages.driver`."""
        return Entry(
            self.size or 0,
            modified=moment(self.modified),
            accessed=moment(self.accessed),
            etag=f"{self.modified}-{self.size}",
            is_directory=self.is_directory,
        )


NOTHING = Attributes()


class Reply:
    """One answer of the server, read from its start to its end."""

    def __init__(self, packet: bytes) -> None:
        self._packet = packet
        self._position = 0
        self.kind, self.number = self.integer(1), self.integer()

    @property
    def is_read(self) -> bool:
        return self._position >= len(self._packet)

    @property
    def is_end(self) -> bool:
        """Return True if this says that the file or directory has nothing more."""
        return self.kind == sftp.CMD_STATUS and self._packet[5:9] == _END

    def integer(self, size: int = 4) -> int:
        return int.from_bytes(self._taken(size))

    def text(self) -> bytes:
        return self._taken(self.integer())

    def _taken(self, size: int) -> bytes:
        start = self._position
        self._position += size
        if self._position > len(self._packet):
            raise OSError(errno.EBADMSG, "The server's reply is cut short")
        return self._packet[start : self._position]

    def attributes(self) -> Attributes:
        flags = self.integer()
        size = self.integer(8) if flags & 1 else None
        uid, gid = (self.integer(), self.integer()) if flags & 2 else (None, None)
        mode = self.integer() if flags & 4 else None
        accessed, modified = (self.integer(), self.integer()) if flags & 8 else (None, None)
        if flags & 0x80000000:
            for _ in range(2 * self.integer()):
                self.text()
        return Attributes(size, uid, gid, mode, accessed, modified)

    def names(self) -> Iterator[str]:
        """Yield the names of the extensions a server offers, each followed by its data."""
        while not self.is_read:
            yield self.text().decode(errors="replace")
            self.text()

    def checked(self) -> Reply:
        """Return the reply, unless it is a refusal: that is raised as an OSError with errno."""
        if self.kind != sftp.CMD_STATUS:
            return self
        status, reason = self.integer(), self.text().decode(errors="replace")
        if status == sftp.SFTP_OK:
            return self
        if status in (sftp.SFTP_NO_SUCH_FILE, sftp.SFTP_PERMISSION_DENIED):
            raise OSError(*_ERRNO[status])
        # Version 3 has no code for it, and some put their system's words behind "failure".
        if "not a directory" in reason.lower():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        raise Refused(*_ERRNO.get(status, (errno.EIO, f"The server says {shown(reason)}")))


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(data)) + data
