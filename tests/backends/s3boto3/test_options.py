"""What the options of the S3 backend make of a request: looked at on the wire."""

from __future__ import annotations

import errno
import gzip
import hashlib
import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.test import override_settings

from storages.backends._s3.uploads import upload_in_parts
from storages.backends.s3boto3 import S3Boto3Storage
from storages.driver import Source
from tests.backends.s3boto3.server import DENIED, RawBucket, Site, error, unshared
from tests.servers.certificates import authority
from tests.servers.http import HTTPProxy
from tests.servers.process import refusing_port

MIB = 1024 * 1024
#: Small files are uploaded in parts too.
PARTS = TransferConfig(multipart_threshold=1, multipart_chunksize=5 * MIB)
KEY_OF_32_BYTES = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def secure(weed_bucket: RawBucket) -> Iterator[Site]:
    """An empty bucket on SeaweedFS, spoken to by TLS."""
    tls = authority().good.server_context()
    with HTTPProxy(*weed_bucket.server.address, tls=tls) as front, Site(weed_bucket, front) as site:
        yield site


def save(storage: S3Boto3Storage, name: str = "a.txt", content: bytes = b"content") -> str:
    return storage.save(name, ContentFile(content))


def read(storage: S3Boto3Storage, name: str = "a.txt") -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


def key_of(site: Site) -> str:
    """Return the access key by which the last request was signed."""
    found = re.search("Credential=([^/]+)/", site.front.requests[-1].headers["Authorization"])
    assert found is not None
    return found[1]


# -- what uploads carry ---------------------------------------------------------------------------

#: Options, and the headers they put on the request that makes the object.
CARRIED: dict[str, tuple[dict[str, Any], dict[str, str]]] = {
    "default_acl": ({"default_acl": "public-read"}, {"x-amz-acl": "public-read"}),
    "acl": ({"acl": "private"}, {"x-amz-acl": "private"}),
    "encryption": ({"encryption": True}, {"x-amz-server-side-encryption": "AES256"}),
    "reduced_redundancy": (
        {"reduced_redundancy": True},
        {"x-amz-storage-class": "REDUCED_REDUNDANCY"},
    ),
    "object_parameters": (
        {
            "object_parameters": {
                "CacheControl": "max-age=60",
                "ServerSideEncryption": "aws:kms",
                "SSEKMSKeyId": "arn:aws:kms:us-east-1:123456789012:key/own",
                "StorageClass": "STANDARD_IA",
                "Metadata": {"kind": "photo"},
            }
        },
        {
            "Cache-Control": "max-age=60",
            "x-amz-server-side-encryption": "aws:kms",
            "x-amz-server-side-encryption-aws-kms-key-id": (
                "arn:aws:kms:us-east-1:123456789012:key/own"
            ),
            "x-amz-storage-class": "STANDARD_IA",
            "x-amz-meta-kind": "photo",
        },
    ),
    "headers": (
        {
            "headers": {
                "Cache-Control": "max-age=60",
                "content-disposition": "attachment",
                "Content-Language": "fr",
                "Expires": "Thu, 01 Jan 2037 00:00:00 GMT",
                "x-amz-meta-Kind": "photo",
                "X-AMZ-ACL": "private",
                "x-amz-storage-class": "STANDARD_IA",
                "x-amz-tagging": "kind=photo",
            }
        },
        {
            "Cache-Control": "max-age=60",
            "Content-Disposition": "attachment",
            "Content-Language": "fr",
            "Expires": "Thu, 01 Jan 2037 00:00:00 GMT",
            "x-amz-meta-Kind": "photo",
            "x-amz-acl": "private",
            "x-amz-storage-class": "STANDARD_IA",
            "x-amz-tagging": "kind=photo",
        },
    ),
    "object_parameters over headers": (
        {"headers": {"Cache-Control": "no"}, "object_parameters": {"CacheControl": "yes"}},
        {"Cache-Control": "yes"},
    ),
    "object_parameters over single options": (
        {"encryption": True, "object_parameters": {"ServerSideEncryption": "aws:kms"}},
        {"x-amz-server-side-encryption": "aws:kms"},
    ),
    "content type of the name": ({}, {"Content-Type": "text/plain"}),
    "default_content_type": (
        {"default_content_type": "text/x-own"},
        {"Content-Type": "text/plain"},
    ),
    "content type of object_parameters": (
        {"object_parameters": {"ContentType": "text/x-own"}},
        {"Content-Type": "text/x-own"},
    ),
}


@pytest.mark.parametrize(("options", "headers"), CARRIED.values(), ids=CARRIED.keys())
def test_option_is_carried_by_an_upload_in_one_request(
    site: Site, options: dict[str, Any], headers: dict[str, str]
) -> None:
    save(site.storage(**options))
    sent = site.only("PUT").headers
    assert {name: sent[name] for name in headers} == headers


@pytest.mark.parametrize(("options", "headers"), CARRIED.values(), ids=CARRIED.keys())
def test_option_is_carried_by_the_start_of_an_upload_in_parts(
    site: Site, options: dict[str, Any], headers: dict[str, str]
) -> None:
    save(site.storage(transfer_config=PARTS, **options))
    sent = site.only("POST", "uploads").headers
    assert {name: sent[name] for name in headers} == headers
    part = site.only("PUT", "partNumber").headers
    assert not [name for name in headers if name in part and name != "Content-Type"]


def test_no_acl_is_sent_unless_set(site: Site) -> None:
    save(site.storage())
    save(site.storage(transfer_config=PARTS))
    assert not [name for each in site.sent() for name in each.headers if "acl" in name.lower()]


def test_canned_acl_opens_a_file_to_the_public(site: Site) -> None:
    save(site.storage(default_acl="public-read"))
    grants = site.raw.client.get_object_acl(Bucket=site.raw.bucket, Key="a.txt")["Grants"]
    assert "READ" in {each["Permission"] for each in grants if "URI" in each["Grantee"]}


def test_unguessable_type_is_the_default_one(site: Site) -> None:
    save(site.storage(default_content_type="text/x-own"), "no extension")
    assert site.only("PUT").headers["Content-Type"] == "text/x-own"


def test_parameters_of_a_subclass_are_for_the_name_without_location(site: Site) -> None:
    class Photos(S3Boto3Storage):
        def get_object_parameters(self, name: str) -> dict[str, Any]:
            return {**super().get_object_parameters(name), "ContentDisposition": f"of {name}"}

    for parts in (None, PARTS):
        storage = Photos(
            **site.options(
                location="/media/", headers={"Cache-Control": "no"}, transfer_config=parts
            )
        )
        save(storage, "dir/a.txt")
        head = site.raw.head("media/dir/a.txt")
        assert (head["ContentDisposition"], head["CacheControl"]) == ("of dir/a.txt", "no")


def test_owner_and_payer_are_named_in_every_request(site: Site) -> None:
    storage = site.storage(
        object_parameters={"ExpectedBucketOwner": "123456789012", "RequestPayer": "requester"}
    )
    save(storage)
    read(storage)
    storage.size("a.txt")
    storage.listdir("")
    storage.delete("a.txt")
    storage.exists("a.txt")
    for request in site.sent():
        assert request.headers["x-amz-expected-bucket-owner"] == "123456789012", request
        assert request.headers["x-amz-request-payer"] == "requester", request


def test_key_of_the_customer_goes_with_uploads_parts_and_reads(secure: Site) -> None:
    storage = secure.storage(
        verify=str(authority().ca_file),
        object_parameters={
            "SSECustomerAlgorithm": "AES256",
            "SSECustomerKey": KEY_OF_32_BYTES,
        },
    )
    save(storage)
    save(storage, "large", bytes(9 * MIB))
    assert read(storage) == b"content"
    assert storage.size("large") == 9 * MIB
    header = "x-amz-server-side-encryption-customer-algorithm"
    carried = {
        (each.method, "partNumber" in each.target)
        for each in secure.sent()
        if each.headers.get(header) == "AES256"
    }
    assert carried == {
        ("PUT", False),
        ("POST", False),
        ("PUT", True),
        ("GET", False),
        ("HEAD", False),
    }
    with pytest.raises(OSError, match="S3"):
        read(secure.storage(verify=str(authority().ca_file)))


def test_services_that_are_not_aws_get_no_checksum_and_a_signature_of_the_bytes(
    secure: Site,
) -> None:
    options = {"verify": str(authority().ca_file)}
    save(secure.storage(**options))
    save(secure.storage(transfer_config=PARTS, **options))
    for request in secure.sent("PUT"):
        assert request.headers["x-amz-content-sha256"] == hashlib.sha256(b"content").hexdigest()
        assert not [name for name in request.headers if "checksum" in name.lower()]


def test_newer_checksums_can_be_switched_on(site: Site) -> None:
    save(site.storage(client_config={"request_checksum_calculation": "when_supported"}))
    names = [name.lower() for name in site.only("PUT").headers]
    assert any("checksum" in name or "trailer" in name for name in names)


def test_checksums_for_aws_are_boto3_s_own() -> None:
    config = S3Boto3Storage(bucket_name="b", region_name="eu-west-1").config
    assert config.request_checksum_calculation is None


# -- gzip -----------------------------------------------------------------------------------------


def test_gzip_stores_compressed_bytes_and_reads_the_content(site: Site) -> None:
    storage = site.storage(gzip=True)
    content = "body { content: 'é' }\r\n".encode() * 1000
    save(storage, "a.css", content)
    stored = site.raw.get("a.css")
    assert stored is not None
    assert gzip.decompress(stored) == content
    assert site.raw.head("a.css")["ContentEncoding"] == "gzip"
    assert read(storage, "a.css") == content
    with storage.open("a.css", "r") as file:
        assert file.read() == content.decode().replace("\r\n", "\n")
    assert storage.size("a.css") == len(stored) < len(content)


def test_gzip_of_equal_contents_is_equal(site: Site) -> None:
    save(site.storage(gzip=True), "a.css", b"body {}")
    save(site.storage(gzip=True), "dir/b.css", b"body {}")
    stored = site.raw.get("a.css")
    assert stored is not None
    assert stored == site.raw.get("dir/b.css")
    # The time in the header, RFC 1952 section 2.3.
    assert stored[4:8] == bytes(4)


def test_gzip_leaves_other_types_and_what_is_encoded_already(site: Site) -> None:
    save(site.storage(gzip=True), "a.txt")
    save(site.storage(gzip=True, headers={"Content-Encoding": "br"}), "a.css")
    save(site.storage(gzip=True, gzip_content_types=["text/plain"]), "b.css")
    assert [site.raw.get(name) for name in ("a.txt", "a.css", "b.css")] == [b"content"] * 3


def test_gzip_is_off_unless_set(site: Site) -> None:
    save(site.storage(), "a.css")
    assert site.raw.get("a.css") == b"content"


def test_gzip_takes_the_type_without_its_parameters(site: Site) -> None:
    content = ContentFile(b"content")
    content.content_type = "text/css; charset=utf-8"  # type: ignore[attr-defined]
    site.storage(gzip=True).save("a", content)
    assert site.raw.head("a")["ContentEncoding"] == "gzip"


def test_gzip_of_a_large_file_is_uploaded_in_parts(site: Site) -> None:
    save(site.storage(gzip=True, transfer_config=PARTS), "a.css")
    assert site.raw.head("a.css")["ContentEncoding"] == "gzip"
    assert read(site.storage(), "a.css") == b"content"


def test_compressed_file_may_be_appended_to(site: Site) -> None:
    storage = site.storage(gzip=True)
    save(storage, "a.css", b"one ")
    with storage.open("a.css", "ab") as file:
        file.write(b"two")
    stored = site.raw.get("a.css")
    assert stored is not None
    assert gzip.decompress(stored) == b"one two"


# -- parts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "size", "parts"),
    [
        ({}, 8 * MIB, []),
        ({}, 8 * MIB + 1, [5 * MIB, 3 * MIB + 1]),
        ({"buffer_size": 6 * MIB}, 12 * MIB + 1, [6 * MIB, 6 * MIB, 1]),
        (
            # No more than this is ever held in memory for one request.
            {"transfer_config": TransferConfig(multipart_threshold=10 * MIB)},
            9 * MIB,
            [8 * MIB, MIB],
        ),
        (
            # S3 refuses parts that are smaller.
            {"transfer_config": TransferConfig(multipart_chunksize=MIB)},
            9 * MIB,
            [5 * MIB, 4 * MIB],
        ),
        (
            {
                "transfer_config": TransferConfig(
                    multipart_threshold=6 * MIB, multipart_chunksize=5 * MIB, use_threads=False
                )
            },
            6 * MIB,
            [5 * MIB, MIB],
        ),
    ],
)
def test_parts_are_as_the_options_say(
    site: Site, options: dict[str, Any], size: int, parts: list[int]
) -> None:
    save(site.storage(**options), content=bytes(size))
    sent = sorted(site.sent("PUT", "partNumber"), key=lambda each: number_of(each.target))
    assert [each.bytes_in for each in sent] == parts
    assert site.raw.head("a.txt")["ContentLength"] == size
    assert site.raw.uploads() == []


def number_of(target: str) -> int:
    found = re.search(r"partNumber=(\d+)", target)
    assert found is not None
    return int(found[1])


def test_parts_grow_where_ten_thousand_would_not_do() -> None:
    parts: list[bytes] = []

    def call(operation: str, **arguments: Any) -> dict[str, Any]:
        parts.append(arguments.get("Body", b""))
        return {"UploadId": "1", "ETag": '"0"'}

    content = ContentFile(bytes(25_000))
    upload_in_parts(
        call,
        Source(content.file, "text/plain"),
        key="a",
        parameters={},
        condition={},
        is_done=lambda *_: False,
        part_size=1,
        workers=1,
    )
    sizes = [len(part) for part in parts if part]
    assert (len(sizes), set(sizes), sum(sizes)) == (8_334, {1, 3}, 25_000)


# -- memory ---------------------------------------------------------------------------------------


def test_file_being_written_moves_to_disk_past_the_limit(site: Site, tmp_path: Path) -> None:
    with override_settings(FILE_UPLOAD_TEMP_DIR=tmp_path / "missing"):
        file = site.storage(max_memory_size=1000).open("a", "wb")
        with pytest.raises(FileNotFoundError):
            file.write(bytes(100_000))
        with pytest.warns(ResourceWarning):
            del file


def test_limit_of_zero_keeps_everything_in_memory(site: Site, tmp_path: Path) -> None:
    with (
        override_settings(FILE_UPLOAD_TEMP_DIR=tmp_path / "missing"),
        site.storage(max_memory_size=0).open("a", "wb") as file,
    ):
        file.write(bytes(9 * MIB))
    assert site.raw.head("a")["ContentLength"] == 9 * MIB


# -- preload_metadata -----------------------------------------------------------------------------


def test_one_listing_answers_everything_with_preload_metadata(site: Site) -> None:
    for name in ("dir/a.txt", "b.txt"):
        site.raw.put(name, b"content")
    storage = site.storage(preload_metadata=True)
    for _ in range(3):
        assert storage.exists("dir/a.txt")
        assert storage.exists("dir")
        assert storage.size("b.txt") == 7
        assert storage.get_modified_time("b.txt") == site.raw.head("b.txt")["LastModified"]
        assert not storage.exists("missing.txt")
        with pytest.raises(FileNotFoundError):
            storage.size("missing.txt")
        with pytest.raises(IsADirectoryError):
            storage.size("dir")
    assert site.only().target.startswith(f"/{site.raw.bucket}?")
    assert "list-type=2" in site.only().target


def test_preloaded_storage_sees_its_own_changes(site: Site) -> None:
    site.raw.put("loc/a.txt", b"content")
    storage = site.storage(preload_metadata=True, location="loc")
    assert storage.size("a.txt") == 7
    save(storage, "b.txt", b"new")
    save(storage, "a.txt", b"longer content")
    assert (storage.size("a.txt"), storage.size("b.txt")) == (14, 3)
    storage.delete("a.txt")
    assert not storage.exists("a.txt")


def test_preloading_lists_every_page_of_the_location_only(site: Site) -> None:
    site.raw.plant(f"loc/{number:04}" for number in range(1001))
    site.raw.put("loc2/a.txt", b"content")
    storage = site.storage(preload_metadata=True, location="loc")
    assert storage.exists("1000")
    assert not storage.exists("a.txt")
    assert len(site.sent()) == 2


# -- bucket ---------------------------------------------------------------------------------------

names = (f"made-{number}" for number in count())


def made(site: Site, **options: Any) -> tuple[S3Boto3Storage, str]:
    """Return a storage that makes its bucket, and the name of that."""
    name = f"{site.raw.bucket[:40]}-{next(names)}"
    return site.storage(bucket_name=name, auto_create_bucket=True, **options), name


@pytest.mark.parametrize(
    "use",
    [
        save,
        lambda storage: save(storage, content=bytes(9 * MIB)),
        lambda storage: storage.exists("a.txt"),
        lambda storage: storage.listdir(""),
        lambda storage: storage.delete("a.txt"),
    ],
    ids=["save", "save in parts", "exists", "listdir", "delete"],
)
def test_missing_bucket_is_made_by_any_use(
    site: Site, use: Callable[[S3Boto3Storage], object]
) -> None:
    storage, name = made(site)
    use(storage)
    site.raw.client.head_bucket(Bucket=name)
    save(storage)
    assert read(storage) == b"content"


def test_made_bucket_is_closed_to_the_public_and_has_no_acl(site: Site) -> None:
    storage, name = made(site)
    save(storage)
    blocks = site.raw.client.get_public_access_block(Bucket=name)
    assert set(blocks["PublicAccessBlockConfiguration"].values()) == {True}
    assert not [each for each in site.sent() if "x-amz-acl" in each.headers]


def test_made_bucket_has_the_acl_of_its_option(site: Site) -> None:
    storage, name = made(site, bucket_acl="public-read")
    save(storage)
    grants = site.raw.client.get_bucket_acl(Bucket=name)["Grants"]
    assert "READ" in {each["Permission"] for each in grants if "URI" in each["Grantee"]}
    (request,) = [each for each in site.sent("PUT") if each.target == f"/{name}"]
    assert request.headers["x-amz-object-ownership"] == "BucketOwnerPreferred"


@pytest.mark.parametrize(("region", "stored"), [("eu-west-3", "eu-west-3"), ("us-east-1", None)])
def test_bucket_is_made_in_the_region_of_the_client(
    site: Site, region: str, stored: str | None
) -> None:
    storage, name = made(site, region_name=region)
    save(storage)
    found = site.raw.client.get_bucket_location(Bucket=name)["LocationConstraint"]
    assert found == stored


def test_missing_bucket_is_an_error_unless_it_may_be_made(site: Site) -> None:
    storage = site.storage(bucket_name="missing-bucket")
    for use in (save, read, lambda storage: storage.exists("a.txt"), lambda s: s.listdir("")):
        with pytest.raises(OSError, match="AWS_STORAGE_BUCKET_NAME") as raised:
            use(storage)
        assert raised.value.errno == errno.ENXIO
        assert not isinstance(raised.value, FileNotFoundError)
    assert "missing-bucket" not in [
        each["Name"] for each in site.raw.client.list_buckets()["Buckets"]
    ]


@pytest.mark.parametrize("status", [403, 500])
def test_bucket_is_never_made_on_an_answer_other_than_missing(site: Site, status: int) -> None:
    storage, name = made(site, client_config={"retries": {"total_max_attempts": 1}})
    site.front.answer(status, DENIED if status == 403 else error("InternalError"), times=None)
    for use in (save, lambda storage: storage.exists("a.txt"), lambda s: s.listdir("")):
        with pytest.raises(OSError, match=r"S3|denied"):
            use(storage)
    assert not [each for each in site.sent("PUT") if each.target == f"/{name}"]


def test_bucket_that_another_process_makes_meanwhile_is_used(site: Site) -> None:
    storage, name = made(site)
    site.front.answer(
        409, error("BucketAlreadyOwnedByYou"), method="PUT", path=f"^/{name}$", forward=True
    )
    save(storage)
    assert read(storage) == b"content"


def test_bucket_of_another_account_is_an_error(site: Site) -> None:
    storage, name = made(site)
    site.front.answer(409, error("BucketAlreadyExists"), method="PUT", path=f"^/{name}$")
    with pytest.raises(OSError, match="BucketAlreadyExists"):
        save(storage)


# -- credentials ----------------------------------------------------------------------------------

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "chain", "AWS_SECRET_ACCESS_KEY": "chain"}
S3_ENVIRONMENT = {"AWS_S3_ACCESS_KEY_ID": "s3env", "AWS_S3_SECRET_ACCESS_KEY": "s3env"}
SETTINGS = {"AWS_ACCESS_KEY_ID": "settings", "AWS_SECRET_ACCESS_KEY": "settings"}
S3_SETTINGS = {"AWS_S3_ACCESS_KEY_ID": "s3settings", "AWS_S3_SECRET_ACCESS_KEY": "s3settings"}
GIVEN = {"access_key": "given", "secret_key": "given"}


@pytest.mark.parametrize(
    ("environment", "settings", "options", "used"),
    [
        (ENVIRONMENT, {}, {}, "chain"),
        ({**ENVIRONMENT, **S3_ENVIRONMENT}, {}, {}, "s3env"),
        ({**ENVIRONMENT, **S3_ENVIRONMENT}, SETTINGS, {}, "settings"),
        ({**ENVIRONMENT, **S3_ENVIRONMENT}, {**SETTINGS, **S3_SETTINGS}, {}, "s3settings"),
        ({**ENVIRONMENT, **S3_ENVIRONMENT}, {**SETTINGS, **S3_SETTINGS}, GIVEN, "given"),
    ],
)
def test_first_of_the_places_for_credentials_wins(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    settings: dict[str, str],
    options: dict[str, str],
    used: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    place = {"bucket_name": site.raw.bucket, "endpoint_url": site.front.url}
    with override_settings(**settings):
        storage = S3Boto3Storage(**place, **options, client_config=unshared())
        storage.exists("a.txt")
        assert storage.access_key == (None if used == "chain" else used)
    assert key_of(site) == used


def test_session_token_goes_with_its_keys(site: Site) -> None:
    site.storage(security_token="a token").exists("a.txt")
    with override_settings(AWS_SESSION_TOKEN="another token"):
        site.storage().exists("a.txt")
    with override_settings(AWS_SECURITY_TOKEN="an old token"):
        site.storage().exists("a.txt")
    sent = [each.headers["x-amz-security-token"] for each in site.sent("GET")]
    assert sent == ["a token", "another token", "an old token"]


def test_profile_gives_keys_and_region(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "config").write_text("[profile photos]\nregion = eu-west-3\n")
    (tmp_path / "credentials").write_text(
        "[photos]\naws_access_key_id = ofprofile\naws_secret_access_key = secret\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    storage = S3Boto3Storage(
        bucket_name=site.raw.bucket,
        endpoint_url=site.front.url,
        session_profile="photos",
        client_config=unshared(),
    )
    storage.exists("a.txt")
    assert key_of(site) == "ofprofile"
    assert "/eu-west-3/s3/" in site.front.requests[-1].headers["Authorization"]


def test_missing_profile_is_named_with_its_setting() -> None:
    storage = S3Boto3Storage(bucket_name="b", session_profile="no such profile")
    with pytest.raises(ImproperlyConfigured, match="AWS_S3_SESSION_PROFILE"):
        storage.exists("a.txt")


def test_missing_credentials_are_named_with_their_settings(site: Site) -> None:
    storage = S3Boto3Storage(bucket_name="b", endpoint_url=site.front.url, client_config=unshared())
    with pytest.raises(PermissionError, match="AWS_ACCESS_KEY_ID"):
        storage.exists("a.txt")
    assert site.sent() == []


# -- connection -----------------------------------------------------------------------------------


def test_requests_are_signed_for_the_region(site: Site) -> None:
    site.storage(region_name="eu-west-3").exists("a.txt")
    assert "/eu-west-3/s3/aws4_request" in site.front.requests[-1].headers["Authorization"]


def test_signature_of_version_two_is_used_where_it_is_asked_for(site: Site) -> None:
    site.storage(signature_version="s3").exists("a.txt")
    assert site.front.requests[-1].headers["Authorization"].startswith("AWS testkey:")


def test_client_config_is_a_dict_or_a_config(site: Site) -> None:
    for config in ({"user_agent_extra": "of-the-test"}, Config(user_agent_extra="of-the-test")):
        site.storage(client_config=config).exists("a.txt")
        assert "of-the-test" in site.front.requests[-1].headers["User-Agent"]


def test_client_config_is_merged_with_single_options() -> None:
    storage = S3Boto3Storage(
        bucket_name="b",
        endpoint_url="https://s3.example",
        addressing_style="path",
        signature_version="s3",
        client_config={
            "connect_timeout": 7,
            "signature_version": "s3v4",
            "s3": {"addressing_style": "virtual", "us_east_1_regional_endpoint": "regional"},
        },
    )
    config: Any = storage.config
    assert (config.connect_timeout, config.signature_version) == (7, "s3")
    assert config.max_pool_connections == 64
    assert config.request_checksum_calculation == "when_required"
    assert config.s3 == {
        "addressing_style": "path",
        "payload_signing_enabled": True,
        "us_east_1_regional_endpoint": "regional",
    }


def test_requests_go_through_the_proxy_of_the_option(site: Site) -> None:
    site.front.answer(404, times=None)
    storage = site.storage(
        endpoint_url="http://s3.example", proxies={"http": site.front.url}, bucket_name="files"
    )
    with pytest.raises(OSError, match="bucket_name"):
        storage.listdir("")
    assert site.front.requests[0].target.startswith("http://s3.example/files?")


def test_proxy_that_is_away_is_named_without_its_password() -> None:
    storage = S3Boto3Storage(
        bucket_name="b",
        access_key="a",
        secret_key="b",
        endpoint_url="http://s3.example",
        proxies={"http": f"http://user:canary@127.0.0.1:{refusing_port()}"},
        client_config={"retries": {"total_max_attempts": 1}},
    )
    with pytest.raises(OSError, match="AWS_S3_PROXIES") as raised:
        storage.exists("a.txt")
    assert "canary" not in str(raised.value)


def once() -> dict[str, Any]:
    """Return a ``client_config`` whose client has no connection yet, and tries once."""
    return {**unshared(), "retries": {"total_max_attempts": 1}}


#: Requests of each kind.
FIRST = [
    lambda storage: storage.exists("a.txt"),
    lambda storage: storage.save("a.txt", ContentFile(b"content")),
    lambda storage: storage.delete("a.txt"),
]


@pytest.mark.parametrize("first", FIRST, ids=["exists", "save", "delete"])
def test_certificate_is_verified_by_the_bundle_of_the_option(
    secure: Site, first: Callable[[S3Boto3Storage], object]
) -> None:
    first(secure.storage(verify=str(authority().ca_file), client_config=once()))
    assert secure.sent()


def test_certificate_is_refused_by_default(secure: Site) -> None:
    with pytest.raises(OSError, match="AWS_S3_VERIFY") as raised:
        secure.storage(client_config={"retries": {"total_max_attempts": 1}}).exists("a.txt")
    assert raised.value.errno == errno.EPROTO
    assert secure.sent() == []


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
@pytest.mark.parametrize("first", FIRST, ids=["exists", "save", "delete"])
def test_certificate_is_not_looked_at_with_verify_off(
    secure: Site, first: Callable[[S3Boto3Storage], object]
) -> None:
    first(secure.storage(verify=False, client_config=once()))
    assert secure.sent()


def test_plain_http_is_spoken_without_ssl() -> None:
    def url(**options: Any) -> str:
        place = {"bucket_name": "files", "region_name": "eu-west-1"}
        return S3Boto3Storage(**place, **GIVEN, **options).url("a.txt")

    assert url().startswith("https://files.s3.eu-west-1.amazonaws.com/a.txt?")
    assert url(use_ssl=False).startswith("http://files.s3.eu-west-1.amazonaws.com/a.txt?")


def test_bucket_is_in_the_host_or_in_the_path_as_the_style_says(site: Site) -> None:
    site.storage(addressing_style="path").listdir("")
    assert site.only("GET").target.startswith(f"/{site.raw.bucket}?")
    storage = site.storage(addressing_style="virtual", endpoint_url="https://s3.example")
    assert storage.url("a.txt").startswith(f"https://{site.raw.bucket}.s3.example/a.txt?")


# -- names of options, and combinations -----------------------------------------------------------


def test_acl_and_bucket_are_taken_by_position(site: Site) -> None:
    storage = S3Boto3Storage("public-read", site.raw.bucket)
    assert (storage.default_acl, storage.bucket_name) == ("public-read", site.raw.bucket)
    assert S3Boto3Storage(None, "b").default_acl is None


def test_bucket_and_connection_are_boto3_s(site: Site) -> None:
    storage = site.storage()
    storage.bucket.put_object(Key="a.txt", Body=b"content")
    assert read(storage) == b"content"
    assert storage.bucket.name == site.raw.bucket
    found = [each.key for each in storage.connection.Bucket(site.raw.bucket).objects.all()]
    assert found == ["a.txt"]


def test_one_option_by_two_names_is_refused() -> None:
    for twice in ({"bucket": "b"}, {"acl": "private", "default_acl": "private"}):
        with pytest.raises(ImproperlyConfigured, match="give one"):
            S3Boto3Storage(bucket_name="b", **twice)


#: What is wrong, and what the error says of it.
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "half of the keys": ({"access_key": "a"}, "AWS_SECRET_ACCESS_KEY"),
    "the other half": ({"secret_key": "a"}, "AWS_ACCESS_KEY_ID"),
    "keys and profile": (
        {"access_key": "a", "secret_key": "b", "session_profile": "c"},
        "AWS_S3_SESSION_PROFILE",
    ),
    "a key id of CloudFront alone": (
        {"custom_domain": "cdn.example", "cloudfront_key_id": "K"},
        "AWS_CLOUDFRONT_KEY",
    ),
    "a key of CloudFront alone": (
        {"custom_domain": "cdn.example", "cloudfront_key": "PEM"},
        "AWS_CLOUDFRONT_KEY_ID",
    ),
    "an unknown header": ({"headers": {"X-Own": "1"}}, "AWS_HEADERS.*'X-Own'"),
    "an unknown parameter": (
        {"object_parameters": {"CacheControll": "1"}},
        "AWS_S3_OBJECT_PARAMETERS.*'CacheControll'",
    ),
    "small parts": ({"buffer_size": 5 * MIB - 1}, "AWS_S3_FILE_BUFFER_SIZE"),
    "a charset": ({"file_name_charset": "latin-1"}, "AWS_S3_FILE_NAME_CHARSET.*utf-8"),
    "an endpoint without scheme": ({"endpoint_url": "s3.example"}, "AWS_S3_ENDPOINT_URL"),
    "an endpoint of no sense": ({"endpoint_url": "http://"}, "AWS_S3_ENDPOINT_URL"),
    "a public endpoint without scheme": (
        {"public_endpoint_url": "s3.example"},
        "AWS_S3_PUBLIC_ENDPOINT_URL",
    ),
    "a domain with scheme": ({"custom_domain": "https://cdn.example"}, "AWS_S3_CUSTOM_DOMAIN"),
    "a protocol": ({"custom_domain": "cdn.example", "url_protocol": "ftp:"}, "AWS_S3_URL_PROTOCOL"),
    "no bucket": ({"bucket_name": None}, "AWS_STORAGE_BUCKET_NAME"),
    "an expiry over a week": ({"querystring_expire": 604_801}, "AWS_QUERYSTRING_EXPIRE"),
    "a rounding over a week": ({"querystring_round": 604_800}, "AWS_QUERYSTRING_ROUND"),
    "a rounding into the past": ({"querystring_round": -1}, "AWS_QUERYSTRING_ROUND"),
    "an expiry in the past": ({"querystring_expire": 0}, "AWS_QUERYSTRING_EXPIRE"),
    "a client's configuration": ({"client_config": {"no_such_key": 1}}, "AWS_S3_CLIENT_CONFIG"),
    "a client's retries": (
        {"client_config": {"retries": {"mode": "none"}}},
        "AWS_S3_CLIENT_CONFIG",
    ),
    "an addressing style": ({"addressing_style": "diagonal"}, "AWS_S3_ADDRESSING_STYLE"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_option_is_named_at_first_use(options: dict[str, Any], message: str) -> None:
    keys = {} if {"access_key", "secret_key"} & options.keys() else GIVEN
    place = {"bucket_name": "files", "endpoint_url": "http://s3.example"}
    storage = S3Boto3Storage(**{**place, **keys, **options})
    with pytest.raises(ImproperlyConfigured, match=message):
        use(storage)


def use(storage: S3Boto3Storage) -> None:
    """Read every option."""
    storage.url("a.txt")
    storage.save("a.txt", ContentFile(bytes(9 * MIB)))


def test_charset_may_be_spelt_in_any_way() -> None:
    for charset in ("utf-8", "UTF8", "utf8"):
        assert S3Boto3Storage(bucket_name="b", file_name_charset=charset).file_name_charset


#: What is unsafe, and what a check says of it.
UNSAFE: dict[str, tuple[dict[str, Any], str]] = {
    "no verification": ({"verify": False}, "AWS_S3_VERIFY"),
    "http to elsewhere": ({"endpoint_url": "http://s3.example"}, "endpoint_url"),
    "http links by endpoint": (
        {"public_endpoint_url": "http://s3.example"},
        "AWS_S3_PUBLIC_ENDPOINT_URL",
    ),
    "no ssl": ({"use_ssl": False}, "use_ssl"),
    "http links": ({"custom_domain": "cdn.example", "secure_urls": False}, "AWS_S3_SECURE_URLS"),
    "http links by protocol": (
        {"custom_domain": "cdn.example", "url_protocol": "http:"},
        "url_protocol",
    ),
    "public files": ({"default_acl": "public-read"}, "AWS_DEFAULT_ACL"),
    "a public bucket": ({"bucket_acl": "public-read-write"}, "AWS_DEFAULT_ACL"),
    "public files by parameters": (
        {"object_parameters": {"ACL": "authenticated-read"}},
        "AWS_DEFAULT_ACL",
    ),
    "public files by headers": ({"headers": {"x-amz-acl": "public-read"}}, "AWS_DEFAULT_ACL"),
    "links for days": ({"querystring_expire": 86_401}, "querystring_expire"),
}


@pytest.mark.parametrize(("options", "message"), UNSAFE.values(), ids=UNSAFE.keys())
def test_unsafe_option_is_told(options: dict[str, Any], message: str) -> None:
    (sentence,) = S3Boto3Storage(bucket_name="b", **options).insecurities()
    assert message in sentence


def test_defaults_and_loopback_are_safe() -> None:
    for options in ({}, {"endpoint_url": "http://127.0.0.1:9000"}, {"default_acl": "private"}):
        assert list(S3Boto3Storage(bucket_name="b", **options).insecurities()) == []
