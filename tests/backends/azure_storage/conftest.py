"""Servers of the Azure tests, each started once a run where a test first needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends.azure_storage.server import RawContainer, Site
from tests.backends.conftest import running
from tests.servers.azurite import Azurite
from tests.servers.certificates import authority
from tests.servers.http import HTTPProxy
from tests.servers.process import Server


@pytest.fixture(scope="session")
def azurite() -> Iterator[Server]:
    yield from running(Azurite())


@pytest.fixture(scope="session")
def azurite_tls() -> Iterator[Server]:
    yield from running(Azurite(authority().good))


@pytest.fixture(scope="session")
def azurite_front(azurite: Server) -> Iterator[HTTPProxy]:
    with HTTPProxy(*azurite.address) as front:
        yield front


@pytest.fixture
def site(azurite: Azurite, azurite_front: HTTPProxy) -> Iterator[Site]:
    """An empty container on Azurite."""
    with RawContainer(azurite) as raw, Site(raw, azurite_front) as site:
        yield site
