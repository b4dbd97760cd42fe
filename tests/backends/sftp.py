"""What tests of the SFTP backend share: options for a server, and a look at its disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers.proxy import Proxy
from tests.servers.ssh import SSHServer


def running(server: SSHServer) -> Iterator[SSHServer]:
    """Run a server until the end of the run, or skip where it is not installed."""
    if reason := server.available():
        pytest.skip(reason)
    with server:
        yield server


def options(server: SSHServer, via: Proxy | None = None, **params: Any) -> dict[str, Any]:
    """Return the options of a storage on a server, perhaps through a proxy."""
    host, port = server.address if via is None else via.address
    known_hosts = server.known_hosts
    if via is not None:
        known_hosts = server.directory / f"known_hosts_{port}"
        known_hosts.write_text(
            server.known_hosts.read_text().replace(f":{server.port} ", f":{port} ")
        )
    login = {"port": port, "username": server.user, "key_filename": str(server.key_file)}
    return {"host": host, "params": login | params, "known_host_file": known_hosts, "timeout": 10}


class RawDirectory:
    """The server's own view of a storage's root."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, name: str) -> bytes | None:
        path = self.path / name
        return path.read_bytes() if path.is_file() else None

    def put(self, name: str, content: bytes) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def names(self) -> list[str]:
        found = (path for path in self.path.rglob("*") if not path.is_dir())
        return sorted(str(path.relative_to(self.path)) for path in found)
