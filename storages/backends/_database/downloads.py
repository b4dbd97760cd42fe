"""Reading one file in slices, each from a session that is given back at once."""

from __future__ import annotations

import errno
import time

from storages.driver import Entry

from .layout import Runner
from .messages import tag
from .statements import Statements

LEAST = 256 * 1024  # bytes of a slice after a jump
FAST = 1.0  # seconds within which a slice comes if the next may be larger
MOST = 4 * 1024 * 1024  # bytes of a slice, which grow while a file is read in order


class Download:
    """The content of an entry, from some byte on; every slice is of the same version."""

    def __init__(
        self,
        runner: Runner,
        statements: Statements,
        key: str,
        entry: Entry,
        start: int = 0,
        data: bytes = b"",
    ) -> None:
        self._runner = runner
        self._statements = statements
        self._key = key
        self._entry = entry
        self._position = start
        self._data = data
        self._start = start  # of the slice
        self._length = max(LEAST, len(data))

    def read(self, size: int) -> bytes:
        """Return some of the next bytes."""
        if self._position >= self._entry.size:
            return b""
        if not self._start <= self._position < self._start + len(self._data):
            self._fetch(size)
        at = self._position - self._start
        data = self._data[at : at + size]
        self._position += len(data)
        return data

    def move_to(self, position: int) -> bool:
        """Go on elsewhere."""
        if not self._start <= position <= self._start + len(self._data):
            self._length = LEAST
        self._position = position
        return True

    def close(self) -> None:
        """Forget the slice; no session is held."""
        self._data = b""

    def _fetch(self, size: int) -> None:
        length = max(size, self._length)
        values = (self._position + 1, length, self._key)
        begin = time.monotonic()
        rows = self._runner.run(lambda session: session.ask(self._statements.slice, values))
        if not rows:
            raise FileNotFoundError(errno.ENOENT, "No such file")
        version, data = rows[0]
        if tag(version, self._entry.size) != self._entry.etag:
            raise OSError(errno.ESTALE, "The file was replaced while it was read")
        self._start, self._data = self._position, bytes(data or b"")
        # On a slow line a larger slice would not come within the time limit.
        is_fast = time.monotonic() - begin < FAST
        self._length = min(2 * length, MOST) if is_fast else LEAST
