"""What Dropbox's errors mean: an errno, and a text that says what to change."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

from dropbox.common import PathRootError as PathRootReason
from dropbox.exceptions import (
    ApiError,
    AuthError,
    BadInputError,
    DropboxException,
    HttpError,
    InternalServerError,
    RateLimitError,
)
from stone.backends.python_rsrc.stone_base import Union

from storages.http import TRANSPORT_ERRORS, explain_transport

#: What the SDK raises, and the libraries that it stands on.
ERRORS: tuple[type[Exception], ...] = (DropboxException, *TRANSPORT_ERRORS)

_TOKEN = (
    "check 'oauth2_access_token' (DROPBOX_OAUTH2_TOKEN), or better set 'oauth2_refresh_token' "  # noqa: S105
    "(DROPBOX_OAUTH2_REFRESH_TOKEN) with 'app_key' (DROPBOX_APP_KEY)"
)
_SPACE = "has no room for the file: make room there, or get more"

#: The tags of errors of routes, the inner one first where there are several.
_TAGS: dict[str, tuple[int, str]] = {
    "not_found": (errno.ENOENT, "No such file"),
    "not_file": (errno.EISDIR, "It is a folder"),
    "not_folder": (errno.ENOTDIR, "It is no folder"),
    "file_ancestor": (errno.ENOTDIR, "A folder of the name is a file"),
    "malformed_path": (errno.EINVAL, "Dropbox takes no such name: choose another"),
    "disallowed_name": (errno.EINVAL, "Dropbox keeps no file of such a name: choose another"),
    "restricted_content": (errno.EPERM, "Dropbox has restricted the file for its content"),
    "unsupported_content_type": (errno.EOPNOTSUPP, "Dropbox cannot do that with such a file"),
    "unsupported_file": (
        errno.EOPNOTSUPP,
        "It is a document of Dropbox Paper or of another online editor, which has no bytes to "
        "read: export it in Dropbox",
    ),
    "locked": (errno.EBUSY, "The file is locked in Dropbox: have its lock taken away"),
    "no_write_permission": (errno.EACCES, "The account may not write there"),
    "access_restricted": (errno.EACCES, "An administrator of the team does not allow it"),
    "operation_suppressed": (errno.EACCES, "Dropbox does not allow it at this path"),
    "team_folder": (errno.EACCES, "A team folder can be changed in the admin console only"),
    "insufficient_space": (errno.ENOSPC, f"The account {_SPACE}"),
    "team_folder_insufficient_space": (errno.ENOSPC, f"The team folder {_SPACE}"),
    "member_folder_insufficient_space": (errno.ENOSPC, f"The member's folder {_SPACE}"),
    "upload_traffic_limit_reached": (
        errno.EDQUOT,
        "The account has reached its upload limit of this month",
    ),
    "too_many_write_operations": (
        errno.ETIMEDOUT,
        "Too many writes go on in the account: try again later, or raise 'max_wait' "
        "(DROPBOX_MAX_WAIT)",
    ),
    "too_many_files": (errno.EFBIG, "Too many files at once"),
    "too_large": (errno.EFBIG, "The file is larger than Dropbox takes"),
    "payload_too_large": (errno.EFBIG, "The request is larger than Dropbox takes"),
    "content_hash_mismatch": (errno.EIO, "The bytes were changed on their way: try again"),
    "encryption_not_supported": (
        errno.EACCES,
        "The folder is end-to-end encrypted, which no app can write to",
    ),
    "reset": (errno.EBUSY, "The folder changes too much to be listed: try again later"),
    "email_not_verified": (
        errno.EACCES,
        "Dropbox makes links for accounts with a verified e-mail address only: verify it",
    ),
    "not_allowed": (errno.EACCES, "The account may make no link to this file"),
    "conflict": (errno.EEXIST, "The name is taken"),
}

_AUTH: dict[str, str] = {
    "invalid_access_token": f"Dropbox does not know the token: {_TOKEN}",
    "expired_access_token": f"The access token has expired: {_TOKEN}, which is renewed by itself",
    "invalid_select_user": (
        "The team has no such member: check 'select_user' (DROPBOX_SELECT_USER)"
    ),
    "user_suspended": "The user is suspended",
    "route_access_denied": "The app may not use this part of Dropbox's API",
}


def tags(error: object) -> Iterator[str]:
    """Yield the tags of an SDK's error, from its outermost part to its reason."""
    while error is not None:
        if isinstance(error, Union):
            # Which of them is set has no public name, only a question for each.
            yield error._tag  # noqa: SLF001
            error = error._value  # noqa: SLF001
        else:
            error = getattr(error, "reason", None)


def says(exc: Exception, *wanted: str) -> bool:
    """Return True if an error of the API has one of the tags."""
    return isinstance(exc, ApiError) and not set(wanted).isdisjoint(tags(exc.error))


def correct_offset(exc: Exception) -> int | None:
    """Return where an upload session says that it stands, None for any other error."""
    error: Any = getattr(exc, "error", None)
    while isinstance(error, Union):
        error = error._value  # noqa: SLF001
    offset = getattr(error, "correct_offset", None)
    return None if offset is None else int(offset)


def is_passing(exc: Exception) -> bool:
    """Return True if the same request, sent again, may well be answered."""
    if isinstance(exc, InternalServerError):
        return True
    return _broke(exc, errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE)


def is_late(exc: Exception) -> bool:
    """Return True if the answer did not come in time: the request may be done all the same."""
    return _broke(exc, errno.ETIMEDOUT)


def _broke(exc: Exception, *how: int) -> bool:
    return isinstance(exc, TRANSPORT_ERRORS) and explain_transport(exc, "Dropbox")[0] in how


def explain(exc: Exception) -> tuple[int, str]:
    """Return the errno for an error of the SDK, and what to change."""
    if isinstance(exc, ApiError):
        return _explain_answer(exc)
    if isinstance(exc, AuthError):
        return errno.EACCES, _explain_auth(exc)
    if isinstance(exc, RateLimitError):
        return errno.ETIMEDOUT, (
            "Dropbox asks to wait for longer than 'max_wait' (DROPBOX_MAX_WAIT) allows: try again "
            "later, or raise it"
        )
    if isinstance(exc, BadInputError):
        return _explain_bad_input(str(exc.message))
    if isinstance(exc, HttpError):
        code = errno.EACCES if exc.status_code == 403 else errno.EIO
        return code, f"Dropbox answered with status {exc.status_code}"
    return explain_transport(exc, "Dropbox")


def explain_root(error: PathRootReason) -> str:
    """Say what to set where Dropbox refuses the namespace that paths are relative to."""
    if not error.is_invalid_root():
        return (
            "'path_root' (DROPBOX_PATH_ROOT) names a namespace that the account may not use: set "
            "it right, or unset it."
        )
    root = error.get_invalid_root().root_namespace_id
    return (
        "'path_root' (DROPBOX_PATH_ROOT) names a namespace that is not, or no longer, the root of "
        f"the account: set it to {root!r}."
    )


def _explain_answer(exc: ApiError) -> tuple[int, str]:
    found = list(tags(exc.error))
    for tag in reversed(found):
        if tag in _TAGS:
            return _TAGS[tag]
    return errno.EIO, f"Dropbox answered {'/'.join(found)}"


def _explain_auth(exc: AuthError) -> str:
    if exc.error.is_missing_scope():
        scope = exc.error.get_missing_scope().required_scope
        return (
            f"The app lacks the permission {scope}: tick it in the App Console, and get a new token"
        )
    tag = next(tags(exc.error))
    return _AUTH.get(tag, f"Dropbox refuses the token ({tag}): {_TOKEN}")


def _explain_bad_input(message: str) -> tuple[int, str]:
    # The message may hold the header that it complains of, and so the token.
    if "Select-User" in message:
        return errno.EACCES, (
            "The token is one of a team: set 'select_user' (DROPBOX_SELECT_USER) to a member's id"
        )
    if "invalid_client" in message:
        return errno.EACCES, (
            "Dropbox does not know the app: check 'app_key' (DROPBOX_APP_KEY) and 'app_secret' "
            "(DROPBOX_APP_SECRET)"
        )
    if "access token" in message or "Authorization" in message:
        return errno.EACCES, f"Dropbox takes the token for none: {_TOKEN}"
    return errno.EINVAL, "Dropbox does not take the request, perhaps for the name"
