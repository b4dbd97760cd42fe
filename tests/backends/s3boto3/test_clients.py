"""Clients of the S3 backend: shared by storages and threads, never by processes or accounts."""

from __future__ import annotations

import logging
import os
import pickle
from functools import partial
from typing import Any, cast

import boto3
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from django.test import override_settings

from storages.backends.s3boto3 import S3Boto3Storage, S3ManifestStaticStorage
from storages.testing.lifecycle import forked, wait_for
from storages.testing.parallel import Recipe, in_processes, in_threads, peak_memory
from tests.backends.s3boto3.server import Site, account, locate
from tests.servers.proxy import Proxy

MIB = 1024 * 1024
THREADS = 32
CHILDREN = 4


def save(storage: S3Boto3Storage, name: str = "a.txt", content: bytes = b"content") -> str:
    return storage.save(name, ContentFile(content))


def read(storage: Any, name: str = "a.txt") -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


def work(storage: S3Boto3Storage, index: int) -> None:
    """Do everything with files of one's own."""
    for number in range(3):
        content = f"{index} {number}".encode() * 1000
        name = save(storage, f"{index}/{number}.txt", content)
        assert read(storage, name) == content
        assert storage.size(name) == len(content)
        assert storage.listdir(str(index)) == ([], [f"{number}.txt"])
        storage.delete(name)
        assert not storage.exists(name)


def test_many_threads_share_a_storage_and_its_connections(
    weed: Site, caplog: pytest.LogCaptureFixture
) -> None:
    storage = weed.storage(endpoint_url=weed.server.url)
    with caplog.at_level(logging.WARNING, "urllib3"):
        in_threads(THREADS, partial(work, storage))
    assert weed.raw.names() == []
    # urllib3 says so where a pool is too small to keep a connection.
    assert caplog.messages == []


def test_parts_of_uploads_in_many_threads_do_not_mix(weed: Site) -> None:
    storage = weed.storage(endpoint_url=weed.server.url)
    contents = [bytes([index]) * (9 * MIB) for index in range(4)]
    in_threads(4, lambda index: save(storage, f"{index}", contents[index]))
    for index, content in enumerate(contents):
        assert weed.raw.get(f"{index}") == content, index


def test_forked_processes_open_connections_of_their_own(weed: Site) -> None:
    weed.raw.put("a.txt", b"content")
    with Proxy(*weed.server.address) as line:
        storage = weed.storage(endpoint_url=locate(line))
        read(storage)
        before = line.connections
        children = [forked(lambda: read(storage)) for _ in range(CHILDREN)]
        assert [wait_for(child) for child in children] == [""] * CHILDREN
        assert line.connections == before + CHILDREN
        assert read(storage) == b"content"
        assert line.connections == before + CHILDREN


def test_process_forked_during_a_download_does_not_disturb_it(weed: Site) -> None:
    content = os.urandom(3 * MIB)
    weed.raw.put("a.bin", content)
    storage = weed.storage(endpoint_url=weed.server.url)
    with storage.open("a.bin") as file:
        start = file.read(1000)
        child = forked(lambda: (file.close(), read(storage, "a.bin")))
        assert wait_for(child) == ""
        assert start + file.read() == content


def test_accounts_never_share_a_client(site: Site) -> None:
    tenants = [site.storage(access_key=f"key{number}") for number in range(4)]
    in_threads(4, lambda index: [tenants[index].listdir("") for _ in range(3)])
    used = sorted(each.headers["Authorization"].split("/")[0][-4:] for each in site.sent("GET"))
    assert used == [f"key{number}" for number in range(4) for _ in range(3)]


def test_settings_changed_meanwhile_are_used_by_the_next_call(site: Site) -> None:
    site.raw.put("a.txt", b"content")
    storage = S3Boto3Storage()
    place = {"AWS_S3_ENDPOINT_URL": site.front.url, "AWS_STORAGE_BUCKET_NAME": site.raw.bucket}
    keys = {"AWS_S3_ACCESS_KEY_ID": "first", "AWS_S3_SECRET_ACCESS_KEY": "secret"}
    with override_settings(**place, **keys):
        assert read(storage) == b"content"
    with override_settings(**place, **{**keys, "AWS_S3_ACCESS_KEY_ID": "second"}):
        assert read(storage) == b"content"
    used = [each.headers["Authorization"].split("/")[0] for each in site.sent("GET")]
    assert [each.rpartition("=")[2] for each in used] == ["first", "second"]


@pytest.mark.parametrize("cls", [S3Boto3Storage, S3ManifestStaticStorage])
def test_pickled_storage_takes_its_secrets_from_the_settings(
    site: Site, cls: type[S3Boto3Storage]
) -> None:
    site.raw.put("a.txt", b"content")
    given = account(site.server)
    secrets = {
        "AWS_S3_ACCESS_KEY_ID": given.pop("access_key"),
        "AWS_S3_SECRET_ACCESS_KEY": given.pop("secret_key"),
    }
    with override_settings(**secrets):
        storage = cls(bucket_name=site.raw.bucket, **given)
        assert read(storage) == b"content"
        pickled = pickle.dumps(storage)
        assert b"testsecret" not in pickled
        assert b"testkey" not in pickled
        assert read(pickle.loads(pickled)) == b"content"


def test_listing_of_a_bulk_job_is_neither_copied_nor_pickled(site: Site) -> None:
    storage = site.storage(preload_metadata=True)
    assert not storage.exists("a.txt")
    site.raw.put("a.txt", b"content")
    assert not storage.exists("a.txt")
    recipe = Recipe.of(storage, {"access_key": "testkey", "secret_key": "testsecret"})
    assert recipe.make().exists("a.txt")
    with override_settings(AWS_ACCESS_KEY_ID="testkey", AWS_SECRET_ACCESS_KEY="testsecret"):
        fresh = S3Boto3Storage(
            bucket_name=site.raw.bucket, endpoint_url=site.server.url, preload_metadata=True
        )
        assert fresh.exists("a.txt")
        site.raw.put("b.txt", b"content")
        assert not fresh.exists("b.txt")
        assert pickle.loads(pickle.dumps(fresh)).exists("b.txt")


def read_all(storage: Storage, _index: int) -> int:
    """Read "large.bin" in pieces; return the peak of memory."""
    assert not storage.exists("small.bin")

    def job() -> None:
        with storage.open("large.bin") as file:
            assert sum(map(len, file.chunks())) == 256 * MIB

    return peak_memory(job)


def test_reading_a_large_file_takes_little_memory(weed: Site) -> None:
    part = bytes(64 * MIB)
    upload = weed.raw.client.create_multipart_upload(Bucket=weed.raw.bucket, Key="large.bin")
    place = {"Bucket": weed.raw.bucket, "Key": "large.bin", "UploadId": upload["UploadId"]}
    parts = [
        {
            "PartNumber": number,
            "ETag": weed.raw.client.upload_part(PartNumber=number, Body=part, **place)["ETag"],
        }
        for number in range(1, 5)
    ]
    weed.raw.client.complete_multipart_upload(MultipartUpload={"Parts": parts}, **place)
    storage = weed.storage(endpoint_url=weed.server.url)
    secrets = {name: account(weed.server)[name] for name in ("access_key", "secret_key")}
    (peak,) = in_processes(Recipe.of(storage, secrets), 1, read_all)
    assert peak <= 64 * MIB


def connect_tenants(storage: Storage, _index: int) -> int:
    """Make the clients of twenty accounts; return the memory they took."""
    assert cast("S3Boto3Storage", storage).client
    tenants = [
        S3Boto3Storage(bucket_name="b", access_key=f"tenant{number}", secret_key="s")
        for number in range(20)
    ]
    return peak_memory(lambda: len({id(each.client) for each in tenants}))


@pytest.mark.parametrize(
    ("endpoint_url", "clients"),
    [("http://127.0.0.1:9000", 1), ("https://s3.eu-west-1.amazonaws.com", 1), (None, 2)],
)
def test_client_is_made_once_where_its_endpoint_is_known(
    monkeypatch: pytest.MonkeyPatch, endpoint_url: str | None, clients: int
) -> None:
    make, made = boto3.session.Session.client, []

    def counted(session: Any, *args: Any, **options: Any) -> Any:
        made.append(options["endpoint_url"])
        return make(session, *args, **options)

    monkeypatch.setattr(boto3.session.Session, "client", counted)
    storage = S3Boto3Storage(
        bucket_name=f"counted-{clients}",
        endpoint_url=endpoint_url,
        region_name="eu-west-1",
        access_key="key",
        secret_key="secret",
    )
    assert storage.client.meta.region_name == "eu-west-1"
    assert made == [endpoint_url] * clients
    assert storage.connection.meta.client is storage.client
    assert storage.connection.Bucket("b").meta.client is storage.client


def test_client_of_another_account_takes_little_memory() -> None:
    keys = {"access_key": "a", "secret_key": "s"}
    recipe = Recipe.of(S3Boto3Storage(bucket_name="b"), keys)
    (peak,) = in_processes(recipe, 1, connect_tenants)
    assert peak <= 20 * MIB
