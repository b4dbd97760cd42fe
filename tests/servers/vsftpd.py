"""FTP by vsftpd (apt `vsftpd`): has no MLSD, and with TLS wants data connections to resume it."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.ftp import TLS, FTPServer
from tests.servers.process import HOST, SYSTEM_PATH

if TYPE_CHECKING:
    from tests.servers.certificates import Certificate

USER_PREFIX = "storages-"


class Vsftpd(FTPServer):
    """Serve FTP to a user of the system, made for the server and removed with it."""

    name = "vsftpd"

    def __init__(
        self, tls: TLS = "", certificate: Certificate | None = None, *, reuse: bool = True
    ) -> None:
        super().__init__(tls, certificate)
        self.reuse = reuse  # whether data connections have to resume the control's TLS session
        self.user = f"{USER_PREFIX}{secrets.token_hex(4)}"
        self.password = secrets.token_hex(8)
        self._made = False

    @classmethod
    def available(cls) -> str | None:
        if not _vsftpd():
            return "vsftpd is not installed (apt-get install vsftpd)"
        return None if os.geteuid() == 0 else "vsftpd needs root to let a user of its own in"

    def command(self) -> list[str]:
        return [_vsftpd(), str(self.directory / "vsftpd.conf")]

    def prepare(self) -> None:
        super().prepare()
        # The user has to get through to its files.
        self.directory.chmod(0o711)
        (self.directory / "empty").mkdir(exist_ok=True)
        self._make_user()
        settings = self._settings() | (self._tls_settings() if self.tls else {}) | self._ports()
        config = self.directory / "vsftpd.conf"
        config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

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

    def _settings(self) -> dict[str, str]:
        return {
            "listen": "YES",
            "listen_address": HOST,
            "listen_port": str(self.port),
            "background": "NO",
            "anonymous_enable": "NO",
            "local_enable": "YES",
            "write_enable": "YES",
            "local_umask": "022",
            "local_root": str(self.root),
            "chroot_local_user": "YES",
            "allow_writeable_chroot": "YES",
            "secure_chroot_dir": str(self.directory / "empty"),
            "seccomp_sandbox": "NO",
            "utf8_filesystem": "YES",
            "xferlog_enable": "NO",
            "delay_failed_login": "0",
        }

    def _ports(self) -> dict[str, str]:
        if self.data_ports is None:
            return {}
        first, last = map(str, self.data_ports)
        return {"pasv_min_port": first, "pasv_max_port": last}

    def _tls_settings(self) -> dict[str, str]:
        return {
            "ssl_enable": "YES",
            "rsa_cert_file": str(self.certificate.cert_file),
            "rsa_private_key_file": str(self.certificate.key_file),
            "force_local_logins_ssl": "YES",
            "force_local_data_ssl": "YES",
            "implicit_ssl": "YES" if self.tls == "implicit" else "NO",
            "require_ssl_reuse": "YES" if self.reuse else "NO",
            "ssl_ciphers": "HIGH",
        }


def _vsftpd() -> str:
    return shutil.which("vsftpd", path=SYSTEM_PATH) or ""


def _sweep() -> None:
    """Remove the users of servers whose tests were killed; their directories are gone already."""
    for account in pwd.getpwall():
        if account.pw_name.startswith(USER_PREFIX) and not Path(account.pw_dir).exists():
            # Another run may be sweeping too.
            subprocess.run(["userdel", account.pw_name], check=False)
