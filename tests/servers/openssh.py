"""SFTP by OpenSSH's sshd (apt `openssh-server`): key login as the user who runs the tests."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.process import HOST, SYSTEM_PATH
from tests.servers.ssh import SSHServer

if TYPE_CHECKING:
    from collections.abc import Mapping

PRIVILEGE_SEPARATION = Path("/run/sshd")


class OpenSSH(SSHServer):
    """Serve the file system, from `root` on, to the running user's key files in `keys`.

    `config` adds lines to sshd_config, for example ``{"MaxSessions": "1"}``; `denied` are requests
    that the SFTP server is not to offer, such as ``posix-rename``.
    """

    name = "openssh"

    def __init__(
        self, config: Mapping[str, str] | None = None, denied: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        self.denied = denied
        self.config = dict(config or {})
        self.user = pwd.getpwuid(os.geteuid()).pw_name

    @classmethod
    def available(cls) -> str | None:
        return None if _sshd() else "sshd is not installed (apt-get install openssh-server)"

    def command(self) -> list[str]:
        return [_sshd(), "-D", "-e", "-f", str(self.directory / "sshd_config")]

    def prepare(self) -> None:
        super().prepare()
        if os.geteuid() == 0:
            PRIVILEGE_SEPARATION.mkdir(exist_ok=True)
        # The first line for an option wins, but for MaxStartups, where it is the last.
        ours = [each for each in self._settings() if each[0] not in self.config]
        settings = [*self.config.items(), *ours]
        text = "".join(f"{option} {value}\n" for option, value in settings)
        (self.directory / "sshd_config").write_text(text)

    def _denials(self) -> list[str]:
        return ["-P", ",".join(self.denied)] if self.denied else []

    def _settings(self) -> list[tuple[str, str]]:
        settings = {
            "Port": str(self.port),
            "ListenAddress": HOST,
            "PidFile": "none",
            "AuthorizedKeysFile": str(self.keys.authorized_keys),
            "StrictModes": "no",
            "PermitRootLogin": "yes",
            "PasswordAuthentication": "no",
            "KbdInteractiveAuthentication": "no",
            "UsePAM": "no",
            "MaxStartups": "200",
            "MaxSessions": "200",
            "Subsystem": " ".join(["sftp internal-sftp -d", str(self.root), *self._denials()]),
        }
        if _version() >= (9, 8):
            # Refused logins would lock loopback out, and some tests are about them.
            settings["PerSourcePenalties"] = "no"
        return [*settings.items(), *(("HostKey", str(key)) for key in self.keys.host_keys)]


def _sshd() -> str:
    """Return the program's absolute path, which it insists on, or nothing."""
    return shutil.which("sshd", path=SYSTEM_PATH) or ""


def _version() -> tuple[int, int]:
    run = subprocess.run([_sshd(), "-V"], capture_output=True, text=True, check=False)
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", run.stderr)
    return (int(found[1]), int(found[2])) if found else (0, 0)
