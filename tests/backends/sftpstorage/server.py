"""What tests of the SFTP backend share: options for a server, and a look at its disk."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers.process import HOST
from tests.servers.proxy import Proxy
from tests.servers.ssh import SSHServer


def running(server: SSHServer) -> Iterator[SSHServer]:
    """Run a server until the end of the run, or skip where it is not installed."""
    if reason := server.available():
        pytest.skip(reason)
    with server:
        yield server


def options(server: SSHServer, via: Proxy | Turns | None = None, **params: Any) -> dict[str, Any]:
    """Return the options of a storage on a server, perhaps through a proxy."""
    host, port = server.address if via is None else via.address
    known_hosts = server.known_hosts if via is None else known_hosts_of(server, port)
    login = {"port": port, "username": server.user, "key_filename": str(server.key_file)}
    return {"host": host, "params": login | params, "known_host_file": known_hosts, "timeout": 10}


def known_hosts_of(server: SSHServer, port: int) -> Path:
    """Return a file that vouches for the server where it answers on another port."""
    path = server.directory / f"known_hosts_{port}"
    if not path.exists():
        # Other threads and processes may be about to read it.
        new = path.with_name(f"{path.name}_{uuid.uuid4().hex}")
        new.write_text(server.known_hosts.read_text().replace(f":{server.port} ", f":{port} "))
        new.replace(path)
    return path


class Turns:
    """Relays connections and counts how often a client spoke after the server: round trips."""

    def __init__(self, server: SSHServer) -> None:
        self.count = 0
        self.connections = 0
        self._target = server.address
        self._last = "down"
        self._listener = socket.create_server((HOST, 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                server = socket.create_connection(self._target)
                for ends in ((client, server, "up"), (server, client, "down")):
                    threading.Thread(target=self._pump, args=ends, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, direction: str) -> None:
        sink.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):
            while data := source.recv(1 << 16):
                self.count += direction == "up" and self._last == "down"
                self._last = direction
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
