"""How an SFTP session is opened with paramiko: host keys, login, time limits, plain errors."""

from __future__ import annotations

import errno
import getpass
import logging
import socket
import sys
import threading
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import paramiko

from .errors import CONNECTING, explained
from .hosts import HostKeys
from .login import arguments, port_of, with_password
from .messages import LostError
from .options import pinned
from .session import Session
from .transfers import Wire

QUIET = 15  # seconds a session may be idle before it is asked whether it still works
PROBE = 5  # seconds at most for an answer then
# Time limits that connecting may take for the login, which has several steps with one each.
STEPS = 3

# paramiko logs, with a traceback, what is raised here too. Without a handler Python prints it.
logging.getLogger("paramiko").addHandler(logging.NullHandler())

# Sessions of the process this one forked from; their finalizers would write to its sockets.
_abandoned: list[Session] = []


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

    #: What was found out of the server, for all its sessions.
    traits: dict[str, Any] = field(default_factory=dict, compare=False)

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
        """Return True if a session works; one that was idle for long is asked."""
        if session.usable and idle > QUIET:
            session.channel.settimeout(min(PROBE, self.timeout))
            with suppress(OSError):
                session.lookup(".")
            session.channel.settimeout(self.timeout)
        return session.usable

    def survives(self, exc: BaseException) -> bool:
        """Return True if the server just said no."""
        return isinstance(exc, OSError) and not isinstance(exc, (ConnectionError, TimeoutError))

    def close(self, session: Session) -> None:
        """Close session and transport, and the connection to the user's agent if there is one."""
        session.client.close()

    def abandon(self, session: Session) -> None:
        """Close this process's descriptor alone."""
        _abandoned.append(session)
        session.forsake()
        transport = session.channel.get_transport()
        transport.active = False  # type: ignore[attr-defined]
        transport.sock.close()

    # -- steps ------------------------------------------------------------------------------------

    def _connect(self) -> Session:
        client = paramiko.SSHClient()
        pins = [pinned(line) for line in self.host_keys]
        fingerprints = {fingerprint for _, fingerprint in pins}
        keys = HostKeys(self.host, self._port, self.policy, self.known_hosts, fingerprints)
        client.set_missing_host_key_policy(keys)
        kinds = {kind for kind, _ in pins} | keys.kinds
        try:
            with self._limited(client, STEPS * self.timeout):
                self._log_in(client, kinds)
            with self._limited(client, self.timeout):
                return self._start(client)
        except BaseException:
            client.close()
            raise

    def _log_in(self, client: paramiko.SSHClient, kinds: Container[str]) -> None:
        params = dict(self.params)
        if password := self._answers.get("password"):
            params = with_password(params, password)
        given = arguments(params, self.timeout)
        given.setdefault("transport_factory", partial(_transport, kinds))
        given["sock"] = Wire(self._socket(given), self.timeout)
        client.connect(self.host, **given)

    def _socket(self, params: Mapping[str, Any]) -> Any:
        if given := params.get("sock"):
            return given() if callable(given) else given
        try:
            return socket.create_connection((self.host, self._port), params["timeout"])
        except socket.gaierror as exc:
            raise OSError(
                errno.EHOSTUNREACH,
                f"The host name of {self._address} does not resolve: check the option 'host' "
                "(setting SFTP_STORAGE_HOST)",
            ) from exc

    def _start(self, client: paramiko.SSHClient) -> Session:
        transport = client.get_transport()
        assert transport is not None
        channel = transport.open_session(timeout=self.timeout)
        channel.settimeout(self.timeout)
        channel.invoke_subsystem("sftp")
        return Session(client, channel, self.traits)

    @contextmanager
    def _limited(self, client: paramiko.SSHClient, seconds: float) -> Iterator[None]:
        """Close a client that takes too long to connect, where paramiko would wait for ever.

        What paramiko raises becomes a built-in error without secrets.
        """
        deadline = time.monotonic() + self.timeout
        timer = threading.Timer(seconds, client.close)
        timer.daemon = True
        timer.start()
        try:
            yield
        except CONNECTING as exc:
            late = time.monotonic() >= deadline
            raise explained(exc, self._address, client.get_transport(), late=late) from exc
        finally:
            timer.cancel()

    @property
    def _port(self) -> int:
        return port_of(self.params)

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
