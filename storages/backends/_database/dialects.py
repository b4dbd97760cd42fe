"""How the databases differ in SQL: quoting, types, replacing, and what their catalogues tell.

Statements are written with ``?`` for values. Words in braces are replaced by identifiers, which
were checked and quoted before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from django.core.exceptions import ImproperlyConfigured

from . import catalogues

#: Characters of a name in a table that we make; what FileField takes by default is 100.
NAME_WIDTH = 255

_PART = re.compile(r"[^\W\d][\w $#@-]*")
_MOST_PARTS = 3  # database, schema and table
_LONGEST = 128  # characters, SQL Server's limit; the others have less


def check_identifier(value: str, parts: int = 1) -> list[str]:
    """Split an identifier at its dots; raises ValueError for one that is none."""
    found = value.split(".")
    if len(found) > parts or not all(_PART.fullmatch(each) for each in found):
        raise ValueError(
            "must be a plain name of letters, digits and underscores"
            + (", with dots between its parts." if parts > 1 else ".")
        )
    if max(map(len, found)) > _LONGEST:
        raise ValueError(f"must not be longer than {_LONGEST} characters.")
    return found


def check_table(value: str) -> None:
    """Raise ValueError unless a value names a table, perhaps with its schema."""
    check_identifier(value, _MOST_PARTS)


@dataclass(frozen=True)
class Dialect:
    """One database's ways."""

    name: str
    #: Tells of a table's columns, see `catalogues`.
    catalogue: str
    #: Statements that a new connection begins with; ``{ms}`` and ``{s}`` are the time limit.
    session: tuple[str, ...] = ()
    quotes: str = '""'
    name_type: str = f"varchar({NAME_WIDTH})"
    blob_type: str = "blob"
    time_type: str = "timestamp"
    kind_type: str = "varchar(255)"
    table_options: str = ""
    #: Statements after the one that makes a table.
    finish: tuple[str, ...] = ()
    substring: str = "SUBSTRING({blob}, ?, ?)"
    #: Bytes that opening a file brings.
    first_slice: int = 1024 * 1024
    #: What to write for a time, which is passed as text in UTC.
    time: str = "?"
    time_offset: str = ""
    time_text: str = "CAST({modified} AS varchar(40))"
    #: Tells two contents of a row apart; "" where it costs reading the content.
    row_version: str = ""
    content_version: str = "{blob}"
    text: str = "CAST({value} AS varchar(255))"
    #: A prefix match that no index spoils.
    like: str = "{name} LIKE ? ESCAPE '!'"
    wildcards: str = "!%_"
    first: str = "SELECT {what} LIMIT 1"
    upsert: str = "INSERT INTO {table} ({columns}) VALUES ({values}) {on_conflict} {changes}"
    on_conflict: str = "ON CONFLICT ({name}) DO UPDATE SET"
    new_value: str = "excluded.{column}"
    #: Bytes of a content that a statement takes; None where the column alone tells.
    most: int | None = None
    #: Names that differ in spaces at their ends are one.
    is_padded: bool = False

    def quote(self, identifier: str) -> str:
        """Quote a dotted identifier part by part; a quote within is doubled."""
        start, end = self.quotes[0], self.quotes[1]
        return ".".join(
            f"{start}{each.replace(end, end * 2)}{end}" for each in identifier.split(".")
        )

    def escape(self, text: str) -> str:
        """Escape what LIKE takes for a wildcard."""
        return "".join(f"!{each}" if each in self.wildcards else each for each in text)

    def width(self, name: str) -> int:
        """Return the length of a name as the database counts it."""
        return len(name)


class _SQLServer(Dialect):
    def width(self, name: str) -> int:
        return len(name.encode("utf-16-le")) // 2


SQLITE = Dialect(
    "sqlite",
    catalogue=catalogues.SQLITE,
    session=("PRAGMA busy_timeout = {ms}",),
    time_type="timestamp",
    substring="SUBSTR({blob}, ?, ?)",
    first_slice=512 * 1024,  # its driver takes more than twice the time for twice the bytes
    time_text="CAST({modified} AS TEXT)",
    text="CAST({value} AS TEXT)",
)
POSTGRESQL = Dialect(
    "postgresql",
    catalogue=catalogues.POSTGRESQL,
    session=("SET statement_timeout = {ms}", "SET lock_timeout = {ms}", "SET TIME ZONE 'UTC'"),
    name_type=f'varchar({NAME_WIDTH}) COLLATE "C"',
    blob_type="bytea",
    time_type="timestamp with time zone",
    # So that a part of a content is read without the rest.
    finish=("ALTER TABLE {table} ALTER COLUMN {blob} SET STORAGE EXTERNAL",),
    substring="SUBSTRING({blob}, CAST(? AS integer), CAST(? AS integer))",
    first_slice=512 * 1024,  # each byte takes two on its way
    time="CAST(? AS timestamp with time zone)",
    time_offset="+00:00",
    # The transaction that wrote the row, and the place it was written to.
    row_version="CONCAT({table}.xmin, '-', {table}.ctid)",
    most=1024 * 1024 * 1024 - 64 * 1024,
)
#: Values are part of the statement, each byte as two digits: half a GiB of them is the most that
#: PostgreSQL's parser has room for. It hangs up on a statement of a GiB.
POSTGRESQL_BY_TEXT = replace(POSTGRESQL, most=256 * 1024 * 1024 - 1024)
MYSQL = Dialect(
    "mysql",
    catalogue=catalogues.MYSQL,
    session=(
        "SET SESSION max_execution_time = {ms}",
        "SET SESSION innodb_lock_wait_timeout = {s}",
        "SET SESSION lock_wait_timeout = {s}",
    ),
    quotes="``",
    name_type=f"varchar({NAME_WIDTH}) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin",
    blob_type="longblob",
    time_type="datetime(6)",
    kind_type="varchar(255) CHARACTER SET utf8mb4",
    table_options=" ENGINE=InnoDB",
    time_text="CAST({modified} AS char(40))",
    text="CAST({value} AS char(255))",
    content_version="MD5({blob})",
    # By the index alone, MariaDB misses names with a character past U+FFFF after the prefix.
    like="CONCAT({name}) LIKE ? ESCAPE '!'",
    on_conflict="ON DUPLICATE KEY UPDATE",
    new_value="VALUES({column})",
)
MARIADB = Dialect(
    **{
        **vars(MYSQL),
        "name": "mariadb",
        "session": ("SET SESSION max_statement_time = {s}", *MYSQL.session[1:]),
        "name_type": MYSQL.name_type.replace("utf8mb4_0900_bin", "utf8mb4_nopad_bin"),
    }
)
SQLSERVER = _SQLServer(
    "sqlserver",
    catalogue=catalogues.SQLSERVER,
    session=("SET LOCK_TIMEOUT {ms}",),
    quotes="[]",
    name_type=f"nvarchar({NAME_WIDTH}) COLLATE Latin1_General_100_BIN2",
    blob_type="varbinary(max)",
    time_type="datetime2(6)",
    kind_type="nvarchar(255)",
    time_text="CONVERT(varchar(40), {modified}, 121)",
    text="CAST({value} AS nvarchar(255))",
    content_version="CONVERT(varchar(64), HASHBYTES('SHA2_256', {blob}), 2)",
    wildcards="!%_[",
    first="SELECT TOP 1 {what}",
    upsert="MERGE INTO {table} WITH (HOLDLOCK) AS t USING (VALUES ({values})) AS s ({columns}) "
    "ON t.{name} = s.{name} WHEN MATCHED THEN UPDATE SET {changes} "
    "WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({columns_new});",
    new_value="s.{column}",
    is_padded=True,  # whatever the collation
)

_BY_PRODUCT = {
    "sqlite": SQLITE,
    "postgresql": POSTGRESQL,
    "mariadb": MARIADB,
    "mysql": MYSQL,
    "microsoft sql server": SQLSERVER,
}


def dialect_of(product: str) -> Dialect:
    """Return the dialect of a database by the name that it gives itself."""
    found = _BY_PRODUCT.get(product.lower())
    if found is None:
        raise ImproperlyConfigured(
            f"The database {product} is none of those that this backend knows: "
            "SQLite, PostgreSQL, MariaDB, MySQL and SQL Server."
        )
    return found
