"""The contract on Azure: Azurite, with a location and without."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any, ClassVar

import pytest
from django.core.files.storage import Storage

from storages.backends.azure_storage import AzureManifestStaticStorage, AzureStorage
from storages.testing import StorageContract
from tests.backends.azure_storage.server import (
    IMPATIENT,
    TRUSTING,
    Credential,
    RawContainer,
    account,
    through,
)
from tests.servers.azurite import Azurite
from tests.servers.certificates import authority
from tests.servers.http import HTTPProxy
from tests.servers.process import refusing_port
from tests.servers.proxy import Proxy

#: Byte of an exchange that lies in the middle of the content, past all headers.
MIDDLE = 50_000
HOUR = 3600  # seconds
PAGE = 100  # names of a page, where a test needs several: Azurite takes long to make many


class AzureContract(StorageContract):
    """The contract in a container that each test finds empty."""

    #: Three blocks of 16 MiB, and what the C library may keep of a fourth.
    memory_budget = 80 * 1024 * 1024
    server: ClassVar[Any]
    container: RawContainer
    #: The way to the server of this test's storages, once their connections were dropped.
    line: Proxy | None = None
    is_networked = True
    urls_are_served = True
    has_accessed_time = False
    signs_urls = True
    named_in_urls = frozenset({"account_url"})
    large_size = 8 * 1024 * 1024 + 1
    longest_name = 1024
    operations = 100
    paged = PAGE * 5 // 2
    impossible = {
        "99b": "Azure serves its files itself: without base_url it has their URLs",
        "102b": "URLs signed with the account's key may work as long as one likes",
    }
    refused_characters = dict.fromkeys(
        ("trailing dot", "trailing dot of a directory"),
        "Azure would store the name without its dot, so it is refused",
    )

    def setUp(self) -> None:
        super().setUp()
        self.secrets = {"account_key": self.server.key}
        self.container = self.enterContext(RawContainer(self.server))

    def make_storage(self, **options: Any) -> AzureStorage:
        given = {
            "azure_container": self.container.name,
            # Without it URLs are not signed, and this container is not public.
            "expiration_secs": HOUR,
            **account(self.server),
        }
        if self.line is not None:
            given["account_url"] = through(self.line)
        return AzureStorage(**{**given, **options})

    def raw(self) -> RawContainer:
        return self.container

    def headers(self, name: str) -> dict[str, str]:
        settings = self.raw().head(name).content_settings
        found = {
            "Content-Type": settings.content_type,
            "Content-Encoding": settings.content_encoding,
        }
        return {name: value for name, value in found.items() if value}

    def make_unreachable(self) -> AzureStorage:
        away = f"http://127.0.0.1:{refusing_port()}/{Azurite.account}"
        return self.make_storage(account_url=away, **IMPATIENT)

    def make_denied(self) -> AzureStorage:
        return self.make_storage(account_key="d3Jvbmc=")

    def make_behind(
        self, front: Proxy | HTTPProxy, scheme: str = "http", **options: Any
    ) -> AzureStorage:
        """Return a storage whose way to the server leads through a proxy."""
        return self.make_storage(account_url=through(front, scheme), **options)

    def make_corrupting_uploads(self) -> AzureStorage:
        line = self.enterContext(Proxy(*self.server.address))
        line.corrupt(MIDDLE, "up", times=1)
        return self.make_behind(line, file_overwrite=True)

    def make_cutting_downloads(self) -> AzureStorage:
        line = self.enterContext(Proxy(*self.server.address))
        line.limit_data(MIDDLE, "down", times=1)
        return self.make_behind(line)

    def make_corrupting_downloads(self) -> AzureStorage:
        # What guards a download is TLS: a digest of each part would cost as much as the rest.
        tls = authority().good.server_context()
        front = self.enterContext(HTTPProxy(*self.server.address, tls=tls))
        line = self.enterContext(Proxy(front.host, front.port))
        line.corrupt(MIDDLE, "down", times=1)
        return self.make_behind(line, "https", **TRUSTING)

    def canaries(self, canary: str) -> dict[str, Any]:
        key = b64encode(canary.encode()).decode()
        return {
            **super().canaries(canary),
            "account_key": key,
            "connection_string": f"BlobEndpoint={self.server.url};AccountKey={key};X={canary}",
            "sas_token": f"sv=2024-01-01&sig={canary}",
            "account_url": f"{self.server.url}?sig={canary}",
            "token_credential": Credential(canary),
            "client_options": {
                **IMPATIENT["client_options"],
                "proxies": {"http": f"http://u:{canary}@h"},
            },
        }

    def make_manifest(self) -> AzureManifestStaticStorage:
        recipe = self.recipe()
        # What is given wins over the class, whose URLs are not signed.
        options = {n: each for n, each in recipe.options.items() if n != "expiration_secs"}
        return AzureManifestStaticStorage(*recipe.args, **options)

    def drop_connections(self) -> None:
        if self.line is None:
            self.line = self.enterContext(Proxy(*self.server.address))
        self.line.drop_connections()

    def silent_storage(self) -> AzureStorage:
        line = self.enterContext(Proxy(*self.server.address))
        line.silence()
        return self.make_behind(line, **IMPATIENT)

    def make_paged(self) -> Storage:
        return self.make_interrupted(lambda: None)

    def make_interrupted(self, change: Callable[[], None]) -> Storage:
        calls = iter((change,))

        def begin(request: Any) -> None:
            if "comp=list" not in request.http_request.url:
                return
            if "marker=" in request.http_request.url:
                next(calls, lambda: None)()
            request.http_request.url += f"&maxresults={PAGE}"

        return self.make_storage(client_options={"raw_request_hook": begin})


class TestAzureOnAzurite(AzureContract):
    configuration = "azure-azurite"

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def azurite_server(cls, azurite: Azurite) -> None:
        cls.server = azurite


class TestAzureOnAzuriteWithLocation(TestAzureOnAzurite):
    configuration = "azure-azurite-location"
    longest_name = 1024 - len("media/files/")

    def make_storage(self, **options: Any) -> AzureStorage:
        return super().make_storage(**{"location": "/media/files/", **options})

    def make_located(self, location: str) -> AzureStorage:
        return self.make_storage(file_overwrite=True, location=f"media/files/{location}")

    def raw(self) -> RawContainer:
        return RawContainer(self.server, self.container.name, "media/files/")
