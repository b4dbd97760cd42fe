"""One FTP connection through ftplib, with what that leaves open: TLS, time limits, encodings.

RFC 959 with the extensions of RFC 2389 (FEAT), 2640 (UTF-8) and 4217 (TLS).
"""

# ruff: noqa: S321 - that FTP is not encrypted is told by a system check.

from __future__ import annotations

import errno
import ftplib
import selectors
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO, cast

from storages.driver import Source

from .errors import REFUSED, BrokenTransferError, ContentError
from .location import Location

BLOCK = 256 * 1024  # bytes sent or received at once
LAST_WORDS = 5.0  # seconds that a reply to a broken transfer is waited for
SLOWEST = 1024  # bytes a second, on average, that a download must bring


class Connection(ftplib.FTP):
    """A connection that is signed in, for one thread at a time."""

    # Each byte of commands and replies is one character; `_hiding` encodes paths on its own.
    encoding = "latin-1"
    #: The data connection opened last; a child closes its copy.
    data: socket.socket | None = None

    def __init__(
        self,
        location: Location,
        timeout: float,
        encoding: str | None,
        context: ssl.SSLContext | None,
    ) -> None:
        super().__init__(timeout=timeout, encoding=self.encoding)
        self.host = location.host
        self.limit = self.patience = timeout
        self.context = context
        self.path_encoding = encoding or "utf-8"
        self.set_pasv(not location.active)
        sock = socket.create_connection((location.host, location.port), timeout)
        try:
            self._begin(sock, secure=location.implicit)
            self.welcome = self.getresp()
            self._sign_in(location)
            self._learn(encoding)
        except BaseException:
            self.close()
            raise

    # -- signing in -------------------------------------------------------------------------------

    def _begin(self, sock: socket.socket, *, secure: bool) -> None:
        """Talk over a socket, encrypted from now on or not."""
        self.sock, self.af = sock, sock.family
        if secure and self.context is not None:
            self.sock = self.context.wrap_socket(sock, server_hostname=self.host)
        # What was sent before a handshake is not trusted, so the lines begin anew.
        self.file = cast("TextIO", _Lines(self.sock, self.limit))

    def _sign_in(self, location: Location) -> None:
        if location.tls and not location.implicit:
            self.voidcmd("AUTH TLS")
            self._begin(cast("socket.socket", self.sock), secure=True)
        with self._hiding(location.password) as password, self._hiding(location.user) as user:
            self.login(user, password)
        if location.tls:
            self.voidcmd("PBSZ 0")
            self.voidcmd("PROT P")

    def _learn(self, encoding: str | None) -> None:
        """Ask what the server can, and have names in UTF-8 and content unchanged."""
        try:
            lines = self.sendcmd("FEAT").splitlines()[1:-1]
        except ftplib.error_perm:
            lines = []
        features = {line.split()[0].upper() for line in lines if line.strip()}
        self.has_facts, self.has_times = "MLST" in features, "MFMT" in features
        if "UTF8" in features:
            with suppress(ftplib.error_perm):
                self.sendcmd("OPTS UTF8 ON")
        elif encoding is None:
            self.path_encoding = "latin-1"
        self.voidcmd("TYPE I")

    # -- what ftplib leaves open ------------------------------------------------------------------

    def getmultiline(self) -> str:
        """Read a reply, the whole of it within the time limit."""
        cast("_Lines", self.file).deadline = time.monotonic() + self.patience
        return super().getmultiline()

    def getresp(self) -> str:
        """Read a reply; a server that says goodbye or nothing any more raises ConnectionError."""
        try:
            return super().getresp()
        except EOFError as exc:
            raise ConnectionResetError(errno.ECONNRESET, "The FTP server hung up") from exc
        except ftplib.error_temp as exc:
            if str(exc).startswith("421"):
                raise ConnectionAbortedError(errno.ECONNABORTED, str(exc)) from exc
            raise

    def ntransfercmd(
        self, cmd: str, rest: int | str | None = None
    ) -> tuple[socket.socket, int | None]:
        """Open a data connection; with TLS it resumes the session, as vsftpd and proftpd want."""
        data, size = super().ntransfercmd(cmd, rest)
        if self.context is not None:
            session = cast("ssl.SSLSocket", self.sock).session
            data = self.context.wrap_socket(data, server_hostname=self.host, session=session)
        return data, size

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Wait only a short time for replies that may never come."""
        self.patience = min(self.limit, LAST_WORDS)
        try:
            yield
        finally:
            self.patience = self.limit

    def is_quiet(self) -> bool:
        """Tell whether the server said nothing unasked, which could only be goodbye."""
        assert self.sock is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            return not selector.select(0) and cast("_Lines", self.file).is_empty

    @contextmanager
    def _hiding(self, text: str) -> Iterator[str]:
        """Give a path or password as the server's bytes, and take it out of what it answers."""
        sent = text.encode(self.path_encoding, "surrogateescape").decode("latin-1")
        try:
            yield sent
        except REFUSED as exc:
            raise type(exc)(str(exc).replace(sent, "…") if sent else str(exc)) from None


class Download:
    """The data connection of a command that brings data."""

    def __init__(self, connection: Connection, data: socket.socket) -> None:
        self._connection = connection
        self._data = data
        connection.data = data
        self._waited = 0.0  # seconds
        self._received = 0  # bytes

    def read(self, size: int) -> bytes:
        """Return some bytes, none at the end; raises TimeoutError where they come too slowly."""
        begun = time.monotonic()
        block = self._data.recv(size)
        self._waited += time.monotonic() - begun
        self._received += len(block)
        if self._waited > self._connection.limit + self._received / SLOWEST:
            raise TimeoutError(errno.ETIMEDOUT, "The FTP server sends too slowly")
        return block

    def finish(self) -> None:
        """Close after the end, and read the reply: without it the content may not be whole."""
        with self._data:
            end_tls(self._data)
        self._connection.voidresp()

    def abandon(self) -> None:
        """Close before the end; raises OSError where the connection cannot be used on."""
        self.close()
        with self._connection.hurried(), suppress(*REFUSED):
            self._connection.getresp()

    def close(self) -> None:
        """Close the data connection alone."""
        self._data.close()


class _Lines:
    """The lines of a socket, up to a deadline however slowly their bytes come."""

    def __init__(self, sock: socket.socket, limit: float) -> None:
        self.deadline = time.monotonic() + limit
        self._sock = sock
        self._limit = limit
        self._buffer = b""

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is left to read."""
        return not self._buffer

    def readline(self, size: int) -> str:
        """Return a line of at most ``size`` characters, ``""`` at the end."""
        while b"\n" not in self._buffer and len(self._buffer) < size:
            # Zero would mean not to wait at all, also for what is there.
            self._sock.settimeout(max(self.deadline - time.monotonic(), 0.001))
            received = self._sock.recv(BLOCK)
            if not received:
                break
            self._buffer += received
        self._sock.settimeout(self._limit)
        end = self._buffer.find(b"\n") + 1 or len(self._buffer)
        line, self._buffer = self._buffer[: min(end, size)], self._buffer[min(end, size) :]
        return line.decode("latin-1")

    def close(self) -> None:
        """Do nothing: ftplib closes the socket."""


def send(data: socket.socket, source: Source) -> None:
    """Send the content; raises ContentError where it cannot be read."""
    while block := _block(source):
        try:
            data.sendall(block)
        except (ConnectionError, ssl.SSLError) as exc:
            raise BrokenTransferError(errno.ECONNABORTED, "The server stopped reading") from exc
    end_tls(data)


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
