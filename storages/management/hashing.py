"""Hashed names of static files: Django's own hashing, on files of this machine."""

from __future__ import annotations

import copy
import errno
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from itertools import zip_longest
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, NamedTuple

from django.core.files.base import File
from django.core.files.storage import Storage

from storages.base import BaseStorage, Name
from storages.contents import COPY_SIZE, as_content
from storages.driver import Entry, Source, Stream
from storages.staticfiles import Resolving
from storages.utils import normalize_name

from .collecting import Batch, Destination, Origin

IN_MEMORY = 16 * 1024 * 1024  # bytes of results that are kept in memory; the rest is in files

DIRECTORY = Entry(0, is_directory=True)


class Kept(NamedTuple):
    """A result of hashing: the content or a file here that has it, and what `Source` says of it."""

    content: bytes | Path
    size: int
    content_type: str
    modified: datetime

    def open(self) -> IO[bytes]:
        """Open it for reading."""
        if isinstance(self.content, Path):
            return self.content.open("rb")
        return BytesIO(self.content)


class Stage:
    """What is in the storage while names are hashed, and the results that are to be sent there."""

    def __init__(
        self, destination: Destination, origins: Mapping[str, Origin], directory: Path
    ) -> None:
        self.destination = destination
        self._directory = directory
        self._origins = {normalize_name(name): each for name, each in origins.items()}
        self._results: dict[str, Kept] = {}
        self._unsent: dict[str, None] = {}
        self._gone: set[str] = set()
        self._doomed: dict[str, None] = {}
        #: True while Django's hashing runs, which removes what pages of another manifest may need.
        self.is_sparing = False
        self._directories = {
            name[:end]
            for name in (*self._origins, *destination.entries)
            for end, letter in enumerate(name)
            if letter == "/"
        }
        self._room = IN_MEMORY

    def find(self, name: str) -> Entry | None:
        """Return the entry of a file or directory, None if there is none."""
        if kept := self._results.get(name):
            return Entry(kept.size, kept.modified)
        if name in self._gone:
            return None
        if origin := self._origins.get(name):
            return Entry(origin.storage.size(origin.path), origin.modified())
        return DIRECTORY if name in self._directories else self.destination.entries.get(name)

    def is_here(self, name: str) -> bool:
        """Return True for a result and for a file of the project."""
        return name in self._results or (name in self._origins and name not in self._gone)

    def open(self, name: str, start: int) -> Any:
        """Open what is here, at a position."""
        kept = self._results.get(name)
        file = kept.open() if kept else self._origins[name].open()
        file.seek(start)
        return file

    def write(self, name: str, source: Source) -> None:
        """Keep a result here."""
        content, size = self._kept(source)
        self.remove(name)
        self._results[name] = Kept(content, size, source.content_type, datetime.now(UTC))
        self._unsent[name] = None

    def _kept(self, source: Source) -> tuple[bytes | Path, int]:
        if source.size <= self._room:
            content = source.read()
            self._room -= len(content)
            return content, len(content)
        with NamedTemporaryFile(dir=self._directory, delete=False) as file:
            shutil.copyfileobj(source, file, COPY_SIZE)
            return Path(file.name), file.tell()

    def remove(self, name: str) -> None:
        """Forget a result, which is not sent then, or act as if a stored file were gone."""
        if kept := self._results.pop(name, None):
            if isinstance(kept.content, Path):
                kept.content.unlink()
            else:
                self._room += kept.size
        self._unsent.pop(name, None)
        self._gone.add(name)
        if not self.is_sparing:
            self._doomed[name] = None

    def clear(self) -> None:
        """Remove what is to be removed, after all has been stored."""
        self.destination.remove(name for name in self._doomed if name not in self._results)
        self._doomed.clear()

    def send(self) -> None:
        """Store the results that differ from what the storage holds."""
        names = [*self._unsent]
        self._unsent.clear()
        sizes = {name: self._results[name].size for name in names}
        new = [name for name in names if self.destination.find(name) is None]
        self.destination.store(sizes, self._send, new, self._contents)

    def _contents(self, names: Iterable[str]) -> Iterator[tuple[str, File[Any]]]:
        for name in names:
            kept = self._results[name]
            with kept.open() as file:
                yield name, as_content(file, name, kept.content_type)

    def _send(self, names: Batch) -> int:
        (name,) = names
        kept = self._results[name]
        with kept.open() as file, self.destination.room(kept.size):
            content = as_content(file, name, kept.content_type)
            if not (self.destination.holds(name, content) or self._reads_alike(name, content)):
                storage = self.destination.storage
                storage._publish(storage.key(name), name, content, overwrite=True)
                self.destination.forget(name)
        return kept.size

    def _reads_alike(self, name: str, content: File[Any]) -> bool:
        """Return True if the storage has a content, where no digest says whether it has."""
        entry = self.destination.find(name)
        if entry is None or entry.digest or entry.size != content.size:
            return False
        return reads_alike(self.destination.storage, name, content)


class Hashed(Resolving, BaseStorage):
    """What a storage's class becomes while names are hashed: its primitives work on a `Stage`."""

    _stage: Stage

    def exists(self, name: Name) -> bool:
        """Return True if a file or directory is there."""
        name = self._named(name, root=True)
        kept = self._name_of(self.key(name, root=True))
        return not name or self._stage.is_here(kept) or self._stage.find(kept) is not None

    def _post_process(self, *args: Any) -> Iterator[Any]:
        steps = super()._post_process(*args)  # type: ignore[misc]
        while True:
            self._stage.is_sparing = True
            try:
                step = next(steps, None)
            finally:
                self._stage.is_sparing = False
            if step is None:
                return
            yield step

    def save_manifest(self) -> None:
        """Store what the manifest names, and then the manifest."""
        self._stage.send()
        super().save_manifest()  # type: ignore[misc]

    def _open(self, name: Name, mode: str = "rb") -> Any:
        normal = self._named(name, root=True)
        if not normal:
            # As of any directory: Django's hashing leaves a reference to it as it is.
            raise IsADirectoryError(errno.EISDIR, "Is a directory")
        if mode == "rb" and self._stage.is_here(normal):
            # Past what an open file of a service needs.
            return File(self._stage.open(normal, 0), normal)
        return super()._open(name, mode)

    def _name_of(self, key: str) -> str:
        return key.removeprefix(self.key("", root=True)).lstrip("/")

    def _stat(self, key: str) -> Entry:
        if (entry := self._stage.find(self._name_of(key))) is None:
            raise FileNotFoundError(errno.ENOENT, "No such file")
        return entry

    def _open_stream(self, key: str) -> tuple[Entry, Stream | None]:
        entry = self._stat(key)
        name = self._name_of(key)
        if entry.is_directory or self._stage.is_here(name):
            return entry, None
        return super()._open_stream(key)

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        name = self._name_of(key)
        if not self._stage.is_here(name):
            return super()._read(key, start, entry)
        stream: Stream = self._stage.open(name, start)
        return stream

    def _read_part(self, key: str, start: int, stop: int, entry: Entry) -> Stream:  # noqa: ARG002
        return self._read(key, start, entry)

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        self._require_unchanged(key, expected)
        name = self._name_of(key)
        if not overwrite and self._stage.find(name) is not None:
            raise FileExistsError(errno.EEXIST, "The name is taken")
        self._stage.write(name, source)

    def _remove(self, key: str) -> None:
        self._stage.remove(self._name_of(key))


class ManifestPlace:
    """Another storage that keeps the manifest: there the new one takes the place of the old."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)

    def exists(self, name: str) -> bool:  # noqa: ARG002
        """Return False, so that nobody deletes the old manifest before there is a new one."""
        return False

    def _save(self, name: str, content: Any) -> str:
        storage: Any = self._storage
        if reads_alike(storage, name, content):
            return name
        if isinstance(storage, BaseStorage):
            storage = copy.copy(storage)
            storage.file_overwrite = True
        elif storage.exists(name):
            storage.delete(name)
        return str(storage._save(name, content))


def reads_alike(storage: Storage, name: str, content: File[Any]) -> bool:
    """Return True if a storage has a file of this name and content; leave the content rewound."""
    try:
        # Should the old one not be readable, the new one takes its place.
        with suppress(OSError), storage.open(name) as stored:
            pairs = zip_longest(stored.chunks(), content.chunks())
            return all(one == other for one, other in pairs)
    finally:
        content.seek(0)
    return False


def staged(destination: Destination, origins: Mapping[str, Origin], directory: Path) -> Any:
    """Return a copy of a storage whose ``post_process`` reads here, and writes to a directory here.

    It stores its results when it writes its manifest; the rest is stored by `finish`.
    """
    original: Any = destination.original
    twin: Any = copy.copy(destination.storage)
    twin.__class__ = type(type(twin).__name__, (Hashed, type(twin)), {})
    twin._stage = Stage(destination, origins, directory)
    elsewhere = vars(twin).get("manifest_storage")
    if elsewhere is not None:
        twin.manifest_storage = twin if elsewhere is original else ManifestPlace(elsewhere)
    return twin


def finish(destination: Destination, twin: Any) -> None:
    """Store what a copy made by `staged` has not stored yet, and let the storage know the names."""
    twin._stage.send()
    twin._stage.clear()
    for name in ("hashed_files", "manifest_hash"):
        if name in vars(twin):
            setattr(destination.original, name, vars(twin)[name])
