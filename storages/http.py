"""What backends on HTTP share: a session of requests, bodies that are read to their end, errors."""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl

from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from requests.exceptions import RequestException, Timeout
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as Urllib3Timeout

CONNECTIONS = 50  # kept open to one host; more threads open further ones for one request each

#: What sending a request or reading an answer may raise, apart from OSErrors.
TRANSPORT_ERRORS: tuple[type[Exception], ...] = (RequestException, HTTPError)


def new_session(*, verify: bool | str = True) -> Session:
    """Return a session for one server's requests; threads may share it.

    It uses the proxies of the environment. An entry of ``~/.netrc`` does not replace the
    credentials of a request, and no request is sent twice. ``verify`` is as in requests: a path
    names a file of authorities.
    """
    session = Session()
    # Without an `auth`, requests looks into ~/.netrc and overwrites the header that is there.
    session.auth = _as_it_is
    session.verify = verify
    adapter = HTTPAdapter(pool_maxsize=CONNECTIONS)
    for scheme in ("http://", "https://"):
        session.mount(scheme, adapter)
    return session


def _as_it_is(request: PreparedRequest) -> PreparedRequest:
    return request


class Body:
    """The stream of an answer's body, as it was sent: ``size`` bytes after ``skip`` others.

    Raises ConnectionError where the body ends early, TimeoutError where it stalls, and OSError
    (ESTALE) where it is longer.
    """

    def __init__(self, response: Response, size: int, *, skip: int = 0) -> None:
        self._response = response
        self._left = size
        self._skip = skip

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, ``b""`` only at the end."""
        while self._skip:
            self._skip -= len(self._next(min(self._skip, 1 << 20)))
        if not self._left:
            return b""
        data = self._next(min(size, self._left))
        self._left -= len(data)
        # To read past the end also gives the connection back.
        if not self._left and self._raw(1):
            raise OSError(errno.ESTALE, "The file grew while it was read")
        return data

    def close(self) -> None:
        """Close the connection if bytes are left unread."""
        self._response.close()

    def _next(self, size: int) -> bytes:
        if data := self._raw(size):
            return data
        raise ConnectionAbortedError(errno.ECONNABORTED, "The content ended early")

    def _raw(self, size: int) -> bytes:
        try:
            data: bytes = self._response.raw.read(size, decode_content=False)
        except (HTTPError, OSError) as exc:
            raise OSError(*explain_transport(exc, "The server")) from exc
        return data


def ranged_body(response: Response, start: int, total: int) -> Body:
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
    return Body(response, total - start, skip=skip)


def explain_transport(exc: BaseException, server: str) -> tuple[int, str]:
    """Return errno and text of an exchange that broke; ``server`` begins the sentence.

    Looks for the first cause, since requests and urllib3 wrap each other's errors.
    """
    causes = _causes(exc)
    for each in causes:
        if isinstance(each, ssl.SSLCertVerificationError):
            return errno.EPROTO, f"{server}'s certificate is refused: {each.verify_message}"
        if isinstance(each, socket.gaierror):
            return errno.EHOSTUNREACH, f"{server} is not found: its host name is not known"
        if isinstance(each, (Timeout, Urllib3Timeout, TimeoutError)):
            return errno.ETIMEDOUT, f"{server} did not answer in time"
    for each in causes:
        if isinstance(each, ssl.SSLError):
            return errno.EPROTO, f"TLS failed: {each.reason}"
        code = getattr(each, "errno", None)
        if isinstance(each, OSError) and isinstance(code, int):
            return code, f"{os.strerror(code)}: {server} cannot be reached"
    return errno.ECONNRESET, f"{server} closed the connection"


def _causes(exc: BaseException) -> list[BaseException]:
    """Return an error, the errors among its arguments, and those that caused it."""
    found = [exc]
    for each in found:
        inner = (*each.args, getattr(each, "reason", None), each.__cause__, each.__context__)
        found += [one for one in inner if isinstance(one, BaseException) and one not in found]
    return found
