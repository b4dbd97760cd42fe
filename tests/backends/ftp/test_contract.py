"""The contract on FTP: pyftpdlib and vsftpd without and with TLS, and servers of other makes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from storages.backends.ftp import FTPStorage
from storages.testing import StorageContract
from tests.backends.ftp.server import FTPDirectory, bad_data_line, location, running, trust
from tests.servers.certificates import authority
from tests.servers.ftp import FTPServer
from tests.servers.inetutils import Inetutils
from tests.servers.process import refusing_port
from tests.servers.proftpd import Proftpd
from tests.servers.proxy import Proxy
from tests.servers.pureftpd import PureFTPd
from tests.servers.pyftpdlib_server import Pyftpdlib
from tests.servers.rclone import RcloneFTP
from tests.servers.vsftpd import Vsftpd

NO_DIGEST = "FTP has no digest of content: without TLS only its length is checked"
REPLACED = "test_move_in_a_replaced_file_gives_one_content_or_an_error"
SECONDS = "the server tells files of one size apart by whole seconds only"
ONE_LINE = "shown on pyftpdlib, whose data connections a proxy can be put before"


class FTPContract(StorageContract):
    """The contract in a directory of its own for each test."""

    server: ClassVar[FTPServer]
    proxy: ClassVar[Proxy]
    has_directories = True
    is_networked = True
    has_created_time = False
    has_accessed_time = False
    memory_budget = 32 * 1024 * 1024
    #: Seconds after which silence is an error.
    patience: ClassVar[float] = 1

    @classmethod
    def begin(cls, server: FTPServer) -> Iterator[None]:
        """Put a proxy before the server's control connections."""
        for cls.server in running(server):
            with Proxy(*cls.server.address) as cls.proxy:
                yield

    def setUp(self) -> None:
        self.raw().make()

    def make_storage(self, **given: Any) -> FTPStorage:
        return self.through(self.proxy, **given)

    def through(self, proxy: Proxy, **given: Any) -> FTPStorage:
        """Return a storage whose control connections go through a proxy."""
        place = location(self.server, self.root, proxy)
        return FTPStorage(
            **{"location": place, "base_url": "/files/", **trust(self.server), **given}
        )

    def make_located(self, location: str) -> FTPStorage:
        root = f"{self.make_storage().location}/{location}"
        return self.make_storage(file_overwrite=True, location=root)

    @property
    def secrets(self) -> Mapping[str, Any]:  # type: ignore[override]
        return {"location": self.make_storage().location, **trust(self.server)}

    def canaries(self, canary: str) -> Mapping[str, Any]:
        place = location(self.server, self.root, self.proxy, password=canary)
        context = authority().client_context()
        return {"location": place, "ssl_context": context, "password": canary}

    def raw(self) -> FTPDirectory:
        return FTPDirectory(self.server.root / self.root)

    def local_directory(self) -> Path:
        return self.raw().path

    def make_unreachable(self) -> FTPStorage:
        nobody = location(self.server, self.root, port=refusing_port())
        return self.make_storage(location=nobody, timeout=1)

    def make_denied(self) -> FTPStorage:
        wrong = location(self.server, self.root, self.proxy, password="wrong")
        return self.make_storage(location=wrong)

    def drop_connections(self) -> None:
        self.proxy.drop_connections()

    def silent_storage(self) -> FTPStorage:
        proxy = self.enterContext(Proxy(*self.server.address))
        storage = self.enterContext(self.through(proxy, timeout=self.patience))
        storage.exists("a.txt")
        proxy.silence()
        return storage

    def on_bad_line(self) -> tuple[Proxy, FTPStorage]:
        """Return a proxy on the data connections of this test's root, and a storage through it."""
        if not isinstance(self.server, Pyftpdlib):
            self.skip_line()
        context = bad_data_line(self.server.root, self.server.tls)
        server, proxy = self.enterContext(context)
        place = location(server, self.root)
        # A server that meets bad TLS may say nothing at all.
        storage = self.make_storage(location=place, file_overwrite=True, timeout=2)
        return proxy, self.enterContext(storage)

    def skip_line(self) -> None:
        """Declare that nothing can be put before the data connections."""
        self.impossible = {"line": ONE_LINE}  # type: ignore[misc]
        self.limit("line")

    def make_corrupting_uploads(self) -> FTPStorage:
        proxy, storage = self.on_bad_line()
        proxy.corrupt(50_000, "up", times=1)
        return storage

    def make_cutting_downloads(self) -> FTPStorage:
        proxy, storage = self.on_bad_line()
        proxy.limit_data(50_000, "down", times=1)
        return storage

    def make_corrupting_downloads(self) -> FTPStorage:
        proxy, storage = self.on_bad_line()
        proxy.corrupt(50_000, "down", times=1)
        return storage


class TestFTPOnPyftpdlib(FTPContract):
    configuration = "ftp-pyftpdlib"
    impossible = {**FTPContract.impossible, "118": NO_DIGEST, "118b": NO_DIGEST, "120": NO_DIGEST}

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_proxy(cls) -> Iterator[None]:
        yield from cls.begin(Pyftpdlib())


class TestFTPOnPyftpdlibWithTLS(FTPContract):
    configuration = "ftp-pyftpdlib-tls"
    operations = 100

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_proxy(cls) -> Iterator[None]:
        yield from cls.begin(Pyftpdlib("explicit"))


class TestFTPOnVsftpd(FTPContract):
    configuration = "ftp-vsftpd"
    impossible = {**FTPContract.impossible, REPLACED: SECONDS}

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_proxy(cls) -> Iterator[None]:
        yield from cls.begin(Vsftpd())


class TestFTPOnVsftpdWithTLS(FTPContract):
    configuration = "ftp-vsftpd-tls"
    impossible = {**FTPContract.impossible, REPLACED: SECONDS}
    operations = 100

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_proxy(cls) -> Iterator[None]:
        yield from cls.begin(Vsftpd("implicit"))


class TestFTPOnProftpd(FTPContract):
    configuration = "ftp-proftpd"
    # Of directories only: files may have the letter.
    refused_characters = {"a*b.txt/": "ProFTPD makes no directory with an asterisk in its name"}

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_proxy(cls) -> Iterator[None]:
        yield from cls.begin(Proftpd())

    def takes(self, label: str, name: str) -> bool:
        return "*" not in name and super().takes(label, name)


class TestFTPOnPureFTPd(FTPContract):
    configuration = "ftp-pureftpd"
    refused_characters = dict.fromkeys(
        ("trailing space", "trailing space of a directory"),
        "Pure-FTPd makes an underscore of a space at the end of a new name",
    )

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_proxy(cls) -> Iterator[None]:
        yield from cls.begin(PureFTPd())


class TestFTPOnInetutils(FTPContract):
    configuration = "ftp-inetutils"
    impossible = {**FTPContract.impossible, REPLACED: SECONDS}

    def through(self, proxy: Proxy, **given: Any) -> FTPStorage:
        # It does not say that names are in UTF-8.
        return super().through(proxy, **{"encoding": "utf-8", **given})

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_proxy(cls) -> Iterator[None]:
        yield from cls.begin(Inetutils())


class TestFTPOnRclone(FTPContract):
    configuration = "ftp-rclone"
    impossible = {
        **FTPContract.impossible,
        REPLACED: "rclone opens a file anew by its name, and tells whole seconds",
        "test_readers_see_old_or_new_content_while_a_file_is_overwritten": (
            "rclone finds a name by listing its directory, and may miss one that is replaced then"
        ),
        "test_processes_that_save_one_name_get_a_file_each": (
            "rclone makes a directory twice, so that a lock locks nothing"
        ),
    }

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_proxy(cls) -> Iterator[None]:
        yield from cls.begin(RcloneFTP())
