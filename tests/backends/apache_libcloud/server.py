"""What the tests of the Libcloud backend share: entries for a server, and a storage for them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import generate_container_sas

from storages.backends.apache_libcloud import LibCloudStorage
from tests.servers.http import HTTPProxy, Request

PROVIDER = "libcloud.storage.types.Provider."
PLANTERS = 2  # connections: Azurite has one thread


def s3_entry(server: Any, place: Any = None, **more: Any) -> dict[str, Any]:
    """Return an entry for a server of S3's protocol; ``place`` is a proxy on the way to it."""
    place = place or server
    return {
        "type": f"{PROVIDER}S3",
        "user": server.access_key,
        "key": server.secret_key,
        "region": server.region,
        "host": place.host,
        "port": place.port,
        "secure": False,
        **more,
    }


class Interrupting(HTTPProxy):
    """A proxy that does something once, just before the first request whose target matches."""

    def __init__(self, host: str, port: int, pattern: str, change: Callable[[], None]) -> None:
        super().__init__(host, port)
        self._pattern = re.compile(pattern)
        self._changes = [change]

    def rule_for(self, request: Request) -> Any:
        if self._pattern.search(request.target) and self._changes:
            self._changes.pop()()
        return super().rule_for(request)


def azure_entry(server: Any, place: Any = None, **more: Any) -> dict[str, Any]:
    """Return an entry for azurite; ``place`` is a proxy on the way to it."""
    place = place or server
    return {
        "type": f"{PROVIDER}AZURE_BLOBS",
        "user": server.account,
        "key": server.key,
        "host": place.host,
        "port": place.port,
        "secure": False,
        **more,
    }


class RawContainer:
    """A container on azurite, seen by Azure's own client alone."""

    def __init__(self, server: Any, name: str = "") -> None:
        self.server = server
        self.name = name or f"test-{uuid.uuid4().hex}"
        self.client = server.client.get_container_client(self.name)

    def get(self, name: str) -> bytes | None:
        try:
            content: bytes = self.client.download_blob(name, decompress=False).readall()
        except ResourceNotFoundError:
            return None
        return content

    def put(self, name: str, content: bytes, **more: Any) -> None:
        self.client.upload_blob(name, content, overwrite=True, **more)

    def plant(self, names: Iterable[str]) -> None:
        """Make many small blobs, in half the time that Azure's client takes."""
        until = datetime.now(UTC) + timedelta(hours=1)
        place = (self.server.account, self.name)
        query = generate_container_sas(*place, self.server.key, permission="w", expiry=until)

        def put(some: Iterable[str]) -> None:
            with closing(HTTPConnection(*self.server.address)) as connection:
                for name in some:
                    url = f"/{'/'.join(place)}/{quote(name)}?{query}"
                    connection.request("PUT", url, b"x", {"x-ms-blob-type": "BlockBlob"})
                    answer = connection.getresponse()
                    assert (answer.status, answer.read()) == (201, b"")

        every = list(names)
        with ThreadPoolExecutor(PLANTERS) as pool:
            list(pool.map(put, [every[start::PLANTERS] for start in range(PLANTERS)]))

    def names(self) -> list[str]:
        # Blocks that were not committed make a blob of their own.
        found = self.client.list_blobs(include=["uncommittedblobs"])
        return [each.name for each in found]

    def properties(self, name: str) -> Any:
        return self.client.get_blob_client(name).get_blob_properties()

    def __enter__(self) -> Self:
        self.client.create_container()
        return self

    def __exit__(self, *raised: object) -> None:
        self.client.delete_container()


def local_storage(base: Path, **options: Any) -> LibCloudStorage:
    """Return a storage on a container of the LOCAL driver, which is made."""
    (base / "container").mkdir(exist_ok=True)
    entry = {"type": f"{PROVIDER}LOCAL", "user": str(base), "bucket": "container"}
    return LibCloudStorage(**{**entry, **options})
