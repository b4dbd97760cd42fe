"""Requests that go past boto3's models are those it would send, or are left to it."""

from __future__ import annotations

import io
from base64 import b64encode
from binascii import crc32
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from unittest import mock

import boto3
import pytest
import time_machine
from botocore.client import BaseClient
from botocore.config import Config
from botocore.endpoint import Endpoint
from botocore.stub import Stubber
from django.core.files.base import ContentFile

from storages.backends.s3boto3 import S3Boto3Storage
from tests.backends.s3boto3.server import Site, account, unshared
from tests.servers.http import Request

NOW = datetime.now(UTC).replace(microsecond=0)
#: Headers that count tries, one that says whether the client is a resource's, and one left out.
NOT_COMPARED = {"amz-sdk-invocation-id", "amz-sdk-request", "user-agent", "expect"}
DIGEST = b64encode(sha256(b"content").digest()).decode()
ODD = "dir é/a+b c%41~'&=;@$,!*().txt"

pytestmark = pytest.mark.usefixtures("without_moto")


@contextmanager
def no_client() -> Iterator[None]:
    """Let boto3's own way to send fail."""
    with mock.patch("botocore.endpoint.Endpoint._send_request", side_effect=AssertionError):
        yield


def bare(site: Site, **config: Any) -> Any:
    """Return a boto3 client of its own that is configured as the storage is."""
    given = account(site.server)
    return boto3.client(
        "s3",
        endpoint_url=site.front.url,
        aws_access_key_id=given["access_key"],
        aws_secret_access_key=given["secret_key"],
        region_name=given["region_name"],
        config=Config(
            **{
                "signature_version": "s3v4",
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
                "s3": {"payload_signing_enabled": True},
                **config,
            }
        ),
    )


def compared(request: Request) -> tuple[Any, ...]:
    """Return what of a request has to be the same; that of a query is its parts."""
    path, _, query = request.target.partition("?")
    headers = {name.lower(): each for name, each in request.headers.items()}
    kept = {name: each for name, each in headers.items() if name not in NOT_COMPARED}
    return request.method, path, sorted(query.split("&")), kept


def use(storage: S3Boto3Storage) -> None:
    storage.save(ODD, ContentFile(b"content"))
    storage.size(ODD)
    storage.exists(ODD)
    with storage.open(ODD) as file:
        assert file.read() == b"content"
    assert storage.listdir("dir é")[1] == [ODD.rpartition("/")[2]]
    storage.delete(ODD)


def use_bare(client: Any, bucket: str, **upload: Any) -> None:
    """Send what `use` sends."""
    place = {"Bucket": bucket, "Key": ODD}
    client.put_object(Body=b"content", **upload, **place)
    client.head_object(**place)
    client.list_objects_v2(Bucket=bucket, Prefix=ODD, Delimiter="/", MaxKeys=20)
    client.get_object(Range="bytes=0-262143", **place)["Body"].read()
    client.list_objects_v2(Bucket=bucket, Prefix="dir é/", Delimiter="/")
    client.delete_object(**place)


def test_requests_are_boto3_s_to_the_byte(weed: Site) -> None:
    headers = {"Cache-Control": "max-age=60,  public", "x-amz-meta-Own-Name": "a  b"}
    with time_machine.travel(datetime.now(UTC), tick=False):
        use(weed.storage(headers=headers))
        ours = [compared(each) for each in weed.sent()]
        weed.front.clear()
        use_bare(
            bare(weed),
            weed.raw.bucket,
            ContentType="text/plain",
            CacheControl="max-age=60,  public",
            Metadata={"Own-Name": "a  b"},
        )
        assert ours == [compared(each) for each in weed.sent()]


def test_boto3_sends_nothing_of_the_second_use(weed: Site) -> None:
    storage = weed.storage(client_config=unshared())
    use(storage)
    with no_client():
        use(storage)


def test_boto3_sends_nothing_of_the_second_use_with_checksums_as_for_aws(weed: Site) -> None:
    config = {**unshared(), "request_checksum_calculation": "when_supported"}
    storage = weed.storage(client_config=config)
    use(storage)
    weed.front.clear()
    with no_client():
        use(storage)
    (request,) = weed.sent("PUT")
    assert request.headers["x-amz-checksum-crc32"] == checksum(b"content")
    assert request.headers["x-amz-sdk-checksum-algorithm"] == "CRC32"
    assert request.headers["x-amz-content-sha256"] == sha256(b"content").hexdigest()


def checksum(content: bytes) -> str:
    return b64encode(crc32(content).to_bytes(4, "big")).decode()


def test_checksum_is_that_of_what_a_hook_makes_of_a_file(weed: Site) -> None:
    config = {**unshared(), "request_checksum_calculation": "when_supported"}
    storage = weed.storage(client_config=config)
    use(storage)

    def encrypt(params: dict[str, Any], **_: Any) -> None:
        params["Body"] = b"encrypted"

    storage.client.meta.events.register("provide-client-params.s3.PutObject", encrypt)
    storage.save("a.txt", ContentFile(b"content"))
    assert weed.raw.get("a.txt") == b"encrypted"
    sent = weed.sent("PUT")[-1].headers
    assert sent["x-amz-checksum-crc32"] == checksum(b"encrypted")


@pytest.mark.parametrize(
    "said",
    [
        {"ChecksumAlgorithm": "SHA256"},
        {"ChecksumSHA256": "7XACtDnprIRfIjV9giusFERzD722AW0+yUMil7nsn3M="},
    ],
)
def test_checksum_that_a_project_wants_is_the_only_one(weed: Site, said: dict[str, str]) -> None:
    config = {**unshared(), "request_checksum_calculation": "when_supported"}
    storage = weed.storage(client_config=config, object_parameters=said)
    for _ in range(2):
        storage.save("a.txt", ContentFile(b"content"))
    sent = weed.sent("PUT")[-1].headers
    assert "x-amz-checksum-crc32" not in sent
    assert sent["x-amz-checksum-sha256"] == DIGEST


@pytest.mark.parametrize("event", ["provide-client-params", "before-sign", "before-send"])
def test_hook_that_is_registered_later_sees_every_request(weed: Site, event: str) -> None:
    storage = weed.storage(client_config=unshared())
    use(storage)
    seen: list[str] = []

    def note(**said: Any) -> None:
        seen.append(str(said["event_name"]).rpartition(".")[2])

    storage.client.meta.events.register(f"{event}.s3", note)
    use(storage)
    wanted = ["PutObject", "HeadObject", "ListObjectsV2", "GetObject", "ListObjectsV2"]
    assert seen == [*wanted, "DeleteObject"]
    storage.client.meta.events.unregister(f"{event}.s3", note)
    use(storage)
    assert len(seen) == 6


def test_mocks_of_the_client_are_called(weed: Site) -> None:
    storage = weed.storage(client_config=unshared())
    use(storage)
    with mock.patch.object(storage.client, "head_object", return_value={}) as asked:
        with pytest.raises(OSError, match="S3"):
            storage.size(ODD)
        asked.assert_called_once()
    with mock.patch.object(BaseClient, "_make_api_call", return_value={}) as asked:
        assert not storage.exists("missing")
        asked.assert_called_once()
    with Stubber(storage.client) as stubber:
        stubber.add_response("delete_object", {})
        storage.delete(ODD)
        stubber.assert_no_pending_responses()


class Tracer:
    """Stands in for a function of botocore under its name, as wrapt's wrappers do."""

    def __init__(self, traced: Any, seen: list[object]) -> None:
        self.__module__ = traced.__module__
        self._traced = traced
        self._seen = seen

    def __get__(self, owner: Any, _: Any = None) -> Any:
        self._seen.append(owner)
        return self._traced.__get__(owner)


@pytest.mark.parametrize("owner", [(BaseClient, "_make_api_call"), (Endpoint, "make_request")])
def test_tracers_around_botocore_s_core_see_every_request(
    weed: Site, owner: tuple[type, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = weed.storage(client_config=unshared())
    use(storage)
    seen: list[object] = []
    monkeypatch.setattr(*owner, Tracer(vars(owner[0])[owner[1]], seen))
    use(storage)
    assert len(seen) >= 6


def test_bucket_elsewhere_is_asked_for_at_its_place_from_then_on(weed: Site) -> None:
    weed.raw.put("a.txt", b"content")
    storage = weed.storage(client_config=unshared())
    storage.size("a.txt")
    weed.front.answer(301, b"", {"x-amz-bucket-region": "eu-north-1"})
    storage.size("a.txt")
    weed.front.clear()
    storage.size("a.txt")
    (request,) = weed.sent("HEAD")
    assert "/eu-north-1/s3/" in request.headers["Authorization"]


def test_description_that_no_header_can_hold_is_left_to_boto3(weed: Site) -> None:
    storage = weed.storage(object_parameters={"Expires": NOW})
    storage.save("a.txt", ContentFile(b"content"))
    assert weed.raw.head("a.txt")["Expires"] == NOW


def test_first_try_counts_as_one_of_boto3_s(weed: Site) -> None:
    weed.raw.put("a.txt", b"content")
    storage = weed.storage(client_config={"retries": {"total_max_attempts": 2, "mode": "standard"}})
    storage.size("a.txt")
    weed.front.clear()
    weed.front.answer(503, b"", {}, times=None)
    with pytest.raises(OSError, match="fewer requests"):
        storage.size("a.txt")
    assert len(weed.sent("HEAD")) == 2


def test_whole_answer_with_a_wrong_checksum_is_refused(weed: Site) -> None:
    weed.raw.put("a.txt", b"content")
    storage = weed.storage(client_config={"response_checksum_validation": "when_supported"})
    storage.size("a.txt")
    about = {
        "Content-Type": "text/plain",
        "ETag": '"e"',
        "Last-Modified": "Wed, 25 Nov 2026 00:00:00 GMT",
        "Content-Range": "bytes 0-6/7",
    }
    weed.front.answer(206, b"content", {**about, "x-amz-checksum-crc32": "DZuKDg=="}, times=None)
    with pytest.raises(OSError, match="changed on their way"), storage.open("a.txt") as file:
        file.read()


def test_listing_that_is_cut_short_is_asked_for_again(weed: Site) -> None:
    weed.raw.put("a.txt", b"content")
    storage = weed.storage()
    assert storage.listdir("") == ([], ["a.txt"])
    xml = {"Content-Type": "application/xml"}
    weed.front.answer(200, b"<ListBucketResult><Contents><Key>b.txt</Key>", xml)
    assert storage.listdir("") == ([], ["a.txt"])


def test_file_that_is_read_to_its_end_stands_there_and_seeks(weed: Site) -> None:
    content = bytes(range(256)) * 4096
    weed.raw.put("a.bin", content)
    with weed.storage().open("a.bin") as file:
        assert file.read(1000) == content[:1000]
        assert file.read() == content[1000:]
        assert (file.tell(), file.read(1)) == (len(content), b"")
        for position in (990, 5, len(content) - 7):
            file.seek(position)
            assert file.read(7) == content[position : position + 7]
        file.seek(-3, io.SEEK_END)
        assert file.read() == content[-3:]
