"""A stub of our own for Dropbox's API: it answers as the documentation and the SDK's types say.

There is no server of Dropbox's that could run here, so what the backend shows on this one it shows
on a stub. `tests/backends/dropbox/test_stub.py` holds its answers against the SDK's own types.
"""

from __future__ import annotations

import json
import sys
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.servers.process import HOST, Server

PROJECT = Path(__file__).parents[2]


class DropboxStub(Server):
    """Keep files in memory, for each account apart: a restart forgets everything.

    The access token ``good-NAME`` is for the account NAME, ``team-NAME`` for the team it is in;
    the refresh token ``refresh-NAME`` of the app ``app-key`` gives others. `tell` and the methods
    after it go past the API.
    """

    name = "dropbox-stub"
    app_key = "app-key"
    app_secret = "app-secret"
    hello = b"GET /stub/ready HTTP/1.0\r\n\r\n"
    greeting = b"HTTP/1.1 200"

    @property
    def url(self) -> str:
        """Return the URL of all its hosts."""
        return f"http://{HOST}:{self.port}"

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(PROJECT)}

    def command(self) -> list[str]:
        return [sys.executable, "-m", "tests.servers.dropbox_main", str(self.port)]

    def tell(self, account: str, **settings: Any) -> None:
        """Change how an account is answered; see `tests.servers.dropbox_account.Settings`."""
        self._ask("PUT", "settings", json.dumps(settings).encode(), account=account)

    def get(self, account: str, path: str, namespace: str = "") -> bytes | None:
        """Return the content of a file, None where there is none."""
        found, content = self._ask("GET", "file", account=account, path=path, namespace=namespace)
        return content if found == 200 else None

    def put(self, account: str, path: str, content: bytes, **how: Any) -> None:
        """Plant a file, its folders included; ``paper=1`` makes it a document of Paper's."""
        self._ask("PUT", "file", content, account=account, path=path, **how)

    def plant(self, account: str, paths: list[str]) -> None:
        """Plant many small files."""
        self._ask("PUT", "files", json.dumps(paths).encode(), account=account)

    def names(self, account: str, namespace: str = "") -> list[str]:
        """Return the paths of all files, with their first slash."""
        _, content = self._ask("GET", "files", account=account, namespace=namespace)
        names: list[str] = json.loads(content)
        return names

    def facts(self, account: str) -> dict[str, Any]:
        """Return what happened in an account: refreshes of tokens, upload sessions open."""
        facts: dict[str, Any] = json.loads(self._ask("GET", "facts", account=account)[1])
        return facts

    def _ask(self, method: str, what: str, body: bytes = b"", **query: Any) -> tuple[int, bytes]:
        with closing(HTTPConnection(HOST, self.port)) as connection:
            connection.request(method, f"/stub/{what}?{urlencode(query)}", body)
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status in {200, 404}, content
            return answer.status, content
