"""What errors of services and of libcloud mean: an errno, and a text that says what to change."""

from __future__ import annotations

import errno
import re

from libcloud.common.exceptions import BaseHTTPError
from libcloud.common.types import InvalidCredsError, LibcloudError
from libcloud.storage.types import ContainerDoesNotExistError, ObjectDoesNotExistError
from requests import Response

from storages.http import TRANSPORT_ERRORS, drain, explain_transport

#: What libcloud and requests raise, apart from OSErrors.
ERRORS: tuple[type[Exception], ...] = (LibcloudError, BaseHTTPError, *TRANSPORT_ERRORS)
#: Answers after which the same request may do better.
BUSY = frozenset({429, 500, 502, 503, 504})

NO_BUCKET = (
    errno.ENXIO,
    "The container does not exist: set 'bucket' to one that does, or make it by "
    "storage.driver.create_container()",
)
_DENIED = "The credentials are refused: check 'user' and 'key', or allow them this request"
_EXPIRED = "The temporary credentials have expired: renew 'user', 'key' and 'token'"
_CLOCK = "The clock of this machine is off: set it right"
_SERVER_BUSY = "The service asks for fewer requests: try again later"
_CHANGED = "The bytes were changed on their way to the service: try again"
_REPLACED = "The file was replaced meanwhile: open it anew"
_REDIRECTED = "The container is elsewhere: set 'type', 'region' or 'host' to where it is"

#: Error codes of S3 ("Error responses") and of Azure ("Blob service error codes").
_CODES: dict[str, tuple[int, str]] = {
    **dict.fromkeys(("NoSuchKey", "BlobNotFound"), (errno.ENOENT, "No such file")),
    **dict.fromkeys(("NoSuchBucket", "ContainerNotFound"), NO_BUCKET),
    **dict.fromkeys(
        ("InvalidBucketName", "InvalidResourceName"),
        (errno.EINVAL, "The service cannot have a container of this name: set 'bucket'"),
    ),
    **dict.fromkeys(("ExpiredToken", "TokenRefreshRequired"), (errno.EACCES, _EXPIRED)),
    "InvalidToken": (errno.EACCES, "The session token is not valid: check 'token'"),
    "RequestTimeTooSkewed": (errno.EACCES, _CLOCK),
    "AuthorizationHeaderMalformed": (errno.EINVAL, _REDIRECTED),
    "ContainerBeingDeleted": (errno.EBUSY, "The container is being deleted: try again later"),
    "SnapshotsPresent": (errno.EBUSY, "The blob has snapshots: delete them first"),
    "BlobArchived": (errno.EACCES, "The file is archived: restore it first"),
    "InvalidObjectState": (errno.EACCES, "The file is archived: restore it first"),
    "BlobAlreadyExists": (errno.EEXIST, "The name is taken"),
    "ConditionalRequestConflict": (errno.EEXIST, "The name is being written by another"),
    "KeyTooLongError": (errno.ENAMETOOLONG, "The name and location are over 1,024 bytes long"),
    "EntityTooLarge": (errno.EFBIG, "The file is larger than the service takes"),
    "RequestBodyTooLarge": (errno.EFBIG, "The file is larger than the service takes"),
    "RequestTimeout": (errno.ETIMEDOUT, "The service waited too long for the bytes"),
    "OperationTimedOut": (errno.ETIMEDOUT, "The service took too long"),
    "BadDigest": (errno.EIO, _CHANGED),
    "Md5Mismatch": (errno.EIO, _CHANGED),
    "XAmzContentSHA256Mismatch": (errno.EIO, _CHANGED),
}
_STATUSES: dict[int, tuple[int, str]] = {
    401: (errno.EACCES, _DENIED),
    403: (errno.EACCES, _DENIED),
    404: (errno.EPROTO, "The server has no such address: check 'type', 'host' and 'port'"),
    412: (errno.ESTALE, _REPLACED),
    429: (errno.EBUSY, _SERVER_BUSY),
    503: (errno.EBUSY, _SERVER_BUSY),
    **dict.fromkeys((301, 302, 307, 308), (errno.EINVAL, _REDIRECTED)),
}
_MOST = 64 * 1024  # bytes of an error's text that are read


def code_of(response: Response) -> str:
    """Return a service's own code of an error, "" if it told none; reads the answer to its end."""
    told = str(response.headers.get("x-ms-error-code", ""))
    body = drain(response, _MOST)
    response.close()
    found = re.search(rb"<Code>\s*(\w+)\s*</Code>", body)
    return told or (found[1].decode() if found else "")


def refused(status: int, code: str, what: str) -> OSError:
    """Return the error for an answer; ``what`` is the request it was an answer to."""
    if code in _CODES:
        return OSError(*_CODES[code])
    told = f"The service answered {status}{f' ({code})' if code else ''} to {what}"
    return OSError(*_STATUSES.get(status, (errno.EIO, told)))


def explain(exc: Exception) -> tuple[int, str]:
    """Return the errno for an error of libcloud or requests, and what to change."""
    if isinstance(exc, ObjectDoesNotExistError):
        return errno.ENOENT, "No such file"
    if isinstance(exc, ContainerDoesNotExistError):
        return NO_BUCKET
    if isinstance(exc, InvalidCredsError):
        return errno.EACCES, _DENIED
    if isinstance(exc, BaseHTTPError):
        return explain_status(int(exc.code))
    if isinstance(exc, LibcloudError):
        return errno.EIO, f"libcloud failed with {type(exc).__name__}"
    number, text = explain_transport(exc, "The service")
    hint = ": check 'host', 'port' and 'secure'" if number == errno.ECONNREFUSED else ""
    return number, text + hint


def explain_status(status: int) -> tuple[int, str]:
    """Return what an answer without a code of its own means."""
    if status == 404:
        return errno.ENOENT, "No such file"
    return _STATUSES.get(status, (errno.EIO, f"The service answered {status}"))


def is_lost(exc: Exception) -> bool:
    """Return True if a connection broke, after which another may do better; no time-outs."""
    number, _ = explain_transport(exc, "")
    return number in {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ECONNREFUSED}
