"""RemoteFile, what `open` returns."""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import shutil
import warnings
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast

from django.core.files.base import File

from .contents import COPY_SIZE, as_content
from .driver import Entry
from .reader import READ_AHEAD, Buffered, Opener, Reader, Unzipped
from .spool import Spool

if TYPE_CHECKING:
    _File = File[Any]
else:
    _File = File


class RemoteFile(_File):
    """A stored file, open in any mode of Python's ``open``.

    Reading streams, starting anew after a seek. Writing fills a temporary file that ``close()``
    publishes whole; leaving a ``with`` block by an exception, or dropping the file unclosed,
    publishes nothing. It stays where it was opened, whatever a computed option gives later. A file
    that was read to be changed is stored only if it is still the stored one.
    """

    def __init__(self, name: str, storage: Opener, mode: str = "rb") -> None:
        self._mode = _Mode.parse(mode)
        self._storage = storage.settled()
        self._name = name
        self._key = storage.key(name)
        self._entry: Entry | None = None
        self._spool: Spool | None = None
        self._text: dict[str, Any] = {}
        super().__init__(None, name)
        self.name: str = name
        self.mode = mode
        self.file: IO[Any] = self._start()

    @property
    def size(self) -> int:
        """The bytes that reading gives; for a file being written, the bytes written so far."""
        self.file.flush()
        if isinstance(self._raw, io.FileIO):
            return os.fstat(self._raw.fileno()).st_size
        is_encoded = self._spool is None and self._entry is not None and self._entry.encoding
        stream = self._binary if is_encoded else self._raw
        position = stream.tell()
        end = stream.seek(0, io.SEEK_END)
        stream.seek(position)
        return end

    def open(  # type: ignore[override]
        self,
        mode: str | None = None,
        buffering: int = -1,  # noqa: ARG002 - an argument of Python's open
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
    ) -> RemoteFile:
        """Rewind, or where the file is closed open it again, in the mode given or the same."""
        if not self.closed:
            self.seek(0)
            return self
        mode = mode or self.mode
        parsed = _Mode.parse(mode)
        text = {"encoding": encoding, "errors": errors, "newline": newline}
        given = {name: each for name, each in text.items() if each is not None}
        if given and not parsed.is_text:
            raise ValueError(f"Mode {mode!r} is binary: it takes no {' or '.join(given)}.")
        self._mode, self._text = parsed, given
        self.file = self._start()
        self.mode = mode
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
                f"{self._name!r} was dropped without close(): nothing was saved.",
                ResourceWarning,
                source=self,
                stacklevel=2,
            )
            self._discard()

    def _start(self) -> IO[Any]:
        self._binary = self._open_spool() if self._mode.writes else self._open_reader()
        if not self._mode.is_text:
            return cast("IO[bytes]", self._binary)
        # What is only written stays as it is, also on Windows.
        newline = None if self._mode.reads else "\n"
        options: dict[str, Any] = {"encoding": "utf-8", "newline": newline, **self._text}
        try:
            return io.TextIOWrapper(self._binary, **options)
        except BaseException:
            # An encoding that Python does not know, for one.
            self._spool = None
            self._binary.close()
            raise

    def _open_reader(self) -> Buffered:
        with self._storage._errors(self._name):
            self._entry, stream = self._storage._open_stream(self._key)
            if self._entry.is_directory:
                raise IsADirectoryError(errno.EISDIR, "Is a directory", self._name)
        if isinstance(stream, io.FileIO):
            # A file of this machine can all that a reader could do for it, and more.
            self._raw: io.RawIOBase = stream
        else:
            self._raw = Reader(self._storage, self._key, self._name, self._entry, stream)
        buffered = Buffered(self._raw, READ_AHEAD)
        if self._entry.encoding == "gzip":
            unzipped = cast("io.RawIOBase", Unzipped(buffered, self._name))
            return Buffered(unzipped, READ_AHEAD)
        return buffered

    def _open_spool(self) -> io.BufferedWriter | io.BufferedRandom:
        spool = Spool(self._storage.max_memory_size)
        try:
            self._prepare(spool)
        except BaseException:
            spool.close()
            raise
        self._raw = self._spool = spool
        raw: Any = spool
        return io.BufferedRandom(raw) if self._mode.updates else io.BufferedWriter(raw)

    def _prepare(self, spool: Spool) -> None:
        """Bring in the stored content where the mode keeps it; refuse a taken name for ``x``."""
        self._entry = None
        if self._mode.action == "x" and self._storage.exists(self._name):
            raise FileExistsError(errno.EEXIST, "The file exists", self._name)
        if self._mode.action in "ra":
            with self._stored() as stored:
                shutil.copyfileobj(stored, spool, COPY_SIZE)
            spool.seek(0)
        if self._mode.action == "a":
            spool.append_only()
        spool.changed = False

    def _stored(self) -> IO[bytes]:
        """Return the stored content; one that is not there yet is empty to what appends."""
        try:
            return cast("IO[bytes]", self._open_reader())
        except FileNotFoundError:
            if self._mode.action == "r":
                raise
        return io.BytesIO()

    def _publish(self, written: Spool) -> None:
        # Nothing written to a file that was there before: it is as the mode wants it.
        if self._entry is not None and not written.changed:
            return
        content_type = None if self._entry is None else self._entry.content_type
        try:
            self._storage._publish(
                self._key,
                self._name,
                as_content(written, self._name, content_type),
                overwrite=self._entry is not None or self._mode.action == "w",
                expected=self._entry,
            )
        except FileExistsError as exc:
            if self._mode.action != "a":
                raise
            text = "Another made the file meanwhile: open it anew"
            raise OSError(errno.ESTALE, text, self._name) from exc

    def _discard(self) -> None:
        self._spool = None
        # A buffer flushes when it closes, and a full disk may refuse that.
        with contextlib.suppress(OSError):
            self.file.close()


class _Mode(NamedTuple):
    action: str
    updates: bool
    is_text: bool

    @classmethod
    @functools.cache
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
    def reads(self) -> bool:
        return self.updates or self.action == "r"

    @property
    def writes(self) -> bool:
        return self.updates or self.action != "r"
