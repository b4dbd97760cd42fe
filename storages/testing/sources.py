"""Contents that behave as users' files may: large, failing, unable to seek, slow to arrive."""

from __future__ import annotations

import io
import os
import random
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPResponse
from typing import IO, TYPE_CHECKING, Any

from django.core.files.base import File

if TYPE_CHECKING:
    _File = File[bytes]
else:
    _File = File

MEETING_LIMIT = 2  # seconds


def random_bytes(size: int, seed: int = 0) -> bytes:
    """Return the same bytes for the same seed; they do not compress."""
    return random.Random(seed).randbytes(size)


def failing(good: int, error: Exception, *, can_seek: bool) -> File[bytes]:
    """Return a content that reads as zeros and raises ``error`` after ``good`` bytes, always."""
    content: Any = _Failing(good, error, can_seek=can_seek)
    return File(content, "failing")


class _Failing(io.RawIOBase):
    def __init__(self, good: int, error: Exception, *, can_seek: bool) -> None:
        self._good = good
        self._error = error
        self._can_seek = can_seek
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._can_seek

    def readinto(self, buffer: Any) -> int:
        count = min(len(buffer), self._good - self._position)
        if count <= 0 < len(buffer):
            raise self._error
        buffer[:count] = bytes(count)
        self._position += count
        return count

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if not self._can_seek:
            raise io.UnsupportedOperation("seek")
        base = (0, self._position, 2 * self._good)[whence]
        self._position = base + offset
        return self._position


class Interrupted(io.BytesIO):
    """Calls ``meanwhile`` once, before a read that begins at or past byte ``after``."""

    def __init__(self, content: bytes, meanwhile: Callable[[], None], after: int = 0) -> None:
        super().__init__(content)
        self._meanwhile: Callable[[], None] | None = meanwhile
        self._after = after

    def read(self, size: int | None = -1, /) -> bytes:
        meanwhile = self._meanwhile
        if meanwhile is not None and size != 0 and self.tell() >= self._after:
            self._meanwhile = None
            meanwhile()
        return super().read(size)


def meeting(content: bytes, barrier: threading.Barrier) -> File[bytes]:
    """Return a content that is not read before each of a barrier's contents is about to be.

    Where fewer can be saved at once than the barrier has parties, they stop waiting soon.
    """

    def meet() -> None:
        with suppress(threading.BrokenBarrierError):
            barrier.wait(MEETING_LIMIT)

    return File(Interrupted(content, meet), "meeting")


class Pieces(_File):
    """A file whose ``chunks`` give something else than its ``read``."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__(io.BytesIO(b"what chunks() does not give"), "pieces")
        self._pieces = pieces

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:  # noqa: ARG002
        return iter(self._pieces)


class Generated(io.RawIOBase):
    """Reads what a generator yields; it can neither seek nor tell its size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._left = self._left or next(self._pieces, b"")
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


@contextmanager
def pipe(content: bytes) -> Iterator[IO[bytes]]:
    """Give the reading end of a pipe into which ``content`` is written meanwhile."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as end:
            end.write(content)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading, "rb") as end:
        yield end
    thread.join()


@contextmanager
def http_response(content: bytes) -> Iterator[HTTPResponse]:
    """Give an HTTP response that carries ``content``."""
    here, there = socket.socketpair()

    def answer() -> None:
        with there:
            there.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
            there.sendall(content)

    thread = threading.Thread(target=answer)
    thread.start()
    with here, HTTPResponse(here) as response:
        response.begin()
        yield response
    thread.join()
