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

import atexit
import errno
import os
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from .clients import SharedClients

LINGER = 1.0  # seconds until the thread that sweeps ends when there is nothing to do
RETRY_DELAYS = (0.0, 0.2, 0.8)  # seconds before another try of what lost its connection

Connection = TypeVar("Connection", bound=Hashable)
Result = TypeVar("Result")


class CrowdedError(ConnectionAbortedError):
    """Raised by `Connector.connect` where the server takes no more connections for now."""


class Connector(Protocol[Connection]):
    """What a pool has to know of a protocol; equal connectors give interchangeable connections."""

    @property
    def lost(self) -> tuple[type[Exception], ...]:
        """Errors that mean a broken connection, after which another may do better; no time-outs."""

    def connect(self) -> Connection:
        """Return a new connection, within a limited time."""

    def check(self, connection: Connection, idle: float) -> bool:
        """Return True if a connection works after ``idle`` seconds; it need not ask the server."""

    def survives(self, exc: BaseException) -> bool:
        """Return True if a connection can be used on after an error, such as "no such file"."""

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
    #: True if a leased connection is still wanted when it comes back.
    _leased: dict[Connection, bool]

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
        _sweeper.add(self)

    @contextmanager
    def lease(self) -> Iterator[Connection]:
        """Lend a connection for a block; one that raised is dropped unless it survives that."""
        connection = self.take()
        try:
            yield connection
        except BaseException as exc:
            self._fail(connection, exc)
            raise
        self.give_back(connection)

    def run(self, work: Callable[[Connection], Result]) -> Result:
        """Return what ``work`` returns for a connection; do it again where that was lost.

        4 times in all, so the work must be of a kind that can be repeated.
        """
        for delay in RETRY_DELAYS:
            try:
                return self._try(work)
            except self.connector.lost:
                time.sleep(delay)
        return self._try(work)

    def _try(self, work: Callable[[Connection], Result]) -> Result:
        # As `lease` does, in fewer steps: this is done for every request.
        connection = self.take()
        try:
            result = work(connection)
        except BaseException as exc:
            self._fail(connection, exc)
            raise
        self.give_back(connection)
        return result

    def _fail(self, connection: Connection, exc: BaseException) -> None:
        if self.connector.survives(exc):
            self.give_back(connection)
        else:
            self.drop(connection)
        # What broke one, a network or a restarted server, broke those that were idle as well.
        if isinstance(exc, (TimeoutError, *self.connector.lost)):
            self._drop_idle()

    def take(self) -> Connection:
        """Return a connection to use alone; hand it to `give_back` or `drop` afterwards."""
        while True:
            try:
                return self._take()
            except CrowdedError:
                if not self._can_make_do():
                    raise

    def _take(self) -> Connection:
        while (found := self._reserve()) is not None:
            connection, since = found
            if self.connector.check(connection, time.monotonic() - since):
                return connection
            self.drop(connection)
            # The others were idle for longer, and to ask each would cost a wait each.
            self._drop_idle()
        owner = os.getpid()
        try:
            connection = self._connect()
        except BaseException:
            self._leave(owner)
            raise
        with self._lock:
            self._leased[connection] = True
        return connection

    def _can_make_do(self) -> bool:
        """Lower the limit to the connections there are, for a time; return False without any."""
        with self._lock:
            self._lowered = (self._open, time.monotonic() + self.limits[1])
            return self._open > 0

    def _connect(self) -> Connection:
        try:
            return self.connector.connect()
        except (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError) as exc:
            # A file of this machine: a command, a certificate, a socket.
            text = f"Connecting failed: {exc.strerror}" + (f": {exc.filename}" * bool(exc.filename))
            raise OSError(errno.ECONNABORTED, text) from exc

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next taker."""
        with self._lock:
            wanted = self._leased.get(connection, False)
            if wanted:
                del self._leased[connection]
                self._idle.append((connection, time.monotonic()))
                if self._waiting:
                    self._changed.notify()
        if wanted:
            _sweeper.expect(self, self.limits[1])
        else:
            self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection that cannot be used any more."""
        with self._lock:
            # One that was taken before a fork is abandoned already.
            known = self._leased.pop(connection, None) is not None
        if known:
            self.connector.close(connection)
            self._leave(os.getpid())

    def close(self) -> None:
        """Close the idle connections now and leased ones when they come back."""
        with self._lock:
            self._leased = dict.fromkeys(self._leased, False)
        self._drop_idle()

    def end(self) -> None:
        """Close all connections, leased ones too: whoever uses them meets a lost connection."""
        with self._lock:
            leased = [*self._leased]
        for each in leased:
            self.drop(each)
        self._drop_idle()

    def _drop_idle(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        self._close(idle)

    def _reserve(self) -> tuple[Connection, float] | None:
        """Lease the connection used last, or count a new one in and return None."""
        limit, _, wait_timeout = self.limits
        with self._lock:
            if self._lowered[0] and time.monotonic() < self._lowered[1]:
                limit = min(limit, self._lowered[0])
            if not self._idle and self._open >= limit:
                self._wait_for_one(limit, wait_timeout)
            if not self._idle:
                self._open += 1
                return None
            connection, since = self._idle.pop()
            self._leased[connection] = True
            return connection, since

    def _wait_for_one(self, limit: int, seconds: float) -> None:
        self._waiting += 1
        try:
            if self._changed.wait_for(lambda: self._idle or self._open < limit, seconds):
                return
        finally:
            self._waiting -= 1
        raise TimeoutError(
            errno.ETIMEDOUT,
            f"All {limit} connections are in use: close files that were opened for reading, or "
            "allow more connections",
        )

    def _leave(self, owner: int) -> None:
        """Count a connection out, unless it was counted in by the process this one forked from."""
        with self._lock:
            if owner == self._owner:
                self._open -= 1
                self._changed.notify()

    def _close(self, idle: list[tuple[Connection, float]]) -> None:
        for connection, _ in idle:
            self.connector.close(connection)
            self._leave(os.getpid())

    def sweep(self) -> float | None:
        """Close what is idle for too long; return the seconds until more is, None if nothing is."""
        now, limit = time.monotonic(), self.limits[1]
        with self._lock:
            expired = [each for each in self._idle if each[1] <= now - limit]
            self._idle = [each for each in self._idle if each[1] > now - limit]
            oldest = min((since for _, since in self._idle), default=None)
        self._close(expired)
        return None if oldest is None else max(oldest + limit - now, 0)

    @property
    def is_idle(self) -> bool:
        """True if a connection waits for a taker."""
        return bool(self._idle)

    def _forget(self) -> None:
        """Start with no connection, in a new process too, where a lock may be held for ever."""
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting = 0
        self._idle = []
        self._leased = {}
        self._open = 0
        self._lowered = (0, 0.0)
        self._owner = os.getpid()

    def after_fork(self) -> None:
        """Close the parent's connections in a child, without a word to the server."""
        inherited = [*self._leased, *(connection for connection, _ in self._idle)]
        self._forget()
        for connection in inherited:
            self.connector.abandon(connection)


class _Sweeper:
    """Closes idle connections of all pools from one thread, which ends when none is idle."""

    def __init__(self) -> None:
        self.pools: weakref.WeakSet[Pool[Any]] = weakref.WeakSet()
        self._has_pools = False
        self.reset()

    def reset(self) -> None:
        """Begin anew, in a forked child too, where the thread is not there."""
        self._lock = threading.Lock()
        self._earlier = threading.Event()
        # A pool that nobody else keeps has to live until its idle connections are closed.
        self._kept: set[Pool[Any]] = set()
        self._is_running = False
        self._planned = 0.0

    def add(self, pool: Pool[Any]) -> None:
        """Watch a pool as long as it lives."""
        with self._lock:
            self.pools.add(pool)
            if not self._has_pools:
                # Not before: this has to come before what paramiko does there, which ends the
                # threads that take in the answers for which open files would wait.
                atexit.register(self._at_exit)
                self._has_pools = True

    def _at_exit(self) -> None:
        for pool in list(self.pools):
            pool.end()

    def expect(self, pool: Pool[Any], seconds: float) -> None:
        """Look at a pool at the latest in so many seconds."""
        self._kept.add(pool)
        if self._is_running and time.monotonic() + seconds >= self._planned:
            return
        with self._lock:
            if self._is_running:
                self._earlier.set()
                return
            self._is_running = True
            # An interpreter that is about to end starts no thread, and closes every socket anyway.
            with suppress(RuntimeError):
                threading.Thread(target=self._run, name="storages-pool", daemon=True).start()

    def _run(self) -> None:
        was_needed = True
        while True:
            self._earlier.clear()
            self._planned = float("inf")  # nobody can rely on it while it looks
            with self._lock:
                pools = [*self.pools]
            waits = [wait for pool in pools if (wait := self._sweep(pool)) is not None]
            with self._lock:
                # One may have become idle since, and relies on this thread. Between two uses of a
                # busy pool none is, for an instant.
                is_needed = bool(waits) or any(pool.is_idle for pool in self.pools)
                if not (is_needed or was_needed):
                    self._is_running = False
                    return
                was_needed = is_needed
                seconds = min(waits, default=LINGER)
                self._planned = time.monotonic() + seconds
            self._earlier.wait(seconds)

    def _sweep(self, pool: Pool[Any]) -> float | None:
        wait = pool.sweep()
        if wait is None:
            self._kept.discard(pool)
            # A connection may have come back since.
            if pool.is_idle:
                self._kept.add(pool)
        return wait


_sweeper = _Sweeper()
_shared: SharedClients[Pool[Any]] = SharedClients(drop=Pool.close, outlive_forks=True)


@dataclass(frozen=True)
class _Configuration:
    connector: Any
    limits: tuple[int, float, float]

    def __hash__(self) -> int:
        # What is given to a connector may have no hash; there are few pools.
        return hash(self.limits)


def shared(
    connector: Connector[Connection], *, limit: int, idle_timeout: float, wait_timeout: float
) -> Pool[Connection]:
    """Return this process's pool for an equal connector and equal limits, made at first use.

    A pool of which there are too many is closed, the one that was not used for longest.
    """
    limits = (limit, idle_timeout, wait_timeout)

    def make() -> Pool[Connection]:
        return Pool(connector, limit=limit, idle_timeout=idle_timeout, wait_timeout=wait_timeout)

    return _shared.get(_Configuration(connector, limits), make)


def _after_fork_in_child() -> None:
    # Kept alive until they are told: finalizers of connections may write to the parent's sockets.
    pools = list(_sweeper.pools)
    _sweeper.reset()
    for pool in pools:
        pool.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
