"""Bytes on the socket under SSH, where waits have a limit and what moves begins it anew."""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from contextlib import suppress
from typing import Any

import paramiko

from storages.sockets import SLOWEST, unsent


class Wire:
    """A socket on which sending ends too, where paramiko tries for ever; it counts what moves."""

    def __init__(self, sock: Any, timeout: float) -> None:
        self._sock = sock
        self._timeout = timeout
        self._passed = 0  # bytes in either direction
        self.stalled = False
        #: True once the peer has said that nothing more comes.
        self.has_ended = False
        if isinstance(sock, socket.socket) and sock.family != getattr(socket, "AF_UNIX", None):
            # Else each request of more than one packet waits for a delayed acknowledgement.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def moved(self) -> int:
        """The bytes that came, or that the peer has confirmed."""
        held = unsent(self._sock) if isinstance(self._sock, socket.socket) else 0
        return self._passed - held

    def send(self, data: bytes) -> int:
        patience: Patience | None = None
        deadline = 0.0
        while True:
            try:
                sent: int = self._sock.send(data)
            except TimeoutError:
                # The first wait lasts a tenth of a second, and most sends have none.
                if patience is None:
                    patience = Patience(self, self._timeout)
                elif time.monotonic() < deadline:
                    continue
                elif patience.is_over():
                    self.stalled = True
                    text = "nothing can be sent"
                    raise ConnectionAbortedError(errno.ECONNABORTED, text) from None
                deadline = time.monotonic() + self._timeout
            else:
                self._passed += sent
                return sent

    def recv(self, size: int) -> bytes:
        if isinstance(self._sock, paramiko.ProxyCommand):
            # paramiko's own way goes on reading from a command that has ended.
            received = _from_command(self._sock, size)
        else:
            received = self._sock.recv(size)
        self._passed += len(received)
        self.has_ended = not received
        return received

    def close(self) -> None:
        # A command that has ended by itself cannot be killed, which paramiko's thread complains of.
        with suppress(ProcessLookupError):
            self._sock.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class Patience:
    """Tells after each wait whether too little moved in it; a wire of another kind is unknown."""

    def __init__(self, wire: Any, seconds: float) -> None:
        self._wire = wire
        self._least = SLOWEST * seconds
        self._before = self._moved()

    def is_over(self) -> bool:
        """Return True if the peer is as good as silent since this was made or asked last."""
        before, self._before = self._before, self._moved()
        return self._before - before < self._least

    def _moved(self) -> int:
        return self._wire.moved if isinstance(self._wire, Wire) else 0


def _from_command(command: paramiko.ProxyCommand, size: int) -> bytes:
    output = command.process.stdout
    assert output is not None
    if not select.select([output], [], [], command.timeout)[0]:
        raise TimeoutError
    return os.read(output.fileno(), size)
