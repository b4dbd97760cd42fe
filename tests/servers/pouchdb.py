"""CouchDB's protocol by pouchdb-server (npm): documents, attachments, sessions; Range gets 200."""

from __future__ import annotations

import base64
import json
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

from tests.servers.npm import program, unavailable
from tests.servers.process import HOST, Server

ANSWER_LIMIT = 60.0  # seconds until an answer must be there, of tens of megabytes too


class PouchDB(Server):
    """Serve databases from an empty directory.

    `admin` makes databases, whose only member is `user`; everybody else gets 401. Sessions end with
    the process: their secret is made anew at each start.
    """

    name = "pouchdb"
    admin = ("admin", "secret")
    user = "web"
    password = "p@ss:w/rd? #%2F"
    hello = b"GET / HTTP/1.0\r\n\r\n"
    greeting = b"HTTP/1.1 200"

    @classmethod
    def available(cls) -> str | None:
        return unavailable("pouchdb-server")

    @property
    def url(self) -> str:
        """Return the server's URL."""
        return f"http://{HOST}:{self.port}"

    def command(self) -> list[str]:
        flags = ["-o", HOST, "-p", str(self.port), "-d", str(self.directory)]
        config = ["-c", str(self.directory / "config.json"), "-n", "--no-color"]
        return [*program("pouchdb-server", "pouchdb-server"), *flags, *config]

    def environment(self) -> dict[str, str]:
        # It comes from a time when Node.js let a program go on after an upload that broke off.
        return {"NODE_OPTIONS": "--unhandled-rejections=warn"}

    def prepare(self) -> None:
        config = {"admins": dict([self.admin])}
        (self.directory / "config.json").write_text(json.dumps(config))

    def ready(self) -> bool:
        account = {"type": "user", "name": self.user, "password": self.password, "roles": []}
        path = f"/_users/org.couchdb.user:{self.user}"
        # After a restart it is there.
        return super().ready() and self.ask("PUT", path, account)[0] in {201, 409}

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send a request as the administrator; return the status and the answer's JSON."""
        with closing(HTTPConnection(HOST, self.port, timeout=ANSWER_LIMIT)) as connection:
            return exchange(connection, method, path, body, self.admin)

    def make(self, database: str) -> None:
        """Make a database that the user may write to."""
        assert self.ask("PUT", f"/{database}")[0] == 201
        lists = {"admins": [self.admin[0]], "members": [self.user]}
        security = {who: {"names": names, "roles": []} for who, names in lists.items()}
        assert self.ask("PUT", f"/{database}/_security", security)[0] == 200

    def remove(self, database: str) -> None:
        """Remove a database."""
        self.ask("DELETE", f"/{database}")


def exchange(
    connection: HTTPConnection,
    method: str,
    path: str,
    body: object = None,
    account: tuple[str, str] | None = None,
) -> tuple[int, Any]:
    """Send JSON, or nothing, and return the answer's status and JSON; bytes where it is none."""
    headers = {"Content-Type": "application/json"}
    if account is not None:
        token = base64.b64encode(":".join(account).encode()).decode()
        headers["Authorization"] = f"Basic {token}"
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, headers)
    answer = connection.getresponse()
    content = answer.read()
    try:
        return answer.status, json.loads(content)
    except ValueError:
        return answer.status, content
