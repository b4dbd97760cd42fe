"""RemoteFile, what `open` returns, and the content that a save is given."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from django.conf import settings
from django.core.files.base import File
from django.core.files.uploadedfile import InMemoryUploadedFile

from .driver import Entry, Stream

if TYPE_CHECKING:
    _File = File[Any]
else:
    _File = File

READ_AHEAD = 256 * 1024  # bytes
READ_ATTEMPTS = 3
COPY_SIZE = 1024 * 1024  # bytes a step of copying or reading everything

# Only these read their file from its start to its end; any other `chunks` is the author's own.
_PLAIN_CHUNKS = (File.chunks, InMemoryUploadedFile.chunks)


@contextmanager
def rewindable(content: File[Any], *, max_memory: int, max_size: int | None) -> Iterator[File[Any]]:
    """Give any content Django may be handed as a binary file that can be read more than once.

    Seekable binary files are given as they are, and stay open afterwards. Text, sources that
    cannot seek and those with ``chunks`` of their own are copied to a temporary file, which moves
    to disk past ``max_memory`` bytes. Raises OSError (EFBIG) past ``max_size`` bytes.
    """
    if _readable_in_place(content):
        yield content
        return
    with tempfile.SpooledTemporaryFile(max_memory, dir=settings.FILE_UPLOAD_TEMP_DIR) as copy:
        for chunk in content.chunks():
            copy.write(chunk.encode() if isinstance(chunk, str) else chunk)
            check_size(copy.tell(), max_size, content.name)
        yield as_content(copy, content.name, getattr(content, "content_type", None))


def _readable_in_place(content: File[Any]) -> bool:
    plain = "chunks" not in vars(content) and type(content).chunks in _PLAIN_CHUNKS
    return plain and content.seekable() and content.read(0) == b""


def as_content(file: Any, name: str | None, content_type: str | None) -> File[Any]:
    """Wrap an open file as a save's content with a declared type."""
    content: File[Any] = File(file, name)
    content.content_type = content_type  # type: ignore[attr-defined]
    return content


def check_size(size: int, max_size: int | None, name: str | None) -> None:
    """Raise OSError (EFBIG) for more bytes than the option ``max_size`` allows."""
    if max_size is not None and size > max_size:
        raise OSError(errno.EFBIG, f"The content is larger than max_size ({max_size} bytes)", name)


class Opener(Protocol):
    """The side of a storage that an open file uses; see `BaseStorage`."""

    @property
    def max_memory_size(self) -> int: ...  # noqa: D102
    def key(self, name: str) -> str: ...  # noqa: D102
    def exists(self, name: str) -> bool: ...  # noqa: D102
    def _errors(self, name: str) -> AbstractContextManager[None]: ...
    def _open_stream(self, key: str) -> tuple[Entry, Stream | None]: ...
    def _read(self, key: str, start: int, entry: Entry) -> Stream: ...
    def _publish(self, *args: Any, **options: Any) -> None: ...


class RemoteFile(_File):
    """A stored file, open in any mode of Python's ``open``.

    Reading streams, starting anew after a seek. Writing fills a temporary file that ``close()``
    publishes whole; leaving a ``with`` block by an exception, or dropping the file unclosed,
    publishes nothing.
    """

    def __init__(self, name: str, storage: Opener, mode: str = "rb") -> None:
        self._mode = _Mode.parse(mode)
        self._storage = storage
        self._key = storage.key(name)
        self._entry: Entry | None = None
        self._spool: _Spool | None = None
        super().__init__(None, name)
        self.name: str = name
        self.mode = mode
        self.file: IO[Any] = self._start()

    @property
    def size(self) -> int:
        """The bytes that reading gives; for a file being written, the bytes written so far."""
        if self._spool is None and self._entry is not None and self._entry.encoding is None:
            return self._entry.size
        self.file.flush()
        stream = self._spool or self._binary
        position = stream.tell()
        end = stream.seek(0, io.SEEK_END)
        stream.seek(position)
        return end

    def open(self, mode: str | None = None, *_args: Any, **_kwargs: Any) -> RemoteFile:
        """Rewind, or where the file is closed open it again, in the same mode."""
        if mode is not None and _Mode.parse(mode) != self._mode:
            raise ValueError(f"The file is open as {self.mode!r}, not {mode!r}: open it anew.")
        if self.closed:
            self.file = self._start()
        else:
            self.seek(0)
        return self

    def close(self) -> None:
        """Publish what was written, once, and close; a failure to publish is raised."""
        if self.closed:
            return
        try:
            if self._spool is not None:
                self.file.flush()
                self._publish(self._spool)
        finally:
            self._discard()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is not None and not self.closed:
            self._discard()
        self.close()

    def __del__(self) -> None:
        if vars(self).get("_spool") is not None:
            warnings.warn(
                f"{self.name!r} was dropped without close(): nothing was saved.",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
            self._discard()

    def _start(self) -> IO[Any]:
        self._binary = self._open_spool() if self._mode.writes else self._open_reader()
        if not self._mode.is_text:
            return cast("IO[bytes]", self._binary)
        return io.TextIOWrapper(
            self._binary, encoding="utf-8", newline="\n" if self._mode.writes else None
        )

    def _open_reader(self) -> io.BufferedReader[Any]:
        with self._storage._errors(self.name):
            self._entry, stream = self._storage._open_stream(self._key)
            if self._entry.is_directory:
                raise IsADirectoryError(errno.EISDIR, "Is a directory", self.name)
        raw = _Reader(self._storage, self._key, self.name, self._entry, stream)
        buffered = io.BufferedReader(raw, READ_AHEAD)
        if self._entry.encoding == "gzip":
            return io.BufferedReader(cast("io.RawIOBase", _Unzipped(buffered)), READ_AHEAD)
        return buffered

    def _open_spool(self) -> io.BufferedWriter | io.BufferedRandom:
        spooled = _Spool(self._storage.max_memory_size, dir=settings.FILE_UPLOAD_TEMP_DIR)
        try:
            self._prepare(spooled)
        except BaseException:
            spooled.close()
            raise
        self._spool = spooled
        raw = cast("io.RawIOBase", spooled)
        return io.BufferedRandom(raw) if self._mode.updates else io.BufferedWriter(raw)

    def _prepare(self, spooled: _Spool) -> None:
        """Bring in the stored content where the mode keeps it; refuse a taken name for ``x``."""
        self._entry = None
        if self._mode.action == "x" and self._storage.exists(self.name):
            raise FileExistsError(errno.EEXIST, "The file exists", self.name)
        if self._mode.action in "ra":
            try:
                with self._open_reader() as stored:
                    shutil.copyfileobj(stored, spooled, COPY_SIZE)
            except FileNotFoundError:
                if self._mode.action == "r":
                    raise
        if self._mode.action == "r":
            spooled.seek(0)
        spooled.appends = self._mode.action == "a"
        spooled.changed = False

    def _publish(self, written: _Spool) -> None:
        # Nothing written to a file that was there before: it is as the mode wants it.
        if written.changed or self._entry is None:
            content_type = None if self._entry is None else self._entry.content_type
            content = as_content(written, self.name, content_type)
            self._storage._publish(
                self._key,
                self.name,
                content,
                overwrite=self._mode.action != "x",
                expected=self._entry,
            )

    def _discard(self) -> None:
        self._spool = None
        # A buffer flushes when it closes, and a full disk may refuse that.
        with contextlib.suppress(OSError):
            self.file.close()


@dataclass(frozen=True, slots=True)
class _Mode:
    action: str
    updates: bool
    is_text: bool

    @classmethod
    def parse(cls, mode: str) -> _Mode:
        """Split a mode of ``open``; raises ValueError for one that Python does not know."""
        letters = set(mode)
        action = letters & set("rwax")
        if len(letters) != len(mode) or len(action) != 1 or letters - set("rwaxbt+"):
            raise ValueError(f"Unknown mode {mode!r}: use one of r, w, a, x with b, t or +.")
        if {"b", "t"} <= letters:
            raise ValueError(f"Mode {mode!r} is both text and binary: use b or t.")
        return cls(action.pop(), "+" in letters, "b" not in letters)

    @property
    def writes(self) -> bool:
        return self.updates or self.action != "r"


class _Spool(tempfile.SpooledTemporaryFile[bytes]):
    """A temporary file that knows whether it was changed; one that appends writes at its end."""

    changed = False
    appends = False

    def write(self, data: Any) -> int:
        self.changed = True
        if self.appends:
            self.seek(0, io.SEEK_END)
        return super().write(data)

    def truncate(self, size: int | None = None) -> int:
        self.changed = True
        return super().truncate(size)


class _Unzipped(gzip.GzipFile):
    """What a gzip stream holds; closes the stream with itself."""

    def __init__(self, compressed: io.BufferedReader[Any]) -> None:
        self._compressed = compressed
        super().__init__(fileobj=compressed, mode="rb")

    def close(self) -> None:
        super().close()
        self._compressed.close()


class _Reader(io.RawIOBase):
    """Reads one stored file in order, from a new stream after a seek or a lost connection."""

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

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._entry.size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "Cannot seek before the start", self._name)
        self._position = base + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self._entry.size - self._position)
        if wanted <= 0:
            return 0
        data = self._fetch(wanted)
        buffer[: len(data)] = data
        self._position += len(data)
        self._stream_position = self._position
        return len(data)

    def readall(self) -> bytes:
        # The standard one reads 8 KiB a step.
        pieces = []
        while (left := self._entry.size - self._position) > 0:
            piece = self._fetch(min(left, COPY_SIZE))
            self._position += len(piece)
            self._stream_position = self._position
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        self._drop()
        super().close()

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
            self._stream = self._storage._read(self._key, self._position, self._entry)
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
