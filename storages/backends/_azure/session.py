"""Requests to Azure: a session of our own, when to try again, and logs without signatures."""

from __future__ import annotations

import errno
import logging
import random
import time
from typing import Any, cast
from xml.etree.ElementTree import Element

from azure.core.exceptions import (
    AzureError,
    DecodeError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.pipeline.policies import ContentDecodePolicy, HTTPPolicy
from azure.core.pipeline.transport import RequestsTransport
from requests.exceptions import RequestException

from storages.http import explain_transport, new_session, receive

from .errors import without_signatures

ATTEMPTS = 4  # of one request
BACKOFF = 0.4  # seconds before the second attempt, doubled for each one after
LONGEST_WAIT = 30.0  # seconds before one attempt, whatever the service asks for

STRANGER = "The answer is none of Azure's: check 'account_url' (AZURE_ACCOUNT_URL)"

#: Answers that may be another one the next time (REST reference, "Common REST API error codes").
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
#: Errors that stay: a certificate that is refused, a host that is not known.
_LASTING = frozenset({errno.EPROTO, errno.EHOSTUNREACH})


class Unread(Exception):
    """Carries an answer of requests past the SDK, which would gather its body in memory."""

    def __init__(self, response: Any) -> None:
        super().__init__()
        self.response = response


class Transport(RequestsTransport):  # type: ignore[misc]
    """Sends requests by a session of ours; can be used again after it was closed.

    Raises `Unread` with the answer to a request that has the option ``unread``, if it is no error.
    """

    def send(self, request: Any, *, unread: bool = False, **options: Any) -> Any:
        """Send a request once; raises OSError (EPROTO) if it is not Azure that answers."""
        answer = super().send(request, **options)
        known = any(name.lower().startswith("x-ms-") for name in answer.headers)
        if request.method in {"GET", "HEAD"} and answer.status_code < 300 and not known:
            # Such as the page of a proxy that wants a login, which would be taken for a file.
            answer.internal_response.close()
            raise OSError(errno.EPROTO, STRANGER)
        if unread and answer.status_code in {200, 206}:
            raise Unread(answer.internal_response)
        if answer.status_code >= 300:
            # The SDK would gather whatever comes.
            _receive(answer.internal_response, self.connection_config.read_timeout)
        return answer

    def close(self) -> None:
        """Close the idle connections."""
        # The SDK's own would leave a session that is not its own as it is.
        self.session.close()


def _receive(response: Any, timeout: float) -> None:
    try:
        receive(response, timeout)
    except RequestException as exc:
        raise ServiceResponseError(exc, error=exc) from exc


def transport(timeout: float, **options: Any) -> Transport:
    """Return what sends the requests of one client."""
    return Transport(
        session=new_session(verify=options.pop("connection_verify", True)),
        session_owner=False,
        connection_timeout=timeout,
        read_timeout=timeout,
        **options,
    )


class Retry(HTTPPolicy[Any, Any]):
    """Tries a request again after a passing fault, a few times.

    Waits as long as the service asks for (``Retry-After``), 30 seconds at most. After ``timeout``
    seconds there is no further attempt, the waiting apart. The SDK's own policy begins with 15
    seconds, never tries again after a 429, and does not look at ``Retry-After``.

    The request option ``retry_hook`` is a function that is called before each further attempt.
    """

    def __init__(self, timeout: float, attempts: int = ATTEMPTS) -> None:
        super().__init__()
        self._timeout = timeout
        self._attempts = attempts

    def send(self, request: PipelineRequest[Any]) -> PipelineResponse[Any, Any]:
        """Send a request, and again where that may help."""
        options = request.context.options
        hook = options.pop("retry_hook", None)
        # What the policies before this one leave for the SDK's, which tries a second host.
        location = options.pop("location_mode", "primary")
        for name in ("hosts", "retry_to_secondary"):
            options.pop(name, None)
        sending = 0.0
        for attempt in range(1, self._attempts + 1):
            begin = time.monotonic()
            response, error = self._try(request)
            sending += time.monotonic() - begin
            if not _passes(response, error):
                break
            if attempt == self._attempts or sending >= self._timeout:
                break
            if hook is not None:
                hook(error=error)
            cast("Transport", request.context.transport).sleep(_wait(response, attempt))
        if error is not None:
            raise error
        assert response is not None
        response.http_response.location_mode = location
        if response.http_response.status_code >= 400 and not _has_message(response.http_response):
            # The SDK would look for a message in it, and fail where there is none.
            response.http_response.content_type = "text/plain"
        return response

    def _try(
        self, request: PipelineRequest[Any]
    ) -> tuple[PipelineResponse[Any, Any] | None, AzureError | None]:
        try:
            return self.next.send(request), None
        except (ServiceRequestError, ServiceResponseError) as exc:
            return None, exc


def _passes(response: PipelineResponse[Any, Any] | None, error: AzureError | None) -> bool:
    """Return True if another attempt may end otherwise."""
    if response is not None:
        return response.http_response.status_code in _PASSING
    cause = getattr(error, "inner_exception", None) or error
    return cause is not None and explain_transport(cause, "")[0] not in _LASTING


def _has_message(answer: Any) -> bool:
    """Return True unless the SDK would find an error without a message in the answer."""
    try:
        body = ContentDecodePolicy.deserialize_from_http_generics(answer)
    except DecodeError:
        return True
    if isinstance(body, Element):
        told: Any = {each.tag.lower(): each.text for each in body}
    else:
        told = body.get("error") if isinstance(body, dict) else None
    return not told or not isinstance(told, dict) or isinstance(told.get("message"), str)


def _wait(response: PipelineResponse[Any, Any] | None, attempt: int) -> float:
    """Return the seconds to wait before the next attempt."""
    asked = "" if response is None else response.http_response.headers.get("Retry-After", "")
    wait = float(asked) if asked.isdecimal() else BACKOFF * 2 ** (attempt - 1)
    return min(wait * random.uniform(1, 1.2), LONGEST_WAIT)  # noqa: S311 - no secret


def _without_signature(record: logging.LogRecord) -> bool:
    """Rewrite a record with a signature that opens files; every record is kept."""
    message = record.getMessage()
    safe = without_signatures(message)
    if safe != message:
        record.msg, record.args = safe, ()
    return True


# It logs the target of each request at DEBUG.
logging.getLogger("urllib3.connectionpool").addFilter(_without_signature)
