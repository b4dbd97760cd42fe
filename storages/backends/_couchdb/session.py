"""Requests to one CouchDB server: sign-in, repetition of what only reads, errors."""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from couchdb.http import urljoin
from requests import Response

from storages.http import TRANSPORT_ERRORS, content_of, explain_transport, new_session

from .errors import Unsettled, error_of
from .options import Server

READ_ATTEMPTS: Final = 3
PAUSE: Final = 0.1  # seconds, longer from one attempt to the next
COOKIE: Final = "AuthSession"

#: What leaves open whether a request was carried out.
UNSETTLED: Final = (ConnectionError, Unsettled)


class Body(Protocol):
    """What is sent with a request, from its start each time."""

    content_type: str

    def rewind(self) -> Any:
        """Go back to the start, and return what requests takes as data."""


class JSON:
    """A body of JSON."""

    content_type = "application/json"

    def __init__(self, value: Any) -> None:
        self._data = json.dumps(value).encode()

    def rewind(self) -> bytes:
        """Return the text, encoded."""
        return self._data


class Client:
    """Speaks with one server; threads may share it.

    Signs in where there is an account. The session's cookie lasts for some minutes, and the
    renewed ones that answers bring are kept.
    """

    def __init__(self, account: Server, *, timeout: float, verify: bool | str) -> None:
        self._account = account
        self._timeout = timeout
        self._http = new_session(verify=verify)
        # Else the length that is announced would be that of a compressed form.
        self._http.headers["Accept-Encoding"] = "identity"
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the idle connections."""
        self._http.close()

    def get(self, field: str, *path: str, **query: Any) -> dict[str, Any]:
        """Return the JSON at a path, which has a field."""
        return self._json(self.stream(*path, **query), field)

    def stream(self, *path: str, headers: Mapping[str, str] = {}, **query: Any) -> Response:
        """Return the answer to a GET, its body unread; asks again where that may help."""
        for attempt in range(1, READ_ATTEMPTS):
            try:
                return self._request("GET", path, query, headers=headers)
            except UNSETTLED:
                time.sleep(PAUSE * attempt)
        return self._request("GET", path, query, headers=headers)

    def change(
        self, method: str, *path: str, body: Body | None = None, **query: Any
    ) -> dict[str, Any]:
        """Send a request that changes something, once."""
        return self._json(self._request(method, path, query, body=body), "ok")

    def _json(self, response: Response, field: str) -> dict[str, Any]:
        found = self._object(response)
        # What others say in JSON is no file that is missing, nor one that was stored.
        if found is None or found.get(field) is None:
            raise OSError(errno.EPROTO, f"{self._place} does not answer as CouchDB does")
        return found

    def _object(self, response: Response) -> dict[str, Any] | None:
        """Return the JSON object of an answer, None where it holds something else."""
        content = content_of(response, patience=self._timeout)
        try:
            found = json.loads(content)
        except (RecursionError, ValueError):
            return None
        return found if isinstance(found, dict) else None

    def _request(
        self,
        method: str,
        path: tuple[str, ...],
        query: Mapping[str, Any],
        *,
        body: Body | None = None,
        headers: Mapping[str, str] = {},
    ) -> Response:
        """Send a request, and once more after signing in where CouchDB wants that."""
        url = urljoin(self._account.url, *path, **query)
        cookie = self._cookie()
        if self._account.user and cookie is None:
            cookie = self._sign_in(None)
        response = self._send(method, url, body, headers)
        if response.status_code == 401 and self._account.user:
            response.close()
            self._sign_in(cookie)
            response = self._send(method, url, body, headers)
        self._check(response)
        return response

    def _send(
        self, method: str, url: str, body: Body | None, headers: Mapping[str, str]
    ) -> Response:
        sent = dict(headers)
        if body is not None:
            sent["Content-Type"] = body.content_type
        try:
            return self._http.request(
                method,
                url,
                data=None if body is None else body.rewind(),
                headers=sent,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
            )
        except TRANSPORT_ERRORS as exc:
            raise OSError(*explain_transport(exc, self._place)) from exc

    def _check(self, response: Response) -> None:
        status = response.status_code
        if 300 <= status < 400:
            response.close()
            raise OSError(errno.EPROTO, f"{self._place} redirects: set 'server' to where it leads")
        if status >= 400:
            # What a proxy answers is no JSON.
            said = self._object(response) or {"reason": response.reason}
            raise error_of(status, str(said.get("error")), str(said.get("reason")))

    # -- signing in -------------------------------------------------------------------------------

    def _cookie(self) -> str | None:
        self._http.cookies.clear_expired_cookies()
        return next((each.value for each in self._http.cookies if each.name == COOKIE), None)

    def _sign_in(self, stale: str | None) -> str | None:
        """Get a cookie, unless another thread did since one was found to be stale."""
        with self._lock:
            if (found := self._cookie()) not in {None, stale}:
                return found
            self._http.cookies.clear()
            body = JSON({"name": self._account.user, "password": self._account.password})
            response = self._send("POST", urljoin(self._account.url, "_session"), body, {})
            self._check(response)
            self._json(response, "ok")
            return self._cookie()

    @property
    def _place(self) -> str:
        return f"CouchDB at {self._account.place}"
