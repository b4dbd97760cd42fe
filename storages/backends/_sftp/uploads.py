"""A save by SFTP: a temporary file next to the name, and when it is whole its renaming."""

from __future__ import annotations

import errno
import posixpath
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from storages.driver import Source
from storages.sweeping import STALE, corrected

from .messages import NOTHING, Attributes, LostError, moment
from .session import CREATE_NEW, Session

SWEPT = 1000  # entries of a directory that are looked at for such files
TEMPORARY = ".part"
RENAMES = 3  # tries where a file that others delete is in the way


@dataclass(frozen=True)
class Rights:
    """Modes and owner of what is made, None for what the server decides."""

    file_mode: int | None
    dir_mode: int | None
    uid: int | None
    gid: int | None

    def owner(self, describe: Callable[[], Attributes]) -> Attributes:
        """Return both ids where one is to be set: the protocol changes them together."""
        uid, gid = self.uid, self.gid
        if (uid is None) != (gid is None):
            found = describe()
            uid, gid = found.uid if uid is None else uid, found.gid if gid is None else gid
            if uid is None or gid is None:
                raise OSError(
                    errno.EOPNOTSUPP, "The server tells no owner: set both 'uid' and 'gid'"
                )
        return Attributes(uid=uid, gid=gid)


class Upload:
    """One save in two steps, `write` and `publish`, each of which may be tried again."""

    def __init__(self, path: str, source: Source, rights: Rights, *, overwrite: bool) -> None:
        self.directory = posixpath.dirname(path)
        self._path = path
        self._source = source
        self._rights = rights
        self._overwrite = overwrite
        self._temporaries: list[str] = []
        self._written = NOTHING
        self._was_tried = False

    def write(self, session: Session) -> None:
        """Write the content to a new temporary file, and check its size there."""
        for name in self._temporaries:
            with suppress(OSError):
                session.remove(name)
        self._source.seek(0)
        self._temporaries.append(self._beside(f".{uuid.uuid4().hex}{TEMPORARY}"))
        try:
            handle = self._create(session)
            owner = self._rights.owner(lambda: session.fstat(handle))
            attributes = owner._replace(mode=self._rights.file_mode)
            self._written = session.upload(handle, self._source, attributes)
            self._check_size()
            if now := corrected(moment(self._written.modified)):
                self._set_time(session, int(now.timestamp()))
        except LostError:
            raise
        except BaseException as exc:
            self._give_up(session, exc)
            raise

    def publish(self, session: Session) -> None:
        """Rename the temporary file; a name that is taken raises FileExistsError."""
        temporary = self._temporaries[-1]
        # Where the reply was lost, the renaming may have been done.
        if self._was_tried and _found(session, temporary) is None:
            return
        self._was_tried = True
        try:
            self._rename(session, temporary)
        except LostError:
            raise
        except OSError:
            with suppress(OSError):
                session.remove(temporary)
            raise

    def sweep(self, session: Session) -> None:
        """Remove what broken uploads left in the directory, of an age by the server's clock."""
        oldest = (self._written.modified or 0) - STALE.total_seconds()
        for name, attributes in session.scan(self.directory or ".", SWEPT):
            if is_temporary(name) and (attributes.modified or 0) < oldest:
                session.remove(self._beside(name))

    def _beside(self, name: str) -> str:
        return posixpath.join(self.directory, name)

    def _create(self, session: Session) -> bytes:
        """Open the temporary file, with its directory made where it is missing."""
        # Nobody else may read it before it has the mode it is to have.
        private = NOTHING if self._rights.file_mode is None else Attributes(mode=0o600)
        try:
            return session.open(self._temporaries[-1], CREATE_NEW, private)
        except FileNotFoundError:
            if not self.directory:
                raise
            self._make_directories(session, self.directory)
            return session.open(self._temporaries[-1], CREATE_NEW, private)

    def _make_directories(self, session: Session, path: str) -> None:
        mode = self._rights.dir_mode
        try:
            session.make_directory(path, Attributes(mode=mode))
        except FileNotFoundError:
            if (parent := posixpath.dirname(path)) in ("", path):
                raise
            self._make_directories(session, parent)
            self._make_directories(session, path)
        except OSError:
            # The protocol has no word for "is there already", perhaps made a moment ago.
            if not session.lookup(path).is_directory:
                raise NotADirectoryError(
                    errno.ENOTDIR, "A file is where a directory must be"
                ) from None
        else:
            attributes = self._rights.owner(lambda: session.lookup(path))._replace(mode=mode)
            if attributes != NOTHING:
                session.set_attributes(path, attributes)

    def _check_size(self) -> None:
        sent, stored = self._source.tell(), self._written.size
        if stored not in (None, sent):
            raise OSError(errno.EIO, f"The server holds {stored} of {sent} bytes: save it again")

    def _set_time(self, session: Session, seconds: int) -> None:
        """Set the time of the file, where the server lets clients do that."""
        times = Attributes(accessed=seconds, modified=seconds)
        try:
            session.set_attributes(self._temporaries[-1], times)
        except (ConnectionError, TimeoutError):
            raise
        except OSError:
            # Denied, or unknown to the server: the file itself is whole.
            pass

    def _give_up(self, session: Session, exc: BaseException) -> None:
        """Remove the temporary file; raise another error where the disk is known to be full."""
        is_full = False
        with suppress(OSError):
            is_vague = isinstance(exc, OSError) and exc.errno == errno.EIO
            is_full = is_vague and session.is_full(self.directory or ".")
            session.remove(self._temporaries[-1])
        if is_full:
            raise OSError(errno.ENOSPC, "The server's disk is full: make room on it") from exc

    def _rename(self, session: Session, temporary: str) -> None:
        rename = session.replace if self._overwrite else session.rename
        for _ in range(RENAMES - 1):
            try:
                rename(temporary, self._path)
            except OSError as exc:
                if exc.errno != errno.EIO:
                    raise
                self._check_taken(session, exc)
                # What stood in the way is gone by now.
            else:
                return
        rename(temporary, self._path)

    def _check_taken(self, session: Session, exc: OSError) -> None:
        """Raise what a failed renaming means where something has the name."""
        # The protocol has no word for "is there already" here either.
        found = _found(session, self._path)
        if found is not None and not self._overwrite:
            raise FileExistsError(errno.EEXIST, "The name is taken") from exc
        if found is not None and found.is_directory:
            raise IsADirectoryError(errno.EISDIR, "Is a directory") from exc


def is_temporary(name: str) -> bool:
    """Tell whether a name in a directory is that of an upload under way, or of a broken one."""
    return name.startswith(".") and name.endswith(TEMPORARY) and len(name) == 33 + len(TEMPORARY)


def _found(session: Session, path: str) -> Attributes | None:
    try:
        return session.lookup(path)
    except FileNotFoundError:
        return None
