"""Files in a table of a database, through ODBC or through Django's own connections."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured

from storages.driver import Entry, Listed, Source
from storages.options import derived
from storages.pool import Pool, shared

from ._database.connections import DjangoRunner
from ._database.connector import PASSWORDS, Connector, parts_of
from ._database.downloads import Download
from ._database.layout import Names, Row, Runner, Session
from ._database.messages import entry, tag
from ._database.options import DatabaseOptions
from ._database.session import Session as ODBCSession
from ._database.statements import Statements, creation, statements_for
from ._database.uploads import Upload

Result = TypeVar("Result")

IDLE_TIMEOUT = 60  # seconds until a connection nobody uses is closed


class DatabaseStorage(DatabaseOptions):
    """Stores each file as a row of a table: its name as the key, its content, its size.

    Whatever is done with a file is one statement, so that it is done whole or not at all.
    """

    # -- the database -----------------------------------------------------------------------------

    @derived
    def _runner(self) -> Runner:
        if problem := next(self.contradictions(), None):
            raise ImproperlyConfigured(problem)
        return DjangoRunner(str(self.using)) if self.way == "using" else self._pool

    @property
    def _pool(self) -> Pool[ODBCSession]:
        text = self.odbc_string()
        secrets = tuple(value for word, value in parts_of(text).items() if word in PASSWORDS)
        return shared(
            Connector(text, self.timeout, secrets),
            limit=self.max_connections,
            idle_timeout=IDLE_TIMEOUT,
            wait_timeout=self.timeout,
        )

    @derived
    def _names(self) -> Names:
        return Names(
            self.db_table,
            self.fname_column,
            self.blob_column,
            self.size_column,
            self.modified_column,
            self.content_type_column,
        )

    @property
    def _statements(self) -> Statements:
        return statements_for(self._runner, self._names)

    def close(self) -> None:
        """Close the connections of this storage and of those with equal options, not Django's."""
        if isinstance(self._runner, Pool):
            self._runner.close()

    def table_sql(self) -> list[str]:
        """Return the statements that make the table, in the SQL of the database."""
        return self._runner.run(lambda session: creation(session.dialect, self._names))

    def create_table(self) -> None:
        """Make the table; raises OSError where it exists already."""
        with self._errors(self.db_table):
            for statement in self.table_sql():
                self._run(partial(_change, statement))
        statements_for.cache_clear()

    # -- primitives -------------------------------------------------------------------------------

    def _stat(self, key: str) -> Entry:
        statements = self._statements
        rows = self._ask(statements.stat, key, *statements.below(f"{key}/"), key)
        if not rows:
            raise FileNotFoundError(errno.ENOENT, "No such file")
        below, *row = rows[0]
        return Entry(0, is_directory=True) if below else entry(row)

    def _open_stream(self, key: str) -> tuple[Entry, Download | None]:
        statements = self._statements
        rows = self._ask(statements.open, 1, statements.dialect.first_slice, key)
        if not rows:
            return self._stat(key), None
        *row, version, data = rows[0]
        found = replace(entry(row), etag=tag(version, row[0]))
        return found, Download(self._runner, statements, key, found, data=bytes(data or b""))

    def _read(self, key: str, start: int, entry: Entry) -> Download:
        return Download(self._runner, self._statements, key, entry, start)

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        statements = self._statements
        statements.check(key, source.size)
        upload = Upload(statements, key, source.read(), source.content_type)
        if expected is not None:
            self._run(partial(upload.replace, expected=expected))
        else:
            self._run(upload.overwrite if overwrite else upload.create)

    def _remove(self, key: str) -> None:
        statement = self._statements.remove
        self._run(lambda session: session.change(statement, (key,)))

    def _list(self, key: str) -> Iterator[Listed]:
        for path, found in self._walk(key):
            name, slash, _ = path.partition("/")
            yield name, Entry(0, is_directory=True) if slash else found

    def _walk(self, key: str) -> Iterator[Listed]:
        statements = self._statements
        prefix = f"{key}/" if key else ""
        values = statements.below(prefix) if prefix else ()
        for name, *row in self._ask(statements.list(prefix), *values):
            # Databases may find names that are spelled in another case.
            if name.startswith(prefix) and name != prefix:
                yield name.removeprefix(prefix), entry(row)

    def _ask(self, sql: str, *values: object) -> list[Row]:
        return self._run(lambda session: session.ask(sql, values))

    def _run(self, work: Callable[[Session], Result]) -> Result:
        try:
            return self._runner.run(work)
        except ImproperlyConfigured:
            # The table may be another one when it is there again.
            statements_for.cache_clear()
            raise


def _change(statement: str, session: Session) -> None:
    session.change(statement)
