"""What the FTP servers have in common: one user, a directory to serve, and TLS in two ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from tests.servers.certificates import Certificate, authority
from tests.servers.process import Server

if TYPE_CHECKING:
    from pathlib import Path

# Explicit: after AUTH TLS (RFC 4217). Implicit: from the first byte.
TLS = Literal["", "explicit", "implicit"]


class FTPServer(Server):
    """Serve `root` as / to `user` with `password`; with TLS, to nobody without.

    Clients which trust `authority().ca_file` accept the certificate used by default.
    """

    user = "test"
    password = "test"
    #: Path of `root` to clients, without a slash at its end.
    place = ""
    #: Where data connections come in, first port and last; any by default.
    data_ports: tuple[int, int] | None = None

    def __init__(self, tls: TLS = "", certificate: Certificate | None = None) -> None:
        super().__init__()
        self.tls = tls
        self._certificate = certificate
        self.greeting = b"" if tls == "implicit" else b"220"

    @property
    def certificate(self) -> Certificate:
        """Return the certificate the server shows."""
        return self._certificate or authority().good

    @property
    def root(self) -> Path:
        """Return the directory served, empty at first."""
        return self.directory / "root"

    def prepare(self) -> None:
        self.root.mkdir(exist_ok=True)
