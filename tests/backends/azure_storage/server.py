"""What the tests of the Azure backend share: options for a server, and a look past the backend."""

from __future__ import annotations

import json
import time
import uuid
from base64 import urlsafe_b64encode
from typing import Any, Self

from azure.core.credentials import AccessToken
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.blob import ContainerClient, ContentSettings

from storages.backends.azure_storage import AzureStorage
from tests.servers.azurite import Azurite
from tests.servers.certificates import authority
from tests.servers.http import HTTPProxy, Request

#: One answer is the last word, and soon.
IMPATIENT: dict[str, Any] = {"timeout": 1, "client_options": {"retry_total": 0}}
#: For servers whose certificate is of the tests' own authority.
TRUSTING: dict[str, Any] = {"client_options": {"connection_verify": str(authority().ca_file)}}


def error(code: str, message: str = "what Azure says") -> bytes:
    """Return the body of an answer of Azure's that is an error."""
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


def answer(front: HTTPProxy, status: int, code: str, **rule: Any) -> None:
    """Let a proxy answer with an error of Azure's."""
    headers = {
        "x-ms-error-code": code,
        "Content-Type": "application/xml",
        **rule.pop("headers", {}),
    }
    front.answer(status, error(code), headers, **rule)


def account(server: Azurite) -> dict[str, Any]:
    """Return the options that reach a server, its secrets among them."""
    return {"account_url": server.url, "account_key": server.key}


def through(place: Any, scheme: str = "http") -> str:
    """Return the account's URL behind a host and port."""
    return f"{scheme}://{place.host}:{place.port}/{Azurite.account}"


class Credential:
    """A token credential; the emulator reads its tokens and does not check their signature."""

    def __init__(self, secret: str = "") -> None:
        self.secret = secret
        self.calls = 0

    def get_token(self, *_scopes: str, **_: Any) -> AccessToken:
        """Return a token as Microsoft Entra gives them."""
        self.calls += 1
        now = int(time.time())
        claims = {
            "aud": "https://storage.azure.com",
            "iss": "https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/",
            "iat": now,
            "nbf": now - 60,
            "exp": now + 3600,
            "oid": "23657296-5cd5-45b0-a809-d972a7f4dfe1",
            "tid": "dd0d0df1-06c3-436c-8034-4b9a153097ce",
        }
        parts = [json.dumps(each).encode() for each in ({"alg": "RS256", "typ": "JWT"}, claims)]
        encoded = [urlsafe_b64encode(each).decode().rstrip("=") for each in parts]
        return AccessToken(".".join([*encoded, self.secret or "c2lnbmF0dXJl"]), now + 3600)


class RawContainer:
    """A container, or what is under a prefix of it, seen by the SDK alone."""

    def __init__(self, server: Azurite, name: str = "", prefix: str = "") -> None:
        self.server = server
        self.name = name or f"test-{uuid.uuid4().hex}"
        self.prefix = prefix
        self.client: ContainerClient = server.client.get_container_client(self.name)

    def get(self, name: str) -> bytes | None:
        try:
            found = self.client.download_blob(self.prefix + name, decompress=False)
        except ResourceNotFoundError:
            return None
        return found.readall()

    def put(self, name: str, content: bytes, **arguments: Any) -> None:
        settings = ContentSettings(**arguments.pop("settings", {}))
        self.client.upload_blob(
            self.prefix + name, content, overwrite=True, content_settings=settings, **arguments
        )

    def head(self, name: str) -> Any:
        return self.client.get_blob_client(self.prefix + name).get_blob_properties()

    def names(self) -> list[str]:
        found = self.client.list_blob_names(name_starts_with=self.prefix)
        return [name[len(self.prefix) :] for name in found]

    def empty(self) -> None:
        """Remove all blobs."""
        for name in self.names():
            self.client.delete_blob(self.prefix + name, delete_snapshots="include")

    def __enter__(self) -> Self:
        self.client.create_container()
        return self

    def __exit__(self, *raised: object) -> None:
        self.client.delete_container()


class Site:
    """An empty container for one test, and the proxy through which its storages reach it."""

    def __init__(self, raw: RawContainer, front: HTTPProxy) -> None:
        self.server = raw.server
        self.raw = raw
        self.front = front

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.front.clear()

    def storage(self, cls: type[AzureStorage] = AzureStorage, **options: Any) -> AzureStorage:
        """Return a storage on the container."""
        return cls(**self.options(**options))

    def options(self, **options: Any) -> dict[str, Any]:
        """Return the options of a storage on the container; those given win."""
        ours = {"azure_container": self.raw.name, "account_url": through(self.front)}
        return {**account(self.server), **ours, **options}

    def sent(self, method: str = "", query: str = "") -> list[Request]:
        """Return the requests so far, of one method, and whose query holds a text."""
        return [
            each
            for each in self.front.requests
            if method in {"", each.method} and query in each.target.partition("?")[2]
        ]

    def only(self, method: str = "", query: str = "") -> Request:
        """Return the one request there was."""
        (request,) = self.sent(method, query)
        return request
