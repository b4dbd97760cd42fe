"""Deleting many files, in as few requests as the service needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.core.files.storage import Storage

from storages.base import BaseStorage
from storages.utils import RefusedName, unwrapped

#: A name, and the error that kept its file; None if the file is gone.
Deleted = tuple[str, Exception | None]


def delete_many(storage: Storage, names: Iterable[str]) -> Iterator[Deleted]:
    """Delete files; yield each name, and the error that kept its file, or None if it is gone.

    A file that is not there is no error. The names come in any order, and are taken lazily. Other
    storages than those of this package, and subclasses with a ``delete`` of their own, are asked
    for one file after the other. Raises what concerns all of the files, such as a server that is
    away.
    """
    found = unwrapped(storage)
    if isinstance(found, BaseStorage) and type(found).delete is BaseStorage.delete:
        return _in_bulk(found, names)
    return _one_by_one(found, names)


def _one_by_one(storage: Storage, names: Iterable[str]) -> Iterator[Deleted]:
    for name in names:
        try:
            storage.delete(name)
        except Exception as exc:  # noqa: BLE001 - whatever an author raises
            yield name, exc
        else:
            yield name, None


def _in_bulk(storage: BaseStorage, names: Iterable[str]) -> Iterator[Deleted]:
    waiting: dict[str, str] = {}
    refused: list[Deleted] = []
    with storage._errors(""):  # noqa: SLF001 - the base's own steps
        for key, error in storage._remove_many(_keys(storage, names, waiting, refused)):  # noqa: SLF001
            name = waiting.pop(key)
            yield name, _explained(storage, error, name)
    yield from refused


def _keys(
    storage: BaseStorage, names: Iterable[str], waiting: dict[str, str], refused: list[Deleted]
) -> Iterator[str]:
    """Yield the key of each name once; keep the names by key, and those that no file can have."""
    for name in names:
        try:
            key = storage.key(storage._named(name))  # noqa: SLF001
        except RefusedName as exc:
            refused.append((name, exc))
            continue
        if key not in waiting:
            waiting[key] = name
            yield key


def _explained(storage: BaseStorage, error: Exception | None, name: str) -> Exception | None:
    if error is None or isinstance(error, RefusedName):
        return error
    found = storage._error(error, name)  # noqa: SLF001
    found.__cause__ = error
    return found
