"""Walks through directories while others add and remove files in them."""

# ruff: noqa: SLF001 - these are steps of the driver's own.

from __future__ import annotations

import errno
import posixpath
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Final

from .driver import Entry, Listed
from .utils import MOST_LEVELS, is_nameable

if TYPE_CHECKING:
    from .driver import Driver

LOOKS: Final = 3  # at a directory, at most, that others remove and make again


def walk(driver: Driver, key: str) -> Iterator[Listed]:
    """Yield every file below a key, directory by directory; see `Driver._walk`."""
    # No name has more levels, so a walk that finds more goes round in circles.
    if key.count("/") > MOST_LEVELS:
        raise OSError(errno.ELOOP, "The directories go round in a circle")
    deeper: list[str] = []
    listed = {name: entry for name, entry in driver._list(key) if _is_base_name(name)}
    for name, entry in sorted(listed.items()):
        if not is_nameable(name):
            yield name, entry or Entry(0)
            continue
        found = entry or driver._looked_up(posixpath.join(key, name))
        if found and found.is_directory:
            deeper.append(name)
        elif found:
            yield name, found
    for name in deeper:
        yield from _walk_on(driver, key, name, listed.keys() - {name})


def _walk_on(driver: Driver, key: str, name: str, others: AbstractSet[str]) -> Iterator[Listed]:
    """Walk a directory that was listed a moment ago, beside others."""
    for _ in range(LOOKS):
        is_begun = False
        try:
            for path, entry in driver._walk(posixpath.join(key, name)):
                is_begun = True
                yield posixpath.join(name, path), entry
        except driver._known_errors as exc:
            if not driver._says_missing(exc):
                raise
            found = _found_again(driver, key, name, others)
        else:
            return
        if found is None or not found.is_directory:
            yield from [(name, found)] if found else []
            return
        if is_begun:
            break
    raise OSError(errno.EBUSY, "A directory was removed and made again while it was listed")


def _found_again(driver: Driver, key: str, name: str, others: AbstractSet[str]) -> Entry | None:
    """Describe what has a name whose directory is said to be missing; None if others removed it.

    Raises if what it was in is missing too, or has nothing left of what it had: so it is with a
    disk that was unmounted, and of that nothing is known.
    """
    listed = dict(driver._list(key))
    if others and not others & listed.keys():
        raise OSError(errno.ENOENT, "All of a directory went away while it was listed")
    if name in listed:
        return listed[name] or driver._looked_up(posixpath.join(key, name))
    return None


def _is_base_name(name: str) -> bool:
    """Return True unless a listed name leads elsewhere, such as ``..``: servers send anything."""
    return "/" not in name and name not in {"", ".", ".."}
