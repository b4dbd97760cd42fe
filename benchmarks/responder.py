"""The responder: a meter that answers S3's requests out of memory, and counts them.

It is no test server: it keeps few of S3's promises. It costs about a tenth of a millisecond per
request, so that what a client costs shows, and it verifies every signature in a header, so that no
client gets away with less. Run as a program it listens on the port given and speaks plain HTTP;
``POST /-/reset?delay=0.02`` empties it and delays each answer from then on,
``POST /-/plant?prefix=a/&count=2&size=9`` stores objects in the bucket ``benchmark``, and
``POST /-/counts`` returns the numbers of requests by kind, of objects and of bytes. Each of them
starts to count anew.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sys
import time
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import NamedTuple, cast
from urllib.parse import parse_qsl, quote, unquote
from wsgiref.handlers import format_date_time
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

ACCESS_KEY = "testkey"
SECRET_KEY = "testsecret"
PAGE = 1000  # keys in an answer
JOINED = 64 * 1024  # bytes; a longer body is sent apart from its head, rather than copied
LONGEST = 1024 * 1024 * 1024  # bytes of a request's body
XML = {"content-type": "application/xml"}
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
KEPT = ("content-type", "content-encoding", "content-disposition", "cache-control", "expires")
REASONS = {200: "OK", 204: "No Content", 206: "Partial Content", 304: "Not Modified"}


class Request(NamedTuple):
    """One request; header names are in lower case."""

    method: str
    path: str  # as sent, still quoted
    query_string: str
    headers: dict[str, str]
    body: bytes

    @property
    def query(self) -> dict[str, str]:
        """Return the parameters; a repeated one counts once."""
        return dict(parse_qsl(self.query_string, keep_blank_values=True))


class Answer(NamedTuple):
    """One answer, and under which kind its request is counted."""

    kind: str
    status: int = 200
    body: bytes | memoryview = b""
    headers: dict[str, str] = {}
    length: int | None = None  # of a body that HEAD leaves out


@dataclass
class Stored:
    """An object: its content, the headers that come back with it, and its ETag."""

    content: bytes
    headers: dict[str, str]
    etag: str = ""
    modified: float = field(default_factory=time.time)

    def __post_init__(self) -> None:
        self.etag = self.etag or f'"{hashlib.md5(self.content, usedforsecurity=False).hexdigest()}"'

    @cached_property
    def listed(self) -> str:
        """What a listing says about it, but for its key."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(self.modified))
        return (
            f"<LastModified>{moment}</LastModified><ETag>{escape(self.etag)}</ETag>"
            f"<Size>{len(self.content)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        )


class RefusedError(Exception):
    """An answer with an error code of S3."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


# -- signatures -----------------------------------------------------------------------------------


@lru_cache
def signing_key(scope: str) -> bytes:
    """Return the key that signs on a day, for a region and service."""
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def verify(request: Request) -> None:
    """Refuse a request whose signature is missing or, being in a header, is wrong."""
    given = request.headers.get("authorization", "")
    if not given and "X-Amz-Signature=" in request.query_string:
        return
    if not given.startswith("AWS4-HMAC-SHA256 "):
        raise RefusedError(403, "AccessDenied")
    fields = dict(each.strip().split("=", 1) for each in given[17:].split(","))
    access_key, _, scope = fields["Credential"].partition("/")
    names, headers = fields["SignedHeaders"], request.headers
    pairs = (each if "=" in each else f"{each}=" for each in request.query_string.split("&"))
    canonical = "\n".join(
        (
            request.method,
            request.path,
            "&".join(sorted(pairs)).replace("+", "%20") if request.query_string else "",
            *(f"{name}:{' '.join(headers.get(name, '').split())}" for name in names.split(";")),
            "",
            names,
            headers["x-amz-content-sha256"],
        )
    )
    digest = hashlib.sha256(canonical.encode("latin-1")).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{headers['x-amz-date']}\n{scope}\n{digest}"
    if access_key != ACCESS_KEY or fields["Signature"] != (
        hmac.new(signing_key(scope), text.encode(), "sha256").hexdigest()
    ):
        raise RefusedError(403, "SignatureDoesNotMatch")


# -- the bucket's contents ------------------------------------------------------------------------


class Bucket:
    """Objects by key, and their keys in order."""

    def __init__(self) -> None:
        self.objects: dict[str, Stored] = {}
        self._keys: list[str] | None = None

    @property
    def keys(self) -> list[str]:
        """The keys in order; sorted once after each change."""
        if self._keys is None:
            self._keys = sorted(self.objects)
        return self._keys

    def put(self, key: str, stored: Stored) -> None:
        """Keep an object."""
        if key not in self.objects:
            self._keys = None
        self.objects[key] = stored

    def delete(self, key: str) -> None:
        """Remove an object, if it is there."""
        if self.objects.pop(key, None):
            self._keys = None

    def page(
        self, prefix: str, delimiter: str, start: int, limit: int
    ) -> tuple[list[str], list[str], int | None]:
        """Return keys and common prefixes from a position on, and where the next page starts."""
        keys, at = self.keys, start
        names: list[str] = []
        prefixes: list[str] = []
        while at < len(keys) and keys[at].startswith(prefix):
            if len(names) + len(prefixes) == limit:
                return names, prefixes, at
            key = keys[at]
            cut = key.find(delimiter, len(prefix)) if delimiter else -1
            if cut < 0:
                names.append(key)
                at += 1
            else:
                prefixes.append(key[: cut + len(delimiter)])
                at = bisect_left(keys, f"{prefixes[-1]}\U0010ffff", at)
        return names, prefixes, None


# -- the requests ---------------------------------------------------------------------------------


class Service:
    """Buckets, counts of requests, and the delay of each answer."""

    def __init__(self) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.uploads: dict[str, tuple[dict[str, str], dict[int, Stored]]] = {}
        self.counts: Counter[str] = Counter()
        self.received = 0  # bytes of bodies
        self.delay = 0.0  # seconds

    def answer(self, request: Request) -> Answer:
        """Do what a request asks, and count it."""
        try:
            verify(request)
            answer = self._answer(request)
        except (RefusedError, KeyError, ValueError) as found:
            # Whatever else is odd is refused too: clients repeat what is answered by silence.
            exc = found if isinstance(found, RefusedError) else RefusedError(400, repr(found))
            code = escape(exc.code)
            text = f"<Error><Code>{code}</Code><Message>{code}</Message></Error>"
            body = b"" if request.method == "HEAD" else text.encode()
            answer = Answer(request.method, exc.status, body, XML)
        self.counts[answer.kind] += 1
        self.received += len(request.body)
        return answer

    def control(self, request: Request) -> Answer:
        """Answer the one who measures."""
        if request.path == "/-/reset":
            self.__init__()  # type: ignore[misc]
            self.delay = float(request.query.get("delay", 0))
        if request.path == "/-/plant":
            bucket, query = self.buckets.setdefault("benchmark", Bucket()), request.query
            stored = Stored(bytes(int(query["size"])), {})
            for number in range(int(query["count"])):
                bucket.put(f"{query['prefix']}{number or ''}", stored)
        sizes = [len(o.content) for each in self.buckets.values() for o in each.objects.values()]
        told = {
            "requests": self.counts,
            "objects": len(sizes),
            "bytes": sum(sizes),
            "received": self.received,
        }
        answer = Answer("", 200, json.dumps(told).encode(), {"content-type": "application/json"})
        self.counts, self.received = Counter(), 0
        return answer

    def _answer(self, request: Request) -> Answer:
        name, _, key = unquote(request.path[1:]).partition("/")
        if not name:
            return Answer("BUCKET", 200, b"<ListAllMyBucketsResult/>", XML)
        # A bucket is there once somebody names it: nobody is measured at making one.
        bucket = self.buckets.setdefault(name, Bucket())
        if not key:
            return self._of_bucket(bucket, request)
        if request.query_string and {"uploads", "uploadId"} & request.query.keys():
            return self._multipart(bucket, key, request)
        work: Callable[[Bucket, str, Request], Answer] | None = {
            "PUT": self._put,
            "GET": self._get,
            "HEAD": self._get,
            "DELETE": self._delete,
        }.get(request.method)
        if work is None:
            raise RefusedError(405, "MethodNotAllowed")
        return work(bucket, key, request)

    def _of_bucket(self, bucket: Bucket, request: Request) -> Answer:
        query = request.query
        if request.method == "POST" and "delete" in query:
            return self._delete_many(bucket, request)
        if request.method != "GET":
            return Answer("BUCKET")
        if "location" in query:
            return Answer("BUCKET", 200, f"<LocationConstraint {NAMESPACE}/>".encode(), XML)
        if "versioning" in query or "object-lock" in query or "acl" in query:
            raise RefusedError(501, "NotImplemented")
        return Answer("LIST", 200, listing(bucket, query).encode(), XML)

    def _put(self, bucket: Bucket, key: str, request: Request) -> Answer:
        headers = request.headers
        if source := headers.get("x-amz-copy-source"):
            return self._copy(bucket, key, source, headers)
        if headers.get("if-none-match") == "*" and key in bucket.objects:
            raise RefusedError(412, "PreconditionFailed")
        stored = Stored(request.body, kept(headers))
        bucket.put(key, stored)
        return Answer("PUT", headers={"etag": stored.etag})

    def _copy(self, bucket: Bucket, key: str, source: str, headers: dict[str, str]) -> Answer:
        name, _, old = unquote(source).lstrip("/").partition("/")
        found = self.buckets.setdefault(name, Bucket()).objects.get(old)
        if found is None:
            raise RefusedError(404, "NoSuchKey")
        replaces = headers.get("x-amz-metadata-directive") == "REPLACE"
        copied = Stored(found.content, kept(headers) if replaces else found.headers, found.etag)
        bucket.put(key, copied)
        text = f"<CopyObjectResult><ETag>{escape(copied.etag)}</ETag></CopyObjectResult>"
        return Answer("COPY", 200, text.encode(), XML)

    def _get(self, bucket: Bucket, key: str, request: Request) -> Answer:
        stored, method = bucket.objects.get(key), request.method
        if stored is None:
            raise RefusedError(404, "NoSuchKey")
        if request.headers.get("if-match", stored.etag) != stored.etag:
            raise RefusedError(412, "PreconditionFailed")
        headers = {
            "content-type": "binary/octet-stream",
            **stored.headers,
            "etag": stored.etag,
            "last-modified": format_date_time(stored.modified),
            "accept-ranges": "bytes",
        }
        total = len(stored.content)
        if method == "HEAD":
            return Answer("HEAD", headers=headers, length=total)
        if request.headers.get("if-none-match") == stored.etag:
            return Answer("GET", 304, headers=headers)
        if not (wanted := request.headers.get("range", "")).startswith("bytes="):
            return Answer("GET", 200, stored.content, headers)
        first, _, last = wanted[6:].partition("-")
        begin = int(first) if first else max(0, total - int(last))
        end = min(int(last) + 1 if first and last else total, total)
        if begin >= total:
            raise RefusedError(416, "InvalidRange")
        headers["content-range"] = f"bytes {begin}-{end - 1}/{total}"
        # Not copied, as the whole is not: a part would cost more than it.
        return Answer("GET", 206, memoryview(stored.content)[begin:end], headers)

    def _delete(self, bucket: Bucket, key: str, _request: Request) -> Answer:
        bucket.delete(key)
        return Answer("DELETE", 204)

    def _delete_many(self, bucket: Bucket, request: Request) -> Answer:
        tree = ET.fromstring(request.body)
        for each in tree.iter():
            if each.tag.endswith("Key"):
                bucket.delete(each.text or "")
        return Answer("DELETE MANY", 200, f"<DeleteResult {NAMESPACE}/>".encode(), XML)

    def _multipart(self, bucket: Bucket, key: str, request: Request) -> Answer:
        query, method = request.query, request.method
        if method == "POST" and "uploads" in query:
            upload = f"{len(self.uploads)}-{time.monotonic_ns()}"
            self.uploads[upload] = kept(request.headers), {}
            text = f"<UploadId>{upload}</UploadId><Key>{escape(key)}</Key>"
            return xml("MULTIPART", "InitiateMultipartUploadResult", text)
        if method not in {"PUT", "POST", "DELETE"} or query["uploadId"] not in self.uploads:
            raise RefusedError(404, "NoSuchUpload")
        if method == "PUT":
            part = Stored(request.body, {})
            self.uploads[query["uploadId"]][1][int(query["partNumber"])] = part
            return Answer("PART", headers={"etag": part.etag})
        headers, parts = self.uploads.pop(query["uploadId"])
        if method == "DELETE":
            return Answer("MULTIPART", 204)
        ordered = [parts[number] for number in sorted(parts)]
        digests = b"".join(bytes.fromhex(each.etag.strip('"')) for each in ordered)
        etag = f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(ordered)}"'
        bucket.put(key, Stored(b"".join(each.content for each in ordered), headers, etag))
        text = f"<Key>{escape(key)}</Key><ETag>{escape(etag)}</ETag>"
        return xml("MULTIPART", "CompleteMultipartUploadResult", text)


def xml(kind: str, tag: str, text: str) -> Answer:
    """Return an answer in XML."""
    return Answer(kind, 200, f"<{tag} {NAMESPACE}>{text}</{tag}>".encode(), XML)


def kept(headers: dict[str, str]) -> dict[str, str]:
    """Return the headers that are stored with an object."""
    found = {name: headers[name] for name in KEPT if name in headers}
    found |= {name: text for name, text in headers.items() if name.startswith("x-amz-meta-")}
    if "aws-chunked" in found.get("content-encoding", ""):
        parts = [each.strip() for each in found.pop("content-encoding").split(",")]
        if rest := [each for each in parts if each != "aws-chunked"]:
            found["content-encoding"] = ", ".join(rest)
    return found


def listing(bucket: Bucket, query: dict[str, str]) -> str:
    """Return a page of a listing, of either version of that request."""
    shown = quote if query.get("encoding-type") == "url" else escape
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    limit = min(int(query.get("max-keys", PAGE)), PAGE)
    after = query.get("start-after") or query.get("marker") or ""
    if token := query.get("continuation-token"):
        start = bisect_left(bucket.keys, bytes.fromhex(token).decode())
    elif delimiter and after.endswith(delimiter):
        start = bisect_left(bucket.keys, f"{after}\U0010ffff")
    else:
        start = bisect_right(bucket.keys, after)
    start = max(start, bisect_left(bucket.keys, prefix))
    names, prefixes, following = bucket.page(prefix, delimiter, start, limit)
    parts = [
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult {NAMESPACE}><Name>b</Name>',
        f"<Prefix>{shown(prefix)}</Prefix><KeyCount>{len(names) + len(prefixes)}</KeyCount>",
        f"<MaxKeys>{limit}</MaxKeys><IsTruncated>{str(following is not None).lower()}",
        "</IsTruncated>",
    ]
    if shown is quote:
        parts.append("<EncodingType>url</EncodingType>")
    if following is not None:
        token = bucket.keys[following].encode().hex()
        last = max(names[-1:] + prefixes[-1:])
        parts.append(f"<NextContinuationToken>{token}</NextContinuationToken>")
        parts.append(f"<NextMarker>{shown(last)}</NextMarker>")
    objects = bucket.objects
    parts += [f"<Contents><Key>{shown(key)}</Key>{objects[key].listed}" for key in names]
    parts += [
        f"<CommonPrefixes><Prefix>{shown(each)}</Prefix></CommonPrefixes>" for each in prefixes
    ]
    return f"{''.join(parts)}</ListBucketResult>"


def unchunked(body: bytes) -> bytes:
    """Return what a body in S3's own chunks holds; their signatures are not looked at."""
    pieces: list[bytes] = []
    at = 0
    while True:
        end = body.index(b"\r\n", at)
        size = int(body[at:end].partition(b";")[0], 16)
        if not size:
            return b"".join(pieces)
        pieces.append(body[end + 2 : end + 2 + size])
        at = end + 2 + size + 2


# -- HTTP -----------------------------------------------------------------------------------------


class Connection(asyncio.Protocol):
    """Reads the requests of a client one by one; a delayed answer holds up no other client."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.buffer = bytearray()
        self.head: tuple[str, str, dict[str, str]] | None = None
        self.missing = 0  # bytes of the body, from the buffer's start
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take what came, and answer once a request is whole."""
        self.buffer += data
        if self.head is None and not self._read_head():
            return
        if len(self.buffer) >= self.missing and self.head is not None:
            method, target, headers = self.head
            body = bytes(self.buffer[: self.missing])
            del self.buffer[: self.missing]
            self.head = None
            path, _, query = target.partition("?")
            if headers.get("x-amz-content-sha256", "").startswith("STREAMING-"):
                body = unchunked(body)
            self._serve(Request(method, path, query, headers, body))

    def _read_head(self) -> bool:
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
        del self.buffer[: end + 4]
        method, target, _ = first.split(" ")
        headers = {}
        for line in lines:
            name, _, text = line.partition(":")
            headers[name.lower()] = text.strip()
        self.head = method, target, headers
        self.missing = int(headers.get("content-length", 0))
        if "transfer-encoding" in headers or self.missing > LONGEST:
            self._send(Answer("REFUSED", 501, b"a body without a length, or of more than a GiB"))
            self.transport.close()
            return False
        if headers.get("expect", "").lower() == "100-continue":
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return True

    def _serve(self, request: Request) -> None:
        service = self.service
        if request.path.startswith("/-/"):
            self._send(service.control(request))
        elif service.delay:
            answer = service.answer(request)
            asyncio.get_running_loop().call_later(service.delay, self._send, answer)
        else:
            self._send(service.answer(request))

    def _send(self, answer: Answer) -> None:
        lines = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Error')}"]
        if answer.status not in {204, 304}:
            length = len(answer.body) if answer.length is None else answer.length
            lines.append(f"content-length: {length}")
        lines += [f"{name}: {text}" for name, text in answer.headers.items()]
        head = ("\r\n".join(lines) + "\r\nx-amz-request-id: 1\r\n\r\n").encode("latin-1")
        if len(answer.body) < JOINED:
            self.transport.write(head + answer.body)
        else:
            self.transport.write(head)
            self.transport.write(answer.body)


async def serve(port: int) -> None:
    """Listen until the process is ended."""
    service = Service()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(service), "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve the port given, by uvloop where it is installed."""
    port = int(sys.argv[1]) if sys.argv[1:] else 0
    try:
        import uvloop  # noqa: PLC0415 - it takes a third off each request, and may be missing
    except ImportError:
        asyncio.run(serve(port))
    else:
        uvloop.run(serve(port))


if __name__ == "__main__":
    main()
