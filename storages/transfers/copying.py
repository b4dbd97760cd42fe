"""Copying the files of one storage to another."""

from __future__ import annotations

import errno
import io
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import IO

from django.core.files.storage import Storage

from storages.driver import Entry
from storages.jobs import Meter, done

from .comparing import Comparison
from .deleting import Deleted
from .ends import Found, end_of
from .planning import Plan, reason_of

JOBS = 32
#: Files of more bytes are copied by few jobs at once: backends hold parts of them in memory.
LARGE = 1024 * 1024
MOST_LARGE = 4
BATCH = 100  # files that a job deletes together
ATTEMPTS = 2  # at a file that is replaced while it is copied

COPIED, SKIPPED, FAILED, DELETED = "copied", "skipped", "failed", "deleted"

BY_SERVICE = "by the service itself"
GONE = "removed from the source meanwhile"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file: one of the actions above, how or why, and the size of the file."""

    name: str
    action: str
    detail: str = ""
    size: int = 0


@dataclass
class Report:
    """What a copy did, or would do, in the order in which the files were done."""

    outcomes: list[Outcome] = field(default_factory=list)

    def of(self, action: str) -> list[Outcome]:
        """Return the outcomes of one action."""
        return [each for each in self.outcomes if each.action == action]

    @property
    def size(self) -> int:
        """The bytes copied."""
        return sum(each.size for each in self.of(COPIED))


class NothingToCopy(ValueError):
    """Raised for a deletion that would empty the destination, since the source has no files."""


#: Called with each outcome and with how far the copy is, in the thread that called `copy`.
Listener = Callable[[Outcome, Meter], None]


def copy(
    source: Storage,
    destination: Storage,
    path: str = "",
    *,
    jobs: int = JOBS,
    dry_run: bool = False,
    delete: bool = False,
    delete_all: bool = False,
    verify: bool = False,
    resume: bool = False,
    part: tuple[int, int] = (1, 1),
    report: Listener | None = None,
) -> Report:
    """Copy a file, or all files below a directory, to the same names of another storage.

    Files that are equal are skipped, others replaced. A file that cannot be copied is reported and
    keeps no other; errors of listing are raised. ``delete`` removes what only the destination has,
    if nothing failed; where the source has no files that takes ``delete_all``, else it raises
    `NothingToCopy`. ``verify`` compares the contents, after copying too. ``resume`` takes a file
    of the same size that is not older for one that was copied before. ``part`` takes the files of
    one of so many parts, such as ``(3, 16)``: the same for everyone.

    Raises ValueError for a storage that would be copied onto itself.
    """
    plan = Plan(end_of(source), end_of(destination), part)
    plan.list(path)
    if delete and not (plan.has_files or delete_all):
        raise NothingToCopy("The source has no files there: deleting would leave none.")
    comparison = Comparison(plan.origin, plan.target, trusts_time=resume, reads=verify)
    work = _Work(plan, comparison, dry_run=dry_run, verify=verify)
    sizes = (entry.size for _, entry in chain(plan.wanted, plan.unsayable))
    meter = Meter(len(plan.wanted) + len(plan.unsayable), sum(sizes))
    result = Report()
    for outcome in _outcomes(work, jobs, delete=delete):
        _count(meter, outcome)
        result.outcomes.append(outcome)
        if report is not None:
            report(outcome, meter)
    return result


def _outcomes(work: _Work, jobs: int, *, delete: bool) -> Iterator[Outcome]:
    plan = work.plan
    limits = [each for each in (plan.origin.most_jobs, plan.target.most_jobs) if each is not None]
    jobs = min([jobs, *limits])
    has_failed = bool(plan.unsayable)
    yield from (Outcome(name, FAILED, reason_of(name), each.size) for name, each in plan.unsayable)
    together = {name for group in plan.twins for name, _ in group}
    alone = [each for each in plan.wanted if each[0] not in together]
    sent: set[str] = set()
    for outcome in work.at_once(alone, jobs):
        sent.add(outcome.name)
        yield outcome
    left = [each for each in alone if each[0] not in sent]
    for (name, entry), result in done(work.on_file, left, jobs):
        outcome = _settled(name, entry, result)
        has_failed |= outcome.action == FAILED
        yield outcome
    for group in plan.twins:
        for outcome in work.on_twins(group):
            has_failed |= outcome.action == FAILED
            yield outcome
    if delete and not has_failed:
        yield from work.deletions(jobs)


def _settled(name: str, entry: Entry, result: Outcome | Exception) -> Outcome:
    if not isinstance(result, Exception):
        return result
    text = str(getattr(result, "strerror", None) or result) or type(result).__name__
    return Outcome(name, FAILED, text, entry.size)


def _count(meter: Meter, outcome: Outcome) -> None:
    if outcome.action == DELETED:
        return
    if outcome.action == COPIED:
        meter.add(outcome.size)
        return
    meter.add()
    meter.size = (meter.size or 0) - outcome.size


class _Work:
    """What is done with each file; may be called by many threads at once."""

    def __init__(self, plan: Plan, comparison: Comparison, *, dry_run: bool, verify: bool) -> None:
        self.plan = plan
        self._origin = plan.origin
        self._target = plan.target
        self._comparison = comparison
        self._dry_run = dry_run
        self._verify = verify
        self._large = threading.BoundedSemaphore(MOST_LARGE)

    def at_once(self, wanted: Iterable[Found], jobs: int) -> Iterator[Outcome]:
        """Copy small new files of this machine, if the destination takes many at a time.

        What it does not yield is for `on_file`, which tells what is wrong.
        """
        limit = self._target.most_in_many
        if self._dry_run or self._verify or not (limit and self._origin.is_local):
            return
        small = {
            name: entry
            for name, entry in wanted
            if entry.size <= limit
            and not self.plan.refusal(name)
            and not self.plan.stored_entry(name)
        }
        with closing(self._target.store_many(self._read(small), min(jobs, len(small)))) as names:
            for name in names:
                with suppress(OSError):
                    self._origin.require_unchanged(name, small[name])
                    yield Outcome(name, COPIED, size=small[name].size)

    def _read(self, small: dict[str, Entry]) -> Iterator[tuple[str, IO[bytes], Entry]]:
        for name in small:
            with suppress(OSError), self._content(name) as (entry, file):
                small[name] = entry
                yield name, file, entry

    def on_file(self, found: Found) -> Outcome:
        """Copy a file unless the destination has it."""
        name, entry = found
        if reason := self.plan.refusal(name):
            return Outcome(name, FAILED, reason, entry.size)
        stored = self.plan.stored_entry(name)
        try:
            if stored and (rule := self._comparison.rule(name, entry, stored)):
                return Outcome(name, SKIPPED, rule, entry.size)
            how = self._tried(name, entry) if self._dry_run else self._copied(name, entry)
        except FileNotFoundError:
            # A link that leads nowhere is there.
            if self._origin.storage.exists(name):
                raise
            return Outcome(name, SKIPPED, GONE, entry.size)
        return Outcome(name, COPIED, how, entry.size)

    def on_twins(self, group: list[Found]) -> Iterator[Outcome]:
        """Copy files whose names differ in case alone, if the destination tells them apart."""
        first = group[0][0]
        for (name, entry), result in done(lambda found: self._on_twin(first, found), group, 1):
            yield _settled(name, entry, result)

    def _on_twin(self, first: str, found: Found) -> Outcome:
        name, entry = found
        is_told = name == first or self._target.stat(name) is None
        if is_told or self.plan.tells_apart(first, name):
            return self.on_file(found)
        return Outcome(name, FAILED, f"The destination takes its name for {first!r}", entry.size)

    def deletions(self, jobs: int) -> Iterator[Outcome]:
        """Delete what only the destination has, once the source was asked again."""
        names = self.plan.superfluous()
        batches = iter(lambda: [*islice(names, BATCH)], [])
        for _, results in done(self._removed, batches, jobs):
            if isinstance(results, Exception):
                raise results
            for name, error in results:
                yield _settled(name, Entry(0), error or Outcome(name, DELETED))

    def _removed(self, names: list[str]) -> list[Deleted]:
        found: list[Deleted] = [*self.plan.missing(names)]
        missing = [name for name, error in found if error is None]
        if missing:
            self.plan.require_source()
        gone = [(name, None) for name in missing] if self._dry_run else self._target.remove(missing)
        return [*gone, *(each for each in found if each[1] is not None)]

    def _tried(self, name: str, entry: Entry) -> str:
        self._target.check(name, entry)
        return ""

    def _copied(self, name: str, entry: Entry) -> str:
        """Copy a file and return how; once more if it was replaced meanwhile."""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self._large if entry.size > LARGE else nullcontext():
                    return self._copied_once(name, entry)
            except OSError as exc:
                if exc.errno != errno.ESTALE or attempt == ATTEMPTS:
                    raise
                entry = self._origin.stat(name) or entry
        raise AssertionError

    def _copied_once(self, name: str, entry: Entry) -> str:
        if self._copied_by_service(name, entry):
            if self._verify:
                with self._origin.opened(name) as (found, file):
                    self._require_arrival(name, file, found.size)
            return BY_SERVICE
        with self._content(name) as (found, file):
            self._target.store(name, file, found)
            self._origin.require_unchanged(name, found)
            if self._verify:
                self._require_arrival(name, file, file.seek(0, io.SEEK_END))
        return ""

    def _copied_by_service(self, name: str, entry: Entry) -> bool:
        try:
            return self._target.copy_within(self._origin, name, entry)
        except PermissionError:
            # To read and to write is another right.
            return False

    @contextmanager
    def _content(self, name: str) -> Iterator[tuple[Entry, IO[bytes]]]:
        """Give what is known of a file, and its content to read while the target is written."""
        opened = self._origin.opened(name, unpacked=not self._target.keeps_encoding)
        with ExitStack() as stack:
            with opened as (entry, file):
                size = file.seek(0, io.SEEK_END)
                file.seek(0)
                if size <= LARGE:
                    again: IO[bytes] = io.BytesIO(file.read())
                elif self._origin.shares_connections(self._target):
                    again = stack.enter_context(self._origin.spooled(file))
                else:
                    yield entry, file
                    return
            yield entry, again

    def _require_arrival(self, name: str, file: IO[bytes], size: int) -> None:
        if not self._comparison.arrived(name, file, size):
            raise OSError(errno.EIO, "What was stored is not what was sent", name)
