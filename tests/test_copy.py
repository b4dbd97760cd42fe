"""Copying between storages: what is copied, skipped, refused and deleted, on real servers."""

from __future__ import annotations

import errno
import gzip
import io
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage
from PIL import Image

from storages.driver import Entry, Listed, Source, Stream
from storages.local import LocalStorage
from storages.testing.sources import random_bytes
from storages.testing.spellings import PUNCTUATION, SCRIPTS
from storages.transfers import COPIED, DELETED, FAILED, SKIPPED, NothingToCopy, Report, copy
from tests.backends.apache_libcloud.server import s3_entry
from tests.backends.azure_storage.server import RawContainer
from tests.backends.azure_storage.server import account as azure_account
from tests.backends.azure_storage.server import answer as azure_answer
from tests.backends.azure_storage.server import through as azure_through
from tests.backends.couchdb.server import RawDatabase
from tests.backends.database.server import COLUMNS, MORE, Place
from tests.backends.ftp.server import location
from tests.backends.sftpstorage.server import options as sftp_options
from tests.memory import MemoryStorage
from tests.servers.azurite import Azurite
from tests.servers.http import HTTPProxy
from tests.servers.moto import Moto
from tests.servers.openssh import OpenSSH
from tests.servers.pouchdb import PouchDB
from tests.servers.process import HOST, refusing_port
from tests.servers.proxy import Direction, Proxy
from tests.servers.pyftpdlib_server import Pyftpdlib

MIB = 1024 * 1024
LONG_AGO = 1_700_000_000  # seconds since the epoch
LARGE = 9 * MIB  # bytes: more than any backend sends by one request

#: Contents of every size that is treated in a way of its own, under names that have to be quoted.
FILES = {
    "a.txt": b"content",
    "empty.txt": b"",
    "dir/b.css": b"body {}",
    "dir/deep/large.bin": random_bytes(LARGE),
    "dir/deep/more.bin": random_bytes(MIB + 1, seed=1),
    "dir/naïve name+100%.txt": b"odd",
}


class Foreign(FileSystemStorage):
    """A storage of someone else's, who reads and writes in a way of their own."""

    def _save(self, name: str, content: Any) -> str:
        return str(super()._save(name, ContentFile(content.read()[::-1])))

    def _open(self, name: str, mode: str = "rb") -> Any:
        with super()._open(name, mode) as file:
            return ContentFile(file.read()[::-1], name)


def reads(storage: Storage, name: str) -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


def fill(storage: Storage, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        assert storage.save(name, ContentFile(content)) == name
        if isinstance(storage, LocalStorage):
            # As most files are: some servers tell times in whole seconds, rounded down.
            os.utime(storage.path(name), (LONG_AGO, LONG_AGO))


def names_of(report: Report, action: str) -> set[str]:
    return {each.name for each in report.of(action)}


def assert_same(storage: Storage, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        found = reads(storage, name)
        assert found == content, f"{name}: {len(found)} bytes instead of {len(content)}"


# -- ends -----------------------------------------------------------------------------------------


def started(server: Any) -> Iterator[Any]:
    if reason := server.available():
        pytest.skip(reason)
    with server:
        yield server


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    yield from started(Moto())


@pytest.fixture(scope="module")
def azurite() -> Iterator[Azurite]:
    yield from started(Azurite())


@pytest.fixture(scope="module")
def pouchdb() -> Iterator[PouchDB]:
    yield from started(PouchDB())


@pytest.fixture(scope="module")
def sshd() -> Iterator[OpenSSH]:
    yield from started(OpenSSH())


@pytest.fixture(scope="module")
def ftpd() -> Iterator[Pyftpdlib]:
    yield from started(Pyftpdlib())


@pytest.fixture
def local(tmp_path: Path) -> LocalStorage:
    return LocalStorage(location=tmp_path / "local")


def s3_on(server: Any, bucket: str = "", **options: Any) -> Any:
    """Return a storage on a bucket, made anew unless it is named."""
    from storages.backends.s3boto3 import S3Boto3Storage  # noqa: PLC0415

    given = {
        "endpoint_url": f"http://{server.host}:{server.port}",
        "access_key": "key",
        "secret_key": "secret",
        "region_name": "us-east-1",
        "bucket_name": bucket or f"copy-{uuid.uuid4().hex}",
        "auto_create_bucket": True,
    }
    return S3Boto3Storage(**{**given, **options})


def made_s3(request: pytest.FixtureRequest, _path: Path) -> Iterator[Storage]:
    yield s3_on(request.getfixturevalue("moto"))


def made_azure(request: pytest.FixtureRequest, _path: Path) -> Iterator[Storage]:
    from storages.backends.azure_storage import AzureStorage  # noqa: PLC0415

    server = request.getfixturevalue("azurite")
    with RawContainer(server) as container:
        yield AzureStorage(azure_container=container.name, **azure_account(server))


def made_couchdb(request: pytest.FixtureRequest, _path: Path) -> Iterator[Storage]:
    from storages.backends.couchdb import CouchDBStorage  # noqa: PLC0415

    server = request.getfixturevalue("pouchdb")
    with RawDatabase(server) as database:
        yield CouchDBStorage(
            server=f"http://{server.host}:{server.port}",
            database=database.name,
            user=server.user,
            password=server.password,
        )


def made_sftp(request: pytest.FixtureRequest, _path: Path) -> Iterator[Storage]:
    from storages.backends.sftpstorage import SFTPStorage  # noqa: PLC0415

    server = request.getfixturevalue("sshd")
    root = f"{server.root}/{uuid.uuid4().hex}"
    with SFTPStorage(root_path=root, max_connections=3, **sftp_options(server)) as storage:
        yield storage


def made_ftp(request: pytest.FixtureRequest, _path: Path) -> Iterator[Storage]:
    from storages.backends.ftp import FTPStorage  # noqa: PLC0415

    server = request.getfixturevalue("ftpd")
    place = location(server, uuid.uuid4().hex)
    with FTPStorage(location=place, max_connections=3) as storage:
        yield storage


def made_database(_request: pytest.FixtureRequest, path: Path) -> Iterator[Storage]:
    from storages.backends.database import DatabaseStorage  # noqa: PLC0415

    place = Place("sqlite", None, path)
    with place.alias() as alias:
        storage = DatabaseStorage(db_table="copied", using=alias, **COLUMNS, **MORE)
        storage.create_table()
        yield storage


def made_memory(_request: pytest.FixtureRequest, _path: Path) -> Iterator[Storage]:
    yield MemoryStorage(bucket=uuid.uuid4().hex)


def made_django(_request: pytest.FixtureRequest, path: Path) -> Iterator[Storage]:
    yield FileSystemStorage(location=path / "django")


def made_in_memory(_request: pytest.FixtureRequest, _path: Path) -> Iterator[Storage]:
    yield InMemoryStorage()


def made_foreign(_request: pytest.FixtureRequest, path: Path) -> Iterator[Storage]:
    yield Foreign(location=path / "foreign")


KINDS = {
    name.removeprefix("made_"): made for name, made in globals().items() if name.startswith("made_")
}


@pytest.fixture(params=KINDS)
def end(
    request: pytest.FixtureRequest, tmp_path: Path, django_db_blocker: Any
) -> Iterator[Storage]:
    """An empty storage of each kind."""
    with django_db_blocker.unblock():
        yield from KINDS[request.param](request, tmp_path)


# -- between each kind and this machine -----------------------------------------------------------


def test_files_are_copied_there_and_back(end: Storage, local: LocalStorage, tmp_path: Path) -> None:
    fill(local, FILES)
    there = copy(local, end, verify=True)
    assert (names_of(there, COPIED), there.of(FAILED)) == (set(FILES), [])
    assert there.size == sum(map(len, FILES.values()))
    assert_same(end, FILES)
    back = LocalStorage(location=tmp_path / "back")
    returned = copy(end, back, verify=True)
    assert (names_of(returned, COPIED), returned.of(FAILED)) == (set(FILES), [])
    assert_same(back, FILES)


def test_copying_again_skips_what_is_equal(end: Storage, local: LocalStorage) -> None:
    fill(local, FILES)
    copy(local, end)
    again = copy(local, end)
    assert names_of(again, SKIPPED) == set(FILES)
    assert names_of(copy(local, end, verify=True), SKIPPED) == set(FILES)
    assert names_of(copy(local, end, resume=True), SKIPPED) == set(FILES)


def test_changed_file_is_copied_over_the_old_one(end: Storage, local: LocalStorage) -> None:
    fill(local, FILES)
    copy(local, end)
    changed = {"a.txt": b"changed and longer", "dir/b.css": b"body []"}
    for name, content in changed.items():
        path = Path(local.path(name))
        path.write_bytes(content)
        later = time.time() + 100
        os.utime(path, (later, later))
    assert names_of(copy(local, end), COPIED) == set(changed)
    assert_same(end, FILES | changed)


def test_only_the_path_is_copied(end: Storage, local: LocalStorage) -> None:
    fill(local, FILES)
    assert names_of(copy(local, end, "dir/deep/"), COPIED) == {
        "dir/deep/large.bin",
        "dir/deep/more.bin",
    }
    assert names_of(copy(local, end, "a.txt"), COPIED) == {"a.txt"}
    assert not end.exists("empty.txt")


def test_path_that_is_a_file_deletes_nothing_below_its_name() -> None:
    source, target = (MemoryStorage(bucket=uuid.uuid4().hex) for _ in range(2))
    fill(source, {"a": b"file", "a/x": b"x"})
    fill(target, {"a/x": b"x", "a/y": b"y"})
    report = copy(source, target, "a", delete=True)
    assert (names_of(report, COPIED), names_of(report, DELETED)) == ({"a"}, set())
    assert_same(target, {"a": b"file", "a/x": b"x", "a/y": b"y"})


def test_path_that_is_a_directory_deletes_no_file_of_its_name() -> None:
    source, target = (MemoryStorage(bucket=uuid.uuid4().hex) for _ in range(2))
    fill(source, {"a/x": b"x"})
    fill(target, {"a": b"file", "a/x": b"x", "a/y": b"y"})
    report = copy(source, target, "a", delete=True)
    assert (names_of(report, SKIPPED), names_of(report, DELETED)) == ({"a/x"}, {"a/y"})
    assert reads(target, "a") == b"file"


class Full(InMemoryStorage):
    """Has room for small files only."""

    def _save(self, name: str, content: Any) -> str:
        if content.size > 10:
            raise OSError(errno.ENOSPC, "No space left", name)
        saved: str = super()._save(name, content)
        return saved


def test_failed_copy_puts_back_the_old_file_of_a_foreign_storage(local: LocalStorage) -> None:
    fill(local, {"a.txt": b"more than ten bytes"})
    target = Full()
    target.save("a.txt", ContentFile(b"old"))
    (failed,) = copy(local, target).of(FAILED)
    assert "No space left" in failed.detail
    assert reads(target, "a.txt") == b"old"


def test_dry_run_changes_nothing(end: Storage, local: LocalStorage) -> None:
    fill(local, FILES)
    fill(end, {"extra.txt": b"x"})
    report = copy(local, end, delete=True, dry_run=True)
    assert (names_of(report, COPIED), names_of(report, DELETED)) == (set(FILES), {"extra.txt"})
    assert end.exists("extra.txt")
    assert not end.exists("a.txt")


def test_what_only_the_destination_has_is_deleted_if_asked(
    end: Storage, local: LocalStorage
) -> None:
    fill(local, {"a.txt": b"content", "dir/b.txt": b"content"})
    fill(end, {"extra.txt": b"x", "dir/extra.txt": b"x", "other/extra.txt": b"x"})
    assert copy(local, end).of(DELETED) == []
    assert names_of(copy(local, end, "dir", delete=True), DELETED) == {"dir/extra.txt"}
    assert names_of(copy(local, end, delete=True), DELETED) == {"extra.txt", "other/extra.txt"}
    assert not end.exists("extra.txt")
    assert end.exists("dir/b.txt")


def test_parts_together_copy_each_file_once(end: Storage, local: LocalStorage) -> None:
    names = [f"dir{number % 3}/{number}.txt" for number in range(30)]
    fill(local, {name: name.encode() for name in names})
    reports = [copy(local, end, part=(number, 3)) for number in (1, 2, 3)]
    copied = [each.name for report in reports for each in report.of(COPIED)]
    assert sorted(copied) == sorted(names)
    assert min(len(report.of(COPIED)) for report in reports) > 0
    assert_same(end, {name: name.encode() for name in names})


def test_part_of_a_name_is_the_same_on_every_machine() -> None:
    origin = MemoryStorage(bucket=uuid.uuid4().hex)
    parts = {"a.txt": 0, "A/b.TXT": 0, "straße.txt": 0, "e\u0301.txt": 0, "漢字/👩.jpg": 0}
    fill(origin, dict.fromkeys(parts, b"x"))
    for number in range(1, 6):
        target = MemoryStorage(bucket=uuid.uuid4().hex)
        parts |= dict.fromkeys(names_of(copy(origin, target, part=(number, 5)), COPIED), number)
    assert [*parts.values()] == [2, 1, 5, 1, 2]


# -- the service copies ---------------------------------------------------------------------------

#: What is kept with a file, as S3 calls it.
DESCRIBED = {
    "ContentType": "text/x-special",
    "CacheControl": "max-age=60",
    "ContentDisposition": 'attachment; filename="b.txt"',
    "ContentLanguage": "cy",
    "Metadata": {"colour": "blue"},
}


def described(client: Any, bucket: str, key: str) -> dict[str, Any]:
    found = client.head_object(Bucket=bucket, Key=key)
    return {name: found.get(name) for name in DESCRIBED}


@pytest.fixture
def client(moto: Moto) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=moto.url,
        aws_access_key_id=moto.access_key,
        aws_secret_access_key=moto.secret_key,
        region_name=moto.region,
    )


@pytest.fixture
def front(moto: Moto) -> Iterator[HTTPProxy]:
    with HTTPProxy(moto.host, moto.port) as proxy:
        yield proxy


def contents_sent(front: HTTPProxy) -> list[str]:
    """The requests that moved content, by method and path."""
    moving = (each for each in front.requests if each.method == "GET" or each.bytes_in)
    return [f"{each.method} {each.target}" for each in moving if "list-type" not in each.target]


def test_service_copies_between_its_buckets_with_all_that_describes_a_file(
    front: HTTPProxy, client: Any
) -> None:
    origin, target = s3_on(front), s3_on(front)
    fill(origin, FILES)
    client.put_object(Bucket=origin.bucket_name, Key="dir/b.css", Body=b"body {}", **DESCRIBED)
    fill(target, {"a.txt": b"old"})
    front.requests.clear()
    report = copy(origin, target)
    assert names_of(report, COPIED) == set(FILES)
    assert {each.detail for each in report.of(COPIED)} == {"by the service itself"}
    assert contents_sent(front) == []
    assert_same(target, FILES)
    assert described(client, target.bucket_name, "dir/b.css") == DESCRIBED
    assert names_of(copy(origin, target), SKIPPED) == set(FILES)


def test_copy_by_the_service_in_parts_is_described_too(front: HTTPProxy, client: Any) -> None:
    from boto3.s3.transfer import TransferConfig  # noqa: PLC0415

    origin = s3_on(front)
    parts = TransferConfig(multipart_threshold=MIB, multipart_chunksize=5 * MIB)
    target = s3_on(front, transfer_config=parts)
    large = {"large.bin": FILES["dir/deep/large.bin"]}
    fill(origin, large)
    client.put_object(
        Bucket=origin.bucket_name, Key="large.bin", Body=large["large.bin"], **DESCRIBED
    )
    front.requests.clear()
    copy(origin, target)
    assert [each.method for each in front.requests if "partNumber" in each.target] == ["PUT"] * 2
    assert not any(each.method == "GET" for each in front.requests if "list" not in each.target)
    assert_same(target, large)
    found = described(client, target.bucket_name, "large.bin")
    del found["Metadata"]["django-storages-save"]
    assert found == DESCRIBED
    assert target.stat("large.bin").metadata == {"colour": "blue"}


def test_options_of_the_destination_add_to_what_is_copied(front: HTTPProxy, client: Any) -> None:
    origin = s3_on(front)
    target = s3_on(front, object_parameters={"CacheControl": "max-age=1", "ContentLanguage": "de"})
    client.create_bucket(Bucket=origin.bucket_name)
    kept = {"ContentType": "text/x-special", "ContentLanguage": "cy"}
    client.put_object(Bucket=origin.bucket_name, Key="a.txt", Body=b"content", **kept)
    copy(origin, target)
    found = described(client, target.bucket_name, "a.txt")
    assert found["ContentType"] == "text/x-special"
    assert (found["ContentLanguage"], found["CacheControl"]) == ("cy", "max-age=1")


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (501, "NotImplemented")])
def test_refused_copy_by_the_service_is_done_by_reading_and_writing(
    front: HTTPProxy, status: int, code: str
) -> None:
    origin, target = s3_on(front), s3_on(front)
    fill(origin, {"a.txt": b"content"})
    copied_to = f"/{target.bucket_name}/a.txt"
    said = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
    front.answer(status, said, method="PUT", path=copied_to, times=1)
    (outcome,) = copy(origin, target).outcomes
    assert (outcome.action, outcome.detail) == (COPIED, "")
    assert reads(target, "a.txt") == b"content"


def test_copy_by_the_service_keeps_to_the_largest_size(moto: Moto) -> None:
    origin = s3_on(moto)
    target = s3_on(moto, max_size=5)
    fill(origin, {"a.txt": b"content"})
    for dry_run in (True, False):
        (failed,) = copy(origin, target, dry_run=dry_run).of(FAILED)
        assert failed.detail == "The content is larger than max_size (5 bytes)"


# -- what describes a file, between services ------------------------------------------------------


def test_description_is_kept_from_one_service_to_another(
    moto: Moto, client: Any, azurite: Azurite
) -> None:
    from storages.backends.azure_storage import AzureStorage  # noqa: PLC0415

    origin, back = s3_on(moto), s3_on(moto)
    client.create_bucket(Bucket=origin.bucket_name)
    client.put_object(Bucket=origin.bucket_name, Key="b.txt", Body=b"content", **DESCRIBED)
    with RawContainer(azurite) as container:
        azure = AzureStorage(azure_container=container.name, **azure_account(azurite))
        copy(origin, azure)
        found = container.client.get_blob_client("b.txt").get_blob_properties()
        settings = found.content_settings
        assert settings.content_type == DESCRIBED["ContentType"]
        assert settings.cache_control == DESCRIBED["CacheControl"]
        assert settings.content_disposition == DESCRIBED["ContentDisposition"]
        assert settings.content_language == DESCRIBED["ContentLanguage"]
        assert found.metadata == DESCRIBED["Metadata"]
        copy(azure, back)
    assert described(client, back.bucket_name, "b.txt") == DESCRIBED


def test_compressed_file_stays_compressed_where_that_can_be_said(
    moto: Moto, client: Any, azurite: Azurite, local: LocalStorage
) -> None:
    from storages.backends.azure_storage import AzureStorage  # noqa: PLC0415

    origin, back = s3_on(moto), s3_on(moto)
    text = b"text " * 1000
    packed = gzip.compress(text)
    client.create_bucket(Bucket=origin.bucket_name)
    client.put_object(Bucket=origin.bucket_name, Key="a.txt", Body=packed, ContentEncoding="gzip")
    with RawContainer(azurite) as container:
        azure = AzureStorage(azure_container=container.name, **azure_account(azurite))
        copy(origin, azure, verify=True)
        assert container.get("a.txt") == packed
        assert reads(azure, "a.txt") == text
        copy(azure, back, verify=True)
    stored = client.get_object(Bucket=back.bucket_name, Key="a.txt")
    assert (stored["Body"].read(), stored["ContentEncoding"]) == (packed, "gzip")
    copy(origin, local, verify=True)
    assert reads(local, "a.txt") == text
    (again,) = copy(origin, local).outcomes
    assert (again.action, again.detail) == (SKIPPED, "another encoding and not older")


def test_storage_that_compresses_is_not_copied_to_again(moto: Moto, local: LocalStorage) -> None:
    fill(local, {"a.css": b"body {}" * 1000})
    target = s3_on(moto, gzip=True)
    assert names_of(copy(local, target, verify=True), COPIED) == {"a.css"}
    assert names_of(copy(local, target), SKIPPED) == {"a.css"}
    assert names_of(copy(local, target, verify=True), SKIPPED) == {"a.css"}
    assert reads(target, "a.css") == b"body {}" * 1000


def test_encoding_of_any_kind_is_kept_where_that_can_be_said(
    moto: Moto, client: Any, azurite: Azurite
) -> None:
    from storages.backends.azure_storage import AzureStorage  # noqa: PLC0415

    origin, back = s3_on(moto), s3_on(moto)
    client.create_bucket(Bucket=origin.bucket_name)
    large = {"Key": "large.css", "Body": random_bytes(MIB)}
    for each in ({"Key": "a.css", "Body": b"no Brotli at all"}, large):
        client.put_object(Bucket=origin.bucket_name, ContentEncoding="br", **each)
    with RawContainer(azurite) as container:
        azure = AzureStorage(azure_container=container.name, **azure_account(azurite))
        for one, other in ((origin, azure), (azure, back)):
            copy(one, other, verify=True)
    for name in ("a.css", "large.css"):
        found = client.head_object(Bucket=back.bucket_name, Key=name)
        assert found["ContentEncoding"] == "br"
    assert reads(back, "a.css") == b"no Brotli at all"


def test_names_of_metadata_are_made_ones_that_azure_takes(
    moto: Moto, client: Any, azurite: Azurite
) -> None:
    from storages.backends.azure_storage import AzureStorage  # noqa: PLC0415

    origin = s3_on(moto)
    client.create_bucket(Bucket=origin.bucket_name)
    metadata = {"original-name": "a", "2x.scale": "b"}
    client.put_object(Bucket=origin.bucket_name, Key="a.txt", Body=b"x", Metadata=metadata)
    with RawContainer(azurite) as container:
        azure = AzureStorage(azure_container=container.name, **azure_account(azurite))
        assert names_of(copy(origin, azure), COPIED) == {"a.txt"}
        assert azure.stat("a.txt").metadata == {"original_name": "a", "_2x_scale": "b"}


# -- which files are equal ------------------------------------------------------------------------


def test_digest_tells_a_change_that_size_and_time_do_not(moto: Moto, local: LocalStorage) -> None:
    target = s3_on(moto)
    fill(local, {"a.txt": b"before"})
    copy(local, target)
    fill_again(local, "a.txt", b"behind")
    assert names_of(copy(local, target), COPIED) == {"a.txt"}
    assert reads(target, "a.txt") == b"behind"


def test_resuming_trusts_size_and_time_and_reads_nothing(moto: Moto, local: LocalStorage) -> None:
    target = s3_on(moto)
    fill(local, {"a.txt": b"before"})
    copy(local, target)
    fill_again(local, "a.txt", b"behind")
    (outcome,) = copy(local, target, resume=True).outcomes
    assert (outcome.action, outcome.detail) == (SKIPPED, "same size and not older")


def test_verifying_finds_a_change_that_time_hides(local: LocalStorage, tmp_path: Path) -> None:
    target = LocalStorage(location=tmp_path / "target")
    fill(local, {"a.txt": b"before"})
    copy(local, target)
    fill_again(local, "a.txt", b"behind")
    assert names_of(copy(local, target), SKIPPED) == {"a.txt"}
    assert names_of(copy(local, target, verify=True), COPIED) == {"a.txt"}
    assert reads(target, "a.txt") == b"behind"


def test_content_that_arrives_changed_is_found_by_verifying(
    local: LocalStorage, tmp_path: Path
) -> None:
    class Corrupting(MemoryStorage):
        def _write(
            self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
        ) -> None:
            changed = Source(io.BytesIO(b"x" + source.read()[1:]), source.content_type)
            super()._write(key, changed, overwrite=overwrite, expected=expected)

    fill(local, {"a.txt": b"content"})
    target = Corrupting(bucket=uuid.uuid4().hex)
    (outcome,) = copy(local, target, verify=True).outcomes
    assert (outcome.action, outcome.detail) == (FAILED, "What was stored is not what was sent")


def fill_again(storage: LocalStorage, name: str, content: bytes) -> None:
    """Change a file and let its time be as before."""
    Path(storage.path(name)).write_bytes(content)
    os.utime(storage.path(name), (LONG_AGO, LONG_AGO))


# -- names ----------------------------------------------------------------------------------------


class Caseless(MemoryStorage):
    """Takes names that differ in case for one, and keeps the first spelling."""

    def found(self, key: str) -> str:
        return next((each for each in self.objects if each.lower() == key.lower()), key)

    def _stat(self, key: str) -> Entry:
        return super()._stat(self.found(key))

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        return super()._read(self.found(key), start, entry)

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        super()._write(self.found(key), source, overwrite=overwrite, expected=expected)

    def _remove(self, key: str) -> None:
        super()._remove(self.found(key))


def test_names_that_differ_in_case_are_both_copied_where_they_are_told_apart(
    local: LocalStorage,
) -> None:
    files = {"dir/A.txt": b"upper", "dir/a.txt": b"lower"}
    fill(local, files)
    target = MemoryStorage(bucket=uuid.uuid4().hex)
    assert names_of(copy(local, target), COPIED) == set(files)
    assert names_of(copy(local, target), SKIPPED) == set(files)
    assert_same(target, files)


def test_name_that_the_destination_takes_for_another_is_reported(local: LocalStorage) -> None:
    fill(local, {"dir/A.txt": b"upper", "dir/a.txt": b"lower", "b.txt": b"content"})
    target = Caseless(bucket=uuid.uuid4().hex)
    for _ in range(2):
        report = copy(local, target, delete=True)
        (failed,) = report.of(FAILED)
        assert failed.name == "dir/a.txt"
        assert failed.detail == "The destination takes its name for 'dir/A.txt'"
        assert reads(target, "dir/A.txt") == b"upper"


def test_copy_under_another_case_of_its_name_is_not_deleted(local: LocalStorage) -> None:
    fill(local, {"dir/a.txt": b"content"})
    target = Caseless(bucket=uuid.uuid4().hex)
    fill(target, {"dir/A.TXT": b"content"})
    assert copy(local, target, delete=True).of(DELETED) == []
    assert reads(target, "dir/a.txt") == b"content"
    told_apart = MemoryStorage(bucket=uuid.uuid4().hex)
    fill(told_apart, {"dir/A.TXT": b"content"})
    assert names_of(copy(local, told_apart, delete=True), DELETED) == {"dir/A.TXT"}


@pytest.mark.parametrize("delete", [False, True])
def test_directories_that_differ_in_case_are_told_apart(local: LocalStorage, delete: bool) -> None:
    files = {"Dir/sub/a.txt": b"upper", "dir/sub/a.txt": b"lower"}
    fill(local, files)
    target = MemoryStorage(bucket=uuid.uuid4().hex)
    fill(target, {"dir/SUB/a.txt": b"old"})
    for action in (COPIED, SKIPPED):
        assert names_of(copy(local, target, delete=delete), action) == set(files)
    assert target.exists("dir/SUB/a.txt") is not delete
    assert_same(target, files)


def test_dry_run_deletes_what_the_copy_would(local: LocalStorage) -> None:
    fill(local, {"a.txt": b"content"})
    target = MemoryStorage(bucket=uuid.uuid4().hex)
    fill(target, {"A.txt": b"content"})
    for dry_run in (True, False):
        assert names_of(copy(local, target, delete=True, dry_run=dry_run), DELETED) == {"A.txt"}


def test_directory_that_the_destination_takes_for_another_is_reported(local: LocalStorage) -> None:
    fill(local, {"Dir/a.txt": b"upper", "dir/a.txt": b"lower"})
    target = Caseless(bucket=uuid.uuid4().hex)
    for _ in range(2):
        (failed,) = copy(local, target, delete=True).of(FAILED)
        assert failed.detail == "The destination takes its name for 'Dir/a.txt'"
        assert reads(target, "Dir/a.txt") == b"upper"


@pytest.mark.parametrize("dry_run", [True, False])
def test_key_that_no_storage_takes_is_reported_and_keeps_no_other(
    moto: Moto, client: Any, dry_run: bool
) -> None:
    origin, target = s3_on(moto), MemoryStorage(bucket=uuid.uuid4().hex)
    client.create_bucket(Bucket=origin.bucket_name)
    odd = ("a//b.txt", "/absolute.txt", "dir/../up.txt", "back\\slash.txt")
    for key in (*odd, "good.txt", "directory/"):
        client.put_object(Bucket=origin.bucket_name, Key=key, Body=b"content")
    fill(target, {"old.txt": b"x"})
    report = copy(origin, target, delete=True, dry_run=dry_run)
    reasons = {each.name: each.detail for each in report.of(FAILED)}
    assert reasons.keys() == set(odd)
    assert reasons["a//b.txt"] == "Storages take its name for 'a/b.txt': give the file another"
    assert "climbs with '..'" in reasons["dir/../up.txt"]
    assert (names_of(report, COPIED), report.of(DELETED)) == ({"good.txt"}, [])
    parts = [copy(origin, target, part=(number, 3)).of(FAILED) for number in (1, 2, 3)]
    assert sorted(each.name for part in parts for each in part) == sorted(odd)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
@pytest.mark.parametrize("kind", [LocalStorage, Foreign])
def test_file_whose_name_no_storage_takes_is_reported(tmp_path: Path, kind: Any) -> None:
    origin = kind(location=tmp_path)
    odd = {"latin-\udce9.txt", "back\\slash.txt", "directory/back\\slash"}
    for name in odd:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"content")
    (tmp_path / "two\nlines").mkdir()
    (tmp_path / "two\nlines/a.txt").write_bytes(b"content")
    report = copy(origin, MemoryStorage(bucket=uuid.uuid4().hex))
    assert names_of(report, FAILED) == odd | {"two\nlines"}
    assert len(report.outcomes) == 4


def test_name_that_the_destination_refuses_is_reported_and_keeps_no_other(
    local: LocalStorage, azurite: Azurite
) -> None:
    from storages.backends.azure_storage import AzureStorage  # noqa: PLC0415

    fill(local, {"dot.": b"x", "a.txt": b"content"})
    with RawContainer(azurite) as container:
        target = AzureStorage(azure_container=container.name, **azure_account(azurite))
        report = copy(local, target)
        assert names_of(report, FAILED) == {"dot."}
        assert names_of(report, COPIED) == {"a.txt"}


def test_odd_names_are_copied_as_they_are(moto: Moto, tmp_path: Path) -> None:
    names = {*PUNCTUATION.values(), *SCRIPTS.values()}
    files = {f"odd/{name}": name.encode() for name in names}
    origin, target = MemoryStorage(bucket=uuid.uuid4().hex), s3_on(moto)
    fill(origin, files)
    copy(origin, target)
    assert_same(target, files)
    back = LocalStorage(location=tmp_path / "back")
    assert names_of(copy(target, back), COPIED) == set(files)
    assert_same(back, files)


def test_storage_of_pictures_checks_what_is_copied_to_it(
    local: LocalStorage, tmp_path: Path
) -> None:
    from storages.backends.image import ImageStorage  # noqa: PLC0415

    picture = io.BytesIO()
    Image.new("RGB", (1, 1)).save(picture, "PNG")
    fill(local, {"a.png": b"<script>", "b.png": picture.getvalue(), "c.gif": picture.getvalue()})
    target = ImageStorage(location=tmp_path / "pictures", on_unknown="refuse")
    report = copy(local, target)
    assert names_of(report, COPIED) == {"b.png"}
    reasons = {each.name: each.detail for each in report.of(FAILED)}
    assert reasons.keys() == {"a.png", "c.gif"}
    assert reasons["c.gif"] == "The storage would call the file 'c.png'"
    assert [name for name, _ in target.scan(recursive=True)] == ["b.png"]


# -- one storage, and one within another ----------------------------------------------------------


def test_copying_onto_itself_is_refused(moto: Moto, local: LocalStorage) -> None:
    store = s3_on(moto)
    for one, other in (
        (local, FileSystemStorage(location=f"{local.location}/./")),
        (store, s3_on(moto, store.bucket_name, location="/")),
        (store, store),
    ):
        with pytest.raises(ValueError, match="one place"):
            copy(one, other)


def test_users_of_one_ftp_server_have_places_of_their_own() -> None:
    from storages.backends.ftp import FTPStorage  # noqa: PLC0415

    place = f"ftp://{HOST}:{refusing_port()}/media"
    one, other, same = (FTPStorage(place, user=user) for user in ("one", "other", "one"))
    with pytest.raises(ValueError, match="one place"):
        copy(one, same)
    with pytest.raises(ConnectionRefusedError):
        copy(one, other)


def test_storages_with_methods_of_their_own_are_found_to_be_one_place(
    moto: Moto, local: LocalStorage
) -> None:
    from storages.backends.s3boto3 import S3Boto3Storage  # noqa: PLC0415

    class Own(S3Boto3Storage):
        def _save(self, name: Any, content: Any) -> str:
            return super()._save(name, content)

    store = s3_on(moto)
    fill(store, {"media/a.txt": b"content"})
    given = {each: getattr(store, each) for each in ("bucket_name", "endpoint_url")}
    own = Own(location="media", access_key="key", secret_key="secret", **given)
    with pytest.raises(ValueError, match="one place"):
        copy(own, s3_on(moto, store.bucket_name, location="media"))
    with pytest.raises(ValueError, match="one place"):
        copy(local, Foreign(location=local.location))
    assert copy(own, store, delete=True).of(DELETED) == []
    assert reads(own, "a.txt") == b"content"


def test_same_bucket_of_another_service_is_another_place(moto: Moto, front: HTTPProxy) -> None:
    copy(s3_on(moto, "twin-bucket"), s3_on(front, "twin-bucket"))


def test_destination_within_the_source_is_not_copied_into_itself(moto: Moto) -> None:
    origin = s3_on(moto)
    target = s3_on(moto, origin.bucket_name, location="backup/one")
    fill(origin, {"a.txt": b"content", "backup/two/b.txt": b"content"})
    for _ in range(3):
        copy(origin, target, delete=True)
    names = {name for name, _ in origin.scan(recursive=True)}
    copies = {f"backup/one/{name}" for name in ("a.txt", "backup/two/b.txt")}
    assert names == {"a.txt", "backup/two/b.txt", *copies}


def test_source_within_the_destination_is_neither_overwritten_nor_deleted(moto: Moto) -> None:
    target = s3_on(moto)
    origin = s3_on(moto, target.bucket_name, location="new")
    fill(origin, {"a.txt": b"content", "new/a.txt": b"another"})
    fill(target, {"old.txt": b"x"})
    report = copy(origin, target)
    (failed,) = report.of(FAILED)
    assert failed.name == "new/a.txt"
    assert reads(origin, "a.txt") == b"content"
    origin.delete("new/a.txt")
    assert names_of(copy(origin, target, delete=True), DELETED) == {"old.txt"}
    assert reads(origin, "a.txt") == b"content"


# -- deleting -------------------------------------------------------------------------------------


def test_deletion_keeps_to_the_location(moto: Moto, local: LocalStorage) -> None:
    whole = s3_on(moto)
    fill(whole, {"media2/a.txt": b"x", "medi": b"x", "media.txt": b"x", "media/old.txt": b"x"})
    fill(local, {"a.txt": b"content"})
    copy(local, s3_on(moto, whole.bucket_name, location="media"), delete=True)
    names = {name for name, _ in whole.scan(recursive=True)}
    assert names == {"media2/a.txt", "medi", "media.txt", "media/a.txt"}


def test_many_files_are_deleted_at_a_time(local: LocalStorage) -> None:
    at_once = threading.Barrier(2, timeout=30)

    class Waiting(MemoryStorage):
        def _remove(self, key: str) -> None:
            if key in {"0.txt", "199.txt"}:
                at_once.wait()
            super()._remove(key)

    target = Waiting(bucket=uuid.uuid4().hex)
    names = [f"{number}.txt" for number in range(200)]
    fill(target, dict.fromkeys(names, b"x"))
    fill(local, {"a.txt": b"content"})
    assert names_of(copy(local, target, delete=True), DELETED) == set(names)
    assert [name for name, _ in target.scan()] == ["a.txt"]


def test_foreign_storage_may_raise_anything_where_a_file_stays(local: LocalStorage) -> None:
    class Protected(InMemoryStorage):
        def delete(self, name: str) -> None:
            raise RuntimeError(f"{name} is protected")

    fill(local, {"a.txt": b"content"})
    target = Protected()
    target.save("old.txt", ContentFile(b"x"))
    (failed,) = copy(local, target, delete=True).of(FAILED)
    assert (failed.name, failed.detail) == ("old.txt", "old.txt is protected")


def test_deletion_for_an_empty_source_has_to_be_confirmed(local: LocalStorage) -> None:
    Path(local.location).mkdir()
    target = MemoryStorage(bucket=uuid.uuid4().hex)
    fill(target, {"a.txt": b"content"})
    with pytest.raises(NothingToCopy):
        copy(local, target, delete=True)
    assert reads(target, "a.txt") == b"content"
    assert names_of(copy(local, target, delete=True, delete_all=True), DELETED) == {"a.txt"}


def test_deletion_is_left_out_if_a_listing_or_a_file_failed(local: LocalStorage) -> None:
    class Unlisted(MemoryStorage):
        def _list(self, key: str) -> Iterator[Listed]:
            yield from super()._list(key)
            raise TimeoutError(110, "No more pages", key)

    target = MemoryStorage(bucket=uuid.uuid4().hex)
    fill(target, {"old.txt": b"content"})
    broken = Unlisted(bucket=uuid.uuid4().hex)
    fill(broken, {"a.txt": b"content"})
    with pytest.raises(TimeoutError):
        copy(broken, target, delete=True)
    fill(local, {"a.txt": b"content"})
    limited = MemoryStorage(bucket=target.bucket, max_size=3)
    report = copy(local, limited, delete=True)
    assert (names_of(report, FAILED), report.of(DELETED)) == ({"a.txt"}, [])
    assert reads(target, "old.txt") == b"content"


def test_file_that_the_source_got_after_it_was_listed_is_not_deleted() -> None:
    class Growing(MemoryStorage):
        def _read(self, key: str, start: int, entry: Entry) -> Stream:
            self.save("late.txt", ContentFile(b"late"))
            return super()._read(key, start, entry)

    origin = Growing(bucket=uuid.uuid4().hex, file_overwrite=True)
    target = MemoryStorage(bucket=uuid.uuid4().hex)
    fill(origin, {"a.txt": b"content"})
    fill(target, {"late.txt": b"late", "old.txt": b"old"})
    assert names_of(copy(origin, target, delete=True), DELETED) == {"old.txt"}
    assert reads(target, "late.txt") == b"late"


def test_source_that_is_unmounted_meanwhile_is_no_reason_to_delete(local: LocalStorage) -> None:
    class Target(MemoryStorage):
        def _write(self, key: str, source: Source, **options: Any) -> None:
            super()._write(key, source, **options)
            (Path(local.location) / "a.txt").unlink()

    fill(local, {"a.txt": b"content"})
    target = Target(bucket=uuid.uuid4().hex)
    MemoryStorage(bucket=target.bucket).save("old.txt", ContentFile(b"old"))
    with pytest.raises(FileNotFoundError, match="none of its files"):
        copy(local, target, delete=True)
    assert reads(target, "old.txt") == b"old"


def test_part_without_files_of_a_source_with_odd_names_alone_deletes_what_is_its(
    local: LocalStorage,
) -> None:
    # No storage can be asked for such a name.
    Path(local.location).mkdir()
    (Path(local.location) / "a\\b").touch()
    target = MemoryStorage(bucket=uuid.uuid4().hex)
    fill(target, {f"{number}.txt": b"old" for number in range(16)})
    reports = [copy(local, target, delete=True, part=(part, 2)) for part in (1, 2)]
    assert sorted(bool(each.of(DELETED)) for each in reports) == [False, True]


@pytest.mark.parametrize("count", [1, 2])
def test_names_that_the_source_cannot_have_are_deleted(local: LocalStorage, count: int) -> None:
    fill(local, {"a.txt": b"content"})
    target = MemoryStorage(bucket=uuid.uuid4().hex)
    names = [f"{number}{'x' * 300}" for number in range(count)]
    fill(target, dict.fromkeys(names, b"old"))
    assert names_of(copy(local, target, delete=True), DELETED) == set(names)


@pytest.mark.parametrize("attempts", [1, 2])
def test_directory_that_is_removed_and_made_again_is_walked(
    local: LocalStorage, attempts: int
) -> None:
    class Busy(LocalStorage):
        left = attempts

        def _list(self, key: str) -> Iterator[Listed]:
            if key == "dir" and self.left:
                self.left -= 1
                raise FileNotFoundError(errno.ENOENT, "No such directory")
            return super()._list(key)

    names = ["a.txt", "dir/b.txt", "z/c.txt"]
    fill(local, dict.fromkeys(names, b"content"))
    found = Busy(location=local.location).scan(recursive=True)
    assert [name for name, _ in found] == names


@pytest.mark.parametrize("missing", [("gone",), ("", "gone")])
def test_directory_that_goes_away_while_any_storage_is_listed_costs_no_other_file(
    tmp_path: Path, missing: tuple[str, ...]
) -> None:
    class Busy(FileSystemStorage):
        begun = False

        def listdir(self, path: str) -> tuple[list[str], list[str]]:
            if self.begun and path in missing:
                raise FileNotFoundError(errno.ENOENT, "No such directory", path)
            directories, files = super().listdir(path)
            if not self.begun:
                directories.append("gone")
            self.begun = True
            return directories, files

        def _save(self, name: str, content: Any) -> str:
            return super()._save(name, content)

    origin, target = Busy(location=tmp_path), MemoryStorage(bucket=uuid.uuid4().hex)
    fill(origin, {"a.txt": b"content", "z/b.txt": b"content"})
    fill(target, {"z/b.txt": b"old", "z/old.txt": b"old"})
    if "" in missing:
        with pytest.raises(FileNotFoundError):
            copy(origin, target, delete=True)
        assert reads(target, "z/old.txt") == b"old"
        return
    report = copy(origin, target, delete=True)
    assert (names_of(report, COPIED), names_of(report, DELETED)) == (
        {"a.txt", "z/b.txt"},
        {"z/old.txt"},
    )


def test_deletion_keeps_names_that_sort_between_a_directory_and_its_files(
    moto: Moto, local: LocalStorage
) -> None:
    """As aws-cli#405 did not: lists of names were compared as if directories were sorted alike."""
    names = ("dir/a", "dir-2/b", "dir.txt", "dir", "a/b./d", "a/b/c", "a/b-c", "a/b.c", "a/b c")
    files = {name: name.encode() for name in names if name != "dir"}
    fill(local, files)
    target, back = s3_on(moto), MemoryStorage(bucket=uuid.uuid4().hex)
    fill(target, {"dir/old": b"x", "a/b/old": b"x", "dir": b"x"})
    for origin, end in ((local, target), (target, back)):
        copy(origin, end, delete=True)
        again = copy(origin, end, delete=True)
        assert (again.of(COPIED), again.of(DELETED), again.of(FAILED)) == ([], [], [])
        assert {name for name, _ in end.scan(recursive=True)} == set(files)
        assert_same(end, files)


def test_file_in_the_way_of_a_directory_fails_by_name_and_keeps_no_other(
    moto: Moto, local: LocalStorage
) -> None:
    """A bucket may have files "x" and "x/y", and a marker "dir/"; a disk may not."""
    origin = s3_on(moto)
    fill(origin, {"x": b"file", "x/y": b"below", "a.txt": b"content", "z.txt": b"content"})
    origin.client.put_object(Bucket=origin.bucket_name, Key="dir/", Body=b"")
    fill(local, {"old.txt": b"x"})
    report = copy(origin, local, delete=True)
    (failed,) = report.of(FAILED)
    assert failed.name in {"x", "x/y"}
    assert names_of(report, COPIED) == {"x", "x/y", "a.txt", "z.txt"} - {failed.name}
    assert report.of(DELETED) == []


def test_files_that_were_stored_in_parts_are_not_copied_again(
    moto: Moto, local: LocalStorage
) -> None:
    """The ETag of such a file is no digest of its content."""
    fill(local, {"large.bin": random_bytes(12 * MIB)})
    parts = {"multipart_threshold": MIB, "multipart_chunksize": 5 * MIB}
    origin, target = s3_on(moto, transfer_config=parts), s3_on(moto)
    for source, end in ((local, origin), (origin, target), (origin, local)):
        copy(source, end)
        assert copy(source, end).of(COPIED) == []
    assert_same(target, {"large.bin": random_bytes(12 * MIB)})


def test_file_that_is_removed_meanwhile_is_no_failure(tmp_path: Path) -> None:
    class Vanishing(LocalStorage):
        def _open_stream(self, key: str) -> tuple[Entry, Stream]:
            self.delete(key)
            return super()._open_stream(key)

    origin = Vanishing(location=tmp_path / "vanishing")
    fill(origin, {"a.txt": b"content"})
    (outcome,) = copy(origin, MemoryStorage(bucket=uuid.uuid4().hex)).outcomes
    assert (outcome.action, outcome.detail) == (SKIPPED, "removed from the source meanwhile")


class Changed(MemoryStorage):
    """Has a file of this machine change while it stores it."""

    path: Path

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        super()._write(key, source, overwrite=overwrite, expected=expected)
        if self.path.read_bytes() == b"before":
            self.path.write_bytes(b"behind")


def test_file_that_changes_while_it_is_copied_is_copied_again(local: LocalStorage) -> None:
    fill(local, {"a.txt": b"before"})
    target = Changed(bucket=uuid.uuid4().hex)
    target.path = Path(local.path("a.txt"))
    assert names_of(copy(local, target), COPIED) == {"a.txt"}
    assert reads(target, "a.txt") == b"behind"


def test_failed_listing_ends_the_other_one() -> None:
    listed: list[str] = []

    class Unreachable(MemoryStorage):
        def _list(self, key: str) -> Iterator[Listed]:
            raise TimeoutError(errno.ETIMEDOUT, "No answer", key)

    class Endless(MemoryStorage):
        def _walk(self, key: str) -> Iterator[Listed]:
            while len(listed) < 1_000_000:
                listed.append(key)
                yield f"{len(listed)}.txt", Entry(1)

    ends = [kind(bucket=uuid.uuid4().hex) for kind in (Unreachable, Endless)]
    for source, target in (ends, ends[::-1]):
        listed.clear()
        with pytest.raises(TimeoutError):
            copy(source, target)
        assert len(listed) < 1_000_000


@pytest.mark.skipif(os.name == "nt", reason="Windows lets few users make links")
def test_link_that_leads_nowhere_is_reported(local: LocalStorage) -> None:
    fill(local, {"a.txt": b"content"})
    Path(local.path("link")).symlink_to("/nowhere")
    report = copy(local, MemoryStorage(bucket=uuid.uuid4().hex))
    assert (names_of(report, COPIED), names_of(report, FAILED)) == ({"a.txt"}, {"link"})


# -- interruptions --------------------------------------------------------------------------------


@contextmanager
def sftp_behind(server: OpenSSH, proxy: Proxy) -> Iterator[Storage]:
    from storages.backends.sftpstorage import SFTPStorage  # noqa: PLC0415

    place = {"root_path": f"{server.root}/{uuid.uuid4().hex}", "max_connections": 2}
    with SFTPStorage(**place, **sftp_options(server, proxy)) as storage:
        yield storage


@contextmanager
def s3_behind(_server: Moto, proxy: Proxy) -> Iterator[Storage]:
    # So that a lost connection is not mended by the client.
    yield s3_on(proxy, client_config={"retries": {"total_max_attempts": 1}})


@pytest.mark.parametrize("position", [0, 1000, MIB, 5 * MIB])
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize(("kind", "behind"), [("sshd", sftp_behind), ("moto", s3_behind)])
def test_lost_connections_leave_whole_files_and_the_next_copy_goes_on(
    request: pytest.FixtureRequest,
    local: LocalStorage,
    tmp_path: Path,
    kind: str,
    behind: Any,
    direction: Direction,
    position: int,
) -> None:
    server = request.getfixturevalue(kind)
    fill(local, FILES)
    back = LocalStorage(location=tmp_path / "back")
    with Proxy(*server.address) as proxy, behind(server, proxy) as remote:
        for origin, target in ((local, remote), (remote, back)):
            proxy.limit_data(position, direction, times=3)
            with suppress(OSError):
                copy(origin, target)
            proxy.clear()
            with suppress(FileNotFoundError):
                stored = {name for name, _ in target.scan(recursive=True)}
                assert_same(target, {name: FILES[name] for name in stored})
            assert copy(origin, target).of(FAILED) == []
            assert_same(target, FILES)


#: A program that copies a directory to a bucket, and then tells the most memory that it used.
COPYING = """
import sys
from django.conf import settings
settings.configure(USE_TZ=True)
import django
django.setup()
from storages.backends.s3boto3 import S3Boto3Storage
from storages.local import LocalStorage
from storages.transfers import copy
url, bucket, directory = sys.argv[1:]
account = {"access_key": "key", "secret_key": "secret", "region_name": "us-east-1"}
target = S3Boto3Storage(bucket_name=bucket, endpoint_url=url, auto_create_bucket=True, **account)
def told(outcome, meter):
    sys.stdout.write(f"{outcome.action} {outcome.name}\\n")
    sys.stdout.flush()
    # Nothing new begins before there is an answer; nobody to answer is one.
    sys.stdin.readline()
copy(LocalStorage(location=directory), target, report=told)
with open("/proc/self/status") as status:
    print(next(line.split()[1] for line in status if line.startswith("VmHWM")))
"""


def copying(
    place: Moto, bucket: str, directory: str, answers: int = subprocess.DEVNULL
) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", COPYING, place.url, bucket, directory]
    return subprocess.Popen(command, stdin=answers, stdout=subprocess.PIPE, text=True)


IN_LINUX = pytest.mark.skipif(
    not psutil.LINUX, reason="the system keeps no peak of memory in /proc"
)


@IN_LINUX
def test_killed_copy_leaves_whole_files_and_is_resumed(moto: Moto, local: LocalStorage) -> None:
    target = s3_on(moto)
    files = {f"{number}.bin": random_bytes(200_000, seed=number) for number in range(60)}
    fill(local, files)
    place = (moto, target.bucket_name, str(local.location))
    with copying(*place, answers=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(10):
            process.stdout.readline()
            process.stdin.write("go on\n")
            process.stdin.flush()
        process.kill()
    stored = {name for name, _ in target.scan(recursive=True)}
    assert 10 <= len(stored) < len(files)
    assert_same(target, {name: files[name] for name in stored})
    report = copy(local, target, resume=True)
    # What was on its way when the process died may have arrived since.
    assert names_of(report, SKIPPED) >= stored
    assert_same(target, files)


@IN_LINUX
def test_thousands_of_files_are_copied_in_little_memory(moto: Moto, local: LocalStorage) -> None:
    directory = Path(local.location)
    directory.mkdir()
    for number in range(2000):
        (directory / f"{number}.bin").write_bytes(random_bytes(50 * 1024, seed=number))
    target = s3_on(moto)
    with copying(moto, target.bucket_name, str(directory)) as process:
        output, _ = process.communicate(timeout=300)
    lines = output.splitlines()
    assert sum(line.startswith("copied") for line in lines) == 2000
    assert int(lines[-1]) < 150 * 1024  # KiB


def test_more_jobs_than_connections_wait_for_none(ftpd: Pyftpdlib) -> None:
    from storages.backends.ftp import FTPStorage  # noqa: PLC0415

    files = {f"{number}.bin": random_bytes(MIB + number, seed=number) for number in range(12)}
    with (
        FTPStorage(
            location=location(ftpd, uuid.uuid4().hex), max_connections=2, timeout=5
        ) as origin,
        FTPStorage(
            location=location(ftpd, uuid.uuid4().hex), max_connections=2, timeout=5
        ) as target,
    ):
        fill(origin, files)
        within = FTPStorage(location=f"{origin.location}/within", max_connections=2, timeout=5)
        for end in (target, within):
            assert copy(origin, end, jobs=16).of(FAILED) == []
            assert_same(end, files)


def test_one_connection_of_libcloud_is_enough_for_both_ends(moto: Moto, client: Any) -> None:
    from storages.backends.apache_libcloud import LibCloudStorage  # noqa: PLC0415

    buckets = [f"copy-{uuid.uuid4().hex}" for _ in range(2)]
    for each in buckets:
        client.create_bucket(Bucket=each)
    entry = s3_entry(moto, max_connections=1, timeout=5)
    origin, target = (LibCloudStorage(bucket=each, **entry) for each in buckets)
    files = {f"{number}.bin": random_bytes(2 * MIB + number, seed=number) for number in range(2)}
    fill(origin, files)
    assert copy(origin, target).of(FAILED) == []
    assert_same(target, files)


def test_azure_copies_within_an_account_with_all_that_describes_a_file(azurite: Azurite) -> None:
    from azure.storage.blob import ContentSettings  # noqa: PLC0415

    from storages.backends.azure_storage import AzureStorage  # noqa: PLC0415

    with (
        RawContainer(azurite) as one,
        RawContainer(azurite) as other,
        HTTPProxy(*azurite.address) as front,
    ):
        account = {**azure_account(azurite), "account_url": azure_through(front)}
        origin = AzureStorage(azure_container=one.name, **account)
        target = AzureStorage(azure_container=other.name, **account)
        fill(origin, FILES)
        settings = {"content_type": "text/x-special", "cache_control": "max-age=60"}
        metadata = {"colour": "blue"}
        one.client.upload_blob(
            "a.txt",
            b"content",
            overwrite=True,
            metadata=metadata,
            content_settings=ContentSettings(**settings),
        )
        fill(target, {"a.txt": b"old"})
        front.requests.clear()
        report = copy(origin, target)
        assert names_of(report, COPIED) == set(FILES)
        assert {each.detail for each in report.of(COPIED)} == {"by the service itself"}
        assert_same(target, FILES)
        found = other.client.get_blob_client("a.txt").get_blob_properties()
        assert found.content_settings.content_type == "text/x-special"
        assert found.content_settings.cache_control == "max-age=60"
        assert found.metadata == metadata
        assert names_of(copy(origin, target), SKIPPED) == set(FILES)


@pytest.mark.parametrize(
    ("status", "code", "how"),
    [
        (412, "SourceConditionNotMet", "by the service itself"),
        (404, "CannotVerifyCopySource", ""),
        (403, "AuthorizationPermissionMismatch", ""),
    ],
)
def test_copy_that_azure_refuses_is_done_again_or_by_reading_and_writing(
    azurite: Azurite, status: int, code: str, how: str
) -> None:
    from storages.backends.azure_storage import AzureStorage  # noqa: PLC0415

    with RawContainer(azurite) as one, HTTPProxy(*azurite.address) as front:
        account = {**azure_account(azurite), "account_url": azure_through(front)}
        origin = AzureStorage(azure_container=one.name, location="from", **account)
        target = AzureStorage(azure_container=one.name, location="to", **account)
        fill(origin, {"a.txt": b"content"})
        azure_answer(front, status, code, method="PUT", path="/to/a.txt")
        (outcome,) = copy(origin, target).outcomes
        assert (outcome.action, outcome.detail) == (COPIED, how)
        assert one.get("to/a.txt") == b"content"
