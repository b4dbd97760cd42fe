"""What a backend gives: primitives on keys, and the shapes that pass through them.

`BaseStorage` writes Django's API once on top of these. A backend subclasses it, declares its
options and implements `Driver._stat`, `_read`, `_write`, `_remove` and `_list`; the rest have
defaults. What each primitive may rely on and must guarantee stands in its docstring.
"""

from __future__ import annotations

import errno
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, ClassVar, Protocol

from .utils import RefusedName

_ABSENT = {errno.ENOENT, errno.ENOTDIR}  # how an error says that there is no such file


class Stream(Protocol):
    """What a backend reads from: bytes in order, and a way to end early.

    A stream that can continue at another position of the same file also has a method
    ``move_to(position)``, which returns False if it cannot do so any more. One that keeps for
    itself a connection of which there are only so many has ``is_leased`` set to True.
    """

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, and ``b""`` only at the end of the content.

        Raises ConnectionError if the content ends or breaks early; the reader then calls
        `Driver._read` again from where it stands.
        """

    def close(self) -> None:
        """Give the connection back, or close it if bytes are left unread. Raises nothing."""


class _Empty(Mapping[str, str]):
    """A mapping without anything, one for the millions of entries that a listing may have."""

    def __getitem__(self, name: str) -> str:
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0

    def __repr__(self) -> str:
        return "{}"


_EMPTY = _Empty()


@dataclass(frozen=True, slots=True)
class Entry:
    """What a service knows of one file or directory.

    Times are aware and in any zone. A field that the service does not send keeps its default.
    """

    #: Bytes as stored; 0 for a directory.
    size: int
    modified: datetime | None = None
    created: datetime | None = None
    accessed: datetime | None = None
    content_type: str | None = None
    #: Differs between two contents of one key, as far as the service can tell them apart.
    etag: str | None = None
    #: ``"gzip"`` if the stored bytes are the gzip form of the content that readers get.
    encoding: str | None = None
    is_directory: bool = False
    #: The other HTTP headers that the service sends with the file, by lower-case name:
    #: ``cache-control``, ``content-disposition``, ``content-language``, ``expires``, and
    #: ``content-encoding`` where that is another than ``encoding`` can say.
    headers: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    #: Names and values that the user stored with the file.
    metadata: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    #: A digest of the stored bytes, such as ``"md5:9a03…"``; see `storages.digests`. A listing may
    #: tell one that is none, where only `Driver._stat` learns how the service encrypts the file.
    digest: str | None = None


#: A base name, or a name below a key, with what the listing tells of it. None means that the
#: listing does not tell, and `Driver._stat` has to be asked.
Listed = tuple[str, Entry | None]


class Source(io.BufferedIOBase):
    """The content of a save: a binary file at its start, rewindable, of a known ``size`` in bytes.

    ``content_type`` is what the upload declared, or what the name implies. ``headers`` and
    ``metadata`` are those of `Entry`; they describe the file that is being changed or copied, and
    win over what the options say. ``file`` is the content itself, for what only some files have,
    such as a path. ``is_packed`` is True if the bytes are already in the form that the header
    ``content-encoding`` names; only backends with ``keeps_encoding`` get such. An exception that
    reading the content raised is kept in ``error``, so that it reaches the caller whatever an SDK
    makes of it.
    """

    def __init__(
        self,
        file: IO[bytes],
        content_type: str,
        *,
        headers: Mapping[str, str] = {},
        metadata: Mapping[str, str] = {},
        is_packed: bool = False,
    ) -> None:
        self.file = file
        self.content_type = content_type
        self.headers = headers
        self.metadata = metadata
        self.is_packed = is_packed
        self.error: Exception | None = None
        self.size = file.seek(0, io.SEEK_END)
        file.seek(0)

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Read ``size`` bytes, fewer only at the end; all that is left by default."""
        wanted = -1 if size is None else size
        try:
            data = self.file.read(wanted)
            while 0 < len(data) < wanted and (more := self.file.read(wanted - len(data))):
                data += more
        except Exception as exc:
            self.error = exc
            raise
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move as any file does."""
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position in bytes."""
        return self.file.tell()


class Driver:
    """The primitives of a backend.

    **Keys.** A primitive takes a key: a normalised, non-empty, ``/``-separated name with the
    storage's prefix before it. Only `_list` and `_walk` also take ``""``, for the root of a
    storage without prefix. Names were checked before: no ``..``, no control characters, valid
    UTF-8. A key that the service would rewrite or refuse raises `RefusedName` before any request.

    **Threads.** Primitives of one storage run in many threads at once.

    **Errors.** A primitive raises FileNotFoundError only if the service said so of this very key.
    An error of connecting, signing in or finding the bucket never means "no such file". Built-in
    OSErrors with an errno pass; errors of an SDK pass too if `sdk_errors` names their class and
    `_explain` knows them. The base turns both into a built-in OSError with the user's name of the
    file and the original as its cause. No text holds the value of an option.

    **Time.** Every wait has a limit. A request that can be repeated is repeated a few times after
    a lost connection; one whose repetition could do harm is not, unless the backend can tell
    afterwards whether its first try was carried out.
    """

    #: Exception classes of an SDK that `_explain` knows; OSErrors are known anyway.
    sdk_errors: ClassVar[tuple[type[Exception], ...]] = ()
    #: True if the content encoding of a `Source` is stored with the file.
    keeps_encoding: ClassVar[bool] = False
    #: Bytes of the largest content that `_write_many` takes; 0 where it takes none.
    most_in_many: ClassVar[int] = 0

    def _stat(self, key: str) -> Entry:
        """Describe the file at a key, or the directory.

        Services without directories have one wherever a key lies below it: its entry has
        ``is_directory`` set. Raises FileNotFoundError only if there is definitely neither.
        """
        raise NotImplementedError

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        """Stream the content that ``entry`` describes, from byte ``start`` to its end.

        ``entry`` is what `_stat` or `_open_stream` told when the file was opened. Raises OSError
        (ESTALE) if the file was replaced since: a reader gets one content, never a mixture.
        Compares by the service's own condition (If-Match, a revision) if it has one, else what the
        answer tells with ``entry.etag``, or with size and time. The stream yields exactly
        ``entry.size - start`` bytes, of the stored form if ``entry.encoding`` is set. An answer to
        a request for a range is checked to begin at ``start``.
        """
        raise NotImplementedError

    def _read_part(self, key: str, start: int, stop: int, entry: Entry) -> Stream:  # noqa: ARG002
        """Stream at least the bytes from ``start`` to ``stop`` of a content, as `_read` does.

        A service that can be asked for both ends of a range overrides this, so that no more than
        the part is moved. The default reads on to the end of the content, if it is let.
        """
        return self._read(key, start, entry)

    def _open_stream(self, key: str) -> tuple[Entry, Stream | None]:
        """Describe a file that is about to be read from its start.

        A backend whose first answer brings content returns it as a stream that begins at byte 0
        and may end before the file does; the reader asks `_read` for what follows. Saves a request.
        """
        return self._stat(key), None

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        """Store the content under a key, whole or not at all.

        The name shows the old content, or nothing, until the new content is complete, and a
        failure leaves no partial file, no unfinished upload and the old file as it was. ``source``
        stands at its start, may be rewound and read again, and is never closed here.

        ``overwrite=False`` raises FileExistsError if the key is taken, decided by the service in
        one step where it can. If the answer of a first try was lost, the backend finds out whether
        that try stored the content before it calls the name taken.

        ``expected`` is the entry of a file that was read to be changed. If the file is no longer
        that one, raises OSError (ESTALE) and stores nothing. A backend whose service cannot make
        the write conditional calls `_require_unchanged` just before the content gets its name.

        Makes the directories above the key. Checks what was stored by a checksum that the service
        verifies, else by its size.
        """
        raise NotImplementedError

    @contextmanager
    def _stored_form(self, key: str, source: Source) -> Iterator[Source]:  # noqa: ARG002
        """Give the bytes that `_write` would store of a source; the default is the source.

        What compresses overrides it. Files are compared by it before they are sent again.
        """
        yield source

    def _write_many(self, files: Iterable[tuple[str, Source]], most: int) -> Iterator[str]:  # noqa: ARG002
        """Store small contents over what their keys hold; yield the keys of those stored.

        For a service to which one thread can have many requests, up to ``most``, on their way. The
        sources are taken lazily. A file whose key is not yielded is for `_write`, which tells what
        is wrong; it may have been stored or not, whole in any case. The default stores none.
        """
        yield from ()

    def _require_unchanged(self, key: str, expected: Entry | None) -> None:
        """Raise OSError (ESTALE) unless a key still has the content of an entry; None is any."""
        if expected is None:
            return
        with suppress(FileNotFoundError):
            found = self._stat(key)
            if found.etag == expected.etag and found.size == expected.size:
                return
        raise OSError(errno.ESTALE, "The file was replaced while it was changed: open it anew")

    def _remove(self, key: str) -> None:
        """Remove the file at a key, or an empty directory where directories are real.

        May raise FileNotFoundError if there is none. Removes nothing else: no other key that
        begins alike, nothing below the key. Raises OSError with ENOTEMPTY for a directory in use.
        """
        raise NotImplementedError

    def _remove_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Exception | None]]:
        """Remove the files at keys; yield each key with None, or with the error that kept it.

        A file that is not there is no error. The order is the service's. Errors are those of
        `_remove`; one that concerns all of the keys is raised. A service that removes many files in
        one request overrides this.
        """
        for key in keys:
            yield key, self._removed(key)

    def _removed(self, key: str) -> Exception | None:
        """Remove a file; return None if it is gone, else the error."""
        try:
            self._remove(key)
        except RefusedName as exc:
            return exc
        except self._known_errors as exc:
            return None if self._explain(exc)[0] in _ABSENT else exc
        return None

    def _copy(
        self,
        origin: Driver,  # noqa: ARG002
        source_key: str,  # noqa: ARG002
        entry: Entry,  # noqa: ARG002
        key: str,  # noqa: ARG002
    ) -> bool:
        """Have the service store a file of another storage under a key, over any other there.

        Returns False, and stores nothing, if the service cannot do that. ``entry`` is what
        ``origin`` tells of the file; the copy is of this very content, else OSError (ESTALE). It
        keeps the content type, encoding, headers and metadata, and is whole or not at all.
        """
        return False

    def _list(self, key: str) -> Iterable[Listed]:
        """Yield what lies directly in the directory at a key, as base names; ``""`` is the root.

        Lazily: a page is asked for when it is needed. Each name comes with an `Entry` if the
        listing tells whether it is a file or a directory and how large it is, else with None. The
        same name may come twice. Temporary files of unfinished saves are left out; names that
        cannot be said in this package (see `normalize_name`) may be yielded, the base drops them.

        A directory that is not there yields nothing where keys imply directories, and raises
        FileNotFoundError where directories are real, but for the root, which the first save makes.
        A listing that may be incomplete raises instead of ending early.
        """
        raise NotImplementedError

    def _walk(self, key: str) -> Iterator[Listed]:
        """Yield every file below a key, as names relative to it, no directories.

        Names that cannot be said in this package may be among them, of directories too.

        `BaseStorage` lists directory by directory. A service that lists all keys below a prefix in
        one go overrides it.
        """
        raise NotImplementedError

    def _looked_up(self, key: str) -> Entry | None:
        """Describe what was listed a moment ago; None if others have removed it since."""
        try:
            return self._stat(key)
        except self._known_errors as exc:
            if not self._says_missing(exc):
                raise
        return None

    @property
    def _known_errors(self) -> tuple[type[Exception], ...]:
        return (OSError, *self.sdk_errors)

    def _says_missing(self, exc: Exception) -> bool:
        """Return True if an error of a primitive means that nothing has its key."""
        return self._explain(exc)[0] in _ABSENT

    def _explain(self, exc: Exception) -> tuple[int, str]:
        """Return the errno for an error, and a text that says what to change.

        The default is for OSErrors; a backend handles the classes of its ``sdk_errors`` and leaves
        the rest to this. The text names the option or setting at fault and never holds its value.
        """
        code = getattr(exc, "errno", None) or errno.EIO
        return code, getattr(exc, "strerror", None) or str(exc) or type(exc).__name__


def is_replaced(cls: type, steps: Mapping[str, object]) -> bool:
    """Return True if a class does a step in another way: a subclass, or someone who watches it."""
    return any(getattr(cls, name) is not step for name, step in steps.items())
