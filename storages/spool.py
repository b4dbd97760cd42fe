"""Spool: the temporary file that a file being written is kept in until it is closed."""

from __future__ import annotations

import errno
import io
import os
import tempfile
from contextlib import suppress
from typing import IO, Any

from django.conf import settings

fcntl: Any = None
with suppress(ImportError):  # Windows
    import fcntl


def moved(starts: tuple[int, int, int], offset: int, whence: int) -> int:
    """Return where a move leads that begins at one of three positions, as Python numbers them."""
    if whence not in (io.SEEK_SET, io.SEEK_CUR, io.SEEK_END):
        raise ValueError(f"invalid whence ({whence}, should be 0, 1 or 2)")
    if starts[whence] + offset < 0:
        raise OSError(errno.EINVAL, "Cannot move before the start")
    return starts[whence] + offset


class Spool(io.RawIOBase):
    """A temporary file that stays in memory up to ``max_memory`` bytes; 0 is any number.

    Behaves as an unbuffered file of Python's does, also for those who write to its descriptor,
    which exists from the first call of `fileno` on. ``changed`` is True once someone may have
    written. Once `append_only` is called all writes go to the end.
    """

    def __init__(self, max_memory: int) -> None:
        self.changed = False
        self._max_memory = max_memory
        self._appends = False
        self._file: IO[bytes] = io.BytesIO()

    def append_only(self) -> None:
        """Let all writes from now on go to the end, whatever the position."""
        self._appends = True
        self._file.seek(0, io.SEEK_END)
        self._tell_system()

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Read into a buffer, at most until the end."""
        count: int = self._file.readinto(buffer)  # type: ignore[attr-defined]
        return count

    def readall(self) -> bytes:
        """Return all that follows."""
        return self._file.read()

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        """Write at the position, or at the end."""
        self.changed = True
        if self._appends:
            self._file.seek(0, io.SEEK_END)
        self._make_room(self._file.tell() + len(data))
        return self._file.write(data)

    def truncate(self, size: int | None = None) -> int:
        """Cut or extend to a size, by default the position."""
        self.changed = True
        size = self._file.tell() if size is None else size
        if size < 0:
            raise OSError(errno.EINVAL, "A size cannot be negative")
        self._make_room(size)
        position, missing = self._file.tell(), size - self._end()
        if missing > 0 and isinstance(self._file, io.BytesIO):
            self._file.seek(0, io.SEEK_END)
            self._file.write(bytes(missing))
            self._file.seek(position)
        self._file.truncate(size)
        return size

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move, also past the end."""
        return self._file.seek(moved((0, self._file.tell(), self._end()), offset, whence))

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._file.tell()

    def fileno(self) -> int:
        """Return a descriptor; the content moves to disk, and counts as changed."""
        self.changed = True
        self._move_to_disk()
        return self._file.fileno()

    def close(self) -> None:
        """Drop the content."""
        self._file.close()
        super().close()

    def _end(self) -> int:
        position = self._file.tell()
        end = self._file.seek(0, io.SEEK_END)
        self._file.seek(position)
        return end

    def _make_room(self, size: int) -> None:
        if self._max_memory and size > self._max_memory:
            self._move_to_disk()

    def _move_to_disk(self) -> None:
        if not isinstance(self._file, io.BytesIO):
            return
        in_memory, position = self._file, self._file.tell()
        directory = settings.FILE_UPLOAD_TEMP_DIR
        on_disk = tempfile.TemporaryFile(buffering=0, dir=directory)  # noqa: SIM115
        try:
            with in_memory.getbuffer() as content:
                written = 0
                while written < len(content):
                    written += on_disk.write(content[written:])
            on_disk.seek(position)
        except BaseException:
            on_disk.close()
            raise
        self._file = on_disk
        self._tell_system()

    def _tell_system(self) -> None:
        """Let the system append what is written to the descriptor as well, where it can."""
        if self._appends and fcntl is not None and not isinstance(self._file, io.BytesIO):
            fcntl.fcntl(
                self._file, fcntl.F_SETFL, fcntl.fcntl(self._file, fcntl.F_GETFL) | os.O_APPEND
            )
