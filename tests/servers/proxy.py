"""A TCP proxy with faults to switch on and off, in the vocabulary of Toxiproxy."""

from __future__ import annotations

import asyncio
import atexit
import socket
import struct
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING, Literal, Self

from tests.servers.process import HOST

if TYPE_CHECKING:
    from collections.abc import Coroutine

Direction = Literal["up", "down"]  # to the server, to the client

CHUNK = 64 * 1024  # bytes
BACKLOG = 128  # connections

# Closing a socket with this option sends a reset.
NO_LINGER = struct.pack("ii", 1, 0)


class _EndError(Exception):
    """End the connection after passing on `last`: by a reset, or cleanly."""

    def __init__(self, last: bytes, *, reset: bool) -> None:
        super().__init__()
        self.last = last
        self.reset = reset


class _Link:
    """One client's connection and the proxy's own to the server."""

    def __init__(self, number: int, client: socket.socket, server: socket.socket) -> None:
        self.number = number  # among the proxy's, from 1 on
        self.client = client
        self.server = server
        self.ended = False
        self.broken = False

    def ends(self, direction: Direction) -> tuple[socket.socket, socket.socket]:
        """Return where data in that direction comes from and goes to."""
        return (self.client, self.server) if direction == "up" else (self.server, self.client)

    def finish(self) -> None:
        """Say to both sides that nothing more comes."""
        self.ended = True
        _shut(self.client)
        _shut(self.server)

    def close(self) -> None:
        """Close both sides; whatever broke one is passed on to the other."""
        for side in (self.client, self.server):
            if self.broken:
                side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            side.close()


class _Toxic:
    """One fault in one direction; this one passes data on unchanged."""

    def __init__(self, direction: Direction, chunk: int = CHUNK) -> None:
        self.direction = direction
        self.chunk = chunk  # bytes passed on at once, at most

    async def apply(self, link: _Link, data: bytes, *, waited: bool) -> bytes:
        """Return what to pass on of data for which the proxy did or did not have to wait."""
        return data


class _Latency(_Toxic):
    def __init__(self, direction: Direction, seconds: float) -> None:
        super().__init__(direction)
        self.seconds = seconds

    async def apply(self, link: _Link, data: bytes, *, waited: bool) -> bytes:
        # Data already there arrived while its predecessor was delayed: latency is not bandwidth.
        if waited:
            await asyncio.sleep(self.seconds)
        return data


class _Bandwidth(_Toxic):
    def __init__(self, direction: Direction, rate: float) -> None:
        super().__init__(direction, chunk=min(CHUNK, max(1, int(rate / 10))))
        self.rate = rate

    async def apply(self, link: _Link, data: bytes, *, waited: bool) -> bytes:
        await asyncio.sleep(len(data) / self.rate)
        return data


class _Counting(_Toxic):
    """A fault at a byte of each connection's data, counted since the fault was switched on."""

    def __init__(self, direction: Direction, position: int, times: int | None) -> None:
        super().__init__(direction)
        self.position = position
        self.left = times
        self.passed: dict[_Link, int] = {}

    async def apply(self, link: _Link, data: bytes, *, waited: bool) -> bytes:
        start = self.passed.get(link, 0)
        self.passed[link] = start + len(data)
        if self.left == 0 or not start <= self.position <= start + len(data):
            return data
        return self.strike(link, data, self.position - start)

    def strike(self, link: _Link, data: bytes, at: int) -> bytes:
        """Return the spoilt data, or raise; `at` counts from the start of `data`."""
        raise NotImplementedError

    def spend(self) -> None:
        """Count one hit."""
        if self.left is not None:
            self.left -= 1


class _Cut(_Counting):
    def __init__(
        self, direction: Direction, position: int, times: int | None, *, reset: bool
    ) -> None:
        super().__init__(direction, position, times)
        self.reset = reset

    def strike(self, link: _Link, data: bytes, at: int) -> bytes:
        self.spend()
        raise _EndError(data[:at], reset=self.reset)


class _Corrupt(_Counting):
    def strike(self, link: _Link, data: bytes, at: int) -> bytes:
        if at == len(data):
            return data
        self.spend()
        return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


class _Deaf(_Toxic):
    """Passes nothing on for the first connections."""

    def __init__(self, direction: Direction, last: int) -> None:
        super().__init__(direction)
        self.last = last

    async def apply(self, link: _Link, data: bytes, *, waited: bool) -> bytes:
        if link.number <= self.last:
            await asyncio.get_running_loop().create_future()
        return data


class Pieces:
    """Counts the pieces of data that pass proxies, in both directions; one of them is fatal.

    It comes as a reset, without ``reset`` as an end of all that comes, or ``dark`` as the first of
    all that never come, on new connections too.
    """

    def __init__(self, fatal: int = 0, *, dark: bool = False, reset: bool = True) -> None:
        self.fatal = fatal
        self.dark = dark
        self.reset = reset
        self.count = 0

    async def add(self) -> bool:
        """Count a piece; return True if it is to come as a reset."""
        self.count += 1
        if self.dark and 0 < self.fatal <= self.count:
            # Until the connection is dropped.
            await asyncio.get_running_loop().create_future()
        return self.count == self.fatal


class _CutPiece(_Toxic):
    def __init__(self, direction: Direction, pieces: Pieces) -> None:
        super().__init__(direction)
        self.pieces = pieces

    async def apply(self, link: _Link, data: bytes, *, waited: bool) -> bytes:
        if await self.pieces.add():
            raise _EndError(b"", reset=self.pieces.reset)
        return data


class Proxy:
    """Stand in front of `host` and `port` on a loopback port; use it in a `with` block.

    Positions count bytes per connection and direction, from the call which sets the fault. `times`
    limits a fault to so many hits. Faults add up until `clear`.
    """

    def __init__(
        self, host: str, port: int, listen: tuple[str, int] = (HOST, 0), buffer: int = 0
    ) -> None:
        self.target = (host, port)
        self.connections = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self._toxics: list[_Toxic] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_listening = False
        self._flowing = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        # Bytes that wait here at most before their senders learn of it.
        self._buffer = buffer
        self._listener = _bind(listen, buffer)

    @property
    def host(self) -> str:
        """Return the loopback address the proxy listens on."""
        return str(self._listener.getsockname()[0])

    @property
    def port(self) -> int:
        """Return the port the proxy listens on, the same all its life."""
        return int(self._listener.getsockname()[1])

    @property
    def address(self) -> tuple[str, int]:
        """Return host and port."""
        return self.host, self.port

    @property
    def open_connections(self) -> int:
        """Return how many connections are open now."""
        return len(self._tasks)

    def latency(self, seconds: float, direction: Direction = "down") -> None:
        """Delay what comes after a pause, as a distant peer would."""
        self._toxics.append(_Latency(direction, seconds))

    def bandwidth(self, rate: float, direction: Direction = "down") -> None:
        """Pass on `rate` bytes a second."""
        self._toxics.append(_Bandwidth(direction, rate))

    def slicer(self, size: int = 1, direction: Direction = "down") -> None:
        """Pass data on in segments of `size` bytes."""
        self._toxics.append(_Toxic(direction, chunk=size))

    def limit_data(
        self, size: int, direction: Direction = "down", *, times: int | None = None
    ) -> None:
        """Close a connection cleanly after `size` bytes; with 0, when the first byte comes."""
        self._toxics.append(_Cut(direction, size, times, reset=False))

    def reset_peer(
        self, after: int = 0, direction: Direction = "down", *, times: int | None = None
    ) -> None:
        """Reset a connection on both sides after so many bytes; with 0, when the first comes."""
        self._toxics.append(_Cut(direction, after, times, reset=True))

    def end_at_piece(self, pieces: Pieces) -> None:
        """Reset the connection on which the fatal piece comes, or pass nothing on any more."""
        self._toxics += [_CutPiece("up", pieces), _CutPiece("down", pieces)]

    def corrupt(
        self, position: int, direction: Direction = "down", *, times: int | None = None
    ) -> None:
        """Invert the bits of one byte."""
        self._toxics.append(_Corrupt(direction, position, times))

    def forget(self) -> None:
        """Keep back all of the connections so far, as a router that was restarted does."""
        self._toxics += [_Deaf("up", self.connections), _Deaf("down", self.connections)]

    def silence(self) -> None:
        """Accept, and keep back whatever either side sends until `clear`."""
        self._call(self._set_flowing(flowing=False))

    def down(self) -> None:
        """Close all connections and refuse new ones until `clear`."""
        self._call(self._refuse())

    def clear(self) -> None:
        """Take away all faults."""
        self._toxics.clear()
        self._call(self._set_flowing(flowing=True))
        self._call(self._listen())

    def drop_connections(self) -> None:
        """Close all open connections cleanly, as a server does with idle ones."""
        self._call(self._drop())

    def start(self) -> Self:
        """Listen."""
        atexit.register(self.close)
        self._thread.start()
        self.clear()
        return self

    def close(self) -> None:
        """Close everything."""
        atexit.unregister(self.close)
        self._call(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._listener.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _call(self, work: Coroutine[None, None, None]) -> None:
        """Run in the proxy's own thread, and wait."""
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _set_flowing(self, *, flowing: bool) -> None:
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _listen(self) -> None:
        if not self._is_listening:
            self._listener.listen(BACKLOG)
            self._loop.add_reader(self._listener, self._accept)
            self._is_listening = True

    async def _refuse(self) -> None:
        if self._is_listening:
            self._loop.remove_reader(self._listener)
            self._is_listening = False
            address = self.address
            self._listener.close()
            # Bound and not listening: refused by the kernel, and nobody else takes the port.
            self._listener = _bind(address, self._buffer)
        await self._drop()

    async def _drop(self) -> None:
        await _cancel(self._tasks)

    def _accept(self) -> None:
        # Not by a task: one that is cancelled just then would lose the connection, open.
        try:
            client, _ = self._listener.accept()
        except OSError:
            return
        client.setblocking(False)
        self.connections += 1
        link = _Link(self.connections, client, socket.socket())
        task = self._loop.create_task(self._serve(link))
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._end(link, task))

    def _end(self, link: _Link, task: asyncio.Task[None]) -> None:
        link.close()
        self._tasks.discard(task)

    async def _serve(self, link: _Link) -> None:
        try:
            await self._connect(link)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(link, "up"))
                pumps.create_task(self._pump(link, "down"))
        except* OSError:
            link.broken = True

    async def _connect(self, link: _Link) -> None:
        link.server.setblocking(False)
        await self._loop.sock_connect(link.server, self.target)
        for side in (link.client, link.server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # What waits here counts as passed on, so little may.
            side.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CHUNK)

    async def _pump(self, link: _Link, direction: Direction) -> None:
        source, sink = link.ends(direction)
        while True:
            data, waited = await self._receive(source)
            # By Nagle's algorithm the sender may hold back more until this is acknowledged.
            with suppress(AttributeError, OSError):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            # Ready sockets are served without a pause, so let the other connections have theirs.
            await asyncio.sleep(0)
            await self._flowing.wait()
            if not data:
                break
            chunk = min([toxic.chunk for toxic in self._toxics_of(direction)], default=CHUNK)
            for start in range(0, len(data), chunk):
                if not link.ended:
                    piece = data[start : start + chunk]
                    await self._pass_on(link, direction, piece, waited=waited and start == 0)
        _shut(sink)

    async def _receive(self, source: socket.socket) -> tuple[bytes, bool]:
        """Return what came, nothing at its end, and whether it had to be waited for."""
        try:
            return source.recv(CHUNK), False
        except BlockingIOError:
            return await self._loop.sock_recv(source, CHUNK), True

    async def _pass_on(
        self, link: _Link, direction: Direction, data: bytes, *, waited: bool
    ) -> None:
        end = None
        try:
            for toxic in self._toxics_of(direction):
                data = await toxic.apply(link, data, waited=waited)
        except _EndError as exc:
            end = exc
            data = exc.last
        if direction == "up":
            self.bytes_up += len(data)
        else:
            self.bytes_down += len(data)
        await self._loop.sock_sendall(link.ends(direction)[1], data)
        if end is not None:
            if end.reset:
                raise ConnectionResetError
            link.finish()

    def _toxics_of(self, direction: Direction) -> list[_Toxic]:
        return [toxic for toxic in self._toxics if toxic.direction == direction]


class Turns(Proxy):
    """Counts how often a client spoke after the server: round trips."""

    count = 0
    _last: Direction = "down"

    async def _pass_on(
        self, link: _Link, direction: Direction, data: bytes, *, waited: bool
    ) -> None:
        self.count += direction == "up" and self._last == "down"
        self._last = direction
        await super()._pass_on(link, direction, data, waited=waited)


def _bind(address: tuple[str, int], buffer: int) -> socket.socket:
    listener = socket.socket()
    listener.setblocking(False)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if buffer:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    listener.bind(address)
    return listener


def _shut(side: socket.socket) -> None:
    # The peer may have gone first.
    with suppress(OSError):
        side.shutdown(socket.SHUT_WR)


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    tasks = set(tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
