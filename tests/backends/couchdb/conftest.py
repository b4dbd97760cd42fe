"""The server of the CouchDB backend's tests, and a database of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends.conftest import running
from tests.backends.couchdb.server import RawDatabase, Site
from tests.servers.http import HTTPProxy
from tests.servers.pouchdb import PouchDB
from tests.servers.process import Server


@pytest.fixture(scope="session")
def pouchdb() -> Iterator[Server]:
    yield from running(PouchDB())


@pytest.fixture(scope="session")
def couch_front(pouchdb: PouchDB) -> Iterator[HTTPProxy]:
    with HTTPProxy(*pouchdb.address) as front:
        yield front


@pytest.fixture
def site(pouchdb: PouchDB, couch_front: HTTPProxy) -> Iterator[Site]:
    """An empty database, and the proxy before it."""
    with RawDatabase(pouchdb) as raw:
        couch_front.clear()
        yield Site(raw, couch_front)
        couch_front.clear()
