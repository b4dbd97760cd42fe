"""Entries of LIBCLOUD_PROVIDERS, drivers, URLs, requests, and what checks say."""

from __future__ import annotations

import copy
import gc
import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import django
import libcloud.security
import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.db.migrations.writer import MigrationWriter
from libcloud.storage.types import Provider

from storages.backends._libcloud import providers
from storages.backends.apache_libcloud import LibCloudStaticStorage, LibCloudStorage
from storages.configured import options_of
from tests.backends.apache_libcloud.server import (
    PROVIDER,
    RawContainer,
    azure_entry,
    local_storage,
    s3_entry,
)
from tests.backends.s3boto3.server import RawBucket, Site

SECRET = "canary-7d1f"


#: Django 4.2's override_settings drops the OPTIONS of `default` and `staticfiles`.
with_options = pytest.mark.skipif(
    django.VERSION < (5,), reason="impossible: Django 4.2 drops these options in tests"
)


def on(site: Site, cls: type[LibCloudStorage] = LibCloudStorage, **options: Any) -> LibCloudStorage:
    entry = s3_entry(site.server, site.front, bucket=site.raw.bucket)
    return cls(**{**entry, **options})


def seed_entry(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": PROVIDER + kind, "user": "me", "key": SECRET, "bucket": "bucket-1", **more}


# Entries


def test_entries_of_the_seed_give_drivers(settings: Any) -> None:
    settings.LIBCLOUD_PROVIDERS = {
        "amazon_1": seed_entry("S3_US_STANDARD_HOST"),
        "amazon_2": seed_entry("S3_US_STANDARD_HOST", bucket="bucket-2"),
        "google": seed_entry("GOOGLE_STORAGE", bucket="bucket-3", user="GOOG" + "A" * 16),
    }
    assert LibCloudStorage("amazon_1").driver.region == "us-east-1"
    assert LibCloudStorage("amazon_2").bucket == "bucket-2"
    assert LibCloudStorage("google").driver.name == "Google Cloud Storage"
    google = LibCloudStorage("google").url("a b.txt")
    assert google == "https://storage.googleapis.com/bucket-3/a%20b.txt"


@pytest.mark.parametrize(
    ("name", "driver", "region"),
    [
        ("S3_US_STANDARD_HOST", "S3StorageDriver", "us-east-1"),
        ("S3_US_WEST_HOST", "S3USWestStorageDriver", "us-west-1"),
        ("S3_US_WEST_OREGON_HOST", "S3USWestOregonStorageDriver", "us-west-2"),
        ("S3_EU_WEST_HOST", "S3EUWestStorageDriver", "eu-west-1"),
        ("S3_AP_SOUTHEAST_HOST", "S3APSEStorageDriver", "ap-southeast-1"),
        ("S3_AP_NORTHEAST_HOST", "S3APNE1StorageDriver", "ap-northeast-1"),
        ("S3_EU_WEST3", "S3StorageDriver", "eu-west-3"),
        ("CLOUDFIULES_US", "CloudFilesStorageDriver", "ord"),
        ("CLOUDFIULES_UK", "CloudFilesStorageDriver", "lon"),
        ("CLOUDFILES_UK", "CloudFilesStorageDriver", "lon"),
    ],
)
def test_retired_type_gets_its_successor(name: str, driver: str, region: str) -> None:
    found = LibCloudStorage(**seed_entry(name)).driver
    assert type(found).__name__ == driver
    assert getattr(found, "region_name", None) or found.region == region


@pytest.mark.parametrize("name", ["NIMBUS", "NINEFOLD", "DUMMY"])
def test_type_of_an_ended_service_is_explained(name: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=f"names {name}, which cannot be used") as raised:
        LibCloudStorage(**seed_entry(name)).exists("a.txt")
    assert "Use S3, MINIO" in str(raised.value)


@pytest.mark.parametrize(
    "kind",
    ["os.path.join", "libcloud.compute.types.Provider.EC2", f"{PROVIDER}S4", "S3", PROVIDER, ""],
)
def test_type_outside_of_libcloud_s_list_is_refused(kind: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="'type'"):
        LibCloudStorage(**seed_entry("S3") | {"type": kind}).exists("a.txt")


def test_constant_itself_is_a_type() -> None:
    storage = LibCloudStorage(**seed_entry("S3") | {"type": Provider.S3})
    assert type(storage.driver).__name__ == "S3StorageDriver"


def test_every_type_of_libcloud_has_a_driver_or_an_explanation() -> None:
    for name in providers.TYPES:
        try:
            found, _ = providers.resolved(PROVIDER + name)
        except ValueError as exc:
            assert name in str(exc)  # noqa: PT017
        else:
            assert providers.driver_class(found)


def test_every_keyword_of_a_driver_can_be_given_inline() -> None:
    own = {*options_of(LibCloudStorage), "key"}
    for name in providers.DRIVERS_BY_NAME - providers.GONE.keys():
        taken = {each for each in providers.accepted(name) if not each.startswith("ex_")}
        assert LibCloudStorage.unknown_options(taken - own) == []


def test_default_provider_comes_from_its_setting(settings: Any, tmp_path: Path) -> None:
    entry = {"type": f"{PROVIDER}LOCAL", "user": str(tmp_path), "bucket": "container"}
    settings.LIBCLOUD_PROVIDERS = {"default": entry, "second": {**entry, "bucket": "other"}}
    (tmp_path / "other").mkdir()
    (tmp_path / "container").mkdir()
    storage = LibCloudStorage()
    storage.save("a.txt", ContentFile(b""))
    settings.DEFAULT_LIBCLOUD_PROVIDER = "second"
    storage.save("a.txt", ContentFile(b""))
    assert (tmp_path / "container/a.txt").exists()
    assert (tmp_path / "other/a.txt").exists()


def test_changed_entry_reaches_a_storage_made_before(settings: Any, tmp_path: Path) -> None:
    entry = {"type": f"{PROVIDER}LOCAL", "user": str(tmp_path), "bucket": "first"}
    settings.LIBCLOUD_PROVIDERS = {"default": entry}
    storage = LibCloudStorage()
    assert storage.bucket == "first"
    settings.LIBCLOUD_PROVIDERS = {"default": {**entry, "bucket": "second"}}
    assert storage.bucket == "second"


def test_inline_options_win_over_the_entry(settings: Any) -> None:
    settings.LIBCLOUD_PROVIDERS = {"default": seed_entry("S3", region="eu-west-1")}
    storage = LibCloudStorage(bucket="other", option={"region": "eu-west-2"})
    assert (storage.bucket, storage.region, storage.user) == ("other", "eu-west-2", "me")


def test_whole_entry_may_be_the_option() -> None:
    storage = LibCloudStorage(option=seed_entry("S3", token="t"))
    assert storage.driver.token == "t"


def test_bucket_may_be_computed_for_each_tenant(tmp_path: Path) -> None:
    tenants = iter(["one", "two"])
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    tenant = {"now": next(tenants)}
    storage = local_storage(tmp_path, bucket=lambda: tenant["now"])
    storage.save("a.txt", ContentFile(b"first"))
    tenant["now"] = next(tenants)
    assert not storage.exists("a.txt")
    assert (tmp_path / "one/a.txt").read_bytes() == b"first"


def test_subclass_names_its_bucket(site: Site) -> None:
    class Media(LibCloudStorage):
        bucket = site.raw.bucket  # type: ignore[assignment]

    entry = s3_entry(site.server, site.front)
    Media(**entry).save("a.txt", ContentFile(b"content"))
    assert site.raw.names() == ["a.txt"]


def test_key_of_an_entry_does_not_hide_the_method(site: Site) -> None:
    assert on(site, location="media").key("a.txt") == "media/a.txt"


# Secrets, copies


def test_key_given_inline_is_in_no_description() -> None:
    options: list[dict[str, Any]] = [
        {**seed_entry("S3"), "token": SECRET},
        {"option": seed_entry("S3", token=SECRET)},
        {"option": {"key": SECRET}, "token": SECRET, "bucket": "b"},
    ]
    for each in options:
        storage = LibCloudStorage("x", **each)
        migration, _ = MigrationWriter.serialize(storage)
        for text in (repr(storage), migration, repr(pickle.dumps(storage))):
            assert SECRET not in text


def test_option_given_by_position_tells_no_secret() -> None:
    storage = LibCloudStorage("x", seed_entry("S3"), token=SECRET)
    assert SECRET not in repr(storage.deconstruct())


def test_pickled_storage_finds_its_key_in_the_settings(settings: Any, site: Site) -> None:
    entry = s3_entry(site.server, site.front, bucket=site.raw.bucket)
    settings.LIBCLOUD_PROVIDERS = {"moto": entry}
    storage = LibCloudStorage("moto")
    storage.save("a.txt", ContentFile(b"content"))
    for twin in (pickle.loads(pickle.dumps(storage)), copy.deepcopy(storage)):
        assert twin.open("a.txt").read() == b"content"


# Drivers


def test_driver_makes_containers(site: Site) -> None:
    storage = on(site, bucket="made-by-driver")
    storage.driver.create_container("made-by-driver")
    storage.save("a.txt", ContentFile(b"content"))
    raw = RawBucket(site.server, "made-by-driver")
    assert raw.names() == ["a.txt"]
    raw.empty()


def test_driver_of_a_directory_makes_containers(tmp_path: Path) -> None:
    storage = local_storage(tmp_path, bucket="bucket-1")
    with pytest.raises(OSError, match="create_container"):
        storage.save("a.txt", ContentFile(b""))
    storage.driver.create_container("bucket-1")
    storage.save("a.txt", ContentFile(b""))
    assert (tmp_path / "bucket-1/a.txt").exists()


def test_libcloud_itself_sees_what_is_saved(site: Site, tmp_path: Path) -> None:
    for storage, bucket in ((on(site), site.raw.bucket), (local_storage(tmp_path), "container")):
        storage.save("dir/a.txt", ContentFile(b"content"))
        found = storage.driver.get_object(bucket, "dir/a.txt")
        assert b"".join(storage.driver.download_object_as_stream(found)) == b"content"


def test_storages_of_one_entry_share_their_drivers(site: Site) -> None:
    before = site.front.connections
    for _ in range(100):
        on(site).exists("a.txt")
    assert site.front.connections - before <= 2


def test_missing_base_directory_names_the_seed_s_error(tmp_path: Path) -> None:
    storage = local_storage(tmp_path, user=str(tmp_path / "missing"))
    with pytest.raises(ImproperlyConfigured, match="Unable to create libcloud driver type LOCAL"):
        print(storage.driver)


@pytest.mark.parametrize("path", ["/no/such/bundle.pem", [], ["/no/such/bundle.pem"]])
def test_missing_certificates_are_the_seed_s_error(
    monkeypatch: pytest.MonkeyPatch, path: Any
) -> None:
    monkeypatch.setattr(libcloud.security, "CA_CERTS_PATH", path)
    storage = LibCloudStorage(**seed_entry("S3"))
    text = "Unable to create libcloud driver type S3: No CA Certificates were found"
    with pytest.raises(ImproperlyConfigured, match=text):
        storage.exists("a.txt")


def test_error_of_a_driver_tells_no_key() -> None:
    storage = LibCloudStorage(**seed_entry("AZURE_BLOBS", key=SECRET + "!"))
    with pytest.raises(ImproperlyConfigured, match="Unable to create") as raised:
        storage.exists("a.txt")
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None


# Checks


def messages(settings: Any, **options: Any) -> list[str]:
    settings.STORAGES = {
        "default": {
            "BACKEND": "storages.backends.apache_libcloud.LibCloudStorage",
            "OPTIONS": options,
        },
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    return [f"{each.id} {each.msg}" for each in run_checks(tags=["storages"])]


@with_options
@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (seed_entry("S3", region="us-est-1"), "E006 .*does not know the region"),
        (seed_entry("S3", region="gra", host="s3.gra.example"), "E006 .*whatever 'host' says"),
        (seed_entry("OPENSTACK_SWIFT", region="anything"), None),
        (seed_entry("MINIO", host="minio.example", region="gra"), None),
        (seed_entry("MINIO"), "E006 .*needs 'host'"),
        (seed_entry("MINIO", host="m.example", proxy_url="x"), "E006 .*takes no 'proxy_url'"),
        (seed_entry("S3", project="p"), "E006 .*takes no 'project'"),
        (seed_entry("S3", sekure=False), "E003 .*no option 'sekure'. Did you mean 'secure'"),
        (seed_entry("S3", host="https://s3.example"), "E005 .*a host name alone"),
        (seed_entry("S3", host="127.0.0.1:9000"), "E005 .*a host name alone"),
        (seed_entry("S3", port="x"), "E005 .*a number from 1 to 65535"),
        (seed_entry("S3", bucket="a/b"), "E005 .*one container"),
        (seed_entry("S3", timeout=0), "E005 .*more than 0"),
        (seed_entry("NIMBUS"), "E005 .*Nimbus.io has ended"),
        ({"type": f"{PROVIDER}S3", "user": "me", "bucket": "b"}, "E006 .*needs 'key'"),
        (seed_entry("S3"), None),
    ],
)
def test_check_says_what_is_wrong_with_an_entry(
    settings: Any, entry: dict[str, Any], text: str | None
) -> None:
    found = messages(settings, **entry)
    if text is None:
        assert found == []
    else:
        (only,) = found
        assert re.search(text, only), only
        assert SECRET not in only


@with_options
def test_check_says_which_entry_was_meant(settings: Any) -> None:
    settings.LIBCLOUD_PROVIDERS = {"amazon_1": seed_entry("S3")}
    assert any(
        "did you mean 'amazon_1'" in each for each in messages(settings, provider_name="amazon-1")
    )


@with_options
def test_check_warns_of_storages_that_share_files(settings: Any) -> None:
    backend = "storages.backends.apache_libcloud.LibCloudStorage"
    entry = {"BACKEND": backend, "OPTIONS": seed_entry("S3")}
    settings.STORAGES = {"default": entry, "staticfiles": entry}
    assert "storages.W004" in {each.id for each in run_checks(tags=["storages"])}


@with_options
def test_deployment_check_warns_of_plain_http(settings: Any) -> None:
    messages(settings, **seed_entry("S3", secure=False, host="s3.example"))
    found = run_checks(tags=["storages"], include_deployment_checks=True)
    assert any("in the clear" in each.msg for each in found)


def test_deployment_check_warns_of_a_trace_and_of_certificates_unseen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = LibCloudStorage(**seed_entry("S3"))
    assert list(storage.insecurities()) == []
    monkeypatch.setenv("LIBCLOUD_DEBUG", "/dev/stderr")
    monkeypatch.setattr(libcloud.security, "VERIFY_SSL_CERT", False)
    said = " ".join(storage.insecurities())
    assert "LIBCLOUD_DEBUG is set" in said
    assert "VERIFY_SSL_CERT is off" in said


# URLs


@pytest.mark.parametrize("name", ["a b.txt", "é.txt", "a%b.txt", "a+b.txt", "a~b,c;d=e.txt"])
def test_signed_url_works_on_a_server_that_checks_it(weed: Site, name: str) -> None:  # report 11
    storage = on(weed)
    weed.raw.put(name, b"content")
    url = storage.url(name, expire=60)
    assert f":{weed.front.port}/" in url
    with urlopen(url) as answer:
        assert answer.read() == b"content"
    wrong = url.replace("X-Amz-Expires=60", "X-Amz-Expires=61")
    with pytest.raises(HTTPError) as raised, urlopen(wrong):
        pass
    raised.value.close()


@pytest.mark.parametrize("expire", [1, 60, 3599, 3600, 86_400, 604_800])
def test_expire_is_in_seconds(site: Site, expire: int) -> None:  # report 11
    query = parse_qs(urlsplit(on(site).url("a.txt", expire=expire)).query)
    assert query["X-Amz-Expires"] == [str(expire)]


@pytest.mark.parametrize("expire", [0, -1, 604_801, 60.0, True, "60"])
def test_expire_that_cannot_be_is_refused(site: Site, expire: Any) -> None:
    with pytest.raises(ValueError, match="expire"):
        on(site).url("a.txt", expire=expire)


def test_url_asks_for_the_headers_of_its_answer(site: Site) -> None:
    storage = on(site)
    storage.save("a.txt", ContentFile(b"content"))
    wanted = {"response-content-disposition": 'attachment; filename="b.txt"'}
    with urlopen(storage.url("a.txt", parameters=wanted)) as answer:
        assert answer.headers["Content-Disposition"] == 'attachment; filename="b.txt"'


def test_url_of_azure_works_for_odd_names_and_headers(container: RawContainer) -> None:  # report 11
    storage = LibCloudStorage(**azure_entry(container.server, bucket=container.name))
    wanted = {"response-content-disposition": "attachment"}
    for name in ("a b", "é", "a%b", "a+b", "dir/a&b=c;d"):
        storage.save(name, ContentFile(b"content"))
        with urlopen(storage.url(name, expire=60, parameters=wanted)) as answer:
            assert answer.read() == b"content"
            assert answer.headers["Content-Disposition"] == "attachment"


def test_session_token_is_part_of_a_signed_url(site: Site) -> None:
    query = parse_qs(urlsplit(on(site, token="t+/=").url("a.txt")).query)
    assert query["X-Amz-Security-Token"] == ["t+/="]


def test_entries_of_one_type_keep_the_hosts_of_their_regions() -> None:  # report 1
    # Libcloud's own driver keeps the host in a class that all entries have in common.
    regions = ("gra", "sbg")
    storages = [LibCloudStorage(**seed_entry("OVH", region=each)) for each in regions]
    hosts = [[urlsplit(storage.url("a.txt")).hostname or "" for storage in storages] for _ in "12"]
    assert hosts[0] == hosts[1]
    assert [host.split(".")[1] for host in hosts[0]] == list(regions)


def test_static_files_have_plain_urls(site: Site) -> None:
    storage = on(site, LibCloudStaticStorage)
    assert storage.url("a b.css") == f"{site.front.url}/{site.raw.bucket}/a%20b.css"


def test_public_url_of_azure_has_its_host() -> None:
    storage = LibCloudStorage(
        **seed_entry("AZURE_BLOBS", user="acct", key="a2V5"), querystring_auth=False
    )
    assert storage.url("a b") == "https://acct.blob.core.windows.net/bucket-1/a%20b"


def test_directory_needs_a_base_url(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="base_url"):
        local_storage(tmp_path).url("a.txt")
    assert local_storage(tmp_path, base_url="/media/").url("a b") == "/media/a%20b"


# Requests


@pytest.mark.parametrize(
    ("call", "most"),
    [
        (lambda s: s.save("new.txt", ContentFile(b"content")), 1),
        (lambda s: s.open("a.txt").read(), 1),
        (lambda s: s.exists("a.txt"), 1),
        (lambda s: s.size("a.txt"), 1),
        (lambda s: s.delete("a.txt"), 1),
        (lambda s: s.listdir(""), 1),
        (lambda s: s.url("a.txt"), 0),
    ],
)
def test_calls_take_one_request(
    site: Site, call: Callable[[LibCloudStorage], object], most: int
) -> None:
    site.raw.put("a.txt", b"content")
    call(on(site))
    assert len(site.front.requests) == most


def test_listing_a_directory_asks_for_its_prefix_alone(site: Site) -> None:
    site.raw.plant(f"deep/{number}/a.txt" for number in range(50))
    site.raw.put("deep/b.txt", b"")
    directories, files = on(site).listdir("deep")
    assert (len(directories), files) == (50, ["b.txt"])
    request = site.only()
    assert "prefix=deep%2F" in request.target
    assert "delimiter=%2F" in request.target


# Commands


@with_options
def test_commands_work(site: Site, settings: Any, capsys: pytest.CaptureFixture[str]) -> None:
    options = s3_entry(site.server, site.front, bucket=site.raw.bucket)
    backend = "storages.backends.apache_libcloud.LibCloudStorage"
    settings.STORAGES = {
        "default": {"BACKEND": backend, "OPTIONS": options},
        "staticfiles": {"BACKEND": backend, "OPTIONS": {**options, "location": "static"}},
    }
    on(site).save("dir/a.txt", ContentFile(b"content"))
    call_command("storages_list", "default", "--recursive")
    assert "dir/a.txt" in capsys.readouterr().out
    call_command("storages_check", "default")
    assert site.server.secret_key not in capsys.readouterr().out


def test_unread_file_leaves_no_connection_behind(site: Site) -> None:
    site.raw.put("a.bin", b"c" * 2_000_000)
    storage = on(site)
    for _ in range(20):
        storage.open("a.bin").read(10)
    gc.collect()
    assert storage.size("a.bin") == 2_000_000
