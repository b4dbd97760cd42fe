"""A recording HTTP/1.1 reverse proxy which can be told to answer, or to break off, by itself."""

from __future__ import annotations

import atexit
import re
import socket
import sys
from collections import deque
from contextlib import closing, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import TYPE_CHECKING, Self

from tests.servers.process import HOST, POLL
from tests.servers.proxy import NO_LINGER

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping
    from email.message import Message

CHUNK = 256 * 1024  # bytes
BACKLOG = 128  # connections
UPSTREAM_LIMIT = 60.0  # seconds the server behind may stay silent

# Headers about one connection only, which a proxy answers for itself (RFC 9110 section 7.6.1).
OWN_HEADERS = {"connection", "keep-alive", "expect", "proxy-connection"}


@dataclass
class Request:
    """What went through the proxy for one request; body sizes are in bytes, without framing."""

    method: str
    target: str  # path and query, as sent
    headers: Message
    bytes_in: int = 0
    bytes_out: int = 0
    status: int = 0  # 0 until answered


@dataclass
class _Rule:
    """What to do with the next requests that match."""

    method: str | None
    path: re.Pattern[str]
    times: int | None
    status: int | None  # None: reset the connection
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    forward: bool = False
    stalls: bool = False

    def matches(self, request: Request) -> bool:
        """Return True if the rule is for this request."""
        same_method = self.method in {None, request.method}
        return self.times != 0 and same_method and bool(self.path.search(request.target))

    def sent_headers(self) -> dict[str, str]:
        """Return the headers of the reply."""
        is_framed = "Transfer-Encoding" in self.headers
        length = {} if is_framed else {"Content-Length": str(len(self.body))}
        return {**length, **self.headers}


class HTTPProxy:
    """Stand in front of an HTTP server at `host` and `port`; use it in a `with` block.

    The request line, the headers (`Host` with them) and the bodies pass unchanged, so that
    signatures stay valid. With `tls`, clients speak https to the proxy. `is_narrow` has TCP take
    little at once of what clients send, `patience` is how many seconds a connection may idle.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        tls: ssl.SSLContext | None = None,
        is_narrow: bool = False,
        patience: float | None = None,
    ) -> None:
        self.target = (host, port)
        self.requests: list[Request] = []
        self.connections = 0
        self._rules: list[_Rule] = []
        self._lock = Lock()
        self.tls = tls
        self.patience = patience
        #: What ended connections that were no use.
        self.broken: list[OSError] = []
        self._server = _HTTPServer(self)
        if is_narrow:
            self._server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            self._server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._thread = Thread(target=self._serve, name="http-proxy", daemon=True)

    @property
    def host(self) -> str:
        """Return the loopback address the proxy listens on."""
        return HOST

    @property
    def port(self) -> int:
        """Return the port the proxy listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Return the URL of the proxy."""
        return f"{'https' if self.tls else 'http'}://{HOST}:{self.port}"

    def answer(
        self,
        status: int,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        method: str | None = None,
        path: str = "",
        times: int | None = 1,
        forward: bool = False,
    ) -> None:
        """Answer the next `times` requests (None: all) of that method whose path and query match.

        With `forward` the server gets the request all the same, and its own reply is dropped.
        A `Content-Length` in `headers` which is not the body's makes a reply that is cut short;
        with a `Transfer-Encoding` there is none, and the body has its framing.
        """
        rule = _Rule(method, re.compile(path), times, status, body, headers or {}, forward)
        self._rules.append(rule)

    def reset(
        self,
        *,
        method: str | None = None,
        path: str = "",
        times: int | None = 1,
        forward: bool = True,
    ) -> None:
        """Reset the connection instead of replying, after the server got the whole request."""
        self._rules.append(_Rule(method, re.compile(path), times, None, forward=forward))

    def stall(self, *, method: str | None = None, path: str = "", times: int | None = 1) -> None:
        """Never reply, after the server got the whole request, until the client goes away."""
        rule = _Rule(method, re.compile(path), times, None, forward=True, stalls=True)
        self._rules.append(rule)

    def clear(self) -> None:
        """Forget the recorded requests and what was to be answered."""
        self._rules.clear()
        self.requests.clear()

    def rule_for(self, request: Request) -> _Rule | None:
        """Take the first rule for the request and count its use."""
        with self._lock:
            self.requests.append(request)
            for rule in self._rules:
                if rule.matches(request):
                    rule.times = rule.times and rule.times - 1
                    return rule
        return None

    def start(self) -> Self:
        """Listen."""
        atexit.register(self.close)
        self._thread.start()
        return self

    def close(self) -> None:
        """Close everything."""
        atexit.unregister(self.close)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self) -> None:
        self._server.serve_forever(POLL)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()


class _HTTPServer(ThreadingHTTPServer):
    """Listen for an `HTTPProxy`, and know which connections are open."""

    request_queue_size = BACKLOG

    def __init__(self, proxy: HTTPProxy) -> None:
        self.proxy = proxy
        self.open: set[socket.socket] = set()
        self.aborted: set[socket.socket] = set()
        super().__init__((HOST, 0), _Handler)

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        connection, client = super().get_request()
        if self.proxy.tls is not None:
            # The handshake waits for the connection's own thread.
            connection = self.proxy.tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        self.proxy.connections += 1
        self.open.add(connection)
        return connection, client

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        self.open.discard(request)
        if request in self.aborted:
            self.aborted.discard(request)
            # Without the usual polite shutdown first, closing sends a reset.
            request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            request.close()
        else:
            super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        for connection in set(self.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        # A client which goes away is what the tests do on purpose.
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self.proxy.broken.append(error)
        else:
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    """Serve one client's connection."""

    server: _HTTPServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.connection.settimeout(self.server.proxy.patience)

    def handle_expect_100(self) -> bool:
        # Said in `_body`, once the body is wanted.
        return True

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Stay silent: `HTTPProxy.requests` is the log."""

    def forward(self) -> None:
        """Answer one request, whatever its method."""
        # `self.path` is not what was sent where that began with two slashes.
        request = Request(self.command, self.requestline.split()[1], self.headers)
        rule = self.server.proxy.rule_for(request)
        try:
            if rule is None:
                self._relay(request)
            else:
                self._follow(request, rule)
        except (OSError, HTTPException):
            self._abort()

    def _relay(self, request: Request) -> None:
        with closing(HTTPConnection(*self.server.proxy.target, UPSTREAM_LIMIT)) as upstream:
            reply = self._send_on(request, upstream)
            self._reply(request, reply)

    def _follow(self, request: Request, rule: _Rule) -> None:
        if rule.forward:
            with closing(HTTPConnection(*self.server.proxy.target, UPSTREAM_LIMIT)) as upstream:
                self._send_on(request, upstream).read()
        elif rule.status is not None and not self._expected:
            deque(self._body(request), maxlen=0)
        if rule.stalls:
            self.rfile.read(1)
        if rule.status is None:
            self._abort()
            return
        request.status = rule.status
        request.bytes_out = 0 if self.command == "HEAD" else len(rule.body)
        self.send_response_only(rule.status)
        for name, value in rule.sent_headers().items():
            self.send_header(name, value)
        if self._expected and not rule.forward:
            # The body was not asked for, and may come all the same.
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(rule.body[: request.bytes_out])
        if int(rule.headers.get("Content-Length", len(rule.body))) != len(rule.body):
            self.close_connection = True

    @property
    def _expected(self) -> bool:
        return str(self.headers.get("Expect", "")).lower() == "100-continue"

    def _send_on(self, request: Request, upstream: HTTPConnection) -> HTTPResponse:
        """Send the request to the server behind; return its reply."""
        upstream.putrequest(
            request.method, request.target, skip_host=True, skip_accept_encoding=True
        )
        for name, value in self.headers.items():
            if name.lower() not in OWN_HEADERS:
                upstream.putheader(name, value)
        upstream.endheaders()
        for piece in self._body(request):
            try:
                upstream.send(piece)
            except OSError:
                # It answered before it had the whole body, and wants no more of it.
                self.close_connection = True
                break
        return upstream.getresponse()

    def _body(self, request: Request) -> Iterator[bytes]:
        """Yield the client's body as it comes, with its framing; count it without."""
        if self._expected:
            self.send_response_only(100)
            self.end_headers()
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            yield from self._chunks(request)
            return
        left = int(self.headers.get("Content-Length", 0))
        while left:
            piece = self.rfile.read1(min(CHUNK, left))
            if not piece:
                raise ConnectionAbortedError
            left -= len(piece)
            request.bytes_in += len(piece)
            yield piece

    def _chunks(self, request: Request) -> Iterator[bytes]:
        """Yield a chunked body with its framing (RFC 9112 section 7.1)."""
        size = -1
        while size:
            line = self.rfile.readline()
            size = int(line.partition(b";")[0], 16)
            yield line
            if size:
                request.bytes_in += size
                yield self.rfile.read(size + 2)
        while line not in {b"\r\n", b"\n", b""}:
            line = self.rfile.readline()
            yield line

    def _reply(self, request: Request, reply: HTTPResponse) -> None:
        """Pass the reply on to the client."""
        request.status = reply.status
        self.send_response_only(reply.status, reply.reason)
        for name, value in reply.getheaders():
            if name.lower() not in OWN_HEADERS:
                self.send_header(name, value)
        announced = reply.length
        chunked = reply.chunked and self.command != "HEAD"
        if self.close_connection or (announced is None and not chunked):
            self.send_header("Connection", "close")
        self.end_headers()
        while piece := reply.read(CHUNK):
            request.bytes_out += len(piece)
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        elif announced != request.bytes_out:
            self.close_connection = True

    def _abort(self) -> None:
        """Reset the client's connection."""
        self.close_connection = True
        self.server.aborted.add(self.connection)


for _method in ("GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "COPY"):
    setattr(_Handler, f"do_{_method}", _Handler.forward)
