"""What S3's errors mean: an errno, and a text that says what to change."""

from __future__ import annotations

import errno
import re
from urllib.parse import urlsplit

from botocore import exceptions as sdk
from botocore.exceptions import BotoCoreError, ClientError
from urllib3.exceptions import HTTPError

_ACL = (
    "The bucket refuses the ACL of 'default_acl' (AWS_DEFAULT_ACL): either its object ownership "
    "switches ACLs off, as in every bucket made since April 2023, or its settings block public "
    "access. Unset the option, or change the bucket"
)
_ACTION = re.compile(r"not authorized to perform: (\w+:\w+)")
_PUT_ACL = "s3:PutObjectAcl"
#: Said of an answer that no S3 service gives.
NO_SERVICE = (
    "The answer is none of S3's: set 'endpoint_url' (AWS_S3_ENDPOINT_URL) to an S3 service, not to "
    "its console or another web server"
)
_SCHEME = "set 'endpoint_url' (AWS_S3_ENDPOINT_URL) to its URL with http://, or to another port"
_REGION = "The bucket is in another region{}: set 'region_name' (AWS_S3_REGION_NAME)"
_BUSY = "S3 asks for fewer requests: try again later"
_CHANGED = "The bytes were changed on their way to S3: try again"

#: Error codes of S3 (API reference, "Error responses"); HEAD answers have only a status.
_CODES: dict[str, tuple[int, str]] = {
    "404": (errno.ENOENT, "No such file"),
    "NoSuchKey": (errno.ENOENT, "No such file"),
    "NotFound": (errno.ENOENT, "No such file"),
    "NoSuchBucket": (
        errno.ENXIO,
        "The bucket does not exist: set 'bucket_name' (AWS_STORAGE_BUCKET_NAME) to one that does, "
        "or 'auto_create_bucket' (AWS_AUTO_CREATE_BUCKET)",
    ),
    "InvalidBucketName": (
        errno.EINVAL,
        "S3 cannot have a bucket of this name: set 'bucket_name' (AWS_STORAGE_BUCKET_NAME)",
    ),
    "InvalidAccessKeyId": (
        errno.EACCES,
        "The access key is unknown: check 'access_key' (AWS_ACCESS_KEY_ID)",
    ),
    "SignatureDoesNotMatch": (
        errno.EACCES,
        "The signature is wrong: check 'secret_key' (AWS_SECRET_ACCESS_KEY)",
    ),
    "ExpiredToken": (
        errno.EACCES,
        "The temporary credentials have expired: renew 'security_token' (AWS_SESSION_TOKEN) and "
        "its keys, or leave the credentials to boto3, which renews them by itself",
    ),
    "InvalidToken": (
        errno.EACCES,
        "The session token is not valid: check 'security_token' (AWS_SESSION_TOKEN)",
    ),
    "RequestTimeTooSkewed": (
        errno.EACCES,
        "The clock of this machine is more than 15 minutes off: set it right",
    ),
    "AccessControlListNotSupported": (errno.EACCES, _ACL),
    "InvalidBucketAclWithObjectOwnership": (errno.EACCES, _ACL),
    "InvalidObjectState": (errno.EACCES, "The file is archived: restore it first"),
    "ConditionalRequestConflict": (errno.EEXIST, "The name is being written by another"),
    "KeyTooLongError": (errno.ENAMETOOLONG, "The name and location are over 1,024 bytes long"),
    "EntityTooLarge": (errno.EFBIG, "The file is larger than S3 takes"),
    "SlowDown": (errno.EBUSY, _BUSY),
    "ServiceUnavailable": (errno.EBUSY, _BUSY),
    "503": (errno.EBUSY, _BUSY),
    "RequestTimeout": (errno.ETIMEDOUT, "S3 waited too long for the bytes"),
    "BadDigest": (errno.EIO, _CHANGED),
    "XAmzContentSHA256Mismatch": (errno.EIO, _CHANGED),
    "XAmzContentChecksumMismatch": (errno.EIO, _CHANGED),
}
_DENIED = {"403", "AccessDenied", "AllAccessDisabled", "AccountProblem", "Forbidden"}
_REDIRECTS = {
    "301",
    "307",
    "PermanentRedirect",
    "TemporaryRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
}
_UPLOADS = {"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"}
_PERMISSIONS = {
    "HeadObject": "s3:GetObject, and s3:ListBucket without which a missing file is denied too",
    "GetObject": "s3:GetObject, and s3:ListBucket without which a missing file is denied too",
    "ListObjectsV2": "s3:ListBucket",
    "DeleteObject": "s3:DeleteObject",
    "DeleteObjects": "s3:DeleteObject",
    "CreateBucket": "s3:CreateBucket, and the name may belong to another account",
}
#: The SDK's own errors, narrowest first.
_CLASSES: tuple[tuple[type[Exception], int, str], ...] = (
    (
        sdk.NoCredentialsError,
        errno.EACCES,
        "There are no credentials: set 'access_key' (AWS_ACCESS_KEY_ID) and 'secret_key' "
        "(AWS_SECRET_ACCESS_KEY), or give boto3 a profile or a role",
    ),
    (sdk.PartialCredentialsError, errno.EACCES, "Half of the credentials is missing"),
    (sdk.CredentialRetrievalError, errno.EACCES, "The credentials could not be fetched"),
    (sdk.TokenRetrievalError, errno.EACCES, "The single sign-on session has ended: sign in again"),
    (sdk.ConnectTimeoutError, errno.ETIMEDOUT, "{} did not answer in time"),
    (sdk.ReadTimeoutError, errno.ETIMEDOUT, "{} stopped answering"),
    (
        sdk.SSLError,
        errno.EPROTO,
        "The certificate of {} was refused: set 'verify' (AWS_S3_VERIFY) to the bundle that has "
        "its authority, or check 'endpoint_url' (AWS_S3_ENDPOINT_URL)",
    ),
    (
        sdk.ProxyConnectionError,
        errno.ECONNREFUSED,
        "The proxy cannot be reached: check 'proxies' (AWS_S3_PROXIES)",
    ),
    (
        sdk.EndpointConnectionError,
        errno.ECONNREFUSED,
        "{} cannot be reached: check 'endpoint_url' (AWS_S3_ENDPOINT_URL)",
    ),
    (sdk.FlexibleChecksumError, errno.EIO, "The bytes were changed on their way from S3"),
    (
        sdk.ParamValidationError,
        errno.EINVAL,
        "boto3 refuses the parameters: check 'bucket_name' (AWS_STORAGE_BUCKET_NAME), "
        "'object_parameters' (AWS_S3_OBJECT_PARAMETERS) or 'headers' (AWS_HEADERS)",
    ),
    (sdk.HTTPClientError, errno.ECONNRESET, "The connection to {} broke"),
    (sdk.IncompleteReadError, errno.ECONNRESET, "The connection broke before the end"),
    (HTTPError, errno.ECONNRESET, "The connection broke"),
)

#: What boto3 raises; the last one while it reads a body over TLS.
ERRORS = (ClientError, BotoCoreError, HTTPError)


def code_of(exc: ClientError) -> str:
    """Return S3's error code, or the HTTP status where the answer had no body."""
    return str(exc.response.get("Error", {}).get("Code", ""))


def is_denied(exc: ClientError) -> bool:
    """Return True if S3 refuses the credentials a request that others may send."""
    return code_of(exc) in _DENIED


def explain(exc: Exception, *, with_acl: bool = True) -> tuple[int, str]:
    """Return the errno for an error of boto3, and what to change; ``with_acl`` if one is sent."""
    if isinstance(exc, ClientError):
        return _explain_answer(exc, with_acl)
    if _timed_out(exc):
        return errno.ETIMEDOUT, f"{_host(exc)} stopped answering"
    if isinstance(exc, sdk.SSLError) and "WRONG_VERSION_NUMBER" in str(exc):
        return errno.EPROTO, f"{_host(exc)} speaks no TLS: {_SCHEME}"
    for kind, number, text in _CLASSES:
        if isinstance(exc, kind):
            return number, text.format(_host(exc))
    return errno.EIO, f"boto3 failed with {type(exc).__name__}"


def _explain_answer(exc: ClientError, with_acl: bool) -> tuple[int, str]:
    code, operation = code_of(exc), exc.operation_name
    if code in _DENIED:
        return errno.EACCES, _denied(exc, with_acl)
    if code == "404" and operation == "ListObjectsV2":
        code = "NoSuchBucket"
    if code in _REDIRECTS:
        headers = exc.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
        region = headers.get("x-amz-bucket-region", "")
        return errno.EINVAL, _REGION.format(f", {region}" if region else "")
    if code in {"412", "PreconditionFailed"}:
        if operation in _UPLOADS:
            return errno.EEXIST, "The name is taken"
        return errno.ESTALE, "The file was replaced while it was read"
    message = str(exc.response.get("Error", {}).get("Message", ""))[:200]
    return _CODES.get(code, (errno.EIO, f"S3 answered {code} to {operation}: {message}"))


def _denied(exc: ClientError, with_acl: bool) -> str:
    # AWS says which action it refused, one of KMS for example; others say nothing.
    named = _ACTION.search(str(exc.response.get("Error", {}).get("Message", "")))
    needed = named[1] if named else _PERMISSIONS.get(exc.operation_name, "s3:PutObject")
    text = f"Access denied: the credentials need {needed}"
    if exc.operation_name in _UPLOADS and with_acl and needed in {"s3:PutObject", _PUT_ACL}:
        text += "; with 'default_acl' (AWS_DEFAULT_ACL) set, also s3:PutObjectAcl. " + _ACL
    return text


def _timed_out(exc: Exception) -> bool:
    """Return True if sending took too long, which botocore calls a closed connection."""
    inner = getattr(exc, "kwargs", {}).get("error")
    return any(isinstance(each, TimeoutError) for each in getattr(inner, "args", ()))


def _host(exc: Exception) -> str:
    """Name the server without what else its URL holds."""
    url = urlsplit(str(getattr(exc, "kwargs", {}).get("endpoint_url") or ""))
    return url.netloc.rpartition("@")[2] or "S3"
