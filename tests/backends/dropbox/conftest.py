"""The Dropbox stub, started once a run where a test first needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends.dropbox.server import Site
from tests.servers.dropbox_stub import DropboxStub
from tests.servers.http import HTTPProxy


@pytest.fixture(scope="session")
def stub() -> Iterator[DropboxStub]:
    with DropboxStub() as server:
        yield server


@pytest.fixture
def site(stub: DropboxStub) -> Iterator[Site]:
    """An account of its own on the stub."""
    with HTTPProxy(*stub.address) as front:
        yield Site(stub, front)
