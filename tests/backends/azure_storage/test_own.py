"""What is Azure's own: credentials, names, properties, requests, and reports of users."""

from __future__ import annotations

import gzip
import io
import logging
import os
import pickle
import traceback
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import django
import pytest
import time_machine
from azure.storage.blob import (
    AccountSasPermissions,
    ResourceTypes,
    StandardBlobTier,
    generate_account_sas,
)
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.test import override_settings

from storages.backends.azure_storage import AzureStorage
from storages.utils import RefusedName
from tests.backends.azure_storage.server import (
    TRUSTING,
    Credential,
    RawContainer,
    Site,
    answer,
    through,
)
from tests.servers.azurite import Azurite
from tests.servers.certificates import authority
from tests.servers.http import HTTPProxy
from tests.servers.process import HOST

MIB = 1024 * 1024
AZURE = "storages.backends.azure_storage.AzureStorage"
XML = {"Content-Type": "application/xml", "x-ms-version": "2021-12-02"}
HTTP_ELSEWHERE = "DefaultEndpointsProtocol=http;AccountName=acct;EndpointSuffix=x"
KEY = b64encode(b"0123456789abcdef").decode()


#: Django 4.2's override_settings drops the OPTIONS of `default` and `staticfiles`.
with_options = pytest.mark.skipif(
    django.VERSION < (5,), reason="impossible: Django 4.2 drops these options in tests"
)


def save(storage: AzureStorage, name: str = "a.txt", content: bytes = b"content") -> str:
    return storage.save(name, ContentFile(content))


def read(storage: AzureStorage, name: str = "a.txt") -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


def sas(site: Site) -> str:
    """Return a signature for all of the account, one with a plus sign in it."""
    start = datetime.now(UTC) - timedelta(minutes=5)
    for minutes in range(60, 2000):
        token: str = generate_account_sas(
            site.server.account,
            site.server.key,
            ResourceTypes(container=True, object=True),
            AccountSasPermissions.from_string("rwdlac"),
            start + timedelta(minutes=minutes),
            start,
        )
        if "%2B" in token:
            return token
    raise AssertionError("no signature has a plus sign")


def assert_round_trip(site: Site, storage: AzureStorage) -> None:
    assert save(storage, "dir/a.txt") == "dir/a.txt"
    assert read(storage, "dir/a.txt") == b"content"
    assert storage.listdir("dir") == ([], ["a.txt"])
    assert site.raw.get("dir/a.txt") == b"content"
    storage.delete("dir/a.txt")
    assert site.raw.names() == []


# -- credentials ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        "AccountName={name};AccountKey={key};BlobEndpoint={url}",
        "AccountName={name};AccountKey={key};BlobEndpoint={url}/;",
        ' "AccountName={name}; AccountKey={key}; BlobEndpoint={url};" \n',
        "'accountname = {name};ACCOUNTKEY= {key} ;blobendpoint=\"{url}\"'",
        "BlobEndpoint={url};SharedAccessSignature={sas}",
        "BlobEndpoint={url};SharedAccessSignature=?{sas}",
        "BlobEndpoint={url}?{sas}",
        "AccountName={name};BlobEndpoint={url};SharedAccessSignature={sas}",
    ],
)
def test_connection_string_opens_the_account(site: Site, form: str) -> None:
    text = form.format(
        name=site.server.account, key=site.server.key, url=through(site.front), sas=sas(site)
    )
    storage = AzureStorage(azure_container=site.raw.name, connection_string=text)
    assert_round_trip(site, storage)


@pytest.mark.parametrize("value", ["true", "True", "TRUE"])
def test_development_storage_is_the_emulator_in_any_case(value: str) -> None:
    storage = AzureStorage(
        azure_container="files", connection_string=f"UseDevelopmentStorage={value}"
    )
    assert storage.url("a.txt") == "http://127.0.0.1:10000/devstoreaccount1/files/a.txt"
    assert storage.service_client.account_name == "devstoreaccount1"
    other = f"UseDevelopmentStorage={value};DevelopmentStorageProxyUri=http://azurite"
    storage = AzureStorage(azure_container="files", connection_string=other)
    assert storage.url("a.txt") == "http://azurite:10000/devstoreaccount1/files/a.txt"


@pytest.mark.parametrize("form", ["{}", "?{}", " {}\n", "{plus}"])
@pytest.mark.parametrize("place", ["sas_token", "account_url"])
def test_signature_opens_the_account_and_shows_nowhere(
    site: Site, caplog: pytest.LogCaptureFixture, place: str, form: str
) -> None:
    token = sas(site)
    caplog.set_level(logging.DEBUG)
    given = form.format(token, plus=token.replace("%2B", "+"))
    url = through(site.front)
    options = {"account_url": url, "sas_token": given}
    if place == "account_url":
        options = {"account_url": f"{url}?{given.strip().lstrip('?')}"}
    storage = AzureStorage(azure_container=site.raw.name, **options)
    assert_round_trip(site, storage)
    secret = parse_qs(token)["sig"][0]
    shown = [storage.url("a.txt"), storage.service_client.url, repr(storage), caplog.text]
    shown += [str(pickle.dumps(storage)), str(storage.deconstruct())]
    assert not any(form in each for each in shown for form in (secret, quote(secret, safe="")))


@pytest.mark.parametrize("status", [200, 400, 403, 407, 503])
def test_page_that_repeats_the_url_shows_no_signature(site: Site, status: int) -> None:
    secret = parse_qs(sas(site))["sig"][0]
    storage = site.storage(account_key=None, sas_token=sas(site))
    page = f"<html>Cannot open http://account/a.txt?{sas(site)}</html>".encode()
    headers = {"Content-Type": "text/html"}
    site.front.answer(status, page, headers, times=8)
    with pytest.raises(OSError, match=r".") as raised:
        storage.open("a.txt").read()
    text = "".join(traceback.format_exception(raised.value))
    assert not any(form in text for form in (secret, quote(secret, safe="")))
    assert "sig=" not in text.replace("sig=…", "")


def test_parameters_of_a_signature_that_the_sdk_does_not_know_are_sent(site: Site) -> None:
    storage = site.storage(account_key=None, sas_token=f"{sas(site)}&new=a%2Bb")
    storage.exists("a.txt")
    assert "new=a%2Bb" in site.sent("HEAD")[0].target


def test_token_credential_opens_the_account(azurite_tls: Azurite) -> None:
    with RawContainer(azurite_tls) as raw, HTTPProxy(HOST, 1) as front:
        site = Site(raw, front)
        credential = Credential()
        options = {"account_url": azurite_tls.url, "azure_container": raw.name, **TRUSTING}
        for given in (credential, lambda: credential):
            assert_round_trip(site, AzureStorage(token_credential=given, **options))
        assert credential.calls == 2


def test_function_that_makes_a_credential_is_called_once(azurite_tls: Azurite) -> None:
    made = []

    def make() -> Credential:
        made.append(Credential())
        return made[-1]

    with RawContainer(azurite_tls) as raw:
        options = {"account_url": azurite_tls.url, "azure_container": raw.name, **TRUSTING}
        for _ in range(3):
            AzureStorage(token_credential=make, **options).exists("a.txt")
    assert len(made) == 1


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"account_name": "acct"}, "https://acct.blob.core.windows.net"),
        ({"account_name": "acct", "azure_ssl": False}, "http://acct.blob.core.windows.net"),
        (
            {"account_name": "acct", "endpoint_suffix": "core.chinacloudapi.cn"},
            "https://acct.blob.core.chinacloudapi.cn",
        ),
        ({"account_url": "https://acct.z12.blob.core.windows.net/"}, None),
        ({"account_url": "https://files.example.com", "account_name": "acct"}, None),
        ({"account_url": "http://azurite.local:1/acct", "account_name": "acct"}, None),
        ({"connection_string": "AccountName=acct"}, "https://acct.blob.core.windows.net"),
        (
            {"connection_string": HTTP_ELSEWHERE},
            "http://acct.blob.x",
        ),
    ],
)
def test_account_is_found_from_each_option(options: dict[str, Any], url: str | None) -> None:
    storage = AzureStorage(azure_container="files", account_key=KEY, **options)
    place = url or str(options["account_url"]).rstrip("/")
    assert storage.url("a b.txt") == f"{place}/files/a%20b.txt"
    assert storage.service_client.account_name == "acct"


@pytest.mark.parametrize(
    "url",
    [
        "https://acct.blob.core.windows.net/files",
        "http://127.0.0.1:10000/devstoreaccount1/files",
        "https://user@acct.blob.core.windows.net",
        "acct.blob.core.windows.net",
        "ftp://acct.blob.core.windows.net",
    ],
)
@pytest.mark.parametrize("option", ["account_url", "connection_string"])
def test_place_that_is_more_than_an_account_is_refused(option: str, url: str) -> None:
    value = url if option == "account_url" else f"BlobEndpoint={url};AccountName=acct"
    storage = AzureStorage(azure_container="files", **{option: value})
    with pytest.raises(ImproperlyConfigured, match=option) as raised:
        storage.exists("a.txt")
    assert url not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["", "AccountName", "BlobEndpoint=", "AccountKey=eA==", "AccountName=a;AccountKey=?"]
)
def test_malformed_connection_string_is_refused(text: str) -> None:
    storage = AzureStorage(azure_container="files", connection_string=text)
    with pytest.raises(ImproperlyConfigured, match="AZURE_CONNECTION_STRING"):
        storage.exists("a.txt")


@with_options
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"account_key": KEY, "sas_token": "sig=x"}, "several credentials"),
        ({"account_key": KEY, "token_credential": Credential()}, "several credentials"),
        ({"connection_string": f"AccountName=a;AccountKey={KEY}", "sas_token": "sig=x"}, "several"),
        ({"connection_string": "AccountName=a", "account_url": "https://h.x"}, "both name"),
        ({"token_credential": Credential(), "azure_ssl": False}, "over TLS only"),
        ({"expiration_secs": 60}, "which can sign"),
        ({"expiration_secs": 60, "sas_token": "sig=x"}, "which can sign"),
    ],
)
def test_options_that_contradict_each_other_are_told_by_a_check(
    options: dict[str, Any], says: str
) -> None:
    given = {"account_name": "acct", "azure_container": "files", **options}
    entry = {"BACKEND": AZURE, "OPTIONS": given}
    with override_settings(STORAGES={"default": entry}):
        messages = [each.msg for each in run_checks() if each.id == "storages.E006"]
    assert len(messages) == 1
    assert says in messages[0]
    with pytest.raises(ImproperlyConfigured, match=says):
        AzureStorage(**given).exists("a.txt")


def test_encryption_by_the_sdk_is_refused() -> None:
    """Its first version is broken (CVE-2022-30187), and files would be read as they are stored."""
    for name in ("require_encryption", "key_encryption_key", "encryption_version"):
        storage = AzureStorage(
            account_name="acct", azure_container="files", client_options={name: "2.0"}
        )
        with pytest.raises(ImproperlyConfigured, match=f"client_options.*{name}.*remove it"):
            storage.exists("a.txt")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"azure_ssl": False}, "clear text"),
        ({"client_options": {"connection_verify": False}}, "not verified"),
        ({"account_key": KEY, "expiration_secs": 90_000}, "over a day"),
        ({"custom_domain": "http://cdn.example"}, "http"),
        ({"account_name": None}, "AZURE_ACCOUNT_NAME"),
    ],
)
def test_unsafe_options_are_told_before_a_deployment(options: dict[str, Any], says: str) -> None:
    storage = AzureStorage(**{"account_name": "acct", "azure_container": "files", **options})
    (sentence,) = storage.insecurities()
    assert says in sentence


@pytest.mark.parametrize(
    ("cls", "cure"),
    [
        ("AzureStorage", "set the option 'expiration_secs' (setting AZURE_URL_EXPIRATION_SECS), "),
        ("AzureStaticStorage", ""),
    ],
)
def test_trial_says_how_strangers_may_read(site: Site, cls: str, cure: str) -> None:
    entry = {"BACKEND": f"storages.backends.azure_storage.{cls}", "OPTIONS": site.options()}
    out = io.StringIO()
    with (
        override_settings(STORAGES={"default": entry}, DEBUG=False),
        pytest.raises(CommandError, match="storages failed: default"),
    ):
        call_command("storages_check", stdout=out)
    said = " ".join(out.getvalue().split())
    assert f"Its URLs are not signed: {cure}open the directory by a policy" in said


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["file.", "dir./a.txt", "a/b.", "...", "x" * 1025, "/".join("a" * 255), "a\x81b", "a\uffffb"],
)
def test_names_that_azure_would_rewrite_or_refuse_are_refused_without_a_request(
    site: Site, name: str
) -> None:
    storage = site.storage()
    for call in (storage.exists, storage.open, storage.size, storage.delete, storage.url):
        with pytest.raises(RefusedName):
            call(name)
    with pytest.raises(RefusedName):
        save(storage, name)
    with pytest.raises(RefusedName):
        storage.listdir(name)
    assert site.sent() == []


@pytest.mark.parametrize("name", [".well-known/x", "a/.b", "x" * 1024, "/".join("a" * 254), "~"])
def test_names_that_only_look_so_are_kept(site: Site, name: str) -> None:
    assert save(site.storage(), name) == name
    assert site.raw.names() == [name]


def test_listing_stays_within_the_location(site: Site) -> None:
    for name in ("media/a.txt", "media/dir/b.txt", "media2/c.txt", "d.txt", "medi/e.txt"):
        site.raw.put(name, b"x")
    storage = site.storage(location="media/")
    assert storage.listdir("") == (["dir"], ["a.txt"])
    assert [name for name, _ in storage.scan(recursive=True)] == ["a.txt", "dir/b.txt"]


def test_folders_of_hierarchical_accounts_are_directories_once(site: Site) -> None:
    site.raw.put("dir", b"", metadata={"hdi_isfolder": "true"})
    site.raw.put("dir/a.txt", b"x")
    site.raw.put("empty", b"", metadata={"Hdi_isfolder": "TRUE"})
    site.raw.put("marked/", b"")
    storage = site.storage()
    assert storage.listdir("") == (["dir", "marked", "empty"], [])
    assert storage.listdir("dir") == ([], ["a.txt"])
    assert [name for name, _ in storage.scan(recursive=True)] == ["dir/a.txt"]
    assert storage.exists("empty")
    with pytest.raises(IsADirectoryError):
        storage.open("empty")
    with pytest.raises(IsADirectoryError):
        storage.size("dir")


def test_location_may_be_a_tenant_s(site: Site) -> None:
    tenant: ContextVar[str] = ContextVar("tenant", default="one")
    storage = site.storage(location=lambda: f"files/{tenant.get()}")
    save(storage)
    tenant.set("two")
    assert not storage.exists("a.txt")
    save(storage)
    assert sorted(site.raw.names()) == ["files/one/a.txt", "files/two/a.txt"]


# -- properties -----------------------------------------------------------------------------------


def test_options_are_stored_with_each_file(site: Site) -> None:
    storage = site.storage(
        cache_control="max-age=60",
        object_parameters={
            "content_disposition": "attachment",
            "content_language": "fr",
            "metadata": {"owner": "me"},
            "standard_blob_tier": "Cool",
        },
    )
    save(storage, "a.css")
    found = site.raw.head("a.css")
    settings = found.content_settings
    assert (settings.content_type, settings.cache_control) == ("text/css", "max-age=60")
    assert (settings.content_disposition, settings.content_language) == ("attachment", "fr")
    assert found.metadata == {"owner": "me"}
    assert found.blob_tier == "Cool"


@pytest.mark.parametrize("size", [7, 9 * MIB])
def test_function_gives_the_properties_of_each_name(site: Site, size: int) -> None:
    def parameters(name: str) -> dict[str, Any]:
        return {"cache_control": "no-cache"} if name == "dir/a.html" else {}

    storage = site.storage(
        object_parameters=parameters, cache_control="max-age=60", location="media"
    )
    for name, expected in (("dir/a.html", "no-cache"), ("b.css", "max-age=60")):
        save(storage, name, bytes(size))
        assert site.raw.head(f"media/{name}").content_settings.cache_control == expected


@pytest.mark.parametrize("parameters", [{"acl": "x"}, lambda _name: {"acl": "x"}])
def test_property_that_azure_does_not_have_is_refused(site: Site, parameters: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="'acl'"):
        save(site.storage(object_parameters=parameters))
    assert site.raw.names() == []


@pytest.mark.parametrize("tier", ["cool", "Premium", "", 5])
def test_tier_that_azure_does_not_have_is_refused_with_those_that_it_has(
    site: Site, tier: Any
) -> None:
    parameters = {"standard_blob_tier": tier}
    for given in (parameters, lambda _name: parameters):
        with pytest.raises(ImproperlyConfigured, match=r"_tier.*(?=.*Hot)(?=.*Cool)"):
            save(site.storage(object_parameters=given))
    assert site.raw.names() == []


def test_tier_may_be_the_sdk_s_own(site: Site) -> None:
    for tier in (StandardBlobTier.COOL, None):
        save(site.storage(object_parameters={"standard_blob_tier": tier}, file_overwrite=True))
    assert site.raw.names() == ["a.txt"]


def test_checks_and_commands_work(site: Site) -> None:
    options = site.options(location="media", expiration_secs=600)
    entry = {"BACKEND": AZURE, "OPTIONS": options}
    with override_settings(STORAGES={**storages.backends, "azure": entry}):
        storages["azure"].save("dir/a.txt", ContentFile(b"content"))
        assert [each for each in run_checks() if "azure" in str(each).lower()] == []
        told = {}
        for command in (["storages_list", "azure", "--recursive"], ["storages_check", "azure"]):
            out = io.StringIO()
            call_command(*command, stdout=out)
            told[command[0]] = out.getvalue()
    assert "dir/a.txt" in told["storages_list"]
    assert "failed" not in told["storages_check"]
    assert site.server.key not in str(told)
    assert site.raw.names() == ["media/dir/a.txt"]


@pytest.mark.parametrize("size", [7, 9 * MIB])
def test_file_that_is_appended_to_keeps_its_properties(site: Site, size: int) -> None:
    site.raw.put(
        "a.txt",
        bytes(size),
        metadata={"owner": "me"},
        settings={
            "content_type": "text/x-own",
            "cache_control": "no-store",
            "content_disposition": "inline",
            "content_language": "de",
        },
    )
    before = site.raw.head("a.txt")
    with site.storage(cache_control="max-age=60").open("a.txt", "ab") as file:
        file.write(b"more")
    found = site.raw.head("a.txt")
    assert found.size == size + 4
    assert found.metadata == before.metadata
    for name in ("content_type", "cache_control", "content_disposition", "content_language"):
        assert found.content_settings[name] == before.content_settings[name]


@pytest.mark.parametrize("size", [0, 10, 6000, 600_000])
def test_blob_labelled_gzip_is_read_decompressed(site: Site, size: int) -> None:
    content = os.urandom(size)
    packed = gzip.compress(content)
    site.raw.put("a.txt", packed, settings={"content_encoding": "gzip"})
    storage = site.storage()
    with storage.open("a.txt") as file:
        assert file.read() == content
        file.seek(size // 2)
        assert file.read() == content[size // 2 :]
    assert storage.size("a.txt") == len(packed)


@pytest.mark.parametrize("content", [b"", b"x", b"plain text" * 100_000])
def test_plain_blob_labelled_gzip_is_read_as_it_is(site: Site, content: bytes) -> None:
    site.raw.put("a.txt", content, settings={"content_encoding": "gzip"})
    assert read(site.storage()) == content


def test_times_are_those_of_the_blob(site: Site) -> None:
    save(site.storage())
    found = site.raw.head("a.txt")
    assert site.storage().get_created_time("a.txt") == found.creation_time
    assert site.storage().get_modified_time("a.txt") == found.last_modified


# -- requests and clients -------------------------------------------------------------------------


def methods(site: Site) -> list[str]:
    return [each.method for each in site.sent()]


@pytest.mark.parametrize("size", [0, 7, 8 * MIB])
def test_save_of_up_to_eight_mebibytes_is_one_request(site: Site, size: int) -> None:
    save(site.storage(file_overwrite=True), content=bytes(size))
    assert methods(site) == ["PUT"]


def test_save_in_blocks_is_a_request_for_each_and_one(site: Site) -> None:
    save(site.storage(file_overwrite=True), content=bytes(33 * MIB))
    assert methods(site) == ["PUT"] * 4


@pytest.mark.parametrize("size", [1, 7, 256 * 1024])
def test_reading_what_fits_the_read_ahead_is_one_request(site: Site, size: int) -> None:
    site.raw.put("a.txt", bytes(size))
    with site.storage().open("a.txt") as file:
        assert (file.size, len(file.read())) == (size, size)
    assert methods(site) == ["GET"]


def test_reading_a_large_file_is_two_requests(site: Site) -> None:
    site.raw.put("a.txt", bytes(40 * MIB))
    assert len(read(site.storage())) == 40 * MIB
    assert methods(site) == ["GET", "GET"]


def test_start_of_a_large_file_does_not_bring_the_rest(site: Site) -> None:
    site.raw.put("a.txt", bytes(9 * MIB))
    with site.storage().open("a.txt") as file:
        file.read(1000)
    assert site.only("GET").bytes_out == 256 * 1024


def test_look_ups_are_one_request_each(site: Site) -> None:
    site.raw.put("a.txt", b"content")
    storage = site.storage()
    for call in (storage.exists, storage.size, storage.get_modified_time):
        site.front.clear()
        call("a.txt")
        assert methods(site) == ["HEAD"]
    site.front.clear()
    storage.url("a.txt")
    storage.url("a.txt", expire=60)
    assert methods(site) == []


def test_listing_of_five_thousand_names_is_a_request_for_each_page(site: Site) -> None:
    # Azurite takes long to make so many, so the pages are answered by the proxy.
    blob = (
        "<Blob><Name>many/{}.txt</Name><Properties><Content-Length>1</Content-Length>"
        "<BlobType>BlockBlob</BlobType><Etag>0x1</Etag></Properties></Blob>"
    )
    for page, marker in ((range(5000), "next"), (range(5000, 6000), "")):
        blobs = "".join(map(blob.format, page))
        body = (
            f'<?xml version="1.0"?><EnumerationResults ContainerName="c"><Blobs>{blobs}</Blobs>'
            f"<NextMarker>{marker}</NextMarker></EnumerationResults>"
        )
        site.front.answer(200, body.encode(), XML)
    directories, files = site.storage().listdir("many")
    assert (directories, len(set(files))) == ([], 6000)
    assert methods(site) == ["GET", "GET"]


def test_equal_options_share_a_client_and_others_do_not(site: Site) -> None:
    clients = {id(site.storage(location=str(each)).service_client) for each in range(100)}
    assert len(clients) == 1
    assert id(site.storage(timeout=7).service_client) not in clients


def test_entry_in_netrc_does_not_replace_the_credential(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {HOST} login someone password else\n")
    netrc.chmod(0o600)
    # The SDK's own client, which clears up, would be refused.
    with monkeypatch.context() as changed:
        changed.setenv("NETRC", str(netrc))
        save(site.storage())
    assert site.sent("PUT")[0].headers["Authorization"].startswith("SharedKey ")


def test_redirect_is_not_followed(site: Site) -> None:
    with HTTPProxy(HOST, 1) as elsewhere:
        site.front.answer(307, b"", {"Location": f"{elsewhere.url}/c/a.txt"}, times=None)
        with pytest.raises(OSError, match="307"):
            site.storage().size("a.txt")
        assert elsewhere.connections == 0


def test_error_of_another_kind_does_not_make_a_hundred_names(site: Site) -> None:
    answer(site.front, 409, "ContainerBeingDeleted", method="PUT", times=None)
    with pytest.raises(OSError, match="ContainerBeingDeleted"):
        save(site.storage())
    assert len(site.sent("PUT")) == 1


# -- URLs -----------------------------------------------------------------------------------------


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def test_custom_domain_stands_in_urls_alone(site: Site) -> None:
    storage = site.storage(custom_domain="cdn.example")
    assert storage.url("a b.txt") == f"http://cdn.example/{site.raw.name}/a%20b.txt"
    signed = storage.url("a.txt", expire=60)
    assert urlsplit(signed).netloc == "cdn.example"
    assert_round_trip(site, storage)


def test_signature_begins_in_the_past_and_permits_reading_alone(site: Site) -> None:
    signed = query(site.storage().url("a.txt", expire=3600))
    now = datetime.now(UTC)
    assert timedelta(minutes=14) < now - moment(signed["st"]) < timedelta(minutes=16)
    assert timedelta(minutes=59) < moment(signed["se"]) - now < timedelta(minutes=61)
    assert (signed["sp"], signed["sr"]) == ("r", "b")


def test_signature_is_for_https_where_requests_are() -> None:
    storage = AzureStorage(account_name="acct", account_key=KEY, azure_container="files")
    assert query(storage.url("a.txt", expire=60))["spr"] == "https"


def test_signed_url_has_the_headers_that_were_asked_for(site: Site) -> None:
    site.raw.put("a b.txt", b"content")
    url = site.storage().url("a b.txt", 60, {"content_disposition": 'attachment; filename="é.txt"'})
    with urllib.request.urlopen(url, timeout=10) as found:
        assert found.read() == b"content"
        assert "attachment" in found.headers["Content-Disposition"]


def test_signed_url_may_permit_more(site: Site) -> None:
    url = site.storage().url("a.txt", expire=60, mode="cw")
    request = urllib.request.Request(
        url, b"sent", {"x-ms-blob-type": "BlockBlob", "Content-Type": "text/plain"}, method="PUT"
    )
    with urllib.request.urlopen(request, timeout=10):
        pass
    assert site.raw.get("a.txt") == b"sent"


@pytest.mark.parametrize("expire", [0, -1])
def test_life_that_is_none_is_refused(site: Site, expire: int) -> None:
    with pytest.raises(ValueError, match="expire must be"):
        site.storage().url("a.txt", expire=expire)
    with pytest.raises(ImproperlyConfigured, match="AZURE_URL_EXPIRATION_SECS"):
        site.storage(expiration_secs=expire).url("a.txt")


@pytest.mark.parametrize(
    "arguments",
    [
        {"parameters": {"content_type": "a/b"}},
        {"mode": "w"},
        {"expire": 60, "mode": "q"},
        {"expire": 60, "mode": ""},
        {"expire": 60, "parameters": {"acl": "x"}},
    ],
)
def test_url_that_cannot_be_signed_so_is_refused(site: Site, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"parameters|mode"):
        site.storage().url("a.txt", **arguments)


def test_signature_that_a_storage_has_signs_no_urls(site: Site) -> None:
    storage = site.storage(account_key=None, sas_token="sig=x")
    with pytest.raises(ImproperlyConfigured, match="cannot sign"):
        storage.url("a.txt", expire=60)


# -- URLs signed with a delegation key ------------------------------------------------------------


def delegation_key() -> bytes:
    fields = {
        "SignedOid": "o",
        "SignedTid": "t",
        "SignedStart": "2026-01-01T00:00:00Z",
        "SignedExpiry": "2026-01-08T00:00:00Z",
        "SignedService": "b",
        "SignedVersion": "2021-12-02",
        "Value": KEY,
    }
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in fields.items())
    return f"<UserDelegationKey>{inner}</UserDelegationKey>".encode()


@pytest.fixture
def delegating(azurite_tls: Azurite) -> Iterator[tuple[HTTPProxy, AzureStorage]]:
    """A storage with a token credential, and the proxy that gives it delegation keys."""
    with HTTPProxy(*azurite_tls.address, tls=authority().good.server_context()) as front:
        front.answer(200, delegation_key(), XML, path="comp=userdelegationkey", times=None)
        yield (
            front,
            AzureStorage(
                account_url=through(front, "https"),
                azure_container="files",
                token_credential=Credential(),
                **TRUSTING,
            ),
        )


def test_url_signed_with_a_delegation_key_gives_the_file(azurite_tls: Azurite) -> None:
    with RawContainer(azurite_tls) as raw:
        raw.put("dir/a b.txt", b"content")
        storage = AzureStorage(
            account_url=azurite_tls.url,
            azure_container=raw.name,
            token_credential=Credential(),
            **TRUSTING,
        )
        url = storage.url("dir/a b.txt", expire=604_800)
        context = authority().client_context()
        with urllib.request.urlopen(url, timeout=10, context=context) as found:
            assert found.read() == b"content"
    signed = query(url)
    now = datetime.now(UTC)
    start, end = moment(signed["skt"]), moment(signed["ske"])
    assert timedelta(minutes=14) < now - start < timedelta(minutes=16)
    assert end - start <= timedelta(days=7) - timedelta(minutes=1)
    assert start <= moment(signed["st"])
    assert moment(signed["se"]) <= end
    assert signed["spr"] == "https"


def test_delegation_key_serves_until_it_ends(delegating: tuple[HTTPProxy, AzureStorage]) -> None:
    front, storage = delegating
    begin = datetime(2026, 11, 1, 12, tzinfo=UTC)
    asked = []
    for hours in (0, 1, 20, 23, 24.5, 25, 48, 49.5):
        with time_machine.travel(begin + timedelta(hours=hours), tick=False):
            url = storage.url("a.txt", expire=3600)
            ends = begin + timedelta(hours=hours + 1)
            assert moment(query(url)["se"]) == ends
        asked.append(len(front.requests))
    # Each key lives for a day longer than the URL it was made for.
    assert asked == [1, 1, 1, 1, 2, 2, 2, 3]


def test_url_never_outlives_its_delegation_key(delegating: tuple[HTTPProxy, AzureStorage]) -> None:
    front, storage = delegating
    begin = datetime(2026, 11, 1, 12, tzinfo=UTC)
    longest = begin - timedelta(minutes=15) + timedelta(days=7) - timedelta(minutes=5)
    for minutes, keys in ((0, 1), (59, 1), (62, 2)):
        with time_machine.travel(begin + timedelta(minutes=minutes), tick=False):
            end = moment(query(storage.url("a.txt", expire=604_800))["se"])
        assert len(front.requests) == keys
        assert end == longest + timedelta(minutes=minutes if keys == 2 else 0)


def test_life_over_seven_days_is_refused_with_a_delegation_key(
    delegating: tuple[HTTPProxy, AzureStorage],
) -> None:
    front, storage = delegating
    with pytest.raises(ValueError, match="604800"):
        storage.url("a.txt", expire=604_801)
    assert front.requests == []
