"""Collecting static files: what one listing shows to differ is sent, many files at a time."""

from __future__ import annotations

import copy
import posixpath
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from datetime import datetime, timedelta
from functools import cached_property
from hashlib import md5
from itertools import islice
from threading import BoundedSemaphore
from typing import Any, NamedTuple

from django.core.files.base import File
from django.core.files.storage import Storage

from storages.base import BaseStorage
from storages.contents import is_rewindable
from storages.digests import matches
from storages.driver import Entry, Source
from storages.jobs import Meter, done
from storages.transfers import delete_many
from storages.transfers.storing import save_many
from storages.utils import normalize_name

JOBS = 64  # files on their way at once, unless the storage has fewer connections
MOST_FAILURES = 10  # after as many it is not the files that are at fault
MOST_REMOVED = 1000  # files of one batch
#: Files of more bytes are stored by few threads at once: backends hold parts of them in memory.
LARGE = 1024 * 1024
MOST_LARGE = 4

Batch = Sequence[str]


class Origin(NamedTuple):
    """Where a file comes from: a finder's storage, and the path there."""

    storage: Storage
    path: str

    def open(self) -> File[Any]:
        """Open the file for reading."""
        return self.storage.open(self.path)

    def modified(self) -> datetime | None:
        """Return when the file was written, as an aware time; None if that is not known."""
        try:
            return self.storage.get_modified_time(self.path).astimezone()
        except (OSError, NotImplementedError):
            return None


class NotDone(Exception):
    """Raised for files that could not be stored or removed, with the error of each by its name."""

    def __init__(self, verb: str, errors: dict[str, Exception], untried: int = 0) -> None:
        super().__init__(verb)
        self.verb = verb
        self.errors = errors
        self.untried = untried


class Destination:
    """A storage that files are collected to, and what one listing tells of it."""

    def __init__(
        self, storage: BaseStorage, jobs: int | None, show: Callable[[Meter], None]
    ) -> None:
        self.original = storage
        self.storage = storage.settled()
        limit = getattr(storage, "max_connections", None)
        self.jobs = min(filter(None, (jobs or JOBS, limit)))
        self._show = show
        self._large = BoundedSemaphore(MOST_LARGE)

    def room(self, size: int) -> AbstractContextManager[Any]:
        """Wait until there is memory for a file of so many bytes to be stored; give it back."""
        return self._large if size > LARGE else nullcontext()

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """The stored files by name, as they were at first use."""
        # A directory of this machine is made by the first save.
        with suppress(FileNotFoundError):
            return dict(self.storage.scan(recursive=True))
        return {}

    def find(self, name: str) -> Entry | None:
        """Return what the listing told of a file, None if it was not there."""
        return self.entries.get(normalize_name(name))

    def forget(self, name: str) -> None:
        """Have nothing to tell of a file any more, since it was stored after the listing."""
        self.entries.pop(normalize_name(name), None)

    @cached_property
    def replacing(self) -> BaseStorage:
        """A copy of the storage whose saves replace a file in one step."""
        twin = copy.copy(self.storage)
        twin.file_overwrite = True
        return twin

    def holds(self, name: str, content: File[Any], modified: datetime | None = None) -> bool:
        """Return True if a content is stored under a name: by size and digest.

        Where the service tells no digest, a file of the same size is taken for the same if it was
        stored after ``modified``, or has the digest of the content in its name.
        """
        entry = self.find(name)
        if entry is None or not is_rewindable(content):
            return False
        source = self.storage._source(name, content)
        with self.storage._stored_form(self.storage.key(name), source) as body:
            if body.size != entry.size:
                return False
            if (same := _is_same(entry, body, modified)) is None:
                same = _is_named_by_digest(name, content)
            if same or not (entry.digest or _is_near(entry.modified, modified)):
                return same
            # A listing may tell digests that are none, and times by the minute or the day.
            try:
                told = self.storage.stat(name)
            except FileNotFoundError:
                # Another deployment may be replacing it.
                return False
            same = told.size == body.size and _is_same(told, body, modified)
        return _is_named_by_digest(name, content) if same is None else same

    def send(
        self,
        verb: str,
        work: Callable[[Batch], int],
        batches: Sequence[Batch],
        meter: Meter | None = None,
        jobs: int | None = None,
    ) -> None:
        """Call ``work`` for batches of names in several threads; it returns the bytes it moved.

        ``meter`` knows all that there is to do, ``jobs`` is how many threads if not all are of use.
        Raises NotDone once the others have ended, or if many failed, once those have that had
        begun.
        """
        meter = meter or Meter(sum(map(len, batches)))
        errors: dict[str, Exception] = {}
        with closing(done(work, batches, jobs or self.jobs)) as results:
            for batch, result in results:
                if isinstance(result, NotDone):
                    errors |= result.errors
                elif isinstance(result, Exception):
                    errors |= dict.fromkeys(batch, result)
                meter.add(result if isinstance(result, int) else 0, len(batch))
                self._show(meter)
                if len(errors) >= MOST_FAILURES:
                    break
        if errors:
            raise NotDone(verb, errors, (meter.files or 0) - meter.done_files)

    def store(
        self,
        sizes: Mapping[str, int],
        work: Callable[[Batch], int],
        new: Iterable[str],
        contents: Callable[[Iterable[str]], Iterable[tuple[str, File[Any]]]],
    ) -> None:
        """Store files, small ones among ``new`` together if the storage can, the rest by ``work``.

        ``contents`` yields what is in files. Raises as `send` does.
        """
        meter = Meter(len(sizes), sum(sizes.values()))
        small = [name for name in new if sizes[name] <= self.storage.most_in_many]
        stored: set[str] = set()
        names = save_many(self.replacing, contents(small), min(self.jobs, len(small)))
        with closing(names):
            for name in names:
                stored.add(name)
                self.forget(name)
                meter.add(sizes[name])
                self._show(meter)
        self.send("stored", work, [(name,) for name in sizes if name not in stored], meter)

    def batches(self, names: Iterable[str], most: int) -> list[Batch]:
        """Share names out among the threads, at most so many a batch."""
        left = [*names]
        share = max(1, min(most, -(-len(left) // self.jobs)))
        rest = iter(left)
        return [*iter(lambda: [*islice(rest, share)], [])]

    def remove(self, names: Iterable[str]) -> None:
        """Remove files, many by one request where the service can."""
        wanted = [*names]
        self.send("deleted", self._remove, self.batches(wanted, MOST_REMOVED))
        for name in wanted:
            self.entries.pop(name, None)

    def _remove(self, names: Batch) -> int:
        results = delete_many(self.storage, names)
        if errors := {name: exc for name, exc in results if exc is not None}:
            raise NotDone("deleted", errors)
        return 0


def _is_same(entry: Entry, body: Source, modified: datetime | None) -> bool | None:
    """Return whether a file is a content, by digest or else by time; None if neither is known."""
    if (same := matches(entry.digest, body, body.size)) is not None:
        return same
    if entry.modified is None or modified is None:
        return None
    # To the second, as Django compares.
    return entry.modified.replace(microsecond=0) >= modified.replace(microsecond=0)


def _is_near(stored: datetime | None, modified: datetime | None) -> bool:
    return stored is not None and modified is not None and modified - stored < timedelta(days=1)


def _is_named_by_digest(name: str, content: File[Any]) -> bool:
    """Return True if a name has the digest of a content in it, as Django's hashing makes it."""
    digest = md5(usedforsecurity=False)
    for chunk in content.chunks():
        digest.update(chunk)
    return f".{digest.hexdigest()[:12]}" in posixpath.basename(name)
