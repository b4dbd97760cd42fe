"""Sends the requests that matter by a client's own HTTP session, past its models and rules.

What a request on a bucket looks like is learnt from one that the client builds. Where ours would
not be the same, or others take part in the client's work, the client sends it. An answer that is
not as wished is handed over to the client as the outcome of its own first try, so that waiting,
trying again, redirects and errors are the client's.
"""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from itertools import chain
from typing import Any
from urllib.parse import quote, urlsplit

from botocore import client as sdk
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.endpoint import Endpoint
from botocore.exceptions import BotoCoreError
from botocore.httpchecksum import handle_checksum_body
from botocore.response import StreamingBody
from botocore.utils import determine_content_length
from urllib3.response import HTTPResponse

from .handlers import Watch, is_plain
from .messages import page_of
from .shapes import (
    ASKS,
    KEPT,
    KNOWN,
    METADATA,
    OPERATIONS,
    UNASKED,
    Shape,
    compared,
    text_of,
    with_checksum,
)
from .signing import MOST, host_of, keys_of, moment_of
from .wire import Letter, Wire, message_of, said_in

_EVENTS = (
    "provide-client-params",
    "before-parameter-build",
    "before-call",
    "request-created",
    "choose-signer",
    "before-sign",
    "before-send",
    "response-received",
    "before-parse",
    "needs-retry",
    "after-call",
    "after-call-error",
)
#: What an answer says in its headers, by boto3's names.
_SAID = {
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
    "content-range": "ContentRange",
    "content-type": "ContentType",
    "etag": "ETag",
    "expires": "ExpiresString",
    "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
    "x-amz-storage-class": "StorageClass",
    "x-amz-tagging-count": "TagCount",
    "x-amz-website-redirect-location": "WebsiteRedirectLocation",
}
#: Where botocore tells of each request, and what Lambda calls the trace that it goes on with.
_LOG = logging.getLogger("botocore.endpoint")
_TRACE = "_X_AMZN_TRACE_ID"
_SUCCESS = range(200, 300)
#: Statuses that may say that the bucket is in another region, which the client then knows.
_ELSEWHERE = (301, 302, 307, 400)
Outcome = AWSResponse | BotoCoreError | Callable[[AWSPreparedRequest], AWSResponse]
#: How the first try of a client ends that a request is handed over to.
_outcomes: ContextVar[list[Outcome] | None] = ContextVar("outcomes", default=None)


class Session:
    """Sends requests of a client."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._wire = Wire(client)
        operations = [name for _, name in OPERATIONS.values()]
        for each in operations:
            # Not for all: what the client asks besides, such as a session of S3 Express, is sent.
            client.meta.events.register_first(f"before-send.s3.{each}", _first_try)
        client.meta.events.register_last("before-call.s3", _send_at_once)
        events = [f"{each}.s3.{name}" for each in _EVENTS for name in operations]
        methods = ("_make_api_call", *OPERATIONS)
        self._watch = Watch(client, ("before-endpoint-resolution.s3", *events), methods)
        # In the standard mode each success gives back some of the right to try again.
        self._succeeded = self._watch.named("after-call.s3", "release_retry_quota")
        self._version = 0
        self._shapes: dict[Hashable, Shape | None] = {}
        # botocore has no public name for it, so it may be elsewhere some day.
        is_known = hasattr(getattr(client, "_endpoint", None), "http_session")
        self._is_lambda = "AWS_LAMBDA_FUNCTION_NAME" in os.environ
        # The adaptive mode lets every request wait its turn.
        is_adaptive = (client.meta.config.retries or {}).get("mode") == "adaptive"
        is_traced = not all(is_plain(vars(type(client)).get(each)) for each in OPERATIONS)
        wanted = getattr(client.meta.config, "request_checksum_calculation", None)
        self._adds_checksums = wanted == "when_supported"
        self._is_simple = is_known and not is_adaptive and not is_traced

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        """Send a request and return boto3's answer; raises boto3's errors."""
        full = self._in_full(operation, arguments)
        shape = self._shape(operation, full) if operation in OPERATIONS else None
        if shape is None:
            return getattr(self._client, operation)(**arguments)
        try:
            keys = keys_of(self._client)
            request = shape.request(operation, full, keys, int(time.time()))
        except ValueError:
            return getattr(self._client, operation)(**arguments)
        outcome: Any
        try:
            outcome = self._wire.send(request, shape.base, shape.host)
        except BotoCoreError as exc:
            outcome = exc
        else:
            answer = self._answered(operation, outcome, is_checked=ASKS in shape.headers)
            if answer is not None:
                return answer
            if outcome.status_code in _ELSEWHERE:
                self._shapes.clear()
        return self._by_client(operation, arguments, outcome)

    def send_many(
        self, operation: str, asked: Iterable[tuple[str, Mapping[str, Any]]], most: int
    ) -> Iterator[tuple[str, Any]]:
        """Send requests, up to ``most`` at a time; yield those that succeed, with boto3's answers.

        Each is a tag with its arguments. All others are for `call`, which tells what is wrong.
        """
        from .burst import Burst  # noqa: PLC0415 - few processes send many

        letters = self._letters(operation, asked)
        # They all go to one place, but for a bucket that moves meanwhile.
        if (first := next(letters, None)) is None or (pool := self._wire.pool(first.base)) is None:
            return
        for letter, outcome in Burst(pool, most).sent(chain([first], letters)):
            if (answer := self._answered(operation, outcome, is_checked=False)) is not None:
                yield letter.tag, answer

    def _letters(
        self, operation: str, asked: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> Iterator[Letter]:
        base = ""
        for tag, arguments in asked:
            full = self._in_full(operation, arguments)
            try:
                if (shape := self._shape(operation, full)) is None:
                    return
                keys = keys_of(self._client)
                request = shape.request(operation, full, keys, int(time.time()))
            except (BotoCoreError, ValueError):
                continue
            base = base or shape.base
            message = message_of(request, shape.base, shape.host)
            if message and shape.base == base:
                yield Letter(tag, request, message, base)

    def _in_full(self, operation: str, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if operation == "put_object" and self._adds_checksums:
            return with_checksum(arguments)
        return arguments

    def _by_client(self, operation: str, arguments: Mapping[str, Any], outcome: Outcome) -> Any:
        """Let the client do what it does when its first try ends so: wait, repeat, raise."""
        token = _outcomes.set([outcome])
        try:
            return getattr(self._client, operation)(**arguments)
        finally:
            _outcomes.reset(token)

    def _built(self, operation: str, arguments: Mapping[str, Any]) -> AWSPreparedRequest:
        """Return the request that the client would send."""
        found: list[AWSPreparedRequest] = []

        def keep(request: AWSPreparedRequest) -> AWSResponse:
            found.append(request)
            headers: Any = {"content-length": "0"}
            raw = HTTPResponse(io.BytesIO(), preload_content=False)
            return AWSResponse(request.url, HTTPStatus.OK, headers, raw)

        self._by_client(operation, arguments, keep)
        return found[0]

    # -- requests ---------------------------------------------------------------------------------

    def _shape(self, operation: str, arguments: Mapping[str, Any]) -> Shape | None:
        if not (self._is_simple and _is_unwrapped() and self._watch.is_alone):
            return None
        if (self._is_lambda and _TRACE in os.environ) or _LOG.isEnabledFor(logging.DEBUG):
            return None
        if self._version != self._watch.version or len(self._shapes) > MOST:
            self._version = self._watch.version
            self._shapes = {}
        kind = (operation, *arguments, arguments["Bucket"])
        try:
            return self._shapes[kind]
        except KeyError:
            found = self._shapes[kind] = self._learnt(operation, arguments)
            return found

    def _learnt(self, operation: str, arguments: Mapping[str, Any]) -> Shape | None:
        """Return what a request of the client's tells, None where ours would be another one."""
        if not arguments.keys() <= KNOWN:
            return None
        keys = keys_of(self._client)
        wanted = self._built(operation, arguments)
        url = urlsplit(wanted.url)
        headers = {name: text_of(value) for name, value in wanted.headers.items()}
        scope = headers.get("Authorization", "").partition(",")[0].rpartition("Credential=")[2]
        key = quote(arguments.get("Key", ""), safe="/")
        path = url.path.removesuffix(f"/{key}") if key else url.path
        shape = Shape(
            base=f"{url.scheme}://{url.netloc}",
            path=path.rstrip("/"),
            host=host_of(url),
            scope="/".join(scope.rsplit("/", 4)[2:]),
            headers={n: v for n, v in headers.items() if n.lower() in KEPT},
        )
        if not shape.scope or keys is None or "X-Amz-Date" not in headers:
            return None
        at = moment_of(headers["X-Amz-Date"])
        try:
            ours = shape.request(operation, arguments, keys, at)
        except ValueError:
            return None
        return shape if compared(ours) == compared(wanted) else None

    # -- answers ----------------------------------------------------------------------------------

    def _answered(self, operation: str, answer: AWSResponse, *, is_checked: bool) -> Any:
        """Return boto3's answer for a success, None for what only the client can tell."""
        found = self._understood(operation, answer, is_checked=is_checked)
        if found is not None:
            for release in self._succeeded:
                release(context={}, http_response=answer)
        return found

    def _understood(
        self, operation: str, answer: AWSResponse, *, is_checked: bool
    ) -> dict[str, Any] | None:
        """Return what an answer says; None if only the client can tell."""
        if answer.status_code not in _SUCCESS:
            return None
        said = said_in(answer)
        about = {"HTTPStatusCode": answer.status_code, "HTTPHeaders": said, "RetryAttempts": 0}
        found: dict[str, Any] | None = None
        if operation == "list_objects_v2":
            found = page_of(answer.content)
        elif operation in {"head_object", "get_object"}:
            with suppress(ValueError):
                found = _described(said)
        elif not answer.content:  # it may be an error
            found = _told(said)
        if found is None:
            return None
        if operation == "get_object":
            found["Body"] = self._body(answer, said, is_checked=is_checked)
        return {**found, "ResponseMetadata": about}

    def _body(self, answer: Any, said: dict[str, str], *, is_checked: bool) -> Any:
        length: Any = said.get("content-length")
        body = StreamingBody(answer.raw, length)
        response: dict[str, Any] = {"headers": said, "body": body, "context": {}}
        if is_checked and any(name.startswith("x-amz-checksum-") for name in said):
            model = self._client.meta.service_model.operation_model("GetObject")
            algorithms = [each.lower() for each in model.http_checksum["responseAlgorithms"]]
            checksum = {"checksum": {"response_algorithms": algorithms}}
            handle_checksum_body(answer, response, checksum, model)
        return response["body"]


def _told(said: Mapping[str, str]) -> dict[str, Any]:
    return {_SAID[name]: value for name, value in said.items() if name in _SAID}


def _described(said: Mapping[str, str]) -> dict[str, Any]:
    found = _told(said)
    if "content-length" in said:
        found["ContentLength"] = int(said["content-length"])
    if "last-modified" in said:
        found["LastModified"] = parsedate_to_datetime(said["last-modified"])
    found["Metadata"] = {n[len(METADATA) :]: said[n] for n in said if n.startswith(METADATA)}
    return found


def _is_unwrapped() -> bool:
    """Return True unless someone has put a mock or a tracer in place of botocore's core."""
    core = vars(sdk.BaseClient).get("_make_api_call"), vars(Endpoint).get("make_request")
    return all(map(is_plain, core))


def _first_try(request: AWSPreparedRequest, **_: Any) -> AWSResponse | None:
    """Say how the first try of a client ends; a handler of botocore."""
    outcomes = _outcomes.get()
    if not outcomes:
        return None
    outcome = outcomes.pop()
    if isinstance(outcome, BotoCoreError):
        raise outcome
    return outcome(request) if callable(outcome) else outcome


def _send_at_once(params: dict[str, Any], **_: Any) -> None:
    """Do not ask for leave to send a small body; a handler of botocore."""
    if (determine_content_length(params.get("body")) or 0) <= UNASKED:
        params["headers"].pop("Expect", None)
