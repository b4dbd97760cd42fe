"""Files in a container of libcloud's LOCAL driver: a directory in its base directory.

The driver itself lets names leave its base, follows links out of it, writes in place and leaves
lock files. So the files are kept by `LocalStorage`, in the same places.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from storages.base import Name
from storages.local import LocalStorage

from .errors import NO_BUCKET


class LocalObjects(LocalStorage):
    """The files of one container, and never anything that a link leads to outside of it."""

    def path(self, name: Name) -> str:
        """Return the path of a file; PermissionError where its directory is out of the container.

        Raises OSError (ENXIO) where the container itself is not there.
        """
        path = super().path(name)
        try:
            is_there = stat.S_ISDIR(Path(self.location).stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            is_there = False
        if not is_there:
            raise OSError(*NO_BUCKET)
        if path != self.location:
            self._allow(Path(path).parent)
        return path

    def _allow(self, path: Path) -> None:
        if not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.location)):
            raise PermissionError(errno.EACCES, "A link leads out of the container")
