"""Sends many small requests from one thread, by many connections at once.

With a thread for each request, the threads cost several times as much as the requests: every call
of the system that one makes hands Python's lock to another.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from selectors import EVENT_READ, EVENT_WRITE, DefaultSelector
from ssl import SSLWantReadError, SSLWantWriteError
from typing import Any

from storages.jobs import done

from .wire import END, READ_SIZE, Letter, Success, is_usual, success_in

MOST_FAILURES = 10  # after as many it is not the files that are at fault
_NOT_NOW = (BlockingIOError, SSLWantReadError, SSLWantWriteError)


class _Exchange:
    """A request on its way, and what has come of the answer."""

    def __init__(self, letter: Letter) -> None:
        self.letter = letter
        #: When something was sent or read last.
        self.moved = time.monotonic()
        self._left = memoryview(letter.message)
        self._data = b""

    @property
    def is_sent(self) -> bool:
        return not self._left

    def send(self, sock: Any) -> None:
        """Send what can be sent without waiting."""
        with suppress(*_NOT_NOW):
            while self._left:
                self._left = self._left[sock.send(self._left) :]
                self.moved = time.monotonic()

    def receive(self, sock: Any) -> bytes | None:
        """Read what has come; return the answer once its header is here."""
        with suppress(*_NOT_NOW):
            while not END.search(self._data):
                piece = sock.recv(READ_SIZE)
                if not piece or len(self._data) > READ_SIZE:
                    raise ConnectionError("The answer has no end")
                self._data += piece
                self.moved = time.monotonic()
            return self._data
        return None


class Burst:
    """Sends by the connections of a pool of urllib3's, one of which has served before."""

    def __init__(self, pool: Any, most: int) -> None:
        self._pool = pool
        self._most = min(most, getattr(pool.pool, "maxsize", 1))
        self._limit: float | None = pool.timeout.read_timeout
        self._selector = DefaultSelector()
        self._new: list[Any] = []
        self._idle: list[Any] = []
        self._busy: dict[Any, _Exchange] = {}
        self._next: Letter | None = None
        self._failures = 0
        self._may_open = True
        self._looked = time.monotonic()

    def sent(self, letters: Iterator[Letter]) -> Iterator[tuple[Letter, Success]]:
        """Send requests, and yield each that is answered by a success without content.

        Where there is trouble it ends early, and may leave letters untaken. What it took and did
        not yield may have been carried out or not.
        """
        try:
            while self._has_begun(letters):
                ready = self._selector.select(self._limit)
                yield from filter(None, [self._moved(key.data) for key, _ in ready])
                self._end_silent()
        finally:
            self._close()

    # -- connections ------------------------------------------------------------------------------

    def _open(self) -> None:
        """Open connections at first, and when a sound service has closed half of them."""
        missing = self._most - len(self._busy)
        if self._failures or not self._may_open or missing * 2 < self._most:
            return
        for _, error in done(self._connect, range(missing), missing):
            self._may_open &= error is None
        while self._new:
            connection = self._new.pop()
            if not is_usual(connection):
                self._give_up(connection)
                continue
            connection.sock.setblocking(False)
            self._selector.register(connection.sock, EVENT_READ, connection)
            self._idle.append(connection)

    def _connect(self, _: int) -> None:
        connection = self._pool._get_conn()  # noqa: SLF001 - what urllib3's own steps call
        try:
            if connection.sock is None:
                # The context for TLS, which all share, has read the authorities for the one that
                # has served. To read them again for each would take 16 ms of CPU time.
                connection.ca_certs = None
                connection.connect()
        except BaseException:
            # One that failed may have a socket all the same, without TLS.
            self._give_up(connection)
            raise
        self._new.append(connection)

    def _give_up(self, connection: Any) -> None:
        connection.close()
        self._pool._put_conn(None)  # noqa: SLF001

    def _drop(self, connection: Any) -> None:
        self._selector.unregister(connection.sock)
        if self._busy.pop(connection, None) is None:
            self._idle.remove(connection)
        self._give_up(connection)

    def _fail(self, connection: Any) -> None:
        self._failures += 1
        self._drop(connection)

    def _close(self) -> None:
        for connection in [*self._busy]:
            self._drop(connection)
        self._selector.close()
        for connection in self._new:
            self._give_up(connection)
        for connection in self._idle:
            connection.sock.settimeout(connection.timeout)
            self._pool._put_conn(connection)  # noqa: SLF001

    # -- requests ---------------------------------------------------------------------------------

    def _has_begun(self, letters: Iterator[Letter]) -> bool:
        """Send where there is a connection for it; return False if nothing is on its way."""
        while self._failures < MOST_FAILURES:
            letter = self._next or next(letters, None)
            if letter is None:
                break
            if not self._idle:
                self._open()
            self._next = letter
            if not self._idle:
                break
            if _is_silent(self._idle[-1].sock):
                self._next = None
                self._begin(self._idle.pop(), letter)
            else:
                self._drop(self._idle[-1])
        return bool(self._busy)

    def _begin(self, connection: Any, letter: Letter) -> None:
        exchange = self._busy[connection] = _Exchange(letter)
        try:
            exchange.send(connection.sock)
        except OSError:
            self._fail(connection)
            return
        if not exchange.is_sent:
            self._selector.modify(connection.sock, EVENT_WRITE, connection)

    def _moved(self, connection: Any) -> tuple[Letter, Success] | None:
        """Go on where a connection is ready; return the request and its answer if that is here."""
        exchange = self._busy.get(connection)
        if exchange is None:
            if not _is_silent(connection.sock):
                self._drop(connection)
            return None
        try:
            if not exchange.is_sent:
                exchange.send(connection.sock)
                if exchange.is_sent:
                    self._selector.modify(connection.sock, EVENT_READ, connection)
                return None
            data = exchange.receive(connection.sock)
        except OSError:
            self._fail(connection)
            return None
        return None if data is None else self._answered(connection, data)

    def _answered(self, connection: Any, data: bytes) -> tuple[Letter, Success] | None:
        letter = self._busy[connection].letter
        found = success_in(letter.request, data)
        if found is None:
            self._fail(connection)
            return None
        answer, is_kept = found
        if is_kept:
            del self._busy[connection]
            self._idle.append(connection)
        else:
            self._drop(connection)
        return letter, answer

    def _end_silent(self) -> None:
        """Give up requests on which nothing has moved for the time limit."""
        now = time.monotonic()
        if self._limit is None or now < self._looked + min(self._limit, 1):
            return
        self._looked = now
        for connection, exchange in [*self._busy.items()]:
            if now - exchange.moved >= self._limit:
                self._fail(connection)


def _is_silent(sock: Any) -> bool:
    """Return False if an idle connection was closed, or if the service speaks unasked."""
    with suppress(OSError):
        try:
            # What TLS says to itself, such as tickets for later, is read on the way.
            sock.recv(1)
        except _NOT_NOW:
            return True
    return False
