"""The table as it is in the database: real names of columns, their limits, the unique key."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from django.core.exceptions import ImproperlyConfigured

from .dialects import Dialect, check_identifier
from .errors import COMMAND

Row = tuple[Any, ...]
Result = TypeVar("Result")


class Session(Protocol):
    """One connection, for one thread at a time; raises built-in errors."""

    @property
    def dialect(self) -> Dialect:
        """The ways of the database."""

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a statement that changes nothing."""

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Carry out a statement whole or not at all; return how many rows it changed."""


class Runner(Hashable, Protocol):
    """Where sessions come from: the pool of a connection string, or Django's own connections."""

    def run(self, work: Callable[[Any], Result], /) -> Result:
        """Return what ``work`` returns for a session; do it again where that was lost."""


@dataclass(frozen=True)
class Names:
    """The table and its columns as they are configured; None for a column that is not used."""

    table: str
    name: str
    blob: str
    size: str
    modified: str | None = None
    kind: str | None = None


#: The option of each field of `Names`.
OPTIONS = {
    "table": "db_table",
    "name": "fname_column",
    "blob": "blob_column",
    "size": "size_column",
    "modified": "modified_column",
    "kind": "content_type_column",
}


@dataclass(frozen=True)
class Layout:
    """A table as it is: identifiers quoted, in their real spelling, and what its columns take."""

    table: str
    columns: Mapping[str, str]
    #: Characters that the column of names takes, and bytes that the content's takes.
    longest: int | None = None
    most: int | None = None
    #: Names compare byte by byte, so that a range finds those of a directory.
    is_binary: bool = False
    #: Times are kept to the microsecond, so that they tell two contents apart.
    is_precise: bool = False
    #: The column of names holds what the code page of the database has.
    is_narrow: bool = False


def look_up(runner: Runner, names: Names) -> tuple[Dialect, Layout]:
    """Look a table up in the database's catalogue.

    Raises ImproperlyConfigured if the table or a column is missing, or if nothing in the database
    keeps names unique.
    """
    *spaces, table = check_identifier(names.table, 3)
    space = spaces[-1] if spaces else ""

    def look(session: Session) -> tuple[Dialect, list[Row]]:
        return session.dialect, session.ask(session.dialect.catalogue, (space, table))

    dialect, rows = runner.run(look)
    return dialect, _layout(dialect, names, rows, spaces)


def _layout(dialect: Dialect, names: Names, rows: list[Row], spaces: Sequence[str]) -> Layout:
    table = _spelled(names.table.rpartition(".")[2], {row[1] for row in rows})
    if table is None:
        raise ImproperlyConfigured(
            f"The database has no table {names.table!r} (option 'db_table', setting "
            f"DB_FILES.db_table): make it by '{COMMAND}', or correct the option."
        )
    schemas = [row[0] for row in rows if row[1] == table and row[0]]
    found = {row[2]: row for row in rows if row[1] == table}
    rows_of = {
        each: found[_column(each, value, found)]
        for each, value in vars(names).items()
        if value and each != "table"
    }
    if not rows_of["name"][6]:
        raise ImproperlyConfigured(
            f"Nothing keeps the names in {names.name!r} of {names.table!r} unique: make the column "
            "the primary key, or give it a unique index of its own."
        )
    place = [*spaces[:-1], *(schemas[:1] if spaces else []), table]
    if spaces and not schemas:
        place = [*spaces, table]
    return Layout(
        ".".join(map(dialect.quote, place)),
        {each: dialect.quote(row[2]) for each, row in rows_of.items()},
        longest=_limit(rows_of["name"]),
        most=min(filter(None, (_limit(rows_of["blob"]), dialect.most)), default=None),
        is_binary=bool(int(rows_of["name"][5] or 0)),
        is_precise="modified" in rows_of and int(rows_of["modified"][7] or 0) >= 6,
        is_narrow=dialect.name == "sqlserver" and rows_of["name"][3] in {"varchar", "char"},
    )


def _column(which: str, configured: str, found: Mapping[str, Row]) -> str:
    spelled = _spelled(configured, found)
    if spelled is None:
        option = OPTIONS[which]
        raise ImproperlyConfigured(
            f"The table has no column {configured!r} (option '{option}', setting "
            f"DB_FILES.{option}): it has {', '.join(sorted(found))}. Correct the option, or make "
            f"a table by '{COMMAND}'."
        )
    return spelled


def _spelled(configured: str, real: Any) -> str | None:
    """Return the real spelling of an identifier: as configured, else the same in another case."""
    if configured in real:
        return configured
    alike = [each for each in real if each.lower() == configured.lower()]
    return alike[0] if len(alike) == 1 else None


def _limit(row: Row) -> int | None:
    return int(row[4]) if row[4] is not None and int(row[4]) > 0 else None
