"""The statements on one table, once its real columns are known."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache

from storages.utils import RefusedName, shown

from .dialects import Dialect, check_identifier
from .layout import OPTIONS, Layout, Names, Runner, look_up


@dataclass(frozen=True)
class Statements:
    """SQL for each thing that is done with a table."""

    dialect: Dialect
    layout: Layout
    words: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        words = {"table": self.layout.table, **self.layout.columns}
        object.__setattr__(self, "words", words)

    def check(self, name: str, size: int) -> None:
        """Refuse what the columns would cut short: a long name, a large content."""
        longest, most = self.layout.longest, self.layout.most
        if longest is not None and self.dialect.width(name) > longest:
            raise RefusedName(
                f"The name {shown(name)} is longer than its column takes ({longest} characters): "
                "widen the column, or shorten the name."
            )
        if self.layout.is_narrow and not name.isascii():
            raise RefusedName(
                f"The name {shown(name)} has letters that a column of type varchar may not keep: "
                "make it nvarchar."
            )
        if self.dialect.is_padded and name.endswith(" "):
            raise RefusedName(
                f"The name {shown(name)} ends in a space, which the database does not see: take "
                "it away."
            )
        if most is not None and size > most:
            raise OSError(
                errno.EFBIG,
                f"The content is larger than its column or a statement takes ({most} bytes): "
                "use a larger type, or set the option 'max_size'",
            )

    @cached_property
    def version(self) -> str:
        """Tell two contents of one name apart."""
        if self.dialect.row_version:
            return self._sql(self.dialect.row_version)
        content = self._sql(self.dialect.content_version)
        # A row may be older than the column of times.
        return f"COALESCE({self._time}, {content})" if self.is_timed else content

    @cached_property
    def is_timed(self) -> bool:
        """Return True if the time of a row tells whose write it was."""
        return "modified" in self.words and self.layout.is_precise

    @cached_property
    def details(self) -> str:
        """Columns that describe a file: size, time, content type, and version if that is cheap."""
        nothing = self.dialect.text.format(value="NULL")
        time = self._time if "modified" in self.words else nothing
        cheap = self._sql(self.dialect.row_version) or (time if self.is_timed else nothing)
        parts = (self.words["size"], time, self.words.get("kind", nothing), cheap)
        return ", ".join(f"{each} AS c{number}" for number, each in enumerate(parts))

    @cached_property
    def stat(self) -> str:
        """Describe a file, else one below the name as a directory: name, prefix (2), name."""
        below = self._sql(
            self.dialect.first,
            what=f"1 AS below, {self.details} FROM {{table}} WHERE {self.prefixed} "
            "AND NOT EXISTS (SELECT 1 FROM {table} WHERE {name} = ?)",
        )
        return self._sql(
            f"SELECT 0 AS below, {self.details} FROM {{table}} WHERE {{name}} = ? "
            f"UNION ALL SELECT * FROM ({below}) d"
        )

    @cached_property
    def prefixed(self) -> str:
        """Match the names below a directory, with `below` for values."""
        # A range finds them by the index whatever the letters; LIKE also finds other spellings.
        return "{name} >= ? AND {name} < ?" if self.layout.is_binary else self.dialect.like

    def below(self, prefix: str) -> tuple[str, ...]:
        """Return the values for `prefixed`; the prefix ends in a slash, and ``0`` comes next."""
        if self.layout.is_binary:
            return prefix, f"{prefix[:-1]}0"
        return (f"{self.dialect.escape(prefix)}%",)

    def list(self, prefix: str) -> str:
        """Describe every file below a directory."""
        where = f" WHERE {self.prefixed}" if prefix else ""
        return self._sql(f"SELECT {{name}}, {self.details} FROM {{table}}{where}")

    @cached_property
    def open(self) -> str:
        """Describe a file with its version and a slice of its content: start, length, name."""
        return self.of_name(f"{self.details}, {self.version} AS version, {self.dialect.substring}")

    @cached_property
    def slice(self) -> str:
        """Read version and a slice of the content: start, length, name."""
        return self.of_name(f"{self.version}, {self.dialect.substring}")

    @cached_property
    def insert(self) -> str:
        """Store a file under a free name."""
        return self._sql(
            f"INSERT INTO {{table}} ({self._columns}) VALUES ({', '.join(self.marks.values())})"
        )

    @cached_property
    def upsert(self) -> str:
        """Store a file, whether the name is free or not."""
        new = {each: self.dialect.new_value.format(column=self.words[each]) for each in self.marks}
        return self._sql(
            self.dialect.upsert,
            columns=self._columns,
            columns_new=", ".join(new.values()),
            values=", ".join(self.marks.values()),
            on_conflict=self.dialect.on_conflict,
            changes=", ".join(
                f"{self.words[each]} = {new[each]}" for each in self.marks if each != "name"
            ),
        )

    @cached_property
    def update(self) -> str:
        """Change a file of a known version: all values but the name, then name and version."""
        changes = ", ".join(
            f"{self.words[each]} = {mark}" for each, mark in self.marks.items() if each != "name"
        )
        return self._sql(
            f"UPDATE {{table}} SET {changes} WHERE {{name}} = ? AND {self.version} = ?"
        )

    def of_name(self, what: str) -> str:
        """Select something of a file: name."""
        return self._sql(f"SELECT {what} FROM {{table}} WHERE {{name}} = ?")

    @cached_property
    def remove(self) -> str:
        """Delete a file."""
        return self._sql("DELETE FROM {table} WHERE {name} = ?")

    @cached_property
    def marks(self) -> dict[str, str]:
        """What stands for the value of each column, in the order of the values."""
        used = (each for each in OPTIONS if each in self.layout.columns)
        return {each: self.dialect.time if each == "modified" else "?" for each in used}

    @cached_property
    def _time(self) -> str:
        return self._sql(self.dialect.time_text)

    @cached_property
    def _columns(self) -> str:
        return ", ".join(self.words[each] for each in self.marks)

    def _sql(self, template: str, **more: str) -> str:
        """Put identifiers into a template, and into what is put into it."""
        filled = template
        for word, text in more.items():
            filled = filled.replace(f"{{{word}}}", text)
        for word, text in self.words.items():
            filled = filled.replace(f"{{{word}}}", text)
        return filled


def creation(dialect: Dialect, names: Names) -> list[str]:
    """Return the statements that make the table."""
    *_, last = check_identifier(names.table, 3)
    words = {each: dialect.quote(value) for each, value in vars(names).items() if value}
    types = {
        "name": f"{dialect.name_type} NOT NULL PRIMARY KEY",
        "blob": f"{dialect.blob_type} NOT NULL",
        "size": "bigint NOT NULL",
        "modified": dialect.time_type,
        "kind": dialect.kind_type,
    }
    columns = ",\n".join(f"    {words[each]} {types[each]}" for each in types if each in words)
    first = f"CREATE TABLE {words['table']} (\n{columns}\n){dialect.table_options}"
    return [first, *(each.format(**words, last=last) for each in dialect.finish)]


@lru_cache(maxsize=256)
def statements_for(runner: Runner, names: Names) -> Statements:
    """Return the statements on a table, which is looked up at its first use."""
    return Statements(*look_up(runner, names))
