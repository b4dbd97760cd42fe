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
        self.user = new_name()
        self.password = secrets.token_hex(8)
        self._made = False

    def prepare(self) -> None:
        super().prepare()
        # The user has to get through to its files.
        self.directory.chmod(0o711)
        self._make_user()

    def cleanup(self) -> None:
        if self._made:
            remove_account(self.user)
            self._made = False

    def _make_user(self) -> None:
        if self._made:
            return
        make_account(self.user, self.password, self.root)
        self._made = True


def new_name() -> str:
    """Return a name for a user of the system."""
    return f"{USER_PREFIX}{secrets.token_hex(4)}"


def make_account(user: str, password: str, home: Path) -> None:
    """Make a user of the system, who owns its home."""
    _sweep()
    subprocess.run(["useradd", "-M", "-N", "-d", home, "-s", "/bin/sh", user], check=True)
    subprocess.run(["chpasswd"], input=f"{user}:{password}", text=True, check=True)
    shutil.chown(home, user)


def remove_account(user: str) -> None:
    """Remove a user that `make_account` made."""
    subprocess.run(["userdel", user], check=True)


def needs_root(program: str) -> str | None:
    """Return why a server cannot run here, None if it can."""
    return None if os.geteuid() == 0 else f"{program} needs root to let a user of its own in"


def _sweep() -> None:
    """Remove the users of servers whose tests were killed; their directories are gone already."""
    for account in pwd.getpwall():
        if account.pw_name.startswith(USER_PREFIX) and not Path(account.pw_dir).exists():
            # Another run may be sweeping too.
            subprocess.run(["userdel", account.pw_name], check=False)
