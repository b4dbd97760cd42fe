"""What the S3 backend stores and how it is described, also when a file is changed."""

from __future__ import annotations

import errno
import gzip
import threading
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from django.core.files.base import ContentFile

from storages.backends.s3boto3 import S3Boto3Storage
from storages.testing.parallel import in_threads
from tests.backends.s3boto3.server import Site, error, unshared

MIB = 1024 * 1024

DESCRIPTION = {
    "CacheControl": "max-age=60",
    "ContentDisposition": 'attachment; filename="a.txt"',
    "ContentLanguage": "de",
    "ContentType": "text/x-own",
    "Metadata": {"owner": "mary", "case": "7"},
}


def append(storage: S3Boto3Storage, name: str = "a.txt") -> None:
    with storage.open(name, "ab") as file:
        file.write(b" more")


@pytest.mark.parametrize("options", [{}, {"object_parameters": {"CacheControl": "no-store"}}])
@pytest.mark.parametrize("size", [7, 9 * MIB])
def test_changed_file_keeps_its_description(site: Site, options: dict[str, Any], size: int) -> None:
    site.raw.put("a.txt", bytes(size), **DESCRIPTION, Tagging="team=blue&x=y%20z")
    append(site.storage(**options))
    found = site.raw.head("a.txt")
    metadata = {n: each for n, each in found["Metadata"].items() if not n.startswith("django")}
    assert {**{name: found[name] for name in DESCRIPTION}, "Metadata": metadata} == DESCRIPTION
    tags = site.raw.client.get_object_tagging(Bucket=site.raw.bucket, Key="a.txt")["TagSet"]
    assert sorted((each["Key"], each["Value"]) for each in tags) == [("team", "blue"), ("x", "y z")]
    assert site.raw.get("a.txt") == bytes(size) + b" more"


def test_file_that_is_emptied_is_described_by_the_options(site: Site) -> None:
    site.raw.put("a.txt", b"content", **DESCRIPTION)
    with site.storage().open("a.txt", "wb") as file:
        file.write(b"new")
    assert site.raw.head("a.txt")["Metadata"] == {}


@pytest.mark.parametrize("packed", [True, False], ids=["packed by the project", "plain"])
def test_what_is_labelled_gzip_is_stored_as_gzip(site: Site, packed: bool) -> None:
    storage = site.storage(object_parameters={"ContentEncoding": "gzip"})
    content = gzip.compress(b"content") if packed else b"content"
    storage.save("a.txt", ContentFile(content))
    append(storage)
    with storage.open("a.txt", "w+b") as file:
        file.write(b"w")
    append(storage)
    with storage.open("a.txt") as file:
        assert file.read() == b"w more"
    stored = site.raw.get("a.txt")
    assert stored is not None
    assert gzip.decompress(stored) == b"w more"
    assert site.raw.head("a.txt")["ContentEncoding"] == "gzip"


def test_copy_of_a_file_labelled_gzip_is_as_readable(site: Site) -> None:
    labelled = site.storage(object_parameters={"ContentEncoding": "gzip"})
    labelled.save("a.txt", ContentFile(gzip.compress(b"content")))
    for storage in (labelled, site.storage()):
        with labelled.open("a.txt") as file:
            storage.save("b.txt", file)
        with storage.open("b.txt") as file:
            assert file.read() == b"content"


def test_encoded_file_appended_to_without_the_option_stays_encoded(site: Site) -> None:
    site.raw.put("a.txt", gzip.compress(b"content"), ContentEncoding="gzip")
    append(site.storage())
    stored = site.raw.get("a.txt")
    assert stored is not None
    assert gzip.decompress(stored) == b"content more"
    assert site.raw.head("a.txt")["ContentEncoding"] == "gzip"


@pytest.mark.parametrize("kind", ["site", "weed"])
def test_change_is_sent_under_the_condition_that_the_file_is_still_the_one_that_was_read(
    request: pytest.FixtureRequest, kind: str
) -> None:
    site: Site = request.getfixturevalue(kind)
    site.raw.put("a.txt", b"content")
    append(site.storage())
    etag = site.only("GET").headers
    assert "If-Match" in site.only("PUT").headers, etag


@pytest.mark.parametrize("code", ["PreconditionFailed", "NoSuchKey"])
def test_change_that_s3_refuses_is_an_error(site: Site, code: str) -> None:
    site.raw.put("a.txt", b"content")
    site.front.answer(412 if code[0] == "P" else 404, error(code), method="PUT", times=1)
    with pytest.raises(OSError, match="replaced") as raised:
        append(site.storage())
    assert raised.value.errno == errno.ESTALE
    assert site.raw.get("a.txt") == b"content"


# -- parts ----------------------------------------------------------------------------------------


def test_checksum_algorithm_goes_with_each_part(site: Site) -> None:
    storage = site.storage(object_parameters={"ChecksumAlgorithm": "SHA256"})
    storage.save("a.bin", ContentFile(bytes(9 * MIB)))
    parts = site.sent("PUT", "partNumber")
    assert len(parts) == 2
    assert all("x-amz-checksum-sha256" in each.headers for each in parts)


def test_parts_are_sent_by_the_calling_thread_without_threads(site: Site) -> None:
    storage = site.storage(
        transfer_config=TransferConfig(use_threads=False), client_config=unshared()
    )
    threads: set[int] = set()
    storage.client.meta.events.register(
        "before-send.s3.UploadPart", lambda **_: threads.add(threading.get_ident())
    )
    storage.save("a.bin", ContentFile(bytes(17 * MIB)))
    assert threads == {threading.get_ident()}


# -- whose write ----------------------------------------------------------------------------------


def test_own_write_is_known_where_etags_are_no_digests(weed: Site) -> None:
    storage = weed.storage(file_overwrite=False, client_config=unshared())
    storage.client.meta.events.register(
        "after-call.s3.HeadObject", lambda parsed, **_: parsed.update(ETag='"encrypted"')
    )
    weed.front.reset(method="PUT", forward=True, times=1)
    assert storage.save("a.txt", ContentFile(b"content")) == "a.txt"
    assert weed.raw.names() == ["a.txt"]


def test_equal_bytes_of_another_are_not_taken_for_ours(weed: Site) -> None:
    storage = weed.storage(file_overwrite=False, client_config=unshared())
    weed.front.answer(503, error("SlowDown"), method="PUT", times=1)
    sent = iter([None])

    def plant(**_: Any) -> None:
        if next(sent, "") is None:
            weed.raw.put("a.txt", b"content")

    storage.client.meta.events.register("needs-retry.s3.PutObject", plant)
    name = storage.save("a.txt", ContentFile(b"content"))
    assert name != "a.txt"
    assert sorted(weed.raw.names()) == sorted(["a.txt", name])


# -- ranges ---------------------------------------------------------------------------------------


class Unranged:
    """Takes the range off requests, as some proxies do."""

    def __init__(self, storage: S3Boto3Storage) -> None:
        events = storage.client.meta.events
        events.register("before-sign.s3.GetObject", self.strip)

    def strip(self, request: Any, **_: Any) -> None:
        del request.headers["Range"]


def test_whole_file_in_the_place_of_a_range_is_read_right(site: Site) -> None:
    content = bytes(range(256)) * 8192
    site.raw.put("a.bin", content)
    storage = site.storage(client_config=unshared())
    Unranged(storage)
    with storage.open("a.bin") as file:
        for position in (1000, 1_500_000, 0):
            file.seek(position)
            assert file.read(10) == content[position : position + 10]
        assert file.read() == content[10:]


def test_another_range_than_was_asked_for_is_never_taken_for_it(site: Site) -> None:
    site.raw.put("a.bin", bytes(range(256)) * 8192)
    storage = site.storage(client_config=unshared())

    def shift(request: Any, **_: Any) -> None:
        if request.headers["Range"] == "bytes=1000-":
            request.headers.replace_header("Range", "bytes=500-")

    storage.client.meta.events.register("before-sign.s3.GetObject", shift)
    with storage.open("a.bin") as file:
        file.seek(1000)
        with pytest.raises(ConnectionError):
            file.read(1)
        file.seek(1_000_000)
        assert file.read(3) == bytes((1_000_000 % 256 + each) % 256 for each in range(3))


# -- listings of bulk jobs ------------------------------------------------------------------------


def test_listing_of_a_bulk_job_keeps_what_other_threads_do_while_it_is_made(site: Site) -> None:
    site.raw.put("removed.txt", b"content")
    storage = site.storage(preload_metadata=True, client_config=unshared())
    is_listed, is_changed = threading.Event(), threading.Event()

    def hold(**_: Any) -> None:
        is_listed.set()
        is_changed.wait(10)

    storage.client.meta.events.register("after-call.s3.ListObjectsV2", hold)

    def work(index: int) -> None:
        if index:
            is_listed.wait(10)
            storage.save("dir/saved.txt", ContentFile(b"content"))
            storage.delete("removed.txt")
            is_changed.set()
        else:
            storage.exists("a.txt")

    in_threads(2, work)
    assert storage.exists("dir/saved.txt")
    assert storage.exists("dir")
    assert not storage.exists("removed.txt")
