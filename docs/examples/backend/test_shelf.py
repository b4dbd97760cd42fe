"""The contract on ShelfStorage."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from shelf import TABLE, ShelfStorage

from storages.testing import StorageContract


class RawShelf:
    """A look at the rows, past the storage."""

    def __init__(self, database: Path) -> None:
        self.database = database

    @contextmanager
    def connected(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.database, timeout=60)) as connection, connection:
            connection.execute(TABLE)
            yield connection

    def get(self, name: str) -> bytes | None:
        with self.connected() as connection:
            row = connection.execute("SELECT content FROM files WHERE key = ?", [name]).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, name: str, content: bytes) -> None:
        with self.connected() as connection:
            connection.execute(
                "REPLACE INTO files VALUES (?, ?, '2026-01-01T00:00:00+00:00', 'text/plain', ?)",
                [name, content, f"{hash(content)}"],
            )

    def names(self) -> Iterable[str]:
        with self.connected() as connection:
            return [name for (name,) in connection.execute("SELECT key FROM files")]


class TestShelf(StorageContract):
    configuration = "shelf"
    has_created_time = False
    has_accessed_time = False
    impossible = {
        "6": "SQLite takes a blob as one piece of memory",
        "65b": "SQLite sets no limit to the length of a key",
    }

    def setUp(self) -> None:
        super().setUp()
        directory = self.enterContext(tempfile.TemporaryDirectory())
        self.database = Path(directory, "shelf.sqlite3")

    def make_storage(self, **options: Any) -> ShelfStorage:
        given = {"database": str(self.database), "base_url": "https://shelf.example/", **options}
        return ShelfStorage(**given)

    def raw(self) -> RawShelf:
        return RawShelf(self.database)

    def plant_many(self, names: Iterable[str]) -> None:
        with self.raw().connected() as connection:
            rows = [(name, b"x", "2026-01-01T00:00:00+00:00", "text/plain", "x") for name in names]
            connection.executemany("REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)

    def headers(self, name: str) -> Mapping[str, str]:
        with self.raw().connected() as connection:
            row = connection.execute("SELECT content_type FROM files WHERE key = ?", [name])
            return {"Content-Type": row.fetchone()[0]}
