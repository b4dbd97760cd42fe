"""Requests through a driver's connection, which signs them, and answers as they came."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from hashlib import md5
from typing import Any, NamedTuple

from libcloud.storage.base import StorageDriver
from requests import Response

from storages.driver import Source
from storages.http import content_of
from storages.pool import Pool

from .errors import BUSY, code_of, is_lost, refused

DELAYS = (0.1, 0.4, 1.2)  # seconds before another try of a request that may be repeated


class Answer(NamedTuple):
    """An answer whose body is unread, and whether the request was sent before."""

    response: Response
    repeated: bool

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status_code

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, whatever case they are asked for in."""
        return self.response.headers

    def below(self, prefix: str) -> dict[str, str]:
        """Return the headers that begin with a prefix, by the rest of their lower-case names."""
        start = len(prefix)
        named = ((name.lower(), value) for name, value in self.headers.items())
        return {name[start:]: value for name, value in named if name.startswith(prefix)}


class Session:
    """Sends requests, each through a driver that no other thread uses meanwhile."""

    def __init__(self, pool: Callable[[], Pool[StorageDriver]], timeout: float) -> None:
        self.pool = pool
        self.timeout = timeout

    def ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        data: Source | bytes | None = None,
    ) -> Answer:
        """Send a request until it is answered, at most 4 times.

        It is sent again where the connection broke or the service was busy, so it has to be one
        that does no harm the second time.
        """
        start = data.tell() if isinstance(data, Source) else 0
        for number, delay in enumerate((*DELAYS, None)):
            if isinstance(data, Source):
                data.seek(start)
            try:
                response = self._send(method, path, params, headers, data)
            except Exception as exc:
                if delay is None or getattr(data, "error", None) or not is_lost(exc):
                    raise
            else:
                if delay is None or response.status_code not in BUSY:
                    return Answer(response, number > 0)
                response.close()
            time.sleep(delay)
        raise AssertionError

    def send_part(self, path: str, params: Mapping[str, str], data: bytes) -> Answer:
        """Send a part of a file with its MD5, by which the service checks it."""
        content_md5 = base64.b64encode(md5(data, usedforsecurity=False).digest()).decode()
        headers = {"Content-Length": str(len(data)), "Content-MD5": content_md5}
        answer = self.ask("PUT", path, params, headers, data)
        code = code_of(answer.response)
        if answer.status not in {200, 201}:
            raise refused(answer.status, code, "a part")
        return answer

    def content(self, answer: Answer) -> bytes:
        """Return all that an answer says; raises OSError where it trickles."""
        return content_of(answer.response, patience=self.timeout)

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        data: Source | bytes | None,
    ) -> Response:
        with self.pool().lease() as driver:
            connection: Any = driver.connection
            # libcloud's own answers read texts to the end, and take 400 and 409 for success.
            connection.rawResponseCls = _as_it_came
            try:
                response: Response = connection.request(
                    path,
                    params=dict(params or {}),
                    headers=dict(headers or {}),
                    data=data,
                    method=method,
                    raw=True,
                    stream=True,
                )
            finally:
                del connection.rawResponseCls
                connection.data = None
                connection.connection.response = None
        return response


def _as_it_came(connection: Any, response: Response) -> Response:  # noqa: ARG001
    return response
