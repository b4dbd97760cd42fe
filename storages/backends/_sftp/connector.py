"""How an SFTP session is opened with paramiko: host keys, login, time limits, plain errors."""

from __future__ import annotations

import errno
import getpass
import socket
import sys
import threading
import time
import warnings
from collections.abc import Collection, Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import paramiko
from django.core.exceptions import ImproperlyConfigured
from paramiko.hostkeys import InvalidHostKey
from paramiko.ssh_exception import IncompatiblePeer

from .messages import LostError
from .options import pinned
from .session import Session

QUIET = 15  # seconds a session may be idle before it is asked whether it still works
PROBE = 5  # seconds at most for an answer then

# Ways to log in that make the keys of whoever runs this process nobody's business.
_GIVEN = ("password", "pkey", "key_filename")

# Sessions of the process this one forked from; their finalizers would write to its sockets.
_abandoned: list[Session] = []


class HostKeyError(paramiko.SSHException):
    """The host key is not known; the text says how to accept it."""


class _Wire:
    """A socket on which sending ends too, where paramiko tries for ever."""

    def __init__(self, sock: Any, timeout: float) -> None:
        self._sock = sock
        self._timeout = timeout
        self.stalled = False
        if isinstance(sock, socket.socket) and sock.family != getattr(socket, "AF_UNIX", None):
            # Else each request of more than one packet waits for a delayed acknowledgement.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def send(self, data: bytes) -> int:
        deadline = time.monotonic() + self._timeout
        while True:
            try:
                sent: int = self._sock.send(data)
            except TimeoutError:
                if time.monotonic() < deadline:
                    continue
                self.stalled = True
                raise ConnectionAbortedError(errno.ECONNABORTED, "nothing can be sent") from None
            return sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class _HostKeyPolicy(paramiko.MissingHostKeyPolicy):
    """Accepts pinned keys, and no others if there are any; else the policy decides."""

    def __init__(self, policy: str, known_hosts: Path, pinned: Collection[str]) -> None:
        self._policy = policy
        self._known_hosts = known_hosts
        self._pinned = pinned

    def missing_host_key(
        self,
        client: paramiko.SSHClient,  # noqa: ARG002
        hostname: str,
        key: paramiko.PKey,
    ) -> None:
        if key.fingerprint in self._pinned:
            return
        shown = f"{key.get_name()} {key.fingerprint}"
        if self._pinned:
            raise HostKeyError(
                f"The host key of {hostname} is none of the option 'host_keys' (setting "
                f"SFTP_HOST_KEYS): {shown} was seen. Someone may be in between. If it is the "
                "server's own, add it there."
            )
        seen = f"The host key of {hostname} is unknown: {shown}."
        if self._policy == "reject":
            missing = "" if self._known_hosts.exists() else f" {self._known_hosts} does not exist."
            raise HostKeyError(
                f"{seen}{missing} Compare the fingerprint with the server's own, then accept it: "
                f"{self._scan(hostname)}"
            )
        if self._policy == "auto":
            self._remember(f"{hostname} {key.get_name()} {key.get_base64()}\n")
        warnings.warn(f"{seen} It was accepted unseen.", RuntimeWarning, stacklevel=2)

    def _scan(self, hostname: str) -> str:
        host, _, port = hostname.strip("[").partition("]:")
        return f"ssh-keyscan -p {port or 22} {host} >> {self._known_hosts}"

    def _remember(self, line: str) -> None:
        self._known_hosts.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._known_hosts.open("a", encoding="utf-8") as file:
            file.write(line)


@dataclass(frozen=True, repr=False)
class Connector:
    """Opens sessions with one server as one user; what `storages.pool` asks for."""

    host: str
    params: Mapping[str, Any]
    interactive: bool
    policy: str
    known_hosts: Path
    host_keys: tuple[str, ...]
    timeout: float
    # What was asked for at the terminal: never part of the options.
    _answers: dict[str, str] = field(default_factory=dict, compare=False)
    _asking: threading.Lock = field(default_factory=threading.Lock, compare=False)

    lost: ClassVar[tuple[type[Exception], ...]] = (LostError,)

    def connect(self) -> Session:
        """Log in and start the SFTP subsystem; raises built-in errors alone."""
        try:
            return self._connect()
        except PermissionError as exc:
            if exc.errno != errno.EACCES or not self._ask_password():
                raise
        try:
            return self._connect()
        except PermissionError:
            self._answers.clear()
            raise

    def check(self, session: Session, idle: float) -> bool:
        """Tell whether a session works; one that was idle for long is asked."""
        if session.usable and idle > QUIET:
            session.channel.settimeout(min(PROBE, self.timeout))
            with suppress(OSError):
                session.lookup(".")
            session.channel.settimeout(self.timeout)
        return session.usable

    def survives(self, exc: BaseException) -> bool:
        """Tell whether the server just said no."""
        return isinstance(exc, OSError) and not isinstance(exc, (ConnectionError, TimeoutError))

    def close(self, session: Session) -> None:
        """Close session and transport, and the connection to the user's agent if there is one."""
        session.client.close()

    def abandon(self, session: Session) -> None:
        """Close this process's descriptor alone."""
        _abandoned.append(session)
        transport = session.channel.get_transport()
        transport.active = False  # type: ignore[attr-defined]
        transport.sock.close()

    # -- steps ------------------------------------------------------------------------------------

    def _connect(self) -> Session:
        client = paramiko.SSHClient()
        fingerprints = {fingerprint for _, fingerprint in map(pinned, self.host_keys)}
        policy = _HostKeyPolicy(self.policy, self.known_hosts, fingerprints)
        client.set_missing_host_key_policy(policy)
        if not self.host_keys:
            self._load_known_hosts(client)
        try:
            with self._errors(client):
                self._log_in(client)
                return self._start(client)
        except BaseException:
            client.close()
            raise

    def _load_known_hosts(self, client: paramiko.SSHClient) -> None:
        try:
            if self.known_hosts.exists():
                client.load_system_host_keys(str(self.known_hosts))
        except (OSError, UnicodeError, InvalidHostKey) as exc:
            raise ImproperlyConfigured(
                f"SFTPStorage cannot read {self.known_hosts}: repair it, or give another file by "
                "the option 'known_host_file' (setting SFTP_KNOWN_HOST_FILE)."
            ) from exc

    def _log_in(self, client: paramiko.SSHClient) -> None:
        params = {
            "timeout": self.timeout,
            "banner_timeout": self.timeout,
            "auth_timeout": self.timeout,
            "channel_timeout": self.timeout,
            "transport_factory": partial(_transport, {pinned(each)[0] for each in self.host_keys}),
            **self.params,
            **self._answers,
        }
        if any(params.get(name) for name in _GIVEN):
            params = {"allow_agent": False, "look_for_keys": False} | params
        params["sock"] = _Wire(self._socket(params), self.timeout)
        try:
            client.connect(self.host, **params)
        except (FileNotFoundError, IsADirectoryError, PermissionError) as exc:
            raise ImproperlyConfigured(
                f"SFTPStorage cannot read the 'key_filename' in its option 'params' (setting "
                f"SFTP_STORAGE_PARAMS): {exc.strerror}."
            ) from exc

    def _socket(self, params: Mapping[str, Any]) -> Any:
        if given := params.get("sock"):
            return given() if callable(given) else given
        try:
            return socket.create_connection((self.host, params.get("port", 22)), params["timeout"])
        except socket.gaierror as exc:
            raise OSError(
                errno.EHOSTUNREACH,
                f"The host name of {self._address} does not resolve: check the option 'host' "
                "(setting SFTP_STORAGE_HOST)",
            ) from exc
        except ConnectionRefusedError as exc:
            raise ConnectionRefusedError(
                errno.ECONNREFUSED, f"{self._address} refuses connections: is an SSH server there?"
            ) from exc

    def _start(self, client: paramiko.SSHClient) -> Session:
        transport = client.get_transport()
        assert transport is not None
        channel = transport.open_session(timeout=self.timeout)
        channel.settimeout(self.timeout)
        channel.invoke_subsystem("sftp")
        return Session(client, channel)

    @contextmanager
    def _errors(self, client: paramiko.SSHClient) -> Iterator[None]:
        """Turn what paramiko raises while it connects into built-in errors without secrets."""
        deadline = time.monotonic() + self.timeout
        try:
            yield
        except HostKeyError as exc:
            raise PermissionError(errno.EPERM, str(exc)) from exc
        except paramiko.BadHostKeyException as exc:
            raise PermissionError(errno.EPERM, self._changed(exc)) from exc
        except (IncompatiblePeer, EOFError, paramiko.SSHException, TimeoutError) as exc:
            raise self._explained(exc, client, late=time.monotonic() >= deadline) from exc

    def _explained(self, exc: Exception, client: paramiko.SSHClient, *, late: bool) -> OSError:
        transport = client.get_transport()
        if late or isinstance(exc, TimeoutError):
            return TimeoutError(
                errno.ETIMEDOUT,
                f"{self._address} does not answer: check host and network, or raise the option "
                "'timeout' (setting SFTP_STORAGE_TIMEOUT)",
            )
        if isinstance(exc, IncompatiblePeer):
            return OSError(
                errno.EPROTONOSUPPORT,
                f"{self._address} offers none of the algorithms paramiko knows: update the server",
            )
        unwelcome = (
            transport is not None and transport.is_active() and not transport.is_authenticated()
        )
        if unwelcome or isinstance(exc, paramiko.AuthenticationException):
            return PermissionError(
                errno.EACCES,
                f"{self._address} refused the login: check username, password and keys in the "
                "option 'params' (setting SFTP_STORAGE_PARAMS)",
            )
        return LostError(errno.ECONNRESET, f"{self._address} closed the connection")

    def _changed(self, exc: paramiko.BadHostKeyException) -> str:
        name = self._address if self._port == 22 else f"[{self.host}]:{self._port}"
        return (
            f"The host key of {self._address} is not the known one: {exc.expected_key.fingerprint} "
            f"is known, {exc.key.fingerprint} was seen. Someone may be in between. If the server "
            f"was set up anew, forget its key: ssh-keygen -R '{name}' -f {self.known_hosts}"
        )

    @property
    def _port(self) -> int:
        port: int = self.params.get("port", 22)
        return port

    @property
    def _address(self) -> str:
        return f"{self.host}:{self._port}"

    def _ask_password(self) -> bool:
        """Ask for a password at the terminal, once; tell whether there is one to try."""
        if not self.interactive or self.params.get("password") or not sys.stdin.isatty():
            return False
        with self._asking:
            if "password" in self._answers:
                return True
            user = self.params.get("username") or getpass.getuser()
            self._answers["password"] = getpass.getpass(f"Password for {user}@{self.host}: ")
        return True


def _transport(kinds: Container[str], sock: Any, **options: Any) -> paramiko.Transport:
    """Return a transport that prefers keys of some kinds, and the fastest ciphers."""
    transport = paramiko.Transport(sock, **options)
    security = transport.get_security_options()
    # Ciphers that encrypt and sign in one pass: twice as fast here as those that do not.
    security.ciphers = sorted(security.ciphers, key=lambda name: "gcm" not in name)
    # A server has keys of several kinds, and shows one.
    security.key_types = sorted(security.key_types, key=lambda name: _kind(name) not in kinds)
    return transport


def _kind(algorithm: str) -> str:
    """Return the kind of the keys that a signature algorithm uses."""
    return "ssh-rsa" if algorithm.startswith("rsa-") else algorithm
