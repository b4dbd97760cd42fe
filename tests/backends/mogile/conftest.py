"""The clusters of these tests, all of our own emulator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.mogilefs import Cluster


@pytest.fixture(scope="session")
def mogilefs() -> Iterator[Cluster]:
    """Two trackers and three nodes for all tests that break nothing."""
    with Cluster(trackers=2, memcached=True) as cluster:
        yield cluster


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster to break."""
    with Cluster(trackers=2) as cluster:
        yield cluster
