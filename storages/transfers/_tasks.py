"""Copies as Django's tasks, one for each part of the names; needs Django 6.0.

A task is found by its path in this module, so that is what waiting ones stand on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.core.files.storage import storages
from django.tasks import TaskResultStatus, task
from django.tasks.exceptions import TaskResultDoesNotExist, TaskResultMismatch

from storages.jobs import shown_size

from .copying import COPIED, DELETED, FAILED, SKIPPED, copy

UNKNOWN = (TaskResultDoesNotExist, TaskResultMismatch)
MOST_NAMES = 1000  # failed files that a task tells one by one

WAITING, RUNNING, DONE, BROKEN = "waiting", "running", "done", "broken"
_STATES = {
    TaskResultStatus.READY: WAITING,
    TaskResultStatus.RUNNING: RUNNING,
    TaskResultStatus.SUCCESSFUL: DONE,
    TaskResultStatus.FAILED: BROKEN,
}


@task
def copy_part(
    source: str, destination: str, path: str, part: list[int], options: dict[str, Any]
) -> dict[str, Any]:
    """Copy one part between two aliases; return the numbers of files by action, and the failures.

    May be run again at any time: what was copied is skipped.
    """
    number, of = part
    report = copy(storages[source], storages[destination], path, part=(number, of), **options)
    # Databases keep no text that is no Unicode, as a name may be.
    failures = [(_as_text(each.name), each.detail) for each in report.of(FAILED)[:MOST_NAMES]]
    return {
        "counts": dict(Counter(each.action for each in report.outcomes)),
        "size": report.size,
        "failures": failures,
    }


@task
def hold(parts: list[str]) -> None:
    """Do nothing: the arguments of this task tell which parts make up a copy."""


def enqueue(source: str, destination: str, path: str, parts: int, options: dict[str, Any]) -> str:
    """Enqueue a task for each part; return the id to ask for all of them by."""
    results = [
        copy_part.enqueue(source, destination, path, [number, parts], options)
        for number in range(1, parts + 1)
    ]
    return hold.enqueue([each.id for each in results]).id


def can_be_asked() -> bool:
    """Return True if the task backend keeps results."""
    return copy_part.get_backend().supports_get_result


@dataclass
class Status:
    """How far a copy by tasks is: its parts by state, and what those that are done tell."""

    parts: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    size: int = 0
    #: Names of files, or of parts, with the reason.
    failures: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """True if no part waits or runs."""
        return not self.parts[WAITING] and not self.parts[RUNNING]


def status(job: str) -> Status:
    """Ask for a copy by the id that `enqueue` returned.

    Raises one of `UNKNOWN` for any other id.
    """
    found = Status()
    for result in _results(job):
        state = _STATES[result.status]
        found.parts[state] += 1
        if state == DONE:
            told = result.return_value
            found.counts.update(told["counts"])
            found.size += told["size"]
            found.failures += [(name, reason) for name, reason in told["failures"]]
        elif state == BROKEN:
            number, of = result.args[3]
            error = result.errors[-1].exception_class_path if result.errors else "no reason given"
            found.failures.append((f"part {number}/{of}", error))
    return found


def sentence(found: Status) -> str:
    """Return the numbers in a sentence."""
    states = [f"{found.parts[each]} {each}" for each in (DONE, RUNNING, WAITING, BROKEN)]
    actions = [f"{found.counts[each]} {each}" for each in (COPIED, SKIPPED, FAILED, DELETED)]
    total = sum(found.parts.values())
    size = shown_size(found.size)
    return f"Of {total} parts {', '.join(states)}: {', '.join(actions)}, {size} copied."


def _as_text(name: str) -> str:
    return name.encode(errors="backslashreplace").decode()


def _results(job: str) -> Iterator[Any]:
    for each in hold.get_result(job).args[0]:
        yield copy_part.get_result(each)
