"""Uploads: one request for a small file, blocks for a large one, visible whole or not at all."""

from __future__ import annotations

import errno
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import md5
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobBlock, BlobClient, StandardBlobTier

from storages.driver import Entry, Source
from storages.parts import send_in_parts

from .errors import code_of

#: What a save may say of a file, by the names of the SDK's keywords.
CONTENT_SETTINGS = (
    "cache_control",
    "content_disposition",
    "content_encoding",
    "content_language",
    "content_type",
)
UPLOAD_PARAMETERS = ("encryption_scope", "metadata", "standard_blob_tier", "tags")
_TIERS = [each.value for each in StandardBlobTier]

Parameters = Mapping[str, Any]

SINGLE_PUT = 8 * 1024 * 1024  # bytes; larger files are uploaded in blocks
BLOCK_SIZE = 16 * 1024 * 1024  # bytes
MAX_BLOCKS = 50_000  # of one blob (REST reference, "Put Block List")
WRITE_ATTEMPTS = 20  # while others write the same name in blocks

#: A condition that was not met: the name is taken, or holds another content.
_UNMET = {"BlobAlreadyExists", "ConditionNotMet"}


def check_parameters(parameters: Parameters | Callable[[str], Parameters]) -> None:
    """Raise ValueError, with the end of a sentence, for a parameter that uploads do not take."""
    if callable(parameters):
        return
    if unknown := parameters.keys() - {*CONTENT_SETTINGS, *UPLOAD_PARAMETERS}:
        raise ValueError(f"has {min(unknown)!r}, which uploads do not take: remove it.")
    tier = parameters.get("standard_blob_tier")
    if tier is not None and tier not in _TIERS:
        raise ValueError(f"has an unknown 'standard_blob_tier': use one of {', '.join(_TIERS)}.")


@dataclass(frozen=True)
class Upload:
    """A save under one name.

    ``arguments`` are the SDK's: content settings, metadata. ``workers`` blocks of a large file are
    on their way at once.
    """

    blob: BlobClient
    source: Source
    arguments: dict[str, Any]
    workers: int
    overwrite: bool
    expected: Entry | None

    def run(self) -> None:
        """Store the source. The service checks each request by its MD5."""
        if self.source.size <= SINGLE_PUT:
            content = self.source.read()
            self._finish(
                lambda **more: self.blob.upload_blob(
                    content, length=len(content), overwrite=True, validate_content=True, **more
                ),
                lambda: self._holds(content),
            )
            return
        for _ in range(WRITE_ATTEMPTS):
            if self._is_stored_in_blocks():
                return
        raise OSError(errno.EBUSY, "Others keep writing the name")

    def _is_stored_in_blocks(self) -> bool:
        """Upload in blocks; False where another's upload in blocks has dropped them."""
        if not self.overwrite and self.blob.exists():
            # The service would say so only after all blocks have arrived.
            raise FileExistsError(errno.EEXIST, "The name is taken")
        self.source.seek(0)
        size = max(BLOCK_SIZE, -(-self.source.size // MAX_BLOCKS))
        ids = send_in_parts(self.source, size, self.workers, self._send)
        try:
            self._finish(
                lambda **more: self.blob.commit_block_list(
                    [BlobBlock(each) for each in ids], **more
                ),
                lambda: self._consists_of(ids),
            )
        except HttpResponseError as exc:
            if code_of(exc) != "InvalidBlockList":
                raise
            return False
        return True

    def _send(self, _number: int, content: bytes) -> str:
        # Other clients count their blocks, so that two uploads of one name would mix.
        block = secrets.token_hex(16)
        self.blob.stage_block(block, content, length=len(content), validate_content=True)
        return block

    def _finish(self, store: Callable[..., Any], is_ours: Callable[[], bool]) -> None:
        """Send the request that makes the content visible.

        ``is_ours`` tells whether an earlier try, whose answer was lost, stored the content.
        """
        tries: list[Any] = []
        try:
            store(
                **self.arguments,
                **self._condition(),
                retry_hook=lambda **tried: tries.append(tried),
            )
        except HttpResponseError as exc:
            if tries and is_ours():
                return
            if not self.overwrite and code_of(exc) in _UNMET:
                raise FileExistsError(errno.EEXIST, "The name is taken") from exc
            raise

    def _condition(self) -> dict[str, Any]:
        if not self.overwrite:
            return {"match_condition": MatchConditions.IfMissing}
        if self.expected is not None and self.expected.etag:
            same = MatchConditions.IfNotModified
            return {"etag": self.expected.etag, "match_condition": same}
        return {}

    def _holds(self, content: bytes) -> bool:
        digest = md5(content, usedforsecurity=False).digest()
        found = self.blob.get_blob_properties()
        return bytes(found.content_settings.content_md5 or b"") == digest

    def _consists_of(self, ids: list[str]) -> bool:
        committed, _ = self.blob.get_block_list("committed")
        return [each.id for each in committed] == ids
