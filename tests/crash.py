"""Jobs done in forked processes: with fewer rights or limits, or killed between any two steps."""

from __future__ import annotations

import mimetypes
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Job = Callable[[], object]


def in_child(job: Job) -> int:
    """Do a job in a forked process; return how that ended, as `os.waitstatus_to_exitcode` tells.

    An exception of the job ends the process with 1, and its traceback goes to standard error.
    """
    with warnings.catch_warnings():
        # Python warns of the threads that a fork leaves behind; the job uses none of them.
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process:
        _, status = os.waitpid(process, 0)
        return os.waitstatus_to_exitcode(status)
    ended = 1
    try:
        job()
        ended = 0
    except BaseException:  # noqa: BLE001 - the child may not go on as if it were the parent
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(ended)


def killed_at(step: int, job: Job) -> bool:
    """Do a job in a process that SIGKILL ends at a step; return False where the job ended first.

    A step is the beginning or the end of a call to the system: of a function of `os`, or of a
    method of a file. Between two of them nothing changes that would outlive the process.
    """
    # Its first use reads a file of thousands of lines.
    mimetypes.init()

    def count(_frame: object, event: str, function: Any) -> None:
        nonlocal step
        if event.startswith("c_") and touches_the_system(function):
            step -= 1
            if step < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def counted() -> None:
        sys.setprofile(count)
        try:
            job()
        finally:
            sys.setprofile(None)

    ended = in_child(counted)
    assert ended in {0, -signal.SIGKILL}, "the job failed"
    return ended != 0


def touches_the_system(function: Any) -> bool:
    """Return True if a function written in C may do something that outlives the process."""
    module = function.__module__ or type(function.__self__).__module__
    is_about_names = function is os.fspath or function.__name__.startswith("_")
    return module in {"posix", "_io"} and not is_about_names


@contextmanager
def system_calls(names: list[str]) -> Iterator[None]:
    """Add the name of each call to the system to a list."""

    def add(_frame: object, event: str, function: Any) -> None:
        if event == "c_call" and touches_the_system(function):
            names.append(function.__name__)

    sys.setprofile(add)
    try:
        yield
    finally:
        sys.setprofile(None)
