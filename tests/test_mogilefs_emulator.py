"""Our own emulator of MogileFS keeps to what the tracker's source says, oddities included."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from typing import Any, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from pymogilefs.client import Client

from tests.servers.mogilefs import Cluster
from tests.servers.process import HOST

TIMEOUT = 10  # seconds


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        cluster.domain("d", kept=True)
        yield cluster


class Talk:
    """A connection to a tracker, line by line."""

    def __init__(self, cluster: Cluster) -> None:
        self.socket = socket.create_connection((HOST, cluster.trackers[0].port), TIMEOUT)
        self.file = self.socket.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.file.close()
        self.socket.close()

    def send(self, command: str, **values: Any) -> None:
        line = f"{command} {urlencode({'domain': 'd', **values})}\r\n"
        self.socket.sendall(line.encode())

    def line(self) -> str:
        return self.file.readline().decode()

    def ask(self, command: str, **values: Any) -> str:
        self.send(command, **values)
        return self.line()

    def values(self, command: str, **values: Any) -> dict[str, str]:
        line = self.ask(command, **values)
        assert line.startswith("OK "), line
        pairs = parse_qs(line[3:].strip(), keep_blank_values=True)
        return {name: found[0] for name, found in pairs.items()}


@pytest.fixture
def talk(cluster: Cluster) -> Iterator[Talk]:
    with Talk(cluster) as talk:
        yield talk


def http(method: str, url: str, body: Any = None, **headers: str) -> tuple[int, bytes]:
    parts = urlsplit(url)
    connection = HTTPConnection(parts.netloc, timeout=TIMEOUT)
    try:
        # A node may answer, and hang up, before it has the body.
        with suppress(BrokenPipeError):
            connection.request(method, parts.path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def opened(talk: Talk, content: bytes, **values: Any) -> dict[str, Any]:
    """Open an upload and send its content; return what create_close takes."""
    told = talk.values("create_open", multi_dest=1, **values)
    assert http("PUT", told["path_1"], content)[0] == 201
    return {"fid": told["fid"], "devid": told["devid_1"], "path": told["path_1"]}


def test_client_of_pymogilefs_stores_and_reads_files(cluster: Cluster, tmp_path: Any) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    client = Client(trackers=cluster.addresses, domain="d")
    with file.open("rb") as handle:
        client.store_file(file_handle=handle, key="a.txt")
    assert cluster.get("d", "a.txt") == b"content"
    assert client.get_file("a.txt").read() == b"content"


def test_rename_to_a_taken_key_is_refused_and_answered_ok_as_well(
    cluster: Cluster, talk: Talk
) -> None:
    cluster.put("d", "a", b"one")
    cluster.put("d", "b", b"two")
    assert talk.ask("rename", from_key="a", to_key="b", callid="7").startswith("ERR key_exists ")
    assert talk.line() == "OK callid=7\r\n"
    assert cluster.get("d", "b") == b"two"


@pytest.mark.parametrize(
    ("prefix", "answer"),
    [("a.b/", "OK "), ("a+b/", "ERR after_mismatch "), ("a(b/", "ERR failure ")],
)
def test_second_page_takes_the_prefix_for_a_regular_expression(
    cluster: Cluster, talk: Talk, prefix: str, answer: str
) -> None:
    for number in (1, 2):
        cluster.put("d", f"{prefix}{number}", b"")
    assert talk.values("list_keys", prefix=prefix, limit=1)["key_1"] == f"{prefix}1"
    assert talk.ask("list_keys", prefix=prefix, after=f"{prefix}1").startswith(answer)


def test_page_after_exactly_the_last_key_is_an_error(cluster: Cluster, talk: Talk) -> None:
    cluster.put("d", "dir/a", b"")
    assert talk.ask("list_keys", prefix="dir/", after="dir/a").startswith("ERR none_match ")


def test_prefix_is_a_like_that_ignores_case_and_has_wildcards(cluster: Cluster, talk: Talk) -> None:
    for key in ("Dir/a", "dir/a", "dxr/a"):
        cluster.put("d", key, b"")
    assert talk.values("list_keys", prefix="dir/")["key_count"] == "2"
    assert talk.values("list_keys", prefix="d_r/")["key_count"] == "3"


def test_close_without_a_key_discards_the_upload(cluster: Cluster, talk: Talk) -> None:
    close = opened(talk, b"content")
    assert talk.ask("create_close", key="", **close).startswith("OK")
    assert http("GET", close["path"])[0] == 404
    assert talk.ask("create_close", key="a", **close).startswith("ERR no_temp_file ")


def test_close_replaces_the_file_of_the_key(cluster: Cluster, talk: Talk) -> None:
    for content in (b"one", b"two"):
        close = opened(talk, content)
        talk.values("create_close", key="a", size=3, **close)
    assert cluster.get("d", "a") == b"two"


def test_checksum_is_compared_only_if_that_is_asked_for(cluster: Cluster, talk: Talk) -> None:
    wrong = f"MD5:{hashlib.md5(b'other').hexdigest()}"
    close = opened(talk, b"content", **{"class": "kept"})
    talk.values("create_close", key="a", checksum=wrong, **close)
    assert talk.values("file_info", key="a")["checksum"] == wrong
    verified = opened(talk, b"content") | {"checksum": wrong, "checksumverify": 1}
    assert talk.ask("create_close", key="b", **verified).startswith("ERR checksum_mismatch ")
    assert cluster.get("d", "b") is None


def test_size_is_compared_unless_it_is_zero(talk: Talk) -> None:
    close = opened(talk, b"content")
    assert talk.ask("create_close", key="a", size=6, **close).startswith("ERR size_mismatch ")
    assert talk.ask("create_close", key="a", size=0, **opened(talk, b"content")).startswith("OK")


def test_full_devices_are_left_out_where_the_size_is_told(cluster: Cluster, talk: Talk) -> None:
    for device in cluster.devices[:2]:
        device.mb_free = 0
    assert talk.values("create_open", multi_dest=1, size=9)["dev_count"] == "1"
    assert talk.values("create_open", multi_dest=1)["dev_count"] == "3"
    cluster.devices[2].mb_free = 0
    assert talk.ask("create_open", size=9).startswith("ERR no_devices ")


def test_paths_without_verification_may_be_old() -> None:
    with Cluster(memcached=True) as cluster, Talk(cluster) as talk:
        cluster.domain("d")
        cluster.put("d", "a", b"old")
        old = talk.values("get_paths", key="a", noverify=1)["path1"]
        cluster.put("d", "a", b"new")
        assert talk.values("get_paths", key="a", noverify=1)["path1"] == old
        assert talk.values("get_paths", key="a", noverify=0)["path1"] != old


def test_copies_on_devices_that_are_down_are_told_only_if_there_are_no_others(
    cluster: Cluster, talk: Talk
) -> None:
    cluster.put("d", "a", b"content", devices=2)
    cluster.devices[0].status = "down"
    assert talk.values("get_paths", key="a")["paths"] == "1"
    cluster.devices[1].status = "down"
    assert talk.values("get_paths", key="a")["paths"] == "1"


def test_node_refuses_chunks_and_answers_to_order(cluster: Cluster, talk: Talk) -> None:
    url = talk.values("create_open")["path"]
    assert http("PUT", url, iter([b"content"]))[0] == 411
    for node in cluster.nodes:
        node.answers["PUT"] = 507
    assert http("PUT", url, b"content")[0] == 507


def test_node_gives_the_rest_of_a_file(cluster: Cluster, talk: Talk) -> None:
    cluster.put("d", "a", b"content")
    url = talk.values("get_paths", key="a")["path1"]
    assert http("GET", url, Range="bytes=3-") == (206, b"tent")


def test_call_id_comes_back_in_either_answer(talk: Talk) -> None:
    assert talk.ask("noop", callid="a b") == "OK callid=a+b\r\n"
    assert talk.ask("file_info", key="x", callid="call9").endswith(" call9\r\n")


def test_two_lines_at_once_are_answered_in_order(talk: Talk) -> None:
    talk.send("file_info", key="x")
    talk.send("noop")
    assert [talk.line()[:3], talk.line()[:3]] == ["ERR", "OK "]


def test_slow_tracker_says_the_same(cluster: Cluster, talk: Talk) -> None:
    cluster.trackers[0].slow = True
    assert talk.ask("file_info", key="x").startswith("ERR unknown_key ")


def test_lost_answers_are_of_commands_that_were_carried_out(cluster: Cluster) -> None:
    cluster.put("d", "a", b"")
    cluster.trackers[0].lost.append("delete")
    with Talk(cluster) as talk:
        assert talk.ask("delete", key="a") == ""
    assert cluster.get("d", "a") is None


@pytest.mark.parametrize(
    ("command", "values", "code"),
    [
        ("create_open", {"domain": "other"}, "unreg_domain"),
        ("create_open", {"domain": ""}, "no_domain"),
        ("create_open", {"class": "other"}, "unreg_class"),
        ("create_close", {"fid": 9, "devid": 1, "path": "x"}, "bogus_args"),
        ("file_info", {}, "no_key"),
        ("get_paths", {"key": "x"}, "unknown_key"),
        ("delete", {"key": "x"}, "unknown_key"),
        ("rename", {"from_key": "x", "to_key": "y"}, "unknown_key"),
        ("list_keys", {}, "none_match"),
        ("dance", {}, "unknown_command"),
    ],
)
def test_errors_have_the_tracker_s_codes(
    talk: Talk, command: str, values: dict[str, Any], code: str
) -> None:
    assert talk.ask(command, **values).startswith(f"ERR {code} ")
