"""Files on this machine whose names end in what they hold, as Pillow tells by their content."""

from __future__ import annotations

import copy
import posixpath
from pathlib import Path
from typing import Any, Literal

from storages.base import Name
from storages.contents import as_file
from storages.driver import Source
from storages.local import LocalStorage
from storages.options import option

from ._pictures import EXTENSIONS, NotAnImage, identified, is_extension, reencoded

__all__ = ["ImageStorage"]


class ImageStorage(LocalStorage):
    """Django's FileSystemStorage, but the name of an image ends in its format.

    ``photo``, ``photo.JPEG`` and ``photo.png`` are saved as ``photo.jpg`` if they hold a JPEG.
    A file written through `open` keeps its name.
    """

    on_unknown: Literal["keep", "refuse"] = option(
        default="keep",
        doc="What is no image is kept under its own name, or refused by SuspiciousFileOperation.",
    )
    reencode: bool = option(
        default=False,
        doc="Decode images and encode them anew, upright and in sRGB, which leaves out metadata "
        "and all else that is not picture.",
    )

    renames = True

    def save(self, name: Name | None, content: Any, max_length: int | None = None) -> str:
        """Store a file and return its name, which ends in its format.

        A name that had to be changed for that is a free one, also where files are overwritten.
        """
        name = self._named(content.name if name is None else name)
        with self._rewindable(as_file(content, name)) as file:
            right = self._right_name(name, self._format(Source(file, "")))
            if right == name or not self.file_overwrite:
                return super().save(right, file, max_length)
            unique = copy.copy(self)
            unique.file_overwrite = False
            return unique.save(right, file, max_length)

    def _right_name(self, name: str, found: str | None) -> str:
        """Return a name with the extension of a format in the place of the one it has."""
        if found is None:
            return name
        root, extension = posixpath.splitext(name)
        kept = root if is_extension(extension) else name
        return f"{kept}.{EXTENSIONS[found]}"

    def _fill(self, temporary: Path, source: Source) -> None:
        found = self._format(source)
        if found and self.reencode:
            source = Source(reencoded(source, found), source.content_type)
        super()._fill(temporary, source)

    def _format(self, source: Source) -> str | None:
        try:
            return identified(source)
        except NotAnImage:
            if self.on_unknown == "refuse":
                raise
        return None
