"""Dropbox, through its SDK."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from storages.base import Name
from storages.clients import SharedClients
from storages.driver import Entry, Listed, Source, Stream
from storages.files import RemoteFile
from storages.options import derived
from storages.utils import RefusedName, normalize_name, sdk_missing, shown

try:
    from dropbox.dropbox_client import PATH_ROOT_HEADER, SELECT_USER_HEADER
    from dropbox.exceptions import ApiError
    from dropbox.files import FolderMetadata
    from requests import Session
except ImportError as exc:
    raise sdk_missing("dropbox", exc) from exc

from storages.http import new_session, ranged_body

from ._dropbox.downloads import Check, Download
from ._dropbox.errors import ERRORS, explain, says
from ._dropbox.listings import DropboxEntry, entry_of, list_folder, walk_folder
from ._dropbox.options import PSEUDO_PATH, DropBoxOptions, check_expire, path_root_header
from ._dropbox.session import ATTEMPTS, Client
from ._dropbox.uploads import PART, Upload

DropBoxFile = RemoteFile

_clients: SharedClients[Client] = SharedClients()


class DropBoxStorageException(OSError):
    """Raised for what Dropbox refuses, where Python has no class for its errno."""


class DropBoxStorage(DropBoxOptions):
    """Files in a folder of a Dropbox account."""

    sdk_errors = ERRORS
    unasked_size = PART

    def _error(self, exc: Exception, name: str) -> OSError:
        error = super()._error(exc, name)
        # Python has a class of its own for the usual errnos only.
        if type(error) is not OSError:
            return error
        return DropBoxStorageException(error.errno, error.strerror, name)

    def _explain(self, exc: Exception) -> tuple[int, str]:
        # What requests raises is an OSError too, without an errno.
        return explain(exc) if isinstance(exc, ERRORS) else super()._explain(exc)

    # -- client -----------------------------------------------------------------------------------

    @property
    def client(self) -> Client:
        """The SDK's client, shared by all storages of one configuration."""
        return _clients.get(self._configuration, self._connect)

    def make_session(self) -> Session:
        """Return the session for the client's requests; a subclass may add adapters to it."""
        return new_session(verify=self.ca_certs or True)

    def close(self) -> None:
        """Close the idle connections of the shared client; it opens new ones when used again."""
        self.client.close()

    @derived
    def _configuration(self) -> tuple[Any, ...]:
        values = (getattr(self, name) for name in self.client_options)
        return (type(self).make_session, *values)

    def _connect(self) -> Client:
        for sentence in self.contradictions():
            raise ImproperlyConfigured(f"{type(self).__name__}: {sentence}")
        headers = {}
        if self.path_root is not None:
            headers[PATH_ROOT_HEADER] = path_root_header(self.path_root)
        if self.select_user is not None:
            headers[SELECT_USER_HEADER] = self.select_user
        return Client(
            max_wait=self.max_wait,
            oauth2_access_token=self.oauth2_access_token,
            oauth2_refresh_token=self.oauth2_refresh_token,
            app_key=self.app_key,
            app_secret=self.app_secret,
            timeout=self.timeout,
            headers=headers,
            session=self.make_session(),
            user_agent="django-storages",
        )

    # -- names ------------------------------------------------------------------------------------

    def key(self, name: Name, *, root: bool = False) -> str:
        """Return the key of a name; refuses those that the API would take for something else."""
        if PSEUDO_PATH.match(text := normalize_name(name, root=root)):
            raise RefusedName(
                f"The name {shown(text)} begins as an id of Dropbox's does: choose another."
            )
        return super().key(name, root=root)

    def _path(self, key: str) -> str:
        """Return the path of a key: within the root, ``""`` for the root of the account."""
        root = normalize_name(self.root_path.lstrip("/\\"), root=True)
        return "".join(f"/{each}" for each in (root, key) if each)

    # -- primitives -------------------------------------------------------------------------------

    def _stat(self, key: str) -> Entry:
        return entry_of(self.client.files_get_metadata(self._path(key)))

    def _open_stream(self, key: str) -> tuple[Entry, Stream | None]:
        """Ask for the content at once: the answer says what a look at the file would."""
        return self._download(self._path(key), 0, None)

    def _read(self, key: str, start: int, entry: Entry) -> Stream:  # noqa: ARG002
        try:
            # A revision stays what it is, whatever takes its name.
            found, stream = self._download(f"rev:{entry.etag}", start, entry)
        except ApiError as exc:
            if not says(exc, "not_found"):
                raise
            raise OSError(errno.ESTALE, "The file was replaced while it was read") from exc
        if (found.etag, found.size) != (entry.etag, entry.size):
            stream.close()
            raise OSError(errno.ESTALE, "The file was replaced while it was read")
        return stream

    def _download(
        self, path: str, start: int, entry: Entry | None
    ) -> tuple[DropboxEntry, Download]:
        # Compressed on its way, the content would have another length.
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        metadata, response = self.client.files_download(path, extra_headers=headers)
        found = entry_of(metadata)
        check = getattr(entry, "check", None) or Check(found.content_hash, found.size)
        body = ranged_body(response, start, found.size, patience=self.timeout)
        return replace(found, check=check), Download(body, check, start)

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        if overwrite and expected is None and self.write_mode == "update":
            expected = self._current(key)
            overwrite = expected is not None
        upload = Upload(
            self.client,
            source,
            self._path(key),
            overwrite=overwrite,
            revision=None if expected is None else expected.etag,
        )
        try:
            upload.run()
        except ApiError as exc:
            if overwrite and says(exc, "folder"):
                raise IsADirectoryError(errno.EISDIR, "It is a folder") from exc
            if expected is not None and says(exc, "conflict") and not says(exc, "file_ancestor"):
                raise OSError(
                    errno.ESTALE, "The file was replaced while it was changed: open it anew"
                ) from exc
            raise

    def _current(self, key: str) -> Entry | None:
        """Return what is at a key, None if there is nothing."""
        try:
            return self._stat(key)
        except ApiError as exc:
            if not says(exc, "not_found"):
                raise
            return None

    def _remove(self, key: str) -> None:
        path = self._path(key)
        for attempt in range(ATTEMPTS):
            found = self.client.files_get_metadata(path)
            if isinstance(found, FolderMetadata):
                # Dropbox would remove it with all that is in it.
                raise OSError(errno.EISDIR, "It is a folder: remove it in Dropbox")
            try:
                # The revision keeps a file that takes the name meanwhile from being removed.
                self.client.files_delete_v2(path, parent_rev=found.rev)
            except ApiError as exc:
                if not says(exc, "conflict") or attempt == ATTEMPTS - 1:
                    raise
            else:
                return

    def _list(self, key: str) -> Iterator[Listed]:
        return self._listed(key, list_folder(self.client, self._path(key)))

    def _walk(self, key: str) -> Iterator[Listed]:
        return self._listed(key, walk_folder(self.client, self._path(key)))

    def _listed(self, key: str, found: Iterator[Listed]) -> Iterator[Listed]:
        """Yield what a listing finds; the root, which the first save makes, may be missing."""
        is_begun = False
        try:
            for each in found:
                is_begun = True
                yield each
        except ApiError as exc:
            if is_begun or not says(exc, "not_found") or key != self.key("", root=True):
                raise

    # -- URLs -------------------------------------------------------------------------------------

    def url(
        self,
        name: Name | None,
        expire: int | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Return a temporary link to a file that is there, or its public URL under ``base_url``.

        A link lives four hours, whatever part of them ``expire`` asks for in seconds; more is a
        ValueError, and so are ``parameters``, of which links have none.
        """
        if expire is not None:
            try:
                check_expire(expire)
            except ValueError as exc:
                raise ValueError(f"expire {exc}") from None
        if parameters:
            raise ValueError("Dropbox's links take no parameters.")
        if self._public_base is not None:
            return super().url(name)
        name = self._url_name(name)
        with self._errors(name):
            link = self.client.files_get_temporary_link(self._path(self.key(name)))
        return str(link.link)


DropboxStorage = DropBoxStorage
