"""Sends small requests by connections that a client keeps, in a fraction of the client's time.

urllib3 opens, secures and checks a connection; one that has served is used here. Its answer is read
here if it is a success without content, and by `http.client` if it is any other. So are all of the
answers where others take part in what those libraries do.
"""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from http import client as http
from types import FunctionType
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from botocore.awsrequest import (
    AWSConnection,
    AWSHTTPConnection,
    AWSHTTPSConnection,
    AWSPreparedRequest,
    AWSResponse,
    HeadersDict,
)
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError
from botocore.httpsession import URLLib3Session
from urllib3 import HTTPConnectionPool, HTTPHeaderDict, HTTPResponse, exceptions
from urllib3.connection import HTTPConnection

#: Methods whose success tells all in its headers.
_METHODS = {"PUT", "HEAD", "DELETE"}
_CONNECTIONS = {AWSHTTPConnection, AWSHTTPSConnection}
#: What a request passes otherwise; who watches requests replaces one of them.
_STEPS = (
    (URLLib3Session, "send"),
    (HTTPConnectionPool, "urlopen"),
    (AWSConnection, "request"),
    (AWSConnection, "send"),
    (HTTPConnection, "request"),
    (HTTPConnection, "putrequest"),
    (HTTPConnection, "getresponse"),
    (http.HTTPConnection, "putrequest"),
    (http.HTTPConnection, "send"),
    (http.HTTPConnection, "getresponse"),
)
#: Where urllib3 tells of each request.
_LOG = logging.getLogger("urllib3.connectionpool")
_Pairs = Iterable[tuple[str, str]]
READ_SIZE = 64 * 1024
MOST_HEADERS = 100  # of an answer, for `http.client`
END = re.compile(rb"\n\r?\n")
_USUAL = re.compile(r"HTTP/1\.1 (200|204) [ -~]*\r\n((?:[\w-]+:[\t -~]*\r\n)+)\r\n", re.ASCII)
_HEADER = re.compile(r"([\w-]+):[\t ]*([^\r]*?)[\t ]*\r\n")


class Letter(NamedTuple):
    """A request, and the bytes that are sent for it.

    ``tag`` is what the caller knows it by, ``base`` the scheme and host of its URL.
    """

    tag: str
    request: AWSPreparedRequest
    message: bytes
    base: str


class Wire:
    """Sends requests by the connections of a client."""

    def __init__(self, client: Any) -> None:
        self._client = client
        # Weak, since a client that is closed drops them.
        self._pools: WeakValueDictionary[str, Any] = WeakValueDictionary()

    def send(self, request: AWSPreparedRequest, base: str, host: str) -> AWSResponse:
        """Send a request to a URL that begins with ``base``, as botocore's HTTP session does."""
        session = self._client._endpoint.http_session  # noqa: SLF001 - botocore has no public name
        answer: AWSResponse | None = None
        if (message := message_of(request, base, host)) and _is_untouched(session):
            answer = self._sent(session, request, base, message)
        return answer or session.send(request)

    def pool(self, base: str) -> Any:
        """Return the pool of a URL's connections, None unless one of them is open and usual."""
        session = self._client._endpoint.http_session  # noqa: SLF001
        if not _is_untouched(session):
            return None
        pool = self._pool_of(session, base)
        connection = pool._get_conn()  # noqa: SLF001
        is_open = is_usual(connection)
        if not is_open:
            connection.close()
        pool._put_conn(connection if is_open else None)  # noqa: SLF001
        return pool if is_open else None

    def _pool_of(self, session: Any, base: str) -> Any:
        if (pool := self._pools.get(base)) is None:
            pool = self._pools[base] = session._manager.connection_from_url(base)  # noqa: SLF001
        return pool

    def _sent(
        self, session: Any, request: AWSPreparedRequest, base: str, message: bytes
    ) -> AWSResponse | None:
        """Return the answer to a request; None if there is no open connection to send it by."""
        pool = self._pool_of(session, base)
        connection = pool._get_conn()  # noqa: SLF001 - what urllib3's own steps call
        is_kept = connection.sock is not None
        try:
            if not is_usual(connection):
                return None
            is_kept = False
            answer, is_kept = _exchanged(pool.timeout, connection.sock, request, message)
        except (TimeoutError, exceptions.ReadTimeoutError) as exc:
            raise ReadTimeoutError(endpoint_url=request.url, error=exc) from exc
        except (OSError, http.HTTPException, exceptions.HTTPError) as exc:
            raise ConnectionClosedError(
                endpoint_url=request.url, request=request, error=exc
            ) from exc
        finally:
            if not is_kept:
                connection.close()
            # Closed, it may not know of the certificates that botocore is about to tell the pool.
            pool._put_conn(connection if is_kept else None)  # noqa: SLF001
        return answer


class Success(AWSResponse):
    """A success without content; what costs more than the request is made when it is asked for."""

    content = b""

    def __init__(
        self, request: AWSPreparedRequest, status: int, pairs: _Pairs, said: Mapping[str, str]
    ) -> None:
        self.url = request.url
        self.status_code = status
        self.said = said
        self._request = request
        self._pairs = pairs

    @cached_property
    def raw(self) -> Any:
        """Give the answer as urllib3 has it."""
        return _raw(self._request, io.BytesIO(), self._pairs, self.status_code)

    @cached_property
    def headers(self) -> Any:  # type: ignore[override]
        """Give the headers as botocore has them."""
        return HeadersDict(self._pairs)


def said_in(answer: AWSResponse) -> dict[str, str]:
    """Return the headers of an answer by their names in lower case."""
    if isinstance(answer, Success):
        return dict(answer.said)
    # Those of botocore's own kind take ten times as long to read. A recorder has its own.
    headers: Any = answer.raw.headers
    pairs = getattr(headers, "itermerged", headers.items)()
    return {name.lower(): value for name, value in pairs}


def _is_untouched(session: Any) -> bool:
    """Return True unless a tracer, a recorder or a log takes part in sending."""
    if type(session) is not URLLib3Session or "send" in vars(session):
        return False
    if _LOG.isEnabledFor(logging.DEBUG) or http.HTTPConnection.debuglevel:
        return False
    return all(_is_own(kind, vars(kind).get(name)) for kind, name in _STEPS)


def _is_own(kind: type, method: Any) -> bool:
    return type(method) is FunctionType and method.__globals__.get("__name__") == kind.__module__


def is_usual(connection: Any) -> bool:
    """Return True for a connection of botocore's own kind that is open."""
    return connection.sock is not None and type(connection) in _CONNECTIONS


def message_of(request: AWSPreparedRequest, base: str, host: str) -> bytes | None:
    """Return a request as `http.client` writes it; None for what it refuses or is not sent here."""
    body: Any = request.body or b""
    if not isinstance(body, bytes) or request.method not in _METHODS:
        return None
    headers: Any = request.headers
    lines = [
        f"{request.method} {request.url[len(base) :]} HTTP/1.1",
        f"Host: {host}",
        "Accept-Encoding: identity",
        *[f"{name}: {value}" for name, value in headers.items()],
    ]
    if not ("".join(lines).isascii() and "".join(lines).isprintable()):
        return None
    return "\r\n".join([*lines, "", ""]).encode() + body


def _exchanged(
    limits: Any, sock: Any, request: AWSPreparedRequest, message: bytes
) -> tuple[AWSResponse, bool]:
    """Send a request and return its answer, and whether the connection may serve once more."""
    sock.settimeout(limits.connect_timeout)
    # A server that will not have a request may answer and close before it has come.
    with suppress(BrokenPipeError, ConnectionResetError):
        sock.sendall(message)
    if limits.read_timeout != limits.connect_timeout:  # other threads run at each call
        sock.settimeout(limits.read_timeout)
    data = b""
    while not END.search(data) and len(data) < READ_SIZE:
        if not (piece := sock.recv(READ_SIZE)):
            # For http.client it is whole, and what there is of a number is a size.
            raise http.RemoteDisconnected("The answer ends in its header")
        data += piece
    return success_in(request, data) or _any(request, _Replayed(data, sock))


def success_in(request: AWSPreparedRequest, data: bytes) -> tuple[Success, bool] | None:
    """Return the success that an answer without content tells, None for any other answer.

    The second value is True if its connection may serve once more.
    """
    # A longer one may have a line that http.client refuses.
    if len(data) > READ_SIZE or not (found := _USUAL.fullmatch(data.decode("latin-1"))):
        return None
    pairs = _HEADER.findall(found[2])
    said = {name.lower(): value for name, value in pairs}
    is_empty = request.method == "HEAD" or found[1] == "204" or said.get("content-length") == "0"
    state = said.get("connection", "keep-alive").lower()
    is_odd = len(said) < len(pairs) or len(pairs) > MOST_HEADERS or "transfer-encoding" in said
    if is_odd or not is_empty or state not in {"keep-alive", "close"}:
        return None
    return Success(request, int(found[1]), pairs, said), state == "keep-alive"


def _any(request: AWSPreparedRequest, source: _Replayed) -> tuple[AWSResponse, bool]:
    """Return whatever a server answers."""
    plain = http.HTTPResponse(source, method=request.method)  # type: ignore[arg-type]
    plain.begin()
    # A header may go on in the next line.
    pairs = [(name, value.replace("\r\n", "")) for name, value in plain.getheaders()]
    raw = _raw(request, plain, pairs, plain.status)
    answer = AWSResponse(request.url, raw.status, raw.headers, raw)  # type: ignore[arg-type]
    len(answer.content)  # which reads it
    is_final = plain.status not in range(200)  # of 102 and 103, the last is yet to come
    return answer, is_final and plain.isclosed() and not plain.will_close


def _raw(request: AWSPreparedRequest, body: Any, pairs: _Pairs, status: int) -> HTTPResponse:
    return HTTPResponse(
        body,
        HTTPHeaderDict(pairs),
        status,
        preload_content=False,
        decode_content=False,
        enforce_content_length=False,
        request_method=request.method,
        # What says whether all of a body in chunks was read.
        original_response=body if isinstance(body, http.HTTPResponse) else None,
    )


class _Replayed(io.RawIOBase):
    """What a socket has told so far, and then the socket."""

    def __init__(self, data: bytes, sock: Any) -> None:
        self._data = data
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        """Return it as `http.client` reads a socket."""
        return io.BufferedReader(self)

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, and return with how many bytes."""
        if not self._data:
            return int(self._sock.recv_into(buffer))
        piece, self._data = self._data[: len(buffer)], self._data[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)
