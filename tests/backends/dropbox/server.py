"""What the tests of the Dropbox backend share: a storage on the stub, and a look at it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from requests import PreparedRequest, Response, Session

from storages.backends.dropbox import DropBoxStorage
from storages.http import Adapter
from storages.options import option
from tests.servers.dropbox_stub import DropboxStub
from tests.servers.http import HTTPProxy, Request


class ToStub(Adapter):
    """Sends what is for Dropbox's hosts to another place, with their names."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(pool_maxsize=50)
        self.endpoint = endpoint

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        url = urlsplit(str(request.url))
        request.headers.setdefault("Host", url.netloc)
        request.url = f"{self.endpoint}{url.path}"
        return super().send(request, *args, **options)


class StubbedStorage(DropBoxStorage):
    """The backend with the stub in the place of Dropbox; the SDK itself knows no other hosts."""

    endpoint: str | None = option(doc="URL of the stub.")
    client_options: ClassVar[tuple[str, ...]] = (*DropBoxStorage.client_options, "endpoint")

    def make_session(self) -> Session:
        session = super().make_session()
        session.mount("https://", ToStub(self.endpoint or "http://127.0.0.1:9"))
        return session


class RawDropbox:
    """An account of the stub, or what is in one of its folders, past the API."""

    def __init__(self, stub: DropboxStub, account: str, folder: str = "") -> None:
        self.stub = stub
        self.account = account
        self.folder = folder

    def get(self, name: str) -> bytes | None:
        return self.stub.get(self.account, f"{self.folder}/{name}")

    def put(self, name: str, content: bytes, **how: Any) -> None:
        self.stub.put(self.account, f"{self.folder}/{name}", content, **how)

    def names(self) -> list[str]:
        inside = f"{self.folder}/".lower()
        paths = self.stub.names(self.account)
        return [each[len(inside) :] for each in paths if each.lower().startswith(inside)]

    def tell(self, **settings: Any) -> None:
        self.stub.tell(self.account, **settings)

    @property
    def facts(self) -> Mapping[str, Any]:
        return self.stub.facts(self.account)


class Site:
    """An account of its own for one test, and the proxy through which its storages reach it."""

    def __init__(self, stub: DropboxStub, front: HTTPProxy) -> None:
        self.stub = stub
        self.front = front
        self.raw = RawDropbox(stub, uuid.uuid4().hex)

    def storage(self, **options: Any) -> StubbedStorage:
        """Return a storage at the root of the account, which overwrites."""
        return StubbedStorage(**self.options(**options))

    def options(self, **options: Any) -> dict[str, Any]:
        """Return the options of a storage at the root of the account; those given win."""
        ours = {
            "oauth2_access_token": f"good-{self.raw.account}",
            "endpoint": self.front.url,
            "file_overwrite": True,
        }
        return {**ours, **options}

    def refreshing(self, **options: Any) -> StubbedStorage:
        """Return a storage that gets its access tokens by a refresh token."""
        given = {
            "oauth2_access_token": None,
            "oauth2_refresh_token": f"refresh-{self.raw.account}",
            "app_key": self.stub.app_key,
            "app_secret": self.stub.app_secret,
        }
        return self.storage(**{**given, **options})

    @property
    def routes(self) -> list[str]:
        """The routes that were asked so far, without what all have."""
        return [each.target.removeprefix("/2/files/") for each in self.front.requests]

    def only(self, route: str) -> Request:
        """Return the one request there was to a route."""
        found = [each for each in self.front.requests if each.target.endswith(f"/{route}")]
        (request,) = found
        return request
