"""Requests and replies of SFTP version 3, which need not wait for one another.

paramiko's own client waits for each reply, keeps what it prefetches without limit and does not
tell the status of an error, so it serves for SSH alone.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from paramiko import Channel, SSHClient, SSHException, sftp

from storages.utils import shown

from .messages import LostError, Reply
from .transfers import Patience

Result = TypeVar("Result")

MOST = 1 << 24  # bytes of a reply; more is no SFTP


class Connection:
    """Sends requests and takes replies; for one thread at a time.

    Raises OSError with an errno for what the server refuses, `LostError` where the connection
    broke, TimeoutError where it is silent.
    """

    def __init__(
        self, client: SSHClient, channel: Channel, traits: dict[str, Any] | None = None
    ) -> None:
        #: What was found out of the server, for all its sessions.
        self.traits = {} if traits is None else traits
        self.server = channel.get_transport().remote_version
        self.client = client
        self.channel = channel
        #: Numbers of the requests whose replies are due.
        self.pending: set[int] = set()
        self._number = 0
        self._out: list[bytes] = []
        self._in = bytearray()
        self._broken: OSError | None = None
        self._out.append(struct.pack(">IBI", 5, sftp.CMD_INIT, 3))
        self.flush()
        self.extensions = frozenset(Reply(self._packet()).names())

    @property
    def usable(self) -> bool:
        """Return True if nothing is known to be wrong with the connection, and nothing is due."""
        transport = self.channel.get_transport()
        return not (self._broken or self.pending or self.channel.closed) and transport.is_active()

    def ask(self, kind: int, *parts: bytes) -> int:
        """Queue a request and return its number; `flush` or `reply` sends what is queued."""
        self._number = (self._number + 1) & 0xFFFFFFFF
        self.pending.add(self._number)
        size = 5 + sum(map(len, parts))
        self._out += (struct.pack(">IBI", size, kind, self._number), *parts)
        return self._number

    def flush(self) -> None:
        """Send the requests that are queued."""
        data, self._out = b"".join(self._out), []
        sent, most = 0, self.channel.out_max_packet_size
        while sent < len(data):
            # Not `sendall`, which does not tell how far it came.
            piece = data[sent : sent + most]
            sent += self._moving(partial(self._alive().send, piece))

    def reply(self) -> Reply:
        """Return the next reply, whichever request it answers."""
        if self._out:
            self.flush()
        packet = self._packet()
        number = int.from_bytes(packet[1:5])
        if len(packet) < 5 or number not in self.pending:
            self._broken = OSError(errno.EBADMSG, "The server's reply answers no request")
            raise self._broken
        self.pending.remove(number)
        return Reply(packet)

    def call(self, kind: int, *parts: bytes) -> Reply:
        """Send a request and return its reply; a refusal is raised."""
        self.ask(kind, *parts)
        return self.reply().checked()

    def drain(self) -> None:
        """Wait for the replies that are due, and forget them."""
        while self.pending:
            self.reply()

    def _packet(self) -> bytes:
        head = self._take(4)
        size = int.from_bytes(head)
        if size > MOST:
            said = bytes(head + self._in).partition(b"\0")[0].decode(errors="replace").strip()
            self._broken = OSError(
                errno.EPROTO,
                f"The server says {shown(said)} where SFTP is expected: see that its login scripts "
                "print nothing where there is no terminal",
            )
            raise self._broken
        return self._take(size)

    def _take(self, size: int) -> bytes:
        while len(self._in) < size:
            data = self._moving(partial(self._alive().recv, 1 << 20))
            if not data:
                raise self._break(EOFError("the channel was closed"))
            self._in += data
        taken = bytes(memoryview(self._in)[:size])
        del self._in[:size]
        return taken

    def _moving(self, step: Callable[[], Result]) -> Result:
        """Take a step on the channel, again where that took too long although bytes moved."""
        patience = Patience(self.channel.get_transport().sock, self.channel.gettimeout() or 0)
        while True:
            try:
                return step()
            except (OSError, EOFError, SSHException) as exc:
                if not isinstance(exc, TimeoutError) or patience.is_over():
                    raise self._break(exc) from exc

    def forsake(self) -> None:
        """Make every further use raise: the connection is another process's."""
        self._broken = LostError(errno.ECONNRESET, "The process was forked")

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
