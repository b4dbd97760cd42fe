"""What tests of the FTP backend share: locations on a server, its disk, and a bad data line."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.backends.directory import OwnedDirectory
from tests.servers.certificates import authority
from tests.servers.ftp import TLS, FTPServer
from tests.servers.process import HOST, refusing_port
from tests.servers.proxy import Proxy
from tests.servers.pyftpdlib_server import Pyftpdlib, Quirks

SCHEMES: dict[TLS, str] = {"": "ftp", "explicit": "ftps", "implicit": "ftpsi"}


def running(server: FTPServer) -> Iterator[FTPServer]:
    """Run a server until the end of the run, or skip where it is not installed."""
    if reason := server.available():
        pytest.skip(reason)
    with server:
        yield server


def location(server: FTPServer, root: str = "", via: Proxy | None = None, **other: Any) -> str:
    """Return the location of a directory on a server, perhaps through a proxy."""
    host, port = server.address if via is None else via.address
    parts = {
        "scheme": SCHEMES[server.tls],
        "user": server.user,
        "password": server.password,
        "port": port,
    } | other
    address = f"{parts['user']}:{parts['password']}@{host}:{parts['port']}"
    return f"{parts['scheme']}://{address}{server.place}/{root}"


def trust(server: FTPServer) -> dict[str, Any]:
    """Return the options that make a storage accept the server's certificate."""
    if not server.tls:
        return {}
    # Not a context, which other processes could not be given.
    return {"ssl_context": _trusting(str(authority().ca_file))}


_contexts: dict[str, Any] = {}


def _trusting(ca_file: str) -> Any:
    return _contexts.setdefault(ca_file, partial(ssl.create_default_context, cafile=ca_file))


FTPDirectory = OwnedDirectory


@contextmanager
def bad_data_line(root: Path, tls: TLS = "") -> Iterator[tuple[Pyftpdlib, Proxy]]:
    """Serve a directory by pyftpdlib, with a proxy on its data connections, one at a time."""
    port = refusing_port()
    with Proxy(HOST, port) as proxy:
        quirks = Quirks(data_port=port, told_port=proxy.port)
        server = Pyftpdlib(tls, quirks=quirks)
        server.root.symlink_to(root)
        with server:
            yield server, proxy
