"""What backends share about sockets: which transfers count as moving, and whose they are."""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from contextlib import suppress

try:
    import fcntl
    import termios
except ImportError:  # Windows
    fcntl = termios = None  # type: ignore[assignment]

SLOWEST = 64  # bytes a second, on average, that a transfer must move; no line is so slow


def unsent(sock: socket.socket) -> int:
    """Return the bytes that the peer has not confirmed, 0 where the system does not tell."""
    if fcntl is None:
        return 0
    # A socket that another thread closed has no descriptor.
    with suppress(OSError, ValueError):
        told = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
        return int(struct.unpack("i", told)[0])
    return 0


class Pace:
    """Tells a download that moves, however slowly, from one that trickles.

    What came is looked at whenever ``patience`` seconds were waited. A limit for the whole would be
    wrong for large files, and one for each wait lets a server that sends a byte now and then go on
    for days.
    """

    def __init__(self, patience: float, slowest: int = SLOWEST) -> None:
        self._patience = patience
        self._slowest = slowest  # bytes a second
        self._waited = 0.0
        self._count = 0

    def is_kept(self, begun: float, size: int) -> bool:
        """Count ``size`` bytes, waited for since ``time.monotonic()`` was ``begun``."""
        self._waited += time.monotonic() - begun
        self._count += size
        if self._waited <= self._patience:
            return True
        is_kept = self._count >= self._waited * self._slowest
        self._waited, self._count = 0.0, 0
        return is_kept


def require_own(process: int) -> None:
    """Raise ConnectionAbortedError if a connection was opened by a process that has forked since.

    Each of the two would get some of the bytes.
    """
    if process != os.getpid():
        reason = "The connection belongs to the process that this one was forked from"
        raise ConnectionAbortedError(errno.ECONNABORTED, reason)
