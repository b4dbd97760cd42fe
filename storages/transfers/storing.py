"""Storing many small files, without a thread for each where the service lets one thread do it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from typing import Any

from django.core.files.base import File

from storages.base import BaseStorage
from storages.contents import is_rewindable
from storages.driver import Source, is_replaced

#: The steps of a save.
_STEPS = {
    name: getattr(BaseStorage, name) for name in ("save", "_save", "get_available_name", "_publish")
}


def save_many(
    storage: BaseStorage, files: Iterable[tuple[str, File[Any]]], most: int
) -> Generator[str, None, None]:
    """Store small files over those of their names; yield the names of those stored.

    Up to ``most`` at a time are on their way. All others are for the storage's ``save``, which
    tells what is wrong with them. The files are taken lazily.
    """
    if is_replaced(type(storage), _STEPS):
        return
    rewindable = ((name, each) for name, each in files if is_rewindable(each))
    sources = ((name, storage._source(name, each)) for name, each in rewindable)  # noqa: SLF001
    yield from write_many(storage, sources, most)


def write_many(
    storage: BaseStorage, files: Iterable[tuple[str, Source]], most: int
) -> Generator[str, None, None]:
    """Store small contents by `Driver._write_many`, with names in place of keys."""
    limits = (storage.most_in_many, storage.max_size)
    limit = min(each for each in limits if each is not None)
    names: dict[str, str] = {}

    def by_key() -> Iterator[tuple[str, Source]]:
        for name, source in files:
            key = storage.key(name)
            if source.size <= limit and key not in names:
                names[key] = name
                yield key, source

    with suppress(OSError, *storage.sdk_errors):
        for key in storage._write_many(by_key(), most):  # noqa: SLF001
            yield names[key]
