"""Drivers of other protocols, by OPENSTACK_SWIFT on a stub of our own."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile

from storages.backends.apache_libcloud import LibCloudStorage
from tests.backends.apache_libcloud.server import PROVIDER
from tests.servers.swift_stub import SwiftStub

MIB = 1024 * 1024


@pytest.fixture
def stub() -> Iterator[SwiftStub]:
    with SwiftStub() as stub:
        yield stub


def on(stub: SwiftStub, **options: Any) -> LibCloudStorage:
    entry = {
        "type": f"{PROVIDER}OPENSTACK_SWIFT",
        "user": "user",
        "key": "key",
        "bucket": stub.container,
        "ex_force_base_url": stub.url,
        "ex_force_auth_token": "token",
    }
    return LibCloudStorage(**{**entry, **options})


@pytest.mark.parametrize("size", [0, 1, 3 * MIB + 1])
def test_file_is_stored_and_read_whole(stub: SwiftStub, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    content = content[:size]
    storage = on(stub)
    assert storage.save("dir/a b.txt", ContentFile(content)) == "dir/a b.txt"
    assert stub.objects["dir/a b.txt"][:2] == (content, "text/plain")
    assert storage.size("dir/a b.txt") == size
    with storage.open("dir/a b.txt") as file:
        assert file.read() == content
        file.seek(size // 2)
        assert file.read() == content[size // 2 :]


def test_names_are_looked_up_listed_and_deleted(stub: SwiftStub) -> None:
    storage = on(stub)
    names = ["a.txt", "dir/b.txt", "dir/deep/c.txt", "dir/é.txt", "directory.txt"]
    for name in names:
        storage.save(name, ContentFile(b"content"))
    assert storage.listdir("") == (["dir"], ["a.txt", "directory.txt"])
    assert storage.listdir("dir") == (["deep"], ["b.txt", "é.txt"])
    assert [name for name, _ in storage.scan(recursive=True)] == sorted(names)
    assert storage.exists("dir")
    assert not storage.exists("missing.txt")
    storage.delete("a.txt")
    storage.delete("a.txt")
    assert not storage.exists("a.txt")
    with pytest.raises(FileNotFoundError):
        storage.open("a.txt")


def test_times_are_aware(stub: SwiftStub) -> None:
    storage = on(stub)
    storage.save("a.txt", ContentFile(b"content"))
    _, entry = next(iter(storage.scan()))
    assert entry.modified is not None
    for found in (storage.get_modified_time("a.txt"), entry.modified):
        assert abs(datetime.now(UTC) - found) < timedelta(minutes=1)


def test_taken_name_gets_another(stub: SwiftStub) -> None:
    storage = on(stub, file_overwrite=False)
    names = {storage.save("a.txt", ContentFile(b"content")) for _ in range(3)}
    assert len(names) == 3
    assert set(stub.objects) == names


def test_replaced_file_is_an_error_for_who_reads_on(stub: SwiftStub) -> None:
    storage = on(stub)
    storage.save("a.bin", ContentFile(b"1" * MIB))
    with storage.open("a.bin") as file:
        file.read(1)
        storage.save("a.bin", ContentFile(b"2" * MIB))
        file.seek(700_000)
        with pytest.raises(OSError, match="replaced") as raised:
            file.read(1)
    assert raised.value.errno == errno.ESTALE


def test_missing_container_is_told(stub: SwiftStub) -> None:
    with pytest.raises(OSError, match="'bucket'") as raised:
        on(stub, bucket="missing").exists("a.txt")
    assert raised.value.errno == errno.ENXIO


@pytest.mark.parametrize("name", ["a?b.txt", "a%62.txt", "a#b.txt"])
def test_name_that_the_driver_does_not_quote_is_refused(stub: SwiftStub, name: str) -> None:
    storage = on(stub)
    for call in (storage.open, storage.exists, lambda each: storage.save(each, ContentFile(b""))):
        with pytest.raises(SuspiciousFileOperation):
            call(name)
    assert stub.objects == {}
