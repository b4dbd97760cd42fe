"""FTP by Pure-FTPd (Debian's `pure-ftpd`, unpacked): has a limit of entries in its listings."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from tests.servers.ftp import FTPServer
from tests.servers.process import HOST
from tests.servers.proftpd import ACCOUNT
from tests.servers.unpacked import BUILD, libraries, prefix_of, unpack

PACKAGES = ("pure-ftpd", "pure-ftpd-common")
UNPACKED = BUILD / "pure-ftpd"


class PureFTPd(FTPServer):
    """Serve FTP to a user who is in the server's own database only; ``entries`` limits listings."""

    name = "pure-ftpd"

    def __init__(self, entries: int = 100_000) -> None:
        super().__init__()
        self.entries = entries

    @classmethod
    def available(cls) -> str | None:
        if _prefix() is None:
            return "pure-ftpd is not installed (python -m tests.servers.install)"
        return None if os.geteuid() == 0 else "pure-ftpd needs root to confine a user"

    def environment(self) -> dict[str, str]:
        return libraries(UNPACKED)

    def command(self) -> list[str]:
        address = f"{HOST},{self.port}"
        users = f"puredb:{self.directory / 'users.pdb'}"
        limits = ["-c", "200", "-C", "200", "-L", f"{self.entries}:50", "-u", "1"]
        where = ["-S", address, "-l", users, "-g", str(self.directory / "pid")]
        return [f"{_prefix()}/usr/sbin/pure-ftpd", "-H", "-A", "-D", *where, *limits]

    def prepare(self) -> None:
        super().prepare()
        self.directory.chmod(0o711)
        shutil.chown(self.root, ACCOUNT, "nogroup")
        # Its own tool makes hashes that take four seconds of a core at every login.
        hashed = subprocess.run(
            ["openssl", "passwd", "-6", "-stdin"],
            input=self.password,
            text=True,
            capture_output=True,
            check=True,
        )
        account = pwd.getpwnam(ACCOUNT)
        ids = f"{account.pw_uid}:{account.pw_gid}"
        users = self.directory / "users"
        users.write_text(f"{self.user}:{hashed.stdout.strip()}:{ids}::{self.root}/./{':' * 12}\n")
        database = [str(self.directory / "users.pdb"), "-f", str(users)]
        subprocess.run(
            [f"{_prefix()}/usr/bin/pure-pw", "mkdb", *database],
            check=True,
            capture_output=True,
            env={**os.environ, **libraries(UNPACKED)},
        )


def install() -> None:
    """Unpack Pure-FTPd into `UNPACKED`."""
    unpack(PACKAGES, UNPACKED, exactly=True)


def _prefix() -> Path | None:
    return prefix_of("usr/sbin/pure-ftpd", UNPACKED)
