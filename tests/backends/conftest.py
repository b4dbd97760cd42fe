"""Servers of the backends' tests, each started once a run where a test first needs it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.backends.s3boto3.server import RawBucket, Site
from tests.servers.exfat import ExFAT
from tests.servers.http import HTTPProxy
from tests.servers.moto import Moto
from tests.servers.process import Server
from tests.servers.seaweedfs import SeaweedFS


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this machine's authorities and accounts out of the tests."""
    for name in os.environ:
        if name.startswith("AWS_") or name.endswith("_CA_BUNDLE"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


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


@pytest.fixture(scope="session")
def exfat() -> Iterator[ExFAT]:
    if reason := ExFAT.available():
        pytest.skip(reason)
    with ExFAT() as mounted:
        yield mounted


# One bucket for all tests: SeaweedFS gives each volumes of its own, and has only so many. One
# address for all: a client of boto3's for each takes longer than most tests.


@pytest.fixture(scope="session")
def weed_bucket(seaweedfs: Server) -> Iterator[RawBucket]:
    with RawBucket(seaweedfs) as bucket:
        yield bucket


@pytest.fixture(scope="session")
def weed_front(seaweedfs: Server) -> Iterator[HTTPProxy]:
    with HTTPProxy(*seaweedfs.address) as front:
        yield front


@pytest.fixture(scope="session")
def moto_front(moto: Server) -> Iterator[HTTPProxy]:
    with HTTPProxy(*moto.address) as front:
        yield front


@pytest.fixture
def weed(weed_bucket: RawBucket, weed_front: HTTPProxy) -> Iterator[Site]:
    """An empty bucket on SeaweedFS."""
    with Site(weed_bucket, weed_front) as site:
        yield site


@pytest.fixture
def site(moto: Server, moto_front: HTTPProxy) -> Iterator[Site]:
    """An empty bucket on moto."""
    with RawBucket(moto) as bucket, Site(bucket, moto_front) as site:
        yield site
