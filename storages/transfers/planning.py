"""What there is to copy and to delete: the listings of both ends, side by side."""

from __future__ import annotations

import errno
import posixpath
import unicodedata
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress

from storages.driver import Entry
from storages.jobs import done

from .ends import End, Found


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
        #: True if the path is one file; what the destination has below its name is not its affair.
        self.is_one_file = False
        self.wanted: list[Found] = []
        self.stored: dict[str, Entry] = {}
        #: Names that a storage without upper and lower case takes for one, two or more each.
        self.twins: list[list[Found]] = []
        self._stored_by_fold: dict[str, str] = {}
        self._wanted_by_fold: dict[str, str] = {}

    def list(self, path: str) -> None:
        """List both ends, at the same time; raises FileNotFoundError if the source has nothing."""
        path = self.origin.named(path)
        lists: list[Callable[[], None]] = [
            lambda: self._list_origin(path),
            lambda: self._list_target(path),
        ]
        for _, error in done(lambda each: each(), lists, 2):
            if error is not None:
                raise error
        self._stored_by_fold = {folded(name): name for name in self.stored}

    def stored_entry(self, name: str) -> Entry | None:
        """Return what the destination has under a name, or under one that it takes for it."""
        if name in self.stored:
            return self.stored[name]
        return self.target.stat(name) if folded(name) in self._stored_by_fold else None

    def tells_apart(self, *names: str) -> bool:
        """Return True if the destination has a file under each of some names of one directory."""
        return self.target.names_in(posixpath.dirname(names[0])) >= set(names)

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
            if twin is None or self.tells_apart(name, twin):
                yield name

    def _list_origin(self, path: str) -> None:
        groups = defaultdict[str, list[Found]](list)
        for name, entry in self._files(path):
            if self._into and _is_in(name, self._into):
                continue
            self.has_files = True
            if self._is_mine(name):
                groups[folded(name)].append((name, entry))
        self.wanted = [each for group in groups.values() for each in group]
        self.twins = [sorted(group) for group in groups.values() if len(group) > 1]
        self._wanted_by_fold = {fold: group[0][0] for fold, group in groups.items()}

    def _files(self, path: str) -> Iterator[Found]:
        found = self.origin.stat(path) if path else None
        if found is None and path:
            raise FileNotFoundError(errno.ENOENT, "The source has nothing there", path)
        if found is not None and not found.is_directory:
            self.is_one_file = True
            yield path, found
            return
        yield from self.origin.walk(path)

    def _list_target(self, path: str) -> None:
        with suppress(FileNotFoundError, NotADirectoryError):
            if path and (found := self.target.stat(path)) and not found.is_directory:
                self.stored = {path: found} if self._is_mine(path) else {}
                return
            self.stored = {
                name: entry for name, entry in self.target.walk(path) if self._is_mine(name)
            }

    def _is_mine(self, name: str) -> bool:
        number, of = self._part
        return zlib.crc32(folded(name).encode()) % of == number - 1


def folded(name: str) -> str:
    """Return what is equal for names that some storages take for one."""
    return unicodedata.normalize("NFC", name).casefold()


def _below(outer: End, inner: End) -> str | None:
    """Return the path of an end within another, ``""`` for the same; None if it is elsewhere."""
    (outer_where, outer_path), (inner_where, inner_path) = outer.place, inner.place
    if outer_where != inner_where or inner_path[: len(outer_path)] != outer_path:
        return None
    return "/".join(inner_path[len(outer_path) :])


def _is_in(name: str, directory: str) -> bool:
    return f"{name}/".startswith(f"{directory}/")
