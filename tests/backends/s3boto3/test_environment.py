"""What the S3 backend's clients take from the environment, profiles and the place they reach."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.stub import Stubber
from django.core.files.base import ContentFile
from moto import mock_aws

from storages.backends.s3boto3 import S3Boto3Storage
from tests.backends.s3boto3.server import Site, unshared

KEYS = {"access_key": "testkey", "secret_key": "testsecret"}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Take everything away that boto3 would read, and the way to a machine's own role."""
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))


def on_aws(**options: Any) -> S3Boto3Storage:
    return S3Boto3Storage(**{"bucket_name": "files", **KEYS, **options})


# -- moto and Stubber -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, KEYS], ids=["found keys", "given keys"])
def test_storage_made_and_used_before_moto_s_decorator_works_in_it(
    options: dict[str, Any],
) -> None:
    storage = S3Boto3Storage(bucket_name="files", region_name="us-east-1", **options)
    before = storage.client
    for content in (b"one", b"two"):
        with mock_aws():
            boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="files")
            storage.save("a.txt", ContentFile(content))
            with storage.open("a.txt") as file:
                assert file.read() == content
            assert storage.client is not before
    assert storage.client is before


EARLY = """
import django
from django.conf import settings
settings.configure()
from django.core.files.base import ContentFile
from storages.backends.s3boto3 import S3Boto3Storage
storage = S3Boto3Storage(bucket_name="files", region_name="us-east-1")
storage.client
import boto3
from moto import mock_aws
with mock_aws():
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="files")
    storage.save("a.txt", ContentFile(b"content"))
    assert storage.exists("a.txt")
"""


def test_storage_used_before_moto_is_imported_works_in_its_decorator() -> None:
    subprocess.run([sys.executable, "-c", EARLY], check=True)


def test_botocore_s_stubber_answers_whatever_a_storage_asks() -> None:
    storage = on_aws(client_config=unshared())
    assert storage.client is storage.client
    with Stubber(storage.client) as stubber:
        stubber.add_response("delete_object", {}, {"Bucket": "files", "Key": "a.txt"})
        storage.delete("a.txt")
        stubber.add_client_error("head_object", "404")
        stubber.add_response("list_objects_v2", {"KeyCount": 0})
        with pytest.raises(FileNotFoundError):
            storage.size("a.txt")


def test_stubber_needs_no_credentials() -> None:
    storage = S3Boto3Storage(bucket_name="files", client_config=unshared())
    with Stubber(storage.client) as stubber:
        stubber.add_response("delete_object", {}, {"Bucket": "files", "Key": "a.txt"})
        storage.delete("a.txt")


# -- credentials ----------------------------------------------------------------------------------


def test_failed_look_for_credentials_is_not_for_ever(site: Site, tmp_path: Path) -> None:
    site.raw.put("a.txt", b"content")
    options = {**site.options(), "client_config": unshared()}
    del options["access_key"], options["secret_key"]
    storages = [S3Boto3Storage(**options), S3Boto3Storage(**options)]
    for storage in storages:
        with pytest.raises(PermissionError):
            storage.size("a.txt")
        with pytest.raises(PermissionError):
            storage.url("a.txt")
    # The same environment: what was away a moment ago is there now.
    (tmp_path / "credentials").write_text(
        "[default]\naws_access_key_id = k\naws_secret_access_key = s\n"
    )
    for storage in storages:
        assert "X-Amz-Signature" in storage.url("a.txt")
        assert storage.size("a.txt") == 7


def test_changed_environment_is_used_by_the_next_call(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {name: each for name, each in site.options().items() if "key" not in name}
    storage = S3Boto3Storage(**options)
    for key in ("first", "second", "first"):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        storage.listdir("")
        assert f"Credential={key}/" in site.sent()[-1].headers["Authorization"]
        assert f"Credential={key}%2F" in storage.url("a.txt")


def test_endpoint_and_region_of_the_environment_take_effect_at_any_time(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = on_aws(bucket_name=site.raw.bucket)
    assert "amazonaws.com" in storage.url("a.txt")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", site.front.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-south-1")
    storage.save("a.txt", ContentFile(b"content"))
    assert site.raw.get("a.txt") == b"content"
    assert "/eu-south-1/s3/" in site.sent()[-1].headers["Authorization"]


# -- what fits a place ----------------------------------------------------------------------------


def test_place_that_the_environment_names_is_spoken_to_as_one_that_an_option_names(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", site.front.url)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    storage = on_aws(bucket_name=site.raw.bucket)
    storage.save("a.txt", ContentFile(b"content"))
    headers = site.only("PUT").headers
    assert "x-amz-sdk-checksum-algorithm" not in headers
    assert site.only("PUT").target == f"/{site.raw.bucket}/a.txt"
    assert storage.url("a.txt").startswith(f"{site.front.url}/{site.raw.bucket}/a.txt?")


@pytest.mark.parametrize("source", ["environment", "profile"])
def test_urls_are_for_the_host_of_the_region_wherever_it_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, source: str
) -> None:
    if source == "environment":
        monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    else:
        (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    assert on_aws().url("a").startswith("https://files.s3.eu-west-1.amazonaws.com/a?")


@pytest.mark.parametrize("source", ["client_config", "Config", "profile", "option"])
def test_style_that_the_user_says_wins(tmp_path: Path, source: str) -> None:
    config = {"s3": {"addressing_style": "path"}}
    options: dict[str, Any] = {
        "client_config": {"client_config": config},
        "Config": {"client_config": Config(**config)},
        "profile": {},
        "option": {"addressing_style": "path"},
    }[source]
    if source == "profile":
        (tmp_path / "config").write_text("[default]\ns3 =\n  addressing_style = path\n")
    storage = on_aws(region_name="eu-west-1", **options)
    assert storage.url("a").startswith("https://s3.eu-west-1.amazonaws.com/files/a?")


def test_checksums_that_the_environment_asks_for_are_sent_anywhere(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_supported")
    site.storage().save("a.txt", ContentFile(b"content"))
    assert any("checksum" in name.lower() for name in site.only("PUT").headers)


@pytest.mark.parametrize(
    ("bucket", "signature"),
    [
        ("files", "s3v4"),
        ("files--use1-az4--x-s3", None),
        ("arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap", None),
    ],
)
def test_signature_for_special_buckets_is_boto3_s_own_choice(
    bucket: str, signature: str | None
) -> None:
    storage = on_aws(bucket_name=bucket, region_name="us-east-1")
    assert storage.config.signature_version == signature
    said = on_aws(bucket_name=bucket, region_name="us-east-1", signature_version="s3")
    assert said.config.signature_version == "s3"


# -- sharing --------------------------------------------------------------------------------------


def test_equal_configurations_made_anew_at_each_call_share_a_client() -> None:
    class Computed(S3Boto3Storage):
        @property
        def client_config(self) -> Any:  # type: ignore[override]
            return Config(connect_timeout=7, s3={"addressing_style": "path"})

    storage = Computed(bucket_name="files", region_name="eu-west-1", **KEYS)
    assert len({id(storage.client) for _ in range(5)}) == 1
    other = on_aws(
        region_name="eu-west-1",
        client_config=lambda: Config(connect_timeout=7, s3={"addressing_style": "path"}),
    )
    assert other.client is storage.client
    assert on_aws(region_name="eu-west-1", client_config={"connect_timeout": 8}).client
