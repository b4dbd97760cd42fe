"""A real server, SeaweedFS, at a distance: it shows whether the meter's ratios hold."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3

from benchmarks.responder import ACCESS_KEY, SECRET_KEY
from tests.servers.process import HOST
from tests.servers.proxy import Proxy
from tests.servers.seaweedfs import SeaweedFS

BUCKET = "benchmark"


class Distant:
    """SeaweedFS behind a proxy that delays its answers; requests are not counted."""

    def __init__(self, server: SeaweedFS, proxy: Proxy) -> None:
        self.url = f"http://{HOST}:{proxy.port}"
        self._proxy = proxy
        self._bucket = boto3.resource(
            "s3",
            endpoint_url=server.url,
            region_name=server.region,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        ).Bucket(BUCKET)
        self._bucket.create()

    def reset(self, delay: float) -> None:
        """Empty the bucket; from now on each answer comes so many seconds late."""
        self._proxy.clear()
        self._bucket.objects.all().delete()
        if delay:
            self._proxy.latency(delay)

    def counts(self) -> dict[str, Any]:
        """Return how many objects there are."""
        return {"objects": sum(1 for _ in self._bucket.objects.all()), "requests": {}}


@contextmanager
def distant() -> Iterator[Distant]:
    """Start SeaweedFS and the proxy."""
    with SeaweedFS() as server, Proxy(HOST, server.port) as proxy:
        yield Distant(server, proxy)
