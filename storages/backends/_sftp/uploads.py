"""A save by SFTP: a temporary file next to the name, and when it is whole its renaming."""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from storages.driver import Source
from storages.temporaries import RENAMES, STEPS_ASIDE, Aside, beside, corrected, notice, sweep

from .messages import NOTHING, Attributes, Refused, moment
from .names import is_linked, take
from .session import CREATE_NEW, Session

SWEPT = 1000  # entries of a directory that are looked at for such files


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
        self._aside = Aside(path)
        self._written = NOTHING
        self._was_tried = False
        self._is_published = False

    def write(self, session: Session) -> None:
        """Write the content to a new temporary file, and check its size there."""
        self._source.seek(0)
        self._temporaries.append(beside(self._path, "part"))
        try:
            handle = self._create(session)
            owner = self._rights.owner(lambda: session.fstat(handle, self._temporaries[-1]))
            attributes = owner._replace(mode=self._rights.file_mode)
            self._written = session.upload(handle, self._source, attributes, self._temporaries[-1])
            self._check_size()
            if now := corrected(moment(self._written.modified)):
                self._set_time(session, int(now.timestamp()))
        except OSError as exc:
            self._check_room(session, exc)
            raise

    def publish(self, session: Session) -> None:
        """Rename the temporary file; a name that is taken raises FileExistsError."""
        if not self._is_published:
            temporary = self._temporaries[-1]
            # Where the reply was lost, the renaming may have been done.
            if not (self._was_tried and self._is_done(session, temporary)):
                self._was_tried = True
                self._rename(session, temporary)
            self._temporaries.pop()
            self._is_published = True
        self._aside.drop(session)

    @property
    def is_clean(self) -> bool:
        """True if the save has left nothing on the server but its file."""
        return not self._temporaries

    def clean(self, session: Session) -> None:
        """Remove what the save does not need any more, and undo what can be undone."""
        self._aside.restore(session)
        while self._temporaries:
            with suppress(*session.refusals):
                session.remove_file(self._temporaries[-1])
            self._temporaries.pop()

    def sweep(self, session: Session) -> None:
        """Remove what broken uploads left in the directory."""
        listed = ((n, each.entry()) for n, each in session.scan(self.directory or ".", SWEPT))
        sweep(session, self.directory, listed, moment(self._written.modified))

    def _create(self, session: Session) -> bytes:
        """Open the temporary file, with its directory made where it is missing."""
        # Nobody else may read it before it has the mode it is to have.
        private = NOTHING if self._rights.file_mode is None else Attributes(mode=0o600)
        try:
            return session.open(self._temporaries[-1], CREATE_NEW, private)
        except (FileNotFoundError, Refused):
            # Not every server says by its code that the directory is missing.
            if not self.directory:
                raise
            self._make_directories(session, self.directory)
            return session.open(self._temporaries[-1], CREATE_NEW, private)

    def _make_directories(self, session: Session, path: str) -> None:
        mode = self._rights.dir_mode
        try:
            session.make_directory(path, mode)
        except FileNotFoundError:
            if (parent := posixpath.dirname(path)) in ("", path):
                raise
            self._make_directories(session, parent)
            self._make_directories(session, path)
        except session.refusals:
            # The protocol has no word for "is there already", perhaps made a moment ago, and none
            # for a parent that is a file. Some have none for one that is missing either.
            parent = posixpath.dirname(path)
            found = _found(session, path)
            nearest = found or _found(session, parent or ".")
            if nearest is None and parent not in ("", path):
                self._make_directories(session, parent)
                self._make_directories(session, path)
            elif nearest is not None and not nearest.is_directory:
                raise NotADirectoryError(
                    errno.ENOTDIR, "A file is where a directory must be"
                ) from None
            elif found is None:
                raise
        else:
            self._set_rights(session, path)

    def _set_rights(self, session: Session, path: str) -> None:
        """Give a new directory its owner and mode; without them it is not to stay."""
        try:
            owner = self._rights.owner(lambda: session.lookup(path))
            if (attributes := owner._replace(mode=self._rights.dir_mode)) != NOTHING:
                session.set_attributes(path, attributes)
        except session.refusals:
            with suppress(*session.refusals):
                session.remove_directory(path)
            raise

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

    def _check_room(self, session: Session, exc: OSError) -> None:
        """Raise another error where the disk is known to be full."""
        is_full = False
        with suppress(OSError):
            is_full = exc.errno == errno.EIO and session.is_full(self.directory or ".")
        if is_full:
            raise OSError(errno.ENOSPC, "The server's disk is full: make room on it") from exc

    def _is_done(self, session: Session, temporary: str) -> bool:
        """Return True if a request whose reply was lost gave the file its name."""
        if _found(session, temporary) is None:
            return True
        if self._overwrite or not is_linked(session, temporary, self._path):
            return False
        with suppress(*session.refusals):
            session.remove_file(temporary)
        return True

    def _rename(self, session: Session, temporary: str) -> None:
        for _ in range(RENAMES - 1):
            try:
                self._rename_once(session, temporary)
            except Refused as exc:
                # What stood in the way is gone by now, unless this raises.
                self._check_taken(session, exc)
            else:
                return
        self._rename_once(session, temporary)

    def _rename_once(self, session: Session, temporary: str) -> None:
        if not self._overwrite:
            take(session, temporary, self._path)
        elif not session.replace(temporary, self._path):
            notice(session.traits, STEPS_ASIDE)
            self._aside.replace(session, temporary)

    def _check_taken(self, session: Session, exc: OSError) -> None:
        """Raise what a failed renaming means where something has the name."""
        # The protocol has no word for "is there already" here either.
        found = _found(session, self._path)
        if found is not None and not self._overwrite:
            raise FileExistsError(errno.EEXIST, "The name is taken") from exc
        if found is not None and found.is_directory:
            raise IsADirectoryError(errno.EISDIR, "Is a directory") from exc


def _found(session: Session, path: str) -> Attributes | None:
    try:
        return session.lookup(path)
    except FileNotFoundError:
        return None
