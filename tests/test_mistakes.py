"""The mistakes that people make in their first hour: each message names the setting and the cure.

Those in the settings are told by ``manage.py check``, the others by ``manage.py storages_check``.
No command of ours ends in a traceback.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils.module_loading import import_string

STATIC = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
CLOSED = "127.0.0.1:9"  # discard, which nothing listens on
QUICK = {"connect_timeout": 2, "retries": {"total_max_attempts": 1}}
S3 = "s3boto3.S3Boto3Storage"
SFTP = "sftpstorage.SFTPStorage"
FTP = "ftp.FTPStorage"
AZURE = "azure_storage.AzureStorage"
LIBCLOUD = "apache_libcloud.LibCloudStorage"
COUCHDB = "couchdb.CouchDBStorage"
MOGILE = "mogile.MogileFSStorage"
DATABASE = "database.DatabaseStorage"
DROPBOX = "dropbox.DropBoxStorage"
COLUMNS = {"db_table": "no_table", "fname_column": "n", "blob_column": "b", "size_column": "s"}
RIGHT = "see whether this is right"
WHETHER = RIGHT.capitalize()
TYPE = "libcloud.storage.types.Provider"
ENTRY = {"type": f"{TYPE}.MINIO", "user": "u", "secret": "s", "bucket": "b"}

#: Backend, options, and what the check's message holds: the setting and the cure.
SETTINGS: list[tuple[str, dict[str, Any], list[str]]] = [
    (S3, {}, ["AWS_STORAGE_BUCKET_NAME", "set it"]),
    (S3, {"bucket": "x", "bucket_name": "x"}, ["'bucket'", "'bucket_name'", "give one"]),
    (S3, {"bucket_name": "s3://x"}, ["AWS_STORAGE_BUCKET_NAME", "name alone"]),
    (S3, {"bucket_name": "x/media"}, ["AWS_STORAGE_BUCKET_NAME", "'location'"]),
    (S3, {"bucket_name": "x", "location": "../media"}, ["AWS_LOCATION", "'..'"]),
    (S3, {"bucket_name": "x", "querystring_expires": 60}, ["mean 'querystring_expire'?"]),
    (S3, {"bucket_name": "x", "querystring_expire": "1h"}, ["AWS_QUERYSTRING_EXPIRE", "int"]),
    (S3, {"bucket_name": "x", "querystring_expire": 10**7}, ["AWS_QUERYSTRING_EXPIRE", "604"]),
    (S3, {"bucket_name": "x", "custom_domain": "https://c.example"},
     ["AWS_S3_CUSTOM_DOMAIN", "without"]),
    (S3, {"bucket_name": "x", "endpoint_url": "minio:9000"}, ["AWS_S3_ENDPOINT_URL", "https://"]),
    (S3, {"bucket_name": "x", "endpoint_url": "https://x.fra1.digitaloceanspaces.com"},
     ["AWS_S3_ENDPOINT_URL", "service alone"]),
    (S3, {"bucket_name": "x", "endpoint_url": "http://minio:9000/x"},
     ["AWS_S3_ENDPOINT_URL", "service alone"]),
    (S3, {"bucket_name": "x", "endpoint_url": "https://web:pw@minio.example.com"},
     ["AWS_S3_ENDPOINT_URL", "set 'access_key'"]),
    (S3, {"bucket_name": "x", "verify": "/no/file"}, ["AWS_S3_VERIFY", "make the file"]),
    (S3, {"bucket_name": "x", "access_key": "id"}, ["AWS_SECRET_ACCESS_KEY", "set both"]),
    (S3, {"bucket_name": "x", "headers": {"X-Mine": "1"}}, ["AWS_HEADERS", "remove it"]),
    (S3, {"bucket_name": "x", "object_parameters": {"Cache": 1}},
     ["AWS_S3_OBJECT_PARAMETERS", "remove it"]),
    ("s3boto3.S3Storage", {}, ["Did you mean 'storages.backends.s3boto3.S3Boto3Storage'?"]),
    ("gcloud.GoogleCloudStorage", {}, ["endpoint_url", "HMAC"]),
    (SFTP, {}, ["SFTP_STORAGE_HOST", "set it"]),
    (SFTP, {"host": "h", "port": 22}, ["'port'", "belongs into 'params' (SFTP_STORAGE_PARAMS)"]),
    (SFTP, {"host": "h", "password": "p"}, ["'password'", "belongs into 'params'"]),
    (SFTP, {"host": "sftp://web@h"}, ["SFTP_STORAGE_HOST", "belong into 'params'"]),
    (SFTP, {"host": "h", "known_host_file": "/no/file"}, ["SFTP_KNOWN_HOST_FILE", "make the file"]),
    (SFTP, {"host": "h", "file_mode": 644}, ["SFTP_STORAGE_FILE_MODE", "0o644"]),
    (SFTP, {"host": "h", "params": {"usernme": "web"}}, ["SFTP_STORAGE_PARAMS", "'usernme'"]),
    (FTP, {}, ["FTP_STORAGE_LOCATION", "set it"]),
    (FTP, {"location": "files.example.com"}, ["FTP_STORAGE_LOCATION", "ftps://"]),
    (AZURE, {"account_name": "site"}, ["AZURE_CONTAINER", "set it"]),
    (AZURE, {"account_name": "site", "azure_container": "My/Files"}, ["AZURE_CONTAINER", "lower"]),
    (AZURE, {"account_name": "site", "azure_container": "media", "account_key": "ab c"},
     ["AZURE_ACCOUNT_KEY", "copy the key whole"]),
    (LIBCLOUD, {}, ["LIBCLOUD_PROVIDERS", "set it"]),
    (LIBCLOUD, ENTRY | {"type": f"{TYPE}.S4"}, ["'type'", "MINIO"]),
    (LIBCLOUD, ENTRY | {"type": f"{TYPE}.NINEFOLD"}, ["NINEFOLD", "use"]),
    (COUCHDB, {}, ["COUCHDB_STORAGE_OPTIONS.database", "set it"]),
    (COUCHDB, {"database": "media", "server": "localhost"}, ["COUCHDB_DEFAULT_SERVER", "https://"]),
    (COUCHDB, {"database": "media", "server": "https://h", "verify": "/no/file"},
     ["COUCHDB_STORAGE_OPTIONS.verify", "make the file"]),
    (MOGILE, {"domain": "d"}, ["MOGILEFS_TRACKERS", "set it"]),
    (MOGILE, {"domain": "d", "trackers": "h:7001"}, ["MOGILEFS_TRACKERS", "put it into a list"]),
    (DATABASE, {"using": "default"}, ["DB_FILES.db_table", "set it"]),
    (DATABASE, COLUMNS | {"using": "files"}, ["'using'", "DATABASES"]),
    (DROPBOX, {"oauth2_access_token": "t", "ca_certs": "/no/file"},
     ["DROPBOX_CA_CERTS", "make the file"]),
    (DROPBOX, {}, ["DROPBOX_OAUTH2_REFRESH_TOKEN", "DROPBOX_APP_KEY", "set them"]),
    ("image.ImageStorage", {"on_unknown": "drop"}, ["'on_unknown'", "'keep' or 'refuse'"]),
    ("overwrite.OverwriteStorage", {"base_dir": "/srv"}, ["'base_dir'", "no option"]),
    ("symlinkorcopy.SymlinkOrCopyStorage", {"symlinks_within": "/srv"}, ["mean 'symlink_within'?"]),
    ("symlinkorcopy.SymlinkOrCopyStorage", {"symlink_within": "/no/where"},
     ["'symlink_within'", "make the directory"]),
]  # fmt: skip

#: Backend, options, and what the report of ``storages_check`` holds.
SERVICES: list[tuple[str, dict[str, Any], list[str]]] = [
    (S3, {"bucket_name": "x", "endpoint_url": f"http://{CLOSED}", "access_key": "i",
          "secret_key": "s", "client_config": QUICK},
     ["AWS_S3_ENDPOINT_URL", "check 'endpoint_url'"]),
    (S3, {"bucket_name": "x", "region_name": "eu-west-1"},
     ["AWS_ACCESS_KEY_ID", "set 'access_key'"]),
    (S3, {"bucket_name": "x", "session_profile": "no"}, ["AWS_S3_SESSION_PROFILE", "set it to"]),
    (AZURE, {"azure_container": "media", "account_url": f"http://{CLOSED}/a", "timeout": 1,
             "account_key": "a2V5"}, ["AZURE_ACCOUNT_URL", RIGHT]),
    (SFTP, {"host": "127.0.0.1", "params": {"port": 9}, "timeout": 2},
     ["SFTP_STORAGE_PARAMS", "SFTP_STORAGE_HOST", RIGHT]),
    (SFTP, {"host": "no.invalid", "timeout": 2}, ["SFTP_STORAGE_HOST", "check the option 'host'"]),
    (FTP, {"location": f"ftp://{CLOSED}/", "timeout": 2}, ["FTP_STORAGE_LOCATION", RIGHT]),
    (FTP, {"location": "ftp://no.invalid/", "timeout": 2},
     ["FTP_STORAGE_LOCATION", "check 'location'"]),
    (COUCHDB, {"server": f"http://{CLOSED}", "database": "m", "timeout": 1},
     ["COUCHDB_DEFAULT_SERVER", RIGHT]),
    (MOGILE, {"domain": "d", "trackers": [CLOSED], "timeout": 1}, ["MOGILEFS_TRACKERS", RIGHT]),
    (LIBCLOUD, ENTRY | {"host": "127.0.0.1", "port": 9, "secure": False, "timeout": 1},
     ["'host'", "check 'host', 'port' and 'secure'"]),
    (LIBCLOUD, {"type": f"{TYPE}.S3", "user": "u", "bucket": "b"}, ["type S3 needs 'key'"]),
    (LIBCLOUD, ENTRY | {"type": f"{TYPE}.LOCAL", "user": "/no/where"}, ["set 'bucket'"]),
    (DATABASE, COLUMNS | {"using": "default"}, ["DB_FILES.db_table", "storages_createtable"]),
    (DATABASE, COLUMNS | {"driver": "no", "database": "d"}, ["DATABASE_ODBC_DRIVER", "odbcinst"]),
    (DATABASE, COLUMNS | {"driver": "SQLite3", "database": "/no/where/files.sqlite3"},
     ["DATABASE_NAME", "check"]),
    (DROPBOX, {"oauth2_access_token": "t", "timeout": 2},
     ["Dropbox cannot be reached", "firewalls"]),
    ("overwrite.OverwriteStorage", {"location": __file__}, ["MEDIA_ROOT", WHETHER]),
    ("image.ImageStorage", {"location": f"{__file__}/x"}, ["MEDIA_ROOT", WHETHER]),
    ("symlinkorcopy.SymlinkOrCopyStorage", {"location": f"{__file__}/x"}, ["MEDIA_ROOT", WHETHER]),
]  # fmt: skip


def backend(name: str) -> str:
    return f"storages.backends.{name}"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own is taken for the user's."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # Dropbox's address is none of its options.
    monkeypatch.setenv("HTTPS_PROXY", f"http://{CLOSED}")
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").touch()
    monkeypatch.setenv("HOME", str(tmp_path))


def test_there_are_thirty_mistakes_and_more_over_all_backends() -> None:
    assert len(SETTINGS) + len(SERVICES) >= 30
    modules = {name.partition(".")[0] for name, _, _ in [*SETTINGS, *SERVICES]}
    assert len(modules - {"gcloud"}) == 12


@pytest.mark.parametrize(("name", "options", "words"), SETTINGS)
def test_check_names_setting_and_cure(name: str, options: dict[str, Any], words: list[str]) -> None:
    entry = {"BACKEND": backend(name), "OPTIONS": options}
    with override_settings(STORAGES={"default": entry, "staticfiles": STATIC}):
        found = run_checks(tags=["storages"], include_deployment_checks=True)
    told = [f"{each.msg} {each.hint}" for each in found]
    assert [each for each in told if all(word in each for word in words)], told


@pytest.mark.parametrize(("name", "options", "words"), SETTINGS)
def test_commands_do_not_end_in_a_traceback(
    name: str, options: dict[str, Any], words: list[str]
) -> None:
    entry = {"BACKEND": backend(name), "OPTIONS": options | {"unknown": 1}}
    with override_settings(STORAGES={"default": entry}):
        for command in ("storages_check", "storages_list"):
            with pytest.raises(CommandError):
                call_command(command, "default", stdout=io.StringIO())


POOLED = [case for case in SETTINGS if case[0] in {SFTP, FTP}]


@pytest.mark.parametrize(("name", "options", "words"), POOLED)
def test_trial_of_options_that_make_no_connection_ends_without_a_traceback(
    name: str, options: dict[str, Any], words: list[str]
) -> None:
    with override_settings(STORAGES={"default": {"BACKEND": backend(name), "OPTIONS": options}}):
        for command in ("storages_check", "storages_list"):
            with pytest.raises(CommandError):
                call_command(command, "default", stdout=io.StringIO())


@pytest.mark.django_db
@pytest.mark.parametrize(("name", "options", "words"), SERVICES)
def test_trial_of_a_storage_names_setting_and_cure(
    name: str, options: dict[str, Any], words: list[str]
) -> None:
    out = io.StringIO()
    entries = {"default": {"BACKEND": backend(name), "OPTIONS": options}}
    failing = pytest.raises(CommandError, match=r"1 of 1 storages failed: default\.")
    with override_settings(STORAGES=entries), failing:
        call_command("storages_check", "default", stdout=out)
    assert [word for word in words if word not in out.getvalue()] == [], out.getvalue()


NOT_THERE = [case for case in SERVICES if CLOSED in str(case) or "no.invalid" in str(case)]
NOT_THERE += [case for case in SERVICES if case[1].get("port") == 9 or "params" in case[1]]


@pytest.mark.parametrize(("name", "options", "words"), NOT_THERE)
def test_error_of_a_service_that_is_not_there_names_setting(
    name: str, options: dict[str, Any], words: list[str]
) -> None:
    storage = import_string(backend(name))(**options)
    with pytest.raises(OSError, match=words[0].strip("'")):
        storage.size("a.txt")


@pytest.mark.parametrize(("name", "options", "words"), NOT_THERE)
def test_collecting_to_a_service_that_is_not_there_names_setting(
    tmp_path: Path, name: str, options: dict[str, Any], words: list[str]
) -> None:
    (tmp_path / "a.css").touch()
    entries = {"staticfiles": {"BACKEND": backend(name), "OPTIONS": options}}
    failing = pytest.raises(CommandError, match=words[0].strip("'"))
    with override_settings(STORAGES=entries, STATICFILES_DIRS=[tmp_path]), failing:
        call_command("collectstatic", interactive=False, verbosity=0)


WEB_SERVER = """
import django, socket, threading
from django.conf import settings
settings.configure(INSTALLED_APPS=["storages"])
django.setup()
from storages.backends.sftpstorage import SFTPStorage
listener = socket.create_server(("127.0.0.1", 0))
def serve():
    while True:
        with listener.accept()[0] as client:
            client.sendall(b"HTTP/1.1 400 Bad Request\\r\\n\\r\\n")
threading.Thread(target=serve, daemon=True).start()
params = {"username": "web", "password": "p", "port": listener.getsockname()[1]}
try:
    SFTPStorage(host="127.0.0.1", params=params, timeout=5).size("a.txt")
except ConnectionError as exc:
    print(exc)
"""


def test_port_of_no_ssh_server_is_told_without_a_traceback_of_the_library() -> None:
    run = subprocess.run(
        [sys.executable, "-c", WEB_SERVER], check=True, capture_output=True, text=True
    )
    assert "SFTP_STORAGE_PARAMS" in run.stdout
    assert run.stderr == ""
