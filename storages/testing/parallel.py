"""Jobs done at the same moment, in threads or in other processes."""

from __future__ import annotations

import multiprocessing
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, TypeVar

import django
from django.conf import settings
from django.core.files.storage import Storage
from django.db import connections
from django.utils.module_loading import import_string

STATUS = Path("/proc/self/status")  # of Linux: sizes in KiB, see proc(5)
START_LIMIT = 120  # seconds that processes wait for each other

Result = TypeVar("Result")


def in_threads(count: int, job: Callable[[int], Result]) -> list[Result]:
    """Call ``job(0)`` to ``job(count - 1)`` at once; return the results in order."""
    start = threading.Barrier(count)

    def run(index: int) -> Result:
        start.wait()
        with own_connections():
            return job(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


@contextmanager
def own_connections() -> Iterator[None]:
    """Close the database connections of this thread after a block, as Django does at requests."""
    try:
        yield
    finally:
        connections.close_all()


@dataclass(frozen=True)
class Recipe:
    """How to make a storage again: what ``deconstruct`` tells, and the options it leaves out."""

    path: str
    args: tuple[Any, ...]
    options: Mapping[str, Any]

    @classmethod
    def of(cls, storage: Any, secrets: Mapping[str, Any]) -> Recipe:
        """Describe a storage by what migrations would write about it."""
        path, args, options = storage.deconstruct()
        return cls(path, tuple(args), {**options, **secrets})

    def make(self, **attributes: Any) -> Storage:
        """Make the storage, of a subclass with ``attributes`` if there are any."""
        cls = import_string(self.path)
        if attributes:
            cls = type(cls.__name__, (cls,), attributes)
        storage: Storage = cls(*self.args, **self.options)
        return storage


def in_processes(recipe: Recipe, count: int, job: Callable[[Storage, int], Result]) -> list[Result]:
    """Call ``job(storage, index)`` at once in new processes, each with a storage of its own.

    ``job`` is a function of a module, or a partial of one. The processes have this one's settings.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        count, context, initializer=_begin, initargs=(_settings(), context.Barrier(count))
    ) as pool:
        started = [pool.submit(_run, recipe, job, index) for index in range(count)]
        return [each.result() for each in started]


def _settings() -> dict[str, Any]:
    own: Any = settings
    names = {name for name in dir(own) if name.isupper() and own.is_overridden(name)}
    if django.VERSION < (5, 1) and "STORAGES" in names:
        # Django has made these from it, and takes it or them.
        names -= {"DEFAULT_FILE_STORAGE", "STATICFILES_STORAGE"}
    return {name: getattr(own, name) for name in names}


def _begin(values: Mapping[str, Any], barrier: Barrier) -> None:
    global _start  # noqa: PLW0603 - a synchronising object reaches a process only as it begins
    _start = barrier
    settings.configure(**values)
    django.setup()


def _run(recipe: Recipe, job: Callable[[Storage, int], Result], index: int) -> Result:
    try:
        storage = recipe.make()
    except BaseException:
        _start.abort()
        raise
    _start.wait(START_LIMIT)
    return job(storage, index)


def peak_memory(job: Callable[[], object]) -> int:
    """Return the bytes by which this process, best a new one, grew at most during a job."""
    if STATUS.exists():
        before = _memory("VmRSS")
        job()
        return _memory("VmHWM") - before
    tracemalloc.start()
    job()
    return tracemalloc.get_traced_memory()[1]


def _memory(field: str) -> int:
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


_start: Barrier
