"""Django sites under gunicorn (WSGI) and uvicorn (ASGI), both from PyPI."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from tests.servers.process import HOST, Server

PROJECT = Path(__file__).parents[2]


class Site(Server):
    """Serve `tests.served` with storages of its own: ``media`` is the alias of the one served."""

    module: ClassVar[str]  # what has to be installed
    hello = b"GET /page HTTP/1.0\r\n\r\n"
    greeting = b"HTTP/1."

    def __init__(self, media: dict[str, Any]) -> None:
        super().__init__()
        self.media = media

    @classmethod
    def available(cls) -> str | None:
        found = find_spec(cls.module)
        return None if found else f"{cls.module} is not installed (pip install {cls.module})"

    def peak(self) -> int:
        """Return the most memory that any process of it has had, in bytes, as Linux counts it."""
        texts = [Path(f"/proc/{each.pid}/status").read_text() for each in self.processes]
        peaks = [line for text in texts for line in text.splitlines() if line.startswith("VmHWM")]
        return max(int(line.split()[1]) for line in peaks) * 1024

    @property
    def url(self) -> str:
        """Return the site's URL."""
        return f"http://{HOST}:{self.port}"

    def environment(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "tests.served.settings",
            "PYTHONPATH": str(PROJECT),
            "SERVED_MEDIA": json.dumps(self.media),
        }


class Gunicorn(Site):
    """One worker process with a few threads."""

    name = module = "gunicorn"

    def command(self) -> list[str]:
        flags = ["--bind", f"{HOST}:{self.port}", "--threads", "4", "--worker-tmp-dir", "."]
        return [sys.executable, "-m", "gunicorn", *flags, "tests.served.wsgi:application"]


class Uvicorn(Site):
    """One process with an event loop."""

    name = module = "uvicorn"

    def command(self) -> list[str]:
        flags = ["--host", HOST, "--port", str(self.port), "--lifespan", "off"]
        return [sys.executable, "-m", "uvicorn", *flags, "tests.served.asgi:application"]
