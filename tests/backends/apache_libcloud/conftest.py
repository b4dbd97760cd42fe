"""Azurite, and containers on it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.backends.apache_libcloud.server import RawContainer
from tests.backends.conftest import running
from tests.servers.azurite import Azurite
from tests.servers.process import Server


@pytest.fixture(scope="session")
def azurite() -> Iterator[Server]:
    yield from running(Azurite())


@pytest.fixture
def container(azurite: Server) -> Iterator[RawContainer]:
    """An empty container on azurite."""
    with RawContainer(azurite) as container:
        yield container
