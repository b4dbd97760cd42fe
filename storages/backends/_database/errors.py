"""What databases and their drivers report, as built-in errors that say what to change.

The class of an error tells little: the SQLite driver for ODBC has one for everything, and a
session that was ended is a plain error on PostgreSQL. SQLSTATE, the database's own number and the
text tell.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured

COMMAND = "manage.py storages_createtable"

# "(1062) (SQLExecDirectW)" is how pyodbc ends a text: the number is the database's own.
_NATIVE = re.compile(r"\((-?\d+)\) \(SQL\w+\)")


class LostError(ConnectionError):
    """The session ended, so that nobody knows whether the last statement was carried out."""


class DeadlockError(OSError):
    """The database undid the statement for the sake of another: it can be repeated."""


class Kind(NamedTuple):
    """A kind of error: how to know it, and what to raise."""

    errno: int
    text: str
    states: str = ""
    numbers: tuple[int, ...] = ()
    words: str = ""
    kind: type[Exception] = OSError

    def has(self, state: str, number: int | None) -> bool:
        """Return True if a SQLSTATE or a number is one of this kind's."""
        return bool(self.states and re.match(self.states, state)) or number in self.numbers

    def says(self, text: str) -> bool:
        """Return True if a text is one of this kind's."""
        return bool(self.words and re.search(self.words, text, re.IGNORECASE))


# Numbers above 100 are MariaDB's or SQL Server's; those below are SQLite's and match by its texts.
KINDS = (
    Kind(
        errno.EDEADLK,
        "The database chose this statement as the victim of a deadlock, each time",
        "40001|40P01",
        (1213,),
        "deadlock (found|detected)|deadlock victim",
        DeadlockError,
    ),
    Kind(
        errno.ETIMEDOUT,
        "The database did not finish in time, or another transaction holds the row: raise the "
        "option 'timeout', or end that transaction",
        "57014|55P03|HYT00|HYT01|70100|HY018",
        (1205, 1222, 1969, 3024),
        "lock wait timeout|max_statement_time|database is locked|database table is locked"
        "|canceling statement|timeout expired|system error: 110",
    ),
    Kind(
        errno.EEXIST,
        "The name is taken",
        "23505",
        (1062, 2601, 2627),
        "unique constraint failed|duplicate (entry|key)|unique key constraint",
    ),
    Kind(
        errno.EFBIG,
        "The content is larger than the database takes in one statement: raise its setting "
        "max_allowed_packet, or set the option 'max_size'",
        "",
        (1153, 1301),
        "max_allowed_packet",
    ),
    Kind(
        errno.EFBIG,
        "The content is larger than the column or the database takes: use a larger type, or set "
        "the option 'max_size'",
        "22001|54000|53200",
        (1406, 8152),
        "string or blob too big|invalid memory alloc request size|data too long"
        "|out of memory|cannot enlarge string buffer",
    ),
    Kind(
        errno.ENOSPC,
        "The database has no room left on its disk",
        "53100",
        (1021, 1114),
        "disk is full|no space left|(table|filegroup) .* is full|errno: 28",
    ),
    Kind(
        errno.EACCES,
        "The database takes no changes, it is read-only: name the primary one",
        "25006",
        (1290, 1792, 1836, 3906),
        "read-?only",
    ),
    Kind(
        errno.EACCES,
        "The login is refused: check the user and the password, and that the user may use the "
        "database",
        "28",
        (1044, 1045, 1698, 18456),
        "authentication failed|no password supplied|access denied for user"
        "|no pg_hba.conf entry|login failed|role .* does not exist",
    ),
    Kind(
        errno.EACCES,
        "The database user may not do that: grant SELECT, INSERT, UPDATE and DELETE on the table",
        "42501",
        (1142, 1143, 1227, 229, 230),
        "permission denied|command denied|not authorized",
    ),
    Kind(
        errno.EINVAL,
        "The table exists already",
        "42P07|42S01",
        (1050, 2714),
        "(table|relation) .* already exists",
    ),
    Kind(
        errno.ENOENT,
        "The database has no such table or column: correct 'db_table' and the options of columns "
        f"(setting DB_FILES), or make the table by '{COMMAND}'",
        "42P01|42703|42S02|42S22|3F000",
        (1146, 1054, 207, 208),
        "no such (table|column)",
        ImproperlyConfigured,
    ),
    Kind(
        errno.ENOENT,
        "There is no such database: correct the connection",
        "3D000",
        (1049, 4060),
        "(unknown database|database .* does not exist)",
        ImproperlyConfigured,
    ),
    Kind(
        errno.ENOENT,
        "There is no such ODBC driver or data source on this machine: correct the option "
        "'driver' (setting DATABASE_ODBC_DRIVER) or 'connection_string'; 'odbcinst -q -d' lists "
        "the drivers",
        "IM002|IM003|01000",
        (),
        "can't open lib|data source name not found",
        ImproperlyConfigured,
    ),
    Kind(
        errno.EINVAL,
        "The table has further columns that must have a value: give them a default",
        "23502",
        (1048, 1364, 515),
        "not null constraint failed|doesn't have a default value|cannot insert the value null",
        ImproperlyConfigured,
    ),
    Kind(
        errno.ENXIO,
        "The database's file cannot be opened: check 'database' (DATABASE_NAME), or NAME in "
        "DATABASES, and the rights on its directory",
        words=r"unable to open database file|\[SQLite\]connect failed \(14\)",
    ),
    Kind(
        errno.EHOSTUNREACH,
        "The database's host does not resolve or cannot be reached: check the host",
        "",
        (2005,),
        "could not translate host|unknown (mysql |mariadb )?server host|no route to host"
        "|network is unreachable|name or service not known",
    ),
    Kind(
        errno.ECONNREFUSED,
        "The database refuses connections: check host and port, and whether it runs",
        "",
        (),
        "connection refused|can't connect to",
    ),
    Kind(
        errno.ECONNRESET,
        "The connection to the database was lost",
        "08|57P0[1-5]",
        (2006, 2013, 2055),
        "gone away|lost connection|terminat|server closed the connection|connection reset"
        "|broken pipe|not connected|connection (is|was|has been|already) (closed|lost)"
        "|communication link|no connection to the server|could not (send|receive) data"
        "|ssl (syscall|error)|unexpected eof|not open",
        LostError,
    ),
)


def translated(exc: Exception) -> Exception:
    """Return the built-in error for one of a database; its cause is left to the caller."""
    state, number, text = described(exc)
    # A text may quote a file's name, so it is the last to be asked; but for connections that fail,
    # whose state says no more than that.
    found = _first(each for each in KINDS if each.has(state, number) and each.kind is not LostError)
    found = found or _first(each for each in KINDS if each.says(text))
    found = found or _first(each for each in KINDS if each.has(state, number))
    if found is None:
        name = state or type(exc).__name__
        return OSError(errno.EIO, f"The database reports the error {name}, see its cause")
    if issubclass(found.kind, OSError):
        return found.kind(found.errno, found.text)
    return found.kind(f"{found.text}.")


def _first(kinds: Iterable[Kind]) -> Kind | None:
    return next(iter(kinds), None)


def described(exc: Exception) -> tuple[str, int | None, str]:
    """Return SQLSTATE, the database's own number, and the text of an error, as far as known.

    pyodbc puts the first and the last into its arguments. Django's errors have the driver's own as
    their cause: psycopg tells the SQLSTATE, the drivers of MySQL the number.
    """
    inner: Any = exc.__cause__ or exc
    text = str(inner)
    first = inner.args[0] if inner.args else ""
    state = getattr(inner, "sqlstate", None) or getattr(inner, "pgcode", None) or ""
    if isinstance(first, int):
        return state, first, text
    if found := _NATIVE.search(text):
        return str(first), int(found[1]), text
    return state or (str(first) if len(inner.args) > 1 else ""), None, text
