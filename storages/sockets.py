"""What backends on sockets of their own share: which transfers count as moving."""

from __future__ import annotations

import socket
import struct
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
