"""A stub of OpenStack Swift: one container's objects in a dict, behind the parts of its API v1."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from email.utils import format_datetime
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.process import HOST

PAGE = 3  # names; Swift's own has 10,000


class SwiftStub:
    """Serve a container by Swift's API to whoever asks; use it in a `with` block."""

    container = "container"

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str, datetime]] = {}
        self._server = ThreadingHTTPServer((HOST, 0), _Handler)
        self._server.stub = self  # type: ignore[attr-defined]
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """Return the account's URL."""
        return f"http://{HOST}:{self._server.server_port}/v1/AUTH_test"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent."""

    def serve(self) -> None:
        """Answer one request."""
        stub: SwiftStub = self.server.stub  # type: ignore[attr-defined]
        url = urlsplit(self.path)
        _, _, _, container, *rest = url.path.split("/", 4)
        if unquote(container) != stub.container:
            self.reply(404)
        elif not rest:
            self.list(stub, parse_qs(url.query))
        else:
            self.handle_object(stub, unquote(rest[0]))

    def list(self, stub: SwiftStub, query: dict[str, list[str]]) -> None:
        """Answer a HEAD or GET of the container."""
        prefix, marker = (query.get(name, [""])[0] for name in ("prefix", "marker"))
        names = sorted(each for each in stub.objects if each.startswith(prefix) and each > marker)
        found = [
            {
                "name": name,
                "bytes": len(content),
                "hash": md5(content, usedforsecurity=False).hexdigest(),
                "content_type": kind,
                # Without a zone, as Swift tells it.
                "last_modified": saved.replace(tzinfo=None).isoformat(),
            }
            for name in names[:PAGE]
            for content, kind, saved in [stub.objects[name]]
        ]
        kind = {"Content-Type": "application/json; charset=utf-8"}
        self.reply(204 if self.command == "HEAD" else 200, json.dumps(found).encode(), kind)

    def handle_object(self, stub: SwiftStub, name: str) -> None:
        """Answer a request for an object."""
        if self.command == "PUT":
            kind = self.headers.get("Content-Type", "")
            content = self.body()
            stub.objects[name] = (content, kind, datetime.now(UTC))
            self.reply(201, headers={"ETag": md5(content, usedforsecurity=False).hexdigest()})
        elif name not in stub.objects:
            self.reply(404)
        elif self.command == "DELETE":
            del stub.objects[name]
            self.reply(204)
        else:
            self.send_content(*stub.objects[name])

    def send_content(self, content: bytes, kind: str, saved: datetime) -> None:
        """Answer a HEAD or GET, of a range where one is asked for."""
        headers = {
            "ETag": md5(content, usedforsecurity=False).hexdigest(),
            "Content-Type": kind,
            "Last-Modified": format_datetime(saved, usegmt=True),
        }
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted:
            start = int(wanted[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self.reply(206, content[start:], headers)
        else:
            self.reply(200, content, headers)

    def body(self) -> bytes:
        """Return the body, in chunks as libcloud sends a stream."""
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        """Send an answer."""
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            if status != 204:
                self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD" and status != 204:
            self.wfile.write(body)

    do_HEAD = do_GET = do_PUT = do_DELETE = serve  # noqa: N815 - the names that Python calls
