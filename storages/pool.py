"""Connections that are not thread-safe, leased for one operation and kept idle in between.

A backend says how its protocol connects with a `Connector`, best a dataclass of what was
configured, so that storages of equal options share one pool::

    pool = shared(connector, limit=8, idle_timeout=60, wait_timeout=30)
    with pool.lease() as connection:  # dropped where the block raises, kept otherwise
        ...
    size = pool.run(lambda connection: connection.size(name))  # again where it was lost

A stream that outlives its call uses `Pool.take`, then `Pool.give_back` or `Pool.drop`.
"""

from __future__ import annotations

import errno
import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Generic, Protocol, TypeVar

MOST_SHARED = 64  # pools remembered, for sites that have a configuration per tenant
RETRY_DELAYS = (0.0, 0.2, 0.8)  # seconds before another try of what lost its connection

Connection = TypeVar("Connection", bound=Hashable)
Result = TypeVar("Result")


class Connector(Protocol[Connection]):
    """What a pool has to know of a protocol; equal connectors give interchangeable connections."""

    @property
    def lost(self) -> tuple[type[Exception], ...]:
        """Errors that mean a broken connection, after which another may do better; no time-outs."""

    def connect(self) -> Connection:
        """Return a new connection, within a limited time."""

    def check(self, connection: Connection, idle: float) -> bool:
        """Tell whether a connection works after ``idle`` seconds; it need not ask the server."""

    def survives(self, exc: BaseException) -> bool:
        """Tell whether a connection can be used on after an error, such as "no such file"."""

    def close(self, connection: Connection) -> None:
        """Close a connection, broken ones too; raises nothing."""

    def abandon(self, connection: Connection) -> None:
        """Close this process's copy of a socket without a word to the server, after a fork."""


class Pool(Generic[Connection]):
    """At most ``limit`` connections of one connector; thread-safe, every wait has a limit.

    A connection idle for ``idle_timeout`` seconds is closed. Where all are leased, the next taker
    waits ``wait_timeout`` seconds, then gets a TimeoutError. After a fork the child has none.
    """

    _idle: list[tuple[Connection, float]]
    #: Whether a leased connection is still wanted when it comes back.
    _leased: dict[Connection, bool]
    _timer: threading.Timer | None

    def __init__(
        self,
        connector: Connector[Connection],
        *,
        limit: int,
        idle_timeout: float,
        wait_timeout: float,
    ) -> None:
        self.connector = connector
        self.limits = (limit, idle_timeout, wait_timeout)
        self._forget()
        _all.add(self)

    @contextmanager
    def lease(self) -> Iterator[Connection]:
        """Lend a connection for a block; one that raised is dropped unless it survives that."""
        connection = self.take()
        try:
            yield connection
        except BaseException as exc:
            (self.give_back if self.connector.survives(exc) else self.drop)(connection)
            raise
        self.give_back(connection)

    def run(self, work: Callable[[Connection], Result]) -> Result:
        """Return what ``work`` returns for a connection; do it again where that was lost.

        4 times in all, so the work must be of a kind that can be repeated.
        """
        for delay in RETRY_DELAYS:
            try:
                with self.lease() as connection:
                    return work(connection)
            except self.connector.lost:
                time.sleep(delay)
        with self.lease() as connection:
            return work(connection)

    def take(self) -> Connection:
        """Return a connection to use alone; hand it to `give_back` or `drop` afterwards."""
        while (found := self._reserve()) is not None:
            connection, since = found
            if self.connector.check(connection, time.monotonic() - since):
                return connection
            self.drop(connection)
        owner = os.getpid()
        try:
            connection = self.connector.connect()
        except BaseException:
            self._leave(owner)
            raise
        with self._changed:
            self._leased[connection] = True
        return connection

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next taker."""
        with self._changed:
            wanted = self._leased.get(connection, False)
            if wanted:
                del self._leased[connection]
                self._idle.append((connection, time.monotonic()))
                self._watch()
                self._changed.notify()
        if not wanted:
            self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection that cannot be used any more."""
        with self._changed:
            # One that was taken before a fork is abandoned already.
            known = self._leased.pop(connection, None) is not None
        if known:
            self.connector.close(connection)
            self._leave(os.getpid())

    def close(self) -> None:
        """Close the idle connections now and leased ones when they come back."""
        with self._changed:
            idle, self._idle = self._idle, []
            self._leased = dict.fromkeys(self._leased, False)
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        self._close(idle)

    def _reserve(self) -> tuple[Connection, float] | None:
        """Lease the connection used last, or count a new one in and return None."""
        limit, _, wait_timeout = self.limits
        with self._changed:
            if not self._changed.wait_for(lambda: self._idle or self._open < limit, wait_timeout):
                raise TimeoutError(
                    errno.ETIMEDOUT,
                    f"All {limit} connections are in use: close files that were opened for "
                    "reading, or allow more connections",
                )
            if not self._idle:
                self._open += 1
                return None
            connection, since = self._idle.pop()
            self._leased[connection] = True
            return connection, since

    def _leave(self, owner: int) -> None:
        """Count a connection out, unless it was counted in by the process this one forked from."""
        with self._changed:
            if owner == self._owner:
                self._open -= 1
                self._changed.notify()

    def _close(self, idle: list[tuple[Connection, float]]) -> None:
        for connection, _ in idle:
            self.connector.close(connection)
            self._leave(os.getpid())

    def _watch(self) -> None:
        """Close what is idle for too long, from a thread that ends when nothing is idle."""
        if self._timer is None:
            self._timer = threading.Timer(self.limits[1], self._sweep)
            self._timer.daemon = True
            # An interpreter that is about to end starts no thread, and closes every socket anyway.
            with suppress(RuntimeError):
                self._timer.start()

    def _sweep(self) -> None:
        oldest = time.monotonic() - self.limits[1]
        with self._changed:
            expired = [each for each in self._idle if each[1] <= oldest]
            self._idle = [each for each in self._idle if each[1] > oldest]
            self._timer = None
            if self._idle:
                self._watch()
        self._close(expired)

    def _forget(self) -> None:
        """Start with no connection, in a new process too, where a lock may be held for ever."""
        self._changed = threading.Condition()
        self._idle = []
        self._leased = {}
        self._open = 0
        self._timer = None
        self._owner = os.getpid()

    def _after_fork(self) -> None:
        inherited = [*self._leased, *(connection for connection, _ in self._idle)]
        self._forget()
        for connection in inherited:
            self.connector.abandon(connection)


_all: weakref.WeakSet[Pool[Any]] = weakref.WeakSet()
_shared: list[Pool[Any]] = []
_lock = threading.Lock()


def shared(
    connector: Connector[Connection], *, limit: int, idle_timeout: float, wait_timeout: float
) -> Pool[Connection]:
    """Return this process's pool for an equal connector and equal limits, made at first use."""
    limits = (limit, idle_timeout, wait_timeout)
    with _lock:
        for pool in _shared:
            if pool.limits == limits and pool.connector == connector:
                return pool
        pool = Pool(connector, limit=limit, idle_timeout=idle_timeout, wait_timeout=wait_timeout)
        _shared.append(pool)
        del _shared[:-MOST_SHARED]
        return pool


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    for pool in list(_all):
        pool._after_fork()  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
