"""Servers from npm, each in a directory of its own under ``build/npm``.

``python -m tests.servers.install`` brings them; Node.js itself has to be there.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

INSTALLED = Path(__file__).parents[2] / "build" / "npm"

#: The npm packages, their versions, and what needs them.
PACKAGES = {
    "azurite": ("3.37.0", "Azure"),
    "pouchdb-server": ("4.2.0", "CouchDB"),
}


def missing() -> list[str]:
    """Return the packages that are not installed."""
    return [name for name in PACKAGES if not _directory(name).exists()]


def unavailable(package: str) -> str | None:
    """Return why a package's programs cannot run here, with what to install; None if they can."""
    if shutil.which("node") is None:
        return f"{package} needs Node.js"
    if package in missing():
        return f"{package} is not installed (python -m tests.servers.install)"
    return None


def program(package: str, name: str) -> list[str]:
    """Return the beginning of a command line that runs a package's program."""
    # By its full path, since the launcher of a program looks for Node.js on a path of its own.
    return [shutil.which("node") or "node", str(_directory(package) / "node_modules/.bin" / name)]


def install(package: str, run: Callable[..., None]) -> None:
    """Download a package and what it needs, with a function that runs a command."""
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=INSTALLED) as downloads:
        # Its scripts would compile optional parts that no test uses.
        flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
        wanted = f"{package}@{PACKAGES[package][0]}"
        run("npm", "install", "--prefix", downloads, *flags, wanted)
        # All at once, so that what is there is whole.
        Path(downloads).rename(_directory(package))
        Path(downloads).mkdir()


def _directory(package: str) -> Path:
    return INSTALLED / f"{package}-{PACKAGES[package][0]}"
