"""Files on this machine, saved as symbolic links to where they lie already, or else copied."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from storages.driver import Entry, Source
from storages.local import LocalStorage
from storages.options import option, positional

from ._links import linked, open_found, resolved, within

__all__ = ["SymlinkOrCopyStorage"]


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

    def doubts(self) -> Iterator[str]:
        """Yield where files would be linked to in a directory that is not there."""
        yield from super().doubts()
        if not all(each.is_dir() for each in self._sources()):
            yield (
                "'symlink_within' names a directory that is not there, so that no file in it is "
                "linked to: make the directory, or correct the path."
            )

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        self._check(Path(self.path(key)).parent, [self._root()])
        super()._write(key, source, overwrite=overwrite, expected=expected)

    def _remove(self, key: str) -> None:
        self._check(Path(self.path(key)).parent, [self._root()])
        super()._remove(key)

    def _fill(self, temporary: Path, source: Source) -> None:
        target = linked(temporary, source.file, relative=self.relative)
        if not target or within(target, [self._root()]) or not within(target, self._sources()):
            temporary.unlink(missing_ok=True)
            super()._fill(temporary, source)

    def _found(self, key: str) -> Path:
        path = resolved(self.path(key))
        self._allow(path)
        return path

    def _open_found(self, key: str) -> io.FileIO:
        return open_found(lambda: self._found(key))

    def _allow(self, path: Path) -> None:
        self._check(path, [self._root(), *self._sources()])

    def _check(self, path: Path, allowed: Sequence[Path]) -> None:
        if not within(Path(os.path.realpath(path)), allowed):
            raise PermissionError(
                errno.EACCES, "A link leads out of the storage: name its directory 'symlink_within'"
            )

    def _root(self) -> Path:
        return Path(os.path.realpath(self.location))

    def _sources(self) -> list[Path]:
        given = self.symlink_within
        if isinstance(given, str):
            given = given.split(os.pathsep)
        elif isinstance(given, os.PathLike):
            given = [given]
        return [Path(os.path.realpath(each)) for each in given if os.fspath(each)]
