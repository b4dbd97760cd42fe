"""SFTP on any SSH server, through paramiko."""

from __future__ import annotations

import errno
import posixpath
import time
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from django.core.exceptions import ImproperlyConfigured

from storages.base import Name
from storages.files import Entry, Source
from storages.pool import Pool, shared
from storages.utils import sdk_missing

try:
    from paramiko import sftp
except ImportError as exc:
    raise sdk_missing("sftp", exc) from exc

from ._sftp_connect import Connector
from ._sftp_download import Download
from ._sftp_messages import Attributes
from ._sftp_options import SFTPOptions
from ._sftp_session import Session
from ._sftp_upload import STALE, SWEPT, Rights, Upload, is_temporary

IDLE_TIMEOUT = 60  # seconds until a connection nobody uses is closed


class SFTPStorage(SFTPOptions):
    """Stores files under a directory of an SSH server.

    A file is written under a temporary name next to its own, and renamed when it is whole.
    """

    sdk_errors = (OSError,)
    volatile: ClassVar[frozenset[str]] = frozenset({"_swept"})

    def _explain(self, exc: Exception) -> tuple[int, str]:
        assert isinstance(exc, OSError)
        return exc.errno or errno.EIO, exc.strerror or str(exc)

    # -- connections ------------------------------------------------------------------------------

    @property
    def _pool(self) -> Pool[Session]:
        if problem := next(self.contradictions(), None):
            raise ImproperlyConfigured(problem)
        connector = Connector(
            self.host,
            dict(self.params),
            interactive=self.interactive,
            policy=self.host_key_policy,
            known_hosts=Path(self.known_host_file).expanduser(),
            timeout=self.timeout,
        )
        # A socket that was made elsewhere serves one connection.
        lone = connector.params.get("sock") is not None and not callable(connector.params["sock"])
        return shared(
            connector,
            limit=1 if lone else self.max_connections,
            idle_timeout=IDLE_TIMEOUT,
            wait_timeout=self.timeout,
        )

    def close(self) -> None:
        """Close the connections of this storage and of those with equal options."""
        self._pool.close()

    def key(self, name: Name, *, root: bool = False) -> str:
        """Return the path of a name, from the root or from where a login starts."""
        path = posixpath.join(self.root_path.replace("\\", "/"), super().key(name, root=root))
        return path or "."

    # -- primitives -------------------------------------------------------------------------------

    def _stat(self, key: str) -> Entry:
        return _entry(self._pool.run(lambda session: session.lookup(key)))

    def _read(self, key: str, start: int, entry: Entry) -> Download:
        with ExitStack() as stack:
            session = stack.enter_context(self._pool.lease())
            handle = session.open(key, sftp.SFTP_FLAG_READ)
            if _entry(session.fstat(handle)).etag != entry.etag:
                session.close(handle)
                raise OSError(errno.ESTALE, "The file was replaced while it was read")
            return Download(session, handle, start, entry.size, stack.pop_all())

    def _write(self, key: str, source: Source, *, overwrite: bool) -> None:
        rights = Rights(self.file_mode, self.dir_mode, self.uid, self.gid)
        upload = Upload(key, source, rights, overwrite=overwrite)
        pool = self._pool
        pool.run(upload.write)
        pool.run(upload.publish)
        if self._is_unswept(upload.directory):
            with suppress(OSError):
                pool.run(upload.sweep)

    def _remove(self, key: str) -> None:
        self._pool.run(lambda session: _remove(session, key))

    def _list(self, key: str) -> tuple[list[str], list[str]]:
        try:
            return self._pool.run(lambda session: _listed(session, key))
        except FileNotFoundError:
            # The first save makes the root, and until then it is empty.
            if key == self.key("", root=True):
                return [], []
            raise

    @cached_property
    def _swept(self) -> dict[str, float]:
        return {}

    def _is_unswept(self, directory: str) -> bool:
        """Tell, once an hour, that what broken uploads left in a directory is to be removed."""
        now = time.monotonic()
        if now - self._swept.get(directory, -STALE) < STALE:
            return False
        if len(self._swept) >= SWEPT:
            self._swept.clear()
        self._swept[directory] = now
        return True


def _entry(found: Attributes) -> Entry:
    return Entry(
        found.size or 0,
        modified=_moment(found.modified),
        accessed=_moment(found.accessed),
        etag=f"{found.modified}-{found.size}",
        is_directory=found.is_directory,
    )


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)


def _remove(session: Session, path: str) -> None:
    """Remove a file, or a directory if it is empty, as Django's own storage does."""
    try:
        session.remove(path)
    except FileNotFoundError:
        raise
    except OSError:
        if not session.lookup(path).is_directory:
            raise
        try:
            session.remove_directory(path)
        except PermissionError:
            raise
        except OSError as exc:
            raise OSError(errno.ENOTEMPTY, "The directory is not empty: delete its files") from exc


def _listed(session: Session, path: str) -> tuple[list[str], list[str]]:
    directories: list[str] = []
    files: list[str] = []
    for name, attributes in session.scan(path):
        found = attributes
        if found.is_link:
            with suppress(OSError):
                found = session.lookup(posixpath.join(path, name))
        if not is_temporary(name):
            (directories if found.is_directory else files).append(name)
    return directories, files
