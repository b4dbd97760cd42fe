"""Copies that Azure makes by itself, within an account whose key signs for the original."""

from __future__ import annotations

import errno
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient

from storages.driver import Entry

from .errors import code_of

MOST = 100 * 1024 * 1024  # bytes: Azure takes 256 MiB, but then needs long to answer
LIFE = 3600  # seconds that the URL of an original is signed for

#: Azure cannot reach the original by the URL that clients use, or does not know the request.
_REFUSALS = {"CannotVerifyCopySource", "CopyIdMismatch", "UnsupportedHeader", "NotImplemented"}
_REPLACED = {"ConditionNotMet", "SourceConditionNotMet"}


def copied(target: BlobClient, url: str, entry: Entry) -> bool:
    """Copy the blob at a signed URL, in one request; False if Azure cannot do that."""
    same: dict[str, Any] = {}
    if entry.etag:
        condition = MatchConditions.IfNotModified
        same = {"source_etag": entry.etag, "source_match_condition": condition}
    try:
        target.start_copy_from_url(url, requires_sync=True, **same)
    except HttpResponseError as exc:
        code = code_of(exc)
        if code in _REPLACED:
            raise OSError(errno.ESTALE, "The file was replaced while it was copied") from exc
        if code in _REFUSALS or exc.status_code in {403, 501}:
            return False
        raise
    return True
