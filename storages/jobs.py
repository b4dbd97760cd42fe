"""Jobs: the same work on many items, in a bounded number of threads, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from itertools import islice
from queue import Empty, SimpleQueue
from threading import Thread, main_thread
from typing import Any, Generic, TypeVar

from django.db import connections

STARTING = 5.0  # seconds after which a thread that does not run was not started
IDLE = 1.0  # seconds after which a thread without work looks whether there will be any
AHEAD = 4  # items that wait for a thread to become free, so that none is idle

Item = TypeVar("Item")
Result = TypeVar("Result")


def done(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    jobs: int,
    *,
    stop: Callable[[], object] = lambda: None,
) -> Generator[tuple[Item, Result | Exception], None, None]:
    """Call ``work`` for each item in up to ``jobs`` threads; yield it with what came of it.

    That is what ``work`` returned, or the exception that it raised, in the order in which the
    calls end. Items are taken lazily, in the calling thread: at most ``jobs + AHEAD`` are taken
    and not yet yielded. With one job there are no threads. Each call sees the caller's context
    variables as they are when its item is taken.

    Where the caller closes the iterator, taking an item fails or Ctrl-C is pressed, the items that
    wait are dropped, and the calls that have begun end before control returns. ``stop`` is called
    before any wait for them, and may tell them to end early.
    """
    if jobs <= 1:
        yield from (_checked(_tried(work, item)) for item in items)
        return
    left = iter(items)
    team: _Team[Item, Result] = _Team(work, jobs)
    try:
        team.take(islice(left, jobs + AHEAD))
        while team.pending:
            yield _checked(team.next_ended())
            team.take(islice(left, 1))
    finally:
        try:
            stop()
            team.dismiss()
        except BaseException:
            # Ctrl-C was pressed once more, maybe before the threads knew of the first time.
            team.release()
            raise


def _tried(work: Callable[[Item], Result], item: Item) -> tuple[Item, Result | BaseException]:
    try:
        return item, work(item)
    except BaseException as exc:  # noqa: BLE001 - the caller gets it with its item
        return item, exc


def _checked(ended: tuple[Item, Result | BaseException]) -> tuple[Item, Result | Exception]:
    """Return what a call came to; raise what is to end the program."""
    item, result = ended
    if isinstance(result, BaseException) and not isinstance(result, Exception):
        raise result
    return item, result


class _Team(Generic[Item, Result]):
    """Threads that call ``work``, and the queues before and behind them."""

    def __init__(self, work: Callable[[Item], Result], most: int) -> None:
        self._work = work
        self._most = most
        self._waiting: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._ended: SimpleQueue[tuple[Item, Result | BaseException]] = SimpleQueue()
        self._threads: list[Thread] = []
        self._is_over = False
        self.pending = 0

    def take(self, items: Iterable[Item]) -> None:
        """Have work done on items."""
        for item in items:
            self._waiting.put(partial(copy_context().run, _tried, self._work, item))
            self.pending += 1
            if len(self._threads) < self._most:
                self._threads.append(Thread(target=self._run, name="storages-jobs"))
                self._threads[-1].start()

    def next_ended(self) -> tuple[Item, Result | BaseException]:
        """Return an item with what came of it, once there is one."""
        found = self._ended.get()
        self.pending -= 1
        return found

    def _run(self) -> None:
        try:
            while (call := self._next_call()) is not None:
                self._ended.put(call())
        finally:
            # Each thread has its own, and no other could close them.
            connections.close_all()

    def _next_call(self) -> Callable[[], Any] | None:
        # Ctrl-C may keep the word that all is over from being sent.
        while main_thread().is_alive() and not self._is_over:
            with suppress(Empty):
                return self._waiting.get(timeout=IDLE)
        return None

    def release(self) -> None:
        """Drop what waits, and let each thread end when its call does."""
        self._is_over = True
        with suppress(Empty):
            while True:
                self._waiting.get_nowait()
        for _ in self._threads:
            self._waiting.put(None)

    def dismiss(self) -> None:
        """Drop what waits, and return once all threads have ended."""
        self.release()
        for thread in self._threads:
            _await(thread)


def _await(thread: Thread) -> None:
    """Wait for the end of a thread that Ctrl-C may have met while it was being started."""
    end = time.monotonic() + STARTING
    while True:
        try:
            thread.join()
        except RuntimeError:
            # It cannot be joined before it runs.
            if time.monotonic() > end:
                return
            time.sleep(0.01)
        else:
            return


class Meter:
    """Counts what a job has done; as text it is a line for whoever watches.

    ``files`` and ``size`` are what there is to do, None where nobody knows; they may be set at any
    time. The remaining time is told once both are known.
    """

    def __init__(
        self,
        files: int | None = None,
        size: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.files = files
        self.size = size
        self.done_files = 0
        self.done_size = 0
        self._clock = clock
        self._begin = clock()

    def add(self, size: int = 0, files: int = 1) -> None:
        """Count files with so many bytes together as done."""
        self.done_files += files
        self.done_size += size

    def __str__(self) -> str:
        seconds = self._clock() - self._begin
        noun = "file" if (self.files or self.done_files) == 1 else "files"
        parts = [
            f"{_of(str(self.done_files), self.files and str(self.files))} {noun}",
            _of(shown_size(self.done_size), self.size and shown_size(self.size)),
        ]
        if seconds > 0:
            parts.append(f"{shown_size(self.done_size / seconds)}/s")
        if (left := self._left(seconds)) is not None:
            parts.append(f"{shown_duration(left)} left")
        return ", ".join(parts)

    def _left(self, seconds: float) -> float | None:
        """Return the remaining seconds; each file costs something, and so does each byte."""
        if not self.files or self.size is None:
            return None
        part = self.done_files / self.files
        if self.size:
            part = (part + self.done_size / self.size) / 2
        return seconds * (1 - part) / part if 0 < part <= 1 else None


def _of(number: str, total: str | int | None) -> str:
    return f"{number} of {total}" if total else number


def shown_size(size: float) -> str:
    """Return a number of bytes as people read it."""
    if size < 1024:
        return f"{size:.0f} B"
    for unit in ("KiB", "MiB", "GiB"):
        size /= 1024
        if size < 1024:
            return f"{size:.1f} {unit}"
    return f"{size / 1024:.1f} TiB"


def shown_duration(seconds: float) -> str:
    """Return a time span as people read it: ``9 s``, ``3:05 min``, ``2:10 h``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02} h"
