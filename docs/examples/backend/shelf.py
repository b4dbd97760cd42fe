"""Files as rows of an SQLite file."""

from __future__ import annotations

import errno
import io
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from storages.base import BaseStorage
from storages.driver import Entry, Listed, Source, Stream
from storages.options import option

TABLE = """
CREATE TABLE IF NOT EXISTS files
(key TEXT PRIMARY KEY, content BLOB, modified TEXT, content_type TEXT, etag TEXT)
"""
COLUMNS = "length(content), modified, content_type, etag"
INSERT = "INSERT INTO files VALUES (?, ?, ?, ?, ?)"
UPSERT = f"REPLACE{INSERT.removeprefix('INSERT')}"


class ShelfStorage(BaseStorage):
    """Keeps files in one SQLite file."""

    database: str = option("SHELF_DATABASE", required=True, doc="Path of the SQLite file.")

    # -- errors

    sdk_errors = (sqlite3.Error,)

    def _explain(self, exc: Exception) -> tuple[int, str]:
        if isinstance(exc, sqlite3.Error):
            return errno.EIO, "SQLite cannot use its file: check 'database' (SHELF_DATABASE)"
        return super()._explain(exc)

    # -- connection

    @contextmanager
    def _connected(self, begin: str = "BEGIN") -> Iterator[sqlite3.Connection]:
        """Give a connection within one transaction, and close it."""
        connection = sqlite3.connect(self.database, timeout=60, isolation_level=None)
        try:
            connection.execute(TABLE)
            connection.execute(begin)
            yield connection
            connection.execute("COMMIT")
        finally:
            connection.close()

    # -- stat

    def _stat(self, key: str) -> Entry:
        with self._connected() as connection:
            found = connection.execute(f"SELECT {COLUMNS} FROM files WHERE key = ?", [key])
            if row := found.fetchone():
                return _entry(row)
            below = connection.execute(
                "SELECT 1 FROM files WHERE key > ? AND key < ? LIMIT 1", [f"{key}/", f"{key}0"]
            )
            if below.fetchone():
                return Entry(0, is_directory=True)
        raise FileNotFoundError(errno.ENOENT, "No such file")

    # -- read

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        with self._connected() as connection:
            row = connection.execute(
                "SELECT substr(content, ?) FROM files WHERE key = ? AND etag = ?",
                [start + 1, key, entry.etag],
            ).fetchone()
        if row is None:
            raise OSError(errno.ESTALE, "The file was replaced while it was read")
        return io.BytesIO(row[0])

    # -- write

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        row = [key, source.read(), datetime.now(UTC).isoformat(), source.content_type]
        with self._connected("BEGIN IMMEDIATE") as connection:
            if expected is not None:
                etags = connection.execute("SELECT etag FROM files WHERE key = ?", [key])
                if etags.fetchone() != (expected.etag,):
                    raise OSError(errno.ESTALE, "The file was replaced while it was changed")
            try:
                connection.execute(UPSERT if overwrite else INSERT, [*row, uuid.uuid4().hex])
            except sqlite3.IntegrityError as exc:
                raise FileExistsError(errno.EEXIST, "The name is taken") from exc

    # -- remove

    def _remove(self, key: str) -> None:
        with self._connected() as connection:
            connection.execute("DELETE FROM files WHERE key = ?", [key])

    # -- list

    def _list(self, key: str) -> Iterator[Listed]:
        for name, entry in self._walk(key):
            base, slash, _ = name.partition("/")
            yield base, Entry(0, is_directory=True) if slash else entry

    def _walk(self, key: str) -> Iterator[Listed]:
        prefix = f"{key}/" if key else ""
        with self._connected() as connection:
            rows = connection.execute(
                f"SELECT substr(key, ?), {COLUMNS} FROM files WHERE substr(key, 1, ?) = ? "
                "ORDER BY key",
                [len(prefix) + 1, len(prefix), prefix],
            ).fetchall()
        for name, *columns in rows:
            yield name, _entry(columns)


def _entry(row: list[object]) -> Entry:
    size, modified, content_type, etag = row
    return Entry(size, datetime.fromisoformat(modified), content_type=content_type, etag=etag)
