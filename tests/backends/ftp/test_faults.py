"""What FTPStorage does where server, network, login or options are bad, and in modes of FTP."""

from __future__ import annotations

import errno
import os
import ssl
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from storages.backends.ftp import FTPStorage, FTPStorageException, FTPStorageFile
from storages.files import RemoteFile
from storages.testing.lifecycle import eventually
from tests.backends.ftp.server import FTPDirectory, bad_data_line, location, running, trust
from tests.servers.certificates import Certificate, authority
from tests.servers.ftp import TLS, FTPServer
from tests.servers.process import HOST, refusing_port
from tests.servers.proftpd import Proftpd
from tests.servers.proxy import Proxy
from tests.servers.pyftpdlib_server import Pyftpdlib, Quirks
from tests.servers.scripted_ftp import ScriptedFTP
from tests.servers.vsftpd import Vsftpd

CONTENT = os.urandom(400_000)
TCP = Path("/proc/net/tcp")  # with timers of kind 02 where a connection is kept alive
SERVERS = [Pyftpdlib, Vsftpd, Proftpd]


@pytest.fixture(scope="module", params=SERVERS, ids=lambda server: server.name)
def server(request: pytest.FixtureRequest) -> Iterator[FTPServer]:
    yield from running(request.param())


@pytest.fixture
def root(request: pytest.FixtureRequest) -> str:
    return "".join(filter(str.isalnum, request.node.name))


@pytest.fixture
def raw(server: FTPServer, root: str) -> FTPDirectory:
    raw = FTPDirectory(server.root / root)
    raw.make()
    return raw


@pytest.fixture
def proxy(server: FTPServer) -> Iterator[Proxy]:
    with Proxy(*server.address) as proxy:
        yield proxy


@pytest.fixture
def storage(server: FTPServer, proxy: Proxy, root: str, raw: FTPDirectory) -> Iterator[FTPStorage]:
    with FTPStorage(location(server, root, proxy), file_overwrite=True, timeout=10) as storage:
        yield storage


def save(storage: Storage, name: str = "a.bin", content: bytes = CONTENT) -> str:
    return storage.save(name, ContentFile(content))


def read(storage: Storage, name: str = "a.bin") -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


def said_goodbye(server: FTPServer) -> bool:
    return "FTP session closed" in server.output.partition("logged in")[2]


class InTurn:
    """Data of a command that is another each time; the last one stays."""

    def __init__(self, *contents: bytes) -> None:
        self._left = list(contents)

    def __iter__(self) -> Iterator[bytes]:
        yield self._left.pop(0) if len(self._left) > 1 else self._left[0]


def scripted(server: ScriptedFTP, **options: Any) -> FTPStorage:
    return FTPStorage(**{"location": server.location, "timeout": 5, **options})


def told(error: BaseException) -> str:
    """Return all that a traceback shows of an error and its causes."""
    return "".join(traceback.format_exception(error))


# -- modes of FTP ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", SERVERS, ids=lambda kind: kind.name)
@pytest.mark.parametrize("tls", ["explicit", "implicit"])
def test_tls_of_both_kinds_works_with_a_verified_certificate(
    kind: type[FTPServer], tls: TLS
) -> None:
    for server in running(kind(tls)):
        with FTPStorage(location(server, "new"), **trust(server)) as storage:
            save(storage, "directory/a.bin")
            assert read(storage, "directory/a.bin") == CONTENT
            assert storage.listdir("directory") == ([], ["a.bin"])


def test_active_mode_lets_the_server_connect(server: FTPServer, raw: FTPDirectory) -> None:
    place = location(server, raw.path.name, scheme="aftp")
    with FTPStorage(place) as storage:
        save(storage)
        assert read(storage) == CONTENT
        assert storage.listdir("") == ([], ["a.bin"])


def test_active_mode_takes_a_data_connection_from_the_server_alone() -> None:
    for source, outcome in ((HOST, nullcontext()), ("127.0.0.2", pytest.raises(ConnectionError))):
        with ScriptedFTP(source=source) as server:
            server.files["/home/a.txt"] = b"content"
            place = server.location.replace("ftp:", "aftp:")
            with scripted(server, location=place) as storage, outcome as caught:
                assert read(storage, "a.txt") == b"content"
        if caught is not None:
            assert "Another host than the FTP server" in str(caught.value)


@pytest.mark.parametrize("reply", ["257 You are at home.", "502 No.", "550 No."])
def test_server_that_does_not_tell_where_a_login_begins_needs_a_path(reply: str) -> None:
    with ScriptedFTP({"PWD": reply}) as server:
        with scripted(server) as storage:
            assert save(storage, "a.txt", b"content") == "a.txt"
            assert read(storage, "a.txt") == b"content"
            assert storage.listdir("") == ([], ["a.txt"])
        place = server.location.removesuffix("/home")
        with (
            scripted(server, location=place) as storage,
            pytest.raises(OSError, match="give 'location' a path"),
        ):
            storage.exists("a.txt")


@pytest.mark.parametrize(
    "piece", [b"x" * 1000, b"-rw-r--r-- 1 ftp ftp 0 Jan  2  2020 a\r\n" * 1000]
)
def test_listing_without_end_is_an_error(piece: bytes) -> None:
    with (
        ScriptedFTP(data={"LIST": repeat(piece)}) as server,
        scripted(server) as storage,
        pytest.raises(FTPStorageException, match="a listing that has no end"),
    ):
        storage.listdir("")


def test_reply_without_end_is_an_error() -> None:
    with (
        ScriptedFTP(replies={"CWD": "250-" + "No end.\r\n" * 200_000}) as server,
        scripted(server) as storage,
        pytest.raises(FTPStorageException, match="The reply has no end"),
    ):
        storage.listdir("")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-7", "cp037", "hex", "idna", "hz"])
def test_encoding_that_changes_ascii_is_refused(encoding: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"'encoding'.* leaves ASCII as it is"):
        FTPStorage(f"ftp://{HOST}", encoding=encoding).exists("a")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp1251", "shift_jis", "gb18030", "euc_kr"])
def test_encoding_that_keeps_ascii_is_taken(encoding: str) -> None:
    assert FTPStorage(f"ftp://{HOST}", encoding=encoding).encoding == encoding


def test_location_without_a_path_is_where_signing_in_leads() -> None:
    with ScriptedFTP() as server:
        with scripted(server, location=server.location.removesuffix("/home")) as storage:
            save(storage, "a.txt", b"content")
        assert server.files == {"/home/a.txt": b"content"}


def test_location_without_a_user_is_anonymous() -> None:
    with ScriptedFTP() as server:
        with scripted(server, location=server.location.replace("user:secret@", "")) as storage:
            assert not storage.exists("a.txt")
        assert "USER anonymous" in server.commands


@pytest.mark.parametrize(
    ("info", "user", "password"),
    [
        ("user:secret", "user", "secret"),
        ("user:p@ss:w/o#rd", "user", "p@ss:w/o#rd"),
        ("us%40er:%41%3A%2F", "us@er", "A:/"),
        ("user@mail.example:100%", "user@mail.example", "100%"),
        ("user:p%c3%a4ss", "user", "päss"),
        ("user", "user", ""),
        ("user:", "user", ""),
    ],
)
def test_user_and_password_are_taken_from_the_location(info: str, user: str, password: str) -> None:
    with ScriptedFTP() as server:
        with scripted(server, location=server.location.replace("user:secret", info)) as storage:
            storage.exists("a.txt")
        assert server.commands[:2] == [f"USER {user}", f"PASS {password}"]


def test_servers_without_facts_extended_mode_and_utf8_are_served_in_latin_1() -> None:
    quirks = Quirks(without=("MLSD", "MLST", "EPSV"), utf8=False)
    for server in running(Pyftpdlib(quirks=quirks)):
        with FTPStorage(location(server), timeout=10) as storage:
            for name in ("Ærø ÿ.txt", "two  spaces.txt", " leading.txt", "a -> b.txt"):
                save(storage, f"directory/{name}", name.encode())
                assert read(storage, f"directory/{name}") == name.encode()
                assert name in storage.listdir("directory")[1]
            assert storage.exists("directory")
            assert not storage.exists("directory/missing/file.txt")
            with pytest.raises(OSError, match="encoding") as raised:
                save(storage, "漢字.txt")
            assert raised.value.errno == errno.EILSEQ


def test_encoding_given_is_used_where_the_server_offers_none() -> None:
    for server in running(Pyftpdlib(quirks=Quirks(utf8=False))):
        with FTPStorage(location(server), encoding="cp1251", timeout=10) as storage:
            save(storage, "файл.txt")
            assert storage.listdir("") == ([], ["файл.txt"])
        assert os.listdir(server.root) == ["файл.txt".encode("cp1251").decode("latin-1")]  # noqa: PTH208


def test_address_in_the_reply_to_pasv_is_ignored() -> None:
    for server in running(Pyftpdlib(quirks=Quirks(told_host="192.0.2.1"))):
        with FTPStorage(location(server), timeout=10) as storage:
            save(storage)
            assert read(storage) == CONTENT


# -- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["expired", "wrong_host", "self_signed"])
@pytest.mark.parametrize("tls", ["explicit", "implicit"])
def test_bad_certificate_is_refused(bad: str, tls: TLS) -> None:
    certificate: Certificate = getattr(authority(), bad)
    for server in running(Pyftpdlib(tls, certificate)):
        with (
            FTPStorage(location(server), **trust(server)) as storage,
            pytest.raises(FTPStorageException, match="certificate is refused") as raised,
        ):
            storage.exists("a.txt")
        assert raised.value.errno == errno.EPROTO


def test_certificate_of_an_unknown_authority_is_refused_by_default() -> None:
    for server in running(Pyftpdlib("explicit")):
        with (
            FTPStorage(location(server)) as storage,
            pytest.raises(FTPStorageException, match="certificate is refused"),
        ):
            storage.exists("a.txt")


def test_server_without_tls_gets_no_password() -> None:
    with ScriptedFTP() as server:
        place = server.location.replace("ftp:", "ftps:")
        with scripted(server, location=place) as storage, pytest.raises(FTPStorageException):
            storage.exists("a.txt")
        assert server.commands == ["AUTH TLS", "QUIT"][: len(server.commands)]


def test_refused_login_shows_no_password_even_if_the_server_does() -> None:
    with (
        ScriptedFTP({"PASS": "530 Login of user with secret refused."}) as server,
        scripted(server) as storage,
        pytest.raises(PermissionError, match="login") as raised,
    ):
        storage.exists("a.txt")
    assert "secret" not in told(raised.value)


def test_unknown_host_is_told() -> None:
    storage = FTPStorage("ftp://user:secret@host.invalid/", timeout=5)
    with pytest.raises(OSError, match=r"host\.invalid") as raised:
        storage.exists("a.txt")
    assert raised.value.errno == errno.EHOSTUNREACH
    assert "secret" not in told(raised.value)


@pytest.mark.parametrize("reply", ["452 Sorry.", "552 Sorry.", "451 No space left on device."])
def test_full_disk_is_told_and_leaves_nothing(reply: str) -> None:
    with ScriptedFTP(finals={"STOR": reply}) as server:
        with scripted(server) as storage, pytest.raises(OSError) as raised:  # noqa: PT011
            save(storage)
        assert raised.value.errno == errno.ENOSPC
        assert server.files == {}


def test_server_that_cannot_write_more_keeps_the_old_file_and_nothing_else() -> None:
    for server in running(Pyftpdlib(quirks=Quirks(quota=100_000))):
        with FTPStorage(location(server), file_overwrite=True, timeout=10) as storage:
            save(storage, "a.bin", b"old")
            with pytest.raises(OSError, match="FTP server"):
                save(storage, "a.bin", CONTENT)
            assert storage.listdir("") == ([], ["a.bin"])
            assert read(storage) == b"old"
        assert os.listdir(server.root) == ["a.bin"]  # noqa: PTH208


@pytest.fixture
def denied(server: FTPServer, raw: FTPDirectory) -> Path:
    """Return a directory that the server's user can do nothing in."""
    if isinstance(server, Pyftpdlib):
        pytest.skip("impossible: its user is the one of the tests, who may do everything")
    raw.put("denied/a.txt", b"content")
    (raw.path / "denied").chmod(0)
    return raw.path / "denied"


def test_denied_directory_raises_permission_error(storage: FTPStorage, denied: Path) -> None:
    for call in (
        lambda: storage.listdir("denied"),
        lambda: storage.exists("denied/a.txt"),
        lambda: storage.exists("denied/missing.txt"),
        lambda: storage.open("denied/a.txt"),
        lambda: storage.delete("denied/a.txt"),
        lambda: save(storage, "denied/b.txt"),
    ):
        with pytest.raises(PermissionError):
            call()
    assert storage.exists("denied")


def test_unreadable_file_raises_permission_error(
    server: FTPServer, storage: FTPStorage, raw: FTPDirectory
) -> None:
    if isinstance(server, Pyftpdlib):
        pytest.skip("impossible: its user is the one of the tests, who may do everything")
    raw.put("a.bin", b"content")
    (raw.path / "a.bin").chmod(0)
    with pytest.raises(PermissionError), storage.open("a.bin") as file:
        file.read()
    assert storage.size("a.bin") == 7


def test_directory_is_deleted_only_when_empty(storage: FTPStorage) -> None:
    save(storage, "directory/a.txt")
    with pytest.raises(OSError, match="not empty") as raised:
        storage.delete("directory")
    assert raised.value.errno == errno.ENOTEMPTY
    storage.delete("directory/a.txt")
    storage.delete("directory")
    assert storage.listdir("") == ([], [])


def test_listing_of_a_file_or_of_nothing_is_an_error(storage: FTPStorage) -> None:
    save(storage, "a.txt")
    with pytest.raises(NotADirectoryError):
        storage.listdir("a.txt")
    with pytest.raises(FileNotFoundError):
        storage.listdir("missing")


def test_root_that_no_save_has_made_yet_lists_as_empty(server: FTPServer, root: str) -> None:
    with FTPStorage(location(server, root)) as storage:
        assert storage.listdir("") == ([], [])
        save(storage)
        assert storage.listdir("") == ([], ["a.bin"])


def test_links_are_what_they_lead_to(storage: FTPStorage, raw: FTPDirectory) -> None:
    raw.put("directory/a.txt", b"content")
    (raw.path / "to_file").symlink_to("directory/a.txt")
    (raw.path / "to -> directory").symlink_to("directory")
    directories, files = storage.listdir("")
    assert sorted(directories) == ["directory", "to -> directory"]
    assert files == ["to_file"]
    assert read(storage, "to_file") == b"content"
    assert storage.listdir("to -> directory") == ([], ["a.txt"])


# -- connections -----------------------------------------------------------------------------------


def test_operations_share_one_connection(storage: FTPStorage, proxy: Proxy) -> None:
    for number in range(5):
        save(storage, f"{number}.bin")
        assert not storage.exists("missing.bin")
        with pytest.raises(FileNotFoundError):
            storage.open("missing.bin")
        with storage.open(f"{number}.bin") as file:
            file.read(1000)
        assert read(storage, f"{number}.bin") == CONTENT
    assert proxy.connections == 1


def test_threads_open_no_more_connections_than_the_limit(
    server: FTPServer, proxy: Proxy, root: str, raw: FTPDirectory
) -> None:
    with FTPStorage(location(server, root, proxy), max_connections=3) as storage:
        threads = [
            threading.Thread(target=save, args=(storage, f"{number}.bin")) for number in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(storage.listdir("")[1]) == 16
    assert proxy.connections <= 3


def test_storages_on_one_server_share_its_connections(
    server: FTPServer, proxy: Proxy, root: str, raw: FTPDirectory
) -> None:
    with FTPStorage(location(server, root, proxy)) as storage:
        save(storage, "below/a.bin")
        below = FTPStorage(location(server, f"{root}/below", proxy))
        assert below.listdir("") == ([], ["a.bin"])
    assert proxy.connections == 1


def test_server_that_says_goodbye_when_idle_costs_no_call() -> None:
    for server in running(Pyftpdlib(quirks=Quirks(idle_limit=1))):
        with Proxy(*server.address) as proxy, FTPStorage(location(server, via=proxy)) as storage:
            save(storage)
            assert eventually(partial(said_goodbye, server))
            assert read(storage) == CONTENT


def test_goodbye_instead_of_a_reply_ends_in_an_error() -> None:
    with ScriptedFTP({"SIZE": "421 Goodbye."}) as server:
        with scripted(server) as storage, pytest.raises(ConnectionError, match="Goodbye"):
            storage.size("a.txt")
        assert len([command for command in server.commands if command.startswith("SIZE")]) > 1


def test_refused_data_connection_leaves_the_storage_usable() -> None:
    for server in running(Pyftpdlib(quirks=Quirks(told_port=refusing_port()))):
        with FTPStorage(location(server), timeout=5) as storage:
            with pytest.raises(OSError, match=HOST):
                save(storage)
            assert not storage.exists("a.bin")


def test_server_that_opens_no_data_connection_is_told_with_its_first_words() -> None:
    refusals = {"PASV": "500 Use a client supporting PRET.", "EPSV": "502 Not implemented."}
    with ScriptedFTP(replies=refusals) as server, scripted(server) as storage:
        for call in (save, read, lambda each: each.listdir("")):
            server.files["/home/a.bin"] = CONTENT
            with pytest.raises(FTPStorageException, match="says '500 Use a client supporting PRET"):
                call(storage)
            assert server.files == {"/home/a.bin": CONTENT}


def test_upload_that_is_cut_once_is_sent_again(tmp_path: Path) -> None:
    with bad_data_line(tmp_path) as (server, proxy), FTPStorage(location(server)) as storage:
        proxy.reset_peer(50_000, "up", times=1)
        save(storage, content=20 * CONTENT)
        assert read(storage) == 20 * CONTENT
    assert os.listdir(tmp_path) == ["a.bin"]  # noqa: PTH208


def test_upload_that_is_always_cut_fails_and_leaves_nothing(tmp_path: Path) -> None:
    with bad_data_line(tmp_path) as (server, proxy), FTPStorage(location(server)) as storage:
        proxy.limit_data(50_000, "up")
        with pytest.raises(OSError, match="stored"):
            save(storage)
        proxy.clear()
        assert storage.listdir("") == ([], [])
    assert os.listdir(tmp_path) == []  # noqa: PTH208


@pytest.mark.parametrize("tls", ["", "explicit"])
def test_download_that_is_cut_is_resumed_where_it_was(tmp_path: Path, tls: TLS) -> None:
    with (
        bad_data_line(tmp_path, tls) as (server, proxy),
        FTPStorage(location(server), **trust(server)) as storage,
    ):
        save(storage)
        proxy.reset_peer(100_000, "down", times=1)
        assert read(storage) == CONTENT
        proxy.clear()
        proxy.limit_data(100_000, "down", times=1)
        assert read(storage) == CONTENT


def test_download_that_is_always_cut_is_an_error(tmp_path: Path) -> None:
    with bad_data_line(tmp_path) as (server, proxy), FTPStorage(location(server)) as storage:
        save(storage)
        proxy.limit_data(0, "down")
        with pytest.raises(ConnectionError):
            read(storage)
        proxy.clear()
        assert read(storage) == CONTENT


def test_download_without_a_final_reply_is_an_error() -> None:
    with ScriptedFTP(finals={"RETR": None}) as server:
        server.files["/home/a.bin"] = CONTENT
        with scripted(server) as storage, pytest.raises(ConnectionError):
            read(storage)


def test_download_longer_than_its_announced_size_is_an_error() -> None:
    with ScriptedFTP({"SIZE": "213 1000"}) as server:
        server.files["/home/a.bin"] = CONTENT
        with scripted(server) as storage, pytest.raises(OSError, match="grew"):
            read(storage)


def test_upload_that_the_server_measures_otherwise_is_an_error() -> None:
    with ScriptedFTP({"SIZE": "213 1000"}) as server:
        with (
            scripted(server, file_overwrite=True) as storage,
            pytest.raises(OSError, match="stored 1000 of 400000 bytes"),
        ):
            save(storage)
        assert server.files == {}


def test_reading_the_start_of_a_large_file_transfers_little(tmp_path: Path) -> None:
    (tmp_path / "large.bin").touch()
    os.truncate(tmp_path / "large.bin", 256 << 20)
    with bad_data_line(tmp_path) as (server, proxy), FTPStorage(location(server)) as storage:
        with storage.open("large.bin") as file:
            assert file.read(64 << 10) == bytes(64 << 10)
        assert proxy.bytes_down < 1 << 20


@pytest.mark.parametrize("verb", ["STOR", "RNTO", "RMD", "SIZE", "MDTM", "LIST"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_reply_that_is_lost_after_the_deed_leaves_one_whole_file(
    verb: str, *, overwrite: bool
) -> None:
    with ScriptedFTP(hang_ups={verb}) as server:
        with scripted(server, file_overwrite=overwrite) as storage:
            assert save(storage) == "a.bin"
        assert server.files == {"/home/a.bin": CONTENT}
        assert server.directories == {"/", "/home"}


def test_silent_server_ends_in_a_time_out(storage: FTPStorage, proxy: Proxy) -> None:
    storage.timeout = 0.5
    save(storage)
    proxy.silence()
    for call in (lambda: storage.exists("a.bin"), lambda: save(storage), lambda: read(storage)):
        with pytest.raises(TimeoutError):
            call()
    proxy.clear()
    assert read(storage) == CONTENT


def test_trickling_replies_end_in_a_time_out(storage: FTPStorage, proxy: Proxy) -> None:
    storage.timeout = 0.5
    save(storage)
    proxy.bandwidth(10)
    with pytest.raises(TimeoutError):
        storage.exists("a.bin")


def test_trickling_content_ends_in_a_time_out(tmp_path: Path) -> None:
    with (
        bad_data_line(tmp_path) as (server, proxy),
        FTPStorage(location(server), timeout=0.5) as storage,
    ):
        save(storage)
        proxy.bandwidth(20)
        with pytest.raises(TimeoutError):
            read(storage)


# -- servers that do things their own way ----------------------------------------------------------


def test_server_whose_rename_refuses_a_taken_name_is_overwritten_nevertheless() -> None:
    with ScriptedFTP(replaces=False) as server:
        server.files["/home/a.bin"] = b"old"
        with scripted(server, file_overwrite=True) as storage:
            assert save(storage) == "a.bin"
        assert server.files == {"/home/a.bin": CONTENT}


def test_code_of_a_finished_command_is_taken_where_a_rename_begins() -> None:
    with ScriptedFTP(ready="250") as server, scripted(server) as storage:
        assert [save(storage), save(storage)] == ["a.bin", *set(storage.listdir("")[1]) - {"a.bin"}]


@pytest.mark.skipif(not TCP.exists(), reason="only Linux shows which connections are asked")
def test_control_connection_is_kept_alive_while_a_transfer_takes_long() -> None:
    # Routers forget a connection on which nothing passes.
    for server in running(Pyftpdlib()):
        with FTPStorage(location(server)) as storage:
            save(storage)
            peer = f"0100007F:{server.port:04X}"
            lines = [line.split() for line in TCP.read_text().splitlines()]
            timers = [words[5][:2] for words in lines if words[2] == peer and words[3] == "01"]
            assert timers == ["02"]


def test_name_that_may_not_be_probed_is_not_said_to_be_free() -> None:
    with (
        ScriptedFTP({"SIZE": "550 No.", "LIST": "550 Access is denied."}) as server,
        scripted(server) as storage,
        pytest.raises(PermissionError),
    ):
        storage.exists("a.txt")


def test_listing_of_an_unknown_kind_is_an_error() -> None:
    with (
        ScriptedFTP(data={"LIST": b"{a.txt: 5 bytes}\r\n"}) as server,
        scripted(server) as storage,
    ):
        with pytest.raises(FTPStorageException, match="unknown kind"):
            storage.listdir("")
        with pytest.raises(FTPStorageException, match="unknown kind"):
            storage.exists("a.txt")


LINE = b"-rw-r--r-- 1 ftp ftp 5 Jan  2  2020 a.txt\r\n"
GONE = b"b.txt: No such file or directory\r\n"


@pytest.mark.parametrize("position", range(len(LINE) - 1))
def test_listing_with_a_complaint_in_the_middle_of_a_line_is_asked_for_again(position: int) -> None:
    # As GNU inetutils and others print it, where the buffer of their `ls` ends.
    answers = InTurn(LINE[:position] + GONE + LINE[position:], LINE)
    with ScriptedFTP(data={"LIST": answers}) as server, scripted(server) as storage:
        assert storage.listdir("") == ([], ["a.txt"])


def test_listing_that_is_never_without_complaints_is_an_error() -> None:
    answers = InTurn(*(b"%d%b%b" % (number, GONE, LINE) for number in range(100)))
    with (
        ScriptedFTP(data={"LIST": answers}) as server,
        scripted(server) as storage,
        pytest.raises(OSError, match="files in it go away") as raised,
    ):
        storage.listdir("")
    assert raised.value.errno == errno.EBUSY


@pytest.mark.parametrize(
    "reply",
    [
        "425 Can't build data connection: host not found.",
        "451 bad: No such file or directory",
        "451 Local error: user record not found",
        "550 No such device or address",
    ],
)
def test_refused_listing_does_not_mean_that_the_directory_has_gone(reply: str) -> None:
    with ScriptedFTP({"LIST": reply}) as server, scripted(server) as storage:
        for recursive in (False, True):
            with pytest.raises(OSError) as raised:  # noqa: PT011 - any but one
                list(storage.scan(recursive=recursive))
            assert not isinstance(raised.value, FileNotFoundError)


def test_passing_refusal_of_facts_is_looked_behind() -> None:
    replies = {"FEAT": PROMISING, "MLST": "450 No such file or directory"}
    with ScriptedFTP(replies) as server, scripted(server) as storage:
        assert not storage.exists("a.txt")
        server.files["/home/a.txt"] = b"content"
        assert storage.exists("a.txt")


def test_first_listing_of_a_connection_may_be_of_a_directory_that_may_not_be_listed() -> None:
    # As vsftpd answers: with nothing, where it lists each other directory in itself.
    top = b"drwxr-xr-x 1 ftp ftp 0 Jan  2  2020 .\r\n"
    with (
        ScriptedFTP(data={"LIST": InTurn(b"", b"", top)}) as server,
        scripted(server) as storage,
        pytest.raises(PermissionError),
    ):
        storage.listdir("")


def test_directory_that_goes_away_before_its_facts_are_listed_costs_no_facts() -> None:
    class Removing:
        def __iter__(self) -> Iterator[bytes]:
            server.directories.discard("/home/dir")
            yield b""

    gone = {"data": {"MLSD": Removing()}, "finals": {"MLSD": "501 No such directory."}}
    replies = {"FEAT": PROMISING, "MLST": "550 No such file or directory."}
    with ScriptedFTP(replies, **gone) as server, scripted(server) as storage:
        server.directories.add("/home/dir")
        with pytest.raises(FileNotFoundError):
            storage.listdir("dir")
        server.finals.clear()
        assert storage.listdir("") == ([], [])
        assert not [each for each in server.commands if each.startswith(("LIST", "STOR"))]


def test_directory_with_a_temporary_file_of_another_client_is_removed_when_that_is_gone() -> None:
    class Once(dict[str, str]):
        def get(self, key: str, default: Any = None) -> Any:
            return self.pop(key, default) if key == "RMD" else super().get(key, default)

    with ScriptedFTP() as server, scripted(server) as storage:
        server.replies = Once({**server.replies, "RMD": "550 Not empty."})
        server.directories.add("/home/dir")
        server.files[f"/home/dir/.storages-{'0' * 32}.part"] = b""
        storage.delete("dir")
        assert "/home/dir" not in server.directories


def test_missing_file_of_authorities_is_no_missing_file() -> None:
    def context() -> ssl.SSLContext:
        return ssl.create_default_context(cafile="/missing/authority.pem")

    storage = FTPStorage("ftps://user:secret@host.invalid/", ssl_context=context)
    with pytest.raises(ImproperlyConfigured, match="ssl_context"):
        storage.exists("a.txt")


def test_file_that_is_called_like_a_complaint_is_listed() -> None:
    line = LINE.replace(b"a.txt", GONE.rstrip())
    with ScriptedFTP(data={"LIST": line}) as server, scripted(server) as storage:
        assert storage.listdir("") == ([], [GONE.decode().rstrip()])


def test_names_in_listings_that_lead_elsewhere_are_left_out() -> None:
    line = b"-rw-r--r-- 1 ftp ftp 5 Jan  2  2020 %s\r\n"
    names = (b"a.txt", b"../b.txt", b"/etc/passwd", b"..", b"c/d.txt", b"e\x07f.txt")
    with (
        ScriptedFTP(data={"LIST": b"".join(line % name for name in names)}) as server,
        scripted(server, location=server.location.removesuffix("home")) as storage,
    ):
        assert storage.listdir("") == ([], ["a.txt"])


PROMISING = "211-Features:\r\n MLST type*;size*;\r\n UTF8\r\n211 End"


@pytest.mark.parametrize(
    "replies",
    [
        {"FEAT": PROMISING, "MLST": "500 What?", "MLSD": "502 Not here."},
        {"FEAT": PROMISING, "MLST": "502 Not here.", "MLSD": "500 What?"},
        {"FEAT": PROMISING, "MLST": "500 What?", "MLSD": "501 Missing parameters"},
        {"FEAT": "451 Not now."},
        {"OPTS": "451 Not now."},
        {"PASV": "502 Not here."},
        {"REST": "502 Not here."},
        {"MDTM": "450 Not now."},
        {"CWD": "502 Not here."},
        {"LIST": "502 Not here."},
    ],
    ids=" ".join,
)
def test_one_refused_command_never_makes_a_storage_useless(replies: dict[str, str]) -> None:
    with ScriptedFTP(replies) as server, scripted(server, file_overwrite=True) as storage:
        server.files["/home/a.bin"] = CONTENT
        save(storage, "b.bin")
        with storage.open("b.bin") as file:
            file.seek(1000)
            assert file.read() == CONTENT[1000:]
        assert read(storage) == CONTENT
        if "LIST" not in replies:
            assert sorted(storage.listdir("")[1]) == ["a.bin", "b.bin"]
            assert not storage.exists("missing.txt")
        storage.delete("a.bin")
        assert [*server.files] == ["/home/b.bin"]


def test_listing_is_of_the_working_directory_whatever_a_server_makes_of_an_argument() -> None:
    for features in (PROMISING, "211 None."):
        with ScriptedFTP({"FEAT": features}) as server, scripted(server) as storage:
            save(storage, "in/a.bin")
            assert [name for name, _ in storage.scan("", recursive=True)] == ["in/a.bin"]
            listed = {each for each in server.commands if each.startswith(("LIST", "MLSD"))}
            assert listed <= {"LIST", "LIST -a", "LIST -a .storages-*", "MLSD"}


def test_reply_that_is_cut_within_its_line_is_no_reply(storage: FTPStorage, proxy: Proxy) -> None:
    save(storage)
    for size in range(1, 500, 9):
        proxy.drop_connections()
        proxy.limit_data(size, "down", times=1)
        assert storage.exists("a.bin")
        proxy.clear()


@pytest.mark.parametrize("make", [Pyftpdlib, Vsftpd])
def test_byte_that_is_changed_under_tls_costs_no_call(make: Any) -> None:
    for server in running(make("explicit")):
        with Proxy(*server.address) as proxy:
            storage = FTPStorage(location(server, via=proxy), **trust(server), timeout=10)
            save(storage)
            # Within the first record that comes, behind its length.
            proxy.corrupt(20, "down", times=1)
            assert storage.exists("a.bin")
            storage.close()


def test_features_may_stand_behind_the_code_on_each_line() -> None:
    with ScriptedFTP({"FEAT": "211-Features:\r\n211-UTF8\r\n211-SIZE\r\n211 End"}) as server:
        with scripted(server) as storage:
            save(storage, "é.txt")
        assert "OPTS UTF8 ON" in server.commands
        assert [*server.files] == ["/home/é.txt"]


def test_server_is_not_asked_for_utf8_where_the_option_names_another_encoding() -> None:
    with ScriptedFTP() as server:
        with scripted(server, encoding="cp1251") as storage:
            storage.exists("a.txt")
        assert "OPTS UTF8 ON" not in server.commands


def test_walk_over_a_thousand_files_takes_a_listing_of_each_directory() -> None:
    with ScriptedFTP() as server, scripted(server) as storage:
        server.directories |= {"/home/a", "/home/b"}
        server.files |= {f"/home/{d}/{n}.txt": b"x" for d in "ab" for n in range(500)}
        list(storage.scan())
        before = len(server.commands)
        assert len(dict(storage.scan(recursive=True))) == 1000
        asked = [each.split()[0] for each in server.commands[before:]]
        # The root, which may be missing yet, is looked for first.
        assert asked.count("LIST") <= 3 + 1
        assert asked.count("SIZE") + asked.count("MDTM") <= 1


def test_listing_that_the_server_cut_is_an_error() -> None:
    finals = {"LIST": "226 Output truncated to 2000 matches"}
    with (
        ScriptedFTP(finals=finals) as server,
        scripted(server) as storage,
        pytest.raises(FTPStorageException, match="cut its listing"),
    ):
        storage.listdir("")


def test_file_whose_size_the_server_does_not_tell_is_read_to_its_end() -> None:
    with ScriptedFTP({"SIZE": "213 0"}) as server:
        server.files["/home/a.bin"] = CONTENT
        with scripted(server, file_overwrite=True) as storage:
            assert read(storage) == CONTENT
            with storage.open("a.bin", "ab") as file:
                file.write(b"more")
        assert server.files["/home/a.bin"] == CONTENT + b"more"


@pytest.mark.parametrize("reply", ["550 User not found.", "500 USER not found", "530 No."])
def test_refused_login_is_no_missing_file(reply: str) -> None:
    with ScriptedFTP({"PASS": reply}) as server, scripted(server) as storage:
        for call in (storage.exists, storage.delete, storage.listdir):
            with pytest.raises(PermissionError, match="login"):
                call("a.txt")


def test_refused_rename_is_told_as_such_and_leaves_the_old_file() -> None:
    with ScriptedFTP({"RNTO": "550 Permission denied."}) as server:
        server.files["/home/a.bin"] = b"old"
        with scripted(server, file_overwrite=True) as storage, pytest.raises(PermissionError):
            save(storage)
        assert server.files == {"/home/a.bin": b"old"}


@pytest.mark.parametrize("command", ["RNFR", "RNTO"])
@pytest.mark.parametrize(("name", "overwrite"), [("a.bin", True), ("b.bin", False)])
def test_server_that_cannot_rename_is_told_as_that(
    command: str, name: str, *, overwrite: bool
) -> None:
    with ScriptedFTP({command: "502 Command not implemented."}) as server:
        server.files["/home/a.bin"] = b"old"
        with scripted(server, file_overwrite=overwrite) as storage:
            with pytest.raises(FTPStorageException, match="renames nothing") as caught:
                save(storage, name)
            assert caught.value.errno == errno.EOPNOTSUPP
            assert storage.notices() == ()
        assert server.files == {"/home/a.bin": b"old"}
        assert server.directories == {"/", "/home"}


def test_name_of_many_directories_is_taken(storage: FTPStorage) -> None:
    name = "d/" * 200 + "a.bin"
    assert not storage.exists(name)
    assert save(storage, name) == name
    assert read(storage, name) == CONTENT


def test_user_and_password_of_their_own_win_over_the_location() -> None:
    with ScriptedFTP() as server:
        options = {"user": "other", "password": "p@ss/word"}
        with scripted(server, **options) as storage:
            storage.exists("a.txt")
            assert "p@ss" not in repr(storage)
        assert server.commands[:2] == ["USER other", "PASS p@ss/word"]


@pytest.mark.parametrize(("overwrite", "most"), [(False, 1), (True, 0)])
def test_save_on_a_server_without_facts_lists_a_directory_once_at_most(
    most: int, *, overwrite: bool
) -> None:
    with ScriptedFTP() as server:
        with scripted(server, file_overwrite=overwrite) as storage:
            save(storage)
        listed = [each for each in server.commands if each in {"LIST", "LIST -a"}]
        assert len(listed) <= most


def test_upload_over_a_slow_line_lasts_as_long_as_it_moves(tmp_path: Path) -> None:
    with (
        bad_data_line(tmp_path) as (server, proxy),
        FTPStorage(location(server), timeout=1) as storage,
    ):
        proxy.bandwidth(200_000, "up")
        save(storage, content=2 * CONTENT)
        proxy.clear()
        assert read(storage) == 2 * CONTENT


def test_dos_listings_are_read() -> None:
    lines = b"02-23-05  09:24PM       <DIR>          my files\r\n07-14-20  11:05AM   12 a b.txt\r\n"
    with (
        ScriptedFTP(data={"LIST": lines}) as server,
        scripted(server, location=server.location.removesuffix("home")) as storage,
    ):
        assert storage.listdir("") == (["my files"], ["a b.txt"])
        assert storage.exists("my files")


def test_uploads_under_way_and_locks_are_not_listed(storage: FTPStorage, raw: FTPDirectory) -> None:
    raw.put(f".storages-{32 * 'a'}.part", b"half")
    raw.put(f".storages-{32 * 'a'}.lock/x", b"")
    raw.put(".other.part", b"")
    assert storage.listdir("") == ([], [".other.part"])


def test_what_a_broken_upload_left_goes_with_the_next_save(
    storage: FTPStorage, raw: FTPDirectory
) -> None:
    part, lock = f"new/.storages-{32 * '0'}.part", f"new/.storages-{32 * '0'}.lock"
    fresh = f"new/.storages-{32 * '1'}.part"
    raw.put(part, b"half a fi")
    raw.put(f"{lock}/x", b"")
    (raw.path / lock / "x").unlink()
    raw.put("new/old.part", b"another's")
    for name in (part, lock, "new/old.part"):
        os.utime(raw.path / name, (0, 0))
    raw.put(fresh, b"still growing")
    save(storage, "new/a.bin")
    assert sorted(raw.names()) == [fresh, "new/a.bin", "new/old.part"]
    assert not (raw.path / lock).exists()


def test_threads_that_copy_within_a_storage_never_starve(
    server: FTPServer, proxy: Proxy, root: str, raw: FTPDirectory
) -> None:
    content = os.urandom(2_000_000)
    barrier = threading.Barrier(3)

    def copy(number: int) -> str:
        with storage.open("a.bin") as file:
            file.read(1)
            barrier.wait()
            name: str = storage.save(f"{number}.bin", file)
        return name

    with FTPStorage(location(server, root, proxy), max_connections=3, timeout=3) as storage:
        save(storage, "a.bin", content)
        with ThreadPoolExecutor(3) as threads:
            names = [*threads.map(copy, range(3))]
        assert all(read(storage, name) == content for name in names)
    assert proxy.connections <= 3


def test_file_that_a_killed_client_put_aside_goes_back_to_its_name(
    storage: FTPStorage, raw: FTPDirectory
) -> None:
    aside = f"new/.storages-{'0' * 32}.old"
    raw.put(f"{aside}/film.bin", b"the only copy")
    os.utime(raw.path / aside / "film.bin", (0, 0))
    save(storage, "new/a.bin")
    assert read(storage, "new/film.bin") == b"the only copy"
    assert not (raw.path / aside).exists()


def test_file_put_aside_for_a_save_under_way_stays(storage: FTPStorage, raw: FTPDirectory) -> None:
    aside = f"new/.storages-{'0' * 32}.old"
    raw.put("new/film.bin", b"new")
    raw.put(f"{aside}/film.bin", b"old")
    save(storage, "new/a.bin")
    assert raw.get("new/film.bin") == b"new"
    assert raw.get(f"{aside}/film.bin") == b"old"
    assert sorted(storage.listdir("new")[1]) == ["a.bin", "film.bin"]


@pytest.mark.parametrize("clock", [-5 * 3600, 40, 3 * 86_400])
def test_time_of_a_file_is_right_though_the_clock_of_its_server_is_wrong(clock: float) -> None:
    for server in running(Pyftpdlib(quirks=Quirks(clock=clock))):
        with FTPStorage(location(server)) as storage:
            before = datetime.now(UTC).replace(microsecond=0)
            name = save(storage)
            assert before <= storage.get_modified_time(name) <= datetime.now(UTC)
            assert read(storage) == CONTENT


def test_server_with_a_wrong_clock_that_nobody_may_correct_gets_files_all_the_same() -> None:
    for quirks in (
        Quirks(clock=7200, without=("MFMT",)),
        Quirks(clock=7200, replies={"MFMT": "550 No."}),
        Quirks(clock=7200, replies={"MFMT": "451 Not now."}),
    ):
        for server in running(Pyftpdlib(quirks=quirks)):
            with FTPStorage(location(server)) as storage:
                name = save(storage)
                assert storage.get_modified_time(name) > datetime.now(UTC) + timedelta(hours=1)


# -- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        "http://user:secret@host/",
        "user:secret@host",
        "ftp://",
        "ftp://user:secret@",
        "ftp://user:secret@host:port/",
        "ftp://user:secret@host:99999/",
        "ftp://user:secret%0D%0ADELE x@host/",
        "ftp://user:secret@host/a/../b",
        "ftp://us/er:secret@host/",
        "ftp://host/secret@b",
        "ftp://files.example.com:21/secret@home",
        "ftp://files.example.com/media/secret@home",
    ],
)
def test_bad_location_is_told_without_its_value(wrong: str) -> None:
    storage = FTPStorage(wrong)
    with pytest.raises(ImproperlyConfigured, match="FTP_STORAGE_LOCATION") as raised:
        storage.exists("a.txt")
    assert "secret" not in told(raised.value)
    assert "secret" not in repr(storage)
    assert "secret" not in str(storage.deconstruct())


def test_location_is_described_without_user_and_password() -> None:
    storage = FTPStorage("ftps://user:p@ss@host:2121/dir")
    assert repr(storage) == "FTPStorage(location='ftps://host:2121/dir')"
    assert storage.deconstruct()[1] == ["ftps://host:2121/dir"]


@pytest.mark.parametrize(
    ("place", "expected"), [("ftp", 1), ("aftp", 1), ("ftps", 0), ("ftpsi", 0)]
)
def test_cleartext_is_told_as_insecure(place: str, expected: int) -> None:
    sentences = list(FTPStorage(f"{place}://user:secret@host/").insecurities())
    assert len(sentences) == expected
    assert all("unencrypted" in each and "secret" not in each for each in sentences)


def test_cleartext_to_this_machine_is_not_told_as_insecure() -> None:
    assert list(FTPStorage("ftp://user:secret@localhost/").insecurities()) == []


def test_context_that_verifies_nothing_is_told_as_insecure() -> None:
    context = authority().client_context()
    context.check_hostname = False
    (sentence,) = FTPStorage("ftps://host/", ssl_context=context).insecurities()
    assert "does not verify" in sentence


def test_context_without_tls_is_a_contradiction() -> None:
    storage = FTPStorage("ftp://host/", ssl_context=authority().client_context())
    with pytest.raises(ImproperlyConfigured, match="ssl_context"):
        storage.exists("a.txt")


def test_old_names_are_there() -> None:
    assert FTPStorageFile is RemoteFile
    assert issubclass(FTPStorageException, OSError)
    assert FTPStorage("ftp://host/", allow_overwrite=True).file_overwrite is True
