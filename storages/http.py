"""What backends on HTTP share: a session of requests, bodies that are read to their end, errors."""

from __future__ import annotations

import errno
import io
import math
import os
import re
import socket
import ssl
import time
from contextlib import suppress
from http.client import HTTPResponse
from typing import Any

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, ReadTimeout, RequestException, Timeout
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as Urllib3Timeout

from .sockets import Pace, require_own

CONNECTIONS = 64  # kept open to one host; more threads open further ones for one request each
PATIENCE = 30.0  # seconds of waiting after which what came is counted
SLOWEST = 1024  # bytes a second below which an answer is given up
PIECE = 256 * 1024  # bytes
LONGEST = 128 * 1024 * 1024  # bytes of an answer that is held in memory; pages of listings have few

#: What sending a request or reading an answer may raise, apart from OSErrors.
TRANSPORT_ERRORS: tuple[type[Exception], ...] = (RequestException, HTTPError)


def new_session(*, verify: bool | str = True) -> Session:
    """Return a session for one server's requests; threads may share it.

    ``verify`` is as in requests: a path names a file of authorities. The session uses the proxies
    of the environment, and its authorities where ``verify`` is True. An entry of ``~/.netrc`` does
    not replace the credentials of a request. No request is sent twice, nor on to where an answer
    redirects: what it holds is for the server that it was made for.
    """
    session = _Session()
    # Without an `auth`, requests looks into ~/.netrc and overwrites the header that is there.
    session.auth = _as_it_is
    session.verify = verify
    session.headers["Accept-Encoding"] = "identity"
    adapter = Adapter(pool_maxsize=CONNECTIONS)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


class _Session(Session):
    # Requests lets REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE win over what a session was given.
    def merge_environment_settings(self, *args: Any, **options: Any) -> Any:
        merged = super().merge_environment_settings(*args, **options)
        return merged if self.verify is True else {**merged, "verify": self.verify}

    def get_redirect_target(self, resp: Response) -> None:
        """Return no place to go on to."""

    # Requests waits for a whole answer without end if a byte comes now and then.
    def send(self, request: PreparedRequest, **options: Any) -> Response:
        response = super().send(request, **{**options, "stream": True})
        if not options.get("stream"):
            receive(response, options.get("timeout"))
        return response


def receive(response: Response, timeout: Any) -> None:
    """Read the content of an answer, in the time that its request gave, for whoever asks for it."""
    if vars(response)["_content_consumed"]:
        return
    seconds = timeout[1] if isinstance(timeout, tuple) else timeout
    patience = PATIENCE if seconds is None else seconds
    try:
        content = content_of(response, patience=patience, decode=True)
    except TimeoutError as exc:
        response.close()
        raise ReadTimeout(exc, response=response) from exc
    except OSError as exc:
        response.close()
        raise ChunkedEncodingError(exc, response=response) from exc
    vars(response).update(_content=content, _content_consumed=True)


def _as_it_is(request: PreparedRequest) -> PreparedRequest:
    return request


class _HeadReader:
    """Reads the lines before a body from a connection, all of them, and within a time.

    A connection's own limit is for each piece that comes, so that a server that sends a byte now
    and then would never be given up.
    """

    def __init__(self, file: io.BufferedReader, seconds: float | None) -> None:
        self._file = file
        self._is_begun = False
        self._end = math.inf if seconds is None else time.monotonic() + seconds

    def readline(self, size: int) -> bytes:
        line = b""
        while len(line) < size and not line.endswith(b"\n"):
            if time.monotonic() > self._end:
                raise TimeoutError("timed out")
            ready = self._file.peek()[: size - len(line)]
            if not ready and self._is_begun:
                # Python would take it for the end, and half a number for the length of a file.
                raise ConnectionAbortedError(errno.ECONNABORTED, "The head ended early")
            if not ready:
                break
            self._is_begun = True
            line += self._file.read(ready.find(b"\n") + 1 or len(ready))
        return line

    def close(self) -> None:
        self._file.close()


class _Answer(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._seconds = sock.gettimeout()

    def begin(self) -> None:
        file = self.fp
        self.fp = _HeadReader(file, self._seconds)  # type: ignore[assignment]
        try:
            super().begin()
        finally:
            # It is None where the answer ended already.
            if self.fp is not None:
                self.fp = file


class _Connection(HTTPConnection):
    response_class = _Answer


class _TLSConnection(HTTPSConnection):
    response_class = _Answer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class Adapter(HTTPAdapter):
    """Requests' own, but the head of an answer has to come within the time of its request."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the pools of connections."""
        super().init_poolmanager(*args, **options)
        self._limit_heads(self.poolmanager)

    def proxy_manager_for(self, *args: Any, **options: Any) -> Any:
        """Return the pools of connections through a proxy."""
        return self._limit_heads(super().proxy_manager_for(*args, **options))

    def _limit_heads(self, manager: Any) -> Any:
        manager.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
        return manager


class _Received:
    """The bytes of an answer as they come, as they were sent unless they are to be decoded.

    Raises OSError where the connection breaks, or brings less than `SLOWEST`.
    """

    def __init__(self, response: Response, patience: float, *, decode: bool = False) -> None:
        self._raw = response.raw
        self._decode = decode
        self._pace = Pace(patience, SLOWEST)
        self._broken: OSError | None = None

    def read(self, size: int) -> bytes:
        """Return ``size`` bytes, fewer only at the end of the answer, or where it breaks.

        What came before it broke is given first, so that whoever asks again has got further.
        """
        if self._broken is not None:
            raise self._broken
        pieces = []
        try:
            while size and (piece := self._next(size)):
                pieces.append(piece)
                size -= len(piece)
        except OSError as exc:
            if not pieces:
                raise
            self._broken = exc
        return b"".join(pieces)

    def _next(self, size: int) -> bytes:
        begun = time.monotonic()
        try:
            data: bytes = self._raw.read1(size, decode_content=self._decode)
        except (HTTPError, OSError) as exc:
            raise OSError(*explain_transport(exc, "The server")) from exc
        if not self._pace.is_kept(begun, len(data)):
            raise TimeoutError(errno.ETIMEDOUT, "The server sends too slowly")
        return data


def content_of(response: Response, *, patience: float = PATIENCE, decode: bool = False) -> bytes:
    """Return the whole body of an answer; raises OSError (EPROTO) past `LONGEST` bytes."""
    received = _Received(response, patience, decode=decode)
    pieces: list[bytes] = []
    left = LONGEST
    while piece := received.read(PIECE):
        pieces.append(piece)
        left -= len(piece)
        if left < 0:
            response.close()
            raise OSError(errno.EPROTO, "The answer has no end")
    return b"".join(pieces)


def drain(response: Response, size: int, *, patience: float = PATIENCE) -> bytes:
    """Return a short answer that may tell nothing; its connection can be used again.

    One of more than ``size`` bytes, or one that breaks, is left to `Response.close`.
    """
    with suppress(OSError):
        return _Received(response, patience).read(size)
    return b""


class Body:
    """The stream of an answer's body, as it was sent: ``size`` bytes after ``skip`` others.

    Raises ConnectionError where the body ends early, TimeoutError where it stalls or trickles for
    ``patience`` seconds, and OSError (ESTALE) where it is longer.
    """

    def __init__(
        self, response: Response, size: int, *, skip: int = 0, patience: float = PATIENCE
    ) -> None:
        self._response = response
        self._received = _Received(response, patience)
        self._left = size
        self._skip = skip
        self._owner = os.getpid()

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, ``b""`` only at the end."""
        require_own(self._owner)
        while self._skip:
            self._skip -= len(self._next(min(self._skip, PIECE)))
        if not self._left:
            return b""
        data = self._next(min(size, self._left))
        self._left -= len(data)
        # To read past the end also gives the connection back.
        if not self._left and self._received.read(1):
            raise OSError(errno.ESTALE, "The file grew while it was read")
        return data

    def close(self) -> None:
        """Close the connection if bytes are left unread."""
        self._response.close()

    def _next(self, size: int) -> bytes:
        if data := self._received.read(size):
            return data
        raise ConnectionAbortedError(errno.ECONNABORTED, "The content ended early")


def ranged_body(response: Response, start: int, total: int, *, patience: float = PATIENCE) -> Body:
    """Return the stream of the answer to a request for bytes ``start`` to the end of ``total``.

    An answer of 200 holds the whole content, whose first bytes are skipped. Raises OSError
    (ESTALE) if the answer is about content of another size, or begins elsewhere.
    """
    if response.status_code == 200:
        length = response.headers.get("Content-Length", str(total))
        found = f"bytes 0-{total - 1}/{length}"
        skip = start
    else:
        found = response.headers.get("Content-Range", "")
        skip = 0
    parts = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", found.strip())
    if parts is None and total:
        response.close()
        raise OSError(errno.EPROTO, "The answer does not tell which bytes it holds")
    expected = (str(start - skip), str(total))
    if parts is not None and (parts[1], parts[3].replace("*", str(total))) != expected:
        response.close()
        raise OSError(errno.ESTALE, "The file was replaced while it was read")
    return Body(response, total - start, skip=skip, patience=patience)


def explain_transport(exc: BaseException, server: str) -> tuple[int, str]:
    """Return errno and text of an exchange that broke; ``server`` begins the sentence.

    Looks for the first cause, since requests and urllib3 wrap each other's errors.
    """
    found = causes(exc)
    for each in found:
        if isinstance(each, ssl.SSLCertVerificationError):
            return errno.EPROTO, f"{server}'s certificate is refused: {each.verify_message}"
        if isinstance(each, socket.gaierror):
            return errno.EHOSTUNREACH, f"{server} is not found: its host name is not known"
    for each in found:
        if isinstance(each, ssl.SSLError):
            return errno.EPROTO, f"TLS failed: {each.reason}"
        code = getattr(each, "errno", None)
        if isinstance(each, OSError) and isinstance(code, int):
            return code, f"{os.strerror(code)}: {server} cannot be reached"
    # Last, since urllib3 calls whatever hinders a connection a timeout.
    if any(isinstance(each, (Timeout, Urllib3Timeout, TimeoutError)) for each in found):
        return errno.ETIMEDOUT, f"{server} did not answer in time"
    return errno.ECONNRESET, f"{server} closed the connection"


def causes(exc: BaseException) -> list[BaseException]:
    """Return an error, the errors among its arguments, and those that caused it."""
    found = [exc]
    for each in found:
        inner = (*each.args, getattr(each, "reason", None), each.__cause__, each.__context__)
        found += [one for one in inner if isinstance(one, BaseException) and one not in found]
    return found
