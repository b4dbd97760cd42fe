"""The stream of a file that is read from an FTP server."""

# ruff: noqa: S321 - that FTP is not encrypted is told by a system check.

from __future__ import annotations

import errno
import ftplib
import os
from dataclasses import replace

from storages.driver import Entry
from storages.pool import Pool

from .errors import Refusal
from .session import Files
from .transfers import Download


class Content:
    """The bytes of a file from ``start`` on; holds a connection from the first read to the last."""

    is_leased = True

    def __init__(
        self, pool: Pool[Files], key: str, start: int, entry: Entry, *, is_fresh: bool
    ) -> None:
        self._pool = pool
        self._key = key
        self._start = start
        self._entry = entry
        self._is_fresh = is_fresh
        self._left = entry.size - start
        self._owner = os.getpid()
        self._connection: Files | None = None
        self._download: Download | None = None

    def read(self, size: int, /) -> bytes:
        """Return some of the next bytes; raises ConnectionError where they end too early."""
        if not self._left:
            return b""
        if self._owner != os.getpid():
            # The connection is the parent's; its reader goes on there.
            self._connection = self._download = None
            raise ConnectionAbortedError(errno.ECONNABORTED, "The process was forked")
        try:
            download = self._download or self._begin()
            block = download.read(min(size, self._left))
            self._left -= len(block)
            if not (block and self._left):
                self._finish(download)
        except BaseException as exc:
            self._leave(usable=self._pool.connector.survives(exc))
            raise
        return block

    def close(self) -> None:
        """Give the connection back, in step again with what the server says."""
        if self._download is None or self._owner != os.getpid():
            return
        try:
            self._download.abandon()
        except (OSError, ftplib.Error):
            self._leave(usable=False)
        else:
            self._leave(usable=True)

    def _begin(self) -> Download:
        self._connection = connection = self._pool.take()
        path = connection.path(self._key)
        if not self._is_fresh and not self._is_unchanged(connection, path):
            raise Refusal(errno.ESTALE, "The file was replaced while it was read")
        self._download = connection.retrieve(path, self._start)
        return self._download

    def _is_unchanged(self, connection: Files, path: str) -> bool:
        found = connection.describe(path)
        # Where the server told no size, there is none to compare with.
        return replace(found, size=found.size or self._entry.size) == self._entry

    def _finish(self, download: Download) -> None:
        if not self._left and download.read(1):
            raise OSError(errno.ESTALE, "The file grew while it was read")
        download.finish()
        if self._left:
            raise ConnectionAbortedError(errno.ECONNABORTED, "The content ended early")
        self._leave(usable=True)

    def _leave(self, *, usable: bool) -> None:
        connection, self._connection = self._connection, None
        download, self._download = self._download, None
        if download is not None:
            download.close()
        if connection is not None:
            (self._pool.give_back if usable else self._pool.drop)(connection)
