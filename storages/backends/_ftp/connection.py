"""One FTP connection through ftplib, with what that leaves open: TLS, time limits, encodings.

RFC 959 with the extensions of RFC 2389 (FEAT), 2428 (EPSV), 2640 (UTF-8) and 4217 (TLS).
"""

# ruff: noqa: S321 - that FTP is not encrypted is told by a system check.

from __future__ import annotations

import codecs
import errno
import ftplib
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

from .errors import PLACE, REFUSED, UNKNOWN, UnknownCommand, unwelcome
from .location import Location
from .transfers import Lines, acknowledge, is_ready, kept_alive, without_delay

LAST_WORDS = 5.0  # seconds that a reply to a broken transfer is waited for


class Connection(ftplib.FTP):
    """A connection that is signed in, for one thread at a time."""

    # Each byte of commands and replies is one character; `_hiding` encodes paths on its own.
    encoding = "latin-1"
    #: The data connection opened last; a child closes its copy.
    data: socket.socket | None = None
    #: The TLS session that data connections resume.
    session: ssl.SSLSession | None = None
    _home: str | None = None

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
            self._begin(kept_alive(without_delay(sock)), secure=location.implicit)
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
        self.lines = Lines(self.sock, self.limit)

    def _sign_in(self, location: Location) -> None:
        """Greet, encrypt and log in; a refusal here never means a file."""
        refused = (
            errno.EPROTO,
            f"No FTP server takes the connection: check host and port in {PLACE}",
        )
        try:
            self.welcome = self.getresp()
            if location.tls and not location.implicit:
                refused = errno.EPROTO, f"The FTP server refuses TLS: check the scheme in {PLACE}"
                self.voidcmd("AUTH TLS")
                self._begin(cast("socket.socket", self.sock), secure=True)
            refused = (
                errno.EACCES,
                (
                    "The FTP server refuses the login: check 'user' (FTP_STORAGE_USER) and "
                    "'password' (FTP_STORAGE_PASSWORD), or those in 'location'"
                ),
            )
            with self._hiding(location.password) as password, self._hiding(location.user) as user:
                self.login(user, password)
            if location.tls:
                refused = errno.EPROTO, "The FTP server refuses to encrypt transfers"
                self.voidcmd("PBSZ 0")
                self.voidcmd("PROT P")
        except (ftplib.Error, ConnectionAbortedError) as exc:
            raise unwelcome(exc, *refused) from exc

    def _learn(self, encoding: str | None) -> None:
        """Ask what the server can, and have names in UTF-8 and content unchanged."""
        lines: list[str] = []
        with suppress(*REFUSED):
            lines = self.sendcmd("FEAT").splitlines()
        # Some put the code before each line.
        features = {re.sub("^211-", "", line).strip().upper() for line in lines}
        features = {line.split()[0] for line in features if line}
        self.has_facts, self.has_times = "MLST" in features, "MFMT" in features
        is_utf8 = codecs.lookup(self.path_encoding).name == "utf-8"
        if "UTF8" in features:
            with suppress(*REFUSED):
                self.sendcmd(f"OPTS UTF8 {'ON' if is_utf8 else 'OFF'}")
        elif encoding is None:
            self.path_encoding = "latin-1"
        self.voidcmd("TYPE I")

    # -- what ftplib leaves open ------------------------------------------------------------------

    def home(self) -> str:
        """Return the directory that signing in leads to, empty if the server does not tell it."""
        if self._home is None:
            self._home = ""
            with suppress(*REFUSED, ftplib.error_reply):
                path = ftplib.parse257(self.sendcmd("PWD"))
                self._home = path.encode("latin-1").decode(self.path_encoding, "surrogateescape")
        return self._home

    def sendcmd(self, cmd: str) -> str:
        """Send a command and return the reply."""
        if "\r" in cmd or "\n" in cmd:
            raise ValueError("A command is one line")
        assert self.sock is not None
        self.sock.sendall(f"{cmd}\r\n".encode("latin-1"))
        return self.getresp()

    def getresp(self) -> str:
        """Read a reply; a server that says goodbye or nothing any more raises ConnectionError."""
        try:
            reply = self.lines.reply(self.patience)
        except EOFError as exc:
            raise ConnectionResetError(errno.ECONNRESET, "The FTP server hung up") from exc
        except ssl.SSLError as exc:
            # Of vsftpd's two processes the one speaks on in plain text where the other has died.
            text = f"TLS with the FTP server broke ({exc.reason})"
            raise ConnectionResetError(errno.ECONNRESET, text) from exc
        if reply[:1] in {"1", "2", "3"}:
            return reply
        # A server resumes no session that is too old for it, such as ProFTPD after half an hour.
        has_expired = self.session is not None and reply[:3] in {"425", "522"}
        if reply.startswith("421") or has_expired:
            raise ConnectionAbortedError(errno.ECONNABORTED, reply)
        if reply[:3] in UNKNOWN:
            raise UnknownCommand(reply)
        raise {"4": ftplib.error_temp, "5": ftplib.error_perm}.get(reply[:1], ftplib.error_proto)(
            reply
        )

    def makepasv(self) -> tuple[str, int]:
        """Ask where to connect for data, by whichever command the server takes."""
        try:
            return super().makepasv()
        except REFUSED as refusal:
            try:
                if self.af == socket.AF_INET:
                    _, port = ftplib.parse229(self.sendcmd("EPSV"), self._peer())
                else:
                    _, port = ftplib.parse227(self.sendcmd("PASV"))
            except REFUSED:
                # The first is of the usual command, and tells what the server misses.
                raise refusal from None
            return self._peer()[0], port
        except OSError as exc:
            if exc.errno == errno.ENOTCONN:
                raise ConnectionResetError(errno.ECONNRESET, "The FTP server hung up") from exc
            raise

    def _peer(self) -> tuple[str, int]:
        peer: tuple[str, int] = cast("socket.socket", self.sock).getpeername()
        return peer

    def ntransfercmd(
        self, cmd: str, rest: int | str | None = None
    ) -> tuple[socket.socket, int | None]:
        """Open a data connection; with TLS it resumes the session, as vsftpd and proftpd want."""
        data, size = super().ntransfercmd(cmd, rest)
        self.data = without_delay(data)
        acknowledge(cast("socket.socket", self.sock))
        if not self.passiveserver:
            self._require_own(data)
        if self.context is not None:
            # A copy each time, which costs as much as a request.
            self.session = self.session or cast("ssl.SSLSocket", self.sock).session
            self.data = self.context.wrap_socket(
                data, server_hostname=self.host, session=self.session, suppress_ragged_eofs=False
            )
        return self.data, size

    def _require_own(self, data: socket.socket) -> None:
        """Raise ConnectionError unless the server opened a data connection: anybody could."""
        with suppress(OSError):
            if data.getpeername()[0] == self._peer()[0]:
                return
        data.close()
        raise ConnectionAbortedError(
            errno.ECONNABORTED,
            "Another host than the FTP server opened a data connection: if it is one of the "
            f"server's own, write ftp:// instead of aftp:// in {PLACE}",
        )

    @contextmanager
    def hurried(self) -> Iterator[None]:
        """Wait only a short time for replies that may never come."""
        self.patience = min(self.limit, LAST_WORDS)
        try:
            yield
        finally:
            self.patience = self.limit

    def is_quiet(self) -> bool:
        """Return True if the server said nothing unasked, which could only be goodbye."""
        assert self.sock is not None
        return not (self.lines.buffer or is_ready(self.sock, 0))

    @contextmanager
    def _hiding(self, text: str) -> Iterator[str]:
        """Give a path or password as it is sent, and take it out of what the server answers."""
        sent = text.encode(self.path_encoding, "surrogateescape").decode("latin-1")
        try:
            yield sent
        except REFUSED as exc:
            raise without(sent, exc) from None


def without(sent: str, exc: ftplib.Error) -> ftplib.Error:
    """Return a refusal without what was sent."""
    return type(exc)(str(exc).replace(sent, "…") if sent else str(exc))
