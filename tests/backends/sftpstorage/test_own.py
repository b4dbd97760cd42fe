"""What is SFTPStorage's own: logins, host keys, modes, owners, directories, and what it costs."""

from __future__ import annotations

import os
import pty
import shutil
import socket
import stat
import subprocess
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import paramiko
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.test import override_settings

from storages.backends.sftpstorage import SFTPStorage
from storages.testing.lifecycle import forked, wait_for
from tests.backends.directory import RawDirectory
from tests.backends.sftpstorage.server import options, running
from tests.servers.asyncssh_server import AsyncSSH
from tests.servers.openssh import OpenSSH
from tests.servers.process import HOST
from tests.servers.proxy import Proxy, Turns
from tests.servers.ssh import SSHServer

MIB = 1024 * 1024

# Runs in a terminal of its own; what it prints is what the test looks at.
ASKING = """
import sys
from django.conf import settings
settings.configure()
from storages.backends.sftpstorage import SFTPStorage
host, port, known_hosts = sys.argv[1:]
params = {"port": int(port), "username": "test", "allow_agent": False, "look_for_keys": False}
given = dict(params)
storage = SFTPStorage(host, params, interactive=True, known_host_file=known_hosts)
print("found", storage.exists(""), storage.listdir(""), params == given)
storage.close()
print("again", storage.listdir(""))
"""


@pytest.fixture(scope="module")
def openssh() -> Iterator[SSHServer]:
    yield from running(OpenSSH())


@pytest.fixture(scope="module")
def asyncssh() -> Iterator[SSHServer]:
    yield from running(AsyncSSH())


@pytest.fixture
def root(openssh: SSHServer, tmp_path: Path) -> Path:
    """A directory on the server that nobody else uses; not made yet."""
    return openssh.root / tmp_path.name


def save(storage: SFTPStorage, name: str = "a.txt", content: bytes = b"content") -> str:
    return storage.save(name, ContentFile(content))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# -- options --------------------------------------------------------------------------------------


def test_options_may_be_given_by_position(openssh: SSHServer, root: Path) -> None:
    given = options(openssh)
    known_hosts = str(given["known_host_file"])
    modes = [0o640, 0o750, None, None]
    arguments: list[Any] = [given["host"], given["params"], False, *modes]
    storage = SFTPStorage(*arguments, known_hosts, f"{root}/", "/files/")
    assert storage.url(save(storage)) == "/files/a.txt"
    assert mode_of(root / "a.txt") == 0o640


def test_settings_are_those_users_know(openssh: SSHServer, root: Path) -> None:
    given = options(openssh)
    with override_settings(
        SFTP_STORAGE_HOST=given["host"],
        SFTP_STORAGE_PARAMS=given["params"],
        SFTP_KNOWN_HOST_FILE=given["known_host_file"],
        SFTP_STORAGE_ROOT=f"{root}/",
        SFTP_STORAGE_FILE_MODE=0o600,
        SFTP_STORAGE_DIR_MODE=0o700,
        SFTP_STORAGE_INTERACTIVE=False,
        SFTP_BASE_URL="https://files.example/",
    ):
        storage = SFTPStorage()
        assert storage.url(save(storage, "dir/a b.txt")) == "https://files.example/dir/a%20b.txt"
    assert mode_of(root / "dir/a b.txt") == 0o600


def test_separators_of_windows_work_in_root_and_names(openssh: SSHServer, root: Path) -> None:
    storage = SFTPStorage(**options(openssh), root_path=f"{root}\\sub\\")
    assert save(storage, "dir\\a.txt") == "dir/a.txt"
    assert (root / "sub/dir/a.txt").read_bytes() == b"content"
    assert storage.exists("dir\\a.txt")


def test_relative_root_is_where_the_login_starts(openssh: SSHServer, root: Path) -> None:
    storage = SFTPStorage(**options(openssh), root_path=root.name)
    save(storage)
    assert (root / "a.txt").exists()


def test_location_is_a_prefix_under_the_root(openssh: SSHServer, root: Path) -> None:
    storage = SFTPStorage(**options(openssh), root_path=str(root), location="/media/")
    save(storage, "dir/a.txt")
    assert (root / "media/dir/a.txt").exists()
    assert storage.listdir("") == (["dir"], [])


@pytest.mark.parametrize("more", [[], ["--recursive"]])
def test_list_of_a_file_is_that_file(
    openssh: SSHServer, root: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    given = {**options(openssh), "root_path": str(root)}
    entry = {"BACKEND": "storages.backends.sftpstorage.SFTPStorage", "OPTIONS": given}
    with override_settings(STORAGES={"sftp": entry}):
        save(storages["sftp"], "dir/a.txt")
        call_command("storages_list", "sftp", "dir/a.txt", *more)
        assert capsys.readouterr().out.endswith("  dir/a.txt\n")
        for missing in ("dir/b.txt", "dir/a.txt/b.txt"):
            with pytest.raises(CommandError, match="No such file"):
                call_command("storages_list", "sftp", missing, *more)


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"params": {"hostname": "x"}}, "'hostname'"),
        ({"params": {"prot": 22}}, "'prot'"),
        ({"file_mode": 0o10000}, "'file_mode'.*0o644"),
        ({"uid": -1}, "'uid'"),
        ({"host_key_policy": "never"}, "'host_key_policy'"),
        ({"timeout": 0}, "'timeout'"),
        ({"max_connections": 0}, "'max_connections'"),
        ({"host": None}, "SFTP_STORAGE_HOST"),
    ],
)
def test_impossible_option_is_told_by_name(given: dict[str, Any], text: str) -> None:
    storage = SFTPStorage(**{"host": "localhost", "file_overwrite": True} | given)
    with pytest.raises(ImproperlyConfigured, match=text):
        save(storage)


def test_unsafe_options_are_told() -> None:
    loose = SFTPStorage(host="x", host_key_policy="auto", file_mode=0o666, dir_mode=0o777)
    assert [text.split("'")[1] for text in loose.insecurities()] == [
        "host_key_policy",
        "file_mode",
        "dir_mode",
    ]
    assert list(SFTPStorage(host="x", file_mode=0o644).insecurities()) == []


# -- host keys ------------------------------------------------------------------------------------


def fingerprint(server: SSHServer) -> str:
    path = Path(f"{server.keys.host_keys[0]}.pub")
    run = subprocess.run(["ssh-keygen", "-lf", path], capture_output=True, text=True, check=True)
    return run.stdout.split()[1]


def test_unknown_host_is_refused_with_its_fingerprint_and_what_to_do(
    openssh: SSHServer, tmp_path: Path
) -> None:
    file = tmp_path / "known_hosts"
    storage = SFTPStorage(**options(openssh) | {"known_host_file": file})
    with pytest.raises(PermissionError) as caught:
        storage.exists("a.txt")
    assert fingerprint(openssh) in str(caught.value)
    assert f"{file} does not exist" in str(caught.value)
    command = f"ssh-keyscan -p {openssh.port} {openssh.host} >> {file}"
    assert command in str(caught.value)
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert storage.exists("a.txt") is False


def test_changed_host_key_is_refused_with_both_fingerprints(tmp_path: Path) -> None:
    for server in running(OpenSSH()):
        for policy in ("reject", "warn", "auto"):
            storage = SFTPStorage(**options(server), host_key_policy=policy)
            assert storage.exists("a.txt") is False
            storage.close()
        before = fingerprint(server)
        server.keys.change_host_keys()
        server.restart()
        for policy in ("reject", "warn", "auto"):
            storage = SFTPStorage(**options(server), host_key_policy=policy)
            with pytest.raises(PermissionError, match="is not the known one") as caught:
                storage.exists("a.txt")
            assert before in str(caught.value)
            assert fingerprint(server) in str(caught.value)


@pytest.mark.parametrize("policy", ["reject", "warn", "auto"])
def test_key_of_another_kind_than_the_known_one_is_no_first_occasion(
    openssh: SSHServer, tmp_path: Path, policy: str
) -> None:
    """Whoever is in between would else choose a kind that is not known."""
    file = tmp_path / "known_hosts"
    file.write_text(known := f"[{openssh.host}]:{openssh.port} ssh-dss AAAAB3NzaC1kc3M=\n")
    storage = SFTPStorage(**options(openssh) | {"known_host_file": file}, host_key_policy=policy)
    with pytest.raises(PermissionError, match="host key"):
        storage.exists("a.txt")
    assert file.read_text() == known


def test_pinned_keys_are_all_that_is_accepted_whatever_file_there_is(
    openssh: SSHServer, tmp_path: Path
) -> None:
    given = options(openssh) | {"known_host_file": tmp_path / "missing"}
    keys = [Path(f"{path}.pub").read_text() for path in openssh.keys.host_keys]
    for key in (*keys, fingerprint(openssh)):
        with SFTPStorage(**given, host_keys=[key]) as storage:
            assert storage.exists("a.txt") is False
    with pytest.raises(PermissionError, match="'host_keys'") as caught:
        SFTPStorage(**options(openssh), host_keys=["SHA256:" + "A" * 43]).exists("a.txt")
    assert fingerprint(openssh) in str(caught.value)


@pytest.mark.parametrize(
    "line",
    ["SHA256:short", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 %%", "ssh-dss AAAA", ""],
)
def test_pin_that_is_no_key_is_refused(line: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="SFTP_HOST_KEYS"):
        SFTPStorage(host="x", host_keys=[line]).listdir("/")


def test_pinned_keys_leave_nothing_to_a_policy() -> None:
    storage = SFTPStorage(host="x", host_keys=["SHA256:" + "A" * 43], host_key_policy="auto")
    with pytest.raises(ImproperlyConfigured, match="set one of them"):
        storage.listdir("/")


def test_warning_policy_accepts_an_unknown_host_each_time(
    openssh: SSHServer, tmp_path: Path
) -> None:
    file = tmp_path / "known_hosts"
    given = options(openssh) | {"known_host_file": file, "host_key_policy": "warn"}
    with SFTPStorage(**given) as storage:
        for _ in range(2):
            with pytest.warns(RuntimeWarning, match="accepted unseen"):
                assert storage.exists("a.txt") is False
            storage.close()
    assert not file.exists()


def test_automatic_policy_remembers_an_unknown_host(openssh: SSHServer, tmp_path: Path) -> None:
    file = tmp_path / "new/known_hosts"
    given = options(openssh) | {"known_host_file": file, "host_key_policy": "auto"}
    with SFTPStorage(**given) as storage, pytest.warns(RuntimeWarning, match="accepted unseen"):
        storage.exists("a.txt")
    with SFTPStorage(**given | {"host_key_policy": "reject"}) as storage:
        assert storage.exists("a.txt") is False


def test_unreadable_known_hosts_are_a_mistake_in_the_settings(
    openssh: SSHServer, tmp_path: Path
) -> None:
    with pytest.raises(ImproperlyConfigured, match="SFTP_KNOWN_HOST_FILE"):
        SFTPStorage(**options(openssh) | {"known_host_file": tmp_path}).exists("a.txt")


# How ssh(1) judges each file is seen by the test after this.
KNOWN_HOSTS = {
    # Lines of known_hosts; {} is the host, {key} its key, {other} another of the same kind.
    "{} {key}": True,
    "{} {other}": False,
    "": False,
    "# a comment\n\n{} {key} with a comment": True,
    "{} ssh-ed25519 AAAAnot-base64\n{} {key}": True,
    "nonsense\n{} {key}": True,
    "{} {other}\n{} {key}": True,
    "other.example,{} {key}": True,
    "[127.0.0.*]:* {key}": True,
    "[127.0.0.?]:* {key}": True,
    "* {key}": True,
    "!{},* {key}": True,  # by the line's "*", for the host on any port
    "!{},!127.0.0.1,* {key}": False,
    "*,!other.example {key}": True,
    "127.0.0.1 {key}": True,
    "@cert-authority *.example {other}\n{} {key}": True,
    "@cert-authority {} {key}": False,
    "@revoked {} {key}\n{} {key}": False,
    "@revoked * {other}\n{} {key}": True,
    "@revoked * {key}\n{} {key}": False,
    "@unknown {} {other}\n{} {key}": True,
    "{hashed} {key}": True,
    "{hashed} {other}": False,
    "|1|broken {other}\n{} {key}": True,
}


@pytest.mark.parametrize(("text", "accepted"), KNOWN_HOSTS.items())
def test_known_hosts_are_read_line_by_line_as_openssh_does(
    openssh: SSHServer, tmp_path: Path, text: str, *, accepted: bool
) -> None:
    path = tmp_path / "known_hosts"
    host = f"[{openssh.host}]:{openssh.port}"
    hashed = tmp_path / "hashed"
    key = openssh.keys.host_keys[0].with_name("host_ed25519.pub").read_text().strip()
    other = openssh.keys.key_file.with_name("id_ed25519.pub").read_text().strip()
    hashed.write_text(f"{host} {key}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", str(hashed)], check=True, capture_output=True)
    for word, value in (
        ("{}", host),
        ("{key}", key),
        ("{other}", other),
        ("{hashed}", hashed.read_text().split()[0]),
    ):
        text = text.replace(word, value)
    path.write_text(text)
    ssh = ["ssh", "-F", "none", "-p", str(openssh.port), "-i", str(openssh.key_file)]
    for option in (
        f"UserKnownHostsFile={path}",
        "GlobalKnownHostsFile=none",
        "HostKeyAlgorithms=ssh-ed25519",
        "StrictHostKeyChecking=yes",
        "BatchMode=yes",
    ):
        ssh += ["-o", option]
    done = subprocess.run(
        [*ssh, f"{openssh.user}@{openssh.host}", "true"], capture_output=True, check=False
    )
    assert (done.returncode == 0) is accepted, done.stderr
    storage = SFTPStorage(**options(openssh) | {"known_host_file": path})
    if accepted:
        assert not storage.exists("missing.txt")
    else:
        with pytest.raises(PermissionError, match="host key"):
            storage.exists("missing.txt")


@pytest.mark.parametrize("end", ["", "\n"])
def test_new_host_gets_a_line_of_its_own_whatever_the_file_ends_with(
    openssh: SSHServer, tmp_path: Path, end: str
) -> None:
    path = tmp_path / "known_hosts"
    line = f"other.example {openssh.key_file.with_name('id_ed25519.pub').read_text().strip()}"
    path.write_text(line + end)
    given = options(openssh) | {"known_host_file": path, "host_key_policy": "auto"}
    with pytest.warns(RuntimeWarning, match="accepted unseen"):
        SFTPStorage(**given).exists("missing.txt")
    assert path.read_text().splitlines()[0] == line
    assert path.read_text().splitlines()[1].startswith(f"[{openssh.host}]:{openssh.port} ")


# -- logins ---------------------------------------------------------------------------------------


def test_every_kind_of_key_logs_in(openssh: SSHServer) -> None:
    keys = openssh.keys
    with keys.key_file.open() as file:
        pkey = paramiko.Ed25519Key.from_private_key(file)
    for login in (
        {"key_filename": str(keys.rsa_key_file)},
        {"key_filename": str(keys.encrypted_key_file), "passphrase": keys.passphrase},
        {"key_filename": None, "pkey": pkey},
    ):
        with SFTPStorage(**options(openssh, **login)) as storage:
            assert storage.exists("a.txt") is False


@pytest.mark.parametrize(
    "login", [{"password": "wrong"}, {"passphrase": "wrong", "password": None}]
)
def test_refused_login_is_a_permission_error(asyncssh: SSHServer, login: dict[str, Any]) -> None:
    given = options(asyncssh, **login)
    del given["params"]["key_filename"]
    given["params"] |= {"look_for_keys": False, "allow_agent": False}
    with pytest.raises(PermissionError, match="SFTP_STORAGE_PARAMS"):
        SFTPStorage(**given).exists("a.txt")


def test_locked_key_without_its_passphrase_is_refused(openssh: SSHServer) -> None:
    given = options(openssh, key_filename=str(openssh.keys.encrypted_key_file))
    with pytest.raises(ImproperlyConfigured, match=r"PARAMS.*'passphrase'"):
        SFTPStorage(**given).exists("a.txt")
    given["params"]["passphrase"] = "wrong"
    with pytest.raises(ImproperlyConfigured, match=r"PARAMS.*wrong 'passphrase'"):
        SFTPStorage(**given).exists("a.txt")


KEY_FORMATS = {
    "openssh": ["-t", "ed25519"],
    "openssh rsa": ["-t", "rsa", "-b", "2048"],
    "openssh ecdsa": ["-t", "ecdsa"],
    "pem rsa": ["-t", "rsa", "-b", "2048", "-m", "PEM"],
    "pem ecdsa": ["-t", "ecdsa", "-m", "PEM"],
    "pkcs8 rsa": ["-t", "rsa", "-b", "2048", "-m", "PKCS8"],
    "pkcs8 ecdsa": ["-t", "ecdsa", "-m", "PKCS8"],
}


@pytest.mark.parametrize("passphrase", ["", "open sesame"])
@pytest.mark.parametrize("form", KEY_FORMATS)
def test_keys_of_all_formats_that_openssh_writes_log_in(
    openssh: SSHServer, tmp_path: Path, form: str, passphrase: str
) -> None:
    path = tmp_path / "id"
    command = ["ssh-keygen", "-q", *KEY_FORMATS[form], "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True)
    with openssh.keys.authorized_keys.open("a") as file:
        file.write(path.with_name("id.pub").read_text())
    given = options(openssh, key_filename=path, passphrase=passphrase or None)
    assert not SFTPStorage(**given).exists("missing.txt")


@pytest.mark.parametrize(
    ("params", "problem"),
    [
        ({"port": "x"}, "'port'"),
        ({"port": 70_000}, "'port'"),
        ({"timeout": "soon"}, "'timeout'"),
        ({"key_filename": "{ppk}"}, "PuTTY"),
        ({"key_filename": "{text}"}, "no private key"),
        ({"key_filename": "/no/such/file"}, "No such file"),
    ],
)
def test_wrong_parameters_are_told_with_their_name(
    tmp_path: Path, params: dict[str, Any], problem: str
) -> None:
    (tmp_path / "ppk").write_text("PuTTY-User-Key-File-3: ssh-ed25519\n")
    (tmp_path / "text").write_text("no key\n")
    files = {"{ppk}": tmp_path / "ppk", "{text}": tmp_path / "text"}
    given = {name: files.get(value, value) for name, value in params.items()}
    with socket.create_server((HOST, 0)) as silent:
        port = {"port": silent.getsockname()[1]}
        storage = SFTPStorage(host=HOST, params={**port, **given}, timeout=1)
        with pytest.raises(ImproperlyConfigured, match=f"SFTP_STORAGE_PARAMS.*{problem}"):
            storage.exists("a.txt")


def test_parameters_may_be_text_paths_and_empty(
    openssh: SSHServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(openssh.key_file.parent))
    given = options(openssh)
    for changed in (
        {"port": str(openssh.port), "timeout": "5", "auth_timeout": "5"},
        {"key_filename": openssh.key_file},
        {"key_filename": f"~/{openssh.key_file.name}"},
        {"key_filename": [openssh.key_file, openssh.keys.rsa_key_file]},
        {"password": "", "passphrase": "", "timeout": ""},
    ):
        params = {**given["params"], **changed}
        assert not SFTPStorage(**{**given, "params": params}).exists("missing.txt")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes a user who has no home")
def test_process_of_a_user_without_a_home_connects(asyncssh: SSHServer) -> None:
    # As containers run it: a number that no line of /etc/passwd is about, and no HOME.
    given = options(asyncssh, key_filename="", password=AsyncSSH.password)
    keys = [line.partition(" ")[2] for line in asyncssh.known_hosts.read_text().splitlines()]
    known = dict(given, known_host_file="~/.ssh/known_hosts")

    def look() -> None:
        os.environ.pop("HOME", None)
        os.setuid(54_321)
        assert list(SFTPStorage(**known).doubts())
        assert not SFTPStorage(**known, host_keys=keys).exists("missing.txt")

    assert wait_for(forked(look)) == ""


def test_root_in_a_home_is_refused_with_what_to_give() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"SFTP_STORAGE_ROOT.*'media'"):
        SFTPStorage("host", root_path="~/media").exists("a.txt")


def test_missing_key_file_is_a_mistake_in_the_settings(openssh: SSHServer) -> None:
    given = options(openssh, key_filename="/no/such/file")
    with pytest.raises(ImproperlyConfigured, match="'key_filename'"):
        SFTPStorage(**given).exists("a.txt")


def test_password_logs_in(asyncssh: SSHServer) -> None:
    given = options(asyncssh, password=AsyncSSH.password)
    del given["params"]["key_filename"]
    with SFTPStorage(**given) as storage:
        assert storage.exists("a.txt") is False


@pytest.fixture
def agent(openssh: SSHServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An SSH agent with a key the server knows, and no key in the home directory."""
    address = str(openssh.directory / "agent")
    process = subprocess.Popen(["ssh-agent", "-D", "-a", address], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", address)
    monkeypatch.setenv("HOME", str(openssh.directory))
    while subprocess.run(["ssh-add", "-q", openssh.key_file], check=False).returncode:
        assert process.poll() is None
    yield
    process.terminate()
    process.wait()
    Path(address).unlink(missing_ok=True)


@pytest.mark.skipif(shutil.which("ssh-agent") is None, reason="ssh-agent is not installed")
@pytest.mark.usefixtures("agent")
def test_agent_is_asked_only_where_no_key_and_no_password_is_given(openssh: SSHServer) -> None:
    given = options(openssh, key_filename=None)
    with SFTPStorage(**given) as storage:
        assert storage.exists("a.txt") is False
    for login in (
        {"password": "wrong"},
        {"key_filename": str(openssh.keys.stranger_key_file)},
    ):
        with pytest.raises(PermissionError):
            SFTPStorage(**options(openssh, **{"key_filename": None} | login)).exists("a.txt")


def test_nothing_is_asked_without_a_terminal(asyncssh: SSHServer) -> None:
    given = options(asyncssh, key_filename=None, look_for_keys=False, allow_agent=False)
    run = subprocess.run(
        [sys.executable, "-c", ASKING, asyncssh.host, str(asyncssh.port), given["known_host_file"]],
        input="test\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Password" not in run.stdout + run.stderr
    assert "PermissionError" in run.stderr


def test_password_is_asked_for_once_at_a_terminal(asyncssh: SSHServer) -> None:
    ours, theirs = pty.openpty()
    arguments = [asyncssh.host, str(asyncssh.port), str(asyncssh.known_hosts)]
    with subprocess.Popen(
        [sys.executable, "-c", ASKING, *arguments],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stderr is not None
        asked = ""
        # What is typed before the question is thrown away.
        while not asked.endswith("Password for test@127.0.0.1: "):
            asked += (letter := process.stderr.read(1))
            assert letter, asked
        os.write(ours, b"test\n")
        said, rest = process.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert "found True ([" in said
    assert ") True\n" in said
    assert "again" in said
    assert rest.strip() == ""


def test_socket_may_be_made_by_a_function(openssh: SSHServer, root: Path, tmp_path: Path) -> None:
    known_hosts = tmp_path / "known_hosts"
    key = openssh.known_hosts.read_text().splitlines()[0].partition(" ")[2]
    known_hosts.write_text(f"inside.example {key}\n")
    params = {
        "sock": lambda: socket.create_connection(openssh.address),
        "username": openssh.user,
        "key_filename": str(openssh.key_file),
    }
    with SFTPStorage(
        "inside.example", params, known_host_file=known_hosts, root_path=str(root)
    ) as storage:
        save(storage)
        storage.close()
        assert storage.exists("a.txt")


def test_ready_socket_serves_one_connection(openssh: SSHServer, root: Path) -> None:
    given = options(openssh, sock=socket.create_connection(openssh.address))
    with SFTPStorage(**given, root_path=str(root)) as storage, ThreadPoolExecutor(4) as threads:
        names = list(threads.map(lambda number: save(storage, f"{number}.txt"), range(8)))
    assert sorted(names) == [f"{number}.txt" for number in range(8)]


# -- modes, owners, directories -------------------------------------------------------------------


def test_modes_are_set_whatever_the_umask(openssh: SSHServer, root: Path) -> None:
    given = options(openssh) | {"root_path": f"{root}/base", "file_mode": 0o666}
    save(SFTPStorage(**given, dir_mode=0o2777), "one/two/a.txt")
    assert mode_of(root / "base/one/two/a.txt") == 0o666
    for level in (root, root / "base", root / "base/one", root / "base/one/two"):
        assert mode_of(level) == 0o2777, level


def test_mode_of_a_directory_that_was_there_stays(openssh: SSHServer, root: Path) -> None:
    root.mkdir(mode=0o711)
    save(SFTPStorage(**options(openssh), root_path=str(root), dir_mode=0o755), "new/a.txt")
    assert (mode_of(root), mode_of(root / "new")) == (0o711, 0o755)


def test_replaced_file_gets_the_mode(openssh: SSHServer, root: Path) -> None:
    RawDirectory(root).put("a.txt", b"before")
    (root / "a.txt").chmod(0o777)
    given = options(openssh) | {"root_path": str(root), "file_overwrite": True}
    save(SFTPStorage(**given, file_mode=0o444))
    assert mode_of(root / "a.txt") == 0o444


@pytest.mark.parametrize("ids", [{"uid": 0, "gid": 0}, {"uid": 0}, {"gid": 0}])
def test_zero_is_an_owner_as_any_other(openssh: SSHServer, root: Path, ids: dict[str, int]) -> None:
    mine = {"uid": os.getuid(), "gid": os.getgid()}
    wanted = {name: mine[name] for name in ids}
    if mine["uid"] == 0:
        # What is made here belongs to another group unless the backend says otherwise.
        root.mkdir()
        os.chown(root, 12345, 12345)
        root.chmod(0o2777)
    save(SFTPStorage(**options(openssh), root_path=str(root), **wanted), "one/two/a.txt")
    for path in (root / "one", root / "one/two", root / "one/two/a.txt"):
        found = path.stat()
        assert {"uid": found.st_uid, "gid": found.st_gid}.items() >= wanted.items()


@pytest.mark.skipif(os.geteuid() != 0, reason="counts on giving files away, as root does")
@pytest.mark.parametrize("ids", [{"uid": 1234, "gid": 4321}, {"uid": 1234}, {"gid": 4321}])
def test_files_and_directories_are_given_away(
    openssh: SSHServer, root: Path, ids: dict[str, int]
) -> None:
    save(SFTPStorage(**options(openssh), root_path=str(root), **ids), "one/a.txt")
    wanted = {"uid": 0, "gid": 0} | ids
    for path in (root, root / "one", root / "one/a.txt"):
        assert {"uid": path.stat().st_uid, "gid": path.stat().st_gid} == wanted


def test_threads_may_make_the_same_directories(openssh: SSHServer, root: Path) -> None:
    given = options(openssh) | {"root_path": str(root), "dir_mode": 0o750}
    with SFTPStorage(**given) as storage, ThreadPoolExecutor(8) as threads:
        names = [f"{turn}/one/two/{number}.txt" for turn in range(5) for number in range(8)]
        assert list(threads.map(lambda name: save(storage, name), names)) == names
    assert {mode_of(path) for path in root.rglob("*") if path.is_dir()} == {0o750}


def test_empty_directory_is_deleted_and_a_full_one_is_not(openssh: SSHServer, root: Path) -> None:
    storage = SFTPStorage(**options(openssh), root_path=str(root))
    save(storage, "dir/a.txt")
    with pytest.raises(OSError, match="not empty"):
        storage.delete("dir")
    storage.delete("dir/a.txt")
    storage.delete("dir")
    assert not (root / "dir").exists()


def test_links_are_followed_for_reading_and_replaced_for_writing(
    openssh: SSHServer, root: Path
) -> None:
    raw = RawDirectory(root)
    raw.put("kept/target.txt", b"target")
    for name, target in (("file", "kept/target.txt"), ("dir", "kept"), ("dangling", "nowhere")):
        (root / name).symlink_to(target)
    storage = SFTPStorage(**options(openssh), root_path=str(root), file_overwrite=True)
    directories, files = storage.listdir("")
    assert (sorted(directories), sorted(files)) == (["dir", "kept"], ["dangling", "file"])
    with storage.open("file") as file:
        assert file.read() == b"target"
    assert storage.exists("dangling")
    save(storage, "file", b"new")
    save(storage, "dangling", b"new")
    storage.delete("dir")
    assert raw.get("kept/target.txt") == b"target"
    assert sorted(raw.names()) == ["dangling", "file", "kept/target.txt"]
    assert not (root / "dangling").is_symlink()


def test_name_of_a_dangling_link_is_not_free(openssh: SSHServer, root: Path) -> None:
    root.mkdir()
    (root / "a.txt").symlink_to("nowhere")
    assert save(SFTPStorage(**options(openssh), root_path=str(root))) != "a.txt"
    assert (root / "a.txt").is_symlink()


def test_names_that_are_no_utf_8_do_not_break_a_listing(openssh: SSHServer, root: Path) -> None:
    root.mkdir()
    Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.txt")).touch()
    storage = SFTPStorage(**options(openssh), root_path=str(root))
    save(storage)
    assert storage.listdir("") == ([], ["a.txt"])


# -- what it costs --------------------------------------------------------------------------------


def test_head_of_a_large_file_is_read_alone(openssh: SSHServer, root: Path) -> None:
    RawDirectory(root).put("large.bin", b"head")
    os.truncate(root / "large.bin", 256 * MIB)
    with (
        Proxy(*openssh.address) as proxy,
        SFTPStorage(**options(openssh, proxy), root_path=str(root)) as storage,
    ):
        with storage.open("large.bin") as file:
            assert file.read(64 * 1024)[:4] == b"head"
        assert storage.exists("large.bin")
        assert proxy.bytes_down < MIB
        assert proxy.connections == 1


def test_place_in_a_large_file_is_sought(openssh: SSHServer, root: Path) -> None:
    path = root / "large.bin"
    RawDirectory(root).put("large.bin", b"head")
    os.truncate(path, 100 * MIB)
    with path.open("ab") as file:
        file.write(b"tail")
    with (
        Proxy(*openssh.address) as proxy,
        SFTPStorage(**options(openssh, proxy), root_path=str(root)) as storage,
    ):
        with storage.open("large.bin") as file:
            file.seek(-4, os.SEEK_END)
            assert file.read() == b"tail"
            file.seek(0)
            assert file.read(4) == b"head"
            file.seek(50 * MIB)
            assert file.read(4) == bytes(4)
        assert proxy.bytes_down < MIB


def test_small_saves_take_one_connection_and_few_round_trips(
    openssh: SSHServer, root: Path
) -> None:
    saves = 200
    with (
        Turns(*openssh.address) as turns,
        SFTPStorage(**options(openssh, turns), root_path=str(root), file_mode=0o640) as storage,
    ):
        save(storage, "first.txt")
        before = turns.count
        for number in range(saves):
            save(storage, f"{number}.txt")
        # One for the content, and four besides: to look, to open, to rename, and one to spare.
        assert turns.count - before <= saves * 5
    assert turns.connections == 1


def test_walk_over_a_thousand_files_takes_a_listing_of_each_directory(
    openssh: SSHServer, root: Path
) -> None:
    files = [f"{directory}/{number}.txt" for directory in "abcd" for number in range(250)]
    for name in files:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    with (
        Turns(*openssh.address) as turns,
        SFTPStorage(**options(openssh, turns), root_path=str(root)) as storage,
    ):
        list(storage.scan())
        before = turns.count
        found = dict(storage.scan(recursive=True))
        assert (sorted(found), {each.size for each in found.values()}) == (sorted(files), {1})
        # A reply holds a hundred names at most; nothing is asked of a file.
        assert turns.count - before <= 5 * 8


def test_closed_storage_connects_anew(openssh: SSHServer, root: Path) -> None:
    with Proxy(*openssh.address) as proxy:
        with SFTPStorage(**options(openssh, proxy), root_path=str(root)) as storage:
            save(storage)
        assert storage.exists("a.txt")
        assert proxy.connections == 2
        storage.close()


def test_storages_of_equal_options_share_connections(openssh: SSHServer, root: Path) -> None:
    with Proxy(*openssh.address) as proxy:
        for name in ("one", "two"):
            save(SFTPStorage(**options(openssh, proxy), root_path=f"{root}/{name}"))
        assert proxy.connections == 1
        SFTPStorage(**options(openssh, proxy)).close()


def test_options_given_are_never_changed(openssh: SSHServer, root: Path) -> None:
    given = options(openssh)
    before = dict(given["params"])
    storage = SFTPStorage(**given, root_path=str(root))
    with warnings.catch_warnings(action="error"):
        save(storage)
    assert given["params"] == before
    assert storage.params is given["params"]
