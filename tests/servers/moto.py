"""S3 by moto's server (PyPI `moto[s3]`, `flask`, `flask-cors`): in memory, checks no signature."""

from __future__ import annotations

import sys
from importlib.util import find_spec

from tests.servers.process import HOST, Server


class Moto(Server):
    """Serve S3 from memory: a restart forgets everything."""

    name = "moto"
    access_key = "testkey"
    secret_key = "testsecret"
    region = "us-east-1"
    hello = b"GET /moto-api/ HTTP/1.0\r\n\r\n"
    greeting = b"HTTP/1.1 200"

    @classmethod
    def available(cls) -> str | None:
        missing = [name for name in ("moto", "flask", "flask_cors") if find_spec(name) is None]
        return (
            f"{missing} not installed (pip install 'moto[s3]' flask flask-cors)"
            if missing
            else None
        )

    @property
    def url(self) -> str:
        """Return the endpoint's URL."""
        return f"http://{HOST}:{self.port}"

    def environment(self) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}

    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", HOST, "-p", str(self.port)]
