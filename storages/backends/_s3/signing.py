"""Signs URLs as a boto3 client does, in a fraction of its time.

The client signs one URL of a kind, which tells host, path and scope as its rules, options and
profile have them. Later ones are put together from that (S3 API reference, "Authenticating
requests: using query parameters"). Where the two do not agree to the byte, or others take part in
the client's work, the client signs each.
"""

from __future__ import annotations

import calendar
import functools
import hmac
import re
import time
from collections.abc import Hashable, Iterable, Mapping
from hashlib import sha256
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qs, quote, urlsplit

from .handlers import Watch
from .options import query_name

#: Operations that a URL may be for, with the method that boto3 gives them.
_METHODS = {
    "get_object": "GET",
    "put_object": "PUT",
    "delete_object": "DELETE",
    "head_object": "HEAD",
}
#: Events of botocore that lead to a URL.
_EVENTS = tuple(
    f"{event}.s3.{operation}"
    for event in ("provide-client-params", "before-parameter-build", "choose-signer", "before-sign")
    for operation in ("GetObject", "PutObject", "DeleteObject", "HeadObject")
)
#: Parameters that are texts in the query, as they are.
_IN_QUERY = {
    each: query_name(each)
    for each in (
        "ResponseCacheControl",
        "ResponseContentDisposition",
        "ResponseContentEncoding",
        "ResponseContentLanguage",
        "ResponseContentType",
        "VersionId",
    )
}
_ALGORITHM = "AWS4-HMAC-SHA256"
#: The digest of a body that is empty, and headers that no signature covers.
EMPTY = sha256(b"").hexdigest()
_UNSIGNED = {"User-Agent", "Content-Length", "Expect"}
_FORMAT = "%Y%m%dT%H%M%SZ"
#: What RFC 2104 makes of each byte of a key.
_INNER = bytes(each ^ 0x36 for each in range(256))
_OUTER = bytes(each ^ 0x5C for each in range(256))
_PORTS = {"http": 80, "https": 443}
#: True of what `quote` leaves as it is, at less than half of its cost.
_PLAIN = re.compile(r"[\w./~-]*", re.ASCII).fullmatch
MOST = 1024  # kinds of URLs remembered for a client


class UrlRequest(NamedTuple):
    """A URL that is asked for; parameters are boto3's, and come in the order of the query."""

    bucket: str
    key: str
    operation: str
    parameters: Mapping[str, Any]
    seconds: int
    method: str | None


class Mac:
    """HMAC-SHA256 of texts that begin alike; what they share is computed once (RFC 2104, 4)."""

    def __init__(self, key: bytes, start: str) -> None:
        block = key.ljust(sha256().block_size, b"\0")
        self._inner = sha256(block.translate(_INNER) + start.encode())
        self._outer = sha256(block.translate(_OUTER))

    def hexdigest(self, rest: str) -> str:
        """Return the code of a text, given what follows its start. Threads may ask at once."""
        inner = self._inner.copy()
        inner.update(rest.encode())
        outer = self._outer.copy()
        outer.update(inner.digest())
        return outer.hexdigest()


class Grant(NamedTuple):
    """What URLs that are signed with the same keys at the same time for the same life share."""

    mac: Mac
    stamp: str
    #: The query as it is signed, and as it is sent.
    signed: str
    sent: str

    def signature(self, canonical: str) -> str:
        """Return the signature of a request in its canonical form."""
        return self.mac.hexdigest(sha256(canonical.encode()).hexdigest())


class Pattern(NamedTuple):
    """A kind of URL: of one bucket, operation, method, and list of parameters."""

    base: str
    path: str
    host: str
    method: str
    #: Region and service; none where URLs are not signed.
    scope: str
    #: Names in the query, in the order of the parameters.
    names: tuple[str, ...]

    def url(self, key: str, values: Iterable[str], seconds: int, keys: Any, at: int) -> str:
        """Return the URL of a key that is signed at a moment, in seconds of the epoch."""
        path = key if _PLAIN(key) else quote(key, safe="/")
        before, after = "", ""
        if self.names:
            said = [f"{n}={quote(v, safe='')}" for n, v in zip(self.names, values, strict=True)]
            before, after = "&".join(said) + "&", "&" + "&".join(sorted(said))
        if not self.scope:
            return f"{self.base}{path}?{before}"[:-1]
        grant = granted(keys, self.scope, at, seconds)
        canonical = (
            f"{self.method}\n{self.path}{path}\n{grant.signed}{after}\n"
            f"host:{self.host}\n\nhost\nUNSIGNED-PAYLOAD"
        )
        signature = grant.signature(canonical)
        return f"{self.base}{path}?{before}{grant.sent}&X-Amz-Signature={signature}"


def rounded(now: float, seconds: int, rounding: int) -> tuple[int, int]:
    """Return when a URL's life begins, and for how many seconds it is.

    Rounded down, so that it is the same for ``rounding`` seconds, and longer by them, so that it is
    never shorter than what was asked for. 0 does not round.
    """
    at = int(now)
    return (at - at % rounding, seconds + rounding) if rounding else (at, seconds)


@functools.lru_cache(maxsize=256)
def granted(keys: Any, scope: str, at: int, seconds: int) -> Grant:
    """Return what does not depend on the file."""
    stamp = time.strftime(_FORMAT, time.gmtime(at))
    day = stamp[:8]
    credential = quote(f"{keys.access_key}/{day}/{scope}", safe="")
    query = (
        f"X-Amz-Algorithm={_ALGORITHM}&X-Amz-Credential={credential}"
        f"&X-Amz-Date={stamp}&X-Amz-Expires={seconds}"
    )
    is_temporary = keys.token is not None
    token = f"&X-Amz-Security-Token={quote(keys.token, safe='')}" if is_temporary else ""
    end = "&X-Amz-SignedHeaders=host"
    return Grant(
        mac=Mac(
            signing_key(keys.secret_key, day, scope), f"{_ALGORITHM}\n{stamp}\n{day}/{scope}\n"
        ),
        stamp=stamp,
        signed=f"{query}{token}{end}",
        sent=f"{query}{end}{token}",
    )


@functools.lru_cache(maxsize=64)
def signing_key(secret: str, day: str, scope: str) -> bytes:
    """Derive the key of a day, a region and a service (API reference, "Signature calculations")."""
    key = f"AWS4{secret}".encode()
    for each in (day, *scope.split("/")):
        key = hmac.digest(key, each.encode(), "sha256")
    return key


class UrlSigner:
    """Signs URLs for a client, to the same result."""

    def __init__(self, client: Any) -> None:
        self._client = client
        events = ("before-endpoint-resolution.s3", *_EVENTS)
        self._watch = Watch(client, events, {"generate_presigned_url"})
        self._version = 0
        self._patterns: dict[Hashable, Pattern | None] = {}

    def url(self, request: UrlRequest, rounding: int = 0) -> str:
        """Return the URL of a request.

        ``rounding`` is that of `rounded`; a URL that only the client can sign is not rounded.
        """
        pattern = self._pattern(request)
        if pattern is None:
            return self._by_client(request)
        at, seconds = rounded(time.time(), request.seconds, rounding)
        return pattern.url(
            request.key, request.parameters.values(), seconds, keys_of(self._client), at
        )

    def _pattern(self, request: UrlRequest) -> Pattern | None:
        if not self._watch.is_alone:
            return None
        if self._version != self._watch.version or len(self._patterns) > MOST:
            self._version = self._watch.version
            self._patterns = {}
        kind = (request.bucket, request.method, *request.parameters)
        try:
            found = self._patterns[kind]
        except KeyError:
            found = self._patterns[kind] = self._learnt(request)
        if request.parameters and not all(isinstance(v, str) for v in request.parameters.values()):
            return None
        return found

    def _learnt(self, request: UrlRequest) -> Pattern | None:
        """Return the pattern of a URL that the client signs, None where the two would differ."""
        keys = keys_of(self._client)
        url = self._by_client(request)
        parts = urlsplit(url)
        path = parts.path.removesuffix(quote(request.key, safe="/"))
        said = {name: each[0] for name, each in parse_qs(parts.query).items()}
        pattern = Pattern(
            base=f"{parts.scheme}://{parts.netloc}{path}",
            path=path,
            host=host_of(parts),
            method=(request.method or _METHODS[request.operation]).upper(),
            scope="/".join(said.get("X-Amz-Credential", "").rsplit("/", 4)[2:]),
            names=tuple(_IN_QUERY.get(each, "") for each in request.parameters),
        )
        at = moment_of(said.get("X-Amz-Date", "19700101T000000Z"))
        try:
            ours = pattern.url(request.key, request.parameters.values(), request.seconds, keys, at)
        except TypeError:  # what is no text
            return None
        return pattern if ours == url else None

    def _by_client(self, request: UrlRequest) -> str:
        url: str = self._client.generate_presigned_url(
            ClientMethod=request.operation,
            Params={**request.parameters, "Bucket": request.bucket, "Key": request.key},
            ExpiresIn=request.seconds,
            HttpMethod=request.method,
        )
        return url


def keys_of(client: Any) -> Any:
    """Return a client's credentials of this moment; those that end are renewed by botocore."""
    found = getattr(getattr(client, "_request_signer", None), "_credentials", None)
    return found and found.get_frozen_credentials()


def moment_of(stamp: str) -> int:
    """Return the moment that a signature's date says, in seconds of the epoch."""
    return calendar.timegm(time.strptime(stamp, _FORMAT))


def authorization(
    keys: Any,
    scope: str,
    at: int,
    request: str,
    headers: Mapping[str, str],
    host: str,
    digest: str,
) -> dict[str, str]:
    """Return the headers that sign a request (API reference, "Authenticating requests").

    ``request`` is its method, path and query, in lines; ``digest`` is that of its body.
    """
    grant = granted(keys, scope, at, 0)
    stamp = grant.stamp
    said = {"x-amz-date": stamp, "x-amz-content-sha256": digest, "host": host}
    if keys.token:
        said["x-amz-security-token"] = keys.token
    said |= {name.lower(): v for name, v in headers.items() if name not in _UNSIGNED}
    names = sorted(said)
    lines = "\n".join([f"{name}:{' '.join(said[name].split())}" for name in names])
    signed = ";".join(names)
    canonical = f"{request}\n{lines}\n\n{signed}\n{digest}"
    credential = f"{keys.access_key}/{stamp[:8]}/{scope}"
    given = {
        "X-Amz-Date": stamp,
        "X-Amz-Content-SHA256": digest,
        "Authorization": (
            f"{_ALGORITHM} Credential={credential}, SignedHeaders={signed}, "
            f"Signature={grant.signature(canonical)}"
        ),
    }
    if keys.token:
        given["X-Amz-Security-Token"] = keys.token
    return given


def host_of(url: SplitResult) -> str:
    """Return the Host header that a client sends."""
    is_usual = url.port in {None, _PORTS.get(url.scheme)}
    return f"{url.hostname}" if is_usual else f"{url.hostname}:{url.port}"
