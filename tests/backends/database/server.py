"""What tests of the database backend share: databases, options for them, and a look at a table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings
from django.db import connections

from tests.servers.database import DatabaseServer
from tests.servers.process import HOST

pyodbc: Any = None
with suppress(ImportError):  # of the driver manager that it stands on
    pyodbc = import_module("pyodbc")

#: Columns as the documents that this backend is made from have them.
COLUMNS = {"fname_column": "FILE_NAME", "blob_column": "BLOB", "size_column": "SIZE"}
MORE = {"modified_column": "MODIFIED", "content_type_column": "KIND"}

DRIVERS = {
    "sqlite": ("SQLite3", "libsqliteodbc"),
    "postgresql": ("PostgreSQL Unicode", "odbc-postgresql"),
    "mariadb": ("MariaDB Unicode", "odbc-mariadb"),
}
QUOTES = {"mariadb": "`"}
_ALIASES = count()


def missing(kind: str) -> str | None:
    """Return why a database cannot be reached through ODBC here."""
    if pyodbc is None:
        return "the ODBC driver manager is not installed (apt-get install unixodbc)"
    driver, package = DRIVERS[kind]
    return None if driver in pyodbc.drivers() else f"apt-get install {package} is missing"


class Place:
    """A database to keep files in; the kind is the name of its dialect."""

    def __init__(self, kind: str, server: DatabaseServer | None, directory: Path) -> None:
        self.kind = kind
        self.server = server
        self.file = directory / "files of tests.sqlite3"

    def options(self, via: Any = None, **more: Any) -> dict[str, Any]:
        """Return the options of a way through ODBC, perhaps through a proxy."""
        given: dict[str, Any] = {"driver": DRIVERS[self.kind][0], "timeout": 20.0}
        if self.server is None:
            return given | {"database": str(self.file)} | more
        host, port = self.server.address if via is None else via.address
        given |= {"host": host, "port": port, "database": self.server.database}
        return given | {"user": self.server.user, "password": self.server.password} | more

    @contextmanager
    def alias(self, via: Any = None, **options: Any) -> Iterator[str]:
        """Give the database an alias in DATABASES for a while, with options of Django's driver."""
        # Threads that outlive this keep their connection of an alias.
        name = f"files_{self.kind}_{next(_ALIASES)}"
        if self.server is None:
            entry: dict[str, Any] = {"ENGINE": "sqlite3", "NAME": str(self.file)}
            options = {"timeout": 20, **options}
        else:
            port = (self.server if via is None else via).port
            entry = {"ENGINE": "postgresql", "NAME": self.server.database, "HOST": HOST}
            entry |= {"PORT": port, "USER": self.server.user, "PASSWORD": self.server.password}
        entry |= {"ENGINE": f"django.db.backends.{entry['ENGINE']}", "OPTIONS": options}
        settings.DATABASES[name] = entry
        connections.settings = connections.configure_settings(settings.DATABASES)
        try:
            yield name
        finally:
            connections[name].close()
            del settings.DATABASES[name], connections[name]

    def connect(self) -> Any:
        """Return a connection of an independent driver where there is one; it commits at once."""
        if self.kind == "sqlite":
            return sqlite3.connect(self.file, timeout=20, isolation_level=None)
        assert self.server is not None
        if self.kind == "postgresql":
            return psycopg.connect(
                host=HOST,
                port=self.server.port,
                user=self.server.user,
                password=self.server.password,
                dbname=self.server.database,
                autocommit=True,
            )
        return self.connect_odbc()

    def connect_odbc(self) -> Any:
        """Return a connection through ODBC; it commits at once."""
        assert pyodbc is not None
        words = {"DRIVER": DRIVERS[self.kind][0], "DATABASE": str(self.file)}
        if self.server is not None:
            words |= {
                "SERVER": HOST,
                "PORT": str(self.server.port),
                "DATABASE": self.server.database,
                "UID": self.server.user,
                "PWD": "{" + self.server.password.replace("}", "}}") + "}",
            }
        text = ";".join(f"{word}={value}" for word, value in words.items())
        connection = pyodbc.connect(text, autocommit=True)
        connection.setencoding("utf-8")
        return connection

    def execute(self, sql: str, *values: Any) -> list[Any]:
        """Run a statement with ``"`` for quotes and ``?`` for values on a new connection."""
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            text = sql.replace('"', QUOTES.get(self.kind, '"'))
            if self.kind == "postgresql":
                text = text.replace("?", "%s")
            cursor.execute(text, values)
            return cursor.fetchall() if cursor.description else []


class RawTable:
    """A look at a table."""

    def __init__(self, place: Place, table: str, *, is_timed: bool = True) -> None:
        self.place = place
        self.table = table
        self.is_timed = is_timed

    def get(self, name: str) -> bytes | None:
        rows = self.place.execute(
            f'SELECT "BLOB", "SIZE" FROM "{self.table}" WHERE "FILE_NAME" = ?', name
        )
        if not rows:
            return None
        content, size = rows[0]
        assert size == len(content)
        return bytes(content)

    def put(self, name: str, content: bytes) -> None:
        self.plant([name], content)

    def plant(self, names: Iterable[str], content: bytes = b"content") -> None:
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
        with closing(self.place.connect()) as connection:
            cursor = connection.cursor()
            mark = "%s" if self.place.kind == "postgresql" else "?"
            quote = QUOTES.get(self.place.kind, '"')
            columns = [*COLUMNS.values(), *(["MODIFIED"] if self.is_timed else [])]
            listed = ", ".join(f"{quote}{each}{quote}" for each in columns)
            table = f"{quote}{self.table}{quote}"
            marks = ", ".join([mark] * len(columns))
            cursor.execute("BEGIN")
            for each in names:
                values = [each, content, len(content), *([now] if self.is_timed else [])]
                cursor.execute(
                    f"DELETE FROM {table} WHERE {quote}FILE_NAME{quote} = {mark}", [each]
                )
                cursor.execute(f"INSERT INTO {table} ({listed}) VALUES ({marks})", values)
            cursor.execute("COMMIT")

    def names(self) -> list[str]:
        return [row[0] for row in self.place.execute(f'SELECT "FILE_NAME" FROM "{self.table}"')]

    def kind_of(self, name: str) -> str:
        rows = self.place.execute(f'SELECT "KIND" FROM "{self.table}" WHERE "FILE_NAME" = ?', name)
        return str(rows[0][0])
