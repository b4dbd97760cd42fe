"""Requests past urllib3's steps: the same bytes, and every answer is taken as boto3 takes it."""

from __future__ import annotations

import functools
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPMessage
from itertools import takewhile
from typing import IO, Any, Self

import pytest
from django.core.files.base import ContentFile
from urllib3 import HTTPConnectionPool

from storages.backends.s3boto3 import S3Boto3Storage
from tests.backends.s3boto3.server import unshared
from tests.servers.process import HOST

pytestmark = pytest.mark.usefixtures("without_moto")

ERROR = b"<Error><Code>%s</Code><Message>m</Message></Error>"


def answer(status: str, body: bytes = b"", *headers: str) -> bytes:
    date = "Last-Modified: Wed, 25 Nov 2026 00:00:00 GMT"
    lines = [f"HTTP/1.1 {status}", 'ETag: "e"', date, f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


PLAIN = answer("200 OK")
HALF = "half a body"
Script = list[bytes | None]
#: What a server may answer; at an empty piece it closes, and after None it says nothing more.
ANSWERS: dict[str, Script] = {
    "plain": [PLAIN],
    "in pieces": [bytes([each]) for each in PLAIN],
    "no content": [b'HTTP/1.1 204 No Content\r\nETag: "e"\r\n\r\n'],
    "no reason": [PLAIN.replace(b" OK", b"")],
    "kept alive": [PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: Keep-Alive\r\n\r\n")],
    "closed": [PLAIN.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), b""],
    "old": [PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"), b""],
    "without length": [b'HTTP/1.1 200 OK\r\nETag: "e"\r\n\r\n', b""],
    "chunked": [b'HTTP/1.1 200 OK\r\nETag: "e"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
    "leave, then plain": [b"HTTP/1.1 100 Continue\r\n\r\n", PLAIN],
    "header twice": [answer("200 OK", b"", "x-amz-meta-a: 1", "X-Amz-Meta-A: 2")],
    "header folded": [answer("200 OK", b"", "x-amz-meta-a: 1\r\n 2")],
    "header not in ASCII": [answer("200 OK", b"", "x-amz-meta-a: \xe9")],
    "header of no value": [answer("200 OK", b"", "x-amz-meta-a:")],
    "more than the answer": [PLAIN + b"more"],
    "error in a success": [answer("200 OK", ERROR % b"InternalError")],
    "forbidden": [answer("403 Forbidden", ERROR % b"AccessDenied")],
    "forbidden and closed": [answer("403 Forbidden", ERROR % b"AccessDenied", "Connection: close")],
    "failed": [answer("500 Internal Server Error", ERROR % b"InternalError")],
    "slow down": [answer("503 Slow Down", ERROR % b"SlowDown")],
    "too long": [b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n"],
    "too many": [answer("200 OK", b"", *(f"X-{number}: 1" for number in range(200)))],
    "lines of Unix": [PLAIN.replace(b"\r\n", b"\n")],
    "another protocol": [b"SSH-2.0-OpenSSH_9.6\r\n\r\n", b""],
    "nothing": [b""],
    HALF: [answer("403 Forbidden", ERROR % b"AccessDenied")[:-9], b""],
}
#: Seconds that nothing which answers ever takes.
PATIENCE = 5
CALLS: dict[str, Callable[[S3Boto3Storage], Any]] = {
    "save": lambda storage: storage.save("a b/é.txt", ContentFile(b"content")),
    "stat": lambda storage: storage.stat("a b/é.txt"),
    "delete": lambda storage: storage.delete("a b/é.txt"),
}
#: HEAD has no body, and what is asked after a refused one meets a connection that is closing.
CASES = [
    pytest.param(name, script, id=f"{name}-{said}")
    for name in CALLS
    for said, script in ANSWERS.items()
    if (name, said) != ("stat", HALF)
]


class Scripted:
    """A stub that answers one request with what it is given, and all others plainly."""

    def __init__(self) -> None:
        self.listener = socket.create_server((HOST, 0))
        self.url = f"http://{HOST}:{self.listener.getsockname()[1]}"
        self.script: Script = [PLAIN]
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        #: Set once the server has closed a connection.
        self.ended = threading.Event()
        self._served: list[tuple[socket.socket, threading.Thread]] = []
        self._thread = threading.Thread(target=self._listen)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.listener.close()
        for each, thread in self._served:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            thread.join()

    @property
    def connections(self) -> int:
        return len(self._served)

    def _listen(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,))
                self._served.append((connection, thread))
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection, connection.makefile("rb") as file:
            self._answer_all(connection, file)
        self.ended.set()

    def _answer_all(self, connection: socket.socket, file: IO[bytes]) -> None:
        while head := b"".join(takewhile(bytes.strip, file)):
            found = re.search(rb"(?i)content-length: (\d+)", head)
            self.bodies.append(file.read(int(found[1]) if found else 0))
            self.heads.append(head)
            script, self.script = self.script, [PLAIN]
            if not self._answer(connection, script, head.startswith(b"HEAD")):
                return

    def _answer(self, connection: socket.socket, script: Script, is_bare: bool) -> bool:
        """Return False if the connection is to end."""
        for piece in script:
            if piece is None:
                connection.recv(1)  # until the client closes
            if not piece:
                return False
            end = piece.rfind(b"\r\n\r\n") + 4
            connection.sendall(piece[:end] if is_bare and end > 3 else piece)
        return True


@contextmanager
def served(**config: Any) -> Iterator[tuple[Scripted, S3Boto3Storage]]:
    with Scripted() as server:
        storage = S3Boto3Storage(
            bucket_name="bucket",
            endpoint_url=server.url,
            region_name="us-east-1",
            access_key="key",
            secret_key="secret",
            file_overwrite=True,
            client_config={**unshared(), "retries": {"total_max_attempts": 1}, **config},
        )
        try:
            yield server, storage
        finally:
            storage.close()


def tried(call: Callable[[S3Boto3Storage], Any], storage: S3Boto3Storage) -> Any:
    try:
        return call(storage)
    except OSError as exc:
        text = re.sub(rf"{HOST}:\d+", "server", str(exc))
        return type(exc), exc.errno, text, type(exc.__cause__)


def taken(name: str, script: Script, *, is_ours: bool) -> Any:
    """Return what comes of three calls of which the second is answered by a script."""
    call = CALLS[name]
    with served() as (server, storage):
        if not is_ours:
            storage.client.meta.events.register("provide-client-params.s3", lambda **_: None)
        found = [tried(call, storage)]
        server.script = script
        found += [tried(call, storage)]
        if script[-1] == b"":
            assert server.ended.wait(60)
        found += [tried(call, storage)]
        lines = [each.splitlines()[0] for each in server.heads]
        return found, lines, server.bodies, server.connections


@pytest.mark.parametrize(("name", "script"), CASES)
def test_answer_is_taken_as_boto3_takes_it(name: str, script: Script) -> None:
    assert taken(name, script, is_ours=True) == taken(name, script, is_ours=False)


@pytest.mark.parametrize(("name", "said"), [("save", 0), ("stat", 20), ("delete", 0)])
def test_server_that_falls_silent_is_given_up(name: str, said: int) -> None:
    with served(read_timeout=PATIENCE) as (server, storage):
        CALLS[name](storage)
        server.script = [PLAIN[:said], None] if said else [None]
        with pytest.raises(TimeoutError):
            CALLS[name](storage)
        CALLS[name](storage)
        assert (len(server.heads), server.connections) == (3, 2)


@pytest.mark.parametrize("name", CALLS)
def test_request_is_to_the_byte_what_urllib3_sends(name: str) -> None:
    with served() as (server, storage):
        for _ in range(3):
            CALLS[name](storage)
        said = [
            [line for line in head.splitlines() if not line.startswith((b"X-Amz-Date", b"Auth"))]
            for head in server.heads
        ]
        # urllib3 sends the first, which opens the connection.
        assert said[0] == said[1] == said[2]
        assert server.connections == 1


@pytest.mark.parametrize(
    ("kind", "method"), [(HTTPConnection, "putrequest"), (HTTPConnectionPool, "urlopen")]
)
def test_who_watches_requests_sees_them_all(
    kind: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, seen = vars(kind)[method], []

    @functools.wraps(original)
    def watched(*arguments: Any, **options: Any) -> Any:
        seen.append(method)
        return original(*arguments, **options)

    with served() as (_, storage):
        CALLS["save"](storage)
        CALLS["save"](storage)
        monkeypatch.setattr(kind, method, watched)
        CALLS["save"](storage)
    assert seen == [method]


def test_answer_of_a_recorder_is_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    original = HTTPConnectionPool.urlopen

    def recorded(*arguments: Any, **options: Any) -> Any:
        """Return an answer with the kind of headers that those of vcrpy have."""
        answer: Any = original(*arguments, **options)
        message = HTTPMessage()
        for name, value in answer.headers.items():
            message[name] = value
        answer.headers = message
        return answer

    with served() as (_, storage):
        monkeypatch.setattr(HTTPConnectionPool, "urlopen", recorded)
        CALLS["save"](storage)
        assert CALLS["stat"](storage).etag == '"e"'
        CALLS["delete"](storage)


@pytest.mark.parametrize("end", ["ETag", "Last-Modified", "Content-Length", "Content-Length: 1"])
def test_answer_that_ends_in_its_header_is_none(end: str) -> None:
    """For http.client it is whole, and the size of a file the digits that came."""
    said = answer("200 OK", b"0123456789")
    cut = said[: said.index(end.encode()) + len(end)]
    with served(retries={"total_max_attempts": 2}) as (server, storage):
        assert storage.size("a") == 0
        server.script = [cut, b""]
        assert storage.size("a") == 0
        assert len(server.heads) == 3


def test_connection_with_an_answer_to_come_is_not_used_again() -> None:
    """The next request would have the answer that follows early hints."""
    with served() as (server, storage):
        CALLS["delete"](storage)
        server.script = [b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n"]
        with suppress(OSError):
            CALLS["delete"](storage)
        CALLS["delete"](storage)
        assert (len(server.heads), server.connections) == (3, 2)


def test_log_of_urllib3_tells_each_request(caplog: pytest.LogCaptureFixture) -> None:
    with served() as (_, storage):
        CALLS["save"](storage)
        with caplog.at_level(logging.DEBUG, "urllib3.connectionpool"):
            CALLS["save"](storage)
    assert "PUT /bucket/a%20b/%C3%A9.txt" in caplog.text


def test_storage_that_is_closed_keeps_no_connection() -> None:
    with served() as (server, storage):
        for _ in range(2):
            CALLS["save"](storage)
            CALLS["save"](storage)
            storage.close()
        assert server.connections == 2
