"""What tests of the SFTP backend share: options for a server, and a look at its disk."""

from __future__ import annotations

import uuid
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
