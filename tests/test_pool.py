"""The pool, on connections that are sockets of a server which answers each byte with its number."""

from __future__ import annotations

import errno
import gc
import os
import socket
import socketserver
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from storages.pool import CrowdedError, Pool, shared

LIMIT = 10  # seconds a test waits for another thread


class Broken(Exception):
    """A connection is no use any more."""


class Answered(Exception):
    """The server said no, in good order."""


@dataclass
class Connector:
    """Connects to a port; keeps what it closed."""

    port: int
    healthy: bool = True
    idles: list[float] = field(default_factory=list, compare=False)
    closed: list[socket.socket] = field(default_factory=list, compare=False)
    closing: threading.Event = field(default_factory=threading.Event, compare=False)
    lost = (Broken, ConnectionError)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)

    def check(self, connection: socket.socket, idle: float) -> bool:
        self.idles.append(idle)
        return self.healthy

    def survives(self, exc: BaseException) -> bool:
        return isinstance(exc, Answered)

    def close(self, connection: socket.socket) -> None:
        connection.close()
        self.closed.append(connection)
        self.closing.set()

    def abandon(self, connection: socket.socket) -> None:
        connection.close()


@dataclass
class Crowded(Connector):
    """Connects to a server that takes so many connections at once."""

    most: int = 3
    refused: int = 0
    lock: Any = field(default_factory=threading.Lock, compare=False)

    def connect(self) -> socket.socket:
        with self.lock:
            if not self.most:
                self.refused += 1
                raise CrowdedError(errno.ECONNABORTED, "Full")
            self.most -= 1
        return super().connect()


class Numbers(socketserver.ThreadingTCPServer):
    """Tells each connection its own number."""

    daemon_threads = True
    accepted = 0

    class RequestHandlerClass(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.server.accepted += 1
            number = self.server.accepted
            while self.request.recv(1):
                self.request.sendall(bytes([number]))


@pytest.fixture
def server() -> Iterator[Numbers]:
    with Numbers(("127.0.0.1", 0), Numbers.RequestHandlerClass) as numbers:
        thread = threading.Thread(target=numbers.serve_forever, args=(0.01,))
        thread.start()
        yield numbers
        numbers.shutdown()
        thread.join()


@pytest.fixture
def connector(server: Numbers) -> Connector:
    return Connector(server.server_address[1])


@contextmanager
def a_pool(connector: Connector, **limits: Any) -> Iterator[Pool[socket.socket]]:
    pool = Pool(connector, **{"limit": 2, "idle_timeout": 60, "wait_timeout": LIMIT} | limits)
    try:
        yield pool
    finally:
        pool.close()


def ask(connection: socket.socket) -> int:
    """Return the number the server gave to this connection."""
    connection.sendall(b"?")
    return connection.recv(1)[0]


def slow_ask(connection: socket.socket) -> int:
    for _ in range(20):
        number = ask(connection)
    return number


def test_connection_is_used_again(connector: Connector) -> None:
    with a_pool(connector) as pool:
        assert [pool.run(ask) for _ in range(5)] == [1] * 5


def test_nothing_connects_before_the_first_lease(server: Numbers, connector: Connector) -> None:
    with a_pool(connector):
        pass
    assert server.accepted == 0


def test_connection_is_checked_before_reuse_and_replaced_when_bad(connector: Connector) -> None:
    with a_pool(connector) as pool:
        pool.run(ask)
        connector.healthy = False
        assert pool.run(ask) == 2
        assert len(connector.closed) == 1
        assert all(0 <= idle < LIMIT for idle in connector.idles)


def test_connection_is_dropped_where_the_block_raised(connector: Connector) -> None:
    with a_pool(connector) as pool:
        with pytest.raises(ValueError, match="mine"), pool.lease():
            raise ValueError("mine")
        assert len(connector.closed) == 1
        pool.run(ask)
        assert len(connector.closed) == 1


def test_connection_survives_an_answer_that_says_no(connector: Connector) -> None:
    with a_pool(connector) as pool:
        assert pool.run(ask) == 1
        with pytest.raises(Answered), pool.lease():
            raise Answered
        assert pool.run(ask) == 1
        assert connector.closed == []


def test_work_that_lost_its_connection_is_done_on_another(connector: Connector) -> None:
    seen = []

    def work(connection: socket.socket) -> str:
        seen.append(ask(connection))
        if len(seen) == 1:
            raise Broken
        return "done"

    with a_pool(connector) as pool:
        assert pool.run(work) == "done"
    assert seen == [1, 2]


def test_work_is_not_repeated_for_ever(connector: Connector) -> None:
    tries = []

    def work(connection: socket.socket) -> None:
        tries.append(connection)
        raise Broken

    with a_pool(connector) as pool, pytest.raises(Broken):
        pool.run(work)
    assert len(tries) == len(connector.closed) == 4


def test_taker_gets_a_time_out_where_all_are_leased(connector: Connector) -> None:
    with a_pool(connector, limit=1, wait_timeout=0.01) as pool, pool.lease():
        with pytest.raises(TimeoutError, match="All 1 connections are in use") as caught:
            pool.take()
        assert caught.value.errno == errno.ETIMEDOUT


def test_taker_waits_for_one_that_comes_back(connector: Connector) -> None:
    answers = []
    with a_pool(connector, limit=1) as pool:
        with pool.lease() as connection:
            waiting = threading.Thread(target=lambda: answers.append(pool.run(ask)))
            waiting.start()
            assert ask(connection) == 1
        waiting.join(LIMIT)
    assert answers == [1]


def test_pool_makes_do_with_the_connections_that_a_full_server_gives(server: Numbers) -> None:
    connector = Crowded(server.server_address[1])
    with a_pool(connector, limit=20) as pool, ThreadPoolExecutor(20) as threads:
        numbers = set(threads.map(lambda _: pool.run(slow_ask), range(200)))
    assert len(numbers) == server.accepted == 3
    # Who was refused waits for one that comes back, and asks for no more.
    assert connector.refused <= 20


def test_server_that_is_full_of_others_is_an_error(server: Numbers) -> None:
    with a_pool(Crowded(server.server_address[1], most=0)) as pool, pytest.raises(CrowdedError):
        pool.run(ask)


def test_pool_that_nobody_keeps_closes_its_connections_all_the_same(connector: Connector) -> None:
    pool = Pool(connector, limit=1, idle_timeout=0.2, wait_timeout=LIMIT)
    with pool.lease():
        pass
    del pool
    gc.collect()
    assert connector.closing.wait(LIMIT)


def test_failed_connect_frees_its_place(server: Numbers, connector: Connector) -> None:
    with a_pool(connector, limit=1, wait_timeout=0.01) as pool:
        port, connector.port = connector.port, 1
        with pytest.raises(ConnectionRefusedError):
            pool.take()
        connector.port = port
        assert pool.run(ask) == 1


def test_threads_never_hold_more_than_the_limit(server: Numbers, connector: Connector) -> None:
    held: list[socket.socket] = []
    most = []

    def work(connection: socket.socket) -> None:
        assert connection not in held
        held.append(connection)
        most.append(len(held))
        ask(connection)
        held.remove(connection)

    with a_pool(connector, limit=3) as pool:
        threads = [
            threading.Thread(target=lambda: [pool.run(work) for _ in range(20)]) for _ in range(16)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIMIT)
    assert len(most) == 16 * 20
    assert max(most) <= 3
    assert server.accepted <= 3


def test_idle_connection_is_closed_with_no_further_call(connector: Connector) -> None:
    with a_pool(connector, idle_timeout=0.01) as pool:
        pool.run(ask)
        assert connector.closing.wait(LIMIT)
        assert pool.run(ask) == 2


def test_close_closes_idle_ones_now_and_leased_ones_when_they_return(connector: Connector) -> None:
    with a_pool(connector) as pool:
        pool.run(ask)
        with pool.lease() as leased:
            pool.close()
            assert ask(leased) == 1
        assert connector.closed == [leased]
        assert pool.run(ask) == 2


def test_closing_frees_the_places_of_what_it_closed(connector: Connector) -> None:
    with a_pool(connector, limit=1, wait_timeout=0.01) as pool:
        for number in (1, 2, 3):
            assert pool.run(ask) == number
            pool.close()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_child_of_a_fork_makes_its_own_connections(connector: Connector) -> None:
    with a_pool(connector, limit=2, wait_timeout=0.01) as pool:
        pool.run(ask)
        with pool.lease() as leased:
            child = os.fork()
            if child == 0:
                # Returning a parent's connection must not give it to the child's next taker.
                pool.give_back(leased)
                os._exit(pool.run(ask) + 10 * leased.fileno())
            _, status = os.waitpid(child, 0)
            assert os.waitstatus_to_exitcode(status) == (2 - 10) % 256
            assert ask(leased) == 1
        assert pool.run(ask) == 1


def test_equal_connectors_share_a_pool() -> None:
    limits = {"limit": 2, "idle_timeout": 60, "wait_timeout": 1}
    pool = shared(Connector(1), **limits)
    assert shared(Connector(1), **limits) is pool
    assert shared(Connector(2), **limits) is not pool
    assert shared(Connector(1), **limits | {"limit": 3}) is not pool


def test_probing_costs_one_wait_however_many_are_idle(connector: Connector) -> None:
    with a_pool(connector, limit=4) as pool:
        for connection in [pool.take() for _ in range(4)]:
            pool.give_back(connection)
        connector.healthy = False
        with pool.lease():
            assert len(connector.idles) == 1
        assert len(connector.closed) == 4


@pytest.mark.parametrize("error", [TimeoutError, ConnectionError])
def test_idle_connections_go_with_one_that_was_lost(
    connector: Connector, error: type[Exception]
) -> None:
    with a_pool(connector, limit=4) as pool:
        for connection in [pool.take() for _ in range(4)]:
            pool.give_back(connection)
        with pytest.raises(error), pool.lease():
            raise error
        assert len(connector.closed) == 4


def test_file_missing_while_connecting_is_no_missing_file_of_the_server(
    connector: Connector, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect() -> socket.socket:
        raise FileNotFoundError(errno.ENOENT, "No such file", "/usr/bin/proxy-command")

    monkeypatch.setattr(connector, "connect", connect)
    pool = Pool(connector, limit=1, idle_timeout=60, wait_timeout=LIMIT)
    for _ in range(2):
        with pytest.raises(OSError, match="/usr/bin/proxy-command") as raised, pool.lease():
            pass
        assert not isinstance(raised.value, FileNotFoundError)


def test_pool_that_was_not_used_for_longest_is_closed_when_there_are_too_many(
    server: Numbers,
) -> None:
    def pool_of(number: int) -> tuple[Pool[Any], Connector]:
        connector = Connector(server.server_address[1], idles=[])
        return shared(connector, limit=100 + number, idle_timeout=60, wait_timeout=1), connector

    first, _ = pool_of(0)
    used, _ = pool_of(1)
    for pool in (first, used):
        with pool.lease():
            pass
    for number in range(2, 64):
        pool_of(number)
        assert pool_of(1)[0] is used
    pool_of(64)
    assert pool_of(1)[0] is used
    assert not first.is_idle
    assert pool_of(0)[0] is not first
    used.close()


def test_one_thread_sweeps_all_pools(server: Numbers) -> None:
    connectors = [Connector(server.server_address[1]) for _ in range(20)]
    pools = [
        Pool(each, limit=1, idle_timeout=0.05 + 0.01 * number, wait_timeout=1)
        for number, each in enumerate(connectors)
    ]
    # One that another test left may be about to end.
    before = set(threading.enumerate())
    for pool in reversed(pools):
        with pool.lease():
            pass
    begun = [each.name for each in set(threading.enumerate()) - before]
    assert begun.count("storages-pool") <= 1
    assert len(begun) <= 1 + 20  # the server's own threads
    for connector in connectors:
        assert connector.closing.wait(LIMIT)
