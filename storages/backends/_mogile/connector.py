"""Connections to trackers: each in turn, and those that failed last."""

from __future__ import annotations

import errno
import itertools
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from pymogilefs.exceptions import MogilefsError

from storages.http import explain_transport

from .messages import Command, Values, parse

DEAD_TIME = 30.0  # seconds for which a tracker that failed is asked after all others
DEFAULT_PORT = 7001
_LONGEST_LINE = 8 * 1024 * 1024  # bytes; a page of 1,000 keys takes less than one tenth
_PIECE = 64 * 1024  # bytes taken from a socket at once

#: When each tracker failed last, by address, on this process's clock.
_failures: dict[str, float] = {}


def split_address(address: str) -> tuple[str, int]:
    """Return host and port of a tracker; raises ValueError for what is no address."""
    host, colon, port = address.rpartition(":")
    if not colon or (address.endswith("]") and address.startswith("[")):
        host, port = address, str(DEFAULT_PORT)
    is_bare_ipv6 = ":" in host and not host.startswith("[")
    if is_bare_ipv6 or not host.strip("[]") or not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ValueError("must hold addresses such as 'tracker.example.com:7001'.")
    return host.strip("[]"), int(port)


@dataclass(frozen=True)
class Connector:
    """Tells the pool how to connect to one of several trackers."""

    trackers: tuple[str, ...]
    timeout: float

    lost: ClassVar[tuple[type[Exception], ...]] = (ConnectionError,)

    def connect(self) -> Tracker:
        """Connect to a tracker that did not fail lately, else to the one that did longest ago."""
        failure: OSError | None = None
        for address in self._in_turn():
            try:
                connected = socket.create_connection(split_address(address), self.timeout)
            except OSError as exc:
                _failures[address] = time.monotonic()
                failure = exc
            else:
                _failures.pop(address, None)
                return Tracker(connected, address, self)
        raise OSError(*explain_transport(failure or OSError(), _named(address))) from failure

    def check(self, connection: Tracker, idle: float) -> bool:  # noqa: ARG002 - it is a look
        """Return True if a connection is open, and no line waits in it that nobody asked for."""
        return connection.is_quiet()

    def survives(self, exc: BaseException) -> bool:
        """Return True if an error is a plain answer.

        After "key_exists" a tracker may send an OK line as well.
        """
        return isinstance(exc, MogilefsError) and exc.code != "key_exists"

    def close(self, connection: Tracker) -> None:
        """Close a connection."""
        connection.socket.close()

    def abandon(self, connection: Tracker) -> None:
        """Close this process's copy of a connection."""
        connection.socket.close()

    def failed(self, address: str) -> bool:
        """Note that a tracker is silent; return True if another may do better."""
        _failures[address] = time.monotonic()
        return not all(map(_is_dead, self.trackers))

    def _in_turn(self) -> Iterator[str]:
        order = random.sample(self.trackers, len(self.trackers))
        yield from sorted(order, key=lambda each: _failures[each] if _is_dead(each) else 0.0)


class Tracker:
    """One connection to a tracker; asks one thing, or several at once, and reads the answers."""

    def __init__(self, connected: socket.socket, address: str, connector: Connector) -> None:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = connected
        self._address = address
        self._connector = connector
        self._received = bytearray()
        self._calls = itertools.count()

    def ask(self, *commands: Command, extra: float = 0.0) -> list[Values]:
        """Send commands in one go; return what each answers, or raise the first error.

        The tracker carries them out in order. It may take ``extra`` seconds more than usual.
        """
        calls = [f"call{next(self._calls)}" for _ in commands]
        end = time.monotonic() + self._connector.timeout + extra
        try:
            sent = (each.line(call) for each, call in zip(commands, calls, strict=True))
            self.socket.sendall(b"".join(sent))
            answers = dict(self._answer(call, end) for call in calls)
        except TimeoutError as exc:
            if self._connector.failed(self._address):
                raise ConnectionAbortedError(errno.ETIMEDOUT, "A tracker is silent") from exc
            reason = f"{_named(self._address)} did not answer in time"
            raise TimeoutError(errno.ETIMEDOUT, reason) from exc
        if set(answers) != set(calls):
            raise ConnectionAbortedError(errno.EPROTO, "The tracker answers another question")
        found: list[Values] = []
        for call in calls:
            if isinstance(answer := answers[call], MogilefsError):
                raise answer
            found.append(answer)
        return found

    def is_quiet(self) -> bool:
        """Return True if nothing is there to be read, not even an end."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return not self._received
        except OSError:
            return False
        finally:
            self.socket.settimeout(self._connector.timeout)
        return False

    def _answer(self, call: str, end: float) -> tuple[str, Values | MogilefsError]:
        told, answer = parse(self._line(end))
        return told or call, answer

    def _line(self, end: float) -> bytes:
        """Return the next line; raises TimeoutError at a moment of the monotonic clock."""
        searched = 0
        while (at := self._received.find(b"\n", searched)) < 0:
            searched = len(self._received)
            self.socket.settimeout(max(end - time.monotonic(), 0.001))
            piece = self.socket.recv(_PIECE)
            self.socket.settimeout(self._connector.timeout)
            if not piece or searched > _LONGEST_LINE:
                raise ConnectionResetError(errno.ECONNRESET, "The tracker closed the connection")
            self._received += piece
        line = bytes(self._received[: at + 1])
        del self._received[: at + 1]
        return line


def _is_dead(address: str) -> bool:
    failed = _failures.get(address)
    return failed is not None and time.monotonic() - failed < DEAD_TIME


def _named(address: str) -> str:
    host, port = split_address(address)
    return f"The tracker {host}:{port}"
