"""The primitives on any other driver, through the methods that all drivers have."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, Self

from libcloud.storage.base import Container, Object, StorageDriver
from libcloud.storage.types import ObjectDoesNotExistError

from storages.contents import COPY_SIZE
from storages.driver import Driver, Entry, Listed, Source, Stream
from storages.pool import Pool
from storages.utils import RefusedName, shown

from .messages import moment
from .objects import DIRECTORY

#: What some drivers leave as it is where they read, so that another file would be read.
_UNQUOTED = re.compile("[%?#]")


class OtherObjects(Driver):
    """A container behind a driver of which nothing else is known. No step of it is atomic."""

    def __init__(self, pool: Callable[[], Pool[StorageDriver]], bucket: str) -> None:
        self.pool = pool
        self.bucket = bucket

    def _stat(self, key: str) -> Entry:
        if found := _UNQUOTED.search(key):
            raise RefusedName(f"The driver would not quote {found[0]!r} in the name {shown(key)}.")
        try:
            with self.pool().lease() as driver:
                return _entry(driver.get_object(self.bucket, key))
        except ObjectDoesNotExistError:
            # A listing also tells whether the container is there.
            for _ in islice(self._objects(f"{key}/"), 1):
                return DIRECTORY
            raise

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        self._require_unchanged(key, entry)
        with self.pool().lease() as driver:
            stored = self._object(driver, key, entry.size)
            method = "download_object_range_as_stream"
            if start and getattr(type(driver), method) is not getattr(StorageDriver, method):
                pieces, skip = driver.download_object_range_as_stream(stored, start), 0
            else:
                pieces, skip = driver.download_object_as_stream(stored, COPY_SIZE), start
        return _Pieces(iter(pieces), entry.size - start, skip)

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        self._require_unchanged(key, expected)
        if self._exists(key) and not overwrite:
            raise FileExistsError(errno.EEXIST, "The name is taken")
        extra = {"content_type": source.content_type}
        with self.pool().lease() as driver:
            container = Container(self.bucket, {}, driver)
            driver.upload_object_via_stream(_Sent(source), container, key, extra)
        if self._stat(key).size != source.size:
            raise OSError(errno.EIO, "The service stored another number of bytes")

    def _remove(self, key: str) -> None:
        with self.pool().lease() as driver:
            driver.delete_object(self._object(driver, key, 0))

    def _list(self, key: str) -> Iterator[Listed]:
        for name, entry in self._walk(key):
            first, slash, _ = name.partition("/")
            yield first, DIRECTORY if slash else entry

    def _walk(self, key: str) -> Iterator[Listed]:
        prefix = f"{key}/" if key else ""
        for each in self._objects(prefix):
            if not each.name.endswith("/"):
                yield each.name[len(prefix) :], _entry(each)

    def _objects(self, prefix: str) -> Iterator[Object]:
        with self.pool().lease() as driver:
            found = driver.iterate_container_objects(Container(self.bucket, {}, driver), prefix)
            # Not every driver lists by prefix.
            yield from (each for each in found if each.name.startswith(prefix))

    def _exists(self, key: str) -> bool:
        try:
            return not self._stat(key).is_directory
        except ObjectDoesNotExistError:
            return False

    def _object(self, driver: StorageDriver, key: str, size: int) -> Object:
        """Return an object without asking for it."""
        return Object(key, size, "", {}, {}, Container(self.bucket, {}, driver), driver)


class _Sent:
    """A source in pieces. The driver goes through it again, for a digest that it compares."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.seek = source.seek

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if data := self._source.read(COPY_SIZE):
            return data
        raise StopIteration


class _Pieces:
    """The stream of what a driver yields: ``size`` bytes after ``skip`` others."""

    def __init__(self, pieces: Iterator[Any], size: int, skip: int) -> None:
        self._pieces = pieces
        self._left = size
        self._skip = skip
        self._ready = b""

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, ``b""`` only at the end."""
        while not self._ready and self._left:
            piece = next(self._pieces, b"")
            if not piece:
                raise ConnectionAbortedError(errno.ECONNABORTED, "The content ended early")
            self._ready = piece[self._skip :]
            self._skip = max(0, self._skip - len(piece))
        data = self._ready[: min(size, self._left)]
        self._ready = self._ready[len(data) :]
        self._left -= len(data)
        if not self._left and self._ready:
            raise OSError(errno.ESTALE, "The file grew while it was read")
        return data

    def close(self) -> None:
        """Give up what is left."""
        getattr(self._pieces, "close", bool)()


def _entry(found: Object) -> Entry:
    told = found.extra
    return Entry(
        int(found.size),
        moment(told.get("last_modified")),
        content_type=told.get("content_type"),
        etag=found.hash or None,
    )
