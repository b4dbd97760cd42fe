"""A meter: the few requests of S3 that a benchmark sends, answered out of memory by one process.

It checks no signature and keeps no promise of S3. It costs so little that a client's cost shows.
"""

from __future__ import annotations

import asyncio
import hashlib
import multiprocessing
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_DATE = "Wed, 25 Nov 2026 00:00:00 GMT"
_PAGE = 1000
_XML = "application/xml"
NOTHING: Mapping[str, str] = {}


class Bucket:
    """Objects by path, bucket and all."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> bytes:
        """Return the whole answer to a request."""
        url = urlsplit(target)
        path = unquote(url.path)
        if method == "PUT":
            self.files[path] = body
            return self._said(200, {"ETag": self._etag(body)})
        if method == "DELETE":
            self.files.pop(path, None)
            return self._said(204)
        if "list-type" in url.query:
            page = self._page(path, {n: v[0] for n, v in parse_qs(url.query).items()})
            return self._said(200, {"Content-Type": _XML}, page)
        if path not in self.files:
            return self._said(404, {"Content-Type": _XML}, b"<Error><Code>NoSuchKey</Code></Error>")
        return self._file(method, self.files[path], headers.get("range", ""))

    def _file(self, method: str, content: bytes, wanted: str) -> bytes:
        status, extra = 200, {}
        total = len(content)
        etag = self._etag(content) if total < 1 << 20 else '"large"'
        if found := re.fullmatch(r"bytes=(\d+)-(\d*)", wanted):
            first, last = int(found[1]), min(int(found[2] or total), total - 1)
            content = content[first : last + 1]
            status, extra = 206, {"Content-Range": f"bytes {first}-{last}/{total}"}
        about = {"ETag": etag, "Last-Modified": _DATE, "Content-Type": "text/plain", **extra}
        if method == "HEAD":
            return self._said(status, {**about, "Content-Length": str(total)})
        return self._said(status, about, content)

    def _page(self, root: str, query: dict[str, str]) -> bytes:
        """Return a page of a listing, without directories."""
        start = f"{root.rstrip('/')}/"
        prefix, after = query.get("prefix", ""), query.get("continuation-token", "")
        keys = sorted(
            key[len(start) :]
            for key in self.files
            if key.startswith(start + prefix) and key[len(start) :] > after
        )
        page = keys[: int(query.get("max-keys", _PAGE))]
        more = len(keys) > len(page)
        items = "".join(
            f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-25T00:00:00.000Z"
            f"</LastModified><ETag>&quot;{'0' * 32}&quot;</ETag><Size>1</Size>"
            "<StorageClass>STANDARD</StorageClass></Contents>"
            for key in page
        )
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return (
            '<?xml version="1.0" encoding="UTF-8"?>\n'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name>'
            f"<KeyCount>{len(page)}</KeyCount><IsTruncated>{str(more).lower()}</IsTruncated>"
            f"{token}{items}</ListBucketResult>"
        ).encode()

    def _etag(self, content: bytes) -> str:
        return f'"{hashlib.md5(content).hexdigest()}"'

    def _said(self, status: int, headers: Mapping[str, str] = NOTHING, body: bytes = b"") -> bytes:
        lines = {"Content-Length": str(len(body)), "Date": _DATE, "x-amz-request-id": "1"}
        if status == 204:
            del lines["Content-Length"]
        text = "".join(f"{name}: {value}\r\n" for name, value in {**lines, **headers}.items())
        return f"HTTP/1.1 {status} OK\r\n{text}\r\n".encode() + body


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, bucket: Bucket
) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ", 2)
            pairs = (line.split(":", 1) for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, value in pairs}
            if headers.get("expect") == "100-continue":
                writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            writer.write(bucket.answer(method, target, headers, body))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def _main(pipe: object) -> None:
    async def run() -> None:
        bucket = Bucket()
        server = await asyncio.start_server(
            lambda reader, writer: _serve(reader, writer, bucket), "127.0.0.1", 0, limit=1 << 24
        )
        pipe.send(server.sockets[0].getsockname()[1])  # type: ignore[attr-defined]
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def responder() -> Iterator[str]:
    """Run the meter in a process of its own; give its URL."""
    context = multiprocessing.get_context("spawn")
    mine, its = context.Pipe()
    process = context.Process(target=_main, args=(its,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{mine.recv()}"
    finally:
        process.terminate()
        process.join()
