"""What CouchDB's errors mean: an errno, and a text that says what to change."""

from __future__ import annotations

import errno
from typing import Final

from couchdb.http import (
    Forbidden,
    PreconditionFailed,
    ResourceConflict,
    ResourceNotFound,
    ServerError,
    Unauthorized,
)

from storages.utils import shown

_CLASSES: Final[dict[int, type[Exception]]] = {
    401: Unauthorized,
    403: Forbidden,
    404: ResourceNotFound,
    409: ResourceConflict,
    412: PreconditionFailed,
}
#: What CouchDB and PouchDB say of a document that is not there, or no more.
_MISSING: Final = {"missing", "deleted"}

_STATUSES: Final[dict[int, tuple[int, str]]] = {
    413: (
        errno.EFBIG,
        "The file is larger than CouchDB takes: raise its max_attachment_size, or the limit of "
        "the proxy before it",
    ),
    414: (errno.ENAMETOOLONG, "The name is longer than CouchDB takes"),
    431: (errno.ENAMETOOLONG, "The name is longer than CouchDB takes"),
    429: (errno.EBUSY, "CouchDB asks for fewer requests: try again later"),
    503: (errno.EBUSY, "CouchDB is not available: try again later"),
    507: (errno.ENOSPC, "CouchDB has no room left"),
}
_MEANINGS: Final[tuple[tuple[type[Exception], int, str], ...]] = (
    (
        ResourceNotFound,
        errno.ENXIO,
        "CouchDB does not know the database: create it, or check 'database' "
        "(COUCHDB_STORAGE_OPTIONS) and 'server'",
    ),
    (
        Unauthorized,
        errno.EACCES,
        "CouchDB refuses the sign-in: check 'user' and 'password', or those in 'server' "
        "(COUCHDB_STORAGE_OPTIONS)",
    ),
    (ResourceConflict, errno.EBUSY, "Others keep writing the file: try again later"),
)


class Unsettled(ServerError):  # type: ignore[misc]
    """Raised for an answer that leaves open whether the request was carried out."""


def error_of(status: int, error: str, reason: str) -> Exception:
    """Return the error of python-couchdb that stands for an answer."""
    if status in _CLASSES:
        return _CLASSES[status]((error, reason))
    # A cluster may lose the answers of its nodes; a changed byte may have been one of a cable.
    kind = Unsettled if status >= 500 or error == "content_md5_mismatch" else ServerError
    found: Exception = kind((status, (error, reason)))
    return found


def is_missing(exc: Exception) -> bool:
    """Return True if an error says of a document, not of its database, that it is not there."""
    return isinstance(exc, ResourceNotFound) and exc.args[0][1] in _MISSING


def explain(exc: Exception) -> tuple[int, str]:
    """Return errno and text of an error of python-couchdb."""
    for kind, code, text in _MEANINGS:
        if isinstance(exc, kind) and not is_missing(exc):
            return code, text
    if is_missing(exc):
        return errno.ENOENT, "No such file"
    status, (error, reason) = exc.args[0] if isinstance(exc, ServerError) else (0, exc.args[0])
    if status in _STATUSES:
        return _STATUSES[status]
    code = errno.EACCES if isinstance(exc, Forbidden) else errno.EIO
    return code, f"CouchDB refuses it; it says {shown(reason or error)}"
