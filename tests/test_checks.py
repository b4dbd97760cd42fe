from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import django
import pytest
from django.apps.registry import Apps
from django.core.checks import CheckMessage, run_checks
from django.core.files.storage import DefaultStorage, storages
from django.db import models
from django.test import override_settings
from django.test.utils import isolate_apps
from django.utils.functional import SimpleLazyObject

from storages import checks, static_checks, upgrading
from storages.options import option
from tests.memory import MemoryStorage

STATIC = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
S3 = "storages.backends.s3boto3.S3Boto3Storage"
DOCS = Path(__file__).parent.parent / "docs"


def check_slots(slots: int) -> None:
    if slots < 1:
        raise ValueError("must be at least 1.")


class Vault(MemoryStorage):
    """A storage with an option of every kind."""

    bucket: str = option("VAULT_BUCKET", required=True)
    passphrase: str = option("VAULT_PASSPHRASE", required=True, secret=True)
    address: str | None = option(secret=lambda value: value.rpartition("@")[2])
    slots: int = option("VAULT_SLOTS", default=1, check=check_slots)
    is_open: bool = option(default=False)
    is_closed: bool = option(default=False)

    def contradictions(self) -> Iterator[str]:
        if self.is_open and self.is_closed:
            yield "'is_open' and 'is_closed' exclude each other: set one."

    def insecurities(self) -> Iterator[str]:
        if self.is_open:
            yield "everyone may read: unset 'is_open'."


class TenantVault(Vault):
    """Its options need a request, which a check has not."""

    @property  # type: ignore[misc]
    def bucket(self) -> str:  # type: ignore[override]
        raise RuntimeError("no tenant")

    @property  # type: ignore[misc]
    def is_closed(self) -> bool:  # type: ignore[override]
        raise RuntimeError("no tenant")

    location = staticmethod(lambda: str(1 / 0))  # type: ignore[assignment]
    is_open = True


VAULT = f"{__name__}.Vault"
TENANT = f"{__name__}.TenantVault"
GOOD: dict[str, Any] = {"bucket": "good", "passphrase": "canary-key"}


def entry(backend: str = VAULT, /, **options: Any) -> dict[str, Any]:
    return {"BACKEND": backend, "OPTIONS": options}


def messages(*, deploy: bool = False, **entries: Any) -> list[CheckMessage]:
    with override_settings(STORAGES={"default": STATIC, "staticfiles": STATIC} | entries):
        found = run_checks(tags=["storages"], include_deployment_checks=deploy)
    assert "canary" not in " ".join(map(str, found))
    return found


def only(found: list[CheckMessage], ident: str) -> CheckMessage:
    assert [message.id for message in found] == [f"storages.{ident}"]
    return found[0]


def field_messages(
    storage: Any, check: Callable[..., list[CheckMessage]] = checks.check_storages
) -> list[CheckMessage]:
    with isolate_apps("tests") as apps:

        class Sheet(models.Model):  # noqa: DJ008
            file = models.FileField(storage=storage)
            again = models.FileField(storage=storage)

            class Meta:
                app_label = "tests"

        return check(app_configs=[cast("Apps", apps).get_app_config("tests")])


def test_good_configuration_has_nothing_to_say() -> None:
    assert messages(vault=entry(**GOOD), s3=entry(S3, bucket_name="files")) == []


def test_unknown_options_are_named_each_with_the_closest() -> None:
    found = messages(vault=entry(**GOOD, slot="canary", is_opened="canary", unheard_of="canary"))
    assert [message.id for message in found] == ["storages.E003"] * 3
    assert str(found[0]) == (
        "STORAGES['vault']: (storages.E003) Vault has no option 'slot'. Did you mean 'slots'?"
    )
    assert found[2].msg == "Vault has no option 'unheard_of'."


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"passphrase": "canary"},
            "Vault needs the option 'bucket' (setting VAULT_BUCKET): set it.",
        ),
        (
            {"bucket": "b"},
            "Vault needs the option 'passphrase' (setting VAULT_PASSPHRASE): set it.",
        ),
    ],
)
def test_missing_option_is_a_warning_so_that_builds_pass(
    options: dict[str, Any], text: str
) -> None:
    message = only(messages(vault=entry(**options)), "W003")
    assert message.msg == text
    assert not message.is_serious()


def test_missing_option_is_an_error_before_a_deployment() -> None:
    found = messages(vault=entry(passphrase="canary"), deploy=True)
    assert {message.id for message in found} == {"storages.W003", "storages.E004"}


def test_required_option_of_none_is_missing() -> None:
    only(messages(vault=entry(passphrase="canary", bucket=None)), "W003")


def test_option_of_a_wrong_type_is_an_error() -> None:
    message = only(messages(vault=entry(**GOOD, slots="canary")), "E005")
    assert message.msg == "Vault: the option 'slots' (setting VAULT_SLOTS) must be int, not str."


@override_settings(VAULT_SLOTS="canary")
def test_setting_of_a_wrong_type_is_an_error() -> None:
    only(messages(vault=entry(**GOOD)), "E005")


def test_value_that_an_option_refuses_is_an_error() -> None:
    message = only(messages(vault=entry(**GOOD, slots=0)), "E005")
    assert message.msg.endswith("must be at least 1.")


def test_contradictory_options_are_an_error() -> None:
    message = only(messages(vault=entry(**GOOD, is_open=True, is_closed=True)), "E006")
    assert message.msg == "Vault: 'is_open' and 'is_closed' exclude each other: set one."


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"access_key": "canary"}, "AWS_SECRET_ACCESS_KEY"),
        ({"access_key": "canary", "secret_key": "canary", "session_profile": "canary"}, "profile"),
        ({"cloudfront_key_id": "canary"}, "AWS_CLOUDFRONT_KEY"),
        ({"bucket": "canary"}, "'bucket' and 'bucket_name' are one option"),
    ],
)
def test_contradictions_of_s3_are_errors(options: dict[str, Any], hint: str) -> None:
    message = only(messages(s3=entry(S3, bucket_name="files", **options)), "E006")
    assert hint in message.msg


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("storages.backends.s3boto3.S3BotoStorage3", "storages.backends.s3boto3.S3Boto3Storage"),
        ("storages.backends.s3_boto3.S3Boto3Storage", "storages.backends.s3boto3.S3Boto3Storage"),
        ("nowhere.Storage", None),
        ("Storage", None),
    ],
)
def test_backend_that_does_not_import_is_an_error(path: str, hint: str | None) -> None:
    message = only(messages(s3=entry(path)), "E001")
    assert message.hint == (hint and f"Did you mean {hint!r}?")


def test_entry_without_backend_is_an_error() -> None:
    only(messages(s3={"OPTIONS": {}}), "E001")


def test_options_that_are_no_dict_are_an_error() -> None:
    only(messages(s3={"BACKEND": S3, "OPTIONS": ["canary"]}), "E005")


def test_missing_sdk_is_an_error_that_says_what_to_install() -> None:
    script = """
import sys
sys.modules["boto3"] = None
import django
from django.conf import settings
from django.apps.registry import Apps
from django.core.checks import run_checks
entry = {"BACKEND": "storages.backends.s3boto3.S3Boto3Storage"}
settings.configure(INSTALLED_APPS=["storages"], STORAGES={"default": entry})
django.setup()
print(*run_checks(), sep="\\n")
"""
    process = subprocess.run(
        [sys.executable, "-c", script], check=True, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert process.stdout.startswith("STORAGES['default']: (storages.E002)")
    assert "pip install 'django-storages[s3]'" in process.stdout


# -- options that are computed --------------------------------------------------------------------


def test_checks_read_no_option_that_a_property_or_callable_computes() -> None:
    assert messages(tenant=entry(TENANT, passphrase="canary")) == []


def test_what_is_unsafe_beside_a_computed_option_is_still_found() -> None:
    message = only(messages(tenant=entry(TENANT, passphrase="canary"), deploy=True), "W005")
    assert message.msg == "TenantVault: everyone may read: unset 'is_open'."


# -- roots ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("location", ["", "media", "/media/", "media/a"])
def test_entries_that_share_files_are_warned_of(location: str) -> None:
    found = messages(
        one=entry(**GOOD, location="media"), two=entry(**GOOD, location=location), other=STATIC
    )
    message = only(found, "W004")
    assert str(message).startswith("STORAGES['one']: (storages.W004) It shares its files with")
    assert "STORAGES['two']" in message.msg


@pytest.mark.parametrize(
    "other",
    [
        entry(**GOOD, location="media2"),
        entry(**GOOD | {"bucket": "better"}, location="media"),
        entry(S3, bucket_name="good", location="media"),
        entry(TENANT, passphrase="canary"),
    ],
)
def test_entries_with_files_of_their_own_are_not(other: dict[str, Any]) -> None:
    assert messages(one=entry(**GOOD, location="media"), two=other) == []


def test_buckets_of_one_name_at_two_services_share_nothing() -> None:
    one, two = (
        entry(S3, bucket_name="files", endpoint_url=f"https://{host}.example")
        for host in ("one", "two")
    )
    assert messages(one=one, two=two) == []


def test_directories_of_one_sftp_server_share_nothing_unless_nested() -> None:
    sftp = "storages.backends.sftpstorage.SFTPStorage"
    media, static, inside, other = (
        entry(sftp, host="files.example", params=params, root_path=path, known_host_file=__file__)
        for params, path in (
            ({"username": "one"}, "/site/media/"),
            ({"username": "one"}, "/site/static/"),
            ({"username": "one", "port": "22"}, "/site/media/inside/"),
            ({"username": "other"}, "/site/media/"),
        )
    )
    assert messages(media=media, static=static) == []
    assert messages(media=media, other=other) == []
    only(messages(media=media, inside=inside), "W004")


def test_directories_of_one_ftp_server_share_nothing_unless_nested() -> None:
    ftp = "storages.backends.ftp.FTPStorage"
    media, static, inside, other = (
        entry(ftp, location=f"ftps://{user}:canary@files.example/site/{name}")
        for user, name in (
            ("one", "media"),
            ("one", "static"),
            ("one", "media/inside/"),
            ("other", "media"),
        )
    )
    assert messages(media=media, static=static) == []
    assert messages(media=media, other=other) == []
    only(messages(media=media, inside=inside), "W004")


def test_static_files_among_the_media_of_one_bucket_are_warned_of() -> None:
    static = entry("storages.backends.s3boto3.S3ManifestStaticStorage", bucket_name="files")
    only(messages(media=entry(S3, bucket_name="files"), assets=static), "W004")


def test_files_among_those_of_djangos_own_storages_are_warned_of(tmp_path: Path) -> None:
    media = entry("django.core.files.storage.FileSystemStorage")
    overwrite = "storages.backends.overwrite.OverwriteStorage"
    with override_settings(MEDIA_ROOT=tmp_path / "media", STATIC_ROOT=tmp_path / "static"):
        only(messages(media=media, assets=entry(overwrite)), "W004")
        inside = entry(overwrite, location=tmp_path / "static/inside")
        assert [each.id for each in messages(inside=inside)] == ["storages.W004"] * 2
        assert messages(media=media, assets=entry(overwrite, location=tmp_path / "assets")) == []
        # Two that are both Django's are Django's affair.
        assert messages(media=media, again=media) == []
        wrong = entry("django.core.files.storage.FileSystemStorage", wrong=1)
        assert messages(media=wrong, assets=entry(overwrite)) == []
    with override_settings(MEDIA_ROOT="", STATIC_ROOT=None):
        # What is not set is the working directory, which is nobody's choice.
        assert messages(media=media, assets=entry(overwrite, location="assets")) == []


def test_static_files_that_would_change_their_names_are_warned_of(tmp_path: Path) -> None:
    image = entry("storages.backends.image.ImageStorage", location=tmp_path)
    found = messages(staticfiles=image)
    message = only(found, "W007")
    assert str(message).startswith("STORAGES['staticfiles']: (storages.W007) ImageStorage")
    assert "OverwriteStorage" in str(message.hint)
    assert messages(default=image) == []


# -- deployment -----------------------------------------------------------------------------------


def test_what_is_unsafe_is_warned_of_before_a_deployment_only() -> None:
    open_vault = entry(**GOOD, is_open=True)
    assert messages(vault=open_vault) == []
    only(messages(vault=open_vault, deploy=True), "W005")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"verify": False}, "not verified"),
        ({"use_ssl": False}, "clear text"),
        ({"endpoint_url": "http://canary.example"}, "clear text"),
        ({"default_acl": "public-read"}, "everyone"),
        ({"querystring_expire": 86_401}, "over a day"),
        ({"custom_domain": "canary.example", "secure_urls": False}, "http"),
    ],
)
def test_unsafe_options_of_s3_are_warned_of(options: dict[str, Any], text: str) -> None:
    found = messages(s3=entry(S3, bucket_name="files", **options), deploy=True)
    assert text in only(found, "W005").msg


HOST_KEY = "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
CLEAR_TEXT: dict[str, tuple[str, dict[str, Any], str]] = {
    "s3": (S3, {"bucket_name": "x"}, "base_url"),
    "azure's domain": (
        "storages.backends.azure_storage.AzureStorage",
        {"account_name": "x", "azure_container": "files"},
        "custom_domain",
    ),
    "couchdb": ("storages.backends.couchdb.CouchDBStorage", {"database": "x"}, "server"),
    "sftp": (
        "storages.backends.sftpstorage.SFTPStorage",
        {"host": "x", "host_keys": [HOST_KEY]},
        "base_url",
    ),
    "ftp": ("storages.backends.ftp.FTPStorage", {"location": "ftps://x/"}, "base_url"),
    "database": (
        "storages.backends.database.DatabaseStorage",
        {"using": "default", "db_table": "t"}
        | dict.fromkeys(("fname_column", "blob_column", "size_column"), "c"),
        "base_url",
    ),
    "mogilefs": (
        "storages.backends.mogile.MogileFSStorage",
        {"domain": "x", "trackers": ["127.0.0.1:7001"], "node_hosts": ["127.0.0.1"]},
        "base_url",
    ),
    "a directory": (
        "storages.backends.overwrite.OverwriteStorage",
        {"location": "/srv/media"},
        "base_url",
    ),
}


@pytest.mark.parametrize(("backend", "options", "name"), CLEAR_TEXT.values(), ids=CLEAR_TEXT.keys())
def test_url_in_clear_text_is_warned_of_in_any_letters(
    backend: str, options: dict[str, Any], name: str
) -> None:
    for scheme in ("http", "HTTP"):
        given = {**options, name: f"{scheme}://canary.example"}
        assert name in only(messages(one=entry(backend, **given), deploy=True), "W005").msg
    for safe in ("https://canary.example", "HTTPS://canary.example", "http://localhost:9000"):
        assert messages(one=entry(backend, **{**options, name: safe}), deploy=True) == []


def test_url_that_cannot_be_read_ends_no_check() -> None:
    options = {"base_url": "http://[canary", "bucket_name": "x"}
    assert messages(s3=entry(S3, **options), deploy=True) == []


def test_safe_options_of_s3_are_not_warned_of() -> None:
    options = {"querystring_expire": 86_400, "default_acl": "private"}
    assert messages(s3=entry(S3, bucket_name="files", **options), deploy=True) == []


# -- file fields ----------------------------------------------------------------------------------


def test_storage_of_a_field_is_checked_once() -> None:
    message = only(field_messages(Vault(passphrase="canary")), "W003")
    assert str(message).startswith("tests.Sheet.file: (storages.W003) Vault needs the option")


def test_storage_that_a_function_gives_a_field_is_checked() -> None:
    found = field_messages(lambda: Vault(passphrase="canary"))
    assert {message.id for message in found} == {"storages.W003"}


@pytest.mark.parametrize("make", [lambda storage: SimpleLazyObject(lambda: storage)])
def test_lazy_storage_of_a_field_is_checked(make: Any) -> None:
    message = only(field_messages(make(Vault(passphrase="canary"))), "W003")
    assert str(message).startswith("tests.Sheet.file: (storages.W003) Vault needs the option")


def test_proxy_of_the_default_storage_of_a_field_is_left_alone() -> None:
    assert field_messages(DefaultStorage()) == []


class Renamed(Vault):
    """Overrides what another package calls."""

    def _normalize_name(self, name: str) -> str:
        return f"prefix/{name}"


def test_override_that_is_never_called_is_warned_of() -> None:
    message = only(field_messages(Renamed(**GOOD), upgrading.check_overrides), "W008")
    assert "_normalize_name" in message.msg
    assert "key()" in message.hint


def test_field_of_the_default_storage_does_not_make_it() -> None:
    with override_settings(STORAGES={"default": entry("nowhere.Storage"), "staticfiles": STATIC}):
        only(field_messages(None), "E001")


def test_secret_given_in_code_to_a_field_is_warned_of_before_a_deployment() -> None:
    storage = Vault(**GOOD, address="user:canary@host")
    found = field_messages(storage, checks.check_deployment)
    assert [message.id for message in found] == ["storages.W006"] * 2
    assert "canary" not in " ".join(map(str, found))
    assert "VAULT_PASSPHRASE" in found[0].msg
    assert "'address'" in found[1].msg


@pytest.mark.parametrize(
    "storage",
    [
        lambda: Vault(**GOOD),
        Vault(bucket="b", address="host"),
        Vault(bucket="b", passphrase=cast("str", lambda: "canary")),
    ],
    ids=["storage from a function", "secret in the settings", "secret from a function"],
)
@override_settings(VAULT_PASSPHRASE="canary")
def test_no_secret_ends_in_a_migration(storage: Any) -> None:
    assert field_messages(storage, checks.check_deployment) == []


def test_storage_of_settings_is_reported_where_it_is_set() -> None:
    bad = {"default": STATIC, "staticfiles": STATIC, "vault": entry(**GOOD, is_open=True)}
    with override_settings(STORAGES=bad):
        found = field_messages(storages["vault"], checks.check_deployment)
        assert str(only(found, "W005")).startswith("STORAGES['vault']")


# -- the old settings -----------------------------------------------------------------------------

old = pytest.mark.filterwarnings("ignore:The .*_STORAGE setting is deprecated")


def old_messages(**settings: Any) -> list[CheckMessage]:
    with override_settings(**settings):
        return run_checks(tags=["storages"])


@old
def test_old_settings_are_shown_as_the_entry_to_write() -> None:
    message = only(
        old_messages(
            DEFAULT_FILE_STORAGE="tests.test_apps.SiteStorage",
            STATICFILES_STORAGE="tests.test_apps.StaticStorage",
        ),
        "W001",
    )
    assert message.msg == "Django 5.1 removed DEFAULT_FILE_STORAGE and STATICFILES_STORAGE."
    assert message.hint is not None
    written: dict[str, Any] = {}
    exec(message.hint.partition("\n")[2], written)
    assert written["STORAGES"] == {
        "default": {"BACKEND": "tests.test_apps.SiteStorage"},
        "staticfiles": {"BACKEND": "tests.test_apps.StaticStorage"},
    }


@old
def test_entry_for_one_old_setting_keeps_the_other_alias() -> None:
    message = only(old_messages(DEFAULT_FILE_STORAGE="tests.test_apps.SiteStorage"), "W001")
    assert message.msg == "Django 5.1 removed DEFAULT_FILE_STORAGE."
    assert "StaticFilesStorage" in str(message.hint)


@pytest.mark.skipif(
    django.VERSION < (5, 1),
    reason="impossible: Django before 5.1 refuses STORAGES and old settings",
)
def test_old_setting_beside_storages_is_shown_as_the_line_to_add() -> None:
    found = old_messages(
        STORAGES={"staticfiles": STATIC},
        DEFAULT_FILE_STORAGE="tests.test_apps.SiteStorage",
        STATICFILES_STORAGE="tests.test_apps.StaticStorage",
    )
    assert [message.id for message in found] == ["storages.W001", "storages.W002"]
    assert found[0].hint == (
        "Add to STORAGES, and remove the old setting:\n"
        '    "default": {"BACKEND": "tests.test_apps.SiteStorage"},'
    )
    assert found[1].msg == "STATICFILES_STORAGE has no effect, because STORAGES sets 'staticfiles'."


@pytest.mark.parametrize(
    ("backend", "shown", "hidden"),
    [
        (
            "ftp.FTPStorage",
            {"location": "ftps://web:canary@files.example/"},
            {"location": "ftps://files.example/", "user": "web", "password": "canary"},
        ),
        (
            "azure_storage.AzureStorage",
            {
                "azure_container": "media",
                "connection_string": "AccountName=site;AccountKey=Y2FuYXJ5",
            },
            {"azure_container": "media", "account_name": "site", "account_key": "Y2FuYXJ5"},
        ),
        (
            "couchdb.CouchDBStorage",
            {"database": "media", "server": "https://web:canary@couchdb.example"},
            {
                "database": "media",
                "server": "https://couchdb.example",
                "password": "canary",
                "user": "web",
            },
        ),
    ],
)
def test_secret_that_django_does_not_know_by_its_name_is_told(
    backend: str, shown: dict[str, Any], hidden: dict[str, Any]
) -> None:
    path = f"storages.backends.{backend}"
    only(messages(media=entry(path, **shown), deploy=True), "W013")
    assert messages(media=entry(path, **hidden), deploy=True) == []


def test_location_that_cannot_be_read_is_told_once() -> None:
    bad = entry("storages.backends.ftp.FTPStorage", location="ftp://h:21/x@canary")
    only(messages(media=bad, deploy=True), "E005")


def test_ids_in_the_documentation_are_those_in_the_code() -> None:
    modules = (checks, static_checks, upgrading)
    code = "".join(Path(each.__file__).read_text(encoding="utf-8") for each in modules)
    in_code = sorted(set(re.findall(r"storages\.[EW]\d{3}", code)))
    text = (DOCS / "checks.rst").read_text(encoding="utf-8")
    assert re.findall(r"^_`(storages\.[EW]\d{3})`$", text, re.MULTILINE) == in_code


@pytest.mark.parametrize(
    ("name", "arguments"), [("mistakes", []), ("unsafe", ["--deploy", "--tag", "storages"])]
)
def test_documentation_shows_what_the_checks_print(name: str, arguments: list[str]) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "django", "check", *arguments],
        env=os.environ
        | {"DJANGO_SETTINGS_MODULE": name, "PYTHONPATH": f"{DOCS / 'examples'}:{DOCS.parent}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        encoding="utf-8",
    )
    assert process.stdout == (DOCS / f"examples/{name}.txt").read_text(encoding="utf-8")
