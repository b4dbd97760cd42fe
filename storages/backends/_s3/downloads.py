"""Answers that bring files: what they say, and their bodies."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from botocore.exceptions import IncompleteReadError
from botocore.response import StreamingBody
from urllib3.exceptions import ReadTimeoutError
from urllib3.response import HTTPResponse

from storages.contents import COPY_SIZE
from storages.digests import of_etag
from storages.driver import Entry
from storages.sockets import Pace, require_own

from .errors import NO_SERVICE
from .listings import EXPRESS
from .uploads import TAG_COUNT, TOKEN, metadata_of

#: Headers that describe a file, by boto3's name in an answer.
_HEADERS = {
    "CacheControl": "cache-control",
    "ContentDisposition": "content-disposition",
    "ContentEncoding": "content-encoding",
    "ContentLanguage": "content-language",
    "ExpiresString": "expires",
    "SSEKMSKeyId": "x-amz-server-side-encryption-aws-kms-key-id",
    "StorageClass": "x-amz-storage-class",
    "TagCount": TAG_COUNT,
    "WebsiteRedirectLocation": "x-amz-website-redirect-location",
}


class _Arriving:
    """The bytes of an answer as they come; a time-out where they hardly do.

    urllib3 waits for all the bytes it is asked for, and its time limit is for each piece that
    comes, so that a server which sends a byte now and then would hold a thread for days.
    """

    def __init__(self, raw: Any, patience: float) -> None:
        self._raw = raw
        self._pace = Pace(patience)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def read(self, size: int | None = None) -> bytes:
        """Return at most ``size`` bytes, ``b""`` only at the end."""
        begun = time.monotonic()
        data: bytes = self._raw.read1(size, decode_content=False)
        if not self._pace.is_kept(begun, len(data)):
            # As if nothing had come: botocore makes its own error of it.
            raise ReadTimeoutError(self._raw._pool, "", "It sends too slowly")  # noqa: SLF001
        return data


class Download:
    """A body of ``size`` bytes; a checksum is compared with the last of them."""

    def __init__(self, body: Any, size: int, patience: float) -> None:
        # botocore has no public name for it, so it may be elsewhere some day.
        raw = getattr(body, "_raw_stream", None)
        if isinstance(raw, HTTPResponse) and hasattr(raw, "read1"):
            body._raw_stream = _Arriving(raw, patience)  # noqa: SLF001
        self._body = body
        self._left = size
        self._is_compared = type(body) is not StreamingBody
        self._owner = os.getpid()

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, ``b""`` only at the end."""
        require_own(self._owner)
        data: bytes = self._body.read(size)
        self._left -= len(data)
        if data and not self._left and self._is_compared:
            # botocore compares when a read finds the end.
            self._body.read(1)
        return data

    def skip(self, size: int) -> None:
        """Read bytes that nobody asked for."""
        while size > 0 and (data := self.read(min(size, COPY_SIZE))):
            size -= len(data)

    def close(self) -> None:
        """Close the connection where bytes are left unread."""
        self._body.close()


def body_from(answer: dict[str, Any], start: int, patience: float) -> Download:
    """Return the body of an answer to a request for what follows a position.

    Reading it raises TimeoutError where it trickles for ``patience`` seconds.

    Raises IncompleteReadError if the answer holds anything else. What stands before S3 may leave
    out the range: then all of the file comes, and what was not asked for is read and dropped.
    """
    stream = Download(answer["Body"], answer.get("ContentLength", -1), patience)
    begins, _, _ = answer.get("ContentRange", "").removeprefix("bytes ").partition("-")
    if begins == str(start):
        return stream
    if begins or answer["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.OK:
        stream.close()
        raise IncompleteReadError(actual_bytes=begins, expected_bytes=start)
    stream.skip(start)
    return stream


def described(answer: dict[str, Any]) -> Entry:
    """Return what an answer says of a file; raises OSError if it is none of S3's."""
    size = str(answer.get("ContentRange", answer.get("ContentLength"))).rpartition("/")[2]
    if "LastModified" not in answer or not size.isdigit():
        raise OSError(errno.EPROTO, NO_SERVICE)
    encodings = {each.strip() for each in answer.get("ContentEncoding", "").split(",")}
    headers = {name: str(answer[each]) for each, name in _HEADERS.items() if answer.get(each)}
    if answer.get("ServerSideEncryption", "AES256") != "AES256":
        headers["x-amz-server-side-encryption"] = answer["ServerSideEncryption"]
    is_gzip = "gzip" in encodings
    if is_gzip:
        headers["content-encoding"] = "gzip"
    return Entry(
        int(size),
        modified=answer["LastModified"],
        content_type=answer.get("ContentType"),
        etag=answer.get("ETag"),
        encoding="gzip" if is_gzip else None,
        headers=headers,
        metadata={n: each for n, each in metadata_of(answer).items() if n != TOKEN},
        digest=None if _is_opaque(answer) else of_etag(answer.get("ETag")),
    )


def _is_opaque(answer: Mapping[str, Any]) -> bool:
    """Return True if the ETag is none of the content's (S3 API reference, "Object").

    So it is of files that were encrypted with keys of KMS or of the customer.
    """
    if answer.get("StorageClass") == EXPRESS or "SSECustomerAlgorithm" in answer:
        return True
    return bool(answer.get("ServerSideEncryption", "AES256") != "AES256")
