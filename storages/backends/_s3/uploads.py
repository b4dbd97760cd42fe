"""Saves: what is stored and how it is described, in one request or in parts."""

from __future__ import annotations

import errno
import gzip
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any, cast
from urllib.parse import urlencode

from botocore.exceptions import BotoCoreError, ClientError

from storages.contents import COPY_SIZE
from storages.driver import Entry, Source, is_replaced
from storages.options import derived
from storages.parts import send_in_parts
from storages.spool import Spool

from .errors import NO_SERVICE, code_of
from .listings import S3Listings
from .options import HEADERS, METADATA_HEADER, MIN_PART, UPLOAD_PARAMETERS
from .shapes import BLOCK

SINGLE_PUT = 8 * 1024 * 1024  # bytes; larger files are uploaded in parts
UPLOAD_WORKERS = 4  # parts on their way at once
WRITE_ATTEMPTS = 5  # while others write the same new name
PROBE_SIZE = 64 * 1024  # bytes sent once more to find out how a service behaves
MAX_PARTS = 10_000  # of one upload (S3 user guide, "Multipart upload limits")

#: Name in an object's metadata of what tells a save that it was its own, see `_is_ours`.
TOKEN = "django-storages-save"  # noqa: S105 - no secret
#: Name among an entry's headers for how many tags there are.
TAG_COUNT = "x-amz-tagging-count"
GZIP_MAGIC = b"\x1f\x8b"
#: How S3 says that a condition does not hold.
REFUSALS = {"PreconditionFailed", "412", "NoSuchKey"}

#: What S3 wants again with each part and at the end.
_REPEATED = (
    "ExpectedBucketOwner",
    "RequestPayer",
    "SSECustomerAlgorithm",
    "SSECustomerKey",
    "SSECustomerKeyMD5",
)

Part = dict[str, Any]
Parameters = dict[str, Any]


class S3Uploads(S3Listings):
    """Stores contents."""

    unasked_size = SINGLE_PUT
    keeps_encoding = True
    most_in_many = BLOCK

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        self._require_unchanged(key, expected)
        parameters = self._upload_parameters(key, source)
        condition = {} if overwrite else {"IfNoneMatch": "*"}
        if expected is not None and expected.etag:
            condition = {"IfMatch": expected.etag}
            parameters |= self._tags(key, expected)
        with self._encoded(source, parameters) as body:
            try:
                self._store(key, body, parameters, condition)
            except ClientError as exc:
                if expected is None or code_of(exc) not in {
                    "PreconditionFailed",
                    "412",
                    "NoSuchKey",
                }:
                    raise
                raise OSError(errno.ESTALE, "The file was replaced while it was changed") from exc
        self._forget(key)

    def _write_many(self, files: Iterable[tuple[str, Source]], most: int) -> Iterator[str]:
        if is_replaced(type(self), _STEPS):
            return
        session, said = self._sender
        asked = ((key, {**said, "Key": key, **each}) for key, each in self._puts(files))
        for key, answer in session.send_many("put_object", asked, most):
            if "ETag" in answer:
                self._forget(key)
                yield key

    def _puts(self, files: Iterable[tuple[str, Source]]) -> Iterator[tuple[str, Parameters]]:
        """Yield the arguments of saves that are one request, and that need no compressing."""
        for key, source in files:
            try:
                parameters = self._upload_parameters(key, source)
                # Threads compress several at once.
                alone = self._is_in_parts(source) or self._is_compressed(source, parameters)
                body = b"" if alone else source.read()
            except Exception:  # noqa: BLE001, S112 - told where the file is stored alone
                continue
            if not alone:
                yield key, {"Body": body, **parameters}

    # -- description ------------------------------------------------------------------------------

    def get_object_parameters(self, name: str) -> dict[str, Any]:  # noqa: ARG002
        """Return boto3's upload arguments for a name; a subclass may add to them per file."""
        found = dict(self._described)
        if "Metadata" in found:
            found["Metadata"] = dict(found["Metadata"])
        return found

    @derived
    def _described(self) -> Mapping[str, Any]:
        """Give what the options say of every file."""
        return {**_by_boto3(self.headers), **self.object_parameters}

    @derived
    def _preset(self) -> Mapping[str, Any]:
        """Give what single options say, which `get_object_parameters` wins over."""
        said = {
            "ACL": self.default_acl,
            "ServerSideEncryption": "AES256" if self.encryption else None,
            "StorageClass": "REDUCED_REDUNDANCY" if self.reduced_redundancy else None,
        }
        return {name: each for name, each in said.items() if each}

    def _upload_parameters(self, key: str, source: Source) -> Parameters:
        name = key.removeprefix(self._prefix).lstrip("/")
        parameters = {
            "ContentType": source.content_type,
            **self._preset,
            **self.get_object_parameters(name),
        }
        if source.headers or source.metadata:
            # The file as it is described wins over what the options say of new ones.
            kept = {n: each for n, each in source.headers.items() if n in HEADERS}
            parameters |= _by_boto3(kept)
            # Names that differ by case alone are one to S3.
            both = {**parameters.get("Metadata", {}), **source.metadata}
            parameters["Metadata"] = metadata_of({"Metadata": both})
        return {name: each for name, each in parameters.items() if name in UPLOAD_PARAMETERS}

    def _tags(self, key: str, expected: Entry) -> Parameters:
        if TAG_COUNT not in expected.headers:
            return {}
        tags = self._call("get_object_tagging", Key=key)["TagSet"]
        return {"Tagging": urlencode({each["Key"]: each["Value"] for each in tags})}

    @contextmanager
    def _encoded(self, source: Source, parameters: Parameters) -> Iterator[Source]:
        """Compress a source that has to be, and say so in its parameters."""
        if not self._is_compressed(source, parameters):
            yield source
            return
        parameters["ContentEncoding"] = "gzip"
        with Spool(self.max_memory_size) as packed:
            # Without name and time, equal files give equal objects.
            with gzip.GzipFile("", "wb", fileobj=packed, mtime=0) as packer:
                shutil.copyfileobj(source, packer, COPY_SIZE)
            yield Source(cast("IO[bytes]", packed), source.content_type)

    @contextmanager
    def _stored_form(self, key: str, source: Source) -> Iterator[Source]:
        with self._encoded(source, self._upload_parameters(key, source)) as body:
            yield body

    def _is_compressed(self, source: Source, parameters: Parameters) -> bool:
        """Return True if a source is to be compressed, for its type or since its label says so."""
        if source.headers.get("content-encoding") == "gzip":
            return not source.is_packed  # else it was read, and so unpacked, to be changed
        if label := parameters.get("ContentEncoding"):
            start = source.read(len(GZIP_MAGIC))
            source.seek(0)
            return bool(label == "gzip" and start != GZIP_MAGIC and source.size)
        kind = parameters["ContentType"].partition(";")[0].strip()
        return self.gzip and kind in self.gzip_content_types

    # -- requests ---------------------------------------------------------------------------------

    def _asks_first(self, content: Any) -> bool:
        return not self._connection.is_exclusive or super()._asks_first(content)

    def _find_out(self, key: str, body: bytes, parameters: Parameters) -> None:
        """Find out by one more request whether a service keeps to ``If-None-Match``.

        Some take no notice of it. The request would replace a file that was just saved by itself.
        """
        if self._connection.is_exclusive is not None or len(body) > PROBE_SIZE:
            return
        shown = self._connection.shown
        try:
            self._call("put_object", Key=key, Body=body, **parameters, IfNoneMatch="*")
            shown["exclusive"] = False
        except ClientError as exc:
            shown["exclusive"] = code_of(exc) in REFUSALS

    def _store(self, key: str, body: Source, parameters: Parameters, condition: Parameters) -> None:
        """Store a body, anew where S3 wants that because of another's write."""
        in_parts = self._is_in_parts(body)
        send = self._put_in_parts if in_parts else self._put
        if condition or in_parts:
            metadata = {**parameters.get("Metadata", {}), TOKEN: uuid.uuid4().hex}
            parameters = {**parameters, "Metadata": metadata}
        for _ in range(WRITE_ATTEMPTS):
            body.seek(0)
            try:
                return send(key, body, parameters, condition)
            except ClientError as exc:
                if code_of(exc) != "ConditionalRequestConflict":
                    raise
        raise FileExistsError(errno.EEXIST, "The name is being written by others")

    def _is_in_parts(self, body: Source) -> bool:
        transfer = self._transfer
        threshold = min(transfer.multipart_threshold if transfer else SINGLE_PUT, SINGLE_PUT)
        return body.size > threshold or bool(transfer and body.size == threshold < SINGLE_PUT)

    def _put(self, key: str, body: Source, parameters: Parameters, condition: Parameters) -> None:
        content = body.read()
        try:
            answer = self._call("put_object", Key=key, Body=content, **parameters, **condition)
            # A web server may answer 200 to anything: every S3 service tells the ETag. botocore's
            # Stubber answers without headers.
            if "ETag" not in answer and answer.get("ResponseMetadata", {}).get("HTTPHeaders"):
                raise OSError(errno.EPROTO, NO_SERVICE)
        except ClientError as exc:
            if not self._is_ours(exc, key, parameters):
                raise
        if "IfNoneMatch" in condition:
            self._find_out(key, content, parameters)

    def _put_in_parts(
        self, key: str, body: Source, parameters: Parameters, condition: Parameters
    ) -> None:
        transfer: Any = self._transfer
        size = max(transfer.multipart_chunksize, MIN_PART) if transfer else self.buffer_size
        workers = transfer.max_concurrency if transfer else UPLOAD_WORKERS
        upload_in_parts(
            self._call,
            body,
            key=key,
            parameters=parameters,
            condition=condition,
            is_done=lambda exc: self._is_ours(exc, key, parameters),
            part_size=size,
            workers=workers if (transfer or self).use_threads else 0,
        )

    def _is_ours(self, exc: ClientError, key: str, parameters: Parameters) -> bool:
        """Return True if our own earlier try succeeded and only its response was lost."""
        repeated = exc.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
        token = parameters.get("Metadata", {}).get(TOKEN)
        refusals = {"PreconditionFailed", "412", "NoSuchUpload"}
        if not repeated or token is None or code_of(exc) not in refusals:
            return False
        stored = self._call("head_object", Key=key, **self._read_parameters)
        return bool(metadata_of(stored).get(TOKEN) == token)


#: The steps of a save in one request.
_STEPS = {name: getattr(S3Uploads, name) for name in ("_write", "_store", "_put")}


def metadata_of(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return a file's metadata by names in lower case, as S3 keeps them; others write capitals."""
    return {name.lower(): each for name, each in answer.get("Metadata", {}).items()}


def _by_boto3(headers: Mapping[str, Any]) -> Parameters:
    """Return boto3's arguments for HTTP headers."""
    parameters: Parameters = {}
    for header, value in headers.items():
        if header.lower().startswith(METADATA_HEADER):
            parameters.setdefault("Metadata", {})[header[len(METADATA_HEADER) :]] = value
        else:
            parameters[HEADERS[header.lower()]] = value
    return parameters


def upload_in_parts(
    call: Callable[..., Any],
    source: Source,
    *,
    key: str,
    parameters: Mapping[str, Any],
    condition: Mapping[str, Any],
    is_done: Callable[[ClientError], bool],
    part_size: int,
    workers: int,
) -> None:
    """Store a source under a key in parts of ``part_size`` bytes, larger where over 10,000.

    ``call(operation, **arguments)`` sends a request. ``is_done(error)`` returns True if a
    completion that failed had been carried out. Holds ``workers + 1`` parts in memory; without
    workers the calling thread sends them. Every failure aborts the upload.
    """
    part_size = max(part_size, -(-source.size // MAX_PARTS))
    checksum = {n: each for n, each in parameters.items() if n == "ChecksumAlgorithm"}

    def send(target: Parameters) -> list[Part]:
        return _send(call, source, {**target, **checksum}, part_size, workers)

    assembled(call, send, key=key, parameters=parameters, condition=condition, is_done=is_done)


def assembled(
    call: Callable[..., Any],
    send: Callable[[Parameters], list[Part]],
    *,
    key: str,
    parameters: Mapping[str, Any],
    condition: Mapping[str, Any],
    is_done: Callable[[ClientError], bool],
) -> None:
    """Make an object of the parts that ``send`` stores, given the arguments for each of them."""
    upload = call("create_multipart_upload", Key=key, **parameters)
    repeated = {name: parameters[name] for name in _REPEATED if name in parameters}
    target = {"Key": key, "UploadId": upload["UploadId"], **repeated}
    try:
        parts = send(target)
        try:
            call(
                "complete_multipart_upload", MultipartUpload={"Parts": parts}, **target, **condition
            )
        except ClientError as exc:
            if not is_done(exc):
                raise
    except BaseException:
        # The failure that brought us here is the one to report.
        with suppress(ClientError, BotoCoreError):
            call("abort_multipart_upload", **_without_encryption(target))
        raise


def _send(
    call: Callable[..., Any], source: Source, target: dict[str, Any], part_size: int, workers: int
) -> list[Part]:
    def send(number: int, body: bytes) -> Part:
        answer = call("upload_part", PartNumber=number, Body=body, **target)
        checksums = {name: each for name, each in answer.items() if name.startswith("Checksum")}
        checksums.pop("ChecksumType", None)
        return {"PartNumber": number, "ETag": answer["ETag"], **checksums}

    return send_in_parts(source, part_size, workers, send)


def _without_encryption(target: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in target.items() if not name.startswith("SSE")}
