"""Multipart uploads, several parts at a time, visible whole at their end or not at all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import md5
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from storages.driver import Source
from storages.parts import send_in_parts

MAX_PARTS = 10_000  # of one upload (S3 user guide, "Multipart upload limits")

#: What S3 wants again with each part and at the end.
_REPEATED = (
    "ExpectedBucketOwner",
    "RequestPayer",
    "SSECustomerAlgorithm",
    "SSECustomerKey",
    "SSECustomerKeyMD5",
)

Part = dict[str, Any]


def upload_in_parts(
    call: Callable[..., Any],
    source: Source,
    *,
    key: str,
    parameters: Mapping[str, Any],
    condition: Mapping[str, Any],
    is_done: Callable[[ClientError, str], bool],
    part_size: int,
    workers: int,
) -> None:
    """Store a source under a key in parts of ``part_size`` bytes, larger where over 10,000.

    ``call(operation, **arguments)`` sends a request. ``is_done(error, etag)`` tells whether a
    completion that failed had been carried out. Holds ``workers + 1`` parts in memory. Every
    failure aborts the upload.
    """
    part_size = max(part_size, -(-source.size // MAX_PARTS))
    upload = call("create_multipart_upload", Key=key, **parameters)
    repeated = {name: parameters[name] for name in _REPEATED if name in parameters}
    target = {"Key": key, "UploadId": upload["UploadId"], **repeated}
    try:
        parts = _send(call, source, target, part_size, workers)
        try:
            call(
                "complete_multipart_upload", MultipartUpload={"Parts": parts}, **target, **condition
            )
        except ClientError as exc:
            if not is_done(exc, _expected_etag(parts)):
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
        return {"PartNumber": number, "ETag": answer["ETag"], **checksums}

    return send_in_parts(source, part_size, workers, send)


def _expected_etag(parts: list[Part]) -> str:
    digests = [str(part["ETag"]).strip('"') for part in parts]
    try:
        whole = md5(b"".join(map(bytes.fromhex, digests)), usedforsecurity=False)
    except ValueError:  # a service whose ETags are no digests
        return ""
    return f"{whole.hexdigest()}-{len(parts)}"


def _without_encryption(target: dict[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in target.items() if not name.startswith("SSE")}
