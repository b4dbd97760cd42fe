"""FTP by GNU inetutils (Debian's `inetutils-ftpd`, unpacked): has neither MLSD nor TLS nor UTF8.

It knows its port from /etc/services alone, so it is started for each connection, as inetd does.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.accounts import AccountServer, needs_root
from tests.servers.process import HOST
from tests.servers.unpacked import BUILD, libraries, prefix_of, unpack

if TYPE_CHECKING:
    from tests.servers.certificates import Certificate
    from tests.servers.ftp import TLS

PACKAGES = ("inetutils-ftpd",)
UNPACKED = BUILD / "inetutils-ftpd"
PROJECT = Path(__file__).parents[2]


class Inetutils(AccountServer):
    """Serve the whole file system, from `root` on, to a user of the system."""

    name = "inetutils"

    def __init__(
        self, tls: TLS = "", certificate: Certificate | None = None, *, zone: str = ""
    ) -> None:
        super().__init__(tls, certificate)
        self.zone = zone  # of the times in its listings; else UTC

    @property
    def place(self) -> str:  # type: ignore[override]
        return str(self.root)

    @classmethod
    def available(cls) -> str | None:
        if _prefix() is None:
            return "inetutils-ftpd is not installed (python -m tests.servers.install)"
        return needs_root("inetutils-ftpd")

    def environment(self) -> dict[str, str]:
        zone = {"TZ": self.zone} if self.zone else {}
        return {"PYTHONPATH": str(PROJECT)} | libraries(UNPACKED) | zone

    def command(self) -> list[str]:
        program = [f"{_prefix()}/usr/sbin/ftpd", "--auth=default", "--umask=022"]
        return [sys.executable, "-m", "tests.servers.inetutils", str(self.port), *program]


def serve(port: int, command: list[str]) -> None:
    """Start a command for each connection, which is its input and output."""
    children: list[subprocess.Popen[bytes]] = []
    with socket.create_server((HOST, port), backlog=100) as listener:
        while True:
            connection, _ = listener.accept()
            with connection:
                ends = connection.fileno()
                children.append(subprocess.Popen(command, stdin=ends, stdout=ends))
            children = [child for child in children if child.poll() is None]


def install() -> None:
    """Unpack the server and what it needs into `UNPACKED`."""
    unpack(PACKAGES, UNPACKED)


def _prefix() -> Path | None:
    return prefix_of("usr/sbin/ftpd", UNPACKED)


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2:])
