"""Names and life of the files that a save makes on its way, for local disks and servers alike.

Three kinds, each in the directory of the file that is saved, spelled ``.storages-<hex>.<kind>``:

- ``part``: content that has no name of its own yet.
- ``lock``: an empty directory, held while a name is checked and taken.
- ``old``: a directory that holds the file whose name is being taken over, under its own base name.

Listings leave them out, and no user's file may be called so. The rule of removing: a save removes
its own; a later save removes a part or lock of others when nobody wrote to it for a day, by the
clock of the server and by the clock of this machine. What is in an ``old`` directory goes back to
its name when that is free, whatever its age; it is removed when its name has had another file for
a day.
"""

from __future__ import annotations

import logging
import os
import posixpath
import re
import secrets
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal, Protocol, TypeVar

from .driver import Listed
from .pool import Connection, Pool
from .utils import RefusedName, shown

Used_contra = TypeVar("Used_contra", bound=Hashable, contravariant=True)
Kind = Literal["part", "lock", "old"]

STALE: Final = timedelta(days=1)  # more than any zone in which a listing may tell times
INTERVAL: Final = 3600.0  # seconds between two looks of a process at one directory
CLOCK_TOLERANCE: Final = timedelta(seconds=10)

RENAMES: Final = 3  # tries to rename a file when others change what is in the way

#: Matches every temporary name, for servers that take patterns.
PATTERN: Final = ".storages-*"
_SPELLING = re.compile(r"\.storages-[0-9a-f]{32}\.(part|lock|old)")

_PLACES = 1024  # remembered; a place that was forgotten is looked at again
_looked: dict[Hashable, float] = {}


def beside(key: str, kind: Kind, token: str = "") -> str:
    """Return a key in the directory of another; without a token it is one that nobody can guess."""
    base = f".storages-{token or secrets.token_hex(16)}.{kind}"
    return posixpath.join(posixpath.dirname(key), base)


def is_temporary(name: str, kind: Kind | None = None) -> bool:
    """Return True if a base name is a temporary one, of any kind or of the given one."""
    match = _SPELLING.fullmatch(name)
    return match is not None and kind in (None, match[1])


def refused(key: str) -> str:
    """Return a key; raises RefusedName if a part of it is a temporary file's name."""
    if ".storages-" in key and any(map(is_temporary, key.split("/"))):
        raise RefusedName(f"The name {shown(key)} is a temporary file's: choose another.")
    return key


def is_due(place: Hashable) -> bool:
    """Return True if leftovers of a directory are to be looked for now: hourly in each process."""
    now = time.monotonic()
    if now - _looked.get(place, -INTERVAL) < INTERVAL:
        return False
    if len(_looked) >= _PLACES:
        _looked.clear()
    _looked[place] = now
    return True


def look_again(place: Hashable) -> None:
    """Make the next `is_due` of a directory true: a save has left something there."""
    _looked.pop(place, None)


def stale(listed: Iterable[Listed], now: datetime | None) -> Iterator[str]:
    """Yield those listed names that are temporary and were not touched for a day.

    ``now`` is the time by the server's clock, None if that is not known. A name without a known
    time is not stale.
    """
    # A finished part may bear a time by this machine's clock.
    oldest = None if now is None else min(now, datetime.now(UTC)) - STALE
    for name, entry in listed:
        modified = entry.modified if entry is not None and is_temporary(name) else None
        if oldest is not None and modified is not None and modified < oldest:
            yield name


def corrected(modified: datetime | None) -> datetime | None:
    """Return the time that a file written just now should have; None where it is about right.

    ``modified`` is what its server says. Where that clock is off, ``collectstatic`` would take
    changed files for unchanged ones.
    """
    now = datetime.now(UTC)
    return None if modified is None or abs(now - modified) < CLOCK_TOLERANCE else now


#: Held while a name is checked and taken where the server takes it for nobody alone: so threads of
#: one process get a file each.
alone = threading.RLock()


NO_EXCLUSION: Final = (
    "This server gives a name to one client alone by no means: two processes that save the same "
    "new name at once may both get it, and one file is lost. Use names that differ, or another "
    "server."
)
STEPS_ASIDE: Final = (
    "This server renames to free names only: when a file is overwritten the old one steps aside, "
    "and for an instant readers find no file."
)


def notice(traits: dict[str, Any], text: str) -> None:
    """Say once for each server what is done instead of what it cannot do; `notices` tells it."""
    if text not in (told := traits.setdefault("notices", [])):
        told.append(text)
        logging.getLogger("storages").warning(text)


def _after_fork() -> None:
    global alone  # noqa: PLW0603
    alone = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Files(Protocol):
    """What renaming and sweeping ask of a connection to a server; paths are whole."""

    @property
    def refusals(self) -> tuple[type[Exception], ...]:
        """Errors after which the server goes on to listen."""

    def find_file(self, path: str) -> bool:
        """Return True if a file has a path, False if nothing has; raises for a directory."""

    def list_names(self, path: str) -> list[str]:
        """Return the base names of what is in a directory."""

    def make_directory(self, path: str) -> None:
        """Make one directory."""

    def move(self, path: str, target: str) -> None:
        """Rename a file."""

    def remove_file(self, path: str) -> None:
        """Remove a file."""

    def remove_directory(self, path: str) -> None:
        """Remove an empty directory."""


class Aside:
    """Where the file of a name waits while another takes the name, until it is dropped or back."""

    def __init__(self, target: str, directory: str = "") -> None:
        self._target = target
        self._directory = directory or beside(target, "old")
        self._path = posixpath.join(self._directory, posixpath.basename(target))
        self._is_used = bool(directory)

    def replace(self, files: Files, source: str) -> None:
        """Rename a file to the name on a server that renames to free names only.

        May be repeated after a lost connection. `drop` or `restore` has to follow.
        """
        problem: Exception | None = None
        for _ in range(RENAMES):
            try:
                files.move(source, self._target)
            except files.refusals as exc:
                problem = exc
            else:
                return
            if files.find_file(self._target):
                self._step(files)
        assert problem is not None
        raise problem

    def _step(self, files: Files) -> None:
        self._is_used = True
        with suppress(*files.refusals):
            files.make_directory(self._directory)
        try:
            files.move(self._target, self._path)
        except files.refusals:
            # Another may have moved it first.
            if files.find_file(self._target):
                raise

    def drop(self, files: Files) -> None:
        """Remove what stepped aside: the name has its new file."""
        if self._is_used:
            for remove, path in (
                (files.remove_file, self._path),
                (files.remove_directory, self._directory),
            ):
                with suppress(*files.refusals):
                    remove(path)
            self._is_used = False

    def restore(self, files: Files) -> None:
        """Give what stepped aside its name back, unless that has another file by now."""
        if not self._is_used:
            return
        if files.find_file(self._target):
            self.drop(files)
            return
        # If the name is refused to it, the directory is not empty and stays.
        with suppress(*files.refusals):
            files.move(self._path, self._target)
        with suppress(*files.refusals):
            files.remove_directory(self._directory)


class Upload(Protocol[Used_contra]):
    """One save in two steps, each of which may be tried again on another connection."""

    @property
    def is_clean(self) -> bool:
        """True if the save has left nothing on the server but its file."""

    def write(self, connection: Used_contra, /) -> None:
        """Store the content under a temporary name, and check what was stored."""

    def publish(self, connection: Used_contra, /) -> None:
        """Give the content its name."""

    def clean(self, connection: Used_contra, /) -> None:
        """Remove what the save does not need any more, and undo what can be undone."""

    def sweep(self, connection: Used_contra, /) -> None:
        """Call `sweep` on the directory of the file."""


def carry_out(
    upload: Upload[Connection],
    pool: Pool[Connection],
    place: Hashable,
    *,
    check: Callable[[], None],
    ignored: tuple[type[Exception], ...],
) -> None:
    """Make a save: write, ``check``, publish, then tidy up; ``ignored`` errors of that are dropped.

    ``place`` stands for the directory, for `is_due`.
    """
    try:
        pool.run(upload.write)
        check()
        pool.run(upload.publish)
    except BaseException:
        look_again(place)
        raise
    finally:
        if not upload.is_clean:
            with suppress(*ignored), pool.lease() as connection:
                upload.clean(connection)
    if is_due(place):
        with suppress(*ignored):
            pool.run(upload.sweep)


def sweep(files: Files, directory: str, listed: Iterable[Listed], now: datetime | None) -> None:
    """Remove from a directory what nobody needs any more, and put back what stepped aside."""
    found = [(name, entry) for name, entry in listed if is_temporary(name)]
    outdated = set(stale(found, now))
    for name, _ in found:
        path = posixpath.join(directory, name)
        with suppress(*files.refusals):
            if is_temporary(name, "old"):
                _settle(files, directory, path, is_outdated=name in outdated)
            elif name in outdated:
                remove = files.remove_file if is_temporary(name, "part") else files.remove_directory
                remove(path)


def _settle(files: Files, directory: str, path: str, *, is_outdated: bool) -> None:
    for name in files.list_names(path):
        target = posixpath.join(directory, name)
        # Whoever is about to save there has a day's time to do it.
        if is_outdated or not files.find_file(target):
            Aside(target, path).restore(files)
    with suppress(*files.refusals):
        files.remove_directory(path)
