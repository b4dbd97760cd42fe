"""Install the servers that pip does not bring: ``python -m tests.servers.install``.

Where this account may not, it says which are missing, and their tests are skipped by name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from types import ModuleType

from tests.servers import inetutils, npm, proftpd, pureftpd
from tests.servers.process import Server

#: Debian's packages, and what needs them.
PACKAGES = {
    "chromium": "the browser test of the example",
    "chromium-driver": "the same",
    "curl": "an independent client to compare with",
    "exfat-fuse": "a file system without links",
    "exfatprogs": "the same",
    "lftp": "the same, of small files",
    "libsqliteodbc": "databases: SQLite through ODBC",
    "mariadb-server": "databases: MariaDB",
    "odbc-mariadb": "databases: MariaDB through ODBC",
    "odbc-postgresql": "databases: PostgreSQL through ODBC",
    "openssh-client": "ssh-keygen, and the client to compare with",
    "openssh-server": "SFTP",
    "postgresql": "databases: PostgreSQL",
    "unixodbc": "databases: the driver manager, which pyodbc needs, and its odbcinst",
    "vsftpd": "FTP and FTPS",
}

#: Servers whose packages exclude vsftpd's, so that they are unpacked instead.
UNPACKED: dict[str, tuple[ModuleType, type[Server]]] = {
    "inetutils-ftpd": (inetutils, inetutils.Inetutils),
    "proftpd": (proftpd, proftpd.Proftpd),
    "pure-ftpd": (pureftpd, pureftpd.PureFTPd),
}


def main() -> None:
    """Install what is missing, or say that it is."""
    install_packages()
    install_from_npm()


def install_packages() -> None:
    """Install Debian's packages."""
    missing = [name for name in PACKAGES if not is_installed(name)]
    if shutil.which("npm") is None:
        missing.append("npm")
    away = {name: module for name, (module, server) in UNPACKED.items() if server.available()}
    wanted = [*missing, *away]
    if not wanted:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        print(f"Not installed here: {', '.join(wanted)}. Root on Debian would install them.")
        return
    print(f"Installing {', '.join(wanted)}", flush=True)
    run("apt-get", "update", "-qq")
    if missing:
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing)
    for module in away.values():
        module.install()


def install_from_npm() -> None:
    """Install what comes from npm, which needs no rights."""
    missing = npm.missing()
    if missing and shutil.which("npm") is None:
        print(f"Not installed here: {', '.join(missing)}. npm would install them.")
        return
    for name in missing:
        print(f"Installing {name}", flush=True)
        npm.install(name, run)


def is_installed(package: str) -> bool:
    """Return True if Debian's package manager has a package installed."""
    if shutil.which("dpkg-query") is None:
        return False
    query = ["dpkg-query", "-W", "-f", "${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout == "installed"


def run(*command: str) -> None:
    """Run a command that must succeed; its output is shown only if it does not."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout.decode(errors='replace')}")


if __name__ == "__main__":
    main()
