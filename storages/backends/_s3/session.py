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
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from email.utils import parsedate_to_datetime
from hashlib import sha256
from http import HTTPStatus
from typing import Any, NamedTuple
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
from .signing import EMPTY, MOST, authorization, host_of, keys_of, moment_of
from .wire import Wire, said_in

#: Methods of the client, with what they send and the name of the operation.
OPERATIONS = {
    "head_object": ("HEAD", "HeadObject"),
    "get_object": ("GET", "GetObject"),
    "delete_object": ("DELETE", "DeleteObject"),
    "list_objects_v2": ("GET", "ListObjectsV2"),
    "put_object": ("PUT", "PutObject"),
}
#: Arguments that are headers, and those that are in the query.
_HEADERS = {
    "ACL": "x-amz-acl",
    "CacheControl": "Cache-Control",
    "ContentDisposition": "Content-Disposition",
    "ContentEncoding": "Content-Encoding",
    "ContentLanguage": "Content-Language",
    "ContentType": "Content-Type",
    "IfMatch": "If-Match",
    "IfNoneMatch": "If-None-Match",
    "Range": "Range",
    "ServerSideEncryption": "x-amz-server-side-encryption",
    "StorageClass": "x-amz-storage-class",
    "Tagging": "x-amz-tagging",
}
_QUERY = {
    "Prefix": "prefix",
    "Delimiter": "delimiter",
    "MaxKeys": "max-keys",
    "ContinuationToken": "continuation-token",
}
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
_METADATA = "x-amz-meta-"
#: Headers of a request that are the client's own; the last asks for the checksum of a file.
KEPT = {"content-length", "user-agent", _ASKS := "x-amz-checksum-mode"}
#: Bytes of a body that are sent at once; they have the whole of the time limit together.
BLOCK = 64 * 1024
#: Bytes of a body that is sent without asking for leave first, which takes a round trip, and
#: stalls after an empty body at some services. Amazon's SDKs for Go and Kotlin have 2 MiB.
UNASKED = 1024 * 1024
#: Where botocore tells of each request, and what Lambda calls the trace that it goes on with.
_LOG = logging.getLogger("botocore.endpoint")
_TRACE = "_X_AMZN_TRACE_ID"
#: Headers that count a client's tries.
_OF_THE_SDK = {"amz-sdk-invocation-id", "amz-sdk-request"}
KNOWN = {"Body", "Bucket", "Key", "Metadata", *_HEADERS, *_QUERY}
_SUCCESS = range(200, 300)
#: Statuses that may say that the bucket is in another region, which the client then knows.
_ELSEWHERE = (301, 302, 307, 400)
Outcome = AWSResponse | BotoCoreError | Callable[[AWSPreparedRequest], AWSResponse]
#: How the first try of a client ends that a request is handed over to.
_outcomes: ContextVar[list[Outcome] | None] = ContextVar("outcomes", default=None)


class Shape(NamedTuple):
    """What the requests of one operation on one bucket share."""

    base: str
    path: str
    host: str
    scope: str
    headers: Mapping[str, str]

    def request(
        self, operation: str, arguments: Mapping[str, Any], keys: Any, at: int
    ) -> AWSPreparedRequest:
        """Return a signed request; raises ValueError for what only the client can say."""
        method, _ = OPERATIONS[operation]
        query = ["list-type=2", "encoding-type=url"] if operation == "list_objects_v2" else []
        query += [
            f"{_QUERY[name]}={quote(str(value), safe='')}"
            for name, value in arguments.items()
            if name in _QUERY
        ]
        key, body = arguments.get("Key", ""), arguments.get("Body", b"")
        if not isinstance(body, bytes) or arguments.get("Key") == "":
            raise ValueError("Body or Key")  # the client may take it, or refuse it
        path = (f"{self.path}/{quote(key, safe='/')}" if key else self.path) or "/"
        text = "&".join(sorted(query))
        headers: dict[str, Any] = {**self.headers, **_said_in_headers(arguments)}
        if "Body" in arguments:
            headers["Content-Length"] = str(len(body))
        if len(body) > UNASKED:
            headers["Expect"] = b"100-continue"  # bytes are what botocore looks for
        digest = sha256(body).hexdigest() if body else EMPTY
        signed = f"{method}\n{path}\n{text}"
        headers |= authorization(keys, self.scope, at, signed, headers, self.host, digest)
        url = f"{self.base}{path}{'?' if text else ''}{text}"
        # botocore's own kind of headers costs four times as much, and is read as this is.
        given: Any = headers
        content: Any = None
        if "Body" in arguments:
            content = body if len(body) <= BLOCK else _blocks(body)
        return AWSPreparedRequest(method, url, given, content, operation == "get_object")


def _blocks(body: bytes) -> list[memoryview]:
    return [memoryview(body)[start : start + BLOCK] for start in range(0, len(body), BLOCK)]


def _said_in_headers(arguments: Mapping[str, Any]) -> dict[str, str]:
    said = {_HEADERS[name]: each for name, each in arguments.items() if name in _HEADERS}
    metadata = arguments.get("Metadata", {})
    said |= {f"{_METADATA}{name}": each for name, each in metadata.items()}
    for name, each in said.items():
        if not (isinstance(each, str) and (name + each).isascii() and each.isprintable() and each):
            raise ValueError(name)
    return said


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
        self._is_simple = is_known and not is_adaptive and not is_traced

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        """Send a request and return boto3's answer; raises boto3's errors."""
        shape = self._shape(operation, arguments) if operation in OPERATIONS else None
        if shape is None:
            return getattr(self._client, operation)(**arguments)
        try:
            keys = keys_of(self._client)
            request = shape.request(operation, arguments, keys, int(time.time()))
        except ValueError:
            return getattr(self._client, operation)(**arguments)
        outcome: Any
        try:
            outcome = self._wire.send(request, shape.base, shape.host)
        except BotoCoreError as exc:
            outcome = exc
        else:
            answer = self._understood(operation, outcome, is_checked=_ASKS in shape.headers)
            if answer is not None:
                for release in self._succeeded:
                    release(context={}, http_response=outcome)
                return answer
            if outcome.status_code in _ELSEWHERE:
                self._shapes.clear()
        return self._by_client(operation, arguments, outcome)

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
        headers = {name: _text(value) for name, value in wanted.headers.items()}
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
        return shape if _compared(ours) == _compared(wanted) else None

    # -- answers ----------------------------------------------------------------------------------

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
    found["Metadata"] = {n[len(_METADATA) :]: said[n] for n in said if n.startswith(_METADATA)}
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


def _compared(request: AWSPreparedRequest) -> tuple[Any, ...]:
    """Return what has to be the same of two requests."""
    url = urlsplit(request.url)
    headers = {name.lower(): _text(each) for name, each in request.headers.items()}
    kept = {name: each for name, each in headers.items() if name not in _OF_THE_SDK}
    return request.method, url[:3], sorted(url.query.split("&")), kept


def _text(value: str | bytes) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value
