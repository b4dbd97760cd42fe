"""Debian's packages that exclude one another, unpacked into a directory of ours."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BUILD = Path(__file__).parents[2] / "build"


def unpack(packages: Iterable[str], target: Path, *, exactly: bool = False) -> None:
    """Download packages with the libraries missing here, or ``exactly`` them, and unpack all."""
    names = [*packages]
    if not exactly:
        simulated = ["apt-get", "-s", "install", "--no-install-recommends", *names]
        plan = subprocess.run(simulated, capture_output=True, text=True, check=True).stdout
        names = re.findall(r"^Inst (\S+)", plan, re.MULTILINE)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as downloads:
        subprocess.run(["apt-get", "-qq", "download", *names], cwd=downloads, check=True)
        unpacked = Path(downloads, "unpacked")
        for package in Path(downloads).glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(unpacked)], check=True)
        # All at once, so that what is there is whole.
        unpacked.rename(target)


def prefix_of(program: str, target: Path) -> Path | None:
    """Return the directory under which a program, such as ``usr/sbin/x``, is installed."""
    return next((path for path in (Path("/"), target) if (path / program).exists()), None)


def libraries(target: Path) -> dict[str, str]:
    """Return the variable that makes unpacked libraries be found."""
    found = {str(path.parent) for path in target.glob("usr/lib/*/*.so.*")}
    return {"LD_LIBRARY_PATH": os.pathsep.join(sorted(found))} if found else {}
