"""The contract on SFTP: OpenSSH and an absolute root, asyncssh and a location, and others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from storages.backends.sftpstorage import SFTPStorage
from storages.testing import StorageContract
from tests.backends.directory import OwnedDirectory, RawDirectory
from tests.backends.sftpstorage.server import options, running
from tests.servers.asyncssh_server import AsyncSSH
from tests.servers.openssh import OpenSSH
from tests.servers.process import refusing_port
from tests.servers.proftpd import ProftpdSFTP
from tests.servers.proxy import Proxy
from tests.servers.rclone import RcloneSFTP
from tests.servers.ssh import SSHServer

STEPS_ASIDE = "without posix-rename the old file steps aside: for an instant the name is free"

BY_NAME = "rclone opens a file anew by its name while it is read, and tells whole seconds"


class SFTPContract(StorageContract):
    """The contract in a directory of its own for each test."""

    server: ClassVar[SSHServer]
    proxy: ClassVar[Proxy]
    has_directories = True
    is_networked = True
    has_created_time = False

    @classmethod
    def begin(cls, server: SSHServer) -> Iterator[None]:
        """Put a proxy before the server."""
        cls.server = server
        with Proxy(*server.address) as cls.proxy:
            yield

    def root_of(self, server: SSHServer) -> str:
        """Return the option for this test's root."""
        return f"{server.root}/{self.root}/"

    def make_storage(self, **given: Any) -> SFTPStorage:
        return self.through(self.proxy, **given)

    def through(self, proxy: Proxy, **given: Any) -> SFTPStorage:
        """Return a storage whose connections go through a proxy."""
        place = {"root_path": self.root_of(self.server), "base_url": "/files/"}
        return SFTPStorage(**{**options(self.server, proxy), **place, **given})

    def through_another(self, **given: Any) -> tuple[Proxy, SFTPStorage]:
        """Return a new proxy for this test, and an overwriting storage through it."""
        proxy = self.enterContext(Proxy(*self.server.address))
        storage = self.enterContext(self.through(proxy, file_overwrite=True, **given))
        return proxy, storage

    def raw(self) -> RawDirectory:
        return RawDirectory(self.server.root / self.root)

    def local_directory(self) -> Path:
        return self.raw().path

    def canaries(self, canary: str) -> Mapping[str, Any]:
        return {"params": {**self.storage.params, "password": canary, "passphrase": canary}}

    def make_unreachable(self) -> SFTPStorage:
        return self.make_storage(params={**self.storage.params, "port": refusing_port()}, timeout=1)

    def make_denied(self) -> SFTPStorage:
        stranger = str(self.server.keys.stranger_key_file)
        return self.make_storage(params={**self.storage.params, "key_filename": stranger})

    def drop_connections(self) -> None:
        self.proxy.drop_connections()

    def silent_storage(self) -> SFTPStorage:
        proxy, storage = self.through_another(timeout=1)
        storage.exists("a.txt")
        proxy.silence()
        return storage

    def make_corrupting_uploads(self) -> SFTPStorage:
        proxy, storage = self.through_another()
        storage.exists("a.txt")
        proxy.corrupt(50_000, "up", times=1)
        return storage

    def make_cutting_downloads(self) -> SFTPStorage:
        proxy, storage = self.through_another()
        storage.exists("a.txt")
        proxy.limit_data(50_000, "down", times=1)
        return storage

    def make_corrupting_downloads(self) -> SFTPStorage:
        proxy, storage = self.through_another()
        storage.exists("a.txt")
        proxy.corrupt(50_000, "down", times=1)
        return storage


class TestSFTPOnOpenSSH(SFTPContract):
    configuration = "sftp-openssh"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_proxy(cls) -> Iterator[None]:
        for server in running(OpenSSH()):
            yield from cls.begin(server)


class TestSFTPOnOpenSSHWithoutPosixRename(SFTPContract):
    configuration = "sftp-openssh-plain"
    impossible = {
        **SFTPContract.impossible,
        "test_readers_see_old_or_new_content_while_a_file_is_overwritten": STEPS_ASIDE,
    }

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_proxy(cls) -> Iterator[None]:
        for server in running(OpenSSH(denied=("posix-rename",))):
            yield from cls.begin(server)


class TestSFTPOnProftpd(SFTPContract):
    configuration = "sftp-proftpd"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_proxy(cls) -> Iterator[None]:
        for server in running(ProftpdSFTP()):
            yield from cls.begin(server)

    def setUp(self) -> None:
        self.raw().make()

    def root_of(self, server: SSHServer) -> str:
        return self.root

    def raw(self) -> OwnedDirectory:
        return OwnedDirectory(self.server.root / self.root)


class TestSFTPOnAsyncSSH(SFTPContract):
    configuration = "sftp-asyncssh"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_proxy(cls) -> Iterator[None]:
        for server in running(AsyncSSH()):
            yield from cls.begin(server)

    def root_of(self, server: SSHServer) -> str:
        return self.root

    def make_storage(self, **given: Any) -> SFTPStorage:
        return super().make_storage(**{"location": "media/files", **given})

    def make_located(self, location: str) -> SFTPStorage:
        return self.make_storage(file_overwrite=True, location=f"media/files/{location}")

    def through(self, proxy: Proxy, **given: Any) -> SFTPStorage:
        return super().through(proxy, **{"location": "media/files", **given})

    def raw(self) -> RawDirectory:
        return RawDirectory(self.server.root / self.root / "media/files")


class TestSFTPOnRclone(SFTPContract):
    configuration = "sftp-rclone"
    impossible = {
        **SFTPContract.impossible,
        "test_file_replaced_while_it_is_read_gives_one_content_or_an_error": BY_NAME,
        "test_move_in_a_replaced_file_gives_one_content_or_an_error": BY_NAME,
        "test_readers_see_old_or_new_content_while_a_file_is_overwritten": BY_NAME,
        "test_processes_that_save_one_name_get_a_file_each": (
            "rclone renames over a file that is there, and creates one that is there"
        ),
    }

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_proxy(cls) -> Iterator[None]:
        for server in running(RcloneSFTP()):
            yield from cls.begin(server)

    def root_of(self, server: SSHServer) -> str:
        return self.root
