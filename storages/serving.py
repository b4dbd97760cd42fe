"""One stored file as the answer to a request, whole or in part, under WSGI and ASGI."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC
from typing import IO, Any, Final, Self, cast

from asgiref.sync import sync_to_async
from django.core.files.storage import Storage
from django.core.handlers.asgi import ASGIRequest
from django.http import (
    FileResponse,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    StreamingHttpResponse,
)
from django.utils.cache import get_conditional_response, patch_vary_headers
from django.utils.http import http_date, parse_http_date_safe

from .base import BaseStorage
from .driver import Entry
from .reader import Reader

PIECE: Final = 256 * 1024  # bytes passed on at once
SLICE: Final = 16 * PIECE  # bytes taken from a connection that others may wait for

_TAKEN: Final = re.compile(
    r"[ \t]*(x-)?gzip[ \t]*(;[ \t]*q=(?!0(\.0*)?[ \t]*$)[^;]*)?", re.IGNORECASE | re.ASCII
)
_RANGE: Final = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.IGNORECASE | re.ASCII)


def takes_gzip(accepted: str) -> bool:
    """Return True if an Accept-Encoding takes gzip; ``gzip;q=0`` says that it does not."""
    return any(map(_TAKEN.fullmatch, accepted.split(",")))


@dataclass(frozen=True)
class Stored:
    """A file of a storage, as it was when it was looked at.

    ``open_part`` opens its bytes from one position to another; ``path`` is where they lie on this
    machine, if they do. ``varies`` is True if other clients get it in another encoding.
    """

    storage: Storage
    name: str
    entry: Entry
    open_part: Callable[[int, int], IO[bytes]]
    path: str | None = None
    varies: bool = False

    def open_whole(self) -> IO[bytes]:
        """Open a file of this machine in a way that tells the server its descriptor."""
        file = _opened(self.storage, self.name, 0)
        if os.fstat(file.fileno()).st_size == self.entry.size:
            return file
        file.close()
        raise OSError(errno.ESTALE, "The file was replaced", self.name)

    @property
    def etag(self) -> str | None:
        """The entity tag: weak where only size and time tell contents apart, None without both."""
        told = (self.entry.etag, self.entry.size, self.entry.modified, self.entry.encoding)
        tag = hashlib.sha256(repr(told).encode()).hexdigest()[:32]
        if self.entry.etag:
            return f'"{tag}"'
        return f'W/"{tag}"' if self.entry.modified else None

    @property
    def modified(self) -> int | None:
        """The time of the last change in seconds, as HTTP tells it."""
        return int(self.entry.modified.timestamp()) if self.entry.modified else None


def find(storage: Storage, name: str, *, accepts_gzip: bool) -> Stored:
    """Look at a file; what is not there, or no file, raises as `Storage.open` does."""
    if not isinstance(storage, BaseStorage):
        return _found_by_opening(storage, name)
    entry = storage.stat(name)
    if entry.is_directory:
        raise IsADirectoryError(name)
    if entry.encoding and not accepts_gzip:
        # How long the content is that was compressed only its end tells.
        with storage.open(name) as file:
            plain = replace(entry, size=file.size, encoding=None)
        return Stored(
            storage, name, plain, lambda start, _: _opened(storage, name, start), varies=True
        )
    open_part, path = _reading(storage, name, entry), _path(storage, name)
    return Stored(storage, name, entry, open_part, path, varies=bool(entry.encoding))


def _found_by_opening(storage: Storage, name: str) -> Stored:
    """Look at a file of a storage that is none of this package's."""
    with storage.open(name) as file:
        size, etag = file.size, _identity(file)
        modified = None
        with suppress(NotImplementedError):
            modified = storage.get_modified_time(name).astimezone(UTC)

    def open_part(start: int, _stop: int) -> IO[bytes]:
        again = _opened(storage, name, start)
        if _identity(again) != etag:
            again.close()
            raise OSError(errno.ESTALE, "The file was replaced", name)
        return again

    # A path may be no more than a name.
    path = _path(storage, name) if etag else None
    return Stored(storage, name, Entry(size, modified, etag=etag), open_part, path)


def _path(storage: Storage, name: str) -> str | None:
    with suppress(NotImplementedError):
        return storage.path(name)
    return None


def _identity(file: Any) -> str | None:
    """Tell apart the files of this machine; None for one that is not on it."""
    try:
        found = os.fstat(file.fileno())
    except (AttributeError, io.UnsupportedOperation):
        return None
    return f"{found.st_dev}-{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"


def _opened(storage: Storage, name: str, start: int) -> IO[bytes]:
    file = cast("IO[bytes]", storage.open(name))
    file.seek(start)
    return file


def _reading(storage: BaseStorage, name: str, entry: Entry) -> Callable[[int, int], IO[bytes]]:
    def open_part(start: int, stop: int) -> IO[bytes]:
        return cast("IO[bytes]", storage.reader(name, entry, start, stop))

    return open_part


def answer(request: HttpRequest, file: Stored, headers: dict[str, str]) -> HttpResponseBase:
    """Return the answer to a GET or HEAD: 200, 206, 304, 412 or 416."""
    bare = HttpResponse(headers=headers | _description(file))
    if file.varies:
        patch_vary_headers(bare, ["Accept-Encoding"])
    checked = get_conditional_response(request, file.etag, file.modified, bare)
    if checked is not None and checked is not bare:
        return checked
    size = file.entry.size
    part = _wanted(request, file)
    start, stop = part or (0, size)
    if part and start >= size:
        bare.status_code = 416
        bare.headers["Content-Range"] = f"bytes */{size}"
        return bare
    if part:
        bare.status_code = 206
        bare.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    bare.headers["Content-Length"] = str(stop - start)
    # Else GZipMiddleware compresses what has a length, and parts at that.
    bare.headers["Content-Encoding"] = file.entry.encoding or "identity"
    if request.method == "HEAD":
        return bare
    return _with_content(request, file, bare, start, stop)


def _description(file: Stored) -> dict[str, str]:
    told = {
        "Accept-Ranges": "bytes",
        "ETag": file.etag,
        "Last-Modified": None if file.modified is None else http_date(file.modified),
    }
    return {name: value for name, value in told.items() if value is not None}


def _wanted(request: HttpRequest, file: Stored) -> tuple[int, int] | None:
    """Return start and stop of the range to send, None for the whole; it may lie past the end.

    More than one range, or one that cannot be read, is answered with everything (RFC 9110 14.2).
    """
    found = _RANGE.fullmatch(request.headers.get("Range", ""))
    if request.method != "GET" or found is None or not _holds(request, file):
        return None
    first, last = found.groups()
    size = file.entry.size
    if not first:
        return _end_of(size, int(last)) if last else None
    if last and int(last) < int(first):
        return None
    return int(first), min(size, int(last) + 1) if last else size


def _end_of(size: int, count: int) -> tuple[int, int] | None:
    """Return start and stop of the last ``count`` bytes; the end of an empty file is all of it."""
    if count == 0:
        return size, size
    return (max(0, size - count), size) if size else None


def _holds(request: HttpRequest, file: Stored) -> bool:
    """Return True unless If-Range asks for another content; weak tags never match."""
    condition = request.headers.get("If-Range", "").strip()
    if not condition or (condition == file.etag and not condition.startswith("W/")):
        return True
    return file.modified is not None and parse_http_date_safe(condition) == file.modified


def _with_content(
    request: HttpRequest, file: Stored, bare: HttpResponse, start: int, stop: int
) -> HttpResponseBase:
    is_async = isinstance(request, ASGIRequest)
    is_whole = (start, stop) == (0, file.entry.size)
    response: StreamingHttpResponse
    if file.path and is_whole and not is_async:
        # The server may have the kernel send it.
        response = FileResponse(file.open_whole())
    else:
        pieces = Pieces(file.open_part(start, stop), stop - start)
        response = StreamingHttpResponse(AsyncPieces(pieces) if is_async else pieces)
    response.status_code = bare.status_code
    response.headers = bare.headers
    return response


class Pieces:
    """So many bytes of an open file in pieces, the first of them read at once; closes the file.

    A connection that others may wait for is given back while a client takes what was read of it.
    """

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size
        self._is_closed = False
        # Of who uses the file: a client may go away while a thread is reading.
        self._use = threading.Lock()
        self._ready: deque[bytes] = deque()
        self._take()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if not self._ready:
            self._take()
        if not self._ready:
            self.close()
            raise StopIteration
        return self._ready.popleft()

    def close(self) -> None:
        """Close the file; a thread that is reading does so when it is done."""
        self._is_closed = True
        if self._use.acquire(blocking=False):
            self._file.close()
            self._use.release()

    def _take(self) -> None:
        try:
            with self._use:
                if self._left and not self._is_closed:
                    self._read()
        except BaseException:
            self._is_closed = True
            raise
        finally:
            if self._is_closed:
                self._file.close()

    def _read(self) -> None:
        """Read a piece; of a connection that others may wait for, a slice."""
        file = self._file
        stop = max(0, self._left - SLICE)
        self._read_piece()
        if isinstance(file, Reader):
            while file.is_leased and self._left > stop:
                self._read_piece()
            file.release()

    def _read_piece(self) -> None:
        wanted = min(self._left, PIECE)
        piece = self._file.read(wanted)
        while len(piece) < wanted:
            more = self._file.read(wanted - len(piece))
            if not more:
                raise ConnectionAbortedError(errno.ECONNABORTED, "The content ended early")
            piece += more
        self._left -= wanted
        self._ready.append(piece)


class AsyncPieces:
    """The pieces of a file, each read in a thread while others have their turn."""

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        # In the thread of the request, whose database connections Django closes at its end.
        piece = await sync_to_async(lambda: next(self._pieces, None))()
        if piece is None:
            raise StopAsyncIteration
        return piece

    def close(self) -> None:
        """Close the file, whether or not all of it was sent."""
        self._pieces.close()
