"""What the tests of the CouchDB backend share: options, and a look past the backend."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime
from http.client import HTTPConnection
from typing import Any, Self
from urllib.parse import quote

from storages.backends.couchdb import CouchDBStorage
from tests.servers.http import HTTPProxy, Request
from tests.servers.pouchdb import PouchDB, exchange
from tests.servers.process import HOST


def id_of(name: str) -> str:
    """Return the id of a file's document, as the documentation says it."""
    return f"/{name}" if name.startswith("_") else name


class RawDatabase:
    """A database, or what is below a prefix in it, seen by plain HTTP and JSON."""

    def __init__(self, server: PouchDB, name: str = "", prefix: str = "") -> None:
        self.server = server
        self.name = name or f"t{uuid.uuid4().hex}"
        self.prefix = prefix

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        return self.server.ask(method, f"/{self.name}/{path}", body)

    def path(self, name: str) -> str:
        return quote(id_of(self.prefix + name), safe="")

    def document(self, name: str) -> dict[str, Any] | None:
        """Return the document of a file, its attachments with their content in base64."""
        status, found = self.ask("GET", f"{self.path(name)}?attachments=true")
        assert status in {200, 404}, (status, found)
        return found if status == 200 else None

    def get(self, name: str) -> bytes | None:
        found = (self.document(name) or {}).get("_attachments", {}).get("content")
        return None if found is None else base64.b64decode(found["data"])

    def put(self, name: str, content: bytes, **fields: Any) -> None:
        found = self.document(name)
        body = planted(content) | fields | ({"_rev": found["_rev"]} if found else {})
        status, answer = self.ask("PUT", self.path(name), body)
        assert status == 201, answer

    def plant(self, names: Iterable[str]) -> None:
        """Make small files, many with one request."""
        documents = [planted(b"x") | {"_id": id_of(self.prefix + name)} for name in names]
        status, answer = self.ask("POST", "_bulk_docs", {"docs": documents})
        assert status == 201, answer

    def delete(self, name: str) -> None:
        found = self.document(name)
        assert found is not None
        assert self.ask("DELETE", f"{self.path(name)}?rev={found['_rev']}")[0] == 200

    def ids(self) -> list[str]:
        return [row["id"] for row in self.ask("GET", "_all_docs")[1]["rows"]]

    def names(self) -> list[str]:
        found = [each[1:] if each.startswith("/_") else each for each in self.ids()]
        return [each[len(self.prefix) :] for each in found if each.startswith(self.prefix)]

    def __enter__(self) -> Self:
        self.server.make(self.name)
        return self

    def __exit__(self, *raised: object) -> None:
        self.server.remove(self.name)


def planted(content: bytes) -> dict[str, Any]:
    """Return a document that another client of CouchDB's would make for a file."""
    data = base64.b64encode(content).decode()
    attachment = {"content_type": "application/octet-stream", "data": data}
    now = datetime.now(UTC).isoformat()
    return {"size": len(content), "modified": now, "_attachments": {"content": attachment}}


class Site:
    """An empty database for one test, and the proxy through which its storages reach it."""

    def __init__(self, raw: RawDatabase, front: HTTPProxy) -> None:
        self.server = raw.server
        self.raw = raw
        self.front = front

    def options(self, **options: Any) -> dict[str, Any]:
        """Return the options of a storage on the database; those given win."""
        account = {"user": self.server.user, "password": self.server.password}
        return {"server": self.front.url, "database": self.raw.name, **account, **options}

    def storage(self, **options: Any) -> CouchDBStorage:
        """Return a storage on the database."""
        return CouchDBStorage(**self.options(**options))

    def signed_in(self, **options: Any) -> CouchDBStorage:
        """Return a storage that has its cookie; what it sends from now on is counted."""
        storage = self.storage(**options)
        storage.exists("any")
        self.front.requests.clear()
        return storage

    def sent(self, method: str = "", path: str = "") -> list[Request]:
        """Return the requests so far, of one method, and whose path and query hold a text."""
        return [
            each
            for each in self.front.requests
            if method in {"", each.method} and path in each.target
        ]

    def methods(self) -> list[str]:
        """Return the methods of the requests so far, listings and sign-ins by these names."""
        names = {"_all_docs": "LIST", "_session": "SIGN IN"}
        return [
            next((word for path, word in names.items() if path in each.target), each.method)
            for each in self.front.requests
        ]


def answer(value: object) -> bytes:
    """Return the body of an answer of CouchDB's."""
    return json.dumps(value).encode()


def refusal(error: str, reason: str) -> bytes:
    """Return the body of an answer of CouchDB's that is an error."""
    return answer({"error": error, "reason": reason})


def fetch(url: str) -> tuple[int, Any]:
    """Get a URL without an account."""
    host, _, path = url.removeprefix("http://").partition("/")
    with closing(HTTPConnection(HOST, int(host.rpartition(":")[2]))) as connection:
        return exchange(connection, "GET", f"/{path}")
