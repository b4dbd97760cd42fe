"""Copies that S3 makes by itself, between buckets that one client reaches."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

from botocore.exceptions import ClientError
from s3transfer.manager import TransferManager

from storages.driver import Driver, Entry, Source

from .errors import code_of
from .options import MIN_PART
from .uploads import (
    MAX_PARTS,
    TOKEN,
    UPLOAD_WORKERS,
    Parameters,
    Part,
    S3Uploads,
    assembled,
)

#: Bytes that S3 copies by one request here, of the 5 GiB that it takes: more need long to answer.
COPIED_AT_ONCE = 512 * 1024 * 1024
#: What describes a file. S3 copies all of it, or has to be given all of it.
_DESCRIBING = frozenset(
    {
        "CacheControl",
        "ContentDisposition",
        "ContentEncoding",
        "ContentLanguage",
        "ContentType",
        "Expires",
        "Metadata",
        "Tagging",
        "WebsiteRedirectLocation",
    }
)
COPY_PARAMETERS = frozenset(TransferManager.ALLOWED_COPY_ARGS)
_OWN_KEY = "SSECustomerKey"


class S3Copies(S3Uploads):
    """Has S3 copy files."""

    def _copy(self, origin: Driver, source_key: str, entry: Entry, key: str) -> bool:
        if not isinstance(origin, S3Copies) or self._differs_from(origin):
            return False
        source: Parameters = {"CopySource": {"Bucket": origin.bucket_name, "Key": source_key}}
        if entry.etag:
            source["CopySourceIfMatch"] = entry.etag
        try:
            self._have_copied(origin, source, entry, key)
        except ClientError as exc:
            # Not every service of S3's kind copies, least of all in parts.
            if code_of(exc) not in {"NotImplemented", "501"}:
                raise
            return False
        self._forget(key)
        return True

    def _have_copied(self, origin: S3Copies, source: Parameters, entry: Entry, key: str) -> None:
        transfer = self._transfer
        if entry.size > (transfer.multipart_threshold if transfer else COPIED_AT_ONCE):
            self._copy_in_parts(origin, source, entry.size, key)
        else:
            said = self._said_of_copy(origin, source["CopySource"]["Key"], key)
            self._call("copy_object", Key=key, **source, **said)

    def _differs_from(self, origin: S3Copies) -> bool:
        """Return True if S3 would not make of a file of another storage what a save here would."""
        encrypted = any(_OWN_KEY in each.object_parameters for each in (self, origin))
        return self.client is not origin.client or self.gzip or encrypted

    def _said_of_copy(self, origin: S3Copies, source_key: str, key: str) -> Parameters:
        """Return what the options say of a copy; all of its description if they describe it."""
        name = key.removeprefix(self._prefix).lstrip("/")
        said = {**self._preset, **self.get_object_parameters(name)}
        if not _DESCRIBING.isdisjoint(said):
            said = self._described_as(origin._stat(source_key), key)
            said["MetadataDirective"] = "REPLACE"
            if "Tagging" in said:
                said["TaggingDirective"] = "REPLACE"
        return {each: value for each, value in said.items() if each in COPY_PARAMETERS}

    def _described_as(self, found: Entry, key: str) -> Parameters:
        """Return boto3's arguments for a file that is described as another."""
        kind = found.content_type or self.default_content_type
        described = Source(io.BytesIO(), kind, headers=found.headers, metadata=found.metadata)
        return self._upload_parameters(key, described)

    def _copy_in_parts(self, origin: S3Copies, source: Parameters, size: int, key: str) -> None:
        transfer: Any = self._transfer
        workers = transfer.max_concurrency if transfer else UPLOAD_WORKERS
        part_size = max(transfer.multipart_chunksize, MIN_PART) if transfer else COPIED_AT_ONCE
        source_key = source["CopySource"]["Key"]
        found = origin._stat(source_key)
        described = {**self._described_as(found, key), **origin._tags(source_key, found)}
        described["Metadata"] = {**described.get("Metadata", {}), TOKEN: uuid.uuid4().hex}

        def send(target: Parameters) -> list[Part]:
            def copy_part(number: int, wanted: str) -> Part:
                answer = self._call(
                    "upload_part_copy",
                    PartNumber=number,
                    CopySourceRange=wanted,
                    **source,
                    **target,
                )
                return {"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]}

            pool = ThreadPoolExecutor(workers)
            try:
                return list(pool.map(copy_part, count(1), _ranges(size, part_size)))
            finally:
                pool.shutdown(cancel_futures=True)

        assembled(
            self._call,
            send,
            key=key,
            parameters=described,
            condition={},
            is_done=lambda exc: self._is_ours(exc, key, described),
        )


def _ranges(size: int, part_size: int) -> Iterator[str]:
    """Yield the range of each part, as the header has it."""
    step = max(part_size, -(-size // MAX_PARTS))
    for start in range(0, size, step):
        yield f"bytes={start}-{min(start + step, size) - 1}"
