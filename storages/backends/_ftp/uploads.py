"""A save by FTP: a temporary file next to the name, and when it is whole its renaming."""

from __future__ import annotations

import errno
import hashlib
import posixpath
from contextlib import AbstractContextManager, nullcontext, suppress
from datetime import datetime

from storages import temporaries
from storages.driver import Source
from storages.temporaries import STEPS_ASIDE, Aside, beside, corrected, notice, sweep

from .errors import REFUSED, Refusal, errno_of, told
from .session import Files


class Upload:
    """One save in two steps, `write` and `publish`, each of which may be tried again.

    Every method takes the connection to use. Keys may begin where signing in leads to.
    """

    def __init__(self, key: str, source: Source, *, overwrite: bool) -> None:
        self.directory = posixpath.dirname(key)
        self._key = key
        self._source = source
        self._overwrite = overwrite
        self._temporaries: list[str] = []
        self._old = beside(key, "old")
        self._aside: Aside | None = None
        # FTP cannot create a file exclusively, but a directory it can.
        digest = hashlib.sha256(posixpath.basename(key).encode()).hexdigest()
        self._lock = beside(key, "lock", digest[:32])
        self._is_locked = False
        self._was_tried = False
        self._is_published = False
        self._stored_at: datetime | None = None

    def write(self, connection: Files) -> None:
        """Store the content under a new temporary key, and check its size there."""
        self._temporaries.append(beside(self._key, "part"))
        path = connection.path(self._temporaries[-1])
        try:
            self._store(connection, path)
        except REFUSED as exc:
            if errno_of(exc) == errno.ENOSPC:
                raise
            connection.make_directories(posixpath.dirname(path))
            self._store(connection, path)
        stored = connection.stored(path)
        if stored.size != self._source.size:
            # A lost connection, as far as one can tell, after which another may do better.
            raise ConnectionAbortedError(
                errno.ECONNABORTED,
                f"The FTP server stored {stored.size} of {self._source.size} bytes",
            )
        self._stored_at = stored.modified
        if moment := corrected(stored.modified):
            connection.set_modified(path, moment)

    def publish(self, connection: Files) -> None:
        """Give the content its name; a name that is taken is refused (EEXIST)."""
        if not self._is_published:
            self._publish(connection)
        if self._aside is not None:
            self._aside.drop(connection)

    def clean(self, connection: Files) -> None:
        """Remove what the save does not need any more, and undo what can be undone."""
        if self._aside is not None:
            self._aside.restore(connection)
        if self._is_locked:
            with suppress(*connection.refusals):
                connection.remove_directory(connection.path(self._lock))
            self._is_locked = False
        while self._temporaries:
            with suppress(*connection.refusals):
                connection.remove_file(connection.path(self._temporaries[-1]))
            self._temporaries.pop()

    @property
    def is_clean(self) -> bool:
        """True if the save has left nothing on the server but its file."""
        return not (self._temporaries or self._is_locked)

    def sweep(self, connection: Files) -> None:
        """Remove what broken uploads left in the directory."""
        directory = connection.path(self.directory)
        found = connection.list_like(directory, temporaries.PATTERN)
        sweep(connection, directory, found.items(), self._stored_at)

    def _publish(self, connection: Files) -> None:
        source, target = connection.path(self._temporaries[-1]), connection.path(self._key)
        connection.require_kept(target)
        if not self._overwrite:
            self._take_lock(connection)
        # Where the reply to a rename was lost, the rename may not have been.
        if not (self._was_tried and connection.find(source) is None):
            self._was_tried = True
            with self._alone(connection):
                self._rename(connection, source, target)
        self._temporaries.pop()
        self._is_published = True

    def _store(self, connection: Files, path: str) -> None:
        self._source.seek(0)
        connection.store(path, self._source)

    def _take_lock(self, connection: Files) -> None:
        """Keep other clients of this project from publishing under the same key."""
        if self._is_locked:
            return
        lock, probe = connection.path(self._lock), connection.path(beside(self._key, "lock"))
        try:
            connection.make_directory(lock)
        except REFUSED as exc:
            if told(exc) != errno.EEXIST and connection.find(lock) is None:
                # The other has finished, or none may be made at all, which this tells.
                connection.make_directory(probe)
                connection.remove_directory(probe)
            raise Refusal(errno.EEXIST, "Another client saves under this name") from exc
        self._is_locked = True

    def _alone(self, connection: Files) -> AbstractContextManager[object]:
        """Keep at least the threads of this process apart where a lock locks nothing."""
        if self._overwrite or connection.makes_directories_once(connection.path(self._lock)):
            return nullcontext()
        return temporaries.alone

    def _rename(self, connection: Files, source: str, target: str) -> None:
        if not self._overwrite and connection.find_beside(target, source):
            raise Refusal(errno.EEXIST, "The name is taken")
        try:
            connection.move(source, target)
        except REFUSED as exc:
            if not connection.find_file(target):
                raise
            if not self._overwrite:
                raise Refusal(errno.EEXIST, "The name is taken") from exc
            notice(connection.traits, STEPS_ASIDE)
            if self._aside is None:
                self._aside = Aside(target, connection.path(self._old))
            self._aside.replace(connection, source)
