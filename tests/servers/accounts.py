"""FTP servers that let in users of the system alone: one is made for each server."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.ftp import TLS, FTPServer

if TYPE_CHECKING:
    from tests.servers.certificates import Certificate

USER_PREFIX = "storages-"


class AccountServer(FTPServer):
    """Serve FTP to a user of the system, made for the server and removed with it."""

    def __init__(self, tls: TLS = "", certificate: Certificate | None = None) -> None:
        super().__init__(tls, certificate)
        self.user = f"{USER_PREFIX}{secrets.token_hex(4)}"
        self.password = secrets.token_hex(8)
        self._made = False

    def prepare(self) -> None:
        super().prepare()
        # The user has to get through to its files.
        self.directory.chmod(0o711)
        self._make_user()

    def cleanup(self) -> None:
        if self._made:
            subprocess.run(["userdel", self.user], check=True)
            self._made = False

    def _make_user(self) -> None:
        if self._made:
            return
        _sweep()
        home, shell = str(self.root), "/bin/sh"
        subprocess.run(["useradd", "-M", "-N", "-d", home, "-s", shell, self.user], check=True)
        self._made = True
        subprocess.run(["chpasswd"], input=f"{self.user}:{self.password}", text=True, check=True)
        shutil.chown(self.root, self.user)


def needs_root(program: str) -> str | None:
    """Return why a server cannot run here, None if it can."""
    return None if os.geteuid() == 0 else f"{program} needs root to let a user of its own in"


def _sweep() -> None:
    """Remove the users of servers whose tests were killed; their directories are gone already."""
    for account in pwd.getpwall():
        if account.pw_name.startswith(USER_PREFIX) and not Path(account.pw_dir).exists():
            # Another run may be sweeping too.
            subprocess.run(["userdel", account.pw_name], check=False)
