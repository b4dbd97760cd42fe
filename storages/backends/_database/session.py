"""One ODBC connection, used through a thread of its own so that every wait ends.

A driver waits for a silent server for ever, whatever time limits it takes: those are the server's.
So whoever asks waits for the thread, and gives the connection up when it does not answer.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Expired
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

from .dialects import Dialect
from .errors import LostError, translated
from .layout import Row

SPARE = 1.0  # seconds beyond the limit that the server itself keeps
LEAST_RATE = 256 * 1024  # bytes a second at which a content is sent at least

Result = TypeVar("Result")
Job = tuple[Callable[[Any], Any], "Future[Any]"]


class Session:
    """A connection of pyodbc; raises built-in errors."""

    dialect: Dialect

    def __init__(self, connect: Callable[[], Any], timeout: float, errors: type[Exception]) -> None:
        self._timeout = timeout
        self._errors = errors
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self.is_broken = False
        name = "storages-database"
        Thread(target=_serve, args=(connect, self._jobs), name=name, daemon=True).start()

    def do(self, job: Callable[[Any], Result], size: int = 0) -> Result:
        """Return what a job returns for the connection; ``size`` bytes are moved meanwhile."""
        if self.is_broken:
            raise LostError(errno.ECONNRESET, "The connection to the database was lost")
        answer: Future[Result] = Future()
        self._jobs.put((job, answer))
        try:
            return answer.result(self._timeout + SPARE + size / LEAST_RATE)
        except Expired as exc:
            self.close()
            raise TimeoutError(
                errno.ETIMEDOUT,
                "The database does not answer: check the network, or raise the option 'timeout'",
            ) from exc
        except self._errors as exc:
            raise translated(exc) from exc

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a statement."""
        rows, _ = self.do(lambda connection: _executed(connection, sql, values))
        return rows

    def change(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Carry out a statement, which commits by itself; return how many rows it changed."""
        size = sum(len(each) for each in values if isinstance(each, (bytes, str)))
        _, count = self.do(lambda connection: _executed(connection, sql, values), size)
        return count

    def close(self) -> None:
        """Let the thread close the connection and end, when it can."""
        self.is_broken = True
        self._jobs.put(None)


def _executed(connection: Any, sql: str, values: Sequence[Any]) -> tuple[list[Row], int]:
    cursor = connection.cursor()
    try:
        cursor.execute(sql, *values)
        rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
        return rows, cursor.rowcount
    finally:
        with suppress(Exception):
            cursor.close()


def _serve(connect: Callable[[], Any], jobs: SimpleQueue[Job | None]) -> None:
    """Do jobs one after the other, on a connection that the first of them waits for."""
    connection: Any = None
    while (job := jobs.get()) is not None:
        work, answer = job
        try:
            connection = connection or connect()
            answer.set_result(work(connection))
        except Exception as exc:  # noqa: BLE001 - whoever asked gets it
            answer.set_exception(exc)
        del work, answer, job
    with suppress(Exception):
        connection.close()
