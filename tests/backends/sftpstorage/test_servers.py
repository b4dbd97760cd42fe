"""What SFTPStorage does on servers that do without a part of the protocol."""

from __future__ import annotations

import logging
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from paramiko import ProxyCommand

from storages.backends.sftpstorage import SFTPStorage
from storages.temporaries import NO_EXCLUSION, STEPS_ASIDE
from tests.backends.directory import RawDirectory
from tests.backends.sftpstorage.server import options, running
from tests.servers.accounts import make_account, needs_root, new_name, remove_account
from tests.servers.asyncssh_server import AsyncSSH, Quirks
from tests.servers.openssh import OpenSSH
from tests.servers.process import HOST
from tests.servers.proxy import Proxy
from tests.servers.rclone import RcloneSFTP
from tests.servers.ssh import SSHServer

# Passes on what its input and output have to say to a port.
RELAY = """
import os, socket, sys, threading
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def pump(read, write):
    while data := read(65536):
        write(data)
    os._exit(0)
threading.Thread(target=pump, args=(lambda size: os.read(0, size), peer.sendall)).start()
pump(peer.recv, lambda data: os.write(1, data))
"""


@pytest.fixture(scope="module")
def openssh() -> Iterator[SSHServer]:
    yield from running(OpenSSH())


@pytest.fixture(scope="module", params=["size", "kind", "handles"])
def hiding(request: pytest.FixtureRequest) -> Iterator[SSHServer]:
    yield from running(AsyncSSH(Quirks(hides=request.param)))


def save(storage: SFTPStorage, name: str = "a.bin", content: bytes = b"content") -> str:
    return storage.save(name, ContentFile(content))


@pytest.mark.parametrize("name", ["a.bin", "missing"])
def test_file_is_not_listed_as_a_directory(name: str) -> None:
    # AsyncSSH's server opens one as a directory, and finds nothing in it.
    for server in running(AsyncSSH()):
        with SFTPStorage(**options(server)) as storage:
            save(storage)
            with pytest.raises((NotADirectoryError, FileNotFoundError)):
                storage.listdir(name)


def test_attributes_that_are_not_told_are_found_out(hiding: SSHServer) -> None:
    content = b"content " * 30_000
    with SFTPStorage(**options(hiding), root_path="all", file_overwrite=True) as storage:
        assert save(storage, "in/a.bin", b"old") == "in/a.bin"
        assert save(storage, "in/a.bin", content) == "in/a.bin"
        assert storage.size("in/a.bin") == len(content)
        with storage.open("in/a.bin") as file:
            assert file.read() == content
        with storage.open("in/a.bin", "ab") as file:
            file.write(b"more")
        assert RawDirectory(hiding.root / "all").get("in/a.bin") == content + b"more"
        assert storage.listdir("") == (["in"], [])
        assert storage.listdir("in") == ([], ["a.bin"])
        assert [entry.size for _, entry in storage.scan("in")] == [len(content) + 4]
        storage.delete("in/a.bin")
        storage.delete("in")
        assert storage.listdir("") == ([], [])


def test_reads_that_bring_less_than_was_asked_for_are_put_together() -> None:
    content = bytes(range(256)) * 2000
    for server in running(AsyncSSH(Quirks(short=True))):
        storage = SFTPStorage(**options(server))
        with storage, storage.open(save(storage, content=content)) as file:
            assert file.read() == content
            file.seek(100_001)
            assert file.read(70_000) == content[100_001:170_001]


def test_file_shorter_than_its_size_ends_in_an_error_not_in_a_hang() -> None:
    for server in running(AsyncSSH(Quirks(extra=1000))):
        (server.root / "a.bin").write_bytes(b"content " * 10_000)
        with (
            SFTPStorage(**options(server)) as storage,
            storage.open("a.bin") as file,
            pytest.raises(ConnectionError, match="ended early"),
        ):
            file.read()


def test_directories_are_made_where_the_server_does_not_say_that_they_are_missing() -> None:
    for server in running(AsyncSSH(Quirks(vague=True))):
        with SFTPStorage(**options(server), root_path="all") as storage:
            assert save(storage, "in/many/new/directories/a.bin") == "in/many/new/directories/a.bin"
            assert storage.listdir("in/many/new/directories") == ([], ["a.bin"])


def test_server_without_posix_rename_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    for server in running(AsyncSSH(Quirks(posix_rename=False))):
        with SFTPStorage(**options(server), file_overwrite=True) as storage:
            save(storage)
            assert storage.notices() == (STEPS_ASIDE,)
            storage.close()
            save(storage)
        assert storage.notices() == (STEPS_ASIDE,)
    assert caplog.record_tuples.count(("storages", logging.WARNING, STEPS_ASIDE)) == 1


def test_server_that_gives_a_name_to_several_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for server in running(RcloneSFTP()):
        with SFTPStorage(**options(server)) as storage:
            assert [save(storage), save(storage) != "a.bin"] == ["a.bin", True]
        assert NO_EXCLUSION in storage.notices()
    assert caplog.record_tuples.count(("storages", logging.WARNING, NO_EXCLUSION)) == 1


def test_server_that_looks_before_it_renames_gives_a_name_to_one_client() -> None:
    # ProFTPD's mod_sftp: between the look and the renaming another client may get the name.
    for server in running(AsyncSSH(Quirks(looks=2))):
        with SFTPStorage(**options(server)) as storage, ThreadPoolExecutor() as pool:
            names = list(pool.map(lambda _: save(storage), range(2)))
            assert len(set(names)) == 2
            assert sorted(RawDirectory(server.root).names()) == sorted(names)


@pytest.mark.parametrize("linkless", [".storages-", "flat/"])
def test_where_there_are_no_links_each_file_gets_a_name(linkless: str) -> None:
    # Everywhere, though the server says that it makes some, or on one of its file systems.
    for server in running(AsyncSSH(Quirks(linkless=linkless))):
        with SFTPStorage(**options(server)) as storage:
            names = [save(storage, each) for each in ("a.bin", "flat/a.bin", "flat/a.bin")]
            assert names[:2] == ["a.bin", "flat/a.bin"]
            assert len(set(names)) == 3
            assert all(storage.exists(name) for name in names)


def test_server_may_change_its_keys_in_the_middle_of_a_transfer(tmp_path: Path) -> None:
    content = os.urandom(1 << 20) * 8
    for server in running(OpenSSH({"RekeyLimit": "1M none", "LogLevel": "DEBUG"})):
        with SFTPStorage(**options(server), root_path=str(tmp_path)) as storage:
            save(storage, content=content)
            with storage.open("a.bin") as file:
                assert file.read() == content
        assert server.output.count("SSH2_MSG_NEWKEYS received") > 8


@pytest.mark.parametrize("direction", ["down", "up"])
def test_transfer_over_a_slow_line_lasts_as_long_as_it_moves(
    openssh: SSHServer, tmp_path: Path, direction: str
) -> None:
    content = bytes(60_000)
    with (
        Proxy(*openssh.address, buffer=4096) as proxy,
        SFTPStorage(**options(openssh, proxy) | {"timeout": 1}, root_path=str(tmp_path)) as storage,
    ):
        save(storage, content=content)
        # A packet of SSH takes longer than the time limit.
        proxy.bandwidth(20_000, direction)  # type: ignore[arg-type]
        with storage.open("a.bin") as file:
            assert file.read() == content
        assert save(storage, "b.bin", content) == "b.bin"


@pytest.mark.parametrize("then", ["exec /usr/lib/openssh/sftp-server", "exit 1"])
def test_login_script_that_prints_is_told_with_what_it_says(tmp_path: Path, then: str) -> None:
    script = tmp_path / "login"
    script.write_text(f"#!/bin/sh\necho Welcome to this machine\n{then}\n")
    script.chmod(0o755)
    for server in running(OpenSSH({"Subsystem": f"sftp {script}"})):
        with (
            SFTPStorage(**options(server)) as storage,
            pytest.raises(OSError, match="says 'Welcome to this machine' where SFTP is expected"),
        ):
            storage.exists("a.bin")


@pytest.fixture
def account(tmp_path: Path) -> Iterator[str]:
    if reason := needs_root("a server with an account of its own"):
        pytest.skip(reason)
    user = new_name()
    make_account(user, "secret", tmp_path)
    yield user
    remove_account(user)


def test_password_answers_a_server_that_asks_in_a_dialogue(account: str) -> None:
    ways = {"UsePAM": "yes", "KbdInteractiveAuthentication": "yes", "PubkeyAuthentication": "no"}
    for server in running(OpenSSH({**ways, "Subsystem": "sftp internal-sftp"})):
        login = {"port": server.port, "username": account}
        known = {"known_host_file": server.known_hosts}
        with SFTPStorage(HOST, {**login, "password": "secret"}, **known) as storage:
            assert storage.exists("a.bin") is False
        with (
            SFTPStorage(HOST, {**login, "password": "no"}, **known) as storage,
            pytest.raises(PermissionError, match="refused the login"),
        ):
            storage.exists("a.bin")


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a process, and see it gone, so that no other can be told to end."""
    process.kill()
    process.wait()


def test_proxy_command_that_was_killed_is_run_again(openssh: SSHServer, tmp_path: Path) -> None:
    commands: list[ProxyCommand] = []

    def connect() -> ProxyCommand:
        line = shlex.join([sys.executable, "-c", RELAY, str(openssh.port)])
        commands.append(ProxyCommand(line))
        return commands[-1]

    given = options(openssh, sock=connect)
    with SFTPStorage(**given, root_path=str(tmp_path)) as storage:
        save(storage, content=bytes(4_000_000))
        end(commands[-1].process)
        assert storage.exists("a.bin")
        with storage.open("a.bin") as file:
            start = file.read(10)
            end(commands[-1].process)
            assert start + file.read() == bytes(4_000_000)
    assert len(commands) == 3
    for command in commands:
        command.process.communicate()


def test_refused_mode_of_a_directory_leaves_no_directory() -> None:
    for server in running(AsyncSSH(Quirks(setstat=False))):
        with SFTPStorage(**options(server), dir_mode=0o700) as storage:
            # A directory that the first left would do for the second.
            with pytest.raises(PermissionError):
                save(storage, "new/a.bin")
            with pytest.raises(PermissionError):
                save(storage, "new/a.bin")
            assert storage.listdir("") == ([], [])
