"""What FTPStorage does on servers that do without a part of the protocol."""

from __future__ import annotations

import io
import logging
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import call_command
from django.test import override_settings

from storages.backends._ftp.lookups import NO_FACTS
from storages.backends._ftp.times import LOCAL_TIME
from storages.backends.ftp import FTPStorage
from storages.temporaries import NO_EXCLUSION, STEPS_ASIDE
from tests.backends.ftp.server import FTPDirectory, location, running, trust
from tests.servers.ftp import FTPServer
from tests.servers.inetutils import Inetutils
from tests.servers.process import HOST
from tests.servers.proftpd import Proftpd
from tests.servers.proxy import Proxy
from tests.servers.pureftpd import PureFTPd
from tests.servers.rclone import RcloneFTP
from tests.servers.scripted_ftp import ScriptedFTP
from tests.servers.vsftpd import Vsftpd

YESTERDAY = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(days=1)
LARGE = b"content " * 1_000_000
PROMISING = "211-Features:\r\n MLST type*;size*;\r\n UTF8\r\n211 End"


@pytest.fixture(scope="module")
def pureftpd() -> Iterator[FTPServer]:
    yield from running(PureFTPd())


@pytest.fixture(scope="module")
def rclone() -> Iterator[FTPServer]:
    yield from running(RcloneFTP())


def save(storage: FTPStorage, name: str = "a.bin", content: bytes = b"content") -> str:
    return storage.save(name, ContentFile(content))


@pytest.mark.parametrize("name", ["a ", "in a directory /a"])
def test_name_to_which_the_server_gives_another_ending_is_refused(
    pureftpd: FTPServer, name: str
) -> None:
    raw = FTPDirectory(pureftpd.root / "endings")
    raw.make()
    changed = name.replace("y /", "y_/") if "/" in name else "a_"
    with FTPStorage(location(pureftpd, "endings"), file_overwrite=True) as storage:
        save(storage, changed, b"another")
        with pytest.raises(OSError, match="changes names that end with ' '"):
            save(storage, name)
        assert raw.get(changed) == b"another"
        assert not any(".storages-" in path.name for path in raw.path.rglob("*"))


def test_refusal_ends_an_upload_although_the_server_keeps_its_connection(
    rclone: FTPServer,
) -> None:
    # It agrees to an upload into a directory that is not there, and never reads.
    with FTPStorage(location(rclone, "large"), timeout=10) as storage:
        assert save(storage, "below/a.bin", LARGE) == "below/a.bin"
    assert (rclone.root / "large/below/a.bin").read_bytes() == LARGE


def test_server_that_gives_a_name_to_several_is_told_once_and_by_the_check(
    rclone: FTPServer, caplog: pytest.LogCaptureFixture
) -> None:
    place = location(rclone, "told")
    with FTPStorage(place) as storage:
        assert [save(storage), save(storage) != "a.bin"] == ["a.bin", True]
        assert storage.notices() == (NO_EXCLUSION,)
    assert caplog.record_tuples.count(("storages", logging.WARNING, NO_EXCLUSION)) == 1
    report = checked(BACKEND="storages.backends.ftp.FTPStorage", OPTIONS={"location": place})
    assert "  server    note " in report
    assert NO_EXCLUSION in report


def test_server_that_renames_to_free_names_only_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        ScriptedFTP(replaces=False) as server,
        FTPStorage(server.location, file_overwrite=True) as storage,
    ):
        for _ in range(3):
            save(storage)
        assert storage.notices() == (STEPS_ASIDE,)
    assert caplog.record_tuples.count(("storages", logging.WARNING, STEPS_ASIDE)) == 1


def test_server_that_promises_facts_and_never_tells_any_costs_one_wait(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with (
        ScriptedFTP({"FEAT": PROMISING}, silent={"MLST"}) as server,
        FTPStorage(server.location, timeout=0.5) as storage,
    ):
        for number in range(3):
            assert save(storage, f"{number}.bin") == f"{number}.bin"
        assert storage.notices() == (NO_FACTS,)
        assert [each.partition(" ")[0] for each in server.commands].count("MLST") == 1
    assert caplog.record_tuples.count(("storages", logging.WARNING, NO_FACTS)) == 1


@pytest.fixture(scope="module", params=["America/New_York", "Asia/Kolkata"])
def local(request: pytest.FixtureRequest) -> Iterator[FTPServer]:
    for server in running(Vsftpd(zone=request.param)):
        (server.root / "old.txt").write_bytes(b"of another client")
        os.utime(server.root / "old.txt", (YESTERDAY.timestamp(), YESTERDAY.timestamp()))
        yield server


def test_file_has_the_right_time_on_a_server_that_tells_local_time(local: FTPServer) -> None:
    with FTPStorage(location(local), timeout=11) as storage:
        for turn in range(3):
            name = save(storage, f"{turn}.bin")
            written = (local.root / name).stat().st_mtime
            assert storage.get_modified_time(name).timestamp() == int(written)
            assert abs(time.time() - written) < 60
        assert storage.get_modified_time("old.txt") == YESTERDAY
        assert storage.notices() == (LOCAL_TIME,)


@pytest.mark.parametrize("timeout", [12, 13])  # each like a new process, which knows nothing yet
def test_time_of_another_clients_file_is_right_on_a_server_in_local_time(
    local: FTPServer, timeout: int
) -> None:
    with FTPStorage(location(local), timeout=timeout) as storage:
        looks: list[Callable[[], object]] = [
            lambda: storage.get_modified_time("old.txt"),
            lambda: dict(storage.scan(""))["old.txt"].modified,
        ]
        for look in looks if timeout == 12 else reversed(looks):
            assert look() == YESTERDAY
        assert not [*local.root.glob(".storages-*")]


def test_server_in_local_time_that_lets_nothing_be_written_is_read_all_the_same(
    local: FTPServer,
) -> None:
    directory = local.root / "read only"
    directory.mkdir(mode=0o555, exist_ok=True)
    shutil.copy2(local.root / "old.txt", directory)
    with FTPStorage(location(local, "read only"), timeout=14) as storage:
        assert abs(storage.get_modified_time("old.txt") - YESTERDAY) < timedelta(hours=14)
        assert storage.open("old.txt").read() == b"of another client"


def test_times_of_a_listing_are_right_where_it_alone_is_in_local_time() -> None:
    for server in running(Inetutils(zone="Asia/Kolkata")):
        with FTPStorage(location(server), encoding="utf-8", base_url="/") as storage:
            save(storage)
            (server.root / "old.txt").write_bytes(b"of another client")
            os.utime(server.root / "old.txt", (YESTERDAY.timestamp(), YESTERDAY.timestamp()))
            assert storage.get_modified_time("old.txt") == YESTERDAY
            assert dict(storage.scan(""))["old.txt"].modified == YESTERDAY


@pytest.mark.parametrize(
    "make",
    [
        lambda: Vsftpd(most=2),
        lambda: Proftpd(config={"MaxClientsPerHost": 2}),
        lambda: Proftpd(config={"MaxConnectionsPerHost": 2}),
    ],
    ids=["vsftpd", "proftpd's clients", "proftpd's connections"],
)
def test_threads_make_do_with_the_connections_that_a_server_gives(
    make: Callable[[], FTPServer],
) -> None:
    for server in running(make()):
        with FTPStorage(location(server)) as storage, ThreadPoolExecutor(16) as threads:
            names = list(threads.map(lambda n: save(storage, f"{n}.bin"), range(64)))
        assert sorted(names) == sorted(path.name for path in server.root.iterdir())


def test_tls_session_that_is_too_old_for_the_server_costs_no_call() -> None:
    # ProFTPD's own limit is half an hour.
    for server in running(Proftpd("explicit", config={"TLSSessionCache": "internal: 1"})):
        with FTPStorage(location(server), **trust(server), file_overwrite=True) as storage:
            save(storage)
            begun = time.monotonic()
            # However long the connection is in use.
            while time.monotonic() < begun + 3:
                assert storage.exists("a.bin")
            save(storage, content=b"new")
            assert storage.open("a.bin").read() == b"new"


def test_limit_of_connections_is_told_as_that() -> None:
    for reply in ("421 There are too many connections.", "530 The maximum number of clients."):
        with (
            ScriptedFTP({"USER": reply}) as server,
            FTPStorage(server.location) as storage,
            pytest.raises(ConnectionAbortedError, match="max_connections"),
        ):
            storage.exists("a.txt")


def test_refused_login_is_told_with_what_the_server_says() -> None:
    with (
        ScriptedFTP({"USER": "530 Non-anonymous sessions must use encryption."}) as server,
        FTPStorage(server.location) as storage,
        pytest.raises(PermissionError, match="must use encryption"),
    ):
        storage.exists("a.txt")


@pytest.mark.parametrize("make", [Vsftpd, Inetutils, Proftpd, PureFTPd])
def test_files_below_a_directory_that_may_not_be_listed_are_reached(
    make: Callable[[], FTPServer],
) -> None:
    for server in running(make()):
        owner = server.root.stat()
        for path in (server.root / "closed", server.root / "closed/files"):
            path.mkdir()
            os.chown(path, owner.st_uid, owner.st_gid)
        os.chown(server.root / "closed", 0, 0)
        (server.root / "closed").chmod(0o711)
        for turn in range(2):
            # Anew, because a connection learns how a server lists.
            with FTPStorage(location(server, "closed/files"), encoding="utf-8") as storage:
                assert storage.listdir("") == ([], ["a.bin"][:turn])
                assert storage.exists("")
                save(storage, f"{'ab'[turn]}.bin")
                assert storage.listdir("")[1] == ["a.bin", "b.bin"][: turn + 1]


def test_link_that_leads_nowhere_is_no_directory() -> None:
    for server in running(Vsftpd()):
        (server.root / "dangling").symlink_to("nowhere")
        with FTPStorage(location(server)) as storage:
            assert storage.listdir("") == ([], ["dangling"])


def test_data_connection_that_nobody_accepts_ends_in_a_time_out() -> None:
    # Linux drops what a full queue of connections has no place for.
    with (
        socket.create_server((HOST, 0), backlog=0) as full,
        socket.create_connection(full.getsockname()),
        ScriptedFTP({"EPSV": "502 No."}) as server,
    ):
        port = full.getsockname()[1]
        server.replies["PASV"] = f"227 There (127,0,0,1,{port // 256},{port % 256})."
        server.replies["LIST"] = "150 Here it comes."
        with FTPStorage(server.location, timeout=0.5) as storage, pytest.raises(TimeoutError):
            storage.listdir("")


def test_connections_that_a_router_forgot_cost_one_wait() -> None:
    for server in running(Vsftpd()):
        with (
            Proxy(*server.address) as proxy,
            FTPStorage(location(server, via=proxy), timeout=2) as storage,
        ):
            save(storage, content=LARGE)
            files = [storage.open("a.bin") for _ in range(4)]
            assert {file.read(1) for file in files} == {b"c"}
            for file in files:
                file.close()
            assert proxy.open_connections == 4
            proxy.forget()
            with pytest.raises(TimeoutError):
                storage.exists("a.bin")
            assert storage.exists("a.bin")


def checked(**entry: Any) -> str:
    """Return what `storages_check` prints."""
    out = io.StringIO()
    static = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    with override_settings(STORAGES={"default": entry, "staticfiles": static}):
        call_command("storages_check", "default", stdout=out, no_color=True)
    return out.getvalue()
