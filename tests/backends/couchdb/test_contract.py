"""The contract on pouchdb-server, with a location and without."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
from django.core.files.storage import Storage

from storages.backends.couchdb import CouchDBStorage
from storages.testing import StorageContract
from tests.backends.couchdb.server import RawDatabase
from tests.servers.http import HTTPProxy, Request
from tests.servers.pouchdb import PouchDB
from tests.servers.process import refusing_port
from tests.servers.proxy import Proxy

NO_DIGESTS = "pouchdb-server stores what arrives, whatever MD5 it is sent with; CouchDB compares"
#: Byte of an exchange that lies in the middle of the content, past all headers.
MIDDLE = 50_000


class Between(HTTPProxy):
    """Calls a function before the second page of a listing."""

    def __init__(self, host: str, port: int, change: Callable[[], None]) -> None:
        super().__init__(host, port)
        self.change = change

    def rule_for(self, request: Request) -> Any:
        if len([each for each in self.requests if "_all_docs" in each.target]) == 1:
            self.change()
        return super().rule_for(request)


class TestCouchDBOnPouchDB(StorageContract):
    """The contract in a database that each test finds empty."""

    configuration = "couchdb-pouchdb"
    server: ClassVar[PouchDB]
    #: The way to the server of this test's storages, once their connections were dropped.
    line: Proxy | None = None
    is_networked = True
    has_accessed_time = False
    operations = 100
    impossible = {
        "6": "pouchdb-server runs out of memory at 256 MiB; test_own.py measures this side",
        "118": NO_DIGESTS,
        "118b": NO_DIGESTS,
    }

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_of_class(cls, pouchdb: PouchDB) -> None:
        cls.server = pouchdb

    def setUp(self) -> None:
        super().setUp()
        self.secrets = {"password": self.server.password}
        self.enterContext(RawDatabase(self.server, f"t{self.root}"))

    def make_storage(self, **options: Any) -> CouchDBStorage:
        place = self.server if self.line is None else self.line
        given = {
            "server": f"http://{place.host}:{place.port}",
            "database": f"t{self.root}",
        }
        return CouchDBStorage(**{**given, **self.account(), **options})

    def account(self) -> dict[str, Any]:
        return {"user": self.server.user, "password": self.server.password}

    def raw(self) -> RawDatabase:
        return RawDatabase(self.server, f"t{self.root}")

    def plant_many(self, names: Iterable[str]) -> None:
        self.raw().plant(names)

    def headers(self, name: str) -> dict[str, str]:
        return {"Content-Type": (self.raw().document(name) or {})["content_type"]}

    def make_unreachable(self) -> CouchDBStorage:
        return self.make_storage(server=f"http://127.0.0.1:{refusing_port()}", timeout=1)

    def make_denied(self) -> CouchDBStorage:
        return self.make_storage(user=self.server.user, password="wrong")

    def make_behind(self, front: Proxy | HTTPProxy) -> CouchDBStorage:
        """Return a storage whose way to the server leads through a proxy."""
        return self.make_storage(
            server=f"http://{front.host}:{front.port}", file_overwrite=True, timeout=1
        )

    def make_cutting_downloads(self) -> CouchDBStorage:
        line = self.enterContext(Proxy(*self.server.address))
        line.limit_data(MIDDLE, "down", times=1)
        return self.make_behind(line)

    def make_corrupting_downloads(self) -> CouchDBStorage:
        line = self.enterContext(Proxy(*self.server.address))
        line.corrupt(MIDDLE, "down", times=1)
        return self.make_behind(line)

    def canaries(self, canary: str) -> dict[str, Any]:
        url = f"http://user:{canary}@127.0.0.1:{refusing_port()}"
        return {**super().canaries(canary), "server": url}

    def drop_connections(self) -> None:
        if self.line is None:
            self.line = self.enterContext(Proxy(*self.server.address))
        self.line.drop_connections()

    def silent_storage(self) -> CouchDBStorage:
        line = self.enterContext(Proxy(*self.server.address))
        line.silence()
        return self.make_behind(line)

    def make_interrupted(self, change: Callable[[], None]) -> Storage:
        front = self.enterContext(Between(*self.server.address, change))
        return self.make_storage(server=front.url)


class TestCouchDBOnPouchDBWithLocation(TestCouchDBOnPouchDB):
    configuration = "couchdb-pouchdb-location"

    def setUp(self) -> None:
        super().setUp()
        self.secrets = {"server": self.url(self.server)}

    def make_storage(self, **options: Any) -> CouchDBStorage:
        place = self.server if self.line is None else self.line
        url = self.url(place) if "user" not in options else f"http://{place.host}:{place.port}"
        return super().make_storage(**{"location": "/_media/files/", "server": url, **options})

    def url(self, place: Any) -> str:
        password = quote(self.server.password, safe="")
        return f"http://{self.server.user}:{password}@{place.host}:{place.port}"

    def account(self) -> dict[str, Any]:
        return {}

    def make_located(self, location: str) -> CouchDBStorage:
        return self.make_storage(file_overwrite=True, location=f"_media/files/{location}")

    def raw(self) -> RawDatabase:
        return RawDatabase(self.server, f"t{self.root}", "_media/files/")

    def make_behind(self, front: Proxy | HTTPProxy) -> CouchDBStorage:
        return self.make_storage(server=self.url(front), file_overwrite=True, timeout=1)

    def make_interrupted(self, change: Callable[[], None]) -> Storage:
        front = self.enterContext(Between(*self.server.address, change))
        return self.make_storage(server=self.url(front))
