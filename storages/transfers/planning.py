"""What there is to copy and to delete: the listings of both ends, side by side."""

from __future__ import annotations

import errno
import posixpath
import threading
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import chain, groupby, islice
from operator import itemgetter

from storages.driver import Entry
from storages.jobs import done
from storages.utils import RefusedName, is_nameable, normalize_name

from .ends import End, Found

WITNESSES = 100  # files of the source, of which one has to be there still


class Plan:
    """The files of both ends that belong to one part of the names."""

    def __init__(self, origin: End, target: End, part: tuple[int, int] = (1, 1)) -> None:
        if not 1 <= part[0] <= part[1]:
            raise ValueError(f"There is no part {part[0]} of {part[1]}: the first is 1.")
        self.origin = origin
        self.target = target
        self._part = part
        self._into = _below(origin, target)
        self._from = _below(target, origin)
        if self._into == "":
            raise ValueError("Source and destination are one place: name two.")
        #: True if the source has any file, in this part or another.
        self.has_files = False
        #: One file of the source with a usual name, in this part or another; empty without any.
        self._first: list[str] = []
        #: True if the path is one file; what the destination has below its name is not its affair.
        self.is_one_file = False
        self.wanted: list[Found] = []
        #: Files of the source under names that no storage of Django's takes.
        self.unsayable: list[Found] = []
        self.stored: dict[str, Entry] = {}
        #: Names that a storage without upper and lower case takes for one, two or more each.
        self.twins: list[list[Found]] = []
        #: Of names that the source does not have just so.
        self._stored_folds: set[str] = set()
        self._wanted_by_fold: dict[str, str] = {}
        #: Set where a listing is not wanted any more.
        self._is_over = threading.Event()

    def list(self, path: str) -> None:
        """List both ends, at the same time; raises FileNotFoundError if the source has nothing."""
        path = self.origin.named(path)
        found = self.origin.stat(path) if path else None
        if found is None and path:
            raise FileNotFoundError(errno.ENOENT, "The source has nothing there", path)
        self.is_one_file = found is not None and not found.is_directory
        files = [(path, found)] if found and self.is_one_file else self.origin.walk(path)
        lists: list[Callable[[], None]] = [
            lambda: self._list_origin(files),
            lambda: self._list_target(path),
        ]
        for _, error in done(lambda each: each(), lists, 2, stop=self._is_over.set):
            if error is not None:
                raise error
        folds = ((folded(name), name) for name in self.stored)
        self._stored_folds = {f for f, name in folds if self._wanted_by_fold.get(f) != name}

    def stored_entry(self, name: str) -> Entry | None:
        """Return what the destination has under a name, or under one that it takes for it."""
        if name in self.stored:
            return self.stored[name]
        return self.target.stat(name) if folded(name) in self._stored_folds else None

    def tells_apart(self, *names: str) -> bool:
        """Return True if the destination has a file under each of some names."""
        return all(name in self.stored for name in names) or all(map(self._is_listed, names))

    def _is_listed(self, name: str) -> bool:
        """Return True if the destination lists a name, and each directory above it, just so."""
        directory = posixpath.dirname(name)
        with suppress(FileNotFoundError, NotADirectoryError):
            if name in self.target.names_in(directory):
                return not directory or self._is_listed(directory)
        return False

    def refusal(self, name: str) -> str | None:
        """Return why a name may not be written, though the destination could have it."""
        if self._from is not None and _is_in(name, self._from):
            return "It would lie among the files that are copied from"
        return None

    def superfluous(self) -> Iterator[str]:
        """Yield the names that only the destination has."""
        wanted = {name for name, _ in self.wanted}
        for name in self.stored:
            if self.is_one_file or name in wanted or self.refusal(name):
                continue
            twin = self._wanted_by_fold.get(folded(name))
            # The copy of a file may lie under another spelling of its name.
            if twin is None or self.target.stat(twin) is None or self.tells_apart(name, twin):
                yield name

    def missing(self, names: Iterable[str]) -> Iterator[tuple[str, Exception | None]]:
        """Ask the source again for names that it did not list; yield those that it does not have.

        Where asking fails, all names of a directory are yielded with the error.
        """
        for directory, group in groupby(names, posixpath.dirname):
            asked = list(group)
            try:
                there = self.origin.files_among(directory, asked)
            except Exception as exc:  # noqa: BLE001 - whatever an author raises
                yield from ((name, exc) for name in asked)
            else:
                yield from ((name, None) for name in asked if name not in there)

    def require_source(self) -> None:
        """Raise FileNotFoundError if none of the files that the source had is there any more.

        So it is with a disk that was unmounted while it was listed.
        """
        names = [*islice(chain(self._first, (name for name, _ in self.wanted)), WITNESSES)]
        if names and not any(map(self.origin.stat, names)):
            raise FileNotFoundError(errno.ENOENT, "The source has none of its files any more")

    def _list_origin(self, files: Iterable[Found]) -> None:
        shared = set[str]()
        for found in self._mine(files):
            name = found[0]
            if not is_nameable(name):
                self.unsayable.append(found)
                continue
            self.wanted.append(found)
            fold = folded(name)
            if self._wanted_by_fold.setdefault(fold, name) is not name:
                shared.add(fold)
        groups = defaultdict[str, list[Found]](list)
        for found in self.wanted if shared else ():
            if (fold := folded(found[0])) in shared:
                groups[fold].append(found)
        self.twins = [sorted(group, key=itemgetter(0)) for group in groups.values()]

    def _list_target(self, path: str) -> None:
        if self.is_one_file:
            found = self.target.stat(path)
            self.stored = {path: found} if found and not found.is_directory else {}
            return
        with suppress(FileNotFoundError, NotADirectoryError):
            for name, entry in self.target.walk(path):
                if self._is_over.is_set():
                    return
                if is_nameable(name) and self._is_mine(name):
                    self.stored[name] = entry

    def _mine(self, files: Iterable[Found]) -> Iterator[Found]:
        """Yield what of the source belongs to this part, until the listing is not wanted."""
        for name, entry in files:
            if self._is_over.is_set():
                return
            if self._into and _is_in(name, self._into):
                continue
            if not self._first and is_nameable(name):
                self._first.append(name)
            self.has_files = True
            if self._is_mine(name):
                yield name, entry

    def _is_mine(self, name: str) -> bool:
        number, of = self._part
        return zlib.crc32(folded(name).encode(errors="backslashreplace")) % of == number - 1


def reason_of(name: str) -> str:
    """Return why no storage takes a name."""
    try:
        return f"Storages take its name for {normalize_name(name)!r}: give the file another"
    except RefusedName as exc:
        return str(exc)


def folded(name: str) -> str:
    """Return what is equal for names that some storages take for one."""
    fold = unicodedata.normalize("NFC", name).casefold()
    return name if fold == name else fold  # millions of them are kept


def _below(outer: End, inner: End) -> str | None:
    """Return the path of an end within another, ``""`` for the same; None if it is elsewhere."""
    (outer_where, outer_path), (inner_where, inner_path) = outer.place, inner.place
    if outer_where != inner_where or inner_path[: len(outer_path)] != outer_path:
        return None
    return "/".join(inner_path[len(outer_path) :])


def _is_in(name: str, directory: str) -> bool:
    return f"{name}/".startswith(f"{directory}/")
