"""The client: the SDK's own, with waits that end, and one refresh of the token at a time."""

from __future__ import annotations

import errno
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from django.core.exceptions import ImproperlyConfigured
from dropbox import Dropbox
from dropbox.exceptions import (
    ApiError,
    AuthError,
    HttpError,
    InternalServerError,
    PathRootError,
    RateLimitError,
)
from requests import Response
from stone.backends.python_rsrc.stone_validators import ValidationError

from storages.http import TRANSPORT_ERRORS, receive

from .errors import explain_root, is_passing, says

ATTEMPTS = 4  # to have a request answered
FIRST_WAIT = 0.25  # seconds at most before the second of them; then twice as long each time
DEFAULT_WAIT = 5  # seconds, where Dropbox asks to wait and does not say for how long
SHORTEST_WAIT = 0.5  # seconds, whatever Dropbox says

#: Of their outcome nothing is known once the answer is lost; `uploads` finds it out.
COMMITS = frozenset({"files/upload", "files/upload_session/finish"})
#: What the SDK makes of an answer that is not Dropbox's.
_UNREADABLE = (
    AssertionError,
    KeyError,
    RecursionError,
    TypeError,
    ValueError,
    ValidationError,
)

#: Stands for an answer that asks to send the request again.
_BUSY = object()

_RESULT = "Dropbox-API-Result"

Result = TypeVar("Result")


class Patience:
    """What is left of the seconds that one operation may wait because Dropbox asks it to."""

    def __init__(self, seconds: float) -> None:
        self._left = seconds
        self._until = 0.0
        self._waiting = 0
        self._lock = threading.Lock()

    def wait(self, seconds: float) -> bool:
        """Wait, or return False at once if that takes too long; threads may wait together."""
        seconds = max(seconds, SHORTEST_WAIT)
        with self._lock:
            now = time.monotonic()
            begin = max(now, self._until) if self._waiting else now
            more = max(now + seconds - begin, 0.0)
            if more > self._left:
                return False
            self._left -= more
            self._until = begin + more
            self._waiting += 1
        time.sleep(seconds)
        with self._lock:
            self._waiting -= 1
        return True


_patience: ContextVar[Patience | None] = ContextVar("patience", default=None)


@contextmanager
def patient(patience: Patience) -> Iterator[Patience]:
    """Have all requests of a ``with`` block share the seconds they may wait."""
    token = _patience.set(patience)
    try:
        yield patience
    finally:
        _patience.reset(token)


def pause(attempt: int) -> None:
    """Wait before the next of several attempts, counted from 0, for a random time."""
    time.sleep(FIRST_WAIT * 2**attempt * random.random())  # noqa: S311


class Client(Dropbox):  # type: ignore[misc]
    """The SDK's client. Threads may share it.

    The SDK itself repeats nothing after a lost connection, waits for rate limits without end, and
    refreshes the token once for each thread; so its own repetitions are off.
    """

    def __init__(self, *, max_wait: float, **options: Any) -> None:
        super().__init__(max_retries_on_error=0, max_retries_on_rate_limit=0, **options)
        self.max_wait = max_wait
        self._refreshing = threading.Lock()

    def request(self, *args: Any, **options: Any) -> Any:
        """Send a request to a route; one refused for too many writes is repeated."""
        seconds = 1
        with patient(_patience.get() or Patience(self.max_wait)) as patience:
            while (answer := self._answer(args, options, patience, seconds)) is _BUSY:
                seconds *= 2
            return answer

    def _answer(
        self, args: tuple[Any, ...], options: dict[str, Any], patience: Patience, seconds: int
    ) -> Any:
        """Return a route's answer, or `_BUSY` after having waited to send the request again."""
        try:
            return self._request(*args, **options)
        except ApiError as exc:
            if says(exc, "too_many_write_operations") and patience.wait(seconds):
                return _BUSY
            raise

    def _request(self, *args: Any, **options: Any) -> Any:
        try:
            return super().request(*args, **options)
        except PathRootError as exc:
            raise ImproperlyConfigured(explain_root(exc.error)) from exc
        except TRANSPORT_ERRORS:
            raise
        except _UNREADABLE as exc:
            raise OSError(errno.EPROTO, "The answer is not one of Dropbox's") from exc

    def check_and_refresh_access_token(self) -> None:
        """Get a new access token where the one there is ends soon."""
        with self._refreshing:
            self._persist(super().check_and_refresh_access_token)

    def request_json_string_with_retry(
        self,
        host: str,
        route_name: str,
        route_style: str,
        request_json_arg: str,
        auth_type: str,
        request_binary: bytes | None,
        timeout: float | None = None,
        extra_headers: dict[str, str] | None = None,
    ) -> Any:
        """Send a request until it is answered, if that can do no harm."""
        # In a header, DEL has to be written so as well ("Best practices", JSON in headers).
        arg = request_json_arg.replace("\x7f", "\\u007f")
        place = (host, route_name, route_style, arg, auth_type, request_binary)

        def send() -> Any:
            return self.request_json_string(*place, timeout=timeout, extra_headers=extra_headers)

        token = self._oauth2_access_token
        repeats = route_name not in COMMITS
        try:
            return self._persist(send, repeats=repeats)
        except AuthError as exc:
            if not exc.error.is_expired_access_token() or not self._renew(token):
                raise
        return self._persist(send, repeats=repeats)

    def raise_dropbox_error_for_resp(self, res: Response) -> None:
        """Raise the error that an answer is, without the secrets that it may repeat."""
        request = res.headers.get("x-dropbox-request-id")
        if not res.ok:
            # Read to its end, it gives its connection back.
            receive(res, self._timeout)
        elif str(res.url).endswith("/files/download") and _RESULT not in res.headers:
            # Nobody gets to read what comes without it.
            res.close()
        if res.status_code == 429:
            raise RateLimitError(request, None, _asked_wait(res))
        # The SDK takes these for errors of the route, which they are not.
        if res.status_code in {403, 404}:
            raise HttpError(request, res.status_code, "")
        try:
            super().raise_dropbox_error_for_resp(res)
        except HttpError as exc:
            self._conceal(exc)
            raise

    def _renew(self, stale: str | None) -> bool:
        """Replace an expired token, once for all threads that have met it."""
        with self._refreshing:
            if self._oauth2_access_token == stale:
                self._persist(self.refresh_access_token)
        return bool(self._oauth2_access_token != stale)

    def _persist(self, send: Callable[[], Result], *, repeats: bool = True) -> Result:
        """Call ``send`` until it succeeds, within the limits."""
        patience = _patience.get() or Patience(self.max_wait)
        attempt = 0
        while True:
            try:
                return send()
            except RateLimitError as exc:
                if not patience.wait(exc.backoff):
                    raise
            except (InternalServerError, *TRANSPORT_ERRORS) as exc:
                attempt += 1
                if attempt == ATTEMPTS or not repeats or not is_passing(exc):
                    raise
                pause(attempt - 1)

    def _conceal(self, exc: HttpError) -> None:
        """Take what is secret out of an error: Dropbox may repeat a header it does not like."""
        tokens = (self._oauth2_access_token, self._oauth2_refresh_token, self._app_secret)
        for secret in filter(None, tokens):
            exc.args = tuple(
                each.replace(secret, "…") if isinstance(each, str) else each for each in exc.args
            )
            for name in ("body", "message"):
                if isinstance(text := getattr(exc, name, None), str):
                    setattr(exc, name, text.replace(secret, "…"))


def _asked_wait(res: Response) -> float:
    """Return the seconds that an answer of status 429 asks to wait."""
    said = res.headers.get("Retry-After", "")
    if not said and "json" in res.headers.get("Content-Type", ""):
        try:
            said = str(res.json()["error"]["retry_after"])
        except _UNREADABLE:
            said = ""
    return int(said) if said.isdecimal() else DEFAULT_WAIT
