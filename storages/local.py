"""LocalStorage: the primitives on a directory of this machine, for a FileSystemStorage."""

from __future__ import annotations

import errno
import inspect
import io
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

from django.core.files.storage import FileSystemStorage
from django.utils._os import safe_join

from .base import BaseStorage, Name, told
from .configured import given_options, options_of, said_by_others
from .contents import COPY_SIZE
from .driver import Entry, Listed, Source, Stream
from .files import RemoteFile
from .options import UNSET, option, positional
from .temporaries import beside, is_due, is_temporary, refused, stale
from .utils import RefusedName, is_taken_by_windows, normalize_name, shown

DIRECTORIES = 8  # tries to make one, at most, that others remove meanwhile


def _with_final_slash(storage: object, url: str | None) -> str:
    url = told(storage, url)
    return url if url.endswith("/") else f"{url}/"


class StoredFile(io.FileIO):
    """A file open for reading that keeps its position to itself.

    Processes that were forked share the position of a descriptor, so each would skip what another
    one reads.
    """

    _position = 0

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, from the file's own position."""
        # A pipe has no positions.
        if hasattr(os, "pread") and self.seekable():
            data = os.pread(self.fileno(), len(buffer), self._position)
            buffer[: len(data)] = data
            count = len(data)
        else:
            count = super().readinto(buffer) or 0
        self._position += count
        return count

    def read(self, size: int | None = -1, /) -> bytes:
        """Read ``size`` bytes, fewer only at the end; all that is left by default."""
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(COPY_SIZE), b""))
        data = bytearray(size)
        return bytes(data[: self.readinto(memoryview(data))])

    def readall(self) -> bytes:
        """Read all that is left."""
        return self.read()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move as any file does; the descriptor moves too, for those that read by it."""
        if whence == io.SEEK_CUR:
            offset, whence = self._position + offset, io.SEEK_SET
        self._position = super().seek(offset, whence)
        return self._position

    def tell(self) -> int:
        """Return the position in bytes."""
        # A closed file has none, and the standard method says so.
        return super().tell() if self.closed else self._position


class LocalStorage(BaseStorage, FileSystemStorage):
    """Keeps files in a directory, each saved whole or not at all, through a crash as well.

    A save fills a temporary file in the directory of its target, syncs it and gives it its name.
    What a killed process leaves of that is hidden, and removed by a save a day later.
    """

    location: str | os.PathLike[str] = positional(  # type: ignore[assignment]
        "MEDIA_ROOT",
        default="",
        read=lambda _storage, value: os.path.abspath(value),  # noqa: PTH100 - keeps links
        kw_only=False,
        doc="Directory of the files; reading it gives the absolute path.",
    )
    base_url: str | None = positional(  # type: ignore[assignment]
        "MEDIA_URL",
        default=None,
        kw_only=False,
        read=_with_final_slash,
        doc="URL under which the files are served; reading it gives it with a final slash.",
    )
    file_permissions_mode: int | None = option(
        "FILE_UPLOAD_PERMISSIONS",
        default=None,
        doc="Mode of saved files; None leaves it to the umask, or to an upload's own file.",
    )
    directory_permissions_mode: int | None = option(
        "FILE_UPLOAD_DIRECTORY_PERMISSIONS",
        default=None,
        doc="Mode of directories that a save makes; None leaves it to the umask.",
    )
    allow_overwrite: bool = option(default=False, alias_of="file_overwrite")

    # -- names ------------------------------------------------------------------------------------

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(LocalStorage)["base_location"]
        said = inspect.getattr_static(cls, "base_location")
        said = said_by_others(cls).get("base_location", own) if said is own else said
        location = inspect.getattr_static(cls, "location")
        if said is not own and location.override is UNSET:
            # Django's own location is made of it.
            cls.location = location.overridden(said)

    @property
    def base_location(self) -> str | os.PathLike[str]:
        """The location as it was given."""
        given: str | os.PathLike[str] = options_of(type(self))["location"].value(self)
        return given

    def root(self) -> tuple[str, ...]:
        """Return the parts of the location."""
        return Path(self.location).parts

    def doubts(self) -> Iterator[str]:
        """Yield where files go if nothing says where."""
        yield from super().doubts()
        if not self.base_location and given_options(self).get("location") is None:
            yield (
                "files go to the directory in which the process was started: set 'location', or "
                "MEDIA_ROOT and MEDIA_URL."
            )

    def _named(self, name: Name | None, *, root: bool = False) -> str:
        """Take the location off a path inside it, as Django's own storage does."""
        return normalize_name(self._without_location(name), root=root)

    def _without_location(self, name: Name | None) -> Name | None:
        path = Path(name or "")
        is_inside = path.is_absolute() and path.is_relative_to(self.location)
        return path.relative_to(self.location) if is_inside else name

    def key(self, name: Name, *, root: bool = False) -> str:
        """Return a name in its one spelling; names of temporary files are refused."""
        key = refused(normalize_name(name, root=root))
        if os.name == "nt" and is_taken_by_windows(key):
            raise RefusedName(f"The name {shown(key)} means something else to Windows.")
        return key

    def path(self, name: Name) -> str:
        """Return the path of a file."""
        return safe_join(self.location, self.key(self._named(name, root=True), root=True))

    def exists(self, name: Name) -> bool:
        """Return True if a name is taken, be it by a link that leads nowhere."""
        try:
            with self._errors(str(name)):
                Path(self.path(name)).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def _url_name(self, name: Name | None) -> str:
        return super()._url_name(self._without_location(name))

    def _open(self, name: Name, mode: str = "rb") -> RemoteFile:
        file = super()._open(name, mode)
        # As Django's own storage has it: Pillow and others open the path again.
        file.name = self.path(name)
        return file

    # -- primitives -------------------------------------------------------------------------------

    def _allow(self, path: Path) -> None:
        """Raise PermissionError where a link leads out of what may be read; here all may be."""

    def _found(self, key: str) -> Path:
        """Return the path to read a file from."""
        path = Path(self.path(key))
        self._allow(path)
        return path

    def _open_found(self, key: str) -> io.FileIO:
        return StoredFile(self._found(key))

    def _stat(self, key: str) -> Entry:
        return _entry(self._found(key).stat())

    def _open_stream(self, key: str) -> tuple[Entry, Stream]:
        stream = self._open_found(key)
        return _entry(os.fstat(stream.fileno())), stream

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        stream = self._open_found(key)
        if _entry(os.fstat(stream.fileno())).etag != entry.etag:
            stream.close()
            raise OSError(errno.ESTALE, "The file was replaced while it was read")
        stream.seek(start)
        return stream

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        path = Path(self.path(key))
        temporary = path.parent / beside("", "part")
        try:
            self._begin(temporary, source)
            self._require_unchanged(key, expected)
            if overwrite:
                _replace(temporary, path)
            else:
                _claim(temporary, path)
        finally:
            with suppress(OSError):
                temporary.unlink()
        _sync_directory(path.parent)

    def _begin(self, temporary: Path, source: Source) -> None:
        """Make the directory, and in it what a save will give its name to."""
        for left in reversed(range(DIRECTORIES)):
            source.seek(0)
            try:
                self._make_directory(temporary.parent)
                if is_due(temporary.parent):
                    _sweep(temporary.parent)
                self._fill(temporary, source)
            except FileNotFoundError:
                # Others may remove it meanwhile, unless the content is what is missing.
                if not left or source.error is not None:
                    raise
            else:
                return

    def _fill(self, temporary: Path, source: Source) -> None:
        """Make what a save will give its name to, with its content and permissions."""
        mode = self.file_permissions_mode
        opener = partial(os.open, mode=0o666 if mode is None else 0o600)
        moved = _moved(source, temporary)
        with open(temporary, "r+b" if moved else "xb", opener=opener) as file:
            if not moved:
                shutil.copyfileobj(source, file, COPY_SIZE)
                file.flush()
            self._ensure_location_group_id(temporary)  # type: ignore[attr-defined]
            if mode is not None:
                temporary.chmod(mode)
            os.fsync(file.fileno())

    def _make_directory(self, path: Path) -> None:
        mode = self.directory_permissions_mode
        missing = [*takewhile(lambda each: not each.is_dir(), (path, *path.parents))]
        for directory in reversed(missing):
            # Another save may make it first; a file in its place fails what follows.
            with suppress(FileExistsError):
                directory.mkdir(0o777 if mode is None else mode)
                if mode is not None:
                    directory.chmod(mode)
                _sync_directory(directory.parent)

    def _remove(self, key: str) -> None:
        path = Path(self.path(key))
        if stat.S_ISDIR(path.lstat().st_mode):
            path.rmdir()
        else:
            path.unlink()

    def _list(self, key: str) -> Iterator[Listed]:
        directory = self._found(key)
        with os.scandir(directory) as entries:
            for each in entries:
                if is_temporary(each.name):
                    continue
                try:
                    entry = self._listed(each)
                except FileNotFoundError:
                    # It went away since the directory was read, or that did, which raises.
                    directory.stat()
                    continue
                yield each.name, entry

    def _listed(self, found: os.DirEntry[str]) -> Entry:
        """Describe what a link leads to; one that is not to be followed is a file here."""
        path = Path(found)
        try:
            if found.is_symlink():
                self._allow(path)
            return _entry(path.stat())
        except OSError:
            return _entry(path.lstat())


def _entry(found: os.stat_result) -> Entry:
    modified, created, accessed = (
        datetime.fromtimestamp(moment, UTC)
        for moment in (found.st_mtime, found.st_ctime, found.st_atime)
    )
    etag = f"{found.st_dev}-{found.st_ino}-{found.st_mtime_ns}-{found.st_size}"
    is_directory = stat.S_ISDIR(found.st_mode)
    return Entry(found.st_size, modified, created, accessed, etag=etag, is_directory=is_directory)


def _moved(source: Source, temporary: Path) -> bool:
    """Rename an upload's own file where it can be: it is on the same file system, and still there.

    Its time becomes now, since that is when it is saved.
    """
    own_path = getattr(source.file, "temporary_file_path", None)
    if own_path is None:
        return False
    try:
        os.utime(own_path())
        Path(own_path()).rename(temporary)
    except OSError:
        return False
    return True


def _replace(temporary: Path, path: Path) -> None:
    """Put a file in the place of another in one step, but for one that is a mount point."""
    try:
        temporary.replace(path)
    except OSError as exc:
        if exc.errno != errno.EBUSY:
            raise
        shutil.copyfile(temporary, path)


def _claim(temporary: Path, path: Path) -> None:
    """Give a file its name; raise FileExistsError where that is taken."""
    try:
        os.link(temporary, path, follow_symlinks=False)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError):
        # Without hard links an empty file holds the name for an instant.
        path.touch(exist_ok=False)
        temporary.replace(path)


def _sync_directory(path: Path) -> None:
    """Make new names in a directory last through a crash, where the system can do that."""
    if hasattr(os, "O_DIRECTORY"):
        with suppress(OSError):
            directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)


def _sweep(directory: Path) -> None:
    """Remove stale temporary files."""
    names = list[str]()
    with suppress(OSError), os.scandir(directory) as entries:
        names += [each.name for each in entries if is_temporary(each.name)]
    for name in names:
        path = directory / name
        # Other saves remove their own, and servers of this directory leave directories there.
        with suppress(OSError):
            for _ in stale([(name, _entry(path.lstat()))], datetime.now(UTC)):
                path.unlink()
