"""What an open file reads with: Python's buffer, on a reader of a backend's streams."""

from __future__ import annotations

import errno
import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from .contents import COPY_SIZE
from .driver import Entry, Stream
from .spool import moved

if TYPE_CHECKING:
    _BufferedReader = io.BufferedReader[Any]
else:
    _BufferedReader = io.BufferedReader

READ_AHEAD = 256 * 1024  # bytes
READ_ATTEMPTS = 3
PROMISED = 256 * 1024 * 1024  # bytes of memory that are taken on the word of a service


class Opener(Protocol):
    """The side of a storage that an open file uses; see `BaseStorage`."""

    @property
    def max_memory_size(self) -> int: ...  # noqa: D102
    def settled(self) -> Opener: ...  # noqa: D102
    def key(self, name: str) -> str: ...  # noqa: D102
    def exists(self, name: str) -> bool: ...  # noqa: D102
    def _errors(self, name: str) -> AbstractContextManager[None]: ...
    def _open_stream(self, key: str) -> tuple[Entry, Stream | None]: ...
    def _read(self, key: str, start: int, entry: Entry) -> Stream: ...
    def _read_part(self, key: str, start: int, stop: int, entry: Entry) -> Stream: ...
    def _publish(self, *args: Any, **options: Any) -> None: ...


class Buffered(_BufferedReader):
    """Python's own, but reading everything holds it once."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Read as Python's own does."""
        if size is not None and size != -1:
            return super().read(size)
        raw = self.raw
        if isinstance(raw, Reader) and (left := max(raw.size - self.tell(), 0)) <= PROMISED:
            # The standard one takes memory of the right size, and the reader writes into it.
            return super().read(left)
        # Else it joins what it has with the rest; joining holds all of it twice.
        whole = io.BytesIO()
        while piece := super().read(COPY_SIZE):
            whole.write(piece)
        return whole.getvalue()


class Unzipped(gzip.GzipFile):
    """What a gzip stream holds; closes the stream with itself."""

    def __init__(self, compressed: io.BufferedReader[Any], name: str) -> None:
        self._compressed = compressed
        self._stored_name = name
        super().__init__(fileobj=compressed, mode="rb")

    def read(self, size: int | None = -1) -> bytes:
        """Read what the stream holds."""
        with self._explained():
            return super().read(size)

    def read1(self, size: int = -1) -> bytes:
        """Read what is at hand."""
        with self._explained():
            return super().read1(size)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move, backwards by reading anew."""
        with self._explained():
            return super().seek(offset, whence)

    def close(self) -> None:
        """Close the stream too."""
        super().close()
        self._compressed.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, zlib.error, gzip.BadGzipFile) as exc:
            text = f"The stored bytes are no whole gzip stream, as their encoding says: {exc}"
            raise OSError(errno.EIO, text, self._stored_name) from exc


class Reader(io.RawIOBase):
    """Reads one stored file in order, from a new stream after a seek or a lost connection."""

    stop: int | None = None  # behind the last byte that will be wanted, if that is known

    def __init__(
        self, storage: Opener, key: str, name: str, entry: Entry, stream: Stream | None
    ) -> None:
        self._storage = storage
        self._key = key
        self._name = name
        self._entry = entry
        self._stream = stream
        self._stream_position = 0
        self._position = 0

    def _true(self) -> bool:
        return True

    readable = seekable = _true

    def tell(self) -> int:
        """Return the position in bytes."""
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move; the next read asks for what is there."""
        self._check_open()
        self._position = moved((0, self._position, self._entry.size), offset, whence)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Read what is at hand, and wait only where nothing is."""
        wanted = min(len(buffer), COPY_SIZE, self._entry.size - self._position)
        if wanted <= 0:
            return 0
        data = self._take(wanted)
        buffer[: len(data)] = data
        return len(data)

    @property
    def size(self) -> int:
        """The bytes of the file, as they are stored."""
        return self._entry.size

    def close(self) -> None:
        """Close what is open of the file."""
        self._drop()
        super().close()

    @property
    def is_leased(self) -> bool:
        """True while the file has a connection that others may wait for."""
        return bool(getattr(self._stream, "is_leased", False))

    def release(self) -> None:
        """Give such a connection back; reading goes on with another."""
        if self.is_leased:
            self._drop()

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file.")

    def _take(self, wanted: int) -> bytes:
        data = self._fetch(wanted)
        self._position += len(data)
        self._stream_position = self._position
        return data

    def _fetch(self, wanted: int) -> bytes:
        """Return some of the next bytes; a stream that ends or breaks early is opened again."""
        lost: Exception | None = None
        for _ in range(READ_ATTEMPTS):
            try:
                if data := self._read_here(wanted):
                    return data
            except ConnectionError as exc:
                lost = exc
            self._drop()
        raise lost or ConnectionError(errno.ECONNRESET, "The content ended early", self._name)

    def _read_here(self, wanted: int) -> bytes:
        with self._storage._errors(self._name):
            return self._stream_here().read(wanted)

    def _stream_here(self) -> Stream:
        if self._stream is not None and self._stream_position != self._position:
            self._move(self._stream)
        if self._stream is None:
            place = (self._key, self._position)
            if self.stop is None or self.stop >= self._entry.size:
                self._stream = self._storage._read(*place, self._entry)
            else:
                self._stream = self._storage._read_part(*place, self.stop, self._entry)
            self._stream_position = self._position
        return self._stream

    def _move(self, stream: Stream) -> None:
        """Go on at another position: in the open stream if it can do that, else in a new one."""
        move_to = getattr(stream, "move_to", None)
        if move_to is not None and move_to(self._position):
            self._stream_position = self._position
        else:
            self._drop()

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
