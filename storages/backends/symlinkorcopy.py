"""Files on this machine, saved as symbolic links to where they lie already, or else copied."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from django.core.files.uploadedfile import UploadedFile

from storages.files import Source
from storages.local import LocalStorage
from storages.options import option, positional

__all__ = ["SymlinkOrCopyStorage"]

OPEN_ATTEMPTS = 10  # of a file that others put links in the place of

# How opening a link fails where none is to be followed: as a file, and as a directory.
_LINKED = {errno.ELOOP, errno.ENOTDIR}


class SymlinkOrCopyStorage(LocalStorage):
    """Django's FileSystemStorage, but files that lie in certain directories are linked to.

    A link is made for an open regular file that is, all links resolved, inside ``symlink_within``.
    Uploads, files of this storage itself and all others are copied, and on Windows everything is.
    A link that leads anywhere else is not followed, whoever made it.
    """

    symlink_within: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = positional(
        default=(),
        kw_only=False,
        doc="Directories whose files are linked to: a list, or a text with ``:`` (``;`` on "
        "Windows) between them.",
    )
    relative: bool = option(
        default=False, doc="Make relative links, for directories that are moved together."
    )

    def _write(self, key: str, source: Source, *, overwrite: bool) -> None:
        self._check(Path(self.path(key)).parent, self._root())
        super()._write(key, source, overwrite=overwrite)

    def _remove(self, key: str) -> None:
        self._check(Path(self.path(key)).parent, self._root())
        super()._remove(key)

    def _fill(self, temporary: Path, source: Source) -> None:
        if not self._linked(temporary, source.file):
            temporary.unlink(missing_ok=True)
            super()._fill(temporary, source)

    def _linked(self, temporary: Path, content: Any) -> bool:
        """Make a link to the file that a content is read from; return whether it may be used."""
        if os.name == "nt" or isinstance(content, UploadedFile):
            return False
        try:
            target = _resolved(content.file.name)
            start = _resolved(temporary.parent)
            temporary.symlink_to(os.path.relpath(target, start) if self.relative else target)
            # A content may bear any name, and paths change: what counts is where the link leads.
            target, opened = _resolved(temporary), os.fstat(content.fileno())
            is_same = stat.S_ISREG(opened.st_mode) and os.path.samestat(opened, target.stat())
        except (AttributeError, OSError, TypeError, ValueError):
            return False
        return is_same and _within(target, self._sources()) and not _within(target, self._root())

    def _found(self, key: str) -> Path:
        path = _resolved(super()._found(key))
        self._check(path, [*self._root(), *self._sources()])
        return path

    def _open_found(self, key: str) -> io.FileIO:
        for _ in range(OPEN_ATTEMPTS - 1):
            try:
                return io.FileIO(self._found(key), opener=_opened_without_links)
            except OSError as exc:
                if exc.errno not in _LINKED:
                    raise
        return io.FileIO(self._found(key), opener=_opened_without_links)

    def _check(self, path: Path, allowed: Iterable[Path]) -> None:
        if not _within(Path(os.path.realpath(path)), allowed):
            raise PermissionError(
                errno.EACCES, "A link leads out of the storage: name its directory 'symlink_within'"
            )

    def _root(self) -> list[Path]:
        return [Path(os.path.realpath(self.location))]

    def _sources(self) -> list[Path]:
        given = self.symlink_within
        if isinstance(given, str):
            given = given.split(os.pathsep)
        elif isinstance(given, os.PathLike):
            given = [given]
        return [Path(os.path.realpath(each)) for each in given if os.fspath(each)]


def _resolved(path: str | Path) -> Path:
    # `Path.resolve` raises RuntimeError for a loop of links before Python 3.13.
    return Path(os.path.realpath(path, strict=True))


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


def _within(path: Path, directories: Iterable[Path]) -> bool:
    return any(path.is_relative_to(each) for each in directories)
