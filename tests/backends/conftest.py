"""Servers of the backends' tests, each started once a run where a test first needs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.moto import Moto
from tests.servers.process import Server
from tests.servers.seaweedfs import SeaweedFS


def running(server: Server) -> Iterator[Server]:
    """Run a server until the end of the run, or skip where it is not installed."""
    if reason := server.available():
        pytest.skip(reason)
    with server:
        yield server


@pytest.fixture(scope="session")
def seaweedfs() -> Iterator[Server]:
    yield from running(SeaweedFS())


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    yield from running(Moto())
