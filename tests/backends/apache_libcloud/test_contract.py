"""The contract on LOCAL, on S3 by moto, on MINIO by SeaweedFS, and on AZURE_BLOBS by azurite."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.core.files.storage import Storage

from storages.backends.apache_libcloud import LibCloudManifestStaticStorage, LibCloudStorage
from storages.testing import StorageContract
from tests.backends.apache_libcloud.server import (
    PROVIDER,
    Interrupting,
    RawContainer,
    azure_entry,
    s3_entry,
)
from tests.backends.local.server import BASE_URL, LocalContract
from tests.backends.s3boto3.server import DENIED, RawBucket
from tests.servers.certificates import authority
from tests.servers.http import HTTPProxy
from tests.servers.process import Server, refusing_port
from tests.servers.proxy import Proxy

#: Byte of an exchange that lies in the middle of the content, past all headers.
MIDDLE = 50_000
PAGE_SIZE = 5000  # of Azure
NO_LAST_DOT = "Azure drops a dot at the end of a name, so such names are refused"
IMPATIENT = 1.0  # seconds


class ObjectsContract(StorageContract):
    """The contract in a container that each test finds empty."""

    server: ClassVar[Any]
    container: str
    #: The way to the server of this test's storages, once their connections were dropped.
    line: Proxy | None = None
    is_networked = True
    urls_are_served = True
    has_created_time = False
    has_accessed_time = False
    signs_urls = True
    large_size = 4 * 1024 * 1024 + 1
    longest_name = 1024
    operations = 100
    impossible = {
        "99b": "the service serves its files itself: without base_url it has their URLs",
    }

    def entry(self, place: Any = None, **more: Any) -> dict[str, Any]:
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()
        self.secrets = {"key": self.entry()["key"]}

    def make_storage(self, **options: Any) -> LibCloudStorage:
        given = {**self.entry(self.line), "bucket": self.container}
        return LibCloudStorage(**{**given, **options})

    def make_unreachable(self) -> LibCloudStorage:
        return self.make_storage(port=refusing_port(), timeout=IMPATIENT)

    def make_behind(self, front: Proxy | HTTPProxy, **options: Any) -> LibCloudStorage:
        """Return a storage whose way to the server leads through a proxy."""
        return self.make_storage(host=front.host, port=front.port, **options)

    def make_corrupting_uploads(self) -> LibCloudStorage:
        line = self.enterContext(Proxy(*self.server.address))
        line.corrupt(MIDDLE, "up", times=1)
        return self.make_behind(line)

    def make_cutting_downloads(self) -> LibCloudStorage:
        line = self.enterContext(Proxy(*self.server.address))
        line.limit_data(MIDDLE, "down", times=1)
        return self.make_behind(line)

    def make_corrupting_downloads(self) -> LibCloudStorage:
        # There is no digest for a part of an object: what guards a download is TLS.
        tls = authority().good.server_context()
        front = self.enterContext(HTTPProxy(*self.server.address, tls=tls))
        line = self.enterContext(Proxy(front.host, front.port))
        line.corrupt(MIDDLE, "down", times=1)
        return self.make_behind(line, secure=True, ca_certs=str(authority().ca_file))

    def make_manifest(self) -> LibCloudManifestStaticStorage:
        recipe = self.recipe()
        return LibCloudManifestStaticStorage(*recipe.args, **recipe.options)

    def drop_connections(self) -> None:
        if self.line is None:
            self.line = self.enterContext(Proxy(*self.server.address))
        self.line.drop_connections()

    def silent_storage(self) -> LibCloudStorage:
        line = self.enterContext(Proxy(*self.server.address))
        line.silence()
        return self.make_behind(line, timeout=IMPATIENT)

    def make_denied(self) -> LibCloudStorage:
        front = self.enterContext(HTTPProxy(*self.server.address))
        front.answer(403, DENIED, times=None)
        return self.make_behind(front)

    def canaries(self, canary: str) -> dict[str, Any]:
        entry = {**self.entry(), "key": canary, "bucket": self.container}
        return {
            **super().canaries(canary),
            "option": {"proxy_url": f"http://user:{canary}@127.0.0.1:{refusing_port()}"},
            "providers": {"default": entry},
        }


class TestLibcloudOnMoto(ObjectsContract):
    configuration = "libcloud-s3"
    named_in_urls = frozenset({"user"})
    longest_expire = 604_800
    impossible = {
        **ObjectsContract.impossible,
        "118": "moto checks no digest",
        "118b": "moto checks no digest",
        "test_signature_of_one_file_does_not_open_another": "moto checks no signature",
    }

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_bucket(cls, moto: Server) -> Iterator[None]:
        cls.server = moto
        with RawBucket(moto) as bucket:
            cls.container = bucket.bucket
            yield

    def setUp(self) -> None:
        super().setUp()
        self.addCleanup(RawBucket(self.server, self.container).empty)

    def entry(self, place: Any = None, **more: Any) -> dict[str, Any]:
        return s3_entry(self.server, place, **more)

    def raw(self) -> RawBucket:
        return RawBucket(self.server, self.container)

    def plant_many(self, names: Iterable[str]) -> None:
        self.raw().plant(names)

    def headers(self, name: str) -> dict[str, str]:
        answer: dict[str, str] = self.raw().head(name)["ResponseMetadata"]["HTTPHeaders"]
        names = {"content-type": "Content-Type", "content-encoding": "Content-Encoding"}
        return {names[each]: answer[each] for each in names if each in answer}

    def make_interrupted(self, change: Callable[[], None]) -> LibCloudStorage:
        second = Interrupting(*self.server.address, "continuation-token=", change)
        return self.make_behind(self.enterContext(second))


class TestLibcloudOnSeaweedFS(TestLibcloudOnMoto):
    """MinIO's driver, on a server that checks signatures and digests."""

    configuration = "libcloud-minio"
    impossible = ObjectsContract.impossible

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_bucket(cls, weed_bucket: RawBucket) -> None:  # type: ignore[override]
        cls.server = weed_bucket.server
        cls.container = weed_bucket.bucket

    def entry(self, place: Any = None, **more: Any) -> dict[str, Any]:
        return s3_entry(self.server, place, **{"type": f"{PROVIDER}MINIO", **more})

    def make_denied(self) -> LibCloudStorage:
        return self.make_storage(key="wrong")


class TestLibcloudOnAzurite(ObjectsContract):
    configuration = "libcloud-azure"
    named_in_urls = frozenset({"user"})
    has_created_time = True
    refused_characters = dict.fromkeys(("trailing dot", "trailing dot of a directory"), NO_LAST_DOT)

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def azurite_server(cls, azurite: Server) -> None:
        cls.server = azurite

    def setUp(self) -> None:
        super().setUp()
        self.container = self.enterContext(RawContainer(self.server)).name

    def entry(self, place: Any = None, **more: Any) -> dict[str, Any]:
        return azure_entry(self.server, place, **more)

    def raw(self) -> RawContainer:
        return RawContainer(self.server, self.container)

    def plant_many(self, names: Iterable[str]) -> None:
        self.raw().plant(names)

    def headers(self, name: str) -> dict[str, str]:
        settings = self.raw().properties(name).content_settings
        found = {"Content-Type": settings.content_type}
        if settings.content_encoding:
            found["Content-Encoding"] = settings.content_encoding
        return found

    def make_interrupted(self, change: Callable[[], None]) -> LibCloudStorage:
        # A page of Azure's has 5,000 names.
        self.plant_many(f"many/more-{number:04}.txt" for number in range(PAGE_SIZE // 2 + 1))
        second = Interrupting(*self.server.address, "marker=", change)
        return self.make_behind(self.enterContext(second))


class TestLibcloudOnLocalDirectory(LocalContract):
    configuration = "libcloud-local"

    def setUp(self) -> None:
        super().setUp()
        self.base = self.directory
        self.directory = self.base / "container"
        self.directory.mkdir()

    def make_storage(self, **options: Any) -> LibCloudStorage:  # type: ignore[override]
        entry = {"type": f"{PROVIDER}LOCAL", "user": str(self.base), "bucket": "container"}
        return LibCloudStorage(**{**entry, "base_url": BASE_URL, **options})

    def make_located(self, location: str) -> LibCloudStorage:  # type: ignore[override]
        return self.make_storage(file_overwrite=True, location=location)

    def make_denied(self) -> LibCloudStorage:  # type: ignore[override]
        return self.make_storage(user=str(self.denied_way(self.base)))

    def local_directory(self) -> Path:
        return self.directory

    def name_of_open(self, name: str, storage: Storage) -> str:
        return name  # libcloud has no path for it

    def canaries(self, canary: str) -> dict[str, Any]:
        entry = {"type": f"{PROVIDER}LOCAL", "user": str(self.base), "bucket": "container"}
        return {
            **super().canaries(canary),
            "option": {"token": canary},
            "providers": {"default": {**entry, "key": canary}},
        }

    def make_manifest(self) -> LibCloudManifestStaticStorage:
        recipe = self.recipe()
        return LibCloudManifestStaticStorage(*recipe.args, **recipe.options)
