"""``manage.py collectstatic``: Django's own, with one listing and several uploads at a time."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.apps import apps
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.management.commands import collectstatic
from django.contrib.staticfiles.storage import HashedFilesMixin
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage, Storage
from django.core.management.base import CommandError, CommandParser

from storages.base import BaseStorage
from storages.contents import as_content
from storages.management.collecting import JOBS, Batch, Destination, NotDone, Origin
from storages.management.common import Watched, explained, positive, shown
from storages.management.hashing import finish, staged
from storages.utils import unwrapped

COMPARED = 50  # files that a thread compares before it takes others
SMALL = 256 * 1024  # bytes of a file that a thread reads at once
MOST_NAMED = 50  # files that an error names


class Target:
    """What Django's command takes for the storage: it answers from one listing, and acts later.

    All else is asked of the storage itself.
    """

    def __init__(self, destination: Destination, ends: ExitStack) -> None:
        self._destination = destination
        self._ends = ends
        self._origins: dict[str, Origin] = {}
        self._unchanged: dict[str, bool] = {}
        self._expected: str | None = None
        self._planned: dict[str, int] = {}
        self._doomed: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._destination.original, name)

    # -- comparing --------------------------------------------------------------------------------

    def compare(self, origins: Mapping[str, Origin]) -> None:
        """Find out which files are stored as they are."""
        self._origins.update(origins)
        found = {name: self._destination.find(name) for name in origins}
        stored = [name for name, entry in found.items() if entry]
        batches = self._destination.batches(stored, COMPARED)
        # Without a question to a service or another host, threads are slower than one.
        is_asked = any(entry and not entry.digest for entry in found.values())
        jobs = None if is_asked or not all(map(self._is_near, origins)) else 1
        self._destination.send("compared", self._compare, batches, jobs=jobs)

    def _compare(self, names: Batch) -> int:
        size = 0
        errors: dict[str, Exception] = {}
        for name in names:
            origin = self._origins[name]
            try:
                with origin.open() as file:
                    size += file.size
                    self._unchanged[name] = self._destination.holds(name, file, origin.modified())
            except Exception as exc:  # noqa: BLE001 - told with the name of its file
                errors[name] = exc
        if errors:
            raise NotDone("compared", errors)
        return size

    def holds_any(self) -> bool:
        """Return True if there were files."""
        return bool(self._destination.entries)

    def is_there(self, name: str) -> bool:
        """Return True if there was a file of this name, which was not deleted."""
        return self._destination.find(name) is not None

    def is_unchanged(self, name: str, origin: Origin) -> bool:
        """Return True if a file is stored as it is."""
        if name not in self._unchanged:
            self._origins[name] = origin
            self._compare([name])
        return self._unchanged[name]

    # -- clearing ---------------------------------------------------------------------------------

    @cached_property
    def _tree(self) -> dict[str, tuple[dict[str, None], list[str]]]:
        """The names of the directories and of the files in each directory."""
        tree: dict[str, tuple[dict[str, None], list[str]]] = {"": ({}, [])}
        for name in self._destination.entries:
            directory, _, base = name.rpartition("/")
            tree.setdefault(directory, ({}, []))[1].append(base)
            while directory:
                above, _, last = directory.rpartition("/")
                tree.setdefault(above, ({}, []))[0][last] = None
                directory = above
        return tree

    def exists(self, path: str) -> bool:
        """Return True for a directory that is to be cleared."""
        return path.replace(os.sep, "/") in self._tree

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Return what is in a directory, from the listing."""
        directories, files = self._tree[path.replace(os.sep, "/")]
        return [*directories], files

    def delete(self, name: str) -> None:
        """Note that a file is to be removed."""
        self._doomed.append(name.replace(os.sep, "/"))

    def clear(self) -> None:
        """Remove what was noted, many files at a time."""
        doomed, self._doomed = self._doomed, []
        self._destination.remove(doomed)
        if doomed:
            self._destination.entries.clear()

    # -- storing ----------------------------------------------------------------------------------

    def expect(self, name: str, origin: Origin) -> None:
        """Take the next content that is to be saved for that of a file of the project."""
        self._origins[name] = origin
        self._expected = name

    def save(self, name: str, content: File[Any]) -> str:
        """Note that a file of the project is to be stored; store what a subclass made of one."""
        expected, self._expected = self._expected, None
        if name != expected:
            return self._replace(name, content)
        self._planned[name] = content.size
        return name

    def finish(self) -> None:
        """Store what was noted, many files at a time."""
        planned, self._planned = self._planned, {}
        sizes = {name: planned[name] for name in in_turns(planned)}
        near = [name for name in sizes if self._is_near(name)]
        self._destination.store(sizes, self._store, near, self._contents)

    def _is_near(self, name: str) -> bool:
        """Return True if a file is read without asking a service or another host."""
        return isinstance(self._origins[name].storage, FileSystemStorage)

    def _contents(self, names: Iterable[str]) -> Iterator[tuple[str, File[Any]]]:
        for name in names:
            try:
                with self._origins[name].open() as file:
                    content = in_memory(file)
            except Exception:  # noqa: BLE001, S112 - told where the file is stored alone
                continue
            yield name, content

    def _store(self, names: Batch) -> int:
        (name,) = names
        # A local storage may want the very file, to link it.
        is_kept = isinstance(self._destination.original, FileSystemStorage)
        with self._origins[name].open() as file, self._destination.room(file.size):
            size = file.size
            self._replace(name, file if is_kept or size > SMALL else in_memory(file))
        return size

    def _replace(self, name: str, content: File[Any]) -> str:
        storage = self._destination.replacing
        picks = type(storage).get_available_name is not BaseStorage.get_available_name
        if picks and self.is_there(name):
            # Its own way to find a free name would find another.
            storage.delete(name)
        saved: str = storage.save(name, content)
        self._destination.forget(saved)
        return saved

    def post_process(self, paths: Mapping[str, Any], **options: Any) -> Iterator[Any]:
        """Store what was noted, and hash names where the storage does that."""
        self.finish()
        storage: Any = self._destination.original
        if not hasattr(storage, "post_process"):
            return
        is_local = isinstance(storage, FileSystemStorage)
        if is_local or not isinstance(storage, HashedFilesMixin) or options.get("dry_run"):
            yield from storage.post_process(paths, **options)
            return
        origins = {name: Origin(*each) for name, each in paths.items()}
        directory = TemporaryDirectory(prefix="collectstatic-")
        # A run that fails leaves this generator where it is.
        twin = staged(self._destination, origins, Path(self._ends.enter_context(directory)))
        yield from twin.post_process(paths, **options)
        finish(self._destination, twin)


class Command(Watched, collectstatic.Command):
    """Django's command; what it does to a storage of this package is done in bulk."""

    readers = {"jobs": positive}
    target: Target | None = None
    jobs: int | None = None

    def add_arguments(self, parser: CommandParser) -> None:
        """Take Django's options, and how many files are to be on their way at once."""
        super().add_arguments(parser)
        parser.add_argument(
            "--jobs",
            metavar="N",
            help=f"Store N files at a time; {JOBS}, or as many as the storage's max_connections, "
            "by default.",
        )

    def set_options(self, **options: Any) -> None:
        """Take the options of a run."""
        if not apps.is_installed("django.contrib.staticfiles"):
            raise CommandError("Add 'django.contrib.staticfiles' to INSTALLED_APPS.")
        super().set_options(**options)
        self.jobs = options.get("jobs")

    def collect(self) -> dict[str, list[str]]:
        """Collect as Django does."""
        storage = unwrapped(self.storage)
        if self.symlink or not isinstance(storage, BaseStorage):
            return super().collect()
        given, destination = self.storage, Destination(storage, self.jobs, self.show)
        with ExitStack() as ends:
            self.storage = self.target = Target(destination, ends)
            try:
                return self._collect(self.target)
            except NotDone as exc:
                raise CommandError(told(exc)) from next(iter(exc.errors.values()))
            except (OSError, ImproperlyConfigured) as exc:
                place = getattr(exc, "filename", None)
                prefix = f"{shown(str(place))}: " if place else ""
                raise CommandError(prefix + explained(exc)) from exc
            finally:
                self.storage, self.target = given, None
                self.progress()

    def _collect(self, target: Target) -> dict[str, list[str]]:
        if target.holds_any() and (self.dry_run or not self.clear):
            target.compare(self.origins())
        collected: dict[str, list[str]] = super().collect()
        target.finish()
        return collected

    def origins(self) -> dict[str, Origin]:
        """Return the files of the project by the names that they are to have."""
        found: dict[str, Origin] = {}
        for finder in get_finders():
            for path, storage in finder.list(self.ignore_patterns):
                prefix = getattr(storage, "prefix", None)
                name = str(Path(prefix, path)) if prefix else path
                found.setdefault(name, Origin(storage, path))
        return found

    def clear_dir(self, path: str) -> None:
        """Delete what is in a directory."""
        super().clear_dir(path)
        if self.target and not path:
            self.target.clear()

    def delete_file(self, path: str, prefixed_path: str, source_storage: Storage) -> bool:
        """Return False if a file is stored as it is; an older one will be replaced."""
        if self.target is None:
            return bool(super().delete_file(path, prefixed_path, source_storage))
        if not self.target.is_there(prefixed_path):
            return True
        unchanged = self.target.is_unchanged(prefixed_path, Origin(source_storage, path))
        if unchanged and not self.is_link(prefixed_path):
            if prefixed_path not in self.unmodified_files:
                self.unmodified_files.append(prefixed_path)
            self.log(f"Skipping '{path}' (not modified)")
            return False
        self.log(f"{'Pretending to delete' if self.dry_run else 'Deleting'} '{path}'")
        return True

    def copy_file(self, path: str, prefixed_path: str, source_storage: Storage) -> None:
        """Store a file later, unless it is stored as it is."""
        if self.target:
            self.target.expect(prefixed_path, Origin(source_storage, path))
        super().copy_file(path, prefixed_path, source_storage)

    def is_link(self, name: str) -> bool:
        """Return True for a symbolic link, as a run with ``--link`` made it."""
        return self.local and Path(self.storage.path(name)).is_symlink()

    def progress(self, text: str = "") -> None:
        """Show what is going on, unless the command is to be silent."""
        if self.verbosity > 0:
            super().progress(text)

    def log(self, msg: str, level: int = 2) -> None:
        """Write a line in place of the progress."""
        if self.verbosity >= level:
            self.progress()
        super().log(msg, level)


def in_memory(file: File[Any]) -> File[Any]:
    """Return a file with the content of another.

    Each move and each read of a file of the system lets another thread run. A save makes ten of
    them, and with many threads they cost more than the save.
    """
    return as_content(ContentFile(file.read()), file.name, getattr(file, "content_type", None))


def in_turns(names: Iterable[str]) -> list[str]:
    """Return names with one of each directory first, then the second of each, and so on.

    Threads that each want to make the same new directory on a server would do it in turn.
    """
    counts: Counter[str] = Counter()
    turns: dict[str, int] = {}
    for name in names:
        directory = os.path.dirname(name)  # noqa: PTH120 - thousands of names
        turns[name] = counts[directory]
        counts[directory] += 1
    return sorted(turns, key=turns.__getitem__)


def told(exc: NotDone) -> str:
    """Return the text of an error: what failed, and why."""
    names = sorted(exc.errors)
    lines = [f"{len(names)} static file{'s' * (len(names) != 1)} could not be {exc.verb}:"]
    lines += [f"  {shown(name)}: {explained(exc.errors[name])}" for name in names[:MOST_NAMED]]
    if len(names) > MOST_NAMED:
        lines.append(f"  and {len(names) - MOST_NAMED} more")
    if exc.untried:
        lines.append(f"{exc.untried} others were not tried.")
    return "\n".join(lines)
