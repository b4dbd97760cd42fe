"""Files on an FTP server, through Python's ftplib: plain, explicit or implicit TLS."""

# ruff: noqa: S321 - that FTP is not encrypted is told by a system check.

from __future__ import annotations

import errno
import ftplib
from collections.abc import Iterator
from dataclasses import replace

from django.core.exceptions import ImproperlyConfigured

from storages.base import Name
from storages.driver import Entry, Listed, Source, Stream
from storages.files import RemoteFile
from storages.options import derived
from storages.pool import Pool, shared
from storages.temporaries import carry_out, is_temporary, refused
from storages.utils import normalize_name

from ._ftp.connector import Connector
from ._ftp.downloads import Content
from ._ftp.errors import FTPStorageException, explain, told
from ._ftp.options import FTPOptions
from ._ftp.session import Files
from ._ftp.uploads import Upload

IDLE_TIMEOUT = 60.0  # seconds until an unused connection is closed

FTPStorageFile = RemoteFile

__all__ = ["FTPStorage", "FTPStorageException", "FTPStorageFile"]


class FTPStorage(FTPOptions):
    """Keeps files under one directory of an FTP server.

    An upload goes to a temporary name next to its own, is measured, and is then renamed.
    Connections are pooled; an open file that is being read holds one.
    """

    sdk_errors = (ftplib.Error, EOFError, UnicodeEncodeError)

    # -- connections and keys ---------------------------------------------------------------------

    @derived
    def _pool(self) -> Pool[Files]:
        for sentence in self.contradictions():
            raise ImproperlyConfigured(sentence)
        # Locations that differ in their directory alone share their connections.
        server = replace(self._server, root="")
        connector = Connector(server, self.timeout, self.encoding, self._tls)
        return shared(
            connector,
            limit=self.max_connections,
            idle_timeout=IDLE_TIMEOUT,
            wait_timeout=self.timeout,
        )

    def root(self) -> tuple[str, ...]:
        """Return host, port, user and the parts of the directory.

        Another user may see other files under the same names.
        """
        server = self._server
        place = (server.host, str(server.port), server.user or "anonymous")
        return (*place, *filter(None, server.root.split("/")))

    def key(self, name: Name, *, root: bool = False) -> str:
        """Return the path of a name on the server; relative where the location has none."""
        # The root is empty, or ends with a slash.
        return self._server.root + refused(normalize_name(name, root=root))

    # -- primitives -------------------------------------------------------------------------------

    def _stat(self, key: str) -> Entry:
        return self._pool.run(lambda connection: connection.stat(connection.path(key)))

    def _open_stream(self, key: str) -> tuple[Entry, Stream | None]:
        entry = self._pool.run(lambda connection: _measured(connection, key))
        return entry, Content(self._pool, key, 0, entry, is_fresh=True)

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        return Content(self._pool, key, start, entry, is_fresh=False)

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        upload = Upload(key, source, overwrite=overwrite)
        carry_out(
            upload,
            self._pool,
            (self._server.host, self._server.port, upload.directory),
            check=lambda: self._require_unchanged(key, expected),
            ignored=(OSError, *self.sdk_errors),
        )

    def _remove(self, key: str) -> None:
        self._pool.run(lambda connection: connection.remove(connection.path(key)))

    def _list(self, key: str) -> Iterator[Listed]:
        entries = self._pool.run(lambda connection: self._entries(connection, key))
        return ((n, each) for n, each in entries.items() if not is_temporary(n))

    def _entries(self, connection: Files, key: str) -> dict[str, Entry]:
        path = connection.path(key)
        try:
            return connection.entries(path)
        except ftplib.Error as exc:
            # The root is made by the first save.
            is_missing = key == self.key("", root=True) and told(exc) == errno.ENOENT
            if not is_missing or connection.find(path) is not None:
                raise
            return {}

    # -- errors -----------------------------------------------------------------------------------

    def _error(self, exc: Exception, name: str) -> OSError:
        error = super()._error(exc, name)
        # Python has a class of its own for the usual errnos only.
        if type(error) is not OSError:
            return error
        return FTPStorageException(error.errno, error.strerror, name)

    def _explain(self, exc: Exception) -> tuple[int, str]:
        return explain(exc, f"{self._server.host}:{self._server.port}")


def _measured(connection: Files, key: str) -> Entry:
    path = connection.path(key)
    return connection.measured(path, connection.describe(path))
