"""The storage nodes of our own emulator of MogileFS: HTTP servers on a directory each."""

from __future__ import annotations

import re
import socket
import threading
import uuid
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self

from tests.servers.process import HOST

if TYPE_CHECKING:
    from pathlib import Path

CHUNK = 64 * 1024  # bytes


@dataclass
class Request:
    """A request that a node got, and the bytes of its body."""

    method: str
    path: str
    range: str
    received: int = 0


class Node(ThreadingHTTPServer):
    """A node; ``told`` is the URL that trackers tell, which may be a proxy's.

    ``answers`` are statuses given instead of obeying, by method. ``ranges`` is whether it knows
    Range. It takes no chunked body, which not every node does.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, root: Path) -> None:
        super().__init__((HOST, 0), _Handler)
        self.root = root
        self.address = (HOST, int(self.server_address[1]))
        self.told = f"http://{HOST}:{self.address[1]}"
        self.requests: list[Request] = []
        self.answers: dict[str, int] = {}
        self.ranges = True
        self.running = False
        self.accepted = 0
        self._open: set[socket.socket] = set()

    def path(self, path: str) -> Path:
        """Return the file of a URL's path."""
        return self.root / path.lstrip("/")

    def write(self, file: Path, content: bytes) -> None:
        """Place a file past HTTP."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)

    def __enter__(self) -> Self:
        self.running = True
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Go down for good; connections are refused from now on."""
        if self.running:
            self.running = False
            self.shutdown()
            self.server_close()
            self.hang_up()

    def hang_up(self) -> None:
        """Close all connections."""
        for each in set(self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        """Accept a connection and keep it in mind."""
        connection, client = super().get_request()
        self._open.add(connection)
        self.accepted += 1
        return connection, client

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """Forget a connection that ends."""
        self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent about clients that go away."""


class _Handler(BaseHTTPRequestHandler):
    server: Node
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent: `Node.requests` is the log."""

    def begin(self) -> Request:
        """Record a request."""
        request = Request(self.command, self.path, self.headers.get("Range", ""))
        self.server.requests.append(request)
        return request

    def answer(self, status: int, length: int = 0, **headers: str) -> None:
        """Send the head of an answer."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(length))
        self.end_headers()

    def do_PUT(self) -> None:
        request = self.begin()
        if "Content-Length" not in self.headers:
            self.close_connection = True
            self.answer(411, Connection="close")
            return
        target = self.server.path(self.path)
        partial = target.with_name(f"{target.name}-{uuid.uuid4().hex}")
        target.parent.mkdir(parents=True, exist_ok=True)
        left = int(self.headers["Content-Length"])
        with partial.open("wb") as file:
            while left and (piece := self.rfile.read1(min(left, CHUNK))):
                left -= len(piece)
                request.received += len(piece)
                file.write(piece)
        if left or "PUT" in self.server.answers:
            partial.unlink()
            self.answer(self.server.answers.get("PUT", 400))
            return
        partial.replace(target)
        self.answer(201)

    def do_GET(self) -> None:
        request = self.begin()
        file = self.server.path(self.path)
        status = self.server.answers.get(self.command, 0 if file.is_file() else 404)
        if status:
            self.answer(status)
            return
        with file.open("rb") as content:
            size = file.stat().st_size
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.range)
            found = asked if self.server.ranges else None
            start = int(found[1]) if found else 0
            stop = min(size, int(found[2]) + 1) if found and found[2] else size
            content.seek(start)
            if found:
                told = f"bytes {start}-{stop - 1}/{size}"
                self.answer(206, stop - start, Content_Range=told)
            else:
                self.answer(200, size)
            left = stop - start
            while self.command == "GET" and (piece := content.read(min(CHUNK, left))):
                left -= len(piece)
                self.wfile.write(piece)

    do_HEAD = do_GET  # noqa: N815

    def do_DELETE(self) -> None:
        self.begin()
        file = self.server.path(self.path)
        self.answer(204 if file.exists() else 404)
        file.unlink(missing_ok=True)
