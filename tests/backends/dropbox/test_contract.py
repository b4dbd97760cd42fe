"""The contract on the Dropbox stub, at the root of an account and in a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import pytest
from django.core.files.storage import Storage

from storages.testing import StorageContract
from tests.backends.dropbox.server import RawDropbox, StubbedStorage
from tests.servers.dropbox_stub import DropboxStub
from tests.servers.http import HTTPProxy
from tests.servers.process import refusing_port
from tests.servers.proxy import Proxy

#: Byte of an exchange that lies in the middle of the content, past all headers.
MIDDLE = 50_000


class TestDropboxStub(StorageContract):
    """The contract in an account of its own for each test."""

    configuration = "dropbox-stub"
    server: ClassVar[DropboxStub]
    #: The way to the server of this test's storages, once their connections were dropped.
    line: Proxy | None = None
    folder: ClassVar[str] = ""
    has_directories = True
    is_networked = True
    urls_are_served = True
    has_created_time = False
    has_accessed_time = False
    signs_urls = True
    longest_expire = 14_400
    large_size = 4 * 1024 * 1024 + 1
    operations = 100
    refused_characters = dict.fromkeys(
        ("trailing space", "trailing space of a directory"),
        "Dropbox keeps no name that ends in a space",
    )
    impossible = {
        "79b": "Dropbox lets nobody remove a folder only if it is empty",
        "64": "Dropbox takes names that differ in case for one",
        "99b": "without base_url a file has a temporary link",
        "104": "a temporary link is made by Dropbox",
        "test_signed_url_without_its_signature_is_refused": "a link has no part that signs it",
        "test_signature_of_one_file_does_not_open_another": "a link has no part that signs it",
    }

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def running(cls, stub: DropboxStub) -> None:
        cls.server = stub

    def setUp(self) -> None:
        super().setUp()
        self.secrets = {"oauth2_access_token": f"good-{self.root}"}

    def make_storage(self, **options: Any) -> StubbedStorage:
        given = {"endpoint": self.server.url, "root_path": self.folder or "/", **self.secrets}
        if self.line is not None:
            given["endpoint"] = f"http://{self.line.host}:{self.line.port}"
        return StubbedStorage(**{**given, **options})

    def raw(self) -> RawDropbox:
        return RawDropbox(self.server, self.root, self.folder)

    def plant_many(self, names: Iterable[str]) -> None:
        self.server.plant(self.root, [f"{self.folder}/{each}" for each in names])

    def make_unreachable(self) -> StubbedStorage:
        return self.make_storage(endpoint=f"http://127.0.0.1:{refusing_port()}")

    def make_denied(self) -> StubbedStorage:
        return self.make_storage(oauth2_access_token="unknown")

    def make_behind(self, front: Proxy | HTTPProxy, **options: Any) -> StubbedStorage:
        """Return a storage whose way to the server leads through a proxy."""
        return self.make_storage(
            endpoint=f"http://{front.host}:{front.port}", **{"file_overwrite": True, **options}
        )

    def make_corrupting_uploads(self) -> StubbedStorage:
        line = self.enterContext(Proxy(*self.server.address))
        line.corrupt(MIDDLE, "up", times=1)
        return self.make_behind(line)

    def make_cutting_downloads(self) -> StubbedStorage:
        line = self.enterContext(Proxy(*self.server.address))
        line.limit_data(MIDDLE, "down", times=1)
        return self.make_behind(line)

    def make_corrupting_downloads(self) -> StubbedStorage:
        line = self.enterContext(Proxy(*self.server.address))
        line.corrupt(MIDDLE, "down", times=1)
        return self.make_behind(line)

    def drop_connections(self) -> None:
        if self.line is None:
            self.line = self.enterContext(Proxy(*self.server.address))
        self.line.drop_connections()

    def silent_storage(self) -> StubbedStorage:
        line = self.enterContext(Proxy(*self.server.address))
        line.silence()
        return self.make_behind(line, timeout=1)

    def make_hashing(self, *, file_overwrite: bool = True, **members: Any) -> Storage:
        # A temporary link is another one each time, so static files need a public URL.
        members = {"base_url": "/static/", **members}
        return super().make_hashing(file_overwrite=file_overwrite, **members)

    def make_interrupted(self, change: Callable[[], None]) -> Storage:
        front = self.enterContext(Interrupting(*self.server.address, change=change))
        return self.make_behind(front)


class Interrupting(HTTPProxy):
    """Does something before it passes on the first request for a further page."""

    def __init__(self, host: str, port: int, *, change: Callable[[], None]) -> None:
        super().__init__(host, port)
        self.changes = iter((change,))

    def rule_for(self, request: Any) -> Any:
        if request.target.endswith("/continue"):
            next(self.changes, lambda: None)()
        return super().rule_for(request)


class TestDropboxStubWithRoot(TestDropboxStub):
    configuration = "dropbox-stub-root"
    folder = "/Apps/Site"

    def make_storage(self, **options: Any) -> StubbedStorage:
        return super().make_storage(**{"root_path": "Apps/site/", **options})
