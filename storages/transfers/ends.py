"""The two ends of a copy: storages of this package, and any others through Django's API."""

from __future__ import annotations

import errno
import io
import os
import posixpath
import shutil
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, cast

from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, Storage
from django.utils import timezone

from storages.base import BaseStorage
from storages.configured import options_of
from storages.contents import COPY_SIZE, as_content, check_size, copied, is_rewindable
from storages.driver import Entry, Source
from storages.local import LocalStorage
from storages.reader import Reader
from storages.spool import Spool
from storages.utils import RefusedName, guess_content_type, is_nameable, normalize_name, unwrapped

from .deleting import Deleted, delete_many
from .storing import write_many

#: What is said of a directory that is not there, or that cannot be.
_NOWHERE = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EILSEQ, errno.ELOOP}
#: Headers that mean the same to every service.
KEPT = ("cache-control", "content-disposition", "content-language", "expires")
#: Options that tell where the files are, apart from those that `BaseStorage.root` tells.
_WHERE = frozenset(
    {
        *("server", "host", "port", "user", "params", "root_path", "region"),
        *("using", "connection_string", "database", "option", "provider_name"),
        *("path_root", "select_user", "oauth2_access_token", "oauth2_refresh_token"),
    }
)
#: What Django's API calls for content; an author may have replaced any of it.
_CALLED = ("open", "_open", "save", "_save", "delete")

#: What a file is called, and what is known of it.
Found = tuple[str, Entry]


class End:
    """One end of a copy: a storage of this package, on its primitives."""

    def __init__(self, storage: BaseStorage) -> None:
        self.storage = storage.settled()
        #: True if reading a file costs nothing worth saving.
        self.is_local = isinstance(storage, LocalStorage)
        #: True if the end stores a content's encoding with it.
        self.keeps_encoding = storage.keeps_encoding
        #: Bytes of the largest content that `store_many` takes, 0 if it takes none.
        self.most_in_many = storage.most_in_many

    @property
    def place(self) -> tuple[object, tuple[str, ...]]:
        """Where the files are: what has to be equal, and a path within that."""
        storage = self.storage
        if isinstance(storage, LocalStorage):
            return "local", Path(os.path.realpath(storage.location)).parts
        values = [
            repr(each.value(storage))
            for name, each in sorted(options_of(type(storage)).items())
            if name in _WHERE and not each.alias_of
        ]
        path = "/".join(storage.root() or (storage.key("", root=True),))
        return tuple(values), tuple(filter(None, path.split("/")))

    @property
    def _pool(self) -> Any:
        pool: Any = getattr(self.storage, "_pool", None)
        return pool() if callable(pool) else pool

    @property
    def most_jobs(self) -> int | None:
        """How many may use the storage at once, None if there is no limit."""
        pool = self._pool
        return None if pool is None else int(pool.limits[0])

    def shares_connections(self, other: End) -> bool:
        """Return True if reading here and writing there at once would take two of one pool."""
        return self._pool is not None and self._pool is other._pool

    def named(self, path: str) -> str:
        """Return a path in its one spelling, ``""`` for the root."""
        return normalize_name(path, root=True)

    def walk(self, path: str) -> Iterator[Found]:
        """Yield every file below a directory, under names that no storage takes as well."""
        storage, start = self.storage, f"{path}/" if path else ""
        with storage._errors(path):  # noqa: SLF001 - the base's own steps, here and below
            for each, entry in storage._walk(storage.key(path, root=True)):  # noqa: SLF001
                name = start + each
                if found := entry or _asked(storage, name):
                    yield name, found

    def names_in(self, directory: str) -> set[str]:
        """Return the names of the files and directories in a directory."""
        return {name for name, _ in self.storage.scan(directory)}

    def files_among(self, directory: str, names: Collection[str]) -> set[str]:
        """Return those of some names in a directory that are files now, spelled just so."""
        # What is said of a name that cannot be is of many kinds: then the listing tells.
        with suppress(OSError, RefusedName):
            if len(names) == 1 and not any(map(self._is_file, names)):
                return set()
        return set(filter(self._is_file, self._listed(directory) & set(names)))

    def _is_file(self, name: str) -> bool:
        found = self.stat(name)
        return found is not None and not found.is_directory

    def _listed(self, directory: str) -> set[str]:
        try:
            return self.names_in(directory)
        except RefusedName:
            return set()
        except OSError as exc:
            if exc.errno not in _NOWHERE:
                raise
            return set()

    def stat(self, name: str) -> Entry | None:
        """Return what is known of a file or directory; None if there is none."""
        with suppress(FileNotFoundError, NotADirectoryError):
            return self.storage.stat(name)
        return None

    @contextmanager
    def opened(self, name: str, *, unpacked: bool = False) -> Iterator[tuple[Entry, IO[bytes]]]:
        """Give all that is known of a file, and its stored bytes as a rewindable file.

        With ``unpacked`` the content comes as readers get it, whatever its encoding.
        """
        storage = self.storage
        key = storage.key(name)
        with storage._errors(name):  # noqa: SLF001
            entry, stream = storage._open_stream(key)  # noqa: SLF001
            if entry.is_directory:
                raise IsADirectoryError(errno.EISDIR, "Is a directory", name)
        raw: Any = stream
        if not isinstance(stream, io.FileIO):
            raw = Reader(storage, key, name, entry, stream)
        with raw:
            if not (unpacked and entry.encoding):
                yield entry, raw
                return
        with storage.open(name) as file, self.spooled(file) as spool:
            yield entry, spool

    @contextmanager
    def spooled(self, file: Any) -> Iterator[IO[bytes]]:
        """Give a copy of a content, which moves to disk where it is large."""
        with Spool(self.storage.max_memory_size) as spool:
            shutil.copyfileobj(file, spool, COPY_SIZE)
            spool.seek(0)
            yield cast("IO[bytes]", spool)

    def store(self, name: str, file: IO[bytes], entry: Entry) -> None:
        """Store a content with what is known of it, over any other of its name."""
        storage = self.storage
        source = self._source(name, file, entry)
        check_size(source.size, storage.max_size, name)
        try:
            with storage._errors(name):  # noqa: SLF001
                storage._write(storage.key(name), source, overwrite=True)  # noqa: SLF001
        except Exception:
            # What went wrong in reading is the other end's.
            if source.error is not None:
                raise source.error from None
            raise

    def store_many(
        self, files: Iterable[tuple[str, IO[bytes], Entry]], most: int
    ) -> Generator[str, None, None]:
        """Store small contents as `store` does, up to ``most`` at a time; yield the names stored.

        All others are for `store`, which tells what is wrong.
        """
        sources = ((name, self._source(name, file, entry)) for name, file, entry in files)
        yield from write_many(self.storage, sources, most)

    def _source(self, name: str, file: IO[bytes], entry: Entry) -> Source:
        headers = {each: entry.headers[each] for each in KEPT if each in entry.headers}
        # One of another kind is not unpacked by readers, so its bytes are as they were stored.
        encoding = entry.encoding or entry.headers.get("content-encoding")
        is_packed = bool(encoding and self.keeps_encoding)
        if is_packed:
            headers["content-encoding"] = str(encoding)
        kind = entry.content_type or guess_content_type(name, self.storage.default_content_type)
        return Source(file, kind, headers=headers, metadata=entry.metadata, is_packed=is_packed)

    def copy_within(self, origin: End, name: str, entry: Entry) -> bool:
        """Let the service copy a file by itself; False if it cannot."""
        if isinstance(origin, ForeignEnd):
            return False
        self.check(name, entry)
        storage = self.storage
        with storage._errors(name):  # noqa: SLF001
            return storage._copy(  # noqa: SLF001
                origin.storage, origin.storage.key(name), entry, storage.key(name)
            )

    def check(self, name: str, entry: Entry) -> None:
        """Raise for a file that cannot be stored, as far as that is known beforehand."""
        self.storage.key(name)
        check_size(entry.size, self.storage.max_size, name)

    def require_unchanged(self, name: str, entry: Entry) -> None:
        """Raise OSError (ESTALE) if a file of this machine was changed since it was opened.

        Others read one content, whatever happens to the file.
        """
        if self.is_local and (now := self.stat(name)) and now.etag != entry.etag:
            raise OSError(errno.ESTALE, "The file was changed while it was copied", name)

    def remove(self, names: Iterable[str]) -> Iterator[Deleted]:
        """Remove files."""
        return delete_many(self.storage, names)


class ForeignEnd(End):
    """A storage of which only Django's API is known."""

    storage: Any

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.is_local = False
        self.keeps_encoding = False
        self.most_in_many = 0

    @property
    def place(self) -> tuple[object, tuple[str, ...]]:
        """That of the storage it derives from; the storage itself where nothing is known."""
        if isinstance(self.storage, BaseStorage):
            return super().place
        if isinstance(self.storage, FileSystemStorage):
            return End(LocalStorage(location=self.storage.location)).place
        return id(self.storage), ()

    def walk(self, path: str) -> Iterator[Found]:
        """List directory by directory, and ask for each file."""
        directories, files = self.storage.listdir(path)
        names = {*directories, *files}
        for each in files:
            name = posixpath.join(path, each)
            if entry := self._described(name) if is_nameable(name) else Entry(0):
                yield name, entry
        for each in directories:
            name = posixpath.join(path, each)
            if not is_nameable(name):
                yield name, Entry(0)
                continue
            try:
                yield from self.walk(name)
            except (FileNotFoundError, NotADirectoryError):
                # Others may have removed it, but not all that it was in.
                left = {found for listed in self.storage.listdir(path) for found in listed}
                if each in left or (names - {each} and not names & left):
                    raise

    def names_in(self, directory: str) -> set[str]:
        """List a directory."""
        directories, files = self.storage.listdir(directory)
        return {posixpath.join(directory, each) for each in (*directories, *files)}

    def files_among(self, directory: str, names: Collection[str]) -> set[str]:  # noqa: ARG002
        """Ask for each of the names, in no directory's listing."""
        return {name for name in names if self._described(name)}

    def stat(self, name: str) -> Entry | None:
        """Ask whether there is a directory, then for a file."""
        # What a storage says of the listing of a file may be anything.
        with suppress(OSError):
            if any(self.storage.listdir(name)):
                return Entry(0, is_directory=True)
        return self._described(name)

    def _described(self, name: str) -> Entry | None:
        """Ask for the size of a file, and for the time where the storage has one."""
        with suppress(FileNotFoundError):
            if self.storage.exists(name):
                return Entry(self.storage.size(name), self._modified(name))
        return None

    def _modified(self, name: str) -> datetime | None:
        try:
            moment: datetime = self.storage.get_modified_time(name)
        except NotImplementedError:
            return None
        return moment if timezone.is_aware(moment) else moment.astimezone(UTC)

    @contextmanager
    def opened(
        self,
        name: str,
        *,
        unpacked: bool = False,  # noqa: ARG002 - it always is
    ) -> Iterator[tuple[Entry, IO[bytes]]]:
        """Open a file, through a copy of it if it cannot be rewound."""
        with ExitStack() as stack:
            file: Any = stack.enter_context(self.storage.open(name, "rb"))
            if not is_rewindable(file):
                file = stack.enter_context(self.spooled(file))
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            yield Entry(size), file

    def store(self, name: str, file: IO[bytes], entry: Entry) -> None:
        """Save a file in the place of any other of its name, which is put back if that fails."""
        if not self.storage.exists(name):
            self._save(name, file, entry.content_type)
            return
        with self.storage.open(name, "rb") as opened, self.spooled(opened) as old:
            opened.close()
            self.storage.delete(name)
            try:
                self._save(name, file, entry.content_type)
            except BaseException:
                if self.storage.exists(name):
                    self.storage.delete(name)
                self._save(name, old, None)
                raise

    def _save(self, name: str, file: IO[bytes], content_type: str | None) -> None:
        saved = self.storage.save(name, as_content(file, name, content_type))
        if saved != name:
            self.storage.delete(saved)
            raise OSError(errno.EINVAL, f"The storage would call the file {saved!r}", name)
        if self.storage.size(name) != file.seek(0, io.SEEK_END):
            raise OSError(errno.EIO, "The storage kept another number of bytes", name)

    @contextmanager
    def spooled(self, file: Any) -> Iterator[IO[bytes]]:
        """Give a copy of a content, which moves to disk where it is large."""
        with copied(File(file), max_memory=COPY_SIZE, max_size=None) as again:
            yield cast("IO[bytes]", again)

    def check(self, name: str, entry: Entry) -> None:
        """Raise nothing: nothing is known."""

    def copy_within(self, origin: End, name: str, entry: Entry) -> bool:  # noqa: ARG002
        """Return False: nothing is known of the service."""
        return False


def end_of(storage: Storage) -> End:
    """Return how a storage is copied from and to.

    Django's own storage on a directory is written as `LocalStorage` does it: whole or not at all.
    Raises ImproperlyConfigured for one without a directory, which would be the working directory.
    """
    found = unwrapped(storage)
    if isinstance(found, FileSystemStorage) and not found.base_location:
        raise ImproperlyConfigured(
            f"{type(found).__name__} has no directory: set MEDIA_ROOT, for static files "
            "STATIC_ROOT, or 'location'."
        )
    if not _is_plain(found):
        return ForeignEnd(found)
    if isinstance(found, BaseStorage):
        return End(found)
    return End(
        LocalStorage(
            location=found.location,
            file_permissions_mode=found.file_permissions_mode,
            directory_permissions_mode=found.directory_permissions_mode,
        )
    )


def _asked(storage: BaseStorage, name: str) -> Entry | None:
    """Ask for what a listing did not tell; None if the file was removed since."""
    if not is_nameable(name):
        return Entry(0)
    return storage._looked_up(storage.key(name))  # noqa: SLF001 - the base's own step


def _is_plain(storage: Storage) -> bool:
    """Return True if no other method than the usual ones reads or writes the files.

    One that does may compress, check or make anew what it is given.
    """
    usual = (
        (LocalStorage, BaseStorage) if isinstance(storage, BaseStorage) else (FileSystemStorage,)
    )
    methods = ([getattr(kind, each) for kind in usual] for each in _CALLED)
    found = (getattr(type(storage), each) for each in _CALLED)
    return all(one in known for one, known in zip(found, methods, strict=True))
