"""Bytes on the sockets of an FTP connection: lines of replies, and what a transfer brings or takes.

Waits have a limit, and progress begins it anew.
"""

# ruff: noqa: S321 - that FTP is not encrypted is told by a system check.

from __future__ import annotations

import errno
import ftplib
import re
import select
import socket
import ssl
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from storages.driver import Source
from storages.sockets import SLOWEST, unsent

from .errors import REFUSED, BrokenTransferError, ContentError, Refusal

if TYPE_CHECKING:
    from .connection import Connection

BLOCK = 256 * 1024  # bytes sent or received at once
LONGEST_REPLY = 1 << 20  # bytes
LONGEST_LISTING = 1 << 28  # bytes, of some millions of names
LONGEST_LINE = 1 << 16  # bytes
# One line, or several up to the one that repeats the code without a dash (RFC 959 section 4.2).
_REPLY = re.compile(rb"(?:(\d\d\d)-[^\n]*\n(?:[^\n]*\n)*?\1(?!-)[^\n]*\n)|(?!\d\d\d-)[^\n]*\n")
# What follows the lines of a listing that is not whole.
_CUT = re.compile(r"truncated|limit(ed| reached| exceeded)|too many", re.IGNORECASE)
KEEP_ALIVE = 60  # seconds
POLL = 0.02  # seconds between two looks at what is not sent yet


class Lines:
    """The replies on a socket, each up to a deadline however slowly its bytes come."""

    def __init__(self, sock: socket.socket, limit: float) -> None:
        #: What came and is not read yet.
        self.buffer = b""
        self._sock = sock
        self._limit = limit

    def reply(self, patience: float) -> str:
        """Return a reply without its last end of line; raises EOFError if none comes any more."""
        deadline = time.monotonic() + patience
        while not (match := _REPLY.match(self.buffer)):
            if len(self.buffer) > LONGEST_REPLY:
                raise ftplib.error_proto("The reply has no end")
            # Zero would mean not to wait at all, also for what is there.
            self._sock.settimeout(max(deadline - time.monotonic(), 0.001))
            received = self._sock.recv(BLOCK)
            if not received:
                # Half a line is no reply.
                self.buffer = b""
                raise EOFError
            self.buffer += received
        self._sock.settimeout(self._limit)
        self.buffer = self.buffer[match.end() :]
        return match[0].decode("latin-1").replace("\r\n", "\n").rstrip("\n")

    def close(self) -> None:
        """Do nothing: ftplib closes the socket."""


class Download:
    """The data connection of a command that brings data."""

    def __init__(self, connection: Connection, data: socket.socket) -> None:
        self._connection = connection
        self._data = data
        self._waited = 0.0  # seconds
        self._received = 0  # bytes
        #: True if TLS ended without the word for it, as it does where bytes are cut off.
        self.is_ragged = False
        connection.data = data

    def read(self, size: int) -> bytes:
        """Return some bytes, none at the end; each wait has a limit, and a trickle has one too."""
        begun = time.monotonic()
        try:
            block = self._data.recv(size)
        except ssl.SSLEOFError:
            self.is_ragged = True
            return b""
        self._waited += time.monotonic() - begun
        self._received += len(block)
        if self._waited > self._connection.limit + self._received / SLOWEST:
            raise TimeoutError(errno.ETIMEDOUT, "The FTP server sends too slowly")
        return block

    def skip(self, size: int) -> None:
        """Read bytes that nobody needs."""
        while size and (block := self.read(min(size, BLOCK))):
            size -= len(block)

    def finish(self) -> str:
        """Close after the end, and return the reply: without it the content may not be whole."""
        with self._data:
            end_tls(self._data)
        return self._connection.voidresp()

    def abandon(self) -> None:
        """Close before the end; raises OSError where the connection cannot be used on."""
        self.close()
        with self._connection.hurried(), suppress(*REFUSED):
            self._connection.getresp()

    def close(self) -> None:
        """Close the data connection alone."""
        self._data.close()


def send(connection: Connection, data: socket.socket, source: Source) -> None:
    """Send the content; raises ContentError where it cannot be read."""
    while block := _block(source):
        try:
            _send_block(connection, data, block)
        except (ConnectionError, ssl.SSLError) as exc:
            raise BrokenTransferError(errno.ECONNABORTED, "The server stopped reading") from exc
    end_tls(data)
    _drain(connection, data)


def _send_block(connection: Connection, data: socket.socket, block: bytes) -> None:
    # Not `sendall`, whose time limit is for the whole block.
    rest = memoryview(block)
    while rest:
        _await_room(connection, data)
        rest = rest[data.send(rest) :]


def _await_room(connection: Connection, data: socket.socket) -> None:
    """Wait until more can be sent; raises ConnectionError if the server answers instead.

    Some, such as rclone's, say that they refuse a file and keep the data connection open.
    """
    deadline = time.monotonic() + connection.limit
    while not is_ready(data, POLL, to_write=True):
        if not connection.is_quiet():
            raise ConnectionAbortedError(errno.ECONNABORTED, "The server answered already")
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, "The FTP server takes no more")


def is_ready(sock: socket.socket, seconds: float, *, to_write: bool = False) -> bool:
    """Return True if a socket can be read from, or written to, within some seconds."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLOUT if to_write else select.POLLIN)
        return bool(poll.poll(seconds * 1000))
    # Windows.
    read, write = ([], [sock]) if to_write else ([sock], [])
    return any(select.select(read, write, [], seconds))


def _drain(connection: Connection, data: socket.socket) -> None:
    """Wait until the peer has what this machine still holds, as long as it takes more of it.

    Only then the time begins in which the server has to reply.
    """
    left, since = unsent(data), time.monotonic()
    while left:
        time.sleep(POLL)
        before, left = left, unsent(data)
        if left < before:
            since = time.monotonic()
        elif not connection.is_quiet():
            return
        elif time.monotonic() - since > connection.limit:
            raise TimeoutError(errno.ETIMEDOUT, "The FTP server takes no more")


def _block(source: Source) -> bytes:
    try:
        return source.read(BLOCK)
    except Exception as exc:
        # Whatever its class, it does not mean that the connection is lost.
        raise ContentError("The content could not be read") from exc


def end_tls(data: socket.socket) -> None:
    """Tell the peer that nothing more comes; some do not answer, and the reply counts anyway."""
    if isinstance(data, ssl.SSLSocket):
        with suppress(OSError):
            data.unwrap()


def acknowledge(sock: socket.socket) -> None:
    """Acknowledge at once what the server has sent so far.

    By Nagle's algorithm (RFC 896) a server may hold back the reply that ends a short transfer until
    the one that opened it is acknowledged. Linux delays that by 40 ms.
    """
    with suppress(AttributeError, OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def without_delay(sock: socket.socket) -> socket.socket:
    """Make a socket send small pieces at once, where each would wait for an acknowledgement."""
    with suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def kept_alive(sock: socket.socket) -> socket.socket:
    """Let the system ask the peer each minute: routers forget a connection that is quiet.

    That of commands is quiet as long as a transfer lasts.
    """
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        with suppress(OSError, AttributeError):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), KEEP_ALIVE)
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def lines_of(connection: Connection, command: str) -> tuple[list[str], bool]:
    """Return the lines of a listing, and whether TLS ended without its word for it.

    Letters that have no form in the encoding are kept apart.
    """
    with closing(Download(connection, connection.transfercmd(command))) as download:
        content = bytearray()
        while block := download.read(BLOCK):
            content += block
            line = len(content) - content.rfind(b"\n")
            if line > LONGEST_LINE or len(content) > LONGEST_LISTING:
                raise ftplib.error_proto("a listing that has no end")
        if _CUT.search(download.finish()):
            raise Refusal(errno.EIO, "The server cut its listing: raise its limit of entries")
    text = content.decode(connection.path_encoding, "surrogateescape")
    lines = [line.removesuffix("\r") for line in text.split("\n") if line.strip()]
    return lines, download.is_ragged
