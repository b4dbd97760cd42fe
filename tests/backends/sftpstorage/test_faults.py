"""What SFTPStorage does where server, network or login are bad."""

from __future__ import annotations

import errno
import io
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage

from storages.backends._sftp.connector import Connector
from storages.backends.sftpstorage import SFTPStorage
from tests.backends.directory import RawDirectory
from tests.backends.sftpstorage.server import options, running
from tests.servers.asyncssh_server import AsyncSSH, Quirks
from tests.servers.openssh import OpenSSH
from tests.servers.process import HOST, refusing_port
from tests.servers.proxy import Pieces, Proxy
from tests.servers.ssh import SSHServer

CONTENT = os.urandom(400_000)
LIMIT = 20  # seconds a test waits for another thread


@pytest.fixture(scope="module", params=[OpenSSH, AsyncSSH], ids=["openssh", "asyncssh"])
def server(request: pytest.FixtureRequest) -> Iterator[SSHServer]:
    yield from running(request.param())


@pytest.fixture
def proxy(server: SSHServer) -> Iterator[Proxy]:
    with Proxy(*server.address) as proxy:
        yield proxy


@pytest.fixture
def raw(server: SSHServer, root: str) -> RawDirectory:
    return RawDirectory(server.root / root)


@pytest.fixture
def root(request: pytest.FixtureRequest) -> str:
    return "".join(letter for letter in request.node.name if letter.isalnum())


@pytest.fixture
def storage(server: SSHServer, proxy: Proxy, root: str) -> Iterator[SFTPStorage]:
    with SFTPStorage(**options(server, proxy), root_path=root) as storage:
        storage.save("before.bin", ContentFile(CONTENT))
        yield storage


def save(storage: Storage, name: str = "a.bin", content: bytes = CONTENT) -> str:
    return storage.save(name, ContentFile(content))


def read(storage: Storage, name: str = "before.bin") -> bytes:
    with storage.open(name) as file:
        return file.read()


def test_refused_connection_names_host_and_port() -> None:
    port = refusing_port()
    storage = SFTPStorage(host=HOST, params={"port": port}, root_path="x")
    with pytest.raises(ConnectionRefusedError, match=f"{HOST}:{port} refuses connections"):
        storage.exists("a")


def test_unknown_host_name_is_told_as_that() -> None:
    storage = SFTPStorage(host="no-such-host.invalid", root_path="x")
    with pytest.raises(OSError, match=r"no-such-host\.invalid:22 does not resolve") as caught:
        storage.exists("a")
    assert caught.value.errno == errno.EHOSTUNREACH


def test_server_that_accepts_and_says_nothing_is_given_up() -> None:
    with socket.create_server((HOST, 0)) as silent:
        port = silent.getsockname()[1]
        storage = SFTPStorage(host=HOST, params={"port": port}, root_path="x", timeout=0.2)
        with pytest.raises(TimeoutError, match="does not answer"):
            storage.exists("a")


@pytest.mark.parametrize("call", [save, read, lambda each: each.listdir("")])
def test_server_that_falls_silent_is_given_up(
    server: SSHServer, proxy: Proxy, root: str, call: Callable[[Storage], Any]
) -> None:
    with SFTPStorage(**options(server, proxy) | {"timeout": 1}, root_path=root) as storage:
        save(storage, "before.bin")
        proxy.silence()
        with pytest.raises(TimeoutError, match="does not answer"):
            call(storage)
        proxy.clear()
        assert read(storage) == CONTENT


@pytest.mark.parametrize("buffer", [None, 4096])
def test_upload_to_a_server_that_takes_no_more_is_given_up(
    server: SSHServer, proxy: Proxy, root: str, buffer: int | None
) -> None:
    def connect() -> socket.socket:
        connection = socket.socket()
        if buffer is not None:
            # So that it is the system that takes no more, before the window of SSH is full.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        connection.connect(proxy.address)
        return connection

    class Silencing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 500_000:
                proxy.silence()
            return super().read(size)

    given = options(server, proxy, sock=connect) | {"timeout": 0.5}
    with SFTPStorage(**given, root_path=root) as storage:
        with pytest.raises(TimeoutError, match="does not answer"):
            storage.save("a.bin", File(Silencing(bytes(20_000_000))))
        proxy.clear()
        assert storage.listdir("") == ([], [])


def test_trickle_ends_by_the_time_limit(server: SSHServer, proxy: Proxy, root: str) -> None:
    with SFTPStorage(**options(server, proxy) | {"timeout": 0.5}, root_path=root) as storage:
        storage.exists("a")
        proxy.bandwidth(1)
        with pytest.raises(TimeoutError):
            storage.exists("a")


@pytest.mark.parametrize("after", [0, 200_000])
@pytest.mark.parametrize("fault", ["reset_peer", "limit_data"])
def test_broken_download_goes_on_where_it_was(
    storage: SFTPStorage, proxy: Proxy, fault: str, after: int
) -> None:
    getattr(proxy, fault)(after, "down", times=1)
    assert read(storage) == CONTENT


@pytest.mark.parametrize("after", [0, 200_000])
@pytest.mark.parametrize("fault", ["reset_peer", "limit_data"])
def test_broken_upload_begins_anew_and_leaves_nothing(
    storage: SFTPStorage, proxy: Proxy, raw: RawDirectory, fault: str, after: int
) -> None:
    getattr(proxy, fault)(after, "up", times=1)
    assert save(storage) == "a.bin"
    assert raw.get("a.bin") == CONTENT
    assert raw.names() == ["a.bin", "before.bin"]


def test_download_that_breaks_each_time_is_an_error(storage: SFTPStorage, proxy: Proxy) -> None:
    file = storage.open("before.bin")
    proxy.reset_peer(0, "down")
    with pytest.raises(ConnectionError):
        file.read()
    proxy.clear()
    assert file.read() == CONTENT
    file.close()


def test_upload_that_breaks_each_time_replaces_nothing(
    server: SSHServer, proxy: Proxy, raw: RawDirectory, root: str
) -> None:
    options_ = options(server, proxy)
    with SFTPStorage(**options_, root_path=root, file_overwrite=True) as storage:
        save(storage)
        proxy.reset_peer(200_000, "up")
        with pytest.raises(ConnectionError, match="connection"):
            save(storage, content=bytes(CONTENT))
        proxy.clear()
        assert raw.get("a.bin") == CONTENT
        assert storage.listdir("") == ([], ["a.bin"])


def test_name_of_many_directories_is_taken(storage: SFTPStorage) -> None:
    name = "d/" * 400 + "a.bin"
    assert not storage.exists(name)
    assert save(storage, name) == name
    assert read(storage, name) == CONTENT
    assert [each for each, _ in storage.scan("", recursive=True)] == ["before.bin", name]


def test_lost_reply_makes_no_second_file(
    storage: SFTPStorage, proxy: Proxy, raw: RawDirectory
) -> None:
    # Wherever a connection breaks, before or after the renaming, one file comes of it.
    for number, position in enumerate(range(0, 1_200, 48)):
        proxy.reset_peer(position, "down", times=1)
        assert save(storage, f"{number}.bin", b"content") == f"{number}.bin"
        proxy.clear()
    assert raw.names() == sorted(["before.bin", *(f"{each}.bin" for each in range(25))])


def test_many_small_pieces_are_put_together(storage: SFTPStorage, proxy: Proxy) -> None:
    proxy.slicer(7, "down")
    assert storage.listdir("") == ([], ["before.bin"])
    assert read(storage) == CONTENT


def test_restarted_server_costs_no_call(server: SSHServer, root: str) -> None:
    with SFTPStorage(**options(server), root_path=root) as storage:
        save(storage)
        server.restart()
        assert storage.size("a.bin") == len(CONTENT)
        server.restart()
        assert save(storage, "b.bin") == "b.bin"
        file = storage.open("b.bin")
        assert file.read(10) == CONTENT[:10]
        server.restart()
        assert file.read() == CONTENT[10:]
        file.close()


def test_what_a_broken_upload_left_goes_with_the_next_save(
    storage: SFTPStorage, raw: RawDirectory
) -> None:
    stale, fresh = f"new/.storages-{'0' * 32}.part", f"new/.storages-{'1' * 32}.part"
    raw.put(stale, b"half a fi")
    os.utime(raw.path / stale, (0, 0))
    raw.put(fresh, b"still growing")
    raw.put("new/old.part", b"another's")
    os.utime(raw.path / "new/old.part", (0, 0))
    save(storage, "new/a.bin")
    assert raw.names() == ["before.bin", fresh, "new/a.bin", "new/old.part"]
    assert storage.listdir("new") == ([], ["a.bin", "old.part"])


def test_threads_that_copy_within_a_storage_never_starve(
    server: SSHServer, proxy: Proxy, root: str
) -> None:
    content = os.urandom(2_000_000)
    barrier = threading.Barrier(3)

    def copy(number: int) -> str:
        with storage.open("a.bin") as file:
            file.read(1)
            barrier.wait()
            name: str = storage.save(f"{number}.bin", file)
        return name

    with SFTPStorage(
        **options(server, proxy) | {"timeout": 3}, root_path=root, max_connections=3
    ) as storage:
        save(storage, "a.bin", content)
        with ThreadPoolExecutor(3) as threads:
            names = [*threads.map(copy, range(3))]
        assert all(read(storage, name) == content for name in names)
    assert proxy.connections <= 3


def test_file_that_a_killed_client_put_aside_goes_back_to_its_name(
    storage: SFTPStorage, raw: RawDirectory
) -> None:
    aside = f"new/.storages-{'0' * 32}.old"
    raw.put(f"{aside}/film.bin", b"the only copy")
    os.utime(raw.path / aside / "film.bin", (0, 0))
    save(storage, "new/a.bin")
    assert read(storage, "new/film.bin") == b"the only copy"
    assert not (raw.path / aside).exists()


def test_file_put_aside_for_a_save_under_way_stays(storage: SFTPStorage, raw: RawDirectory) -> None:
    aside = f"new/.storages-{'0' * 32}.old"
    raw.put("new/film.bin", b"new")
    raw.put(f"{aside}/film.bin", b"old")
    save(storage, "new/a.bin")
    assert raw.get("new/film.bin") == b"new"
    assert raw.get(f"{aside}/film.bin") == b"old"
    assert sorted(storage.listdir("new")[1]) == ["a.bin", "film.bin"]


@pytest.fixture
def make_quirky() -> Iterator[Callable[..., AsyncSSH]]:
    started: list[AsyncSSH] = []

    def make(**quirks: Any) -> AsyncSSH:
        started.append(AsyncSSH(Quirks(**quirks)).start())
        return started[-1]

    yield make
    for server in started:
        server.close()


@pytest.mark.parametrize("clock", [-5 * 3600, 40, 3 * 86_400])
def test_time_of_a_file_is_right_though_the_clock_of_its_server_is_wrong(
    make_quirky: Callable[..., AsyncSSH], clock: int
) -> None:
    with SFTPStorage(**options(make_quirky(clock=clock)), root_path="files") as storage:
        before = datetime.now(UTC).replace(microsecond=0)
        name = save(storage)
        assert before <= storage.get_modified_time(name) <= datetime.now(UTC)


@pytest.mark.parametrize("quirk", ["setstat", "knows_setstat"])
def test_server_with_a_wrong_clock_that_nobody_may_correct_gets_files_all_the_same(
    make_quirky: Callable[..., AsyncSSH], quirk: str
) -> None:
    server = make_quirky(clock=7200, **{quirk: False})
    with SFTPStorage(**options(server), root_path="files") as storage:
        name = save(storage)
        assert storage.get_modified_time(name) > datetime.now(UTC) + timedelta(hours=1)
        assert read(storage, name) == CONTENT


def test_denied_name_is_told_from_a_missing_one(make_quirky: Callable[..., AsyncSSH]) -> None:
    server = make_quirky(denied="secret")
    with SFTPStorage(**options(server)) as storage:
        assert storage.exists("missing") is False
        for call in (
            storage.exists,
            storage.size,
            storage.listdir,
            storage.delete,
            storage.open,
            storage.get_modified_time,
            lambda name: save(storage, name),
            lambda name: save(storage, f"{name}/a.bin"),
        ):
            with pytest.raises(PermissionError, match="needs rights") as caught:
                call("secret")
            assert caught.value.filename.startswith("secret")


def test_quota_is_an_error_and_leaves_nothing(make_quirky: Callable[..., AsyncSSH]) -> None:
    server = make_quirky(quota=100_000)
    with SFTPStorage(**options(server)) as storage:
        with pytest.raises(OSError, match="No space left on device") as caught:
            save(storage)
        assert caught.value.filename == "a.bin"
        assert RawDirectory(server.root).names() == []
        assert save(storage, content=b"small") == "a.bin"


@pytest.mark.parametrize(("most", "writes"), [(1_000_000, 20), (100_000, 50), (32_768, 160)])
def test_large_content_goes_in_requests_as_large_as_the_server_takes(
    make_quirky: Callable[..., AsyncSSH], most: int, writes: int
) -> None:
    server = make_quirky(most=most, writes=writes)
    with SFTPStorage(**options(server)) as storage:
        content = 12 * CONTENT
        save(storage, content=content)
        assert RawDirectory(server.root).get("a.bin") == content


def test_bytes_lost_on_the_server_are_noticed(make_quirky: Callable[..., AsyncSSH]) -> None:
    server = make_quirky(quota=100_000, lossy=True)
    with SFTPStorage(**options(server), file_overwrite=True) as storage:
        save(storage, content=b"before")
        with pytest.raises(OSError, match="100000 of 400000 bytes"):
            save(storage)
        assert RawDirectory(server.root).names() == ["a.bin"]
        assert read(storage, "a.bin") == b"before"


def test_server_without_posix_rename_is_overwritten_too(
    make_quirky: Callable[..., AsyncSSH],
) -> None:
    server = make_quirky(posix_rename=False)
    with SFTPStorage(**options(server), file_overwrite=True) as storage:
        for content in (b"first", b"second", b"third"):
            assert save(storage, content=content) == "a.bin"
            assert read(storage, "a.bin") == content
        assert RawDirectory(server.root).names() == ["a.bin"]


def test_refused_mode_is_an_error_and_leaves_nothing(make_quirky: Callable[..., AsyncSSH]) -> None:
    server = make_quirky(setstat=False)
    with SFTPStorage(**options(server), file_mode=0o600) as storage:
        with pytest.raises(PermissionError):
            save(storage)
        assert RawDirectory(server.root).names() == []


@pytest.mark.skipif(os.geteuid() != 0, reason="counts on mounting a small disk, as root does")
def test_full_disk_is_told_as_that(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    disk = tmp_path
    if os.system(f"mount -t tmpfs -o size=1m none {disk} 2> {os.devnull}"):
        pytest.skip("cannot mount a small disk here")
    request.addfinalizer(lambda: os.system(f"umount {disk}"))
    for server in running(OpenSSH()):
        with SFTPStorage(**options(server), root_path=str(disk)) as storage:
            with pytest.raises(OSError, match="disk is full") as caught:
                save(storage, content=bytes(3_000_000))
            assert caught.value.errno == errno.ENOSPC
            assert list(disk.iterdir()) == []
            assert save(storage) == "a.bin"


@pytest.fixture
def crowded() -> Iterator[SSHServer]:
    yield from running(OpenSSH({"MaxStartups": "1:100:1"}))


def hold(server: SSHServer) -> socket.socket:
    """Take the one place for clients that have not logged in yet."""
    while True:
        holder = socket.create_connection(server.address)
        if holder.recv(8) == b"SSH-2.0-":
            return holder
        holder.close()


def test_full_server_is_asked_again(crowded: SSHServer) -> None:
    with (
        Proxy(*crowded.address) as proxy,
        SFTPStorage(**options(crowded, proxy)) as storage,
        ThreadPoolExecutor(1) as threads,
    ):
        with hold(crowded):
            answer = threads.submit(storage.exists, "a")
            tick = threading.Event()
            while proxy.connections < 2 and not answer.done():
                tick.wait(0.01)
        assert answer.result(LIMIT) is False


def test_full_server_is_not_asked_for_ever(crowded: SSHServer) -> None:
    storage = SFTPStorage(**options(crowded))
    with hold(crowded), pytest.raises(ConnectionResetError, match="closed the connection"):
        storage.exists("a")


def test_login_that_ends_at_any_step_is_made_again(server: SSHServer) -> None:
    def log_in(pieces: Pieces) -> int:
        with Proxy(*server.address) as proxy:
            proxy.end_at_piece(pieces)
            with SFTPStorage(**options(server, proxy)) as storage:
                assert storage.exists("no such file") is False
        return pieces.count

    steps = log_in(Pieces())
    assert steps > 10
    for step in range(steps // 3, steps):
        log_in(Pieces(step, reset=False))


def test_connection_that_ends_at_each_login_is_no_refusal(server: SSHServer) -> None:
    # The client's words up to its login are as long as those of a login that is refused.
    with Proxy(*server.address) as proxy:
        login = options(server, proxy, key_filename=str(server.keys.stranger_key_file))
        with pytest.raises(PermissionError, match="refused the login"):
            SFTPStorage(**login).exists("a")
        proxy.limit_data(proxy.bytes_up - 1, "up")
        with pytest.raises(ConnectionResetError, match="while it was to answer a login"):
            SFTPStorage(**login).exists("a")


def test_server_that_ends_a_login_with_a_word_has_refused_it() -> None:
    for server in running(OpenSSH({"MaxAuthTries": "1"})):
        login = options(server, key_filename=str(server.keys.stranger_key_file))
        with pytest.raises(PermissionError, match="refused the login"):
            SFTPStorage(**login).exists("a")


# After the version, a reply to each request.
RIGHT, REPLY = "00000005 02 00000003", "import os; os.write(1, bytes.fromhex({!r}))\n"
ANSWERING = """while head := os.read(0, 4):
    os.read(0, int.from_bytes(head))
    os.write(1, bytes.fromhex({!r}))
"""


@pytest.mark.parametrize(
    ("version", "reply", "told"),
    [
        ("00000001 02", "", "is cut short"),
        (RIGHT, "00000000", "answers no request"),
        (RIGHT, "00000003 650000", "answers no request"),
        (RIGHT, "00000009 69 00000007 00000000", "answers no request"),
        (RIGHT, "00000009 69 00000001 00000001", "is cut short"),
        (RIGHT, "0000000d 66 00000001 000000ff 61626364", "is cut short"),
    ],
)
def test_reply_that_is_none_is_told_as_that(
    tmp_path: Path, version: str, reply: str, told: str
) -> None:
    script = tmp_path / "sftp"
    start, answers = REPLY.format(version), ANSWERING.format(reply)
    script.write_text(f"#!{sys.executable} -I\n{start}os.read(0, 9)\n{answers}")
    script.chmod(0o755)
    for server in running(OpenSSH({"Subsystem": f"sftp {script}"})):
        for call in (save, lambda each: each.exists("a"), lambda each: each.listdir("")):
            with (
                SFTPStorage(**options(server)) as storage,
                pytest.raises(OSError, match=f"The server's reply {told}") as caught,
            ):
                call(storage)
            assert caught.value.errno == errno.EBADMSG


def test_session_the_server_does_not_allow_is_an_error() -> None:
    for server in running(OpenSSH({"MaxSessions": "0"})):
        with pytest.raises(ConnectionResetError):
            SFTPStorage(**options(server)).exists("a")


def test_connection_idle_for_long_is_asked_before_its_use(server: SSHServer, proxy: Proxy) -> None:
    given = options(server, proxy)
    connector = Connector(
        given["host"],
        given["params"],
        interactive=False,
        policy="reject",
        known_hosts=given["known_host_file"],
        host_keys=(),
        timeout=LIMIT,
    )
    session = connector.connect()
    assert connector.check(session, idle=3600)
    proxy.silence()
    hasty = replace(connector, timeout=0.5)
    assert hasty.check(session, idle=0)
    assert not hasty.check(session, idle=3600)
    connector.close(session)


def test_threads_share_no_more_connections_than_allowed(
    server: SSHServer, proxy: Proxy, root: str
) -> None:
    def work(number: int) -> None:
        for turn in range(5):
            name = save(storage, f"{number % 4}/{turn}.bin", bytes([number]) * 50_000)
            assert read(storage, name) == bytes([number]) * 50_000
            assert name.rpartition("/")[2] in storage.listdir(str(number % 4))[1]
            storage.delete(name)

    limited = options(server, proxy) | {"max_connections": 3}
    with SFTPStorage(**limited, root_path=root) as storage:
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(work, range(16)))
        assert proxy.connections <= 3
        assert proxy.open_connections <= 3


def test_files_left_open_end_in_an_error_not_in_a_hang(server: SSHServer, root: str) -> None:
    few = options(server) | {"max_connections": 2, "timeout": 1}
    with SFTPStorage(**few, root_path=root) as storage:
        names = [save(storage, f"{number}.bin", bytes(2_000_000)) for number in range(3)]
        files = [storage.open(name) for name in names]
        for file in files[:2]:
            file.read(1)
        with pytest.raises(TimeoutError, match="All 2 connections are in use"):
            files[2].read(1)
        files[0].close()
        assert files[2].read(1) == b"\0"
        for file in files:
            file.close()
