"""The smallest backend: a dict. It shows the primitives, and proves the base by the contract."""

from __future__ import annotations

import hashlib
import io
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

from storages.base import BaseStorage
from storages.driver import Entry, Listed, Source, Stream
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
        return (2, "No such file") if isinstance(exc, KeyError) else super()._explain(exc)

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

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        content, now = source.read(), datetime.now(UTC)
        etag = hashlib.sha256(content).hexdigest()
        entry = Entry(len(content), now, now, now, source.content_type, etag)
        with LOCK:
            if not overwrite and key in self.objects:
                raise FileExistsError(17, "The name is taken", key)
            self._require_unchanged(key, expected)
            self.objects[key] = (content, entry)

    def _remove(self, key: str) -> None:
        del self.objects[key]

    def _list(self, key: str) -> Iterator[Listed]:
        prefix = f"{key}/" if key else ""
        for each, (_, entry) in sorted(self.objects.items()):
            if each.startswith(prefix):
                name, slash, _ = each.removeprefix(prefix).partition("/")
                yield name, Entry(0, is_directory=True) if slash else entry
