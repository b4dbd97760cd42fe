"""FTP by vsftpd (apt `vsftpd`): has no MLSD, and with TLS wants data connections to resume it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.servers.accounts import AccountServer, needs_root
from tests.servers.process import HOST, SYSTEM_PATH

if TYPE_CHECKING:
    from tests.servers.certificates import Certificate
    from tests.servers.ftp import TLS


class Vsftpd(AccountServer):
    """Serve FTP to a user of the system, made for the server and removed with it."""

    name = "vsftpd"

    def __init__(
        self,
        tls: TLS = "",
        certificate: Certificate | None = None,
        *,
        reuse: bool = True,
        zone: str = "",
        most: int = 0,
    ) -> None:
        super().__init__(tls, certificate)
        self.zone = zone  # whose time it tells, as Debian's configuration does; else UTC
        self.most = most  # connections that it takes from one address; 0 is no limit
        self.reuse = reuse  # whether data connections have to resume the control's TLS session

    @classmethod
    def available(cls) -> str | None:
        if not _vsftpd():
            return "vsftpd is not installed (apt-get install vsftpd)"
        return needs_root("vsftpd")

    def environment(self) -> dict[str, str]:
        return {"TZ": self.zone} if self.zone else {}

    def command(self) -> list[str]:
        return [_vsftpd(), str(self.directory / "vsftpd.conf")]

    def prepare(self) -> None:
        super().prepare()
        (self.directory / "empty").mkdir(exist_ok=True)
        settings = self._settings() | (self._tls_settings() if self.tls else {}) | self._ports()
        config = self.directory / "vsftpd.conf"
        config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

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
            "max_per_ip": str(self.most),
            "use_localtime": "YES" if self.zone else "NO",
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
