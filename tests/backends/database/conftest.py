"""Databases of the tests, each started once a run where a test first needs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from tests.backends.database.server import Place, missing
from tests.servers.database import DatabaseServer, MariaDB, PostgreSQL


@pytest.fixture(scope="session", autouse=True)
def unblocked(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Let tests use Django's connections: their databases are their own."""
    with django_db_blocker.unblock():
        yield


def running(server: DatabaseServer) -> Iterator[DatabaseServer]:
    if reason := server.available():
        pytest.skip(reason)
    with server:
        yield server


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[DatabaseServer]:
    yield from running(PostgreSQL())


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[DatabaseServer]:
    yield from running(MariaDB())


@pytest.fixture(scope="session")
def sqlite(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place("sqlite", None, tmp_path_factory.mktemp("database"))


@pytest.fixture(scope="session")
def postgresql(postgresql_server: DatabaseServer) -> Place:
    return Place("postgresql", postgresql_server, Path())


@pytest.fixture(scope="session")
def mariadb(mariadb_server: DatabaseServer) -> Place:
    return Place("mariadb", mariadb_server, Path())


@pytest.fixture
def place(request: pytest.FixtureRequest) -> Place:
    """The database that a test is parametrised with, through ODBC."""
    if reason := missing(request.param):
        pytest.skip(reason)
    found: Place = request.getfixturevalue(request.param)
    return found
