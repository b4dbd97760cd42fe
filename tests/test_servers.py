"""The servers and proxies that the other tests stand on."""

from __future__ import annotations

import ftplib
import io
import os
import pwd
import socket
import socketserver
import ssl
import struct
import subprocess
import sys
import time
from contextlib import closing, contextmanager, nullcontext, suppress
from functools import partial
from http.client import HTTPConnection, HTTPSConnection, IncompleteRead
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import boto3
import botocore.config
import botocore.exceptions
import paramiko
import psutil
import pytest

from tests.backends.database.server import Place
from tests.servers.asyncssh_server import AsyncSSH, Quirks
from tests.servers.certificates import authority
from tests.servers.database import MariaDB, PostgreSQL
from tests.servers.ftp import FTPServer
from tests.servers.http import HTTPProxy
from tests.servers.moto import Moto
from tests.servers.openssh import OpenSSH
from tests.servers.process import (
    HOST,
    POLL,
    Server,
    ServerError,
    free_port_block,
    lives,
    refusing_port,
    take,
)
from tests.servers.proftpd import Proftpd
from tests.servers.proxy import Proxy
from tests.servers.pyftpdlib_server import Pyftpdlib
from tests.servers.pyftpdlib_server import Quirks as FTPQuirks
from tests.servers.seaweedfs import SeaweedFS
from tests.servers.vsftpd import Vsftpd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHUNK = 65536  # bytes
TIMEOUT = 30  # seconds, far beyond what loopback needs


# Talking to each server


def s3_client(server: SeaweedFS | Moto, url: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=server.access_key,
        aws_secret_access_key=server.secret_key,
        region_name=server.region,
        config=botocore.config.Config(
            retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}
        ),
    )


def talk_s3(server: Any) -> None:
    client = s3_client(server, server.url)
    client.create_bucket(Bucket="talking")
    client.put_object(Bucket="talking", Key="k", Body=b"hello")
    assert client.get_object(Bucket="talking", Key="k")["Body"].read() == b"hello"
    client.delete_object(Bucket="talking", Key="k")
    client.delete_bucket(Bucket="talking")
    client.close()


def sftp_session(server: OpenSSH | AsyncSSH, **options: Any) -> Any:
    """An SSH client which knows the server's key, as the server's user."""
    client = paramiko.SSHClient()
    client.load_host_keys(str(server.known_hosts))
    login = {"key_filename": str(server.key_file), "allow_agent": False, "look_for_keys": False}
    client.connect(*server.address, username=server.user, timeout=TIMEOUT, **login | options)
    return client


def talk_sftp(server: Any) -> None:
    start = str(server.root) if isinstance(server, OpenSSH) else "/"
    with sftp_session(server) as client, client.open_sftp() as sftp:
        assert sftp.normalize(".") == start
        with sftp.open("k", "w") as file:
            file.write("hello")
        sftp.posix_rename("k", "renamed")
    assert (server.root / "renamed").read_text() == "hello"
    (server.root / "renamed").unlink()


class ReusingFTP(ftplib.FTP_TLS):
    """An FTPS client whose data connections resume the TLS session of the control connection."""

    def ntransfercmd(self, cmd: str, rest: Any = None) -> Any:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        session = self.sock.session
        return self.context.wrap_socket(connection, server_hostname=HOST, session=session), size


def ftp_client(
    server: FTPServer, secured: type[ftplib.FTP_TLS] = ReusingFTP, encoding: str = "utf-8"
) -> ftplib.FTP:
    """A client which logged in, with TLS if the server has it."""
    if not server.tls:
        client = ftplib.FTP(timeout=TIMEOUT, encoding=encoding)
        client.connect(*server.address)
    else:
        context = authority().client_context()
        client = secured(context=context, timeout=TIMEOUT, encoding=encoding)
        connect_tls(client, server)
    client.login(server.user, server.password)
    if server.tls:
        client.prot_p()
    return client


def connect_tls(client: ftplib.FTP_TLS, server: FTPServer) -> None:
    if server.tls == "explicit":
        client.connect(*server.address)
        return
    client.host = server.host
    plain = socket.create_connection(server.address, TIMEOUT)
    client.af = plain.family
    client.sock = client.context.wrap_socket(plain, server_hostname=server.host)
    client.file = client.sock.makefile("r", encoding=client.encoding)
    client.getresp()


def talk_ftp(server: Any) -> None:
    with ftp_client(server) as client:
        client.storbinary("STOR k", io.BytesIO(b"hello"))
        assert (server.root / "k").read_text() == "hello"
        assert client.nlst() == ["k"]
        lines: list[bytes] = []
        client.retrbinary("RETR k", lines.append)
        assert b"".join(lines) == b"hello"
        client.delete("k")


def talk_sql(server: Any) -> None:
    place = Place(server.name, server, server.directory)
    place.execute("CREATE TABLE talking (word varchar(9) PRIMARY KEY)")
    place.execute("INSERT INTO talking VALUES (?)", "hello")
    assert [tuple(row) for row in place.execute("SELECT word FROM talking")] == [("hello",)]
    place.execute("DROP TABLE talking")


TALKS: list[tuple[str, Callable[[], Server], Callable[[Any], None]]] = [
    ("seaweedfs", SeaweedFS, talk_s3),
    ("moto", Moto, talk_s3),
    ("openssh", OpenSSH, talk_sftp),
    ("asyncssh", AsyncSSH, talk_sftp),
    ("pyftpdlib", Pyftpdlib, talk_ftp),
    ("pyftpdlib-explicit", partial(Pyftpdlib, "explicit"), talk_ftp),
    ("pyftpdlib-implicit", partial(Pyftpdlib, "implicit"), talk_ftp),
    ("vsftpd", Vsftpd, talk_ftp),
    ("vsftpd-explicit", partial(Vsftpd, "explicit"), talk_ftp),
    ("vsftpd-implicit", partial(Vsftpd, "implicit"), talk_ftp),
    ("proftpd", Proftpd, talk_ftp),
    ("proftpd-explicit", partial(Proftpd, "explicit"), talk_ftp),
    ("proftpd-implicit", partial(Proftpd, "implicit"), talk_ftp),
    ("postgresql", PostgreSQL, talk_sql),
    ("mariadb", MariaDB, talk_sql),
]


def started(make: Callable[[], Server]) -> Server:
    server = make()
    if reason := server.available():
        pytest.skip(reason)
    return server.start()


@pytest.fixture(scope="module", params=TALKS, ids=[name for name, _, _ in TALKS])
def spoken(request: pytest.FixtureRequest) -> Iterator[tuple[Server, Callable[[Any], None]]]:
    """A running server and a function which talks to it."""
    _, make, talk = request.param
    with closing(started(make)) as server:
        yield server, talk


def test_answers_its_protocol(spoken):
    server, talk = spoken
    talk(server)


def test_restarts_on_the_same_port(spoken):
    server, talk = spoken
    address = server.address
    server.restart()
    assert server.address == address
    talk(server)


def test_comes_back_after_a_crash(spoken):
    server, talk = spoken
    server.kill()
    assert not listens(server.port)
    server.start()
    talk(server)


def test_accepts_and_stays_silent_while_paused(spoken):
    server, talk = spoken
    server.pause()
    with socket.create_connection(server.address, timeout=0.2) as connection:
        connection.sendall(server.hello)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    server.resume()
    talk(server)


def test_listens_on_loopback_only(spoken):
    server, _ = spoken
    connections = server.processes[0].net_connections()
    listening = [c.laddr.ip for c in connections if c.status == psutil.CONN_LISTEN]
    assert set(listening) == {HOST}


@pytest.mark.parametrize(("name", "make", "talk"), TALKS, ids=[name for name, _, _ in TALKS])
def test_leaves_no_process_port_or_directory(name, make, talk):
    server = started(make)
    talk(server)
    processes, port, directory = server.processes, server.port, server.directory
    server.close()
    assert processes
    assert not [process for process in processes if lives(process)]
    assert not listens(port)
    assert not directory.exists()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


# The base class


class Line(Server):
    """Says a line to everybody."""

    name = "line"
    greeting = b"hello"
    program = """
import os, socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as listener:
    print("listening", sorted(os.environ), flush=True)
    while True:
        client, _ = listener.accept()
        client.sendall(b"hello")
        client.close()
"""

    def command(self) -> list[str]:
        return [sys.executable, "-c", self.program, str(self.port)]


class Parent(Line):
    """Serves from a child which left its process group."""

    program = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {Line.program!r}, sys.argv[1]], start_new_session=True)
"""


class Broken(Line):
    program = "raise SystemExit('the configuration is wrong')"


def test_account_and_proxy_settings_of_the_user_do_not_reach_a_server(monkeypatch):
    for name in ("AWS_PROFILE", "AWS_SECRET_ACCESS_KEY", "HTTPS_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "secret")
    with Line() as server:
        assert "listening" in server.output
        assert "AWS" not in server.output
        assert "PROXY" not in server.output.upper()


def test_failed_start_shows_what_the_server_printed():
    with pytest.raises(ServerError, match="the configuration is wrong"):
        Broken().start()


def test_start_tries_another_port_when_the_first_is_taken():
    class Unlucky(Line):
        """Asks for a port just taken, once."""

        taken = 0

        def command(self) -> list[str]:
            taken, self.taken = self.taken, 0
            return [sys.executable, "-c", self.program, str(taken or self.port)]

    with socket.create_server((HOST, 0)) as other:
        server = Unlucky()
        server.taken = other.getsockname()[1]
        with server:
            assert listens(server.port)
            assert server.port != other.getsockname()[1]


def test_children_outside_of_the_process_group_end_too():
    server = Parent().start()
    main, child = server.processes
    server.stop()
    assert not lives(main)
    assert not lives(child)
    server.close()


def test_end_of_the_interpreter_ends_its_servers():
    program = (
        "from tests.test_servers import Line\n"
        "server = Line().start()\n"
        "print(server.port, server.directory)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=TIMEOUT, check=True
    )
    port, directory = run.stdout.split()
    assert not listens(int(port))
    assert not Path(directory).exists()


def test_servers_end_with_an_interpreter_that_is_killed():
    program = (
        "import os, signal\n"
        "from tests.test_servers import Line\n"
        "server = Line().start()\n"
        "print(server.processes[0].pid, server.directory, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    pid, directory = run.stdout.split()
    with suppress(psutil.NoSuchProcess):
        server = psutil.Process(int(pid))
        assert eventually(lambda: not lives(server))
    assert eventually(lambda: not Path(directory).exists())


def eventually(condition: Callable[[], bool]) -> bool:
    """Wait for what another process is about to do."""
    deadline = time.monotonic() + TIMEOUT
    while not condition() and time.monotonic() < deadline:
        time.sleep(POLL)
    return condition()


def test_port_that_refuses_is_given_to_nobody_who_asks_for_any():
    port = refusing_port()
    assert not listens(port)
    with socket.socket() as another, pytest.raises(OSError, match="in use"):
        another.bind((HOST, port))
    with socket.create_server((HOST, port)):
        assert listens(port)
    assert not listens(port)


def test_free_ports_of_a_block_are_all_free():
    base = free_port_block([0, 1, 10_000])
    for port in (base, base + 1, base + 10_000):
        with socket.create_server((HOST, port)):
            assert listens(port)


@pytest.mark.skipif(not psutil.LINUX, reason="impossible: lists the memory as Linux has it")
def test_postgresql_leaves_no_shared_memory():
    with closing(started(PostgreSQL)) as server:
        maps = [each.path for each in server.processes[0].memory_maps()]
        shared = [Path(path) for path in maps if path.startswith("/dev/shm/")]
        assert all(path.exists() for path in shared)
    assert shared
    assert not any(path.exists() for path in shared)


# The SFTP servers


@pytest.fixture(scope="module", params=[OpenSSH, AsyncSSH], ids=["openssh", "asyncssh"])
def sftp_server(request: pytest.FixtureRequest) -> Iterator[OpenSSH | AsyncSSH]:
    with closing(started(request.param)) as server:
        yield server


@pytest.mark.parametrize("key", ["rsa_key_file", "encrypted_key_file"])
def test_sftp_server_lets_every_key_in(sftp_server, key):
    passphrase = sftp_server.keys.passphrase if "encrypted" in key else None
    file = getattr(sftp_server.keys, key)
    sftp_session(sftp_server, key_filename=str(file), passphrase=passphrase).close()


def test_sftp_server_refuses_a_strangers_key(sftp_server):
    with pytest.raises(paramiko.AuthenticationException):
        sftp_session(sftp_server, key_filename=str(sftp_server.keys.stranger_key_file))


def test_sftp_server_shows_changed_host_keys_after_a_restart():
    with closing(started(AsyncSSH)) as server:
        server.keys.change_host_keys()
        server.restart()
        with pytest.raises(paramiko.BadHostKeyException):
            sftp_session(server)


def test_sftp_server_takes_the_password():
    with closing(started(AsyncSSH)) as server:
        sftp_session(server, key_filename=None, password=server.password).close()
        with pytest.raises(paramiko.AuthenticationException):
            sftp_session(server, key_filename=None, password="wrong")


def test_openssh_keeps_to_the_configuration_asked_for():
    with (
        closing(started(lambda: OpenSSH({"MaxSessions": "1"}))) as server,
        sftp_session(server) as client,
        client.open_sftp(),
        pytest.raises(paramiko.ChannelException),
    ):
        client.open_sftp()


@pytest.fixture
def odd_sftp(request: pytest.FixtureRequest) -> Iterator[Any]:
    """An SFTP client of an asyncssh server with the quirks asked for."""
    with (
        closing(started(lambda: AsyncSSH(request.param))) as server,
        sftp_session(server) as client,
        client.open_sftp() as sftp,
    ):
        yield sftp


def store(sftp: Any, name: str, data: bytes) -> None:
    with sftp.open(name, "w") as file:
        file.write(data)


@pytest.mark.parametrize("odd_sftp", [Quirks(posix_rename=False)], indirect=True)
def test_asyncssh_without_posix_rename_still_renames(odd_sftp):
    store(odd_sftp, "k", b"hello")
    with pytest.raises(OSError, match="not supported"):
        odd_sftp.posix_rename("k", "renamed")
    odd_sftp.rename("k", "renamed")
    assert odd_sftp.listdir() == ["renamed"]


@pytest.mark.parametrize("odd_sftp", [Quirks(setstat=False, denied="secret")], indirect=True)
def test_asyncssh_refuses_changes_of_mode_and_the_names_it_denies(odd_sftp):
    store(odd_sftp, "k", b"hello")
    with pytest.raises(PermissionError):
        odd_sftp.chmod("k", 0o600)
    with pytest.raises(PermissionError):
        store(odd_sftp, "secret.txt", b"hello")


@pytest.mark.parametrize("odd_sftp", [Quirks(quota=3)], indirect=True)
def test_asyncssh_with_a_quota_fails_to_write_more(odd_sftp):
    store(odd_sftp, "small", b"abc")
    with pytest.raises(OSError, match="No space left"):
        store(odd_sftp, "large", b"abcd")


@pytest.mark.parametrize("odd_sftp", [Quirks(quota=3, lossy=True)], indirect=True)
def test_asyncssh_when_lossy_loses_what_it_took(odd_sftp):
    store(odd_sftp, "large", b"abcd")
    assert odd_sftp.stat("large").st_size == 3


# The FTP servers


@contextmanager
def ftp_through(*arguments: Any, **quirks: Any) -> Iterator[ftplib.FTP]:
    """A client of a pyftpdlib server with these quirks."""
    odd = FTPQuirks(**quirks)
    encoding = "utf-8" if odd.utf8 else "latin-1"
    with (
        closing(started(partial(Pyftpdlib, *arguments, quirks=odd))) as server,
        ftp_client(server, encoding=encoding) as client,
    ):
        yield client


def test_vsftpd_refuses_data_connections_which_do_not_resume_the_session():
    with (
        closing(started(partial(Vsftpd, "explicit"))) as server,
        ftp_client(server, secured=ftplib.FTP_TLS) as client,
        pytest.raises((ftplib.Error, OSError)),
    ):
        client.retrlines("NLST")


def test_vsftpd_takes_any_data_connection_when_told():
    with (
        closing(started(partial(Vsftpd, "explicit", reuse=False))) as server,
        ftp_client(server, secured=ftplib.FTP_TLS) as client,
    ):
        assert client.nlst() == []


def test_vsftpd_leaves_no_user():
    with closing(started(Vsftpd)) as server:
        assert pwd.getpwnam(server.user)
    with pytest.raises(KeyError):
        pwd.getpwnam(server.user)


def test_vsftpd_removes_the_users_of_servers_whose_tests_were_killed():
    with closing(started(Vsftpd)) as server:
        orphan = f"{server.user}-orphan"
        subprocess.run(["useradd", "-M", "-N", "-d", "/nonexistent", orphan], check=True)
        with closing(started(Vsftpd)), pytest.raises(KeyError):
            pwd.getpwnam(orphan)
        assert pwd.getpwnam(server.user)


@pytest.mark.parametrize("name", ["expired", "wrong_host", "self_signed"])
def test_certificates_made_to_be_refused_are(name):
    bad = getattr(authority(), name)
    with (
        closing(started(partial(Pyftpdlib, "explicit", bad))) as server,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        ftp_client(server)


def log_in_without_tls(server: FTPServer) -> None:
    with ftplib.FTP(timeout=0.5) as client:
        client.connect(*server.address)
        client.login(server.user, server.password)


@pytest.mark.parametrize("tls", ["explicit", "implicit"])
def test_pyftpdlib_with_tls_lets_nobody_in_without(tls):
    with (
        closing(started(partial(Pyftpdlib, tls))) as server,
        pytest.raises((ftplib.Error, OSError)),
    ):
        log_in_without_tls(server)


def test_pyftpdlib_refuses_a_wrong_password():
    with closing(started(Pyftpdlib)) as server, ftplib.FTP(timeout=TIMEOUT) as client:
        client.connect(*server.address)
        with pytest.raises(ftplib.error_perm, match="530"):
            client.login(server.user, "wrong")


def test_pyftpdlib_does_not_know_the_commands_it_is_to_be_without():
    with ftp_through(without=("MLSD", "MLST", "EPSV")) as client:
        assert "MLST" not in client.sendcmd("FEAT")
        with pytest.raises(ftplib.error_perm, match="500"):
            list(client.mlsd())
        assert client.nlst() == []


def test_pyftpdlib_without_utf8_speaks_latin_1():
    with ftp_through(utf8=False) as client:
        assert "UTF8" not in client.sendcmd("FEAT")
        client.mkd("\xe9t\xe9")
        assert client.nlst() == ["\xe9t\xe9"]


def test_pyftpdlib_gives_the_replies_asked_for():
    with ftp_through(replies={"STOR": "452 Disk full", "NOOP": "421 Timeout"}) as client:
        with pytest.raises(ftplib.error_temp, match="452 Disk full"):
            client.storbinary("STOR k", io.BytesIO(b"hello"))
        with pytest.raises(ftplib.error_temp, match="421"):
            client.voidcmd("NOOP")
        with pytest.raises((EOFError, OSError)):
            client.voidcmd("PWD")


def test_pyftpdlib_closes_an_idle_connection():
    with ftp_through(idle_limit=1) as client:
        assert client.getline().startswith("421")
        with pytest.raises(EOFError):
            client.getline()


def test_pyftpdlib_with_a_quota_fails_to_store_more():
    with ftp_through(quota=1000) as client:
        client.storbinary("STOR small", io.BytesIO(b"x" * 1000))
        with pytest.raises((ftplib.Error, OSError)):
            client.storbinary("STOR large", io.BytesIO(b"x" * 100_000))
        # Where the data connection broke first, the reply to QUIT would be that of STOR.
        client.close()


@pytest.mark.parametrize("tls", ["", "explicit"])
def test_data_connections_of_pyftpdlib_go_through_a_proxy(tls):
    port = refusing_port()
    with (
        Proxy(HOST, port) as proxy,
        ftp_through(tls, data_port=port, told_port=proxy.port) as client,
    ):
        assert f"|||{proxy.port}|" in client.sendcmd("EPSV")
        client.storbinary("STOR k", io.BytesIO(b"hello"))
        assert client.nlst() == ["k"]
        assert proxy.connections == 2


def test_pyftpdlib_tells_another_host():
    with ftp_through(told_host="192.0.2.1") as client:
        assert "192,0,2,1" in client.sendcmd("PASV")


# The TCP proxy


class EchoHandler(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        # The other side may go first.
        with suppress(ConnectionError):
            while data := self.request.recv(CHUNK):
                self.server.heard.append(data)
                self.request.sendall(data)


class Echo(socketserver.ThreadingTCPServer):
    """Sends everything back; `heard` has it in the pieces that came."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        super().__init__((HOST, 0), EchoHandler)

    def handle_error(self, *args: object) -> None:
        raise  # noqa: PLE0704


@contextmanager
def serving(server: Any) -> Iterator[Any]:
    """Serve in a thread."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        with server:
            yield server
    finally:
        server.shutdown()
        thread.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    with serving(Echo()) as server:
        yield server


@pytest.fixture
def proxy(echo) -> Iterator[Proxy]:
    with Proxy(*echo.server_address) as proxy:
        yield proxy


@contextmanager
def saying(proxy: Proxy, data: bytes, timeout: float = TIMEOUT) -> Iterator[socket.socket]:
    """A connection through the proxy on which `data` was sent."""
    with socket.create_connection(proxy.address, timeout) as connection:
        connection.sendall(data)
        yield connection


def everything(connection: socket.socket) -> bytes:
    """All that comes up to the peer's end."""
    return b"".join(iter(lambda: connection.recv(CHUNK), b""))


def exchange(proxy: Proxy, data: bytes) -> bytes:
    with saying(proxy, data) as connection:
        connection.shutdown(socket.SHUT_WR)
        return everything(connection)


def test_proxy_passes_data_and_both_ends_and_counts_them(proxy):
    data = os.urandom(200_000)
    assert exchange(proxy, data) == data
    assert exchange(proxy, b"again") == b"again"
    assert proxy.connections == 2
    assert (proxy.bytes_up, proxy.bytes_down) == (200_005, 200_005)


def test_proxy_down_refuses_and_closes_and_comes_back_on_its_port(proxy):
    address = proxy.address
    with saying(proxy, b"one") as connection:
        assert take(connection, 3) == b"one"
        proxy.down()
        assert connection.recv(1) == b""
    assert not listens(proxy.port)
    proxy.clear()
    assert proxy.address == address
    assert exchange(proxy, b"two") == b"two"


def test_proxy_resets_after_so_many_bytes_down(proxy):
    proxy.reset_peer(after=3)
    with saying(proxy, b"abcdef") as connection:
        assert take(connection, 3) == b"abc"
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    proxy.clear()
    assert exchange(proxy, b"two") == b"two"


def test_proxy_resets_before_the_first_byte_down(proxy, echo):
    proxy.reset_peer()
    with saying(proxy, b"abcdef") as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert proxy.bytes_down == 0
    assert b"".join(echo.heard) == b"abcdef"


def test_proxy_resets_after_so_many_bytes_up(proxy):
    proxy.reset_peer(after=3, direction="up")
    with saying(proxy, b"abcdef") as connection, pytest.raises(ConnectionResetError):
        everything(connection)
    assert proxy.bytes_up == 3


def test_proxy_fault_with_times_ends_by_itself(proxy):
    proxy.reset_peer(times=1)
    with saying(proxy, b"one") as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)
    assert exchange(proxy, b"two") == b"two"


def test_proxy_counts_a_fault_from_the_call_that_set_it(proxy):
    with saying(proxy, b"before") as connection:
        assert take(connection, 6) == b"before"
        proxy.reset_peer(after=3)
        connection.sendall(b"abcdef")
        assert take(connection, 3) == b"abc"
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_proxy_limits_data_down_with_a_clean_end(proxy):
    proxy.limit_data(3)
    with saying(proxy, b"abcdef") as connection:
        assert everything(connection) == b"abc"
        connection.sendall(b"nobody listens")
        assert connection.recv(1) == b""


def test_proxy_limits_data_up_with_a_clean_end(proxy, echo):
    proxy.limit_data(3, "up")
    with saying(proxy, b"abcdef") as connection:
        assert everything(connection) == b""
    assert proxy.bytes_up == 3


def test_proxy_accepts_and_stays_silent_until_cleared(proxy):
    proxy.silence()
    with saying(proxy, b"abc", timeout=0.1) as connection:
        with pytest.raises(TimeoutError):
            connection.recv(1)
        proxy.clear()
        connection.settimeout(TIMEOUT)
        assert take(connection, 3) == b"abc"


def test_proxy_silences_connections_already_open(proxy):
    with saying(proxy, b"abc") as connection:
        assert take(connection, 3) == b"abc"
        proxy.silence()
        connection.sendall(b"def")
        connection.settimeout(0.1)
        with pytest.raises(TimeoutError):
            connection.recv(1)


@pytest.mark.skipif(sys.platform != "linux", reason="counts segments with Linux's TCP_INFO")
def test_proxy_slices_data_into_segments(proxy):
    proxy.slicer(1)
    with saying(proxy, b"12345678") as connection:
        assert take(connection, 8) == b"12345678"
        info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    # The kernel may join a few of them again.
    data_segments_in = struct.unpack_from("I", info, 152)[0]
    assert data_segments_in > 1


@pytest.mark.parametrize("fault", [Proxy.latency, Proxy.bandwidth])
def test_proxy_slow_faults_outlast_a_short_timeout(proxy, fault):
    fault(proxy, 60 if fault is Proxy.latency else 1)
    with saying(proxy, b"x" * 60, timeout=0.2) as connection, pytest.raises(TimeoutError):
        take(connection, 60)


def test_proxy_latency_and_bandwidth_lose_nothing(proxy):
    proxy.latency(0.01)
    proxy.bandwidth(10_000_000, "up")
    data = os.urandom(200_000)
    assert exchange(proxy, data) == data


def test_proxy_corrupts_one_byte(proxy):
    proxy.corrupt(2)
    assert exchange(proxy, b"\x00\x01\x02\x03") == b"\x00\x01\xfd\x03"


def test_proxy_drops_open_connections_and_accepts_new_ones(proxy):
    with saying(proxy, b"one") as connection:
        assert take(connection, 3) == b"one"
        assert proxy.open_connections == 1
        proxy.drop_connections()
        assert connection.recv(1) == b""
        assert proxy.open_connections == 0
    assert exchange(proxy, b"two") == b"two"


def test_proxy_that_ends_as_somebody_connects_leaves_nothing_open(echo):
    for _ in range(20):
        proxy = Proxy(*echo.server_address).start()
        with socket.create_connection(proxy.address, TIMEOUT) as connection:
            # What the proxy left would be closed by Python, with a warning, which is an error.
            proxy.close()
            with suppress(ConnectionResetError):
                assert connection.recv(1) == b""


def test_proxy_resets_clients_while_its_server_is_away():
    with (
        Proxy(HOST, refusing_port()) as proxy,
        pytest.raises(ConnectionResetError),
        saying(proxy, b"") as connection,
    ):
        connection.recv(1)


# The HTTP proxy


@pytest.fixture(scope="module")
def seaweedfs() -> Iterator[SeaweedFS]:
    """A running server with a bucket named `bucket`."""
    with closing(started(SeaweedFS)) as server:
        with closing(s3_client(server, server.url)) as client:
            client.create_bucket(Bucket="bucket")
        yield server


@pytest.fixture
def web(seaweedfs) -> Iterator[HTTPProxy]:
    with HTTPProxy(*seaweedfs.address) as web:
        yield web


@pytest.fixture
def s3(seaweedfs, web) -> Iterator[Any]:
    """A client of the server through the proxy."""
    with closing(s3_client(seaweedfs, web.url)) as client:
        yield client


def test_http_proxy_keeps_signatures_valid_and_records_requests(s3, web):
    data = os.urandom(20 * 2**20)
    s3.put_object(Bucket="bucket", Key="dir/a b", Body=data)
    assert s3.get_object(Bucket="bucket", Key="dir/a b")["Body"].read() == data
    put, get = web.requests
    assert (put.method, put.target, put.status) == ("PUT", "/bucket/dir/a%20b", 200)
    assert put.bytes_in == int(put.headers["Content-Length"]) == 20 * 2**20
    assert put.headers["Expect"] == "100-continue"
    assert (get.method, get.status, get.bytes_out) == ("GET", 200, 20 * 2**20)
    assert get.headers["Host"] == f"{HOST}:{web.port}"


def test_http_proxy_keeps_connections_alive(s3, web):
    for _ in range(3):
        s3.head_bucket(Bucket="bucket")
        s3.list_objects_v2(Bucket="bucket")
    assert web.connections == 1


def test_http_proxy_answers_the_next_matching_requests(s3, web):
    body = b"<Error><Code>SlowDown</Code><Message>m</Message></Error>"
    web.answer(503, body, {"Retry-After": "1"}, method="PUT", path="^/bucket/k", times=2)
    s3.head_bucket(Bucket="bucket")
    for _ in range(2):
        with pytest.raises(botocore.exceptions.ClientError, match="SlowDown"):
            s3.put_object(Bucket="bucket", Key="k1", Body=b"x" * 100_000)
    s3.put_object(Bucket="bucket", Key="k2", Body=b"x" * 100_000)
    keys = [entry["Key"] for entry in s3.list_objects_v2(Bucket="bucket", Prefix="k")["Contents"]]
    assert keys == ["k2"]


def test_http_proxy_forwards_and_answers_otherwise(s3, web):
    web.answer(500, method="PUT", forward=True)
    with pytest.raises(botocore.exceptions.ClientError, match="500"):
        s3.put_object(Bucket="bucket", Key="stored", Body=b"abc")
    assert s3.get_object(Bucket="bucket", Key="stored")["Body"].read() == b"abc"


def test_http_proxy_forwards_and_resets_before_the_reply(s3, web):
    web.reset(method="PUT")
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        s3.put_object(Bucket="bucket", Key="reset", Body=b"abc")
    assert s3.get_object(Bucket="bucket", Key="reset")["Body"].read() == b"abc"


def test_http_proxy_resets_without_forwarding(s3, web):
    web.reset(method="PUT", forward=False)
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        s3.put_object(Bucket="bucket", Key="never", Body=b"abc")
    with pytest.raises(s3.exceptions.NoSuchKey):
        s3.get_object(Bucket="bucket", Key="never")


def test_http_proxy_stalls_until_the_client_goes_away(web):
    web.stall()
    for is_answered in (False, True):
        with closing(HTTPConnection(web.host, web.port, timeout=1)) as connection:
            connection.request("GET", "/")
            with nullcontext() if is_answered else pytest.raises(TimeoutError):
                connection.getresponse().read()


def test_http_proxy_cuts_a_reply_short_of_its_announced_length(web):
    web.answer(200, b"abc", {"Content-Length": "10"})
    with closing(HTTPConnection(web.host, web.port, timeout=TIMEOUT)) as connection:
        connection.request("GET", "/")
        with pytest.raises(IncompleteRead):
            connection.getresponse().read()


class ChunkEchoHandler(BaseHTTPRequestHandler):
    """Sends a chunked body back as it came."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in iter(self.rfile.readline, b"\r\n"):
            self.wfile.write(line)
        self.wfile.write(b"\r\n")

    def log_message(self, *args: object) -> None:
        pass


def test_http_proxy_passes_chunked_bodies_both_ways():
    with (
        serving(ThreadingHTTPServer((HOST, 0), ChunkEchoHandler)) as server,
        HTTPProxy(HOST, server.server_port) as web,
        closing(HTTPConnection(HOST, web.port, timeout=TIMEOUT)) as connection,
    ):
        for _ in range(2):
            connection.request("POST", "//odd", iter([b"one", b"two"]))
            assert connection.getresponse().read() == b"onetwo"
        passed = [(request.target, request.bytes_in, request.bytes_out) for request in web.requests]
        assert passed == [("//odd", 6, 6), ("//odd", 6, 6)]
        assert web.connections == 1


def test_http_proxy_speaks_https_with_the_certificate_given(seaweedfs):
    with HTTPProxy(*seaweedfs.address, tls=authority().good.server_context()) as web:
        for host in (HOST, "localhost"):
            context = authority().client_context()
            client = HTTPSConnection(host, web.port, timeout=TIMEOUT, context=context)
            with closing(client) as connection:
                connection.request("GET", "/healthz")
                assert connection.getresponse().status == 200


def test_http_proxy_with_a_bad_certificate_is_refused(seaweedfs):
    with HTTPProxy(*seaweedfs.address, tls=authority().expired.server_context()) as web:
        context = authority().client_context()
        client = HTTPSConnection(HOST, web.port, timeout=TIMEOUT, context=context)
        with closing(client) as connection, pytest.raises(ssl.SSLCertVerificationError):
            connection.request("GET", "/healthz")
    assert web.requests == []
