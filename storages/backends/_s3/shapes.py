"""What requests on a bucket look like, as learnt from those that a client builds."""

from __future__ import annotations

from base64 import b64encode
from binascii import crc32
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from botocore.awsrequest import AWSPreparedRequest

from .signing import EMPTY, authorization

#: Methods of the client, with what they send and the name of the operation.
OPERATIONS = {
    "head_object": ("HEAD", "HeadObject"),
    "get_object": ("GET", "GetObject"),
    "delete_object": ("DELETE", "DeleteObject"),
    "list_objects_v2": ("GET", "ListObjectsV2"),
    "put_object": ("PUT", "PutObject"),
}
#: Arguments that are headers, and those that are in the query.
_HEADERS = {
    "ACL": "x-amz-acl",
    "CacheControl": "Cache-Control",
    "ChecksumAlgorithm": "x-amz-sdk-checksum-algorithm",
    "ChecksumCRC32": "x-amz-checksum-crc32",
    "ContentDisposition": "Content-Disposition",
    "ContentEncoding": "Content-Encoding",
    "ContentLanguage": "Content-Language",
    "ContentType": "Content-Type",
    "IfMatch": "If-Match",
    "IfNoneMatch": "If-None-Match",
    "Range": "Range",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "StorageClass": "x-amz-storage-class",
    "Tagging": "x-amz-tagging",
}
_QUERY = {
    "Prefix": "prefix",
    "Delimiter": "delimiter",
    "MaxKeys": "max-keys",
    "ContinuationToken": "continuation-token",
}
METADATA = "x-amz-meta-"
#: Headers of a request that are the client's own; the last asks for the checksum of a file.
KEPT = {"content-length", "user-agent", ASKS := "x-amz-checksum-mode"}
#: Bytes of a body that are sent at once; they have the whole of the time limit together.
BLOCK = 64 * 1024
#: Bytes of a body that is sent without asking for leave first, which takes a round trip, and
#: stalls after an empty body at some services. Amazon's SDKs for Go and Kotlin have 2 MiB.
UNASKED = 1024 * 1024
#: Headers that count a client's tries.
_OF_THE_SDK = {"amz-sdk-invocation-id", "amz-sdk-request"}
KNOWN = {"Body", "Bucket", "Key", "Metadata", *_HEADERS, *_QUERY}


class Shape(NamedTuple):
    """What the requests of one operation on one bucket share."""

    base: str
    path: str
    host: str
    scope: str
    headers: Mapping[str, str]

    def request(
        self, operation: str, arguments: Mapping[str, Any], keys: Any, at: int
    ) -> AWSPreparedRequest:
        """Return a signed request; raises ValueError for what only the client can say."""
        method, _ = OPERATIONS[operation]
        query = ["list-type=2", "encoding-type=url"] if operation == "list_objects_v2" else []
        query += [
            f"{_QUERY[name]}={quote(str(value), safe='')}"
            for name, value in arguments.items()
            if name in _QUERY
        ]
        key, body = arguments.get("Key", ""), arguments.get("Body", b"")
        if not isinstance(body, bytes) or arguments.get("Key") == "":
            raise ValueError("Body or Key")  # the client may take it, or refuse it
        path = (f"{self.path}/{quote(key, safe='/')}" if key else self.path) or "/"
        text = "&".join(sorted(query))
        headers: dict[str, Any] = {**self.headers, **_said_in_headers(arguments)}
        if "Body" in arguments:
            headers["Content-Length"] = str(len(body))
        if len(body) > UNASKED:
            headers["Expect"] = b"100-continue"  # bytes are what botocore looks for
        digest = sha256(body).hexdigest() if body else EMPTY
        signed = f"{method}\n{path}\n{text}"
        headers |= authorization(keys, self.scope, at, signed, headers, self.host, digest)
        url = f"{self.base}{path}{'?' if text else ''}{text}"
        # botocore's own kind of headers costs four times as much, and is read as this is.
        given: Any = headers
        content: Any = None
        if "Body" in arguments:
            content = body if len(body) <= BLOCK else _blocks(body)
        return AWSPreparedRequest(method, url, given, content, operation == "get_object")


def _blocks(body: bytes) -> list[memoryview]:
    return [memoryview(body)[start : start + BLOCK] for start in range(0, len(body), BLOCK)]


def _said_in_headers(arguments: Mapping[str, Any]) -> dict[str, str]:
    said = {_HEADERS[name]: each for name, each in arguments.items() if name in _HEADERS}
    metadata = arguments.get("Metadata", {})
    said |= {f"{METADATA}{name}": each for name, each in metadata.items()}
    for name, each in said.items():
        if not (isinstance(each, str) and (name + each).isascii() and each.isprintable() and each):
            raise ValueError(name)
    return said


def compared(request: AWSPreparedRequest) -> tuple[Any, ...]:
    """Return what has to be the same of two requests."""
    url = urlsplit(request.url)
    headers = {name.lower(): text_of(each) for name, each in request.headers.items()}
    kept = {name: each for name, each in headers.items() if name not in _OF_THE_SDK}
    return request.method, url[:3], sorted(url.query.split("&")), kept


def text_of(value: str | bytes) -> str:
    """Return the value of a header as text."""
    return value.decode("latin-1") if isinstance(value, bytes) else value


def with_checksum(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments of an upload, with the checksum that boto3 adds.

    boto3 sends it in a trailer, with a body that is coded twice for it. A header says the same to
    S3, and the signature covers it.
    """
    body = arguments.get("Body")
    is_said = any(name.startswith("Checksum") for name in arguments)
    if is_said or not isinstance(body, bytes):
        return arguments
    checksum = b64encode(crc32(body).to_bytes(4, "big")).decode()
    return {**arguments, "ChecksumAlgorithm": "CRC32", "ChecksumCRC32": checksum}
