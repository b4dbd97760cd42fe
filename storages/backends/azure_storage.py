"""Azure Blob Storage, through azure-storage-blob."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from storages.base import Name
from storages.clients import SharedClients
from storages.driver import Driver, Entry, Listed, Source, Stream
from storages.files import RemoteFile
from storages.reader import READ_AHEAD
from storages.staticfiles import LazyManifest
from storages.utils import public_url, sdk_missing

try:
    from azure.core.exceptions import HttpResponseError
    from azure.storage.blob import ContentSettings, StandardBlobTier
except ImportError as exc:
    raise sdk_missing("azure", exc) from exc

from ._azure.connector import AzureConnector
from ._azure.copies import LIFE, MOST, copied
from ._azure.downloads import begin, download
from ._azure.errors import ERRORS, NO_FILE, code_of, explain
from ._azure.listings import DIRECTORY, entry_of, listed
from ._azure.options import check_expire
from ._azure.uploads import CONTENT_SETTINGS, UPLOAD_PARAMETERS, Upload, check_parameters
from ._azure.urls import MAX_EXPIRE, DelegationKeys, signature
from ._azure.urls import check_parameters as check_url_parameters

AzureStorageFile = RemoteFile

#: What no name of metadata has on Azure: those are identifiers. Other services take hyphens.
_NO_WORD = re.compile(r"^(?=[0-9])|[^A-Za-z0-9_]")

_delegation_keys: SharedClients[DelegationKeys] = SharedClients()


class AzureStorage(AzureConnector):
    """Files as block blobs of a container."""

    sdk_errors = ERRORS
    keeps_encoding = True

    def get_object_parameters(self, name: str) -> dict[str, Any]:
        """Return what is stored with a file of a name; a subclass may add to it per file."""
        parameters = self.object_parameters
        found = dict(parameters(name) if callable(parameters) else parameters)
        try:
            check_parameters(found)
        except ValueError as exc:
            raise ImproperlyConfigured(f"{type(self).__name__}: object_parameters {exc}") from None
        return ({"cache_control": self.cache_control} if self.cache_control else {}) | found

    # -- primitives -------------------------------------------------------------------------------

    def _stat(self, key: str) -> Entry:
        try:
            return entry_of(self._blob(key).get_blob_properties())
        except HttpResponseError as exc:
            if code_of(exc) not in {"BlobNotFound", "PathNotFound"}:
                raise
        if any(islice(self.client.list_blob_names(name_starts_with=f"{key}/"), 1)):
            return DIRECTORY
        raise FileNotFoundError(*NO_FILE)

    def _open_stream(self, key: str) -> tuple[Entry, Stream | None]:
        """Get the first block, which brings the properties."""
        return begin(self._blob(key), READ_AHEAD, self.timeout)

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        return download(self._blob(key), start, entry, self.timeout)

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        Upload(
            self._blob(key),
            source,
            self._upload_arguments(key, source),
            self.upload_max_conn,
            overwrite,
            expected,
        ).run()

    def _remove(self, key: str) -> None:
        self._blob(key).delete_blob()

    def _copy(self, origin: Driver, source_key: str, entry: Entry, key: str) -> bool:
        if not isinstance(origin, AzureStorage) or origin.account != self.account:
            return False
        name = key[len(self.key("", root=True)) :].lstrip("/")
        # What the options say of a file would be lost.
        if entry.size > MOST or not self.account.key or self.get_object_parameters(name):
            return False
        place = (origin.azure_container, source_key)
        query = signature(self.account, None, place, expire=LIFE, mode="r", parameters={})
        url = origin.client.get_blob_client(source_key).url
        return copied(self._blob(key), f"{url}?{query}", entry)

    def _list(self, key: str) -> Iterator[Listed]:
        prefix = f"{key}/" if key else ""
        yield from listed(
            self.client.walk_blobs(name_starts_with=prefix, include=["metadata"]), prefix
        )

    def _walk(self, key: str) -> Iterator[Listed]:
        prefix = f"{key}/" if key else ""
        found = self.client.list_blobs(name_starts_with=prefix, include=["metadata"])
        for name, entry in listed(found, prefix):
            if entry is not DIRECTORY:
                yield name, entry

    def _upload_arguments(self, key: str, source: Source) -> dict[str, Any]:
        name = key[len(self.key("", root=True)) :].lstrip("/")
        parameters = self.get_object_parameters(name)
        settings = {each: parameters[each] for each in CONTENT_SETTINGS if each in parameters}
        kept = {each.replace("-", "_"): value for each, value in source.headers.items()}
        settings = {"content_type": source.content_type, **settings}
        settings |= {each: value for each, value in kept.items() if each in CONTENT_SETTINGS}
        others = {each: parameters[each] for each in UPLOAD_PARAMETERS if each in parameters}
        if tier := others.get("standard_blob_tier"):
            others["standard_blob_tier"] = StandardBlobTier(tier)
        if source.metadata:
            others["metadata"] = {
                _NO_WORD.sub("_", name): value for name, value in source.metadata.items()
            }
        return {"content_settings": ContentSettings(**settings), **others}

    def _explain(self, exc: Exception) -> tuple[int, str]:
        return explain(exc, self.account.host) if isinstance(exc, ERRORS) else super()._explain(exc)

    # -- URLs -------------------------------------------------------------------------------------

    def url(
        self,
        name: Name | None,
        expire: int | None = None,
        parameters: Mapping[str, str] | None = None,
        mode: str = "r",
    ) -> str:
        """Return a URL, signed if it is to end: ``expire`` or ``expiration_secs``, in seconds.

        ``parameters`` are headers of the answer, such as ``content_disposition``; ``mode`` is what
        the signature permits, by the letters of Azure. Asks the service only where a token
        credential needs a new key to sign with, once a day.
        """
        expire = self.expiration_secs if expire is None else expire
        self._check_signing(expire, parameters or {}, mode)
        name = self._url_name(name)
        if self._public_base is not None and self.custom_domain is None:
            return super().url(name)
        key = self.key(name) + ("/" if name.endswith("/") else "")
        url = public_url(f"{self._public_place()}/{self.azure_container}", key)
        if expire is None:
            return url
        account = self.account
        with self._errors(name):
            query = signature(
                account,
                None if account.key else self._delegation_keys(),
                (self.azure_container, key),
                expire=expire,
                mode=mode,
                parameters=parameters or {},
            )
        return f"{url}?{query}"

    def _check_signing(self, expire: int | None, parameters: Mapping[str, str], mode: str) -> None:
        """Raise ValueError for a URL that cannot be signed as it is asked for."""
        check_url_parameters(parameters, mode)
        if expire is None:
            if parameters or mode != "r":
                raise ValueError("parameters and mode are for signed URLs: give 'expire' as well.")
            return
        try:
            check_expire(expire)
        except ValueError as exc:
            raise ValueError(f"expire {exc}") from None
        if self.account.key:
            return
        if self.token_credential is None:
            raise ImproperlyConfigured(
                f"{type(self).__name__} cannot sign URLs: set 'account_key' (AZURE_ACCOUNT_KEY) or "
                "'token_credential' (AZURE_TOKEN_CREDENTIAL)."
            )
        if expire > MAX_EXPIRE:
            raise ValueError(
                f"expire must be at most {MAX_EXPIRE} seconds with a token credential."
            )

    def _public_place(self) -> str:
        """Return the URL under which the containers are read."""
        if self.custom_domain is None:
            return self.account.url
        domain = self.custom_domain.rstrip("/")
        return domain if "://" in domain else f"{urlsplit(self.account.url).scheme}://{domain}"

    def _delegation_keys(self) -> DelegationKeys:
        service = self.service_client
        return _delegation_keys.get(service, lambda: DelegationKeys(service))


class AzureStaticStorage(AzureStorage):
    """For static files: its URLs are never signed."""

    expiration_secs = None


class AzureManifestStaticStorage(LazyManifest, AzureStaticStorage):  # type: ignore[misc]
    """For static files with a hash of their content in their names."""
