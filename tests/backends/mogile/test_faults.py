"""What the backend does when trackers, nodes or lines fail; numbers are those of the fault list."""

from __future__ import annotations

import errno
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.core.files.base import ContentFile, File

from storages.backends.mogile import MogileFSStorage
from storages.testing.sources import pipe, random_bytes
from tests.backends.mogile.server import address, storage
from tests.servers.http import HTTPProxy
from tests.servers.mogilefs import Cluster
from tests.servers.process import HOST, refusing_port
from tests.servers.proxy import Proxy

MIB = 1024 * 1024
CONTENT = random_bytes(200_000)
LIMIT = 20  # seconds, far beyond the time-outs of these tests
MIDDLE = 90_000  # a byte within the content's exchange

Mode = pytest.mark.parametrize("overwrite", [True, False], ids=["overwriting", "unique"])


def save(store: MogileFSStorage, content: bytes = CONTENT, name: str = "a.bin") -> str:
    return store.save(name, ContentFile(content))


def read(store: MogileFSStorage, name: str = "a.bin") -> bytes:
    with store.open(name) as file:
        content: bytes = file.read()
    return content


def methods(cluster: Cluster, method: str) -> list[int]:
    """Return how many bytes of a body came with each request of a method, node by node."""
    requests = [each for node in cluster.nodes for each in node.requests]
    return [each.received for each in requests if each.method == method]


@pytest.fixture
def one() -> Iterator[Cluster]:
    """One tracker and one node, so that every exchange takes the same way."""
    with Cluster(nodes=1) as cluster:
        cluster.domain("d")
        yield cluster


@pytest.fixture
def node_line(one: Cluster) -> Iterator[Proxy]:
    """A proxy before the only node."""
    with Proxy(*one.nodes[0].address) as proxy:
        one.nodes[0].told = f"http://{proxy.host}:{proxy.port}"
        yield proxy


@pytest.fixture
def node_front(one: Cluster) -> Iterator[HTTPProxy]:
    """A proxy before the only node that knows HTTP."""
    with HTTPProxy(*one.nodes[0].address) as front:
        one.nodes[0].told = front.url
        yield front


@pytest.fixture
def tracker_line(one: Cluster) -> Iterator[Proxy]:
    """A proxy before the only tracker."""
    with Proxy(*one.trackers[0].address) as proxy:
        yield proxy


# Trackers


def test_tracker_that_is_down_is_passed_over(cluster: Cluster) -> None:  # M1
    dead = f"{HOST}:{refusing_port()}"
    store = storage(cluster, "d", trackers=[dead, cluster.addresses[0]])
    for number in range(6):
        store.close()
        assert save(store, name=f"{number}.bin") == f"{number}.bin"


def test_silent_tracker_is_passed_over_and_avoided_for_a_while(cluster: Cluster) -> None:  # M1 M3
    with Proxy(*cluster.trackers[0].address) as proxy:
        proxy.silence()
        store = storage(cluster, "d", trackers=[address(proxy), cluster.addresses[1]], timeout=0.5)
        for _ in range(10):
            store.close()
            assert not store.exists("a.bin")
        assert proxy.connections <= 1


def test_all_trackers_down_end_in_an_error_that_names_one(cluster: Cluster) -> None:  # M2 G1
    port = refusing_port()
    store = storage(cluster, "d", trackers=[f"{HOST}:{port}"], timeout=1.0)
    with pytest.raises(ConnectionRefusedError, match=f"{HOST}:{port}"):
        save(store)


def test_all_trackers_silent_end_in_time(cluster: Cluster) -> None:  # M2 G3
    for tracker in cluster.trackers:
        tracker.silent = True
    store = storage(cluster, "d", timeout=0.3)
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        save(store)
    assert time.monotonic() - begun < LIMIT


def test_tracker_of_an_unknown_name_ends_in_an_error(cluster: Cluster) -> None:  # G2
    store = storage(cluster, "d", trackers=["nowhere.invalid:7001"], timeout=1.0)
    with pytest.raises(OSError, match="not known"):
        store.exists("a.bin")


def test_tracker_that_trickles_ends_in_time(one: Cluster, tracker_line: Proxy) -> None:  # G11
    tracker_line.bandwidth(5)
    store = storage(one, "d", trackers=[address(tracker_line)], timeout=0.5)
    with pytest.raises(TimeoutError):
        store.exists("a.bin")


def test_tracker_restarted_between_calls_is_no_failure(cluster: Cluster) -> None:  # G9 G10
    store = storage(cluster, "d")
    save(store)
    cluster.hang_up()
    assert read(store) == CONTENT
    cluster.hang_up()
    assert save(store, b"other") != "a.bin"


def test_answers_that_come_byte_by_byte_are_understood(cluster: Cluster) -> None:  # M12 G13
    for tracker in cluster.trackers:
        tracker.slow = True
    store = storage(cluster, "d")
    assert save(store) == "a.bin"
    assert read(store) == CONTENT
    assert store.listdir("") == ([], ["a.bin"])


@pytest.mark.parametrize(
    "line",
    ["failure", "odd_code  Odd+text%21 with spaces", "failure Expected%3A 1%0D%0A2; +"],
)
def test_odd_error_lines_are_errors_with_their_code(cluster: Cluster, line: str) -> None:  # M12
    store = storage(cluster, "d")
    for tracker in cluster.trackers:
        tracker.errors["file_info"] = line
    with pytest.raises(OSError, match=line.split(maxsplit=1)[0]) as raised:
        store.size("a.bin")
    assert not isinstance(raised.value, FileNotFoundError)
    assert not storage(cluster, "d").exists("b.bin")


def test_line_that_is_no_answer_is_an_error(one: Cluster) -> None:  # M12
    with HTTPProxy(*one.nodes[0].address) as web:
        store = storage(one, "d", trackers=[f"{web.host}:{web.port}"], timeout=1.0)
        with pytest.raises(OSError, match="protocol"):
            store.exists("a.bin")


class Vague(socketserver.StreamRequestHandler):
    """Answers every question with a line that tells nothing."""

    def handle(self) -> None:
        for _ in self.rfile:
            self.wfile.write(b"OK \r\n")


@pytest.fixture
def vague(one: Cluster) -> Iterator[MogileFSStorage]:
    """A storage on a tracker whose answers lack what they should tell."""
    with socketserver.ThreadingTCPServer((HOST, 0), Vague) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with storage(one, "d", trackers=[f"{HOST}:{server.server_address[1]}"]) as store:
            yield store
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "ask",
    [save, read, lambda store: store.size("a.bin"), lambda store: store.listdir("")],
    ids=["save", "read", "size", "list"],
)
def test_answer_that_lacks_what_it_should_tell_is_an_error(  # M12
    vague: MogileFSStorage, ask: Callable[[MogileFSStorage], Any]
) -> None:
    with pytest.raises(OSError, match="tracker's answer lacks") as raised:
        ask(vague)
    assert raised.value.errno == errno.EPROTO


def test_rename_to_a_taken_key_leaves_no_connection_out_of_step(one: Cluster) -> None:  # M13
    class Insisting(MogileFSStorage):
        def get_available_name(self, name: Any, max_length: Any = None) -> str:
            return str(name)

    one.put("d", "a.bin", b"another's")
    before = storage(one, "d")
    store = Insisting(trackers=before.trackers, domain="d")
    with store.open("x.bin", "xb") as file:
        file.write(b"x")
        one.put("d", "x.bin", b"first")
        with pytest.raises(FileExistsError):
            file.close()
    # Another client's file took the name between the look and the rename.
    for _ in range(3):
        assert store.size("x.bin") == 5
        assert store.size("a.bin") == 9
    assert one.names("d") == ["a.bin", "x.bin"]


# Answers that are lost


@Mode
@pytest.mark.parametrize(
    "command", ["create_open", "create_close", "rename", "file_info", "list_keys"]
)
@pytest.mark.parametrize("carried_out", [True, False], ids=["carried out", "not"])
def test_save_whose_answer_is_lost_makes_one_file(
    one: Cluster, overwrite: bool, command: str, carried_out: bool
) -> None:  # M10 G8
    tracker = one.trackers[0]
    (tracker.lost if carried_out else tracker.dropped).append(command)
    store = storage(one, "d", file_overwrite=overwrite)
    assert save(store) == "a.bin"
    assert [each for each in one.names("d") if "unfinished" not in each] == ["a.bin"]
    assert one.get("d", "a.bin") == CONTENT


def test_name_that_is_taken_by_a_lost_rename_is_our_own(one: Cluster) -> None:  # M10 G8
    one.trackers[0].lost += ["rename", "file_info"]
    store = storage(one, "d")
    assert save(store) == "a.bin"
    assert one.names("d") == ["a.bin"]


@pytest.mark.parametrize("command", ["file_info", "get_paths", "delete", "list_keys"])
def test_other_answers_that_are_lost_are_asked_for_again(one: Cluster, command: str) -> None:
    one.put("d", "a.bin", b"content")
    store = storage(one, "d")
    one.trackers[0].lost.append(command)
    assert read(store) == b"content"
    assert store.listdir("") == ([], ["a.bin"])
    store.delete("a.bin")
    assert one.names("d") == []


@Mode
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("position", range(0, 1100, 37))
def test_tracker_line_reset_anywhere_ends_in_one_file_or_none(
    one: Cluster, tracker_line: Proxy, overwrite: bool, direction: Any, position: int
) -> None:  # G7 G8 M10
    one.put("d", "other", b"")
    store = storage(one, "d", trackers=[address(tracker_line)], file_overwrite=overwrite)
    tracker_line.reset_peer(position, direction, times=1)
    name = None
    with suppress(OSError):
        name = save(store)
    tracker_line.clear()
    files = [each for each in one.names("d") if "unfinished" not in each]
    assert sorted(files) == sorted(filter(None, ["other", name]))
    assert name in {None, "a.bin"}
    if name:
        assert read(store, name) == CONTENT
    store.close()


@Mode
@pytest.mark.parametrize("position", [0, 50, 300, MIDDLE, 200_100])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_node_line_reset_anywhere_ends_in_the_whole_file(
    one: Cluster, node_line: Proxy, overwrite: bool, direction: Any, position: int
) -> None:  # G7
    node_line.reset_peer(position, direction, times=1)
    store = storage(one, "d", file_overwrite=overwrite)
    assert save(store) == "a.bin"
    assert one.get("d", "a.bin") == CONTENT
    assert one.names("d") == ["a.bin"]


# Lines that are slow, and processes that end


@Mode
def test_distant_cluster_is_only_slower(
    one: Cluster, tracker_line: Proxy, node_line: Proxy, overwrite: bool
) -> None:  # G12
    for line in (tracker_line, node_line):
        line.latency(0.1, "up")
        line.latency(0.1, "down")
    store = storage(one, "d", trackers=[address(tracker_line)], file_overwrite=overwrite)
    assert save(store) == "a.bin"
    assert read(store) == CONTENT
    assert store.listdir("") == ([], ["a.bin"])
    store.delete("a.bin")
    assert one.names("d") == []


#: Saves a file until it is told to end.
SAVING = """
import sys
from django.conf import settings
from django.core.files.base import ContentFile
settings.configure()
from storages.backends.mogile import MogileFSStorage
tracker, overwrite = sys.argv[1:]
MogileFSStorage(trackers=[tracker], domain="d", file_overwrite=bool(overwrite)).save(
    "before.bin", ContentFile(bytes(20_000_000))
)
"""


@Mode
def test_process_that_is_ended_during_a_save_leaves_the_file(
    one: Cluster, node_line: Proxy, overwrite: bool
) -> None:  # G17
    one.put("d", "before.bin", CONTENT)
    node_line.bandwidth(4 * MIB, "up")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    place = [one.addresses[0], "yes" if overwrite else ""]
    with subprocess.Popen([sys.executable, "-c", SAVING, *place], env=environment) as process:
        while node_line.bytes_up < MIB and process.poll() is None:
            threading.Event().wait(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    assert one.get("d", "before.bin") == CONTENT
    # The tracker removes what was never closed.
    assert [each for each in one.names("d") if "unfinished" not in each] == ["before.bin"]


# Uploads


@pytest.mark.parametrize("status", [507, 500, 403, 302])
def test_next_node_gets_the_whole_content_where_one_refuses_it(
    cluster: Cluster, status: int
) -> None:  # M7 M8
    store = storage(cluster, "d")
    cluster.nodes[0].answers["PUT"] = status
    assert save(store) == "a.bin"
    assert cluster.get("d", "a.bin") == CONTENT
    assert methods(cluster, "PUT") == [len(CONTENT)] * 2


def test_next_node_gets_the_whole_content_where_one_breaks_off(cluster: Cluster) -> None:  # M7 G7
    with Proxy(*cluster.nodes[0].address) as proxy:
        cluster.nodes[0].told = f"http://{proxy.host}:{proxy.port}"
        proxy.reset_peer(MIDDLE, "up")
        assert save(storage(cluster, "d")) == "a.bin"
    assert cluster.get("d", "a.bin") == CONTENT


def test_content_that_cannot_seek_is_sent_again_whole(cluster: Cluster) -> None:  # M7
    cluster.nodes[0].answers["PUT"] = 500
    with pipe(CONTENT) as file:
        name = storage(cluster, "d").save("a.bin", File(file, "a.bin"))
    assert cluster.get("d", name) == CONTENT


def test_content_that_stands_in_its_middle_is_sent_whole(cluster: Cluster) -> None:
    content = ContentFile(CONTENT)
    content.seek(1000)
    assert cluster.get("d", storage(cluster, "d").save("a.bin", content)) == CONTENT


@Mode
def test_full_nodes_end_in_an_error_and_keep_the_old_file(
    cluster: Cluster, overwrite: bool
) -> None:  # M8
    store = storage(cluster, "d", file_overwrite=overwrite)
    cluster.put("d", "a.bin", b"old")
    for node in cluster.nodes:
        node.answers["PUT"] = 507
    with pytest.raises(OSError, match="507") as raised:
        save(store)
    assert raised.value.errno == errno.ENOSPC
    assert cluster.names("d") == ["a.bin"]
    assert cluster.get("d", "a.bin") == b"old"


@Mode
@pytest.mark.parametrize(
    "answer",
    [
        "size_mismatch Expected: 9; actual: 8; path: http://10.0.0.1/",
        "checksum_mismatch",
        "size_verify_error Expected: 9; actual: 0 (cantreach)",
        "failure",
    ],
)
def test_close_that_is_refused_stores_nothing(
    one: Cluster, overwrite: bool, answer: str
) -> None:  # M9
    store = storage(one, "d", file_overwrite=overwrite)
    one.put("d", "a.bin", b"old")
    one.trackers[0].errors["create_close"] = answer
    with pytest.raises(OSError, match=r"a\w*\.bin") as raised:
        save(store)
    assert raised.value.errno == errno.EIO
    assert "10.0.0.1" not in str(raised.value)
    assert one.names("d") == ["a.bin"]
    assert one.get("d", "a.bin") == b"old"
    assert save(storage(one, "d", file_overwrite=True)) == "a.bin"


@pytest.mark.parametrize("room", [0, None])
def test_no_devices_is_a_full_disk(cluster: Cluster, room: int | None) -> None:  # M11
    for device in cluster.devices:
        device.mb_free = room
        device.status = "alive" if room == 0 else "down"
    with pytest.raises(OSError, match="No storage node takes the file") as raised:
        save(storage(cluster, "d"))
    assert raised.value.errno == errno.ENOSPC


def test_size_is_told_so_that_full_devices_are_left_out(cluster: Cluster) -> None:
    for device in cluster.devices[:2]:
        device.mb_free = 0
        device.node.answers["PUT"] = 507
    save(storage(cluster, "d"))
    assert methods(cluster, "PUT") == [len(CONTENT)]


@Mode
def test_node_whose_answer_breaks_off_after_its_status_has_the_file(
    one: Cluster, node_front: HTTPProxy, overwrite: bool
) -> None:
    node_front.answer(201, bytes(3000), method="PUT", forward=True)
    with Proxy(HOST, node_front.port) as line:
        one.nodes[0].told = f"http://{HOST}:{line.port}"
        line.reset_peer(1000, times=1)
        store = storage(one, "d", file_overwrite=overwrite)
        assert read(store, save(store)) == CONTENT


def test_byte_that_changed_on_its_way_up_is_found(one: Cluster, node_line: Proxy) -> None:  # G14
    node_line.corrupt(MIDDLE, "up", times=1)
    with pytest.raises(OSError, match="changed on its way"):
        save(storage(one, "d"))
    assert one.names("d") == []


# Downloads


def test_dead_node_is_passed_over_when_reading(cluster: Cluster) -> None:  # M4
    cluster.domain("d")
    cluster.put("d", "a.bin", CONTENT, devices=2)
    cluster.nodes[0].stop()
    for _ in range(5):
        assert read(storage(cluster, "d")) == CONTENT


@pytest.mark.parametrize("status", [404, 500, 403, 301])
def test_copy_that_is_not_given_is_passed_over(cluster: Cluster, status: int) -> None:  # M5
    cluster.domain("d")
    cluster.put("d", "a.bin", CONTENT, devices=2)
    cluster.nodes[0].answers["GET"] = status
    for _ in range(5):
        assert read(storage(cluster, "d")) == CONTENT


@pytest.mark.parametrize("copy", [CONTENT[:-1], CONTENT + b"x", b""], ids=["short", "long", "none"])
def test_copy_of_another_size_is_passed_over(cluster: Cluster, copy: bytes) -> None:  # M5
    cluster.domain("d")
    stored = cluster.put("d", "a.bin", CONTENT, devices=2)
    cluster.devices[0].file(stored.fid).write_bytes(copy)
    for start in (0, 1000, 150_000):
        with storage(cluster, "d").open("a.bin") as file:
            file.seek(start)
            assert file.read() == CONTENT[start:]


def test_copy_that_ends_early_is_read_on_in_another(cluster: Cluster) -> None:  # M5 G5 G6
    cluster.domain("d")
    cluster.put("d", "a.bin", CONTENT, devices=2)
    with Proxy(*cluster.nodes[0].address) as proxy:
        cluster.nodes[0].told = f"http://{proxy.host}:{proxy.port}"
        proxy.limit_data(MIDDLE, "down")
        for _ in range(5):
            assert read(storage(cluster, "d")) == CONTENT


def test_copy_that_trickles_is_read_on_in_another(cluster: Cluster) -> None:  # G11
    cluster.domain("d")
    cluster.put("d", "a.bin", CONTENT, devices=2)
    with Proxy(*cluster.nodes[0].address) as proxy:
        cluster.nodes[0].told = f"http://{proxy.host}:{proxy.port}"
        proxy.bandwidth(400)
        store = storage(cluster, "d", timeout=0.5)
        for _ in range(3):
            assert read(store) == CONTENT


@pytest.mark.parametrize("gone", ["stopped", 404, 500])
def test_no_copy_is_an_error_and_never_an_empty_file(cluster: Cluster, gone: Any) -> None:  # M6
    cluster.domain("d")
    cluster.put("d", "a.bin", CONTENT, devices=2)
    for node in cluster.nodes:
        if gone == "stopped":
            node.stop()
        else:
            node.answers["GET"] = gone
    store = storage(cluster, "d", timeout=1.0)
    with pytest.raises(OSError, match=r"a\.bin") as raised:
        read(store)
    assert not isinstance(raised.value, FileNotFoundError)
    assert store.exists("a.bin")


def test_only_copy_of_another_size_is_damage_and_no_replaced_file(one: Cluster) -> None:  # M5
    stored = one.put("d", "a.bin", CONTENT)
    one.devices[0].file(stored.fid).write_bytes(b"short")
    with pytest.raises(OSError, match="another size") as raised:
        read(storage(one, "d"))
    assert raised.value.errno == errno.EIO


def test_copies_that_the_tracker_cannot_see_are_tried(one: Cluster) -> None:  # M6
    one.put("d", "a.bin", CONTENT)
    one.sees_nodes = False
    assert read(storage(one, "d")) == CONTENT
    one.devices[0].status = "dead"
    with pytest.raises(OSError, match="No storage node"):
        read(storage(one, "d"))


@pytest.mark.parametrize("position", [0, 100, MIDDLE])
def test_download_that_breaks_is_taken_up_again(
    one: Cluster, node_line: Proxy, position: int
) -> None:  # G4 G5
    one.put("d", "a.bin", CONTENT)
    node_line.reset_peer(position, "down", times=1)
    assert read(storage(one, "d")) == CONTENT


def test_download_that_always_ends_early_is_taken_up_till_it_is_whole(
    one: Cluster, node_line: Proxy
) -> None:  # G6
    one.put("d", "a.bin", CONTENT)
    node_line.limit_data(MIDDLE, "down")
    assert read(storage(one, "d")) == CONTENT


def test_download_that_never_begins_is_an_error(one: Cluster, node_line: Proxy) -> None:  # G4 G6
    one.put("d", "a.bin", CONTENT)
    node_line.limit_data(50, "down")
    with pytest.raises(OSError, match=r"ended early|no copy"):
        read(storage(one, "d", timeout=1.0))


def test_node_that_ignores_ranges_gives_the_right_bytes(one: Cluster) -> None:
    one.put("d", "a.bin", CONTENT)
    one.nodes[0].ranges = False
    with storage(one, "d").open("a.bin") as file:
        file.seek(150_000)
        assert file.read(100) == CONTENT[150_000:150_100]


def test_byte_that_changed_on_its_way_down_is_read_from_another_copy(one: Cluster) -> None:  # G14
    one.domain("d", default=True)
    with Cluster(nodes=2) as cluster, Proxy(*cluster.nodes[0].address) as proxy:
        cluster.domain("d", default=True)
        cluster.put("d", "a.bin", CONTENT, devices=2)
        cluster.nodes[0].told = f"http://{proxy.host}:{proxy.port}"
        proxy.corrupt(MIDDLE, "down")
        for _ in range(5):
            assert read(storage(cluster, "d")) == CONTENT


def test_file_replaced_while_it_is_read_gives_one_content_or_an_error(cluster: Cluster) -> None:
    cluster.domain("d")
    content = CONTENT * 100
    cluster.put("d", "a.bin", content)
    with storage(cluster, "d").open("a.bin") as file:
        head = file.read(10)
        cluster.put("d", "a.bin", content[::-1])
        file.seek(15_000_000)
        with pytest.raises(OSError, match="replaced") as raised:
            file.read()
    assert head == CONTENT[:10]
    assert raised.value.errno == errno.ESTALE


def test_old_places_from_a_tracker_s_memory_are_not_used() -> None:
    with Cluster(memcached=True) as cluster:
        store = storage(cluster, "d", file_overwrite=True)
        for content in (b"old", b"new one"):
            save(store, content)
            assert read(store) == content


# What a tracker tells that must not be asked


@pytest.mark.parametrize(
    "told",
    [
        "ftp://{host}",
        "file:///etc",
        "https://{host}",
        "http://user:password@{host}",
        "http://{host}/ x",
        "//{host}",
        "http://[::1",
        "http:///dev1",
    ],
)
def test_odd_places_are_asked_neither_to_write_nor_to_read(one: Cluster, told: str) -> None:
    one.put("d", "a.bin", CONTENT)
    node = one.nodes[0]
    node.told = told.format(host=f"{HOST}:{node.address[1]}")
    store = storage(one, "d", timeout=1.0)
    for use in (read, lambda store: save(store, name="b.bin")):
        with pytest.raises(PermissionError, match="MOGILEFS_NODE_HOSTS"):
            use(store)
    assert node.requests == []


@pytest.mark.parametrize(
    ("hosts", "is_allowed"),
    [
        ([HOST], True),
        (["127.0.0.0/8"], True),
        (["10.0.0.0/8", "node.example.com"], False),
        (["0.0.0.0"], False),
        ([], False),
    ],
)
def test_only_hosts_that_are_allowed_are_asked(
    one: Cluster, hosts: list[str], is_allowed: bool
) -> None:
    store = storage(one, "d", node_hosts=hosts)
    if is_allowed:
        assert save(store) == "a.bin"
        assert read(store) == CONTENT
    else:
        with pytest.raises(PermissionError):
            save(store)
        assert one.nodes[0].requests == []


def test_node_that_points_elsewhere_is_not_followed(one: Cluster, node_front: HTTPProxy) -> None:
    one.put("d", "a.bin", CONTENT)
    with HTTPProxy(*one.nodes[0].address) as other:
        node_front.answer(302, headers={"Location": f"{other.url}/"}, times=None)
        for use in (read, lambda store: save(store, name="b.bin")):
            with pytest.raises(OSError, match="302"):
                use(storage(one, "d"))
        assert other.requests == []


# Listings


@pytest.mark.parametrize("directory", ["a+b", "a.b", "(a", "[z-a]", "a{2}", "a$", "%", "a_", "é*"])
def test_directory_of_many_pages_is_listed_whatever_its_name(directory: str) -> None:  # M14
    with Cluster(nodes=1) as cluster:
        store = storage(cluster, "d")
        for number in range(2000):
            cluster.plant("d", f"{directory}/{number:04}")
        for bystander in ("aab/x", "axb/x", "zz/x", "a/x", "aa/x", directory + "x/x"):
            cluster.plant("d", bystander)
        expected = [f"{number:04}" for number in range(2000)]
        assert store.listdir(directory) == ([], expected)


@pytest.mark.parametrize("ignores_case", [True, False])
def test_directory_of_another_case_is_another(ignores_case: bool) -> None:
    with Cluster(nodes=1, ignores_case=ignores_case) as cluster:
        store = storage(cluster, "d")
        for key in ("Dir/a", "dir/b", "DIR/c", "dir/d", "dXr/e"):
            cluster.plant("d", key)
        assert store.listdir("dir") == ([], ["b", "d"])
        assert store.exists("dir")
        assert not store.exists("diR")


def test_tracker_that_lists_in_circles_is_an_error(one: Cluster) -> None:
    one.put("d", "a.bin", b"")
    one.repeats = True
    with pytest.raises(OSError, match="again and again"):
        storage(one, "d").listdir("")


def test_unique_save_never_replaces_where_keys_ignore_case() -> None:
    with Cluster(nodes=1, ignores_case=True) as cluster:
        store = storage(cluster, "d")
        upper, lower = save(store, b"upper", "A.txt"), save(store, b"lower", "a.txt")
        assert (read(store, upper), read(store, lower)) == (b"upper", b"lower")
        assert len(cluster.names("d")) == 2
