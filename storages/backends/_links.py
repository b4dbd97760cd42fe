"""Symbolic links to where contents lie, and files opened at the paths that were checked."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.core.files.uploadedfile import UploadedFile

from storages.local import StoredFile

OPEN_ATTEMPTS = 10  # of a file that others put links in the place of

# How opening a link fails where none is to be followed: as a file, and as a directory.
_LINKED = {errno.ELOOP, errno.ENOTDIR}


def within(path: Path, directories: Iterable[Path]) -> bool:
    """Return True if a path is one of the directories or inside one, compared part by part."""
    return any(path.is_relative_to(each) for each in directories)


def resolved(path: str | Path) -> Path:
    """Return an existing path with all links resolved; OSError where there is none."""
    # `Path.resolve` raises RuntimeError for a loop of links before Python 3.13.
    return Path(os.path.realpath(path, strict=True))


def linked(link: Path, content: Any, *, relative: bool) -> Path | None:
    """Make a link to the file a content is read from; return where it leads, links resolved.

    None for anything but an open regular file of this machine, for uploads, and where links
    cannot be made; a link that leads to anything else may be left then.
    """
    if os.name == "nt" or isinstance(content, UploadedFile):
        return None
    try:
        target, start = resolved(content.file.name), resolved(link.parent)
        link.symlink_to(os.path.relpath(target, start) if relative else target)
        # A content may bear any name, and paths change: what counts is where the link leads.
        target, opened = resolved(link), os.fstat(content.fileno())
        is_same = stat.S_ISREG(opened.st_mode) and os.path.samestat(opened, target.stat())
    except (AttributeError, OSError, TypeError, ValueError):
        return None
    return target if is_same else None


def open_found(find: Callable[[], Path]) -> StoredFile:
    """Open the resolved path that ``find`` returns, anew where a part has become a link since."""
    for _ in range(OPEN_ATTEMPTS - 1):
        try:
            return StoredFile(find(), opener=_opened_without_links)
        except OSError as exc:
            if exc.errno not in _LINKED:
                raise
    return StoredFile(find(), opener=_opened_without_links)


def _opened_without_links(path: str | Path, flags: int) -> int:
    """Open a resolved path part by part; fail where one has become a link meanwhile."""
    if os.open not in os.supports_dir_fd:
        return os.open(path, flags)
    to_directory = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW
    *directories, last = Path(path).parts[1:] or (".",)
    directory = os.open(Path(path).anchor, to_directory)
    try:
        for part in directories:
            inner = os.open(part, to_directory, dir_fd=directory)
            os.close(directory)
            directory = inner
        # A pipe would wait for its other end.
        return os.open(last, flags | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
    finally:
        os.close(directory)
