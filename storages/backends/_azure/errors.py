"""What Azure's errors mean: an errno, and a text that says what to change."""

from __future__ import annotations

import errno
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError

from storages.http import TRANSPORT_ERRORS, causes, explain_transport

#: What the SDK raises, and what reading a body may.
ERRORS: tuple[type[Exception], ...] = (AzureError, *TRANSPORT_ERRORS)

SKEW = timedelta(minutes=14)  # the service takes requests of the last 15 minutes
CLOCK = "The clock of this machine is over 15 minutes off: set it right"
NO_FILE = (errno.ENOENT, "No such file")
REPLACED = "The file was replaced while it was read or changed: open it anew"

_SIGNATURE = re.compile(r"(\bsig=)[^&\s\"'<>]+", re.IGNORECASE)
_CONTAINER = "set 'azure_container' (AZURE_CONTAINER) to one that does"
_SIGN_IN = (
    "set one of 'account_key' (AZURE_ACCOUNT_KEY), 'sas_token' (AZURE_SAS_TOKEN), "
    "'token_credential' (AZURE_TOKEN_CREDENTIAL) and 'connection_string' (AZURE_CONNECTION_STRING)"
)
_HIDDEN = (
    errno.ENXIO,
    "The service shows no such account or container to this request: check 'azure_container' "
    f"(AZURE_CONTAINER) and 'account_url' (AZURE_ACCOUNT_URL), and {_SIGN_IN}",
)
_BUSY = (errno.EBUSY, "Azure asks for fewer requests: try again later")
_CHANGED = (errno.EIO, "The bytes were changed on their way to Azure: try again")
_LEASED = (errno.EBUSY, "The file is leased by another client: break the lease first")
_PROTECTED = (errno.EACCES, "The file is protected from changes by a policy or a legal hold")

#: Error codes (REST reference, "Common REST API error codes" and "Blob service error codes").
_CODES: dict[str, tuple[int, str]] = {
    "BlobNotFound": NO_FILE,
    "PathNotFound": NO_FILE,
    "ContainerNotFound": (errno.ENXIO, f"The container does not exist: {_CONTAINER}"),
    "ContainerBeingDeleted": (
        errno.EBUSY,
        "The container is being deleted (ContainerBeingDeleted): "
        "wait, or set 'azure_container' (AZURE_CONTAINER) to another",
    ),
    "ContainerDisabled": (errno.EACCES, f"The container is disabled: {_CONTAINER}"),
    "ResourceNotFound": _HIDDEN,
    "InvalidResourceName": (
        errno.EINVAL,
        "Azure cannot have this name, or a container such as 'azure_container' (AZURE_CONTAINER)",
    ),
    "BlobAlreadyExists": (errno.EEXIST, "The name is taken"),
    "ConditionNotMet": (errno.ESTALE, REPLACED),
    "BlobModifiedWhileReading": (errno.ESTALE, REPLACED),
    "InvalidBlobType": (
        errno.EINVAL,
        "An append or page blob has the name (InvalidBlobType): delete it first",
    ),
    "InvalidBlobOrBlock": (
        errno.EBUSY,
        "Another client's unfinished upload has blocks of this name (InvalidBlobOrBlock): Azure "
        "drops them after a week, or when a small file is saved under the name",
    ),
    "InvalidBlockList": (errno.EBUSY, "Others keep writing the name (InvalidBlockList)"),
    "BlobArchived": (errno.EACCES, "The file is archived (BlobArchived): restore it first"),
    "BlobBeingRehydrated": (errno.EACCES, "The file is being restored from the archive: wait"),
    "SnapshotsPresent": (
        errno.EBUSY,
        "The file has snapshots (SnapshotsPresent): delete them first",
    ),
    "DirectoryIsNotEmpty": (errno.ENOTEMPTY, "The directory is not empty"),
    "BlobImmutableDueToPolicy": _PROTECTED,
    "BlobImmutableDueToLegalHold": _PROTECTED,
    "LeaseIdMissing": _LEASED,
    "LeaseIdMismatchWithBlobOperation": _LEASED,
    "AccountIsDisabled": (errno.EACCES, "The account is disabled"),
    "AccountRequiresHttps": (errno.EACCES, "The account takes TLS only: set 'azure_ssl'"),
    "AuthorizationProtocolMismatch": (errno.EACCES, "The signature is for https only"),
    "AuthorizationPermissionMismatch": (
        errno.EACCES,
        "The credential lacks the permission: give 'sas_token' (AZURE_SAS_TOKEN) the letters "
        "racwdl, or 'token_credential' the role Storage Blob Data Contributor",
    ),
    "AuthorizationFailure": (
        errno.EACCES,
        "The account refuses the request: its firewall does not let this machine in, "
        "'sas_token' (AZURE_SAS_TOKEN) lacks a permission, or 'account_key' (AZURE_ACCOUNT_KEY) is "
        "wrong",
    ),
    "InsufficientAccountPermissions": (errno.EACCES, "The account may only be read"),
    "KeyBasedAuthenticationNotPermitted": (
        errno.EACCES,
        "The account takes no keys: set 'token_credential' (AZURE_TOKEN_CREDENTIAL) instead",
    ),
    "PublicAccessNotPermitted": (errno.EACCES, f"The account lets nobody in unsigned: {_SIGN_IN}"),
    "NoAuthenticationInformation": (errno.EACCES, f"There is no credential: {_SIGN_IN}"),
    "RequestBodyTooLarge": (errno.EFBIG, "The file is larger than Azure takes"),
    "Md5Mismatch": _CHANGED,
    "Crc64Mismatch": _CHANGED,
    "ServerBusy": _BUSY,
    "TooManyRequests": _BUSY,
    "OperationTimedOut": (errno.ETIMEDOUT, "Azure took too long for the request: try again"),
}
#: Where the code is another, or there is none: an answer that is not Azure's means nothing.
_STATUSES: dict[int, tuple[int, str]] = {
    404: _HIDDEN,
    408: (errno.ETIMEDOUT, "Azure waited too long"),
    412: (errno.ESTALE, REPLACED),
    429: _BUSY,
    503: _BUSY,
}


def code_of(exc: Exception) -> str:
    """Return Azure's error code, ``""`` where the answer was not Azure's."""
    code = getattr(exc, "error_code", None) or _header(exc, "x-ms-error-code")
    return str(getattr(code, "value", code) or "")


def _header(exc: Exception, name: str) -> str:
    """Return a header of the answer that an error is about."""
    response = getattr(exc, "response", None)
    return "" if response is None else str(response.headers.get(name, ""))


def without_signatures(text: str) -> str:
    """Return a text without the signatures of its URLs, which open files."""
    return _SIGNATURE.sub(r"\1…", text)


def explain(exc: Exception, host: str) -> tuple[int, str]:
    """Return the errno for an error of the SDK or its transport, and what to change.

    Takes the signatures of URLs out of the error, which a traceback shows as the cause.
    """
    found = _explained(exc, host)
    for each in causes(exc):
        each.args = tuple(without_signatures(a) if isinstance(a, str) else a for a in each.args)
        if isinstance(each, HttpResponseError) and without_signatures(str(each)) != str(each):
            # Its text is also made of the answer, such as a proxy's page that repeats the URL.
            each.response = None
            each.message = without_signatures(each.message)
    return found


def _explained(exc: Exception, host: str) -> tuple[int, str]:
    response = getattr(exc, "response", None)
    if isinstance(exc, HttpResponseError) and response is not None:
        return _explain_answer(exc)
    if isinstance(exc, ClientAuthenticationError):
        return (
            errno.EACCES,
            "The credential gives no token: check 'token_credential' (AZURE_TOKEN_CREDENTIAL)",
        )
    return explain_transport(getattr(exc, "inner_exception", None) or exc, host)


def _explain_answer(exc: HttpResponseError) -> tuple[int, str]:
    code, status = code_of(exc), exc.status_code or 0
    if code in _CODES:
        return _CODES[code]
    if code in {"AuthenticationFailed", "InvalidAuthenticationInfo"}:
        return errno.EACCES, _refused(exc)
    if status in _STATUSES:
        return _STATUSES[status]
    if status in {401, 403}:
        hint = "" if code else ", perhaps not by Azure: check 'account_url' (AZURE_ACCOUNT_URL)"
        return errno.EACCES, f"Access denied ({code or status}){hint}"
    return errno.EIO, f"Azure answered {status} {code or exc.reason}".rstrip()


def _refused(exc: HttpResponseError) -> str:
    """Say why a signature is refused, which only answers with a body tell."""
    details = getattr(exc, "additional_info", None) or {}
    detail = str(details.get("authenticationerrordetail", "")) + str(exc.message)
    if "date header" in detail.lower() or _clocks_differ(exc):
        return CLOCK
    if "specified time frame" in detail or "expired" in detail.lower():
        return (
            "The signature or token has expired, or is not valid yet: renew 'sas_token' "
            "(AZURE_SAS_TOKEN) or 'token_credential' (AZURE_TOKEN_CREDENTIAL)"
        )
    return (
        "The credential is wrong or has expired (AuthenticationFailed): check 'account_name' "
        "(AZURE_ACCOUNT_NAME) and 'account_key' (AZURE_ACCOUNT_KEY), 'sas_token' or "
        "'token_credential'"
    )


def _clocks_differ(exc: HttpResponseError) -> bool:
    try:
        told = parsedate_to_datetime(_header(exc, "Date"))
    except (TypeError, ValueError):
        return False
    return abs(datetime.now(UTC) - told.replace(tzinfo=told.tzinfo or UTC)) > SKEW
