"""How a session is opened through ODBC: driver, time limits, what the pool has to know."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured

from storages.utils import sdk_missing

from .dialects import SQLSERVER, Dialect, dialect_of
from .errors import DeadlockError, LostError, translated
from .session import Session

#: Words of connection strings whose values are secret.
PASSWORDS = {"PWD", "PASSWORD"}

QUIET = 15  # seconds a session may be idle before it is asked whether it still works

# Connections of the process this one forked from; their finalizers would write to its sockets.
_abandoned: list[Session] = []


def pyodbc() -> Any:
    """Return the module, which needs the driver manager of the system."""
    try:
        return import_module("pyodbc")
    except ImportError as exc:
        raise sdk_missing("database", exc) from exc


@dataclass(frozen=True)
class Connector:
    """Opens sessions by a connection string."""

    connection_string: str = field(repr=False)
    timeout: float
    #: What no error text may hold.
    secrets: tuple[str, ...] = field(default=(), repr=False)

    lost: ClassVar[tuple[type[Exception], ...]] = (LostError, DeadlockError)

    def connect(self) -> Session:
        """Open a session with time limits set, in which each statement commits by itself."""
        module = pyodbc()
        session = Session(self._open, self.timeout, module.Error)
        try:
            session.dialect = session.do(self._begin)
        except BaseException:
            session.close()
            raise
        return session

    def check(self, connection: Session, idle: float) -> bool:
        """Ask a session that was idle for long whether it still works."""
        if connection.is_broken:
            return False
        if idle > QUIET:
            try:
                connection.ask("SELECT 1")
            except OSError:
                return False
        return True

    def survives(self, exc: BaseException) -> bool:
        """Return True if an error leaves the session as it was."""
        kept = isinstance(exc, (OSError, ImproperlyConfigured))
        return kept and not isinstance(exc, (ConnectionError, TimeoutError))

    def close(self, connection: Session) -> None:
        """Close a session."""
        connection.close()

    def abandon(self, connection: Session) -> None:
        """Keep a session of the parent from being closed here: its thread is not in this process.

        Closing it would tell the server that the parent's session ends.
        """
        _abandoned.append(connection)

    def _open(self) -> Any:
        module = pyodbc()
        try:
            # No variable holds the text: Django's debug page shows those of failed calls.
            return module.connect(self._text(), autocommit=True, timeout=math.ceil(self.timeout))
        except module.Error as exc:
            safe = self._redacted(exc)
        raise translated(safe) from safe

    def _text(self) -> str:
        # The driver manager may be set up to pool connections, and would give a forked process its
        # parent's: no two processes have this text in common. Drivers ignore the word.
        text = f"{self.connection_string.rstrip('; ')};StoragesProcess={os.getpid()}"
        # MariaDB's driver takes no notice of the limit that is given to it otherwise.
        limit = f";CONN_TIMEOUT={math.ceil(self.timeout)}" if "maria" in text.lower() else ""
        return text + limit

    def _begin(self, connection: Any) -> Dialect:
        """Find out which database this is, and set the limits of its own."""
        dialect = dialect_of(connection.getinfo(pyodbc().SQL_DBMS_NAME))
        if dialect is not SQLSERVER:
            # Else the driver for MariaDB stores long names one character short.
            connection.setencoding("utf-8")
            connection.setdecoding(pyodbc().SQL_CHAR, "utf-8")
        limits = {"ms": math.ceil(self.timeout * 1000), "s": math.ceil(self.timeout)}
        for statement in dialect.session:
            connection.execute(statement.format(**limits)).close()
        if dialect is SQLSERVER:
            connection.timeout = limits["s"]
        return dialect

    def _redacted(self, exc: Exception) -> Exception:
        """Return the error of a connection without what is secret in its text."""
        told = [str(each) for each in exc.args]
        for secret in filter(None, (self.connection_string, *self.secrets)):
            told = [each.replace(secret, "…") for each in told]
        return type(exc)(*told)


def quoted(value: str) -> str:
    """Return a value for a connection string in braces, so that nothing in it ends it."""
    return "{" + value.replace("}", "}}") + "}"


def parts_of(connection_string: str) -> dict[str, str]:
    """Return the words of a connection string with their values; of equal words the first."""
    found: dict[str, str] = {}
    rest = connection_string
    while rest.strip("; "):
        word, _, rest = rest.lstrip("; ").partition("=")
        rest = rest.lstrip()
        if rest.startswith("{"):
            value, rest = _braced(rest[1:])
        else:
            value, _, rest = rest.partition(";")
        found.setdefault(word.strip().upper(), value.strip())
    return found


def _braced(text: str) -> tuple[str, str]:
    """Split what follows an opening brace into the value and what is left."""
    end = 0
    while (end := text.find("}", end)) >= 0 and text[end : end + 2] == "}}":
        end += 2
    if end < 0:
        return text, ""
    return text[:end].replace("}}", "}"), text[end + 1 :].partition(";")[2]


def is_verified(words: Mapping[str, str]) -> bool:
    """Return True if the words of a connection string have the server's certificate checked."""
    driver = words.get("DRIVER", "").lower()
    if "postgres" in driver or "psqlodbc" in driver:
        return words.get("SSLMODE", "").lower() in {"verify-ca", "verify-full"}
    if "maria" in driver or "mysql" in driver:
        return bool(words.get("SSLCA") or words.get("SSLVERIFY", "0") != "0")
    if "sql server" in driver:
        # Older drivers encrypt only if they are told to; all take what they are told to trust.
        trusts = words.get("TRUSTSERVERCERTIFICATE", "no").lower() in {"yes", "true", "1"}
        return words.get("ENCRYPT", "").lower() in {"yes", "mandatory", "strict"} and not trusts
    return True
