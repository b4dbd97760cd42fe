"""Files on this machine that keep their names: a save replaces the file of that name."""

from __future__ import annotations

from storages.local import LocalStorage
from storages.options import option

__all__ = ["OverwriteStorage"]


class OverwriteStorage(LocalStorage):
    """Django's FileSystemStorage, but a save keeps the name it is given.

    The new content takes the place of the old in one step: whoever reads, and whatever crashes,
    finds all of the one or all of the other. A symbolic link at the name is replaced, not followed.
    """

    file_overwrite: bool = option(
        default=True, doc="Save over a file of the same name; False finds a free name instead."
    )
