"""Bodies of answers as they come, which the SDK would gather in memory first."""

from __future__ import annotations

import errno
from dataclasses import replace
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient

from storages.driver import Entry, Stream
from storages.http import Body, ranged_body

from .listings import entry_from, entry_of
from .session import Unread

GZIP_MAGIC = b"\x1f\x8b"


def begin(blob: BlobClient, size: int, patience: float) -> tuple[Entry, Stream | None]:
    """Ask for the first ``size`` bytes of a blob, which bring what a HEAD would tell."""
    try:
        response = _get(blob, 0, size - 1)
    except HttpResponseError as exc:
        if exc.status_code != 416:
            raise
        # An empty blob has no first byte.
        return entry_of(blob.get_blob_properties()), None
    length = response.headers.get("Content-Length", "")
    # What stands in between may not know Azure's header for ranges, and give the whole.
    total = response.headers.get("Content-Range", "").rpartition("/")[2] or length
    if not (total.isdecimal() and length.isdecimal()):
        response.close()
        raise OSError(errno.EPROTO, "The answer does not tell which bytes it holds")
    entry = entry_from(response.headers, int(total))
    body = Body(response, int(length), patience=patience)
    if entry.encoding is None:
        return entry, body
    begun = _Begun(body)
    # Others say that it is compressed of what they never compressed.
    return (entry if begun.start == GZIP_MAGIC else replace(entry, encoding=None)), begun


def download(blob: BlobClient, start: int, entry: Entry, patience: float) -> Body:
    """Stream a blob from ``start`` to the end of the content that ``entry`` describes.

    Raises TimeoutError where it trickles for ``patience`` seconds.
    """
    same: dict[str, Any] = {}
    if entry.etag:
        same = {"etag": entry.etag, "match_condition": MatchConditions.IfNotModified}
    response = _get(blob, start, entry.size - 1, **same)
    return ranged_body(response, start, entry.size, patience=patience)


def _get(blob: BlobClient, first: int, last: int, **condition: Any) -> Any:
    """Return the answer to a request for a range, as requests has it, its body unread."""

    def ask_for_all(request: Any) -> None:
        # The SDK asks for as much at once as it would keep in memory.
        request.http_request.headers["x-ms-range"] = f"bytes={first}-{last}"

    try:
        blob.download_blob(
            offset=first, length=1, raw_request_hook=ask_for_all, unread=True, **condition
        )
    except Unread as answered:
        return answered.response
    raise AssertionError("the transport raises each answer that is wanted unread")


class _Begun:
    """A stream of which the first bytes were read."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self.start = self._left = body.read(len(GZIP_MAGIC))

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, ``b""`` only at the end."""
        data, self._left = self._left[:size], self._left[size:]
        return data or self._body.read(size)

    def close(self) -> None:
        """Close the body."""
        self._body.close()
