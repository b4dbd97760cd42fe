"""FTP by ProFTPD (Debian's `proftpd-core`, `proftpd-mod-crypto`): lists . and .. in MLSD.

Debian's packages of ProFTPD and vsftpd exclude each other, so where ProFTPD is not installed its
packages are unpacked into a directory of ours: ``python -m tests.servers.install``.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.ftp import FTPServer
from tests.servers.process import HOST
from tests.servers.ssh import SSHServer
from tests.servers.unpacked import BUILD, libraries, prefix_of, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.servers.certificates import Certificate
    from tests.servers.ftp import TLS
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

UNPACKED = BUILD / "proftpd"


def _settings(directory: Path, port: int) -> Iterator[tuple[str, object]]:
    """Yield what serving by FTP and by SFTP have in common."""
    yield "ServerName", "loopback"
    yield "ServerType", "standalone"
    yield "DefaultAddress", HOST
    yield "SocketBindTight", "on"
    yield "Port", port
    yield "UseIPv6", "off"
    yield "UseReverseDNS", "off"
    yield "User", ACCOUNT
    yield "Group", grp.getgrgid(pwd.getpwnam(ACCOUNT).pw_gid).gr_name
    yield "AuthOrder", "mod_auth_file.c"
    yield "AuthUserFile", directory / "users"
    yield "RequireValidShell", "off"
    yield "DefaultRoot", "~"
    yield "DelayEngine", "off"
    yield "PidFile", directory / "pid"
    yield "ScoreboardFile", directory / "scoreboard"
    yield "ModulePath", f"{_prefix()}/usr/lib/proftpd"
    yield "TransferLog", "none"
    yield "WtmpLog", "off"


def _missing() -> str | None:
    if _prefix() is None:
        return "proftpd is not installed (python -m tests.servers.install)"
    return None if os.geteuid() == 0 else "proftpd needs root to confine a user"


def _command(directory: Path) -> list[str]:
    return [f"{_prefix()}/usr/sbin/proftpd", "-n", "-q", "-c", str(directory / "proftpd.conf")]


def _admit(directory: Path, root: Path, user: str) -> None:
    """Let a user into a directory, who is in the server's own password file only."""
    # Whom the server becomes has to get through to the files.
    directory.chmod(0o711)
    account = pwd.getpwnam(ACCOUNT)
    shutil.chown(root, account.pw_uid, account.pw_gid)
    users = directory / "users"
    ids = f"{account.pw_uid}:{account.pw_gid}"
    users.write_text(f"{user}:{PASSWORD_HASH}:{ids}::{root}:/bin/sh\n")
    users.chmod(0o600)


class Proftpd(FTPServer):
    """Serve FTP to a user who is in the server's own password file only.

    ``config`` adds lines to its configuration, for example ``{"MaxClientsPerHost": 2}``.
    """

    name = "proftpd"

    def __init__(
        self,
        tls: TLS = "",
        certificate: Certificate | None = None,
        config: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(tls, certificate)
        self.config = dict(config or {})

    @classmethod
    def available(cls) -> str | None:
        return _missing()

    def environment(self) -> dict[str, str]:
        return libraries(UNPACKED)

    def command(self) -> list[str]:
        return _command(self.directory)

    def prepare(self) -> None:
        super().prepare()
        _admit(self.directory, self.root, self.user)
        settings = [*_settings(self.directory, self.port), *self._ports()]
        settings += self._tls_settings() if self.tls else ()
        settings += self.config.items()
        text = "".join(f"{option} {value}\n" for option, value in settings)
        (self.directory / "proftpd.conf").write_text(text + PERMISSIONS)

    def _ports(self) -> Iterator[tuple[str, object]]:
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


class ProftpdSFTP(SSHServer):
    """Serve SFTP by mod_sftp to the user `test` with a key file in `keys`."""

    name = "proftpd-sftp"
    user = "test"

    @classmethod
    def available(cls) -> str | None:
        return _missing()

    def environment(self) -> dict[str, str]:
        return libraries(UNPACKED)

    def command(self) -> list[str]:
        return _command(self.directory)

    def prepare(self) -> None:
        super().prepare()
        _admit(self.directory, self.root, self.user)
        allowed = self.directory / "authorized"
        # It takes RFC 4716's form alone.
        allowed.write_text(
            "".join(map(_rfc4716, self.keys.authorized_keys.read_text().split("\n")))
        )
        settings = [
            *_settings(self.directory, self.port),
            ("LoadModule", "mod_sftp.c"),
            ("SFTPEngine", "on"),
            ("SFTPAuthMethods", "publickey"),
            ("SFTPAuthorizedUserKeys", f"file:{allowed}"),
            *(("SFTPHostKey", key) for key in self.keys.host_keys),
        ]
        text = "".join(f"{option} {value}\n" for option, value in settings)
        (self.directory / "proftpd.conf").write_text(text + PERMISSIONS)


def _rfc4716(line: str) -> str:
    if not line:
        return ""
    text = line.split()[1]
    rows = "\n".join(text[start : start + 70] for start in range(0, len(text), 70))
    return f"---- BEGIN SSH2 PUBLIC KEY ----\n{rows}\n---- END SSH2 PUBLIC KEY ----\n"


def install() -> None:
    """Unpack ProFTPD and what it needs into `UNPACKED`."""
    unpack(PACKAGES, UNPACKED)


def _prefix() -> Path | None:
    return prefix_of("usr/sbin/proftpd", UNPACKED)
