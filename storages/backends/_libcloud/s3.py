"""Amazon S3 and the services that speak its protocol."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

from libcloud.storage.base import Container
from libcloud.storage.drivers.s3 import CHUNK_SIZE, BaseS3StorageDriver

from storages.digests import of_etag
from storages.driver import Entry, Listed, Source

from .messages import moment, text_of
from .objects import DIRECTORY, Objects
from .session import Answer, Session

MOST_IN_ONE = 5 * 1024**3  # bytes that S3 takes in one request
MOST_PARTS = 10_000
#: Headers of files that were encrypted with keys of the customer.
_OTHER_KEYS = frozenset(
    {"x-amz-server-side-encryption-customer-algorithm", "x-goog-encryption-kms-key-name"}
)


class S3Objects(Objects):
    """Objects of an S3 bucket. Files over the threshold go by libcloud's multipart upload."""

    def __init__(
        self, session: Session, bucket: str, threshold: int | None, cls: type[BaseS3StorageDriver]
    ) -> None:
        super().__init__(session, bucket, min(threshold or MOST_IN_ONE, MOST_IN_ONE))
        vendor = cls.http_vendor_prefix
        self.metadata_prefix = f"{vendor}-meta-"  # type: ignore[misc]
        if vendor == "x-goog":
            # Google's own condition: its interface takes S3's only for reading.
            self.create_only = {"x-goog-if-generation-match": "0"}

    def _digest(self, headers: Mapping[str, str]) -> str | None:
        # What is encrypted with other keys than the service's own has an ETag of another kind.
        is_opaque = headers.get("x-amz-server-side-encryption", "AES256") != "AES256"
        return None if is_opaque or _OTHER_KEYS & headers.keys() else of_etag(headers.get("etag"))

    def _page(
        self, prefix: str, delimiter: str, marker: str, limit: int | None
    ) -> tuple[list[Listed], str]:
        params = {
            "list-type": "2",
            # XML cannot hold every character of a key.
            "encoding-type": "url",
            "prefix": prefix,
            "delimiter": delimiter,
            "continuation-token": marker,
            "max-keys": str(limit or ""),
        }
        root = self._list_answer({name: each for name, each in params.items() if each})
        decode = unquote_plus if text_of(root, "EncodingType") == "url" else str
        found: list[Listed] = [
            (decode(text_of(each, "Prefix")), DIRECTORY) for each in root.iter("CommonPrefixes")
        ]
        for each in root.iter("Contents"):
            etag = text_of(each, "ETag").strip('"') or None
            entry = Entry(
                int(text_of(each, "Size")),
                moment(text_of(each, "LastModified")),
                etag=etag,
                digest=of_etag(etag),
            )
            found.append((decode(text_of(each, "Key")), entry))
        more = text_of(root, "IsTruncated") == "true"
        following = text_of(root, "NextContinuationToken")
        if more and not following:
            raise OSError(errno.EPROTO, "The listing was cut: the service does not tell the next")
        return found, following if more else ""

    def _upload(
        self, key: str, source: Source, headers: Mapping[str, str], condition: Mapping[str, str]
    ) -> Answer | None:
        if source.size <= (self.threshold or MOST_IN_ONE):
            return self._put(key, source, headers, condition)
        if source.size > MOST_PARTS * CHUNK_SIZE:
            raise OSError(errno.EFBIG, "The file is larger than libcloud uploads: 48 GiB")
        if condition:
            self._refuse_taken(key)
        with self.session.pool().lease() as driver:
            container = Container(self.bucket, {}, driver)
            extra = {"content_type": headers["content-type"]}
            driver.upload_object_via_stream(
                _pieces(source), container, key, extra=extra, headers=dict(headers)
            )
        return None

    def _refuse_taken(self, key: str) -> None:
        # The request that completes an upload takes no condition from libcloud.
        answer = self.session.ask("HEAD", self.path(key))
        answer.response.close()
        if answer.status == 200:
            raise FileExistsError(errno.EEXIST, "The name is taken")


def _pieces(source: Source) -> Iterator[Any]:
    while data := source.read(CHUNK_SIZE):
        yield data
