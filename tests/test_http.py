"""The session, the streams and the errors that backends on HTTP share."""

from __future__ import annotations

import base64
import errno
import gzip
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import certifi
import pytest
from requests import Response, Session

from storages.http import (
    LONGEST,
    TRANSPORT_ERRORS,
    Body,
    content_of,
    explain_transport,
    new_session,
    ranged_body,
)
from tests.servers.certificates import authority
from tests.servers.http import HTTPProxy
from tests.servers.process import HOST, refusing_port
from tests.servers.proxy import Proxy

CONTENT = os.urandom(300_000)
LIMIT = 30  # seconds, far beyond what loopback needs


@pytest.fixture
def front() -> Iterator[HTTPProxy]:
    """A scripted server: nothing is behind it."""
    with HTTPProxy(HOST, refusing_port()) as front:
        yield front


def get(front: HTTPProxy | Proxy) -> Response:
    url = f"http://{front.host}:{front.port}/file"
    return new_session().get(url, timeout=LIMIT, stream=True)


def read(body: Body, size: int = 100_000) -> bytes:
    return b"".join(iter(lambda: body.read(size), b""))


# -- session --------------------------------------------------------------------------------------


@pytest.fixture
def netrc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An account for this host that belongs to another program."""
    file = tmp_path / "netrc"
    file.write_text(f"machine {HOST} login somebody password else\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))


def test_session_sends_nothing_of_netrc(front: HTTPProxy, netrc: None) -> None:
    front.answer(200)
    new_session().get(front.url, timeout=LIMIT)
    assert front.requests[0].headers["Authorization"] is None


def test_session_leaves_the_credentials_of_a_request_alone(front: HTTPProxy, netrc: None) -> None:
    front.answer(200)
    new_session().get(front.url, headers={"Authorization": "Bearer token"}, timeout=LIMIT)
    assert front.requests[0].headers["Authorization"] == "Bearer token"


def test_session_that_requests_makes_would_send_netrc(front: HTTPProxy, netrc: None) -> None:
    # Else the two tests above could not fail.
    front.answer(200)
    Session().get(front.url, timeout=LIMIT)
    expected = base64.b64encode(b"somebody:else").decode()
    assert front.requests[0].headers["Authorization"] == f"Basic {expected}"


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_session_sends_no_request_twice(front: HTTPProxy, method: str) -> None:
    front.reset(times=None)
    with pytest.raises(TRANSPORT_ERRORS):
        new_session().request(method, front.url, data=b"content", timeout=LIMIT)
    assert len(front.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_session_follows_no_redirect(front: HTTPProxy, method: str, status: int) -> None:
    with HTTPProxy(HOST, refusing_port()) as elsewhere:
        front.answer(status, b"moved", {"Location": elsewhere.url})
        answer = new_session().request(method, front.url, data=b"refresh_token=x", timeout=LIMIT)
        assert (answer.status_code, answer.content) == (status, b"moved")
        assert elsewhere.requests == []


def test_session_serves_threads_over_connections_that_stay_open(front: HTTPProxy) -> None:
    front.answer(200, b"content", times=None)
    session = new_session()

    def ask() -> None:
        for _ in range(10):
            assert session.get(front.url, timeout=LIMIT).content == b"content"

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(front.requests) == 80
    assert front.connections <= 8


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "OTHER"])
def test_session_checks_certificates_against_the_authority_given(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for each in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, certifi.where())
    with HTTPProxy(HOST, refusing_port(), tls=authority().good.server_context()) as front:
        front.answer(200, b"content", times=None)
        trusting = new_session(verify=str(authority().ca_file))
        assert trusting.get(front.url, timeout=LIMIT).content == b"content"
        with pytest.raises(TRANSPORT_ERRORS) as raised:
            new_session().get(front.url, timeout=LIMIT)
    code, text = explain_transport(raised.value, "The server")
    assert code == errno.EPROTO
    assert "The server's certificate is refused" in text


# -- streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 1000, 300_000, 1_000_000])
def test_body_gives_the_content_in_pieces_of_any_size(front: HTTPProxy, size: int) -> None:
    content = CONTENT[:5000] if size == 1 else CONTENT
    front.answer(200, content)
    body = Body(get(front), len(content))
    first = body.read(size)
    assert first == content[:size]
    assert first + read(body, size) == content
    assert body.read(size) == b""


def test_body_leaves_out_what_is_to_be_skipped(front: HTTPProxy) -> None:
    front.answer(200, CONTENT)
    assert read(Body(get(front), 1000, skip=299_000)) == CONTENT[-1000:]


def test_body_is_not_decoded(front: HTTPProxy) -> None:
    front.answer(200, b"not really gzip", {"Content-Encoding": "gzip"})
    assert read(Body(get(front), 15)) == b"not really gzip"


def test_body_that_was_read_gives_its_connection_back(front: HTTPProxy) -> None:
    front.answer(200, CONTENT, times=None)
    session = new_session()
    for _ in range(3):
        response = session.get(front.url, timeout=LIMIT, stream=True)
        assert read(Body(response, len(CONTENT))) == CONTENT
    assert front.connections == 1


def test_body_that_is_closed_early_closes_its_connection(front: HTTPProxy) -> None:
    front.answer(200, CONTENT, times=None)
    session = new_session()
    for _ in range(2):
        body = Body(session.get(front.url, timeout=LIMIT, stream=True), len(CONTENT))
        body.read(10)
        body.close()
    assert front.connections == 2


@pytest.mark.parametrize("announced", [100, 301_000])
def test_body_that_ends_early_is_an_error(front: HTTPProxy, announced: int) -> None:
    front.answer(200, CONTENT[:100], {"Content-Length": str(announced)})
    body = Body(get(front), 300_000)
    with pytest.raises(ConnectionError):
        read(body)


def test_body_that_is_longer_is_an_error(front: HTTPProxy) -> None:
    front.answer(200, CONTENT)
    with pytest.raises(OSError, match="grew") as raised:
        read(Body(get(front), 299_999))
    assert raised.value.errno == errno.ESTALE


def test_body_whose_connection_breaks_is_an_error(front: HTTPProxy) -> None:
    front.answer(200, CONTENT)
    with Proxy(HOST, front.port) as line:
        line.reset_peer(50_000, "down")
        body = Body(get(line), len(CONTENT))
        with pytest.raises(ConnectionError):
            read(body)


def trickle(listener: socket.socket, ended: threading.Event, announced: int) -> None:
    """Send a byte of an answer now and then."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % announced)
        while not ended.wait(0.02):
            try:
                connection.sendall(b"x")
            except OSError:
                return


@pytest.fixture
def trickling() -> Iterator[str]:
    """The URL of a server that never stops, and never gets anywhere."""
    ended = threading.Event()
    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener, ended, 100_000))
        thread.start()
        yield f"http://{HOST}:{listener.getsockname()[1]}/"
        ended.set()
        thread.join()


@pytest.mark.parametrize(
    "take",
    [
        lambda answer: read(Body(answer, 100_000, patience=0.2)),
        lambda answer: read(ranged_body(answer, 0, 100_000, patience=0.2)),
        lambda answer: content_of(answer, patience=0.2),
    ],
)
def test_answer_that_trickles_is_given_up(
    trickling: str, take: Callable[[Response], bytes]
) -> None:
    with (
        new_session().get(trickling, timeout=LIMIT, stream=True) as response,
        pytest.raises(TimeoutError, match="too slowly"),
    ):
        take(response)


def test_answer_that_nobody_streams_is_given_up_too(trickling: str) -> None:
    with pytest.raises(TRANSPORT_ERRORS) as raised:
        new_session().get(trickling, timeout=0.3)
    assert explain_transport(raised.value, "The server")[0] == errno.ETIMEDOUT


def trickle_head(listener: socket.socket, ended: threading.Event) -> None:
    """Send a header's bytes now and then, without an end."""
    connection, _ = listener.accept()
    with connection:
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
        for _ in range(200):
            if ended.wait(0.02):
                return
            with suppress(OSError):
                connection.sendall(b"x")
        with suppress(OSError):
            connection.sendall(b"\r\nContent-Length: 0\r\n\r\n")


def test_head_of_an_answer_that_trickles_is_given_up() -> None:
    ended = threading.Event()
    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=trickle_head, args=(listener, ended))
        thread.start()
        url = f"http://{HOST}:{listener.getsockname()[1]}/"
        try:
            with pytest.raises(TRANSPORT_ERRORS) as raised:
                new_session().get(url, timeout=0.5)
        finally:
            ended.set()
            thread.join()
    assert explain_transport(raised.value, "The server") == (
        errno.ETIMEDOUT,
        "The server did not answer in time",
    )


def answer_and_hang_up(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(10_000)
        connection.sendall(answer)


HEAD = b"HTTP/1.1 200 OK\r\nETag: x\r\nContent-Length: 600\r\nServer: x\r\n\r\n"


@pytest.mark.parametrize("length", [8, 17, 26, len(HEAD) - 22, len(HEAD) - 13, len(HEAD) - 2])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_head_of_an_answer_that_ends_early_is_an_error(method: str, length: int) -> None:
    """Python takes what came for all of it, and half a number for the size of a file."""
    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=answer_and_hang_up, args=(listener, HEAD[:length]))
        thread.start()
        url = f"http://{HOST}:{listener.getsockname()[1]}/"
        try:
            with pytest.raises(TRANSPORT_ERRORS) as raised:
                new_session().request(method, url, timeout=LIMIT, stream=True)
        finally:
            thread.join()
    assert explain_transport(raised.value, "The server")[0] == errno.ECONNABORTED


def test_head_of_an_answer_may_come_byte_by_byte_and_be_large(front: HTTPProxy) -> None:
    names = [f"X-Name-{number}" for number in range(80)]
    front.answer(200, b"body", dict.fromkeys(names, "v" * 500))
    with Proxy(HOST, front.port) as line:
        line.slicer(7)
        answer = get(line)
        assert {answer.headers[each] for each in names} == {"v" * 500}
        assert answer.content == b"body"


def test_time_that_the_reader_takes_is_not_counted(front: HTTPProxy) -> None:
    front.answer(200, CONTENT)
    body = Body(get(front), len(CONTENT), patience=0.2)
    assert body.read(1000) == CONTENT[:1000]
    threading.Event().wait(0.5)
    assert read(body) == CONTENT[1000:]


def test_content_of_an_answer_is_all_of_it(front: HTTPProxy) -> None:
    front.answer(200, CONTENT)
    assert content_of(get(front)) == CONTENT


def test_compressed_answer_is_unpacked_for_whoever_asks_for_its_content(front: HTTPProxy) -> None:
    packed = gzip.compress(CONTENT)
    front.answer(200, packed, {"Content-Encoding": "gzip"}, times=2)
    assert new_session().get(front.url, timeout=LIMIT).content == CONTENT
    assert content_of(get(front)) == packed


def flood(listener: socket.socket) -> None:
    """Answer without an end."""
    connection, _ = listener.accept()
    with connection, suppress(OSError):
        connection.recv(10_000)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(1024 * 1024))


def test_answer_without_an_end_is_given_up() -> None:
    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=flood, args=(listener,))
        thread.start()
        url = f"http://{HOST}:{listener.getsockname()[1]}/"
        try:
            with (
                new_session().get(url, timeout=LIMIT, stream=True) as response,
                pytest.raises(OSError, match="no end") as raised,
            ):
                content_of(response)
        finally:
            thread.join()
    assert raised.value.errno == errno.EPROTO


def test_small_answer_that_unpacks_to_a_huge_one_is_given_up(front: HTTPProxy) -> None:
    bomb = gzip.compress(bytes(2 * LONGEST), 1)
    front.answer(200, bomb, {"Content-Encoding": "gzip"})
    with pytest.raises(TRANSPORT_ERRORS) as raised:
        new_session().get(front.url, timeout=LIMIT)
    assert explain_transport(raised.value, "The server")[0] == errno.EPROTO


# -- ranges ---------------------------------------------------------------------------------------


def test_answer_of_206_holds_the_rest(front: HTTPProxy) -> None:
    front.answer(206, CONTENT[100:], {"Content-Range": "bytes 100-299999/300000"})
    assert read(ranged_body(get(front), 100, 300_000)) == CONTENT[100:]


def test_total_of_a_range_may_be_unknown(front: HTTPProxy) -> None:
    front.answer(206, CONTENT[100:], {"Content-Range": "bytes 100-299999/*"})
    assert read(ranged_body(get(front), 100, 300_000)) == CONTENT[100:]


def test_answer_of_200_holds_all(front: HTTPProxy) -> None:
    front.answer(200, CONTENT)
    assert read(ranged_body(get(front), 100, 300_000)) == CONTENT[100:]


def test_answer_of_200_may_be_empty(front: HTTPProxy) -> None:
    front.answer(200, b"")
    assert read(ranged_body(get(front), 0, 0)) == b""


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {"Content-Range": "bytes 0-299899/300000"}),
        (206, {"Content-Range": "bytes 100-299999/300001"}),
        (200, {}),
    ],
    ids=["another start", "another size", "another length"],
)
def test_answer_about_another_content_is_refused(
    front: HTTPProxy, status: int, headers: dict[str, str]
) -> None:
    front.answer(status, CONTENT[100:], headers)
    with pytest.raises(OSError, match="replaced") as raised:
        ranged_body(get(front), 100, 300_000)
    assert raised.value.errno == errno.ESTALE


@pytest.mark.parametrize("headers", [{}, {"Content-Range": "bytes */300000"}])
def test_range_that_is_not_told_is_refused(front: HTTPProxy, headers: dict[str, str]) -> None:
    front.answer(206, CONTENT[100:], headers)
    with pytest.raises(OSError, match="does not tell which bytes") as raised:
        ranged_body(get(front), 100, 300_000)
    assert raised.value.errno == errno.EPROTO


# -- errors ---------------------------------------------------------------------------------------


def error_of(url: str, timeout: float = LIMIT) -> tuple[int, str]:
    with pytest.raises(TRANSPORT_ERRORS) as raised:
        new_session().get(url, timeout=timeout)
    return explain_transport(raised.value, "The server")


def test_refused_connection_is_explained() -> None:
    code, text = error_of(f"http://{HOST}:{refusing_port()}/")
    assert (code, text) == (
        errno.ECONNREFUSED,
        "Connection refused: The server cannot be reached",
    )


def test_unknown_host_is_explained() -> None:
    code, text = error_of("http://no-such-host.invalid/")
    assert code == errno.EHOSTUNREACH
    assert text == "The server is not found: its host name is not known"


def test_silence_is_explained() -> None:
    with socket.create_server((HOST, 0)) as silent:
        code, text = error_of(f"http://{HOST}:{silent.getsockname()[1]}/", 0.3)
    assert (code, text) == (errno.ETIMEDOUT, "The server did not answer in time")


def test_reset_is_explained(front: HTTPProxy) -> None:
    front.reset()
    assert error_of(front.url)[0] == errno.ECONNRESET


def test_server_that_hangs_up_is_explained(front: HTTPProxy) -> None:
    front.answer(200, times=None)
    with Proxy(HOST, front.port) as line:
        line.limit_data(0, "down")
        code, text = error_of(f"http://{HOST}:{line.port}/")
    assert (code, text) == (errno.ECONNRESET, "The server closed the connection")


def test_plain_http_where_tls_is_expected_is_explained(front: HTTPProxy) -> None:
    code, text = error_of(f"https://{HOST}:{front.port}/")
    assert code == errno.EPROTO
    assert text.startswith("TLS failed")


def test_certificate_of_another_host_is_explained() -> None:
    tls = authority().wrong_host.server_context()
    with (
        HTTPProxy(HOST, refusing_port(), tls=tls) as front,
        pytest.raises(TRANSPORT_ERRORS) as raised,
    ):
        new_session(verify=str(authority().ca_file)).get(front.url, timeout=LIMIT)
    code, text = explain_transport(raised.value, "The server")
    assert code == errno.EPROTO
    assert "certificate is refused" in text
