"""What SFTPStorage does on servers that do without a part of the protocol."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from django.core.files.base import ContentFile

from storages.backends.sftpstorage import SFTPStorage
from storages.temporaries import NO_EXCLUSION, STEPS_ASIDE
from tests.backends.directory import RawDirectory
from tests.backends.sftpstorage.server import options, running
from tests.servers.asyncssh_server import AsyncSSH, Quirks
from tests.servers.rclone import RcloneSFTP


@pytest.fixture(scope="module", params=["size", "kind", "handles"])
def hiding(request: pytest.FixtureRequest) -> Iterator[AsyncSSH]:
    yield from running(AsyncSSH(Quirks(hides=request.param)))  # type: ignore[misc]


def save(storage: SFTPStorage, name: str = "a.bin", content: bytes = b"content") -> str:
    return storage.save(name, ContentFile(content))


def test_attributes_that_are_not_told_are_found_out(hiding: AsyncSSH) -> None:
    content = b"content " * 30_000
    with SFTPStorage(**options(hiding), root_path="all", file_overwrite=True) as storage:
        assert save(storage, "in/a.bin", b"old") == "in/a.bin"
        assert save(storage, "in/a.bin", content) == "in/a.bin"
        assert storage.size("in/a.bin") == len(content)
        with storage.open("in/a.bin") as file:
            assert file.read() == content
        with storage.open("in/a.bin", "ab") as file:
            file.write(b"more")
        assert RawDirectory(hiding.root / "all").get("in/a.bin") == content + b"more"
        assert storage.listdir("") == (["in"], [])
        assert storage.listdir("in") == ([], ["a.bin"])
        assert [entry.size for _, entry in storage.scan("in")] == [len(content) + 4]
        storage.delete("in/a.bin")
        storage.delete("in")
        assert storage.listdir("") == ([], [])


def test_server_without_posix_rename_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    for server in running(AsyncSSH(Quirks(posix_rename=False))):  # type: ignore[arg-type]
        with SFTPStorage(**options(server), file_overwrite=True) as storage:
            save(storage)
            assert storage.notices() == (STEPS_ASIDE,)
            storage.close()
            save(storage)
        assert storage.notices() == (STEPS_ASIDE,)
    assert caplog.record_tuples.count(("storages", logging.WARNING, STEPS_ASIDE)) == 1


def test_server_that_gives_a_name_to_several_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for server in running(RcloneSFTP()):
        with SFTPStorage(**options(server)) as storage:
            assert [save(storage), save(storage) != "a.bin"] == ["a.bin", True]
        assert NO_EXCLUSION in storage.notices()
    assert caplog.record_tuples.count(("storages", logging.WARNING, NO_EXCLUSION)) == 1
