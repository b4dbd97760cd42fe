"""SFTP version 3 on a channel of paramiko, with requests that need not wait for one another.

paramiko's own client waits for each reply, keeps what it prefetches without limit and does not
tell the status of an error, so it serves for SSH alone. Source: draft-ietf-secsh-filexfer-02.
"""

from __future__ import annotations

import errno
import math
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import NamedTuple

from paramiko import Channel, SSHClient, SSHException, sftp

from storages.files import Source
from storages.utils import shown

# Bytes of content in a request: every server takes 32 KiB, and with what stands before the content
# it has to fit in one packet of SSH, or the rest costs another.
REQUEST_SIZE = 32 * 1024 - 256
WINDOW = 64  # requests on their way
FIRST_WINDOW = 8  # requests a reader begins with, to look at the head of a file for little
MOST = 1 << 24  # bytes of a reply; more is no SFTP
CREATE_NEW = sftp.SFTP_FLAG_WRITE | sftp.SFTP_FLAG_CREATE | sftp.SFTP_FLAG_EXCL

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
        """Tell whether this is a directory."""
        return stat.S_ISDIR(self.mode or 0)

    @property
    def is_link(self) -> bool:
        """Tell whether this is a symbolic link."""
        return stat.S_ISLNK(self.mode or 0)

    def pack(self) -> bytes:
        """Return owner and mode as a request carries them; the owner is both ids or neither."""
        owner = b"" if self.uid is None else struct.pack(">II", self.uid, self.gid)
        mode = b"" if self.mode is None else struct.pack(">I", self.mode)
        flags = (2 if owner else 0) | (4 if mode else 0)
        return struct.pack(">I", flags) + owner + mode


NOTHING = Attributes()


class _Reply:
    """One answer of the server, read from its start to its end."""

    def __init__(self, packet: bytes) -> None:
        self.kind, self.number = struct.unpack_from(">BI", packet)
        self._packet = packet
        self._position = 5

    @property
    def is_read(self) -> bool:
        return self._position >= len(self._packet)

    @property
    def is_end(self) -> bool:
        """Tell whether this says that the file or directory has nothing more."""
        return self.kind == sftp.CMD_STATUS and self._packet[5:9] == _END

    def integer(self, form: str = "I") -> int:
        value: int
        try:
            (value,) = struct.unpack_from(f">{form}", self._packet, self._position)
        except struct.error as exc:
            raise OSError(errno.EBADMSG, "The server's reply is cut short") from exc
        self._position += struct.calcsize(form)
        return value

    def text(self) -> bytes:
        size = self.integer()
        start = self._position
        self._position += size
        return self._packet[start : self._position]

    def attributes(self) -> Attributes:
        flags = self.integer()
        size = self.integer("Q") if flags & 1 else None
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

    def checked(self) -> _Reply:
        """Return the reply, unless it is a refusal: that is raised as an OSError with errno."""
        if self.kind != sftp.CMD_STATUS:
            return self
        status, reason = self.integer(), self.text().decode(errors="replace")
        if status == sftp.SFTP_OK:
            return self
        raise OSError(*_ERRNO.get(status, (errno.EIO, f"The server says {shown(reason)}")))


def _text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">I", len(data)) + data


class Session:
    """One conversation with a server; for one thread at a time.

    Paths are absolute or relative to the login directory. Raises OSError with an errno for what
    the server refuses, `LostError` where the connection broke, TimeoutError where it is silent.
    """

    def __init__(self, client: SSHClient, channel: Channel) -> None:
        self.client = client
        self.channel = channel
        self.pending = 0
        self._number = 0
        self._out: list[bytes] = []
        self._in = bytearray()
        self._broken: OSError | None = None
        self._out.append(struct.pack(">IBI", 5, sftp.CMD_INIT, 3))
        self.flush()
        self.extensions = frozenset(_Reply(self._packet()).names())

    @property
    def usable(self) -> bool:
        """Tell whether nothing is known to be wrong with the connection, and nothing is due."""
        transport = self.channel.get_transport()
        return not (self._broken or self.pending or self.channel.closed) and transport.is_active()

    # -- requests ---------------------------------------------------------------------------------

    def ask(self, kind: int, *parts: bytes) -> int:
        """Queue a request and return its number; `flush` or `reply` sends what is queued."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        self.pending += 1
        size = 5 + sum(map(len, parts))
        self._out += (struct.pack(">IBI", size, kind, self._number), *parts)
        return self._number

    def flush(self) -> None:
        """Send the requests that are queued."""
        data, self._out = b"".join(self._out), []
        try:
            self._alive().sendall(data)
        except (OSError, EOFError, SSHException) as exc:
            raise self._break(exc) from exc

    def reply(self) -> _Reply:
        """Return the next reply, whichever request it answers."""
        if self._out:
            self.flush()
        reply = _Reply(self._packet())
        self.pending -= 1
        return reply

    def call(self, kind: int, *parts: bytes) -> _Reply:
        """Send a request and return its reply; a refusal is raised."""
        self.ask(kind, *parts)
        return self.reply().checked()

    def drain(self) -> None:
        """Wait for the replies that are due, and forget them."""
        while self.pending:
            self.reply()

    def _packet(self) -> bytes:
        size = int.from_bytes(self._take(4))
        if size > MOST:
            raise self._break(SSHException("a reply of impossible size"))
        return self._take(size)

    def _take(self, size: int) -> bytes:
        while len(self._in) < size:
            try:
                data = self._alive().recv(1 << 20)
            except (OSError, EOFError, SSHException) as exc:
                raise self._break(exc) from exc
            if not data:
                raise self._break(EOFError("the channel was closed"))
            self._in += data
        taken = bytes(memoryview(self._in)[:size])
        del self._in[:size]
        return taken

    def _alive(self) -> Channel:
        if self._broken is not None:
            raise self._broken
        return self.channel

    def _break(self, exc: Exception) -> OSError:
        stalled = getattr(self.channel.get_transport().sock, "stalled", False)
        if stalled or isinstance(exc, TimeoutError):
            text = "The server does not answer: check the network, or raise the option 'timeout'"
            self._broken = TimeoutError(errno.ETIMEDOUT, text)
        else:
            self._broken = LostError(errno.ECONNRESET, "The connection to the server was lost")
        return self._broken

    # -- files ------------------------------------------------------------------------------------

    def open(self, path: str, flags: int, attributes: Attributes = NOTHING) -> bytes:
        """Open a file and return its handle."""
        return self.call(
            sftp.CMD_OPEN, _text(path), struct.pack(">I", flags), attributes.pack()
        ).text()

    def close(self, handle: bytes) -> None:
        """Close a handle of a file or directory."""
        self.call(sftp.CMD_CLOSE, _text(handle))

    def fstat(self, handle: bytes) -> Attributes:
        """Describe an open file."""
        return self.call(sftp.CMD_FSTAT, _text(handle)).attributes()

    def lookup(self, path: str) -> Attributes:
        """Describe what a path leads to, the link itself where that is nothing."""
        found = self.call(sftp.CMD_LSTAT, _text(path)).attributes()
        if found.is_link:
            with suppress(FileNotFoundError):
                return self.call(sftp.CMD_STAT, _text(path)).attributes()
        return found

    def upload(self, handle: bytes, source: Source, attributes: Attributes) -> Attributes:
        """Send all content, set owner and mode, close the handle; return what is there then.

        The server handles requests for one file in their order, so only the end is waited for.
        """
        opened = _text(handle)
        try:
            self._send_content(opened, source)
            if attributes != NOTHING:
                self.ask(sftp.CMD_FSETSTAT, opened, attributes.pack())
            number = self.ask(sftp.CMD_FSTAT, opened)
            self.ask(sftp.CMD_CLOSE, opened)
            return self._checked_replies(number)
        except BaseException:
            with suppress(OSError):
                self.drain()
                self.close(handle)
            raise

    def _send_content(self, opened: bytes, source: Source) -> None:
        position = 0
        while data := source.read(REQUEST_SIZE):
            place = struct.pack(">QI", position, len(data))
            self.ask(sftp.CMD_WRITE, opened, place, data)
            self.flush()
            position += len(data)
            while self.pending >= WINDOW:
                self.reply().checked()

    def _checked_replies(self, number: int) -> Attributes:
        found = Attributes()
        while self.pending:
            reply = self.reply().checked()
            if reply.number == number:
                found = reply.attributes()
        return found

    def remove(self, path: str) -> None:
        """Remove a file or a link."""
        self.call(sftp.CMD_REMOVE, _text(path))

    def rename(self, path: str, target: str) -> None:
        """Give a file another name, which must be free."""
        self.call(sftp.CMD_RENAME, _text(path), _text(target))

    def replace(self, path: str, target: str) -> None:
        """Give a file another name in place of what has it; atomic where the server can do that.

        Where it cannot, the other file steps aside first, and back if something goes wrong.
        """
        if self._replace_at_once(path, target):
            return
        aside = f"{path}.old"
        with suppress(FileNotFoundError):
            self.rename(target, aside)
        try:
            self.rename(path, target)
        except OSError:
            with suppress(OSError):
                self.rename(aside, target)
            raise
        with suppress(FileNotFoundError):
            self.remove(aside)

    def _replace_at_once(self, path: str, target: str) -> bool:
        """Rename as POSIX does; tell whether the server can do that at all."""
        extension = "posix-rename@openssh.com"
        if extension not in self.extensions:
            return False
        try:
            self.call(sftp.CMD_EXTENDED, _text(extension), _text(path), _text(target))
        except OSError as exc:
            if exc.errno != errno.EOPNOTSUPP:
                raise
            return False
        return True

    def is_full(self, path: str) -> bool:
        """Tell whether the disk of a path is known to have no room for another request."""
        if "statvfs@openssh.com" not in self.extensions:
            return False
        reply = self.call(sftp.CMD_EXTENDED, _text("statvfs@openssh.com"), _text(path))
        _, unit, _, _, available = (reply.integer("Q") for _ in range(5))
        return unit * available < REQUEST_SIZE

    # -- directories ------------------------------------------------------------------------------

    def make_directory(self, path: str, attributes: Attributes) -> None:
        """Make one directory."""
        self.call(sftp.CMD_MKDIR, _text(path), Attributes(mode=attributes.mode).pack())

    def set_attributes(self, path: str, attributes: Attributes) -> None:
        """Set owner and mode, which the server's umask does not touch."""
        self.call(sftp.CMD_SETSTAT, _text(path), attributes.pack())

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""
        self.call(sftp.CMD_RMDIR, _text(path))

    def scan(self, path: str, most: float = math.inf) -> list[tuple[str, Attributes]]:
        """Return what a directory holds, or ``most`` entries or a few more of it.

        Names that are no UTF-8 are left out: names of ours cannot say them.
        """
        handle = self.call(sftp.CMD_OPENDIR, _text(path)).text()
        found: list[tuple[str, Attributes]] = []
        try:
            while len(found) < most and (entries := self._next_entries(handle)):
                found += entries
        finally:
            self.close(handle)
        return [entry for entry in found if not _is_odd(entry[0])]

    def _next_entries(self, handle: bytes) -> list[tuple[str, Attributes]]:
        self.ask(sftp.CMD_READDIR, _text(handle))
        reply = self.reply()
        if reply.is_end:
            return []
        entries = []
        for _ in range(reply.checked().integer()):
            name, _long = reply.text(), reply.text()
            entries.append((name.decode(errors="surrogateescape"), reply.attributes()))
        return entries


def _is_odd(name: str) -> bool:
    return any("\udc80" <= letter <= "\udcff" for letter in name)


class Download:
    """Reads an open file in order, asking for more and more ahead; owns handle and lease."""

    def __init__(
        self, session: Session, handle: bytes, start: int, end: int, lease: ExitStack
    ) -> None:
        self._session = session
        self._handle = handle
        self._position = self._next = start
        self._end = end
        self._lease = lease
        self._window = FIRST_WINDOW // 2
        # Positions and sizes of what was asked for by request, and what came by position.
        self._asked: dict[int, tuple[int, int]] = {}
        self._pieces: dict[int, bytes] = {}

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, ``b""`` only at the end."""
        if self._position >= self._end:
            return b""
        self._ask_ahead()
        while self._position not in self._pieces:
            if not self._receive():
                return b""
        piece = self._pieces.pop(self._position)
        if len(piece) > size:
            self._pieces[self._position + size] = piece[size:]
            piece = piece[:size]
        self._position += len(piece)
        if self._position >= self._end:
            self.close()
        return piece

    def close(self) -> None:
        """Give the connection back, or drop it where what is due does not come."""
        lease, self._lease = self._lease, ExitStack()
        handle, self._handle = self._handle, b""
        if handle:
            with suppress(OSError), lease:
                self._session.drain()
                self._session.close(handle)

    def _ask_ahead(self) -> None:
        if len(self._asked) > self._window // 2:
            return
        self._window = min(WINDOW, 2 * self._window)
        while len(self._asked) < self._window and self._next < self._end:
            size = min(REQUEST_SIZE, self._end - self._next)
            self._ask(self._next, size)
            self._next += size
        self._session.flush()

    def _ask(self, start: int, size: int) -> None:
        place = struct.pack(">QI", start, size)
        self._asked[self._session.ask(sftp.CMD_READ, _text(self._handle), place)] = start, size

    def _receive(self) -> bool:
        """Take in one reply; tell whether it was content."""
        reply = self._session.reply()
        start, size = self._asked.pop(reply.number)
        if reply.is_end:
            return False
        data = self._pieces[start] = reply.checked().text()
        if 0 < len(data) < size:
            self._ask(start + len(data), size - len(data))
        return bool(data)
