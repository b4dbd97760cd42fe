"""The smallest backend: a dict. It shows the primitives, and proves the base by the contract."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import defaultdict
from datetime import UTC, datetime

from storages.base import BaseStorage
from storages.files import Entry, Source, Stream
from storages.options import option

OBJECTS: defaultdict[str, dict[str, tuple[bytes, Entry]]] = defaultdict(dict)
LOCK = threading.Lock()


class MemoryStorage(BaseStorage):
    """Keeps files in a dict of this process, shared by the instances of one ``bucket``."""

    bucket: str = option(required=True, doc="Which dict to use.")
    sdk_errors = (KeyError,)

    def _explain(self, exc: Exception) -> tuple[int, str]:
        return 2, "No such file"

    def _stat(self, key: str) -> Entry:
        objects = OBJECTS[self.bucket]
        if key not in objects and any(other.startswith(f"{key}/") for other in objects):
            return Entry(0, is_directory=True)
        return objects[key][1]

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        content, now = OBJECTS[self.bucket][key]
        if now.etag != entry.etag:
            raise OSError(116, "The file was replaced while it was read", key)
        return io.BytesIO(content[start:])

    def _write(self, key: str, source: Source, *, overwrite: bool) -> None:
        content, now = source.read(), datetime.now(UTC)
        etag = hashlib.sha256(content).hexdigest()
        entry = Entry(len(content), now, now, now, source.content_type, etag)
        with LOCK:
            if not overwrite and key in OBJECTS[self.bucket]:
                raise FileExistsError(17, "The name is taken", key)
            OBJECTS[self.bucket][key] = (content, entry)

    def _remove(self, key: str) -> None:
        del OBJECTS[self.bucket][key]

    def _list(self, key: str) -> tuple[list[str], list[str]]:
        prefix = f"{key}/" if key else ""
        inside = [each[len(prefix) :] for each in OBJECTS[self.bucket] if each.startswith(prefix)]
        directories = {each.split("/")[0] for each in inside if "/" in each}
        return sorted(directories), [each for each in inside if "/" not in each]
