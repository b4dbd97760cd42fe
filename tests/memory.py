"""The smallest backend: a dict. It shows the primitives, and proves the base by the contract."""

from __future__ import annotations

import hashlib
import io
import threading
from datetime import UTC, datetime

from storages.base import BaseStorage
from storages.files import Entry, Source, Stream
from storages.options import option

OBJECTS: dict[str, dict[str, tuple[bytes, Entry]]] = {}
LOCK = threading.Lock()


class MemoryStorage(BaseStorage):
    """Keeps files in a dict of this process, shared by the instances of one ``bucket``."""

    bucket: str = option(required=True, doc="Which dict to use.")
    sdk_errors = (KeyError,)

    @property
    def objects(self) -> dict[str, tuple[bytes, Entry]]:
        """The files of the bucket, by key."""
        return OBJECTS.setdefault(self.bucket, {})

    def _explain(self, exc: Exception) -> tuple[int, str]:
        return 2, "No such file"

    def _stat(self, key: str) -> Entry:
        # Another thread may save meanwhile, so nothing walks the dict itself.
        if key not in self.objects and any(k.startswith(f"{key}/") for k in list(self.objects)):
            return Entry(0, is_directory=True)
        return self.objects[key][1]

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        content, now = self.objects[key]
        if now.etag != entry.etag:
            raise OSError(116, "The file was replaced while it was read", key)
        return io.BytesIO(content[start:])

    def _write(self, key: str, source: Source, *, overwrite: bool) -> None:
        content, now = source.read(), datetime.now(UTC)
        etag = hashlib.sha256(content).hexdigest()
        entry = Entry(len(content), now, now, now, source.content_type, etag)
        with LOCK:
            if not overwrite and key in self.objects:
                raise FileExistsError(17, "The name is taken", key)
            self.objects[key] = (content, entry)

    def _remove(self, key: str) -> None:
        del self.objects[key]

    def _list(self, key: str) -> tuple[list[str], list[str]]:
        prefix = f"{key}/" if key else ""
        objects = list(self.objects)
        inside = [each[len(prefix) :] for each in objects if each.startswith(prefix)]
        directories = {each.split("/")[0] for each in inside if "/" in each}
        return sorted(directories), [each for each in inside if "/" not in each]
