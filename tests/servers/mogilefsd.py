"""The trackers of our own emulator of MogileFS: the protocol's lines on TCP.

A request is ``command k=v&k=v``, an answer ``OK k=v&…`` or ``ERR code text``. What was sent as
``callid`` comes back in either, which version 2.60 brought.
"""

from __future__ import annotations

import random
import socket
import socketserver
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol, Self
from urllib.parse import quote, unquote_plus

from tests.servers.process import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Arguments = dict[str, str]

#: What the tracker says of an error that has no text of its own.
TEXTS = {
    "after_mismatch": "Pattern does not match the after-value?",
    "failure": "Operation failed",
    "key_exists": "Target key name already exists; can't overwrite.",
    "no_devices": "No devices found to store file",
    "no_domain": "No domain provided",
    "no_temp_file": "No tempfile or file already closed",
    "none_match": "No keys match that pattern and after-value (if any).",
    "plugin_aborted": "Action aborted by plugin",
    "unknown_command": "Unknown server command",
    "unreg_domain": "Domain name invalid/not found",
}


class Refused(Exception):
    """An ERR line: its code, and its text if it is not the usual one."""

    def __init__(self, code: str, text: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.text = text or TEXTS.get(code, code)


class KeyTaken(Refused):
    """The error of rename, after which the tracker sends an OK line too."""


class Commands(Protocol):
    """What a tracker passes its commands on to."""

    lock: threading.RLock

    def run(self, command: str, args: Arguments) -> Mapping[str, object]:
        """Carry a command out; return the values of its OK line, or raise `Refused`."""


class Tracker(socketserver.ThreadingTCPServer):
    """One tracker of a cluster.

    ``lost`` are commands carried out once without a reply, ``dropped`` ones not even carried out,
    each time by closing the connection. ``errors`` are answered once instead, by command.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, cluster: Commands) -> None:
        super().__init__((HOST, 0), _Client)
        self.cluster = cluster
        self.port = int(self.server_address[1])
        self.address = (HOST, self.port)
        self.connections: set[socket.socket] = set()
        self.accepted = 0
        self.silent = False
        self.slow = False  # whether replies go out byte by byte
        self.lost: list[str] = []
        self.dropped: list[str] = []
        self.errors: dict[str, str] = {}
        #: Called once with each command before it is carried out.
        self.watch: Callable[[str], None] | None = None

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *raised: object) -> None:
        self.shutdown()
        self.server_close()
        self.hang_up()

    def hang_up(self) -> None:
        """Close all connections, as after a restart."""
        for each in set(self.connections):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Stay silent about clients that go away."""


class _Client(socketserver.StreamRequestHandler):
    server: Tracker
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.connections.add(self.connection)
        self.server.accepted += 1

    def finish(self) -> None:
        self.server.connections.discard(self.connection)
        super().finish()

    def handle(self) -> None:
        for line in self.rfile:
            if not self.obey(line.decode("ascii").strip("\r\n")):
                return

    def obey(self, line: str) -> bool:
        """Answer a line; return False to hang up."""
        command, _, rest = line.partition(" ")
        command = command.lower()
        args = _decoded(rest)
        if self.server.watch is not None:
            self.server.watch(command)
        if self.server.silent:
            return True
        if command in self.server.dropped:
            self.server.dropped.remove(command)
            return False
        reply = self.reply(command, args)
        if command in self.server.lost:
            self.server.lost.remove(command)
            return False
        self.say(reply)
        return True

    def reply(self, command: str, args: Arguments) -> bytes:
        callid = args.get("callid")
        try:
            with self.server.cluster.lock:
                return _ok(self.run(command, args), callid)
        except KeyTaken as exc:
            return _err(exc, callid) + _ok({}, callid)
        except Refused as exc:
            return _err(exc, callid)

    def run(self, command: str, args: Arguments) -> Mapping[str, object]:
        if command in self.server.errors:
            code, _, text = self.server.errors.pop(command).partition(" ")
            raise Refused(code, text)
        return self.server.cluster.run(command, args)

    def say(self, reply: bytes) -> None:
        if not self.server.slow:
            self.wfile.write(reply)
            return
        for byte in reply:
            self.wfile.write(bytes([byte]))


def _decoded(text: str) -> Arguments:
    pairs = (each.partition("=") for each in text.split("&") if each)
    return {unquote_plus(name): unquote_plus(value) for name, _, value in pairs}


def _encoded(value: object) -> str:
    """Encode as the tracker's own function does."""
    return quote(str(value), safe="_,-./\\: ").replace("~", "%7E").replace(" ", "+")


def _ok(values: Mapping[str, object], callid: str | None) -> bytes:
    pairs = list((values if callid is None else {**values, "callid": callid}).items())
    # A hash of Perl has no order.
    random.shuffle(pairs)
    return f"OK {'&'.join(f'{_encoded(n)}={_encoded(v)}' for n, v in pairs)}\r\n".encode()


def _err(exc: Refused, callid: str | None) -> bytes:
    tail = "" if callid is None else f" {_encoded(callid)}"
    return f"ERR {exc.code} {_encoded(exc.text)}{tail}\r\n".encode()
