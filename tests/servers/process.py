"""A real server as a child process on loopback: start, pause, restart, and end with no trace."""

from __future__ import annotations

import atexit
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from itertools import product
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, ClassVar, Self

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HOST = "127.0.0.1"
POLL = 0.02  # seconds between two looks at a server
# A machine that is busy with other tests takes its time; what fails tells that by ending.
START_LIMIT = 120.0  # seconds until a started server must answer
STOP_LIMIT = 5.0  # seconds between asking a server to end and killing it
SIGNAL_LIMIT = 60.0  # seconds until a signal that nothing can ignore must have had its effect
CONNECT_LIMIT = 5.0  # seconds for one look at a server's greeting
ATTEMPTS = 5  # starts on another port when one was taken meanwhile

# Below the range Linux gives to port 0 and to outgoing connections: only listeners compete.
PORTS = range(10240, 32000)

# What Python, its libraries and the servers need; nothing of the user's accounts or proxies.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH")

# Servers are programs of the system administrator, often not on a user's own path.
SYSTEM_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])

# Waits for the end of the process which holds the other end of its input, then cleans up after it.
_GUARD = 'read -r _; kill -s KILL -- "-$1"; rm -rf -- "$2"'

_TAKEN = re.compile(r"in use|could not bind|failed to bind", re.IGNORECASE)

# The tests' own seeding of `random` must not send two test processes to the same ports.
_random = SystemRandom()


class ServerError(RuntimeError):
    """A server did not start; the text holds what it printed."""


def refusing_port() -> int:
    """Return a loopback port that refuses connections, until somebody listens there on purpose."""
    holder = socket.socket()
    # A server that does so as well may listen there nevertheless.
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((HOST, 0))
    port = int(holder.getsockname()[1])
    # Until this process ends it is bound: the kernel gives it to nobody who asks for any port.
    holder.detach()
    return port


def free_port_block(offsets: Iterable[int]) -> int:
    """Return a port such that it plus each offset is a loopback port nobody listens on."""
    offsets = list(offsets)
    candidates = PORTS[: len(PORTS) - max(offsets)]
    while True:
        port = _random.choice(candidates)
        if all(_bindable(port + offset) for offset in offsets):
            return port


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def take(connection: socket.socket, size: int) -> bytes:
    """Return the next `size` bytes, or fewer if the peer ends before."""
    data = b""
    while len(data) < size and (piece := connection.recv(size - len(data))):
        data += piece
    return data


class Server:
    """Own one server process, its port and its directory; use it in a `with` block.

    `stop` keeps the port and the directory, so that a later `start` brings the same server back;
    `close` (and the end of the block, and of the interpreter) removes them.
    """

    name: ClassVar[str]
    hello: ClassVar[bytes] = b""  # what a client sends first, in protocols where it does
    greeting: bytes = b""  # first bytes of a ready server's answer, if it is to answer
    port_offsets: ClassVar[Iterable[int]] = (0,)

    def __init__(self) -> None:
        self.port = 0
        self._popen: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._family: set[psutil.Process] = set()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None

    @classmethod
    def available(cls) -> str | None:
        """Return why the server cannot run here, with what to install; None if it can."""
        return None

    def command(self) -> list[str]:
        """Return the command line which serves `port` in the foreground."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return the variables the server needs besides the fixed few."""
        return {}

    def prepare(self) -> None:
        """Write what `command` refers to into `directory`; called before every start."""

    def cleanup(self) -> None:
        """Undo what `prepare` did outside of `directory`."""

    def ready(self) -> bool:
        """Return True if the server answers."""
        with socket.create_connection((HOST, self.port), timeout=CONNECT_LIMIT) as connection:
            connection.sendall(self.hello)
            return take(connection, len(self.greeting)) == self.greeting

    @property
    def host(self) -> str:
        """Return the loopback address the server listens on."""
        return HOST

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port."""
        return HOST, self.port

    @property
    def directory(self) -> Path:
        """Return the server's own directory, removed by `close`."""
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix=f"{self.name}-")
        return Path(self._temporary.name)

    @property
    def output(self) -> str:
        """Return all that the server printed so far."""
        log = self.directory / "output.log"
        return log.read_text(errors="replace") if log.exists() else ""

    @property
    def processes(self) -> list[psutil.Process]:
        """Return the server's main process and all its descendants."""
        if not self.running:
            return []
        assert self._popen is not None
        main = psutil.Process(self._popen.pid)
        return [main, *main.children(recursive=True)]

    @property
    def running(self) -> bool:
        """Return True if the server's main process lives."""
        return self._popen is not None and self._popen.poll() is None

    def start(self) -> Self:
        """Start the server and wait until it answers, on the port it had before if it had one."""
        if self.running:
            return self
        atexit.register(self.close)
        known = self.port
        for _ in range(1 if known else ATTEMPTS):
            self.port = known or free_port_block(self.port_offsets)
            self._launch()
            if self._wait_until_ready():
                return self
            self.kill()
            if not _TAKEN.search(self.output):
                break
        raise ServerError(f"{self.name} did not start; it printed:\n{self.output}")

    def stop(self) -> None:
        """Ask the server and every process it started to end; keep its port and directory."""
        # Asked one by one, because some servers move their children out of the process group.
        self._signal(signal.SIGTERM, signal.SIGCONT)
        self._await(lives, STOP_LIMIT)
        self.kill()

    def kill(self) -> None:
        """End the server as a crash would; keep its port and directory."""
        if self._popen is None or self._guard is None:
            return
        self._guard.kill()
        self._guard.communicate()
        self._signal(signal.SIGKILL)
        with suppress(ProcessLookupError):
            # Orphans of a main process that ended by itself are still in its group.
            os.killpg(self._popen.pid, signal.SIGKILL)
        self._popen.wait(SIGNAL_LIMIT)
        self._await(lives)
        self._popen = None
        self._family.clear()

    def restart(self) -> Self:
        """Stop the server and start it on the same port and directory."""
        self.stop()
        return self.start()

    def pause(self) -> None:
        """Freeze the server: the kernel still accepts connections, nobody answers them."""
        if not self.running:
            return
        assert self._popen is not None
        # The second look finds the children born during the first; a frozen parent has no more.
        for _ in range(2):
            self._signal(signal.SIGSTOP)
        # The signal takes a moment; the kernel reports when the last thread has stopped.
        os.waitid(os.P_PID, self._popen.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        self._await(lambda process: lives(process) and _status(process) != psutil.STATUS_STOPPED)

    def resume(self) -> None:
        """Let a paused server go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop the server for good and remove its directory."""
        atexit.unregister(self.close)
        self.kill()
        self.cleanup()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
        self.port = 0

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _launch(self) -> None:
        self.prepare()
        fixed = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        home = {"HOME": str(self.directory), "TMPDIR": str(self.directory), "LANG": "C.UTF-8"}
        with (self.directory / "output.log").open("wb") as log:
            self._popen = subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=fixed | home | self.environment(),
                start_new_session=True,
            )
        # Nothing else helps against the tests being killed.
        self._guard = subprocess.Popen(
            ["sh", "-c", _GUARD, "guard", str(self._popen.pid), str(self.directory)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait_until_ready(self) -> bool:
        deadline = time.monotonic() + START_LIMIT
        while self.running and time.monotonic() < deadline:
            with suppress(OSError):
                if self.ready():
                    # Whoever answered was ours only if ours did not fail to bind.
                    return self.running
            time.sleep(POLL)
        return False

    def _signal(self, *signals: signal.Signals) -> None:
        """Send the signals to the main process, its descendants and those it had before."""
        self._family.update(self.processes)
        for signum, process in product(signals, self._family):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signum)

    def _await(self, busy: Callable[[psutil.Process], bool], limit: float = SIGNAL_LIMIT) -> None:
        """Wait until none of the processes last signalled is busy, for a limited time."""
        deadline = time.monotonic() + limit
        while any(map(busy, self._family)) and time.monotonic() < deadline:
            time.sleep(POLL)


def lives(process: psutil.Process) -> bool:
    """Return True if the process has not ended."""
    # Children whose parent does not wait for them stay in the table after their end.
    return _status(process) not in {psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD}


def _status(process: psutil.Process) -> str:
    try:
        return process.status() if process.is_running() else psutil.STATUS_DEAD
    except psutil.NoSuchProcess:
        return psutil.STATUS_DEAD
