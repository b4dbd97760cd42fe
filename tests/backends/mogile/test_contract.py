"""The contract on MogileFS: our own emulator of it, with and without a location."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest

from storages.backends.mogile import MogileFSStorage
from storages.testing import Impossible, StorageContract
from tests.backends.mogile.server import RawDomain, address, storage
from tests.servers.mogilefs import Cluster
from tests.servers.process import HOST, refusing_port
from tests.servers.proxy import Proxy

#: Byte of an exchange that lies in the middle of the content, past all headers.
MIDDLE = 50_000


class TestMogileFSOnEmulator(StorageContract):
    """The contract in a domain of its own for each test."""

    configuration = "mogile-emulator"
    shared: ClassVar[Cluster]
    is_networked = True
    has_modified_time = False
    has_created_time = False
    has_accessed_time = False
    longest_name = 255

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def begin(cls, mogilefs: Cluster) -> None:
        cls.shared = mogilefs

    def setUp(self) -> None:
        super().setUp()
        self.cluster = self.shared
        # A class that keeps checksums, so that downloads can be compared with them.
        self.cluster.domain(self.root, default=True)

    def make_storage(self, **options: Any) -> MogileFSStorage:
        return storage(self.cluster, self.root, **options)

    def raw(self) -> RawDomain:
        return RawDomain(self.cluster, self.root)

    def headers(self, name: str) -> dict[str, str]:
        raise Impossible("MogileFS keeps no content type")

    def make_unreachable(self) -> MogileFSStorage:
        return self.make_storage(trackers=[f"{HOST}:{refusing_port()}"], timeout=1.0)

    def make_denied(self) -> MogileFSStorage:
        # A tracker asks nobody who they are, but a plugin of the site may say no.
        self.cluster.domain(f"{self.root}-denied").aborts = True
        return self.make_storage(domain=f"{self.root}-denied")

    def drop_connections(self) -> None:
        self.cluster.hang_up()

    def silent_storage(self) -> MogileFSStorage:
        proxy = self.enterContext(Proxy(*self.cluster.trackers[0].address))
        proxy.silence()
        return self.make_storage(trackers=[address(proxy)], timeout=1.0)

    def make_interrupted(self, change: Callable[[], None]) -> MogileFSStorage:
        pages = iter((lambda: None, change))

        def watch(command: str) -> None:
            if command == "list_keys":
                next(pages, lambda: None)()

        tracker = self.another_cluster().trackers[0]
        tracker.watch = watch
        return self.make_storage(file_overwrite=True)

    def another_cluster(self) -> Cluster:
        """Return a cluster of one tracker and one node, which is this test's from now on."""
        self.cluster = self.enterContext(Cluster(nodes=1))
        self.cluster.domain(self.root, default=True)
        return self.cluster

    def on_bad_line(self) -> tuple[Proxy, MogileFSStorage]:
        """Return a proxy before the only node, and an overwriting storage."""
        (node,) = self.another_cluster().nodes
        proxy = self.enterContext(Proxy(*node.address))
        node.told = f"http://{proxy.host}:{proxy.port}"
        return proxy, self.make_storage(file_overwrite=True, timeout=2.0)

    def make_corrupting_uploads(self) -> MogileFSStorage:
        proxy, storage = self.on_bad_line()
        proxy.corrupt(MIDDLE, "up", times=1)
        return storage

    def make_cutting_downloads(self) -> MogileFSStorage:
        proxy, storage = self.on_bad_line()
        proxy.limit_data(MIDDLE, "down", times=1)
        return storage

    def make_corrupting_downloads(self) -> MogileFSStorage:
        proxy, storage = self.on_bad_line()
        proxy.corrupt(MIDDLE, "down", times=1)
        return storage


class TestMogileFSOnEmulatorWithLocation(TestMogileFSOnEmulator):
    configuration = "mogile-emulator-location"
    longest_name = 255 - len("media/files/")

    def make_storage(self, **options: Any) -> MogileFSStorage:
        return super().make_storage(**{"location": "/media/files/", **options})

    def make_located(self, location: str) -> MogileFSStorage:
        return self.make_storage(file_overwrite=True, location=f"media/files/{location}")

    def raw(self) -> RawDomain:
        return RawDomain(self.cluster, self.root, "media/files/")
