"""The contract on databases: through ODBC, and through Django's own connections."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import pytest
from django.db import connections

from storages.backends.database import DatabaseStorage
from storages.testing import StorageContract
from tests.backends.database.server import COLUMNS, MORE, Place, RawTable, missing
from tests.servers.process import refusing_port
from tests.servers.proxy import Proxy

NO_SERVER = "SQLite's database is a file, to which there are no connections"
NO_CHECKSUM = "databases' protocols have no checksums: TLS is what guards the line"
ONE_STATEMENT = "a listing is one statement, which others' changes do not reach"
IN_THE_TEXT = (
    "Django sends a content to PostgreSQL in the text of the statement, whose parser takes 256 MiB "
    "of it, unless DATABASES says server_side_binding"
)
ITS_OWN = "Django's connections have the time limits and logins of DATABASES"

ALL: dict[str, str] = dict.fromkeys(("118", "118b", "120"), NO_CHECKSUM) | {"95": ONE_STATEMENT}
WITHOUT_SERVER = dict.fromkeys(("77b", "80b", "113", "113b", "114", "119"), NO_SERVER)


class DatabaseContract(StorageContract):
    """The contract in a table of its own for each test."""

    place: ClassVar[Place]
    #: How the storages of a class reach the database.
    way: ClassVar[dict[str, Any]]
    impossible = ALL
    has_created_time = False
    has_accessed_time = False
    longest_name = 255
    #: A driver takes a content as one value, and turns it into the form that it sends.
    memory_budget = 2 * 1024 * 1024 * 1024

    @property
    def table(self) -> str:
        return f"Files {self.root}"

    def setUp(self) -> None:
        super().setUp()
        if "password" in self.way:
            self.secrets = {"password": self.way["password"]}
        storage = self.make_storage()
        storage.create_table()
        self.addCleanup(self.place.execute, f'DROP TABLE "{self.table}"')
        self.addCleanup(storage.close)

    def make_storage(self, **options: Any) -> DatabaseStorage:
        table = {"db_table": self.table, **COLUMNS, **MORE, "base_url": "/files/"}
        return DatabaseStorage(**{**table, **self.way, **options})

    def raw(self) -> RawTable:
        return RawTable(self.place, self.table)

    def plant_many(self, names: Iterable[str]) -> None:
        self.raw().plant(names)

    def headers(self, name: str) -> dict[str, str]:
        return {"Content-Type": self.raw().kind_of(name)}

    def canaries(self, canary: str) -> dict[str, Any]:
        return {**super().canaries(canary), "option": {"password": canary}}


class NetworkedContract(DatabaseContract):
    """The contract on a database server, behind a proxy."""

    proxy: ClassVar[Proxy]
    is_networked = True

    def through_another(self, **given: Any) -> tuple[Proxy, DatabaseStorage]:
        """Return a new proxy for this test, and an overwriting storage through it."""
        assert self.place.server is not None
        proxy = self.enterContext(Proxy(*self.place.server.address))
        storage = self.make_storage(port=proxy.port, file_overwrite=True, **given)
        storage.exists("a.txt")
        self.addCleanup(storage.close)
        return proxy, storage

    def make_unreachable(self) -> DatabaseStorage:
        return self.make_storage(port=refusing_port(), timeout=1.0)

    def make_denied(self) -> DatabaseStorage:
        return self.make_storage(password="wrong")

    def drop_connections(self) -> None:
        self.proxy.drop_connections()

    def silent_storage(self) -> DatabaseStorage:
        proxy, storage = self.through_another(timeout=1.0)
        proxy.silence()
        return storage

    def make_cutting_downloads(self) -> DatabaseStorage:
        proxy, storage = self.through_another()
        proxy.limit_data(50_000, "down", times=1)
        return storage


class TestDatabaseODBCSQLite(DatabaseContract):
    configuration = "database-odbc-sqlite"
    impossible = ALL | WITHOUT_SERVER
    longest_name = None

    def make_unreachable(self) -> DatabaseStorage:
        return self.make_storage(database="/missing/files.sqlite3")

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def database(cls, sqlite: Place) -> None:
        if reason := missing("sqlite"):
            pytest.skip(reason)
        cls.place, cls.way = sqlite, sqlite.options()


class TestDatabaseODBCPostgreSQL(NetworkedContract):
    configuration = "database-odbc-postgresql"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def database(cls, postgresql: Place) -> Iterator[None]:
        yield from behind_proxy(cls, postgresql)


class TestDatabaseODBCMariaDB(NetworkedContract):
    configuration = "database-odbc-mariadb"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def database(cls, mariadb: Place) -> Iterator[None]:
        yield from behind_proxy(cls, mariadb)


def behind_proxy(cls: type[NetworkedContract], place: Place) -> Iterator[None]:
    if reason := missing(place.kind):
        pytest.skip(reason)
    assert place.server is not None
    cls.place = place
    with Proxy(*place.server.address) as cls.proxy:
        cls.way = place.options(cls.proxy)
        yield


class DjangoContract(DatabaseContract):
    """The contract on an alias of DATABASES."""

    @classmethod
    def begin(cls, place: Place, via: Proxy | None = None, **options: Any) -> Iterator[None]:
        cls.place = place
        with place.alias(via, **options) as alias:
            cls.way = {"using": alias}
            yield

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(connections.close_all)


class TestDatabaseDjangoSQLite(DjangoContract):
    configuration = "database-django-sqlite"
    impossible = ALL | WITHOUT_SERVER | dict.fromkeys(("77", "80", "110b"), ITS_OWN)
    longest_name = None

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def database(cls, sqlite: Place) -> Iterator[None]:
        yield from cls.begin(sqlite)


class TestDatabaseDjangoPostgreSQL(DjangoContract):
    configuration = "database-django-postgresql"
    impossible = {
        **ALL,
        **dict.fromkeys(("77", "80", "77b", "80b", "110b", "114"), ITS_OWN),
        "6": IN_THE_TEXT,
    }
    proxy: ClassVar[Proxy]
    is_networked = True
    binds_on_server = False

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def database(cls, postgresql: Place) -> Iterator[None]:
        assert postgresql.server is not None
        with Proxy(*postgresql.server.address) as cls.proxy:
            bound = {"server_side_binding": cls.binds_on_server}
            yield from cls.begin(postgresql, cls.proxy, **bound)

    def drop_connections(self) -> None:
        self.proxy.drop_connections()

    def make_cutting_downloads(self) -> DatabaseStorage:
        storage = self.make_storage(file_overwrite=True)
        storage.exists("a.txt")
        self.proxy.limit_data(50_000, "down", times=1)
        self.addCleanup(self.proxy.clear)
        return storage


class TestDatabaseDjangoPostgreSQLBound(TestDatabaseDjangoPostgreSQL):
    configuration = "database-django-postgresql-bound"
    binds_on_server = True
    impossible = {
        item: reason
        for item, reason in TestDatabaseDjangoPostgreSQL.impossible.items()
        if reason != IN_THE_TEXT
    }
