"""SFTP on any SSH server, through paramiko."""

from __future__ import annotations

import errno
import os
import posixpath
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from storages.base import Name
from storages.driver import Entry, Listed, Source
from storages.options import derived
from storages.pool import Pool, shared
from storages.temporaries import carry_out, is_temporary, refused
from storages.utils import sdk_missing

try:
    from paramiko import sftp
except ImportError as exc:
    raise sdk_missing("sftp", exc) from exc

from ._sftp.connector import Connector
from ._sftp.downloads import Download
from ._sftp.options import SFTPOptions
from ._sftp.session import Session
from ._sftp.uploads import Rights, Upload

IDLE_TIMEOUT = 60  # seconds until a connection nobody uses is closed


class SFTPStorage(SFTPOptions):
    """Stores files under a directory of an SSH server.

    A file is written under a temporary name next to its own, and renamed when it is whole.
    """

    # -- connections ------------------------------------------------------------------------------

    @derived
    def _pool(self) -> Pool[Session]:
        if problem := next(self.contradictions(), None):
            raise ImproperlyConfigured(problem)
        connector = Connector(
            self.host,
            dict(self.params),
            interactive=self.interactive,
            policy=self.host_key_policy,
            # Without a home this stays as it is, and pinned keys work.
            known_hosts=Path(os.path.expanduser(self.known_host_file)),  # noqa: PTH111
            host_keys=tuple(self.host_keys),
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

    def key(self, name: Name, *, root: bool = False) -> str:
        """Return the path of a name, from the root or from where a login starts."""
        key = refused(super().key(name, root=root))
        path = posixpath.join(self.root_path.replace("\\", "/"), key)
        return path or "."

    # -- primitives -------------------------------------------------------------------------------

    def _stat(self, key: str) -> Entry:
        return self._pool.run(lambda session: session.measured(key)).entry()

    def _read(self, key: str, start: int, entry: Entry) -> Download:
        with ExitStack() as stack:
            session = stack.enter_context(self._pool.lease())
            handle = session.open(key, sftp.SFTP_FLAG_READ)
            found = session.fstat(handle, key)
            if found.size is None:
                # Whoever told the size had to read the file.
                found = found._replace(size=entry.size)
            if found.entry().etag != entry.etag:
                session.close(handle)
                raise OSError(errno.ESTALE, "The file was replaced while it was read")
            return Download(session, handle, start, entry.size, stack.pop_all())

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        rights = Rights(self.file_mode, self.dir_mode, self.uid, self.gid)
        upload = Upload(key, source, rights, overwrite=overwrite)
        carry_out(
            upload,
            self._pool,
            (self.host, self.params.get("port"), upload.directory),
            check=lambda: self._require_unchanged(key, expected),
            ignored=(OSError,),
        )

    def _remove(self, key: str) -> None:
        self._pool.run(lambda session: _remove(session, key))

    def _list(self, key: str) -> Iterator[Listed]:
        try:
            yield from self._pool.run(lambda session: _listed(session, key))
        except FileNotFoundError:
            # The first save makes the root, and until then it is empty.
            if key != self.key("", root=True):
                raise


def _remove(session: Session, path: str) -> None:
    """Remove a file, or a directory if it is empty, as Django's own storage does."""
    try:
        session.remove_file(path)
    except FileNotFoundError:
        raise
    except session.refusals:
        if not session.lookup(path).is_directory:
            raise
        try:
            session.remove_directory(path)
        except (PermissionError, FileNotFoundError):
            raise
        except session.refusals as exc:
            raise OSError(errno.ENOTEMPTY, "The directory is not empty: delete its files") from exc


def _listed(session: Session, path: str) -> list[Listed]:
    found: list[Listed] = []
    for name, attributes in session.scan(path):
        target = attributes
        if not target.is_told:
            with suppress(*session.refusals):
                target = session.measured(posixpath.join(path, name))
        if not is_temporary(name):
            found.append((name, target.entry()))
    return found
