"""SFTP on any SSH server, through paramiko."""

from __future__ import annotations

import errno
import posixpath
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any, ClassVar, Literal

from django.core.exceptions import ImproperlyConfigured

from storages.base import BaseStorage, Name
from storages.files import Entry, Source
from storages.options import UNSET, option, positional
from storages.pool import Pool, shared
from storages.utils import sdk_missing

try:
    from paramiko import SSHClient, sftp
except ImportError as exc:
    raise sdk_missing("sftp", exc) from exc

from ._sftp_connect import Connector
from ._sftp_session import Attributes, Download, Session
from ._sftp_upload import STALE, SWEPT, Rights, Upload, is_temporary

IDLE_TIMEOUT = 60  # seconds until a connection nobody uses is closed

_SECRETS = frozenset({"password", "passphrase", "pkey", "sock", "auth_strategy"})
_PARAMS = frozenset(signature(SSHClient.connect).parameters) - {"self", "hostname"}


def _without_secrets(params: Mapping[str, Any]) -> Any:
    safe = {name: value for name, value in params.items() if name not in _SECRETS}
    return params if len(safe) == len(params) else safe or UNSET


def _check_params(params: Mapping[str, Any]) -> None:
    if unknown := sorted(params.keys() - _PARAMS):
        raise ValueError(f"must not have {unknown[0]!r}: paramiko's connect() does not take it")


def _check_mode(mode: int) -> None:
    if not 0 <= mode <= 0o7777:
        raise ValueError("must be a mode such as 0o644")


def _check_id(number: int) -> None:
    if not 0 <= number < 1 << 32:
        raise ValueError("must be from 0 to 4294967295")


class SFTPStorage(BaseStorage):
    """Stores files under a directory of an SSH server.

    A file is written under a temporary name next to its own, and renamed when it is whole.
    """

    host: str = positional(
        "SFTP_STORAGE_HOST",
        default=None,
        required=True,
        kw_only=False,
        doc="Name or address of the server.",
    )
    params: Mapping[str, Any] = positional(
        "SFTP_STORAGE_PARAMS",
        default={},
        secret=_without_secrets,
        check=_check_params,
        kw_only=False,
        doc="Arguments of paramiko's ``SSHClient.connect()`` but the host: ``port``, ``username``, "
        "``password``, ``key_filename``, ``pkey``, ``passphrase`` and so on. ``sock`` may be a "
        "callable that makes a socket. The SSH agent and the keys in ``~/.ssh`` are tried only "
        "where no password and no key is given.",
    )
    interactive: bool = positional(
        "SFTP_STORAGE_INTERACTIVE",
        default=False,
        kw_only=False,
        doc="Ask for a password where the login is refused and there is a terminal.",
    )
    file_mode: int | None = positional(
        "SFTP_STORAGE_FILE_MODE",
        default=None,
        check=_check_mode,
        kw_only=False,
        doc="Mode of new files, such as 0o644; the server's umask decides where it is not set.",
    )
    dir_mode: int | None = positional(
        "SFTP_STORAGE_DIR_MODE",
        default=None,
        check=_check_mode,
        kw_only=False,
        doc="Mode of new directories, on every level.",
    )
    uid: int | None = positional(
        "SFTP_STORAGE_UID",
        default=None,
        check=_check_id,
        kw_only=False,
        doc="Owner of new files and directories, a number.",
    )
    gid: int | None = positional(
        "SFTP_STORAGE_GID",
        default=None,
        check=_check_id,
        kw_only=False,
        doc="Group of new files and directories, a number.",
    )
    known_host_file: str | Path = positional(
        "SFTP_KNOWN_HOST_FILE",
        default="~/.ssh/known_hosts",
        kw_only=False,
        doc="File with the keys of known hosts, in OpenSSH's format.",
    )
    root_path: str = positional(
        "SFTP_STORAGE_ROOT",
        default="",
        kw_only=False,
        doc="Directory of all files, absolute or relative to where a login starts; ``location`` "
        "is a prefix under it.",
    )
    base_url: str | None = option(
        "SFTP_BASE_URL",
        "MEDIA_URL",
        doc="URL under which the files are served.",
    )
    host_key_policy: Literal["reject", "warn", "auto"] = option(
        "SFTP_HOST_KEY_POLICY",
        default="reject",
        doc="What to do with the key of an unknown host: refuse it, accept it with a warning, or "
        "write it to ``known_host_file`` too. A key that changed is refused in any case.",
    )
    timeout: float = option(
        "SFTP_STORAGE_TIMEOUT",
        default=30.0,
        doc="Seconds to wait for the server, each time that it has something to answer.",
    )
    max_connections: int = option(
        "SFTP_MAX_CONNECTIONS",
        default=8,
        doc="Connections of a process at most; a file being read has one for itself.",
    )

    sdk_errors = (OSError,)
    volatile: ClassVar[frozenset[str]] = frozenset({"_swept"})

    def contradictions(self) -> Iterator[str]:
        """Yield what cannot be: so far, waiting for no time or by no connection."""
        if self.timeout <= 0:
            yield "The option 'timeout' (setting SFTP_STORAGE_TIMEOUT) must be above 0."
        if self.max_connections < 1:
            yield "The option 'max_connections' (setting SFTP_MAX_CONNECTIONS) must be above 0."

    def insecurities(self) -> Iterator[str]:
        """Yield what lets others read over the shoulder, or write."""
        if self.host_key_policy != "reject":
            yield (
                "The option 'host_key_policy' (setting SFTP_HOST_KEY_POLICY) accepts unknown "
                "hosts, which may be anyone: use 'reject'."
            )
        for name in ("file_mode", "dir_mode"):
            if (getattr(self, name) or 0) & 0o002:
                yield (
                    f"The option '{name}' (setting SFTP_STORAGE_{name.upper()}) lets everyone on "
                    "the server write."
                )

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
