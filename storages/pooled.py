"""PooledStorage: what storages on a pool of connections have in common."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.files.base import File

from .base import BaseStorage
from .contents import COPY_SIZE, as_content
from .files import RemoteFile
from .options import derived
from .pool import Pool


class PooledStorage(BaseStorage):
    """Leases a connection for each operation; an open file that is being read holds one."""

    @derived
    def _pool(self) -> Pool[Any]:
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections of this storage and of those with equal options."""
        self._pool.close()

    def notices(self) -> tuple[str, ...]:
        """Return what is done instead of what the server was found to be unable to do, so far."""
        return tuple(getattr(self._pool.connector, "traits", {}).get("notices", ()))

    @contextmanager
    def _rewindable(self, content: File[Any]) -> Iterator[File[Any]]:
        if not self._is_read_from_here(content):
            with super()._rewindable(content) as file:
                yield file
            return
        # Reading and writing at once takes two connections, and as many threads as there are
        # connections would wait for each other. So this reads first.
        with tempfile.SpooledTemporaryFile(
            self.max_memory_size, dir=settings.FILE_UPLOAD_TEMP_DIR
        ) as copy:
            for chunk in content.chunks(COPY_SIZE):
                copy.write(chunk.encode() if isinstance(chunk, str) else chunk)
            declared = getattr(content, "content_type", None)
            with super()._rewindable(as_content(copy, content.name, declared)) as file:
                yield file

    def _is_read_from_here(self, content: object) -> bool:
        """Return True if a content is a stored file on the same pool, perhaps wrapped by Django."""
        for _ in range(5):
            if isinstance(content, RemoteFile):
                storage = content._storage  # noqa: SLF001
                return getattr(storage, "_pool", None) is self._pool
            content = vars(content).get("file") if hasattr(content, "__dict__") else None
        return False
