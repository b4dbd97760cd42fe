"""What a project of django-storages 1.14 or earlier is told, and what goes on as it was.

Names of settings are those of its public documentation, of all its backends and versions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from django.core.checks import CheckMessage, run_checks
from django.test import override_settings
from django.utils.module_loading import import_string

from storages.backends.ftp import FTPStorage
from storages.backends.overwrite import OverwriteStorage
from storages.backends.s3boto3 import S3Boto3Storage
from storages.configured import options_of
from storages.upgrading import RENAMED
from tests.blocks import ROOT

BACKENDS = "storages.backends"
S3 = f"{BACKENDS}.s3boto3.S3Boto3Storage"
STATIC = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
PAGE = ROOT / "docs" / "upgrading.rst"

#: The documented settings, by backend, each with a value such as the documentation has.
TAKEN: dict[str, dict[str, Any]] = {
    S3: {
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_AUTO_CREATE_BUCKET": True,
        "AWS_BUCKET_ACL": "private",
        "AWS_CLOUDFRONT_KEY": b"-----BEGIN RSA PRIVATE KEY-----",
        "AWS_CLOUDFRONT_KEY_ID": "K2",
        "AWS_DEFAULT_ACL": "private",
        "AWS_HEADERS": {"Cache-Control": "max-age=86400"},
        "AWS_IS_GZIPPED": True,
        "AWS_LOCATION": "media",
        "AWS_PRELOAD_METADATA": True,
        "AWS_QUERYSTRING_AUTH": False,
        "AWS_QUERYSTRING_EXPIRE": 600,
        "AWS_REDUCED_REDUNDANCY": True,
        "AWS_S3_ACCESS_KEY_ID": "id",
        "AWS_S3_ADDRESSING_STYLE": "virtual",
        "AWS_S3_CLIENT_CONFIG": {"max_pool_connections": 20},
        "AWS_S3_CUSTOM_DOMAIN": "cdn.example.com",
        "AWS_S3_ENCRYPTION": True,
        "AWS_S3_ENDPOINT_URL": "https://minio.example.com",
        "AWS_S3_FILE_BUFFER_SIZE": 6 * 1024 * 1024,
        "AWS_S3_FILE_NAME_CHARSET": "utf-8",
        "AWS_S3_FILE_OVERWRITE": False,
        "AWS_S3_MAX_MEMORY_SIZE": 0,
        "AWS_S3_OBJECT_PARAMETERS": {"CacheControl": "max-age=86400"},
        "AWS_S3_PROXIES": {"http": "foo.example.com:3128"},
        "AWS_S3_REGION_NAME": "eu-west-1",
        "AWS_S3_SECRET_ACCESS_KEY": "secret",
        "AWS_S3_SECURE_URLS": False,
        "AWS_S3_SESSION_PROFILE": "site",
        "AWS_S3_SIGNATURE_VERSION": "s3v4",
        "AWS_S3_TRANSFER_CONFIG": TransferConfig(),
        "AWS_S3_URL_PROTOCOL": "https:",
        "AWS_S3_USE_SSL": True,
        "AWS_S3_USE_THREADS": False,
        "AWS_S3_VERIFY": False,
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SECURITY_TOKEN": "token",
        "AWS_SESSION_TOKEN": "token",
        "AWS_STORAGE_BUCKET_NAME": "bucket",
        "GZIP_CONTENT_TYPES": ("text/css",),
    },
    f"{BACKENDS}.azure_storage.AzureStorage": {
        "AZURE_ACCOUNT_KEY": "a2V5",
        "AZURE_ACCOUNT_NAME": "myaccount",
        "AZURE_API_VERSION": "2023-01-03",
        "AZURE_BLOB_MAX_MEMORY_SIZE": 2 * 1024 * 1024,
        "AZURE_CACHE_CONTROL": "public,max-age=31536000",
        "AZURE_CLIENT_OPTIONS": {"retry_total": 3},
        "AZURE_CONNECTION_STRING": "UseDevelopmentStorage=true",
        "AZURE_CONNECTION_TIMEOUT_SECS": 20,
        "AZURE_CONTAINER": "media",
        "AZURE_CUSTOM_DOMAIN": "cdn.example.com",
        "AZURE_ENDPOINT_SUFFIX": "core.windows.net",
        "AZURE_LOCATION": "media",
        "AZURE_OBJECT_PARAMETERS": {"cache_control": "no-cache"},
        "AZURE_OVERWRITE_FILES": True,
        "AZURE_SAS_TOKEN": "sv=1&sig=x",
        "AZURE_SSL": True,
        "AZURE_TOKEN_CREDENTIAL": object(),
        "AZURE_UPLOAD_MAX_CONN": 4,
        "AZURE_URL_EXPIRATION_SECS": 3600,
    },
    f"{BACKENDS}.dropbox.DropboxStorage": {
        "DROPBOX_APP_KEY": "key",
        "DROPBOX_APP_SECRET": "secret",
        "DROPBOX_OAUTH2_REFRESH_TOKEN": "token",
        "DROPBOX_OAUTH2_TOKEN": "token",
        "DROPBOX_ROOT_PATH": "/media",
        "DROPBOX_TIMEOUT": 100,
        "DROPBOX_WRITE_MODE": "overwrite",
    },
    f"{BACKENDS}.ftp.FTPStorage": {
        "BASE_URL": "https://files.example.com/",
        "FTP_ALLOW_OVERWRITE": True,
        "FTP_STORAGE_ENCODING": "latin-1",
        "FTP_STORAGE_LOCATION": "ftp://user:password@files.example.com:21/media",
        "LOCATION": "ftp://user:password@files.example.com:21/media",
    },
    f"{BACKENDS}.sftpstorage.SFTPStorage": {
        "SFTP_BASE_URL": "https://files.example.com/",
        "SFTP_KNOWN_HOST_FILE": "/etc/ssh/known_hosts",
        "SFTP_STORAGE_DIR_MODE": 0o755,
        "SFTP_STORAGE_FILE_MODE": 0o644,
        "SFTP_STORAGE_GID": 0,
        "SFTP_STORAGE_HOST": "files.example.com",
        "SFTP_STORAGE_INTERACTIVE": False,
        "SFTP_STORAGE_PARAMS": {"username": "web"},
        "SFTP_STORAGE_ROOT": "/srv/media/",
        "SFTP_STORAGE_UID": 0,
    },
    f"{BACKENDS}.apache_libcloud.LibCloudStorage": {
        "DEFAULT_LIBCLOUD_PROVIDER": "amazon_1",
        "LIBCLOUD_PROVIDERS": {"amazon_1": {"type": "…", "user": "…", "key": "…", "bucket": "…"}},
    },
    f"{BACKENDS}.couchdb.CouchDBStorage": {
        "COUCHDB_DEFAULT_SERVER": "http://localhost:5984",
        "COUCHDB_STORAGE_OPTIONS": {"server": "http://localhost:5984", "database": "media"},
    },
    f"{BACKENDS}.database.DatabaseStorage": {
        "DATABASE_HOST": "localhost",
        "DATABASE_NAME": "site",
        "DATABASE_ODBC_DRIVER": "PostgreSQL Unicode",
        "DATABASE_PASSWORD": "secret",
        "DATABASE_USER": "web",
        "DB_FILES": {"db_table": "FILES", "base_url": "/files/"},
        "DB_FILES_URL": "/files/",
    },
    f"{BACKENDS}.mogile.MogileFSStorage": {
        "MOGILEFS_DOMAIN": "production",
        "MOGILEFS_MEDIA_URL": "/mogilefs/",
        "MOGILEFS_TRACKERS": ["foo.example.com:7001"],
        "SERVE_WITH_PERLBAL": True,
    },
}
#: Import paths that projects have in their settings and their code.
PATHS = [
    "apache_libcloud.LibCloudStorage",
    "azure_storage.AzureStorage",
    "couchdb.CouchDBStorage",
    "database.DatabaseStorage",
    "dropbox.DropBoxStorage",
    "dropbox.DropboxStorage",
    "ftp.FTPStorage",
    "ftp.FTPStorageException",
    "image.ImageStorage",
    "mogile.MogileFSStorage",
    "mogile.serve_mogilefs_file",
    "overwrite.OverwriteStorage",
    "s3.S3ManifestStaticStorage",
    "s3.S3StaticStorage",
    "s3.S3Storage",
    "s3boto.S3BotoStorage",
    "s3boto3.S3Boto3Storage",
    "s3boto3.S3Boto3StorageFile",
    "s3boto3.S3ManifestStaticStorage",
    "s3boto3.S3StaticStorage",
    "sftpstorage.SFTPStorage",
    "symlinkorcopy.SymlinkOrCopyStorage",
]


def messages(backend: str, options: dict[str, Any], **settings: Any) -> list[CheckMessage]:
    entries = {"default": {"BACKEND": backend, "OPTIONS": options}, "staticfiles": STATIC}
    with override_settings(STORAGES=entries, **settings):
        return run_checks(tags=["storages"])


def texts(backend: str, options: dict[str, Any], **settings: Any) -> list[str]:
    """Return what the checks say, with the hint, where an entry is as given."""
    found = messages(backend, options, **settings)
    return [f"{each.id} {each.msg} {each.hint}" for each in found]


class Renamed(S3Boto3Storage):
    """A subclass with an attribute of a slightly wrong name."""

    file_overwite = False
    max_size_of_thumbnails = 3  # its own


class OldReader(FTPStorage):
    """A subclass that overrides what django-storages 1.14 called."""

    def _read(self, memory_file: Any) -> None:  # type: ignore[override]
        raise NotImplementedError

    def _start_connection(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("backend", "name", "value"),
    [(path, name, value) for path, each in TAKEN.items() for name, value in each.items()],
)
def test_documented_setting_of_other_versions_is_taken(backend: str, name: str, value: Any) -> None:
    whole = list(options_of(import_string(backend)).values())
    options = [each for each in whole if name in each.settings]
    within = [each for each in whole if f"{name}.{each.name}" in each.settings]
    with override_settings(**{name: value}):
        assert options or within
        assert [each.configured() for each in options] == [value] * len(options)
        for each in within if isinstance(value, dict) else ():
            assert each.name not in value or each.configured() == value[each.name]
    assert "storages.W009" not in [each.id for each in messages(backend, {}, **{name: value})]


@pytest.mark.parametrize(("name", "meant"), RENAMED.items())
def test_setting_that_is_not_read_is_told_with_its_successor(name: str, meant: str) -> None:
    found = texts(S3, {"bucket_name": "site"}, **{name: "value"})
    assert [each for each in found if each.startswith("storages.W009")] == found
    assert f"No storage reads the setting {name}. Set {meant} instead" in found[0]
    assert f"``{name}``" in PAGE.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("AWS_S3_FILE_OVERWITE", "AWS_S3_FILE_OVERWRITE"),
        ("AWS_QUERY_STRING_AUTH", None),
        ("AWS_S3_CUSTOM_DOMAINE", "AWS_S3_CUSTOM_DOMAIN"),
        ("AWS_STORAGE_BUCKETNAME", None),
        ("AWS_DEFAULT_ACLS", "AWS_DEFAULT_ACL"),
        ("AWS_SES_REGION_NAME", None),
        ("AWS_STATIC_LOCATION", None),
        ("AWS_SQS_QUEUE_URL", None),
        ("AZURE_CONTAINERS", None),
    ],
)
def test_misspelt_setting_is_told_and_other_packages_settings_are_not(
    name: str, meant: str | None
) -> None:
    found = texts(S3, {"bucket_name": "site"}, **{name: "value"})
    assert (f"Set {meant} instead" in " ".join(found)) == (meant is not None), found
    assert len(found) == (meant is not None)


def test_nothing_is_said_where_the_setting_that_is_meant_is_set_as_well() -> None:
    assert texts(S3, {"bucket_name": "site"}, AWS_REGION="x", AWS_S3_REGION_NAME="eu-west-1") == []


def test_subclass_with_a_misspelt_option_is_told() -> None:
    (found,) = texts(f"{__name__}.Renamed", {"bucket_name": "site"})
    assert found.startswith("storages.W011 Renamed sets file_overwite, which is no option.")
    assert "'file_overwrite'" in found


def test_subclass_that_overrides_private_methods_of_other_versions_is_told() -> None:
    found = texts(f"{__name__}.OldReader", {"location": "ftp://files.example.com/"})
    found.sort()
    assert [each.split(" ")[0] for each in found] == ["storages.W008", "storages.W011"]
    assert "OldReader defines _start_connection, which is never called here." in found[0]
    assert "OldReader defines _read, which is a primitive of the driver here." in found[1]


@pytest.mark.parametrize(
    ("backend", "text"),
    [
        ("gcloud.GoogleCloudStorage", "https://storage.googleapis.com"),
        ("azure.AzureStorage", "'storages.backends.azure_storage.AzureStorage'"),
        ("s3boto3.S3Storage", "'storages.backends.s3boto3.S3Boto3Storage'"),
        ("s3_boto3.S3Boto3Storage", "'storages.backends.s3boto3.S3Boto3Storage'"),
        ("sftp.SFTPStorage", "'storages.backends.sftpstorage.SFTPStorage'"),
        ("libcloud.LibCloudStorage", "'storages.backends.apache_libcloud.LibCloudStorage'"),
        ("overwrite.OverwriteStorge", "'storages.backends.overwrite.OverwriteStorage'"),
    ],
)
def test_backend_that_does_not_exist_leads_to_the_one_that_is_meant(
    backend: str, text: str
) -> None:
    (found,) = texts(f"{BACKENDS}.{backend}", {})
    assert found.startswith("storages.E001")
    assert text in found


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.filterwarnings("ignore:storages.backends.s3boto:DeprecationWarning")
def test_import_path_of_other_versions_resolves(path: str) -> None:
    assert import_string(f"{BACKENDS}.{path}")


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("sftpstorage.SFTPStorage", {"host": "h", "host_keys": ["SHA256:" + "A" * 43]}),
        ("ftp.FTPStorage", {"location": "ftp://h/media"}),
        ("couchdb.CouchDBStorage", {"database": "media"}),
        ("mogile.MogileFSStorage", {"domain": "d", "trackers": ["h:7001"]}),
    ],
)
def test_files_on_a_server_that_have_no_url_are_told(backend: str, options: dict[str, Any]) -> None:
    path = f"{BACKENDS}.{backend}"
    (found,) = texts(path, options, MEDIA_URL="")
    assert found.startswith("storages.W010")
    assert texts(path, options, MEDIA_URL="https://files.example.com/") == []
    assert texts(path, options | {"base_url": "/files/"}, MEDIA_URL="") == []


def test_sftp_without_any_known_host_is_told(tmp_path: Path) -> None:
    options = {"host": "h", "known_host_file": str(tmp_path / "known_hosts")}
    (found,) = texts(f"{BACKENDS}.sftpstorage.SFTPStorage", options)
    assert found.startswith("storages.W012")
    assert "SFTP_HOST_KEYS" in found
    (tmp_path / "known_hosts").touch()
    assert texts(f"{BACKENDS}.sftpstorage.SFTPStorage", options) == []
    automatic = options | {"host_key_policy": "auto", "known_host_file": "/nowhere"}
    assert texts(f"{BACKENDS}.sftpstorage.SFTPStorage", automatic) == []


def doubts(backend: str, **options: Any) -> list[str]:
    """Return what is doubted of an entry; fields of these tests' own models have doubts too."""
    found = messages(backend, options, MEDIA_ROOT="", STATIC_ROOT="/srv/static")
    places = [each for each in found if each.obj == "STORAGES['default']"]
    return [each.msg for each in places if each.id == "storages.W012"]


@pytest.mark.parametrize("name", ["overwrite.OverwriteStorage", "image.ImageStorage"])
def test_local_files_with_no_directory_of_their_own_are_told(name: str) -> None:
    backend = f"{BACKENDS}.{name}"
    for (text,) in (doubts(backend), doubts(backend, location=None)):
        assert "set 'location', or MEDIA_ROOT" in text
    assert doubts(backend, location="/srv/media") == []
    assert doubts(backend, location=lambda: "/srv/tenant-7") == []
    with override_settings(STORAGES={"default": {"BACKEND": backend}, "staticfiles": STATIC}):
        assert [each for each in run_checks(tags=["storages"]) if each.id == "storages.W012"] == []


def test_directory_to_link_into_that_is_not_there_is_told(tmp_path: Path) -> None:
    backend = f"{BACKENDS}.symlinkorcopy.SymlinkOrCopyStorage"
    (text,) = doubts(backend, location="/srv/media", symlink_within=[tmp_path, tmp_path / "no"])
    assert "'symlink_within' names a directory that is not there" in text
    assert doubts(backend, location="/srv/media", symlink_within=tmp_path) == []
    assert doubts(backend, location="/srv/media") == []


def test_endpoint_is_not_doubted_for_the_name_of_a_service_or_of_a_computed_bucket() -> None:
    minio = {"bucket_name": "minio", "endpoint_url": "https://minio.example.com"}
    assert texts(S3, minio) == []
    assert texts(S3, {"bucket_name": lambda: "tenant-7"}) == []
    assert texts(S3, {"bucket_name": lambda: "t", "endpoint_url": "http://127.0.0.1:9000/t"}) == []


class TenantStorage(OverwriteStorage):
    @property
    def location(self) -> str:  # type: ignore[override]
        return "/srv/tenant-7"


def test_directory_that_a_subclass_computes_is_not_doubted() -> None:
    assert doubts(f"{__name__}.TenantStorage") == []


def test_page_on_upgrading_names_every_setting_and_path() -> None:
    text = PAGE.read_text(encoding="utf-8")
    names = [name for each in TAKEN.values() for name in each]
    assert [name for name in [*names, *RENAMED] if f"``{name}``" not in text] == []
    assert [path for path in PATHS if f"``{path}``" not in text] == []
