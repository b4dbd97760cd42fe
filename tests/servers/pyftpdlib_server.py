"""FTP by pyftpdlib (PyPI `pyftpdlib`, `pyOpenSSL` for TLS): has MLSD, and refusals to order."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.ftp import TLS, FTPServer
from tests.servers.process import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.servers.certificates import Certificate

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Quirks:
    """What the server is to do otherwise than a good one."""

    without: tuple[str, ...] = ()  # commands it does not know, such as MLSD, MLST, EPSV
    utf8: bool = True  # False: names are in Latin-1
    replies: Mapping[str, str] = field(default_factory=dict)  # by command, instead of obeying
    idle_limit: float = 300  # seconds until it says 421 and closes
    quota: int | None = None  # bytes a file may have; writing more fails
    data_port: int | None = None  # where it listens for data connections
    told_host: str = ""  # where it tells clients to connect, if elsewhere
    told_port: int | None = None
    clock: float = 0  # seconds by which it is fast


class Pyftpdlib(FTPServer):
    """Serve FTP from a Python process."""

    name = "pyftpdlib"

    def __init__(
        self,
        tls: TLS = "",
        certificate: Certificate | None = None,
        quirks: Quirks | None = None,
    ) -> None:
        super().__init__(tls, certificate)
        self.quirks = quirks or Quirks()

    @classmethod
    def available(cls) -> str | None:
        missing = [name for name in ("pyftpdlib", "OpenSSL") if find_spec(name) is None]
        return f"{missing} not installed (pip install pyftpdlib pyOpenSSL)" if missing else None

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(PROJECT)}

    def command(self) -> list[str]:
        settings = {
            "host": HOST,
            "port": self.port,
            "root": str(self.root),
            "tls": self.tls,
            "quirks": asdict(self.quirks),
            "data_ports": self.data_ports,
        }
        if self.tls:
            settings["certfile"] = str(self.certificate.cert_file)
            settings["keyfile"] = str(self.certificate.key_file)
        return [sys.executable, "-m", "tests.servers.pyftpdlib_main", json.dumps(settings)]
