"""Databases through ODBC: time next to the bare driver, and what reading a head transfers."""

from __future__ import annotations

import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.core.files.base import ContentFile

from storages.backends.database import DatabaseStorage
from tests.backends.database.server import COLUMNS, MORE, Place, missing
from tests.servers.database import DatabaseServer, MariaDB, PostgreSQL
from tests.servers.proxy import Proxy

from .report import MIB, Row, mixed_row, print_table, progress

ROUNDS = 60
TABLE = "bench"
HEAD = 64 * 1024  # bytes
LARGE = 64 * MIB

MOST_RATIO = 1.5  # of what the bare driver takes in the same run
MOST_TRANSFER = 2 * MIB

SERVERS: dict[str, type[DatabaseServer] | None] = {
    "sqlite": None,
    "postgresql": PostgreSQL,
    "mariadb": MariaDB,
}


def main() -> bool:
    """Measure, print the table, tell whether all targets were met."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as directory:
        for kind, server in SERVERS.items():
            if reason := missing(kind) or (server and server.available()):
                raise SystemExit(reason)
            with database(kind, server, Path(directory)) as place:
                rows += measured(place)
    return print_table("Databases (ODBC)", rows)


def measured(place: Place) -> Iterator[Row]:
    """Yield all that is measured on a database."""
    yield from beside_driver(place)
    if place.server is not None:
        yield head(place, place.server)
        yield threads(place, place.server)


@contextmanager
def database(kind: str, server: type[DatabaseServer] | None, directory: Path) -> Iterator[Place]:
    """Run a database, with a table for the files."""
    if server is None:
        place = Place(kind, None, directory)
        storage_on(place).create_table()
        yield place
        return
    with server() as running:
        place = Place(kind, running, directory)
        storage_on(place).create_table()
        yield place


def storage_on(place: Place, via: Proxy | None = None) -> DatabaseStorage:
    """Return an overwriting storage."""
    options: dict[str, Any] = {**COLUMNS, **MORE, **place.options(via), "db_table": TABLE}
    return DatabaseStorage(**options)


def beside_driver(place: Place) -> Iterator[Row]:
    """Compare saving and reading 1 MiB with the statements alone, in alternating rounds."""
    progress(f"{place.kind}: 1 MiB")
    # Another each time: SQLite writes nothing where nothing changes.
    contents = itertools.cycle([os.urandom(MIB) for _ in range(7)])
    storage = storage_on(place)
    with storage, closing(place.connect_odbc()) as connection:
        bare = Bare(place, connection)
        pairs: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
            (
                "save",
                lambda: storage.save("a", ContentFile(next(contents))),
                lambda: bare.save(next(contents)),
            ),
            ("read", lambda: read(storage), bare.read),
        ]
        for name, ours, its in pairs:
            yield compared(f"{place.kind}: {name} 1 MiB", ours, its)


class Bare:
    """The statements that any program would send."""

    def __init__(self, place: Place, connection: Any) -> None:
        self._connection = connection
        quote = "`" if place.kind == "mariadb" else '"'
        names = {name: f"{quote}{name}{quote}" for name in (TABLE, *COLUMNS.values())}
        table, key, blob, size = names.values()
        change = f"ON CONFLICT ({key}) DO UPDATE SET {blob} = excluded.{blob}"
        if place.kind == "mariadb":
            change = f"ON DUPLICATE KEY UPDATE {blob} = VALUES({blob})"
        columns = f"({key}, {blob}, {size})"
        self._write = f"INSERT INTO {table} {columns} VALUES (?, ?, ?) {change}"
        self._read = f"SELECT {blob} FROM {table} WHERE {key} = ?"

    def save(self, content: bytes) -> None:
        """Store a content."""
        self._connection.execute(self._write, "bare", content, len(content)).close()

    def read(self) -> None:
        """Read it."""
        row = self._connection.execute(self._read, "bare").fetchone()
        assert len(row[0]) == MIB


def read(storage: DatabaseStorage) -> None:
    """Read the file that was saved."""
    with storage.open("a") as file:
        assert len(file.read()) == MIB


def compared(name: str, ours: Callable[[], object], its: Callable[[], object]) -> Row:
    """Compare the times of two calls in alternating rounds, by their lower quartiles.

    What else this machine does makes calls slower, never faster.
    """
    ours(), its()
    times = [(timed(ours), timed(its)) for _ in range(ROUNDS)]
    own, bare = (statistics.quantiles(each)[0] for each in zip(*times, strict=True))
    ratio = own / bare
    result = f"{own * 1000:.1f} ms, bare driver {bare * 1000:.1f} ms: {ratio:.2f}"
    return Row(name, result, f"at most {MOST_RATIO}", ratio <= MOST_RATIO)


def timed(call: Callable[[], object]) -> float:
    """Return how many seconds a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def head(place: Place, server: DatabaseServer) -> Row:
    """Count the bytes that come from the server while the start of a large file is read."""
    progress(f"{place.kind}: the head of a large file")
    with storage_on(place) as direct:
        direct.save("large", ContentFile(bytes(LARGE)))
    with Proxy(*server.address) as proxy, storage_on(place, proxy) as storage:
        with storage.open("large") as file:
            assert len(file.read(HEAD)) == HEAD
        moved = proxy.bytes_down
    name = f"{place.kind}: first 64 KiB of 64 MiB"
    return Row(name, f"{moved / MIB:.2f} MiB", "under 2 MiB", moved < MOST_TRANSFER)


def threads(place: Place, server: DatabaseServer) -> Row:
    """Use one storage from many threads."""
    with Proxy(*server.address) as proxy, storage_on(place, proxy) as storage:
        row = mixed_row(storage, lambda: proxy.open_connections, storage.max_connections)
    row.operation = f"{place.kind}: {row.operation}"
    return row
