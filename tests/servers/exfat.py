"""A real file system without links of either kind, and with Windows' ideas of names: exFAT."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Self

SIZE = 1024 * 1024 * 1024  # bytes, of a sparse file

#: Why there is none where nothing can be mounted, as in most containers.
NO_MOUNTS = "this machine mounts no file systems"
_CAP_SYS_ADMIN = 21


class ExFAT:
    """An exFAT file system in a file, mounted at ``directory`` for the time of a ``with`` block."""

    directory: Path

    @classmethod
    def available(cls) -> str | None:
        """Return why there can be none here, None if there can."""
        if not (shutil.which("mount.exfat-fuse") and shutil.which("mkfs.exfat")):
            return "exFAT is not installed (apt-get install exfat-fuse exfatprogs)"
        if os.geteuid() != 0:
            return "mounting exFAT needs root"
        devices = all(Path("/dev", name).exists() for name in ("fuse", "loop-control"))
        return None if devices and _may_mount() else NO_MOUNTS

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            # Other users may look into what is mounted.
            place.chmod(0o755)
            image, self.directory = place / "image", place / "mounted"
            self.directory.mkdir()
            with image.open("wb") as file:
                file.truncate(SIZE)
            run("mkfs.exfat", str(image))
            device = run("losetup", "--find", "--show", str(image))
            stack.callback(run, "losetup", "--detach", device)
            run("mount.exfat-fuse", device, str(self.directory))
            stack.callback(run, "umount", "--lazy", str(self.directory))
            self._exit = stack.pop_all()
        return self

    def __exit__(self, *_raised: object) -> None:
        self._exit.close()


def _may_mount() -> bool:
    """Return True if root's rights are whole (capabilities(7))."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (rights,) = (int(line.split()[1], 16) for line in lines if line.startswith("CapEff"))
    return bool(rights >> _CAP_SYS_ADMIN & 1)


def run(*command: str) -> str:
    """Return what a command prints; an error has it too."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise OSError(f"{' '.join(command)} failed: {done.stdout}")
    return done.stdout.strip()
