"""The contract on S3: SeaweedFS, with a location and without, and moto."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import pytest
from django.core.files.storage import Storage

from storages.backends.s3boto3 import S3Boto3Storage, S3ManifestStaticStorage
from storages.testing import StorageContract
from tests.backends.s3boto3.server import DENIED, IMPATIENT, RawBucket, account
from tests.servers.certificates import authority
from tests.servers.http import HTTPProxy
from tests.servers.process import Server, refusing_port
from tests.servers.proxy import Proxy

#: For services that know the checksums of AWS.
CHECKSUMS = {"request_checksum_calculation": "when_supported"}
#: Byte of an exchange that lies in the middle of the content, past all headers.
MIDDLE = 50_000


class S3Contract(StorageContract):
    """The contract in a bucket that each test finds empty."""

    server: ClassVar[Any]
    bucket: ClassVar[str]
    #: The way to the server of this test's storages, once their connections were dropped.
    line: Proxy | None = None
    is_networked = True
    urls_are_served = True
    has_created_time = False
    has_accessed_time = False
    signs_urls = True
    longest_expire = 604_800
    named_in_urls = frozenset({"access_key"})
    large_size = 8 * 1024 * 1024 + 1
    longest_name = 1024
    operations = 100
    deleted_at_once = 1000
    impossible = {
        "99b": "S3 serves its files itself: without base_url it has their URLs",
    }

    @classmethod
    def begin(cls, server: Server) -> Iterator[None]:
        """Make the bucket of the class's tests."""
        cls.server = server
        with RawBucket(server) as bucket:
            cls.bucket = bucket.bucket
            yield

    def setUp(self) -> None:
        super().setUp()
        self.secrets = {name: account(self.server)[name] for name in ("access_key", "secret_key")}
        self.addCleanup(RawBucket(self.server, self.bucket).empty)

    def make_storage(self, **options: Any) -> S3Boto3Storage:
        given = {"bucket_name": self.bucket, **account(self.server)}
        if self.line is not None:
            given["endpoint_url"] = f"http://{self.line.host}:{self.line.port}"
        return S3Boto3Storage(**{**given, **options})

    def raw(self) -> RawBucket:
        return RawBucket(self.server, self.bucket)

    def plant_many(self, names: Iterable[str]) -> None:
        self.raw().plant(names)

    def headers(self, name: str) -> dict[str, str]:
        answer: dict[str, str] = self.raw().head(name)["ResponseMetadata"]["HTTPHeaders"]
        names = {"content-type": "Content-Type", "content-encoding": "Content-Encoding"}
        return {names[each]: answer[each] for each in names if each in answer}

    def make_unreachable(self) -> S3Boto3Storage:
        away = f"http://127.0.0.1:{refusing_port()}"
        return self.make_storage(endpoint_url=away, client_config=IMPATIENT)

    def make_behind(self, front: Proxy | HTTPProxy, **options: Any) -> S3Boto3Storage:
        """Return a storage whose way to the server leads through a proxy."""
        scheme = "https" if "verify" in options else "http"
        return self.make_storage(endpoint_url=f"{scheme}://{front.host}:{front.port}", **options)

    def make_corrupting_uploads(self) -> S3Boto3Storage:
        line = self.enterContext(Proxy(*self.server.address))
        line.corrupt(MIDDLE, "up", times=1)
        # SeaweedFS does not compare the digest that is signed, as others do, but knows checksums.
        return self.make_behind(line, client_config=CHECKSUMS)

    def make_cutting_downloads(self) -> S3Boto3Storage:
        line = self.enterContext(Proxy(*self.server.address))
        line.limit_data(MIDDLE, "down", times=1)
        return self.make_behind(line)

    def make_corrupting_downloads(self) -> S3Boto3Storage:
        # S3 gives no digest for a part of an object: what guards a download is TLS.
        tls = authority().good.server_context()
        front = self.enterContext(HTTPProxy(*self.server.address, tls=tls))
        line = self.enterContext(Proxy(front.host, front.port))
        line.corrupt(MIDDLE, "down", times=1)
        return self.make_behind(line, verify=str(authority().ca_file))

    def canaries(self, canary: str) -> dict[str, Any]:
        return {
            **super().canaries(canary),
            "object_parameters": {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": canary},
            "proxies": {"http": f"http://user:{canary}@127.0.0.1:{refusing_port()}"},
            "client_config": {
                "proxies": {"http": f"http://u:{canary}@127.0.0.1:{refusing_port()}"}
            },
        }

    def make_manifest(self) -> S3ManifestStaticStorage:
        recipe = self.recipe()
        return S3ManifestStaticStorage(*recipe.args, **recipe.options)

    def drop_connections(self) -> None:
        if self.line is None:
            self.line = self.enterContext(Proxy(*self.server.address))
        self.line.drop_connections()

    def silent_storage(self) -> S3Boto3Storage:
        line = self.enterContext(Proxy(*self.server.address))
        line.silence()
        return self.make_behind(line, client_config=IMPATIENT)

    def make_interrupted(self, change: Callable[[], None]) -> Storage:
        storage = self.make_storage(client_config={"user_agent_extra": uuid.uuid4().hex})
        calls = iter((change,))

        def begin(params: dict[str, Any], **_: Any) -> None:
            if "ContinuationToken" in params:
                next(calls, lambda: None)()

        storage.connection.meta.client.meta.events.register(
            "provide-client-params.s3.ListObjectsV2", begin
        )
        return storage


class TestS3OnSeaweedFS(S3Contract):
    configuration = "s3-seaweedfs"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_bucket(cls, seaweedfs: Server) -> Iterator[None]:
        yield from cls.begin(seaweedfs)

    def make_denied(self) -> S3Boto3Storage:
        return self.make_storage(secret_key="wrong")


class TestS3OnSeaweedFSWithLocation(TestS3OnSeaweedFS):
    configuration = "s3-seaweedfs-location"
    longest_name = 1024 - len("media/files/")

    def make_storage(self, **options: Any) -> S3Boto3Storage:
        return super().make_storage(**{"location": "/media/files/", **options})

    def make_located(self, location: str) -> S3Boto3Storage:
        return self.make_storage(file_overwrite=True, location=f"media/files/{location}")

    def raw(self) -> RawBucket:
        return RawBucket(self.server, self.bucket, "media/files/")


class TestS3OnMoto(S3Contract):
    configuration = "s3-moto"
    impossible = {
        **S3Contract.impossible,
        "65b": "moto takes keys longer than S3's 1,024 bytes",
        "118": "moto checks neither checksums nor signatures",
        "118b": "moto checks neither checksums nor signatures",
        "test_signature_of_one_file_does_not_open_another": "moto checks no signature",
    }

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def server_and_bucket(cls, moto: Server) -> Iterator[None]:
        yield from cls.begin(moto)

    def make_denied(self) -> S3Boto3Storage:
        # Moto itself lets everyone in.
        front = self.enterContext(HTTPProxy(*self.server.address))
        front.answer(403, DENIED, times=None)
        return self.make_behind(front)
