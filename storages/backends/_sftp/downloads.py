"""Reading one file by SFTP, in order and ahead."""

from __future__ import annotations

import struct
from contextlib import ExitStack, suppress

from paramiko import sftp

from .messages import text
from .session import REQUEST_SIZE, WINDOW, Session

FIRST_WINDOW = 8  # requests a reader begins with, to look at the head of a file for little


class Download:
    """Reads an open file in order, asking for more and more ahead; owns handle and lease."""

    is_leased = True

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

    def move_to(self, position: int) -> bool:
        """Go on at another position of the open file; return False where it is closed already."""
        if not self._handle:
            return False
        self._session.drain()
        self._asked.clear()
        self._pieces.clear()
        self._position = self._next = position
        self._window = FIRST_WINDOW // 2
        return True

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
        self._asked[self._session.ask(sftp.CMD_READ, text(self._handle), place)] = start, size

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
