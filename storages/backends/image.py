"""Files on this machine whose names end in what they hold, as Pillow tells by their content."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any, Literal

from django.core.files.base import File

from storages.base import Name
from storages.driver import Source
from storages.local import LocalStorage
from storages.options import option
from storages.utils import normalize_name

from ._pictures import EXTENSIONS, NotAnImage, identified, reencoded

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
        """Store a file and return its name, which ends in its format."""
        name = normalize_name(content.name if name is None else name)
        if not hasattr(content, "chunks"):
            content = File(content, name)
        with self._rewindable(content) as file:
            if found := self._format(Source(file, "")):
                name = f"{posixpath.splitext(name)[0]}.{EXTENSIONS[found]}"
            return super().save(name, file, max_length)

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
