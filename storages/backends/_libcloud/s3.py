"""Amazon S3 and the services that speak its protocol."""

from __future__ import annotations

import errno
import secrets
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import unquote_plus
from xml.sax.saxutils import escape

from libcloud.storage.drivers.s3 import BaseS3StorageDriver

from storages.digests import of_etag
from storages.driver import Entry, Listed, Source

from .errors import ERRORS, refused
from .messages import moment, text_of, without_namespaces
from .objects import DIRECTORY, TOKEN, Objects
from .session import Answer, Session

MOST_IN_ONE = 5 * 1024**3  # bytes that S3 takes in one request
PART_SIZE = 5 * 1024**2  # bytes, S3's smallest; larger where 10,000 parts would not do
MOST_PARTS = 10_000
#: Headers of files that were encrypted with keys of the customer.
_OTHER_KEYS = frozenset(
    {"x-amz-server-side-encryption-customer-algorithm", "x-goog-encryption-kms-key-name"}
)


class S3Objects(Objects):
    """Objects of an S3 bucket. Files over the threshold go in parts."""

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
        if condition:
            # The service would say so only after all parts have arrived.
            self._refuse_taken(key)
        token = secrets.token_hex(16)
        described = {f"{self.metadata_prefix}{TOKEN}": token, **headers}
        upload = self._begin(key, described)
        try:
            answer = self._finish(key, upload, self._send_parts(key, upload, source), condition)
        except BaseException:
            self._abort(key, upload)
            raise
        if answer is not None:
            # An earlier try, whose answer was lost, may have ended the upload.
            if answer.repeated and self._token(key) == described[f"{self.metadata_prefix}{TOKEN}"]:
                answer.response.close()
                return None
            self._abort(key, upload)
        return answer

    def _refuse_taken(self, key: str) -> None:
        answer = self.session.ask("HEAD", self.path(key))
        answer.response.close()
        if answer.status == 200:
            raise FileExistsError(errno.EEXIST, "The name is taken")

    # -- uploads in parts, since libcloud's own end them without a condition ----------------------

    def _begin(self, key: str, headers: Mapping[str, str]) -> str:
        answer = self.session.ask("POST", self.path(key), {"uploads": ""}, headers)
        if answer.status != 200:
            raise self._refused(answer, "the begin of an upload")
        return text_of(without_namespaces(self.session.content(answer)), "UploadId")

    def _send_parts(self, key: str, upload: str, source: Source) -> list[str]:
        """Send all parts; return their ETags."""
        size = max(PART_SIZE, -(-source.size // MOST_PARTS))
        etags: list[str] = []
        while data := source.read(size):
            params = {"partNumber": str(len(etags) + 1), "uploadId": upload}
            etags.append(self.session.send_part(self.path(key), params, data).headers["ETag"])
        return etags

    def _finish(
        self, key: str, upload: str, etags: list[str], condition: Mapping[str, str]
    ) -> Answer | None:
        """Give the content its name; return the answer if the service refuses."""
        parts = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
            for number, etag in enumerate(etags, 1)
        )
        body = f"<CompleteMultipartUpload>{parts}</CompleteMultipartUpload>".encode()
        sent = {"Content-Length": str(len(body)), **condition}
        answer = self.session.ask("POST", self.path(key), {"uploadId": upload}, sent, body)
        if answer.status != 200:
            return answer
        told = without_namespaces(self.session.content(answer).strip())
        # The service begins to answer before it is done.
        if told.tag == "Error":
            raise refused(answer.status, text_of(told, "Code"), "the end of an upload")
        return None

    def _abort(self, key: str, upload: str) -> None:
        # The failure that brought us here is the one to report.
        with suppress(OSError, *ERRORS):
            params = {"uploadId": upload}
            self.session.ask("DELETE", self.path(key), params).response.close()
