"""The options of the database backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from storages.base import BaseStorage
from storages.configured import given_options, options_of
from storages.options import UNSET, Option, option, positional, state_of
from storages.utils import is_loopback, setting

from .connector import is_verified, parts_of, quoted
from .dialects import check_identifier, check_table

SETTING = "DB_FILES"
SECRETS = ("connection_string", "password")
WAYS = ("connection_string", "driver", "using")


class Part(Option):
    """An option that the mapping of the option ``option`` may hold too.

    The mapping stands for the setting DB_FILES, which is not looked at where it is given.
    """

    def _found(self, storage: Any) -> Any:
        whole = storage.option
        if whole is None or state_of(storage).given.get(self.name) is not None:
            return super()._found(storage)
        if (value := whole.get(self.name)) is not None:
            return value
        if self.override is not UNSET and self._counts(self.override):
            return self.override
        values = (setting(each) for each in self.settings if not each.startswith(f"{SETTING}."))
        return next((each for each in values if each is not None), UNSET)


def part(name: str, *settings: str, **declared: Any) -> Any:
    """Declare an option that is a part of the setting DB_FILES, and of the option ``option``."""
    made = Part.__new__(Part)
    vars(made).update(vars(option(f"{SETTING}.{name}", *settings, **declared)))
    return made


def _without_secrets(whole: Any) -> Any:
    if not isinstance(whole, Mapping):
        return UNSET
    safe = {name: value for name, value in whole.items() if name not in SECRETS}
    return whole if safe == whole else safe


def _check_column(value: str) -> None:
    check_identifier(value)


class DatabaseOptions(BaseStorage):
    """What can be configured: the table, and how to get at its database."""

    option: Mapping[str, Any] | None = positional(
        default=None,
        secret=_without_secrets,
        kw_only=False,
        doc="Any of the other options in one mapping, in place of the setting ``DB_FILES``.",
    )
    base_url: str | None = part(
        "base_url", "DB_FILES_URL", kw_only=False, doc="URL under which a view serves the files."
    )
    db_table: str = part(
        "db_table",
        required=True,
        check=check_table,
        doc="The table, with its schema before a dot if it has another than the login's.",
    )
    fname_column: str = part(
        "fname_column", required=True, check=_check_column, doc="Column of names, its key."
    )
    blob_column: str = part(
        "blob_column", required=True, check=_check_column, doc="Column of contents."
    )
    size_column: str = part(
        "size_column", required=True, check=_check_column, doc="Column of sizes in bytes."
    )
    modified_column: str | None = part(
        "modified_column",
        check=_check_column,
        doc="Column of the times of the last write. Without it files have no times.",
    )
    content_type_column: str | None = part(
        "content_type_column", check=_check_column, doc="Column of media types."
    )
    using: str | None = part(
        "using",
        doc="An alias of ``DATABASES``: files are stored through Django's own connections, and "
        "a save is part of the caller's transaction.",
    )
    connection_string: str | None = part(
        "connection_string", secret=True, doc="Connection string for pyodbc, as the driver has it."
    )
    driver: str | None = part(
        "driver",
        "DATABASE_ODBC_DRIVER",
        doc="Name of an ODBC driver, as ``odbcinst -q -d`` lists it.",
    )
    host: str | None = part("host", "DATABASE_HOST", doc="Host of the database, with ``driver``.")
    port: int | None = part("port", "DATABASE_PORT", doc="Its port, with ``driver``.")
    database: str | None = part(
        "database",
        "DATABASE_NAME",
        doc="Name of the database, with ``driver``; SQLite's is the path of its file.",
    )
    user: str | None = part("user", "DATABASE_USER", doc="Who logs in, with ``driver``.")
    password: str | None = part(
        "password", "DATABASE_PASSWORD", secret=True, doc="The password, with ``driver``."
    )
    timeout: float = part(
        "timeout",
        "DATABASE_TIMEOUT",
        default=30.0,
        doc="Seconds to connect in, for a statement, and to wait for a lock, through ODBC.",
    )
    max_connections: int = part(
        "max_connections",
        "DATABASE_MAX_CONNECTIONS",
        default=8,
        doc="Connections of a process at most, through ODBC.",
    )
    file_overwrite: bool = part(
        "file_overwrite",
        default=True,
        doc="Save over a file of the same name instead of finding a free name.",
    )

    def contradictions(self) -> Iterator[str]:
        """Yield what cannot be: no way to a database or two of them, no time, no connection."""
        near = self._near()
        if len(near) > 1:
            yield f"The options {' and '.join(map(repr, near))} lead to two databases: give one."
        if self.way is None:
            yield (
                "No database is named: set 'using', 'connection_string' or 'driver' (settings "
                f"{SETTING} or DATABASE_ODBC_DRIVER)."
            )
        if self.way == "using" and self.using not in connections.settings:
            yield f"DATABASES has no alias {self.using!r}, which the option 'using' names."
        if self.timeout <= 0:
            yield "The option 'timeout' must be above 0."
        if self.max_connections < 1:
            yield "The option 'max_connections' must be above 0."
        for name in self._unknown():
            close = get_close_matches(name, options_of(type(self)), n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            yield f"{SETTING} or the option 'option' holds {name!r}, which is no option.{hint}"

    def insecurities(self) -> Iterator[str]:
        """Yield a connection over a network that nothing proves to lead to the server."""
        yield from super().insecurities()
        if self.way in {None, "using"}:
            return
        words = parts_of(self.odbc_string())
        host = words.get("SERVER", "").partition(",")[0]
        if "DSN" not in words and not is_loopback(host) and not is_verified(words):
            yield (
                "The connection to the database is not encrypted, or its certificate is not "
                "checked: give the words that do it in 'connection_string', such as "
                "SSLMODE=verify-full (PostgreSQL), SSLCA (MariaDB) or Encrypt=yes (SQL Server)."
            )

    def root(self) -> tuple[str, ...]:
        """Return the database, the table in it, and the location."""
        if self.way == "using":
            place: tuple[str, ...] = ("using", str(self.using))
        else:
            words = parts_of(self.odbc_string()) if self.way else {}
            place = tuple(words.get(each, "") for each in ("DSN", "SERVER", "PORT", "DATABASE"))
        table, columns = self.db_table, (self.fname_column, self.blob_column)
        return (*place, table, *columns, *filter(None, self.key("", root=True).split("/")))

    @property
    def login(self) -> str:
        """Whom it signs in as; another may have a table of the same name."""
        is_odbc = self.way not in {None, "using"}
        return parts_of(self.odbc_string()).get("UID", "") if is_odbc else ""

    @property
    def way(self) -> str | None:
        """Which option leads to the database; what is given nearer wins over the settings."""
        return next((each for each in self._near() or WAYS if getattr(self, each)), None)

    def _near(self) -> list[str]:
        """Return the ways that code gave, not the settings."""
        given = given_options(self)
        whole = self.option or {}
        return [each for each in WAYS if given.get(each) or whole.get(each)]

    def _unknown(self) -> list[str]:
        whole = self.option if self.option is not None else setting(SETTING)
        known = options_of(type(self)).keys() - {"option"}
        return sorted(map(str, whole.keys() - known)) if isinstance(whole, Mapping) else []

    def odbc_string(self) -> str:
        """Return the connection string."""
        if self.way == "connection_string":
            return str(self.connection_string)
        if self.way is None:
            raise ImproperlyConfigured(next(self.contradictions()))
        driver = str(self.driver).strip("{}")
        server, port = self.host, self.port
        if port and "sql server" in driver.lower():
            server, port = f"{server},{port}", None
        words = {"SERVER": server, "DATABASE": self.database, "UID": self.user}
        text = f"DRIVER={quoted(driver)}"
        text += "".join(f";{word}={_value(value)}" for word, value in words.items() if value)
        text += f";PORT={port}" if port else ""
        if self.password:
            text += f";PWD={quoted(self.password)}"
        return text


def _value(value: str) -> str:
    """Quote a value where it has to be: not all drivers take the braces away again."""
    plain = not set(value) & set(";{}[]()?*=!@") and value == value.strip()
    return value if plain else quoted(value)
