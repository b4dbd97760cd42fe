"""Sessions on Django's own connections, in which a save is part of the caller's transaction."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, connections, transaction

from storages.pool import RETRY_DELAYS

from .dialects import (
    MARIADB,
    MYSQL,
    POSTGRESQL,
    POSTGRESQL_BY_TEXT,
    SQLITE,
    SQLSERVER,
    Dialect,
    dialect_of,
)
from .errors import DeadlockError, LostError, translated
from .layout import Row, Session

_VENDORS = {"sqlite": SQLITE, "postgresql": POSTGRESQL, "mysql": MYSQL, "microsoft": SQLSERVER}

#: The driver's connection that each of Django's has, and the process that it was made in.
_owners: WeakKeyDictionary[Any, tuple[Any, int]] = WeakKeyDictionary()
# Closing a parent's connection here would tell the server that the parent's session ends.
_abandoned: list[Any] = []

Result = TypeVar("Result")


@dataclass(frozen=True)
class DjangoRunner:
    """Runs statements on the calling thread's connection of an alias of ``DATABASES``."""

    alias: str

    def run(self, work: Callable[[Session], Result]) -> Result:
        """Return what ``work`` returns; do it again where that is lost and no transaction with it.

        4 times in all. Within a transaction of the caller's nothing is repeated: what was done
        before in it is lost as well.
        """
        for delay in RETRY_DELAYS:
            try:
                return work(self._session())
            except (LostError, DeadlockError) as exc:
                connection = connections[self.alias]
                if _in_transaction(connection):
                    raise
                if isinstance(exc, LostError):
                    connection.close()
                time.sleep(delay)
        return work(self._session())

    def _session(self) -> Session:
        if self.alias not in connections.settings:
            raise ImproperlyConfigured(
                f"DATABASES has no alias {self.alias!r}, which the option 'using' names."
            )
        return DjangoSession(self.alias)


def _in_transaction(connection: Any) -> bool:
    # To ask `get_autocommit` would connect, and raise Django's own error where that fails.
    begun = connection.connection is not None and not connection.autocommit
    return bool(connection.in_atomic_block or begun)


class DjangoSession:
    """The connection of an alias; raises built-in errors."""

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._connection: Any = connections[alias]
        self._disown()

    @property
    def dialect(self) -> Dialect:
        """The dialect of the database."""
        vendor = self._connection.vendor
        if vendor == "mysql" and self._connection.mysql_is_mariadb:
            return MARIADB
        if vendor == "postgresql" and not self._connection.settings_dict["OPTIONS"].get(
            "server_side_binding"
        ):
            return POSTGRESQL_BY_TEXT
        return _VENDORS.get(vendor) or dialect_of(vendor)

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a statement."""
        return self._run(sql, values)[0]

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Carry out a statement, alone or as a part of the caller's transaction."""
        try:
            # Else a name that is taken would spoil the caller's transaction on PostgreSQL.
            with transaction.atomic(using=self._alias):
                return self._run(sql, values)[1]
        except Error as exc:
            raise translated(exc) from exc

    def _run(self, sql: str, values: Sequence[Any]) -> tuple[list[Row], int]:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql.replace("?", "%s"), list(values))
                rows = cursor.fetchall() if cursor.description else []
                return [tuple(row) for row in rows], cursor.rowcount
        except transaction.TransactionManagementError as exc:
            raise OSError(errno.EIO, f"The transaction is of no use any more: {exc}") from exc
        except Error as exc:
            raise translated(exc) from exc
        finally:
            held = self._connection.connection
            if _owners.get(self._connection, (None,))[0] is not held:
                _owners[self._connection] = (held, os.getpid())

    def _disown(self) -> None:
        """Leave a connection to the process that this one forked from, and connect anew."""
        held, process = _owners.get(self._connection, (None, 0))
        if held is not self._connection.connection or process == os.getpid():
            return
        in_memory = self._connection.vendor == "sqlite" and self._connection.is_in_memory_db()
        if held is not None and not in_memory and not self._connection.in_atomic_block:
            _abandoned.append(held)
            self._connection.connection = None
