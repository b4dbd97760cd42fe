"""FTP by ProFTPD (Debian's `proftpd-core`, `proftpd-mod-crypto`): lists . and .. in MLSD.

Debian's packages of ProFTPD and vsftpd exclude each other, so where ProFTPD is not installed its
packages are unpacked into a directory of ours: ``python -m tests.servers.install``.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.ftp import FTPServer
from tests.servers.process import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator
PACKAGES = ("proftpd-core", "proftpd-mod-crypto")
ACCOUNT = "nobody"  # of the system, whom the server becomes

# Of `FTPServer.password`, by `openssl passwd -6`.
PASSWORD_HASH = (
    "$6$storages$DVJi0PkL0eWmqh0jn0UYLeP5xUhMA298wHqYrkRsmVb7"
    "lurCpqEVyn9fkmlZw8Rmk.UXc2W39A7a.eAWiBjBr."
)

PERMISSIONS = """
<Directory />
  AllowOverwrite on
  AllowStoreRestart on
</Directory>
"""

UNPACKED = Path(__file__).parents[2] / "build" / "proftpd"


class Proftpd(FTPServer):
    """Serve FTP to a user who is in the server's own password file only."""

    name = "proftpd"

    @classmethod
    def available(cls) -> str | None:
        if _prefix() is None:
            return "proftpd is not installed (python -m tests.servers.install)"
        return None if os.geteuid() == 0 else "proftpd needs root to confine a user"

    def environment(self) -> dict[str, str]:
        libraries = {str(path.parent) for path in UNPACKED.glob("usr/lib/*/*.so.*")}
        return {"LD_LIBRARY_PATH": os.pathsep.join(sorted(libraries))} if libraries else {}

    def command(self) -> list[str]:
        prefix = str(_prefix())
        config = str(self.directory / "proftpd.conf")
        return [f"{prefix}/usr/sbin/proftpd", "-n", "-q", "-c", config]

    def prepare(self) -> None:
        super().prepare()
        # Whom the server becomes has to get through to the files.
        self.directory.chmod(0o711)
        account = pwd.getpwnam(ACCOUNT)
        shutil.chown(self.root, account.pw_uid, account.pw_gid)
        users = self.directory / "users"
        ids = f"{account.pw_uid}:{account.pw_gid}"
        users.write_text(f"{self.user}:{PASSWORD_HASH}:{ids}::{self.root}:/bin/sh\n")
        users.chmod(0o600)
        settings = [*self._settings(), *(self._tls_settings() if self.tls else ())]
        text = "".join(f"{option} {value}\n" for option, value in settings)
        (self.directory / "proftpd.conf").write_text(text + PERMISSIONS)

    def _settings(self) -> Iterator[tuple[str, object]]:
        group = grp.getgrgid(pwd.getpwnam(ACCOUNT).pw_gid).gr_name
        yield "ServerName", "loopback"
        yield "ServerType", "standalone"
        yield "DefaultAddress", HOST
        yield "SocketBindTight", "on"
        yield "Port", self.port
        yield "UseIPv6", "off"
        yield "UseReverseDNS", "off"
        yield "User", ACCOUNT
        yield "Group", group
        yield "AuthOrder", "mod_auth_file.c"
        yield "AuthUserFile", self.directory / "users"
        yield "RequireValidShell", "off"
        yield "DefaultRoot", "~"
        yield "DelayEngine", "off"
        yield "PidFile", self.directory / "pid"
        yield "ScoreboardFile", self.directory / "scoreboard"
        yield "ModulePath", f"{_prefix()}/usr/lib/proftpd"
        yield "TransferLog", "none"
        yield "WtmpLog", "off"
        if self.data_ports is not None:
            yield "PassivePorts", "{} {}".format(*self.data_ports)

    def _tls_settings(self) -> Iterator[tuple[str, object]]:
        yield "LoadModule", "mod_tls.c"
        yield "TLSEngine", "on"
        yield "TLSRequired", "on"
        yield "TLSProtocol", "TLSv1.2 TLSv1.3"
        yield "TLSECCertificateFile", self.certificate.cert_file
        yield "TLSECCertificateKeyFile", self.certificate.key_file
        yield "TLSLog", self.directory / "tls.log"
        if self.tls == "implicit":
            yield "TLSOptions", "UseImplicitSSL"


def install() -> None:
    """Download ProFTPD with the libraries missing here, and unpack all that into `UNPACKED`."""
    simulated = ["apt-get", "-s", "install", "--no-install-recommends", *PACKAGES]
    plan = subprocess.run(simulated, capture_output=True, text=True, check=True).stdout
    names = re.findall(r"^Inst (\S+)", plan, re.MULTILINE)
    UNPACKED.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=UNPACKED.parent) as downloads:
        subprocess.run(["apt-get", "-qq", "download", *names], cwd=downloads, check=True)
        unpacked = Path(downloads, "unpacked")
        for package in Path(downloads).glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(unpacked)], check=True)
        # All at once, so that what is there is whole.
        unpacked.rename(UNPACKED)


def _prefix() -> Path | None:
    """Return the directory under which ProFTPD is installed."""
    prefixes = (Path("/"), UNPACKED)
    return next((path for path in prefixes if (path / "usr/sbin/proftpd").exists()), None)
