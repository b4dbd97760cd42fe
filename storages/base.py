"""BaseStorage: Django's storage API, written once on five primitives that a backend gives."""

from __future__ import annotations

import copy
import errno
import os
import posixpath
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from pathlib import PurePosixPath
from typing import IO, Any, ClassVar, Self, cast

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import Storage
from django.utils.deconstruct import deconstructible

from .configured import Configured, Translating, options_of, with_places
from .contents import as_file, check_size, copied, is_rewindable
from .driver import Driver, Entry, Listed, Source
from .files import RemoteFile
from .options import UNSET, Option, derived, option
from .reader import Reader
from .utils import (
    check_prefix,
    content_type_of,
    forget_locals,
    is_nameable,
    normalize_name,
    printable,
    public_url,
)
from .walking import walk

NAME_ATTEMPTS = 100  # a save that finds its name taken by another tries this many

Name = str | os.PathLike[str]


def told(_storage: object, base_url: str | None) -> str:
    """Give ``base_url``; packages take a storage without the attribute for one that needs none."""
    if base_url is None:
        raise AttributeError("No 'base_url' is set")
    return base_url


@deconstructible
class _Deconstructible(Storage):
    """Django's decorator, placed where `Configured` can refine what it gives."""


class BaseStorage(Configured, Driver, _Deconstructible):
    """A storage on the primitives of `Driver`, which a backend implements.

    Every public method takes names, relative and ``/``-separated, and raises built-in OSErrors
    with the name, and with the SDK's error as their cause.
    """

    location: str = option(
        default="", check=check_prefix, doc="Prefix of every key; slashes at its ends do not count."
    )
    base_url: str | None = option(
        doc="URL under which the files are served; no attribute where none is set."
    )
    file_overwrite: bool = option(
        default=False, doc="Save over a file of the same name instead of finding a free name."
    )
    max_memory_size: int = option(
        default=8 * 1024 * 1024,
        doc="Bytes of a file being written that may stay in memory; 0 for all of them.",
    )
    default_content_type: str = option(
        default="application/octet-stream", doc="Media type where the name does not tell one."
    )
    max_size: int | None = option(doc="Bytes a saved file may have; more raises OSError (EFBIG).")

    #: True if `save` may rename a file even when its name is free.
    renames: ClassVar[bool] = False
    #: Bytes up to which a save under a unique name sends its content without asking whether the
    #: name is free, for services that refuse a taken name in the request that stores the file.
    unasked_size: ClassVar[int] = -1

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        base_url = options_of(cls)["base_url"]
        base_url.read = base_url.read or told

    def root(self) -> tuple[str, ...]:
        """Return where the files lie: what is required of the options, then ``location``."""
        required = [each for each in options_of(type(self)).values() if each.required]
        values = [each.redacted(getattr(self, each.name)) for each in required]
        place = [
            text
            for each, value in zip(required, values, strict=True)
            if value is not UNSET
            for text in (each.owner.__module__, str(value))
        ]
        return (*place, *filter(None, self.key("", root=True).split("/"))) if place else ()

    # -- names ------------------------------------------------------------------------------------

    def _named(self, name: Name | None, *, root: bool = False) -> str:
        """Return a name in the one spelling that it has; every public method does this first."""
        return normalize_name(name, root=root)

    def key(self, name: Name, *, root: bool = False) -> str:
        """Return the key of a name; ``root`` lets ``""`` stand for the location itself."""
        normal = normalize_name(name, root=root)
        if not self._prefix:
            return normal
        return f"{self._prefix}/{normal}" if normal else self._prefix

    @derived
    def _prefix(self) -> str:
        return normalize_name(self.location.lstrip("/\\"), root=True)

    def get_alternative_name(self, file_root: str, file_ext: str) -> str:
        """Return another name, with a suffix before all extensions on Django 4.2 too."""
        name = file_root + file_ext
        extension = "".join(PurePosixPath(name).suffixes)
        return super().get_alternative_name(name.removesuffix(extension), extension)

    def get_available_name(self, name: Name, max_length: int | None = None) -> str:
        """Return the name a save will use: free, or the same where files are overwritten."""
        name = self._named(name)
        # A name that has to be shortened may be another's: then only a free one will do.
        if self.file_overwrite and (max_length is None or len(name) <= max_length):
            return name
        return super().get_available_name(name, max_length)

    # -- Django's API -----------------------------------------------------------------------------

    def _open(self, name: Name, mode: str = "rb") -> RemoteFile:
        return RemoteFile(self._named(name), self, mode)

    def save(self, name: Name | None, content: Any, max_length: int | None = None) -> str:
        """Store a file and return its name, which differs if the name was taken.

        Where another client takes a free name first, the next one is tried; 100 times at most.
        """
        name = self._named(content.name if name is None else name)
        content = as_file(content, name)
        if self.file_overwrite:
            free = self.get_available_name(name, max_length=max_length)
            return self._named(self._save(free, content))
        with self._rewindable(content) as again:
            return self._save_unique(name, again, max_length)

    def _save_unique(self, name: str, content: File[Any], max_length: int | None) -> str:
        """Save under a name or the first alternative that is free when the content is stored."""
        asks = self._asks_first(content)
        wish = name
        for attempt in range(1, NAME_ATTEMPTS + 1):
            fits = max_length is None or len(wish) <= max_length
            asked = asks or not fits
            free = self.get_available_name(wish, max_length=max_length) if asked else wish
            try:
                return self._named(self._save(free, content))
            except FileExistsError:
                if attempt == NAME_ATTEMPTS:
                    raise
            # What holds the name need not be a file that `exists` sees.
            wish = self._alternative(name)
        raise AssertionError

    def _asks_first(self, content: File[Any]) -> bool:
        """Return True if a save has to look for a free name before it sends a content."""
        if self.unasked_size < 0:
            return True
        if type(self).get_available_name is not BaseStorage.get_available_name:
            return True
        size: int = content.seek(0, os.SEEK_END)
        content.seek(0)
        return size > self.unasked_size

    def _save(self, name: Name, content: File[Any]) -> str:
        name = self._named(name)
        try:
            self._publish(self.key(name), name, content, overwrite=self.file_overwrite)
        except FileExistsError:
            if not self._is_hashed(name, content):
                raise
            self._publish(self.key(name), name, content, overwrite=True)
        return name

    def _is_hashed(self, name: str, content: File[Any]) -> bool:
        """Return True if a name is one that Django's hashing of static files saves under.

        Another process that collects the same files may have been faster: it has stored the same.
        """
        file_hash = getattr(self, "file_hash", None)
        if file_hash is None or name == getattr(self, "manifest_name", None):
            return file_hash is not None
        digest = file_hash(name, content)
        return bool(digest) and f".{digest}" in posixpath.basename(name)

    def delete(self, name: Name) -> None:
        """Remove a file; one that is not there is no error."""
        name = self._named(name)
        try:
            with self._errors(name):
                self._remove(self.key(name))
        except (FileNotFoundError, NotADirectoryError):
            pass

    def exists(self, name: Name) -> bool:
        """Return True if a file or directory is there; False only for a definite not-found."""
        name = self._named(name, root=True)
        if not name:
            return True
        try:
            self._describe(name)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def listdir(self, path: Name) -> tuple[list[str], list[str]]:
        """Return the base names of the directories and of the files in ``path``, each once."""
        found = {False: dict[str, None](), True: dict[str, None]()}
        for name, entry in self.scan(path):
            found[entry.is_directory][name.rpartition("/")[2]] = None
        return [*found[True]], [*found[False]]

    def scan(self, path: Name = "", *, recursive: bool = False) -> Iterator[tuple[str, Entry]]:
        """Yield names and entries of what is in a directory, page by page as the service lists it.

        With ``recursive`` all files below are yielded instead, and no directories. Names that no
        method takes, such as one with a backslash, are left out.
        """
        name = self._named(path, root=True)
        key, start = self.key(name, root=True), f"{name}/" if name else ""
        with self._errors(name):
            for each, entry in self._walk(key) if recursive else self._list(key):
                full = start + each
                # What a server sends may be anything.
                if not is_nameable(full) or (not recursive and "/" in each):
                    continue
                if found := entry or self._looked_up(self.key(full)):
                    yield full, found

    def _walk(self, key: str) -> Iterator[Listed]:
        return walk(self, key)

    def stat(self, name: Name) -> Entry:
        """Return all that the service tells of a file or directory, in one request."""
        return self._describe(name)

    def reader(self, name: Name, entry: Entry, start: int = 0, stop: int | None = None) -> Reader:
        """Read the bytes from ``start`` to ``stop`` of the very file that `stat` described.

        Nothing is buffered, and no more asked for than the part, where the service has ranges.
        The bytes are those stored: where ``entry.encoding`` is set, its form of the content.
        """
        reader = Reader(self, self.key(name), self._named(name), entry, None)
        reader.seek(start)
        reader.stop = stop
        return reader

    def size(self, name: Name) -> int:
        """Return the size of a file in bytes, as it is stored."""
        entry = self._describe(name)
        if entry.is_directory:
            raise IsADirectoryError(errno.EISDIR, "Is a directory", self._named(name))
        return entry.size

    def url(self, name: Name | None) -> str:
        """Return the public URL of a name, without asking the service."""
        if (base := self._public_base) is None:
            raise ValueError(f"{type(self).__name__} has no URL for its files: set 'base_url'.")
        return public_url(base, self._url_name(name))

    @property
    def _public_base(self) -> str | None:
        """The value of ``base_url``, None where none is set."""
        is_set = options_of(type(self))["base_url"].value(self) is not None
        return self.base_url if is_set else None

    def get_accessed_time(self, name: Name) -> datetime:
        """Return when a file was last read; aware if USE_TZ is on."""
        return self._time(name, "accessed")

    def get_created_time(self, name: Name) -> datetime:
        """Return when a file was made; aware if USE_TZ is on."""
        return self._time(name, "created")

    def get_modified_time(self, name: Name) -> datetime:
        """Return when a file was last written; aware if USE_TZ is on."""
        return self._time(name, "modified")

    def path(self, name: Name) -> str:
        """Raise NotImplementedError: the files are not on this machine."""
        raise NotImplementedError(f"{type(self).__name__} keeps no local files: use open().")

    def proxied(self, name: Name, peer: str) -> Mapping[str, str]:  # noqa: ARG002
        """Return headers that have a proxy at ``peer`` send a file; none where Django is to."""
        return {}

    def close(self) -> None:
        """Close what connections this storage holds; it connects anew when used again."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    # -- shared steps -----------------------------------------------------------------------------

    def _alternative(self, name: str) -> str:
        directory, base = posixpath.split(name)
        return posixpath.join(directory, self.get_alternative_name(*posixpath.splitext(base)))

    def _describe(self, name: Name) -> Entry:
        name = self._named(name)
        with self._errors(name):
            return self._stat(self.key(name))

    def settled(self) -> Self:
        """Return this storage, or a copy that keeps the present values of computed options."""
        computed = self._computed
        if not computed:
            return self
        twin = copy.copy(self)
        mine = {name: each for name, each in vars(self).items() if name not in vars(twin)}
        vars(twin).update(mine)
        for each in computed:
            setattr(twin, each.name, each.value(self))
        return twin

    @derived
    def _computed(self) -> list[Option]:
        """Give the options that a property, a callable or a lazy object computes."""
        options = options_of(type(self)).values()
        return [each for each in options if not each.alias_of and each.is_computed(self)]

    def _rewindable(self, content: File[Any]) -> AbstractContextManager[File[Any]]:
        """Give a content, or a copy of it, as a file that can be read more than once."""
        if is_rewindable(content):
            return nullcontext(content)
        return copied(content, max_memory=self.max_memory_size, max_size=self.max_size)

    def _publish(
        self,
        key: str,
        name: str,
        content: File[Any],
        *,
        overwrite: bool,
        expected: Entry | None = None,
    ) -> None:
        with self._rewindable(content) as file:
            source = self._source(name, file, expected)
            check_size(source.size, self.max_size, name)
            try:
                with self._errors(name):
                    self.settled()._write(  # noqa: SLF001
                        key, source, overwrite=overwrite, expected=expected
                    )
            except Exception:
                # What went wrong in the content is the caller's own, not the service's.
                if source.error is not None:
                    raise source.error from None
                raise

    def _source(self, name: str, content: File[Any], expected: Entry | None = None) -> Source:
        """Return what `_write` is given of a rewindable content."""
        declared = getattr(content, "content_type", None)
        kind = content_type_of(name, declared, self.default_content_type)
        file = cast("IO[bytes]", content)
        if expected is None:
            return Source(file, kind)
        return Source(file, kind, headers=expected.headers, metadata=expected.metadata)

    def _errors(self, name: str) -> Translating:
        """Turn SDK errors of a ``with`` block into built-in ones that carry the name."""
        return Translating(self, name)

    def _error(self, exc: Exception, name: str) -> OSError:
        forget_locals(exc)
        code, text = with_places(type(self), *self._explain(exc))
        # Services repeat what they were sent.
        return OSError(code, printable(text), name)

    def _time(self, name: Name, which: str) -> datetime:
        moment: datetime | None = getattr(self._describe(name), which)
        if moment is None:
            raise NotImplementedError(f"{type(self).__name__} keeps no {which} time of its files.")
        return moment if settings.USE_TZ else moment.astimezone().replace(tzinfo=None)

    def _url_name(self, name: Name | None) -> str:
        """Normalise a name for a URL, where slashes before it mean nothing, as Django has it.

        A slash at its end means the directory, and no name the root.
        """
        text = os.fspath(name or "").replace("\\", "/")
        found = self._named(text.lstrip("/"), root=True)
        return f"{found}/" if found and text.endswith("/") else found
