"""Files on an FTP server, through Python's ftplib: plain, explicit or implicit TLS."""

# ruff: noqa: S321 - that FTP is not encrypted is told by a system check.

from __future__ import annotations

import codecs
import errno
import ftplib
import hashlib
import itertools
import os
import posixpath
import re
import socket
import ssl
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime

from django.core.exceptions import ImproperlyConfigured

from storages.base import BaseStorage, Name
from storages.driver import Entry, Listed, Source, Stream
from storages.files import RemoteFile
from storages.options import option, positional
from storages.pool import Pool, shared
from storages.sweeping import STALE, corrected, is_due
from storages.utils import is_loopback, normalize_name, shown

from ._ftp.connection import Refusal, errno_of
from ._ftp.downloads import Content
from ._ftp.location import Location, check, parse, without_user_info
from ._ftp.session import Connector, Files, made

IDLE_TIMEOUT = 60.0  # seconds until an unused connection is closed

FTPStorageFile = RemoteFile

# Uploads under way and locks; a listing leaves them out.
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.(part|lock)")


class FTPStorageException(OSError):
    """Raised for what an FTP server refuses, where Python has no class for its errno."""


def _check_encoding(value: str) -> None:
    try:
        codecs.lookup(value)
    except LookupError:
        raise ValueError("must be the name of an encoding that Python knows.") from None


def _check_positive(value: float) -> None:
    if value <= 0:
        raise ValueError("must be more than 0.")


class FTPStorage(BaseStorage):
    """Keeps files under one directory of an FTP server.

    An upload goes to a temporary name next to its own, is measured, and is then renamed.
    Connections are pooled; an open file that is being read holds one.
    """

    location: str = positional(
        "FTP_STORAGE_LOCATION",
        "LOCATION",
        default=None,
        required=True,
        kw_only=False,
        secret=without_user_info,
        check=check,
        doc="URL of the server and of the directory on it. See the forms above.",
    )
    base_url: str | None = positional(
        "BASE_URL",
        "FTP_STORAGE_BASE_URL",
        "MEDIA_URL",
        default=None,
        kw_only=False,
        doc="URL under which a web server serves the same files.",
    )
    encoding: str | None = option(
        "FTP_STORAGE_ENCODING",
        check=_check_encoding,
        doc="How names are encoded: by default UTF-8 where the server offers it, else latin-1.",
    )
    timeout: float = option(
        "FTP_STORAGE_TIMEOUT",
        default=30.0,
        check=_check_positive,
        doc="Seconds to wait for the server, at each step, or for a free connection.",
    )
    ssl_context: ssl.SSLContext | Callable[[], ssl.SSLContext] | None = option(
        "FTP_STORAGE_SSL_CONTEXT",
        secret=True,
        doc="TLS settings, such as an authority of your own, or a function that makes them once. "
        "By default certificates are checked against the system's authorities.",
    )
    max_connections: int = option(
        "FTP_STORAGE_MAX_CONNECTIONS",
        default=8,
        check=_check_positive,
        doc="Connections that one process opens at most; more threads wait.",
    )
    file_overwrite: bool = option(
        "FTP_ALLOW_OVERWRITE",
        default=False,
        doc="Save over a file of the same name instead of finding a free name.",
    )
    allow_overwrite: bool = option(alias_of="file_overwrite")

    sdk_errors = (ftplib.Error, EOFError, UnicodeEncodeError)

    def contradictions(self) -> Iterator[str]:
        """Yield a sentence for each pair of options that cannot both hold."""
        yield from super().contradictions()
        if self.ssl_context is not None and not self._server.tls:
            yield (
                "The option 'ssl_context' (setting FTP_STORAGE_SSL_CONTEXT) has no effect on the "
                f"'location' (setting FTP_STORAGE_LOCATION): {self._server.scheme}:// has no TLS, "
                "use ftps:// or drop the context."
            )

    def insecurities(self) -> Iterator[str]:
        """Yield a sentence for each setting that is unsafe in production."""
        yield from super().insecurities()
        context = self._tls
        if not (self._server.tls or is_loopback(self._server.host)):
            yield (
                "The option 'location' (setting FTP_STORAGE_LOCATION) begins with "
                f"{self._server.scheme}://, which sends the password and all files unencrypted: "
                "use ftps:// where the server offers it."
            )
        elif context is not None and not (context.check_hostname and context.verify_mode):
            yield (
                "The option 'ssl_context' (setting FTP_STORAGE_SSL_CONTEXT) does not verify the "
                "server's certificate and host name: load your authority into a context of "
                "ssl.create_default_context() instead."
            )

    # -- client and keys --------------------------------------------------------------------------

    @property
    def _server(self) -> Location:
        return parse(self.location)

    @property
    def _tls(self) -> ssl.SSLContext | None:
        context = self.ssl_context or ssl.create_default_context
        if not self._server.tls:
            return None
        return context if isinstance(context, ssl.SSLContext) else made(context)

    @property
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

    def close(self) -> None:
        """Close the idle connections of this process to the location."""
        self._pool.close()

    def root(self) -> tuple[str, ...]:
        """Return host, port and the parts of the directory."""
        server = self._server
        return (server.host, str(server.port), *filter(None, server.root.split("/")))

    def key(self, name: Name, *, root: bool = False) -> str:
        """Return the path of a name on the server; relative where the location has none."""
        return posixpath.join(self._server.root, normalize_name(name, root=root))

    # -- primitives -------------------------------------------------------------------------------

    def _stat(self, key: str) -> Entry:
        return self._pool.run(lambda connection: connection.describe(connection.path(key)))

    def _open_stream(self, key: str) -> tuple[Entry, Stream | None]:
        entry = self._stat(key)
        return entry, Content(self._pool, key, 0, entry, is_fresh=True)

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        return Content(self._pool, key, start, entry, is_fresh=False)

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        temporaries: list[str] = []
        try:
            now = self._pool.run(lambda connection: _upload(connection, key, source, temporaries))
            self._require_unchanged(key, expected)
            if overwrite:
                self._rename(temporaries[-1], key, overwrite=True)
            else:
                with self._locked(key):
                    self._rename(temporaries[-1], key, overwrite=False)
            temporaries.pop()
        finally:
            for temporary in temporaries:
                self._clean("DELE", temporary)
        directory = posixpath.dirname(key)
        if now and is_due((self._server.host, self._server.port, directory)):
            self._sweep(directory, now - STALE)

    def _remove(self, key: str) -> None:
        self._pool.run(lambda connection: connection.remove(connection.path(key)))

    def _list(self, key: str) -> Iterator[Listed]:
        entries = self._pool.run(lambda connection: self._entries(connection, key))
        return ((n, each) for n, each in entries.items() if not _TEMPORARY.fullmatch(n))

    def _entries(self, connection: Files, key: str) -> dict[str, Entry]:
        path = connection.path(key)
        # The root is made by the first save.
        if key == self.key("", root=True) and connection.find(path) is None:
            return {}
        return connection.entries(path)

    # -- publishing -------------------------------------------------------------------------------

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Keep other clients of this project from publishing under the same key.

        FTP cannot create a file exclusively, but a directory it can.
        """
        digest = hashlib.sha256(posixpath.basename(key).encode()).hexdigest()
        lock = posixpath.join(posixpath.dirname(key), f".{digest[:32]}.lock")
        probe = _temporary(key)
        self._pool.run(lambda c: c.lock(c.path(lock), c.path(probe)))
        try:
            yield
        finally:
            self._clean("RMD", lock)

    def _rename(self, temporary: str, key: str, *, overwrite: bool) -> None:
        attempts = itertools.count()

        def rename(connection: Files) -> None:
            source, target = connection.path(temporary), connection.path(key)
            # Where the reply to a rename was lost, the rename may not have been.
            if next(attempts) and connection.find(source) is None:
                return
            if not overwrite and connection.find(target) is not None:
                raise Refusal(errno.EEXIST, "The name is taken")
            aside = connection.path(_temporary(key))
            connection.put_in_place(source, target, aside, overwrite=overwrite)

        self._pool.run(rename)

    def _sweep(self, directory: str, oldest: datetime) -> None:
        """Remove what broken uploads left in a directory before a time of the server's clock."""
        with suppress(OSError, *self.sdk_errors):
            entries = self._pool.run(lambda c: c.entries(c.path(directory)))
            for name in filter(_TEMPORARY.fullmatch, entries):
                if (modified := entries[name].modified) and modified < oldest:
                    command = "RMD" if entries[name].is_directory else "DELE"
                    self._clean(command, posixpath.join(directory, name))

    def _clean(self, command: str, key: str) -> None:
        with suppress(OSError, *self.sdk_errors), self._pool.lease() as connection:
            connection.ask(command, connection.path(key))

    # -- errors -----------------------------------------------------------------------------------

    def _error(self, exc: Exception, name: str) -> OSError:
        error = super()._error(exc, name)
        # Python has a class of its own for the usual errnos only.
        if type(error) is not OSError:
            return error
        return FTPStorageException(error.errno, error.strerror, name)

    def _explain(self, exc: Exception) -> tuple[int, str]:
        if isinstance(exc, Refusal):
            return exc.code, str(exc)
        if isinstance(exc, ftplib.Error):
            return self._explain_reply(exc)
        if isinstance(exc, UnicodeEncodeError):
            return errno.EILSEQ, f"The name has no form in {exc.encoding}: set 'encoding'"
        if isinstance(exc, ssl.SSLCertVerificationError):
            return errno.EPROTO, (
                f"The server's certificate is refused ({exc.verify_message}): mend it, or give "
                "your own authority in 'ssl_context'"
            )
        return self._explain_lost(exc)

    def _explain_reply(self, exc: ftplib.Error) -> tuple[int, str]:
        reply = str(exc)
        if reply.startswith("53"):
            return errno.EACCES, (
                "The FTP server refuses the login: check user and password in 'location'"
            )
        code = errno_of(exc)
        return code, f"{os.strerror(code)}; the FTP server says {shown(reply)}"

    def _explain_lost(self, exc: Exception) -> tuple[int, str]:
        server = f"{self._server.host}:{self._server.port}"
        if isinstance(exc, ssl.SSLError):
            return errno.EPROTO, f"TLS with {server} failed: {exc.reason}"
        if isinstance(exc, socket.gaierror):
            return errno.EHOSTUNREACH, f"The host of {server} is not known: check 'location'"
        code = getattr(exc, "errno", None)
        if isinstance(exc, TimeoutError) and code is None:
            return errno.ETIMEDOUT, f"{server} did not answer in time: see 'timeout'"
        text = getattr(exc, "strerror", None) or "The connection was lost"
        return code or errno.ECONNRESET, f"{text} ({server})"


def _temporary(key: str) -> str:
    """Return a key next to another that nobody can guess."""
    return posixpath.join(posixpath.dirname(key), f".{uuid.uuid4().hex}.part")


def _upload(connection: Files, key: str, source: Source, temporaries: list[str]) -> datetime | None:
    """Store the content under a new temporary key, appended to the list before anything is sent.

    Returns the time by the server's clock, None if it keeps none.
    """
    temporaries.append(_temporary(key))
    path = connection.path(temporaries[-1])
    source.seek(0)
    try:
        connection.store(path, source)
    except ftplib.error_perm as exc:
        if errno_of(exc) == errno.ENOSPC:
            raise
        connection.make_directories(posixpath.dirname(path))
        source.seek(0)
        connection.store(path, source)
    stored = connection.describe(path)
    if stored.size != source.size:
        # A lost connection, as far as one can tell, after which another may do better.
        raise ConnectionAbortedError(
            errno.ECONNABORTED, f"The FTP server stored {stored.size} of {source.size} bytes"
        )
    if moment := corrected(stored.modified):
        connection.set_modified(path, moment)
    return stored.modified
