"""What tests of the MogileFS backend share: storages on our emulator, and a look behind it."""

from __future__ import annotations

from typing import Any

from storages.backends.mogile import MogileFSStorage
from tests.servers.mogilefs import Cluster
from tests.servers.proxy import Proxy


def storage(cluster: Cluster, domain: str, /, **given: Any) -> MogileFSStorage:
    """Return a storage on a domain, which is made."""
    cluster.domain(domain)
    place = {"trackers": cluster.addresses, "domain": domain, "base_url": "/files/"}
    return MogileFSStorage(**{**place, "timeout": 10.0, **given})


def address(proxy: Proxy) -> str:
    """Return what the option ``trackers`` holds for a proxy before a tracker."""
    return f"{proxy.host}:{proxy.port}"


class RawDomain:
    """A domain of the emulator, past the protocol."""

    def __init__(self, cluster: Cluster, domain: str, prefix: str = "") -> None:
        self.cluster = cluster
        self.domain = domain
        self.prefix = prefix
        cluster.domain(domain)

    def get(self, name: str) -> bytes | None:
        return self.cluster.get(self.domain, self.prefix + name)

    def put(self, name: str, content: bytes) -> None:
        self.cluster.put(self.domain, self.prefix + name, content)

    def names(self) -> list[str]:
        return [each.removeprefix(self.prefix) for each in self.cluster.names(self.domain)]
