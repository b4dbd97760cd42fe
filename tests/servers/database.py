"""Database servers (apt `postgresql`, `mariadb-server`), which refuse to run as root."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import struct
import subprocess
from pathlib import Path
from typing import ClassVar

from tests.servers.process import CONNECT_LIMIT, HOST, SYSTEM_PATH, Server, take

POSTGRESQL_PROGRAMS = Path("/usr/lib/postgresql")


class DatabaseServer(Server):
    """A server with one user and one database, both called ``files``."""

    user: ClassVar[str] = "files"
    database: ClassVar[str] = "files"
    #: Account of the system to run under where the tests run as root.
    account: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.password = f"a;b}}c{{d=e%46+{secrets.token_hex(8)}"

    @property
    def data(self) -> Path:
        """Return the directory of the data."""
        return self.directory / "data"

    def prepare(self) -> None:
        """Make the database at the first start."""
        # The account has to get through to its data.
        self.directory.chmod(0o711)
        if not self.data.exists():
            self.data.mkdir(mode=0o700)
            if os.geteuid() == 0:
                shutil.chown(self.data, self.account)
            self.initialise()

    def initialise(self) -> None:
        """Fill the directory of the data."""
        raise NotImplementedError

    def as_account(self, *command: str) -> list[str]:
        """Return a command that runs under the account."""
        if os.geteuid() != 0:
            return list(command)
        return [
            "setpriv",
            "--reuid",
            self.account,
            "--regid",
            self.account,
            "--clear-groups",
            *command,
        ]

    def run(self, *command: str) -> None:
        """Run a command under the account; it must succeed."""
        done = subprocess.run(
            self.as_account(*command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.data,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed:\n{done.stdout.decode(errors='replace')}")


class PostgreSQL(DatabaseServer):
    """PostgreSQL with passwords by SCRAM."""

    name = "postgresql"
    account = "postgres"
    database = "postgres"

    @classmethod
    def available(cls) -> str | None:
        """Return why it cannot run here."""
        found = _postgresql("postgres")
        return None if found else "PostgreSQL is not installed (apt-get install postgresql)"

    def initialise(self) -> None:
        """Make a cluster whose collation is that of code points."""
        secret = self.data.with_name("password")
        secret.write_text(self.password)
        secret.chmod(0o644)
        self.run(
            _postgresql("initdb"),
            *("-D", str(self.data), "-U", self.user, "-A", "scram-sha-256"),
            *("--pwfile", str(secret), "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"),
        )
        secret.unlink()

    def command(self) -> list[str]:
        """Return the command of the server."""
        options = {
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "fsync": "off",
            "deadlock_timeout": "100ms",
        }
        settings = [text for name, value in options.items() for text in ("-c", f"{name}={value}")]
        program = _postgresql("postgres")
        return self.as_account(program, "-D", str(self.data), "-p", str(self.port), *settings)

    def ready(self) -> bool:
        """Return True if it asks who is there, instead of saying that it is about to start."""
        told = b"".join(
            each.encode() + b"\0" for each in ("user", self.user, "database", self.database, "")
        )
        with socket.create_connection((HOST, self.port), timeout=CONNECT_LIMIT) as connection:
            connection.sendall(struct.pack(">II", 8 + len(told), 3 << 16) + told)
            return take(connection, 1) == b"R"

    def close(self) -> None:
        """End it in order first: one that is killed leaves memory to the system for ever."""
        self.stop()
        super().close()


class MariaDB(DatabaseServer):
    """MariaDB, which takes large contents."""

    name = "mariadb"
    account = "mysql"

    @classmethod
    def available(cls) -> str | None:
        """Return why it cannot run here."""
        found = _mariadb("mariadbd") and _mariadb("mariadb-install-db")
        return None if found else "MariaDB is not installed (apt-get install mariadb-server)"

    def initialise(self) -> None:
        """Make the system's tables, and what makes the user when the server starts."""
        self.run(
            _mariadb("mariadb-install-db"),
            *("--no-defaults", f"--datadir={self.data}", "--skip-test-db"),
            "--auth-root-authentication-method=normal",
        )
        user, password = f"'{self.user}'@'{HOST}'", self.password.replace("'", "''")
        script = self.data.with_name("init.sql")
        script.write_text(
            f"CREATE DATABASE IF NOT EXISTS {self.database} CHARACTER SET utf8mb4;\n"
            f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}';\n"
            f"GRANT ALL ON *.* TO {user} WITH GRANT OPTION;\n"
        )
        script.chmod(0o644)

    def command(self) -> list[str]:
        """Return the command of the server."""
        return self.as_account(
            _mariadb("mariadbd"),
            *("--no-defaults", f"--datadir={self.data}", f"--socket={self.data}/socket"),
            *(
                f"--tmpdir={self.data}",
                f"--pid-file={self.data}/pid",
                f"--port={self.port}",
                f"--bind-address={HOST}",
            ),
            *("--skip-name-resolve", "--max-allowed-packet=1G", "--innodb-log-file-size=1G"),
            *("--innodb-flush-log-at-trx-commit=0", f"--init-file={self.directory}/init.sql"),
        )

    def ready(self) -> bool:
        """Return True if it greets in its protocol, instead of refusing."""
        with socket.create_connection((HOST, self.port), timeout=CONNECT_LIMIT) as connection:
            return take(connection, 5)[4:] == b"\n"


def _postgresql(program: str) -> str:
    """Return the path of a program, of the newest version where there are several."""
    found = sorted(POSTGRESQL_PROGRAMS.glob(f"*/bin/{program}"), key=_version)
    return str(found[-1]) if found else shutil.which(program, path=SYSTEM_PATH) or ""


def _version(path: Path) -> float:
    try:
        return float(path.parent.parent.name)
    except ValueError:
        return 0


def _mariadb(program: str) -> str:
    return shutil.which(program, path=SYSTEM_PATH) or ""
