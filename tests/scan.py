"""Resets the connection at every position of an exchange: ``python -m tests.scan SERVER…``.

A position is a piece of data that passes in either direction, on the control connection or, with
FTP, on the one of a transfer. Each gets a run of its own, in which that piece comes as a reset.
Afterwards the old file or the new one is under the name, nothing else but temporary files is
there, nothing is reported as done that is not, and nothing hangs.

``--every 5`` tries every fifth position; ``--only append`` one operation. With ``--dark`` the
connection is not reset: from that piece on nothing passes any more, on new connections either.
"""

from __future__ import annotations

import argparse
import os
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from storages.backends.ftp import FTPStorage
from storages.backends.sftpstorage import SFTPStorage
from tests.servers.asyncssh_server import AsyncSSH
from tests.servers.ftp import FTPServer
from tests.servers.openssh import OpenSSH
from tests.servers.process import free_port_block
from tests.servers.proftpd import Proftpd, ProftpdSFTP
from tests.servers.proxy import Pieces, Proxy
from tests.servers.pyftpdlib_server import Pyftpdlib
from tests.servers.ssh import SSHServer
from tests.servers.vsftpd import Vsftpd

OLD, NEW, LINE = os.urandom(70_000), os.urandom(90_000), b"one more line\n"
NAMES = ["a.bin", "b.bin"]
LIMIT = 60.0  # seconds until a run counts as hung
PATIENCE = 1.0  # seconds that the storage waits for a server that is not heard any more
TRIES = 5  # runs at one position, where calls time out on a slow machine before they get there
# Where the proxies listen, so that data connections, which go to the same host, meet one too.
HERE = "127.0.0.2"
DATA_PORTS = 6


@dataclass
class Line:
    """A storage whose every connection passes a proxy, and what is behind it."""

    storage: Storage
    root: Path
    proxies: list[Proxy]

    def arm(self, position: int, *, dark: bool = False) -> Pieces:
        """Make the piece at a position fatal, counted from now; 0 is none."""
        pieces = Pieces(position, dark=dark)
        for proxy in self.proxies:
            proxy.clear()
            proxy.end_at_piece(pieces)
            if not position:
                proxy.drop_connections()
        return pieces

    def reset(self) -> None:
        """Begin anew: no connection, and the two files alone."""
        self.storage.close()  # type: ignore[attr-defined]
        for path in sorted(self.root.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        for name in NAMES:
            (self.root / name).write_bytes(OLD)
            os.chown(self.root / name, self.root.stat().st_uid, self.root.stat().st_gid)

    def aside(self) -> dict[str, bytes]:
        """Return what stepped aside: nobody can put it back in the dark, the next save will."""
        return {path.name: path.read_bytes() for path in self.root.glob(".storages-*.old/*")}

    def contents(self) -> dict[str, bytes]:
        """Return the files with a user's name."""
        return {
            path.relative_to(self.root).as_posix(): path.read_bytes()
            for path in self.root.rglob("*")
            if path.is_file() and ".storages-" not in path.as_posix()
        }


def _save_new(storage: Storage) -> object:
    storage.file_overwrite = False  # type: ignore[attr-defined]
    return storage.save("new.bin", ContentFile(NEW))


def _overwrite(storage: Storage) -> object:
    storage.file_overwrite = True  # type: ignore[attr-defined]
    return storage.save("a.bin", ContentFile(NEW))


def _append(storage: Storage) -> object:
    storage.file_overwrite = True  # type: ignore[attr-defined]
    with storage.open("a.bin", "ab") as file:
        return file.write(LINE)


def _delete(storage: Storage) -> object:
    return storage.delete("a.bin")


def _read(storage: Storage) -> object:
    with storage.open("a.bin") as file:
        return file.read()


def _list(storage: Storage) -> object:
    directories, files = storage.listdir("")
    return directories, sorted(files)


#: What an operation does, what it may leave of "a.bin" or "new.bin", and what it leaves if it says
#: that it worked.
OPERATIONS: dict[str, tuple[Callable[[Storage], object], str, list[bytes | None], bytes | None]] = {
    "new": (_save_new, "new.bin", [None, NEW], NEW),
    "overwrite": (_overwrite, "a.bin", [OLD, NEW], NEW),
    "append": (_append, "a.bin", [OLD, OLD + LINE], OLD + LINE),
    "delete": (_delete, "a.bin", [OLD, None], None),
    "read": (_read, "a.bin", [OLD], OLD),
    "list": (_list, "a.bin", [OLD], OLD),
}
RESULTS: dict[str, object] = {"read": OLD, "list": ([], NAMES), "overwrite": "a.bin"}


@dataclass
class Run:
    """What one run came to."""

    result: object = None
    error: Exception | None = None
    has_ended: bool = False


@dataclass
class Outcome:
    """What the scan of one operation came to."""

    positions: int = 0
    failures: int = 0  # runs that raised, as they may
    strays: int = 0  # runs that left temporary files
    problems: list[str] = field(default_factory=list)


def scan(
    line: Line, operation: str, every: int = 1, first: int = 1, *, dark: bool = False
) -> Outcome:
    """Run an operation once for each position, which comes as a reset or is the last that comes."""
    outcome = Outcome()
    if dark:
        line.storage.timeout = PATIENCE  # type: ignore[attr-defined]
    for position in range(first, sys.maxsize, every):
        for _ in range(TRIES):
            run, was_hit = _run_at(position, line, operation, dark=dark)
            outcome.problems += [
                f"{operation} at {position}: {p}"
                for p in _problems(line, operation, run, dark=dark)
            ]
            # A machine that stands still for longer than the storage waits is no fault of ours.
            if was_hit or not isinstance(run.error, TimeoutError):
                break
        if not run.has_ended:
            break
        outcome.failures += run.error is not None
        outcome.strays += any(".storages-" in str(path) for path in line.root.iterdir())
        if not was_hit:
            if run.error is not None:
                outcome.problems.append(f"{operation} undisturbed: {run.error!r}")
            break
        outcome.positions += 1
    return outcome


def _run_at(position: int, line: Line, operation: str, *, dark: bool) -> tuple[Run, bool]:
    """Return what a run came to, and True if it came as far as to the position."""
    line.reset()
    pieces = line.arm(position, dark=dark)
    run = _run(partial(OPERATIONS[operation][0], line.storage))
    was_hit = pieces.count >= position
    line.arm(0)
    return run, was_hit


def _run(work: Callable[[], object]) -> Run:
    run = Run()

    def target() -> None:
        try:
            run.result = work()
        except OSError as exc:
            run.error = exc
        except Exception as exc:  # noqa: BLE001 - told as what it is
            run.result = exc
        run.has_ended = True

    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    thread.join(LIMIT)
    return run


def _problems(line: Line, operation: str, run: Run, *, dark: bool) -> Iterator[str]:
    if not run.has_ended:
        yield f"hangs for {LIMIT:.0f} s"
        return
    _, name, possible, done = OPERATIONS[operation]
    contents = line.contents() if not dark else line.aside() | line.contents()
    if isinstance(run.result, Exception):
        yield f"raised {run.result!r}"
        return
    if operation == "new" and run.error is None:
        # Where a lock could not be told from another's, the name may differ.
        name = str(run.result)
    found = contents.pop(name, None)
    if run.error is None and found != done:
        yield f"said to be done, but {_shown(found)} is there"
    elif found not in possible:
        yield f"{_shown(found)} is there after {run.error!r}"
    if run.error is None and RESULTS.get(operation, run.result) != run.result:
        yield f"returned {str(run.result)[:80]}"
    expected = {each: OLD for each in NAMES if each != name}
    if contents != expected:
        yield f"others: {sorted(contents)} after {run.error!r}"


def _shown(content: bytes | None) -> str:
    known = {None: "nothing", OLD: "the old", NEW: "the new", OLD + LINE: "the longer"}
    return known.get(content, f"something else ({len(content or b'')} bytes)")


# -- servers ---------------------------------------------------------------------------------------


@contextmanager
def sftp(server: SSHServer) -> Iterator[Line]:
    """Put a proxy before an SSH server."""
    with server, Proxy(*server.address) as proxy:
        _make_place(server)
        storage = SFTPStorage(
            proxy.host,
            {"port": proxy.port, "username": server.user, "key_filename": str(server.key_file)},
            host_keys=[_public(path) for path in server.keys.host_keys],
            root_path="scan",
            timeout=5,
        )
        yield Line(storage, server.root / "scan", [proxy])


@contextmanager
def ftp(server: FTPServer) -> Iterator[Line]:
    """Put proxies before an FTP server, one for each port that a data connection may use."""
    first = free_port_block(range(DATA_PORTS))
    server.data_ports = first, first + DATA_PORTS - 1
    with ExitStack() as stack:
        stack.enter_context(server)
        _make_place(server)
        listeners = [(HERE, 0), *((HERE, first + number) for number in range(DATA_PORTS))]
        targets = [server.port, *(port for _, port in listeners[1:])]
        proxies = [
            stack.enter_context(Proxy(server.host, port, listener))
            for port, listener in zip(targets, listeners, strict=True)
        ]
        scheme = {"": "ftp", "explicit": "ftps", "implicit": "ftpsi"}[server.tls]
        login = f"{server.user}:{server.password}"
        options: dict[str, Any] = {"ssl_context": _trusting} if server.tls else {}
        place = f"{scheme}://{login}@{HERE}:{proxies[0].port}/scan"
        yield Line(FTPStorage(place, timeout=5, **options), server.root / "scan", proxies)


def _make_place(server: FTPServer | SSHServer) -> None:
    place, owner = server.root / "scan", server.root.stat()
    place.mkdir()
    os.chown(place, owner.st_uid, owner.st_gid)


def _trusting() -> ssl.SSLContext:
    # The certificate is for another address of this machine.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _public(path: Path) -> str:
    return path.with_name(f"{path.name}.pub").read_text().strip()


LINES: dict[str, Callable[[], Any]] = {
    "sftp-openssh": lambda: sftp(OpenSSH()),
    "sftp-openssh-plain": lambda: sftp(OpenSSH(denied=("posix-rename",))),
    "sftp-asyncssh": lambda: sftp(AsyncSSH()),
    "sftp-proftpd": lambda: sftp(ProftpdSFTP()),
    "ftp-pyftpdlib": lambda: ftp(Pyftpdlib()),
    "ftp-pyftpdlib-tls": lambda: ftp(Pyftpdlib("explicit")),
    "ftp-vsftpd": lambda: ftp(Vsftpd()),
    "ftp-vsftpd-tls": lambda: ftp(Vsftpd("implicit", reuse=False)),
    "ftp-proftpd": lambda: ftp(Proftpd()),
    "ftp-proftpd-tls": lambda: ftp(Proftpd("explicit")),
}


def main() -> None:
    """Scan what the arguments name, everything by default, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.scan", description=__doc__)
    parser.add_argument("servers", nargs="*", help=f"of {', '.join(LINES)}; the start of a name")
    parser.add_argument("--only", choices=OPERATIONS, action="append")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--dark", action="store_true")
    given = parser.parse_args()
    wanted = [each for each in LINES if each.startswith(tuple(given.servers or [""]))]
    problems = []
    for name in wanted:
        begun = time.monotonic()
        with LINES[name]() as line:
            for operation in given.only or OPERATIONS:
                outcome = scan(line, operation, given.every, dark=given.dark)
                problems += [f"{name}: {problem}" for problem in outcome.problems]
                print(
                    f"{name:20} {operation:10} {outcome.positions:4} positions, "
                    f"{outcome.failures:3} raised, {outcome.strays:3} left temporary files, "
                    f"{len(outcome.problems):3} wrong",
                    flush=True,
                )
        print(f"{name:20} {time.monotonic() - begun:.0f} s")
    print("\n".join(problems))
    sys.exit(bool(problems))


if __name__ == "__main__":
    import logging

    import django

    logging.disable(logging.CRITICAL)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    main()
