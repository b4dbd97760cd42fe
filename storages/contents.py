"""The content that a save is given, whatever it is, as a file that can be read again."""

from __future__ import annotations

import contextlib
import errno
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.core.files.base import File
from django.core.files.uploadedfile import InMemoryUploadedFile

from .spool import Spool

COPY_SIZE = 1024 * 1024  # bytes a step of copying or reading everything

# Only these read their file from its start to its end; any other `chunks` is the author's own.
_PLAIN_CHUNKS = (File.chunks, InMemoryUploadedFile.chunks)


@contextmanager
def copied(content: Any, *, max_memory: int, max_size: int | None) -> Iterator[File[Any]]:
    """Give any content Django may be handed as a binary file that can be read more than once.

    The copy moves to disk past ``max_memory`` bytes. Raises OSError (EFBIG) past ``max_size``
    bytes.
    """
    name = getattr(content, "name", None)
    with Spool(max_memory) as copy:
        for chunk in _chunks(content):
            copy.write(chunk.encode() if isinstance(chunk, str) else chunk)
            check_size(copy.tell(), max_size, name)
        yield as_content(copy, name, getattr(content, "content_type", None))


def as_file(content: Any, name: str) -> Any:
    """Return a content as Django's methods take it; raises TypeError for what is none."""
    if hasattr(content, "chunks"):
        return content
    if not hasattr(content, "read"):
        kind = type(content).__name__
        raise TypeError(
            f"A save takes an open file or a ContentFile, not {kind}: for text or bytes, give "
            "ContentFile(…) of django.core.files.base."
        )
    return File(content, name)


def is_rewindable(content: Any) -> bool:
    """Return True for seekable binary files, which need no copy to be read more than once.

    Text, sources that cannot seek and those with ``chunks`` of their own do.
    """
    if "chunks" in vars(content) or getattr(type(content), "chunks", None) not in _PLAIN_CHUNKS:
        return False
    # What is no whole file of Python's may have no seek(), or one that does not tell where it is.
    try:
        place = content.tell()
        end = content.seek(0, io.SEEK_END)
        content.seek(place)
    except (AttributeError, OSError, TypeError, ValueError):
        return False
    return isinstance(end, int) and content.read(0) == b""


def _chunks(content: Any) -> Iterator[str | bytes]:
    """Yield the pieces of a content, from its start if it can go back there."""
    if getattr(type(content), "chunks", None) is not File.chunks or "chunks" in vars(content):
        yield from content.chunks()
        return
    with contextlib.suppress(AttributeError, OSError):
        content.seek(0)
    while piece := content.read(COPY_SIZE):
        yield piece


def as_content(file: Any, name: str | None, content_type: str | None) -> File[Any]:
    """Wrap an open file as a save's content with a declared type."""
    content: File[Any] = File(file, name)
    content.content_type = content_type  # type: ignore[attr-defined]
    return content


def check_size(size: int, max_size: int | None, name: str | None) -> None:
    """Raise OSError (EFBIG) for more bytes than the option ``max_size`` allows."""
    if max_size is not None and size > max_size:
        raise OSError(errno.EFBIG, f"The content is larger than max_size ({max_size} bytes)", name)
