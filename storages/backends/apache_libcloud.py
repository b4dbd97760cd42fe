"""Cloud storage of many providers, through Apache Libcloud."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from django.core.exceptions import ImproperlyConfigured

from storages.base import Name
from storages.clients import SharedClients
from storages.driver import Driver, Entry, Listed, Source, Stream
from storages.options import derived
from storages.pool import Pool, shared
from storages.staticfiles import LazyManifest
from storages.utils import sdk_missing

try:
    from libcloud.storage.base import Container, Object, StorageDriver
    from libcloud.storage.drivers.azure_blobs import AzureBlobsStorageDriver
    from libcloud.storage.drivers.s3 import BaseS3StorageDriver

    from ._libcloud.azure import AzureObjects
    from ._libcloud.connector import Connector
    from ._libcloud.errors import ERRORS, explain
    from ._libcloud.local import LocalObjects
    from ._libcloud.options import LibCloudOptions
    from ._libcloud.others import OtherObjects
    from ._libcloud.providers import driver_class
    from ._libcloud.s3 import S3Objects
    from ._libcloud.session import Session
    from ._libcloud.urls import address, azure_url, check_expire, s3_url, signs_v4
except ImportError as exc:
    raise sdk_missing("libcloud", exc) from exc

__all__ = ["LibCloudManifestStaticStorage", "LibCloudStaticStorage", "LibCloudStorage"]

IDLE_TIMEOUT = 60  # seconds that an unused driver is kept

#: What drivers raise that have no URLs.
_NO_URL: tuple[type[Exception], ...] = (NotImplementedError, *ERRORS)

_drivers: SharedClients[StorageDriver] = SharedClients()


class LibCloudStorage(LibCloudOptions):
    """Files as objects of a container, at any provider that libcloud has a driver for."""

    sdk_errors = ERRORS

    def __init__(
        self,
        provider_name: str | None = None,
        option: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        initialize: Any = super().__init__
        initialize(provider_name, option, **options)

    def _explain(self, exc: Exception) -> tuple[int, str]:
        return explain(exc) if isinstance(exc, ERRORS) else super()._explain(exc)

    # -- drivers ----------------------------------------------------------------------------------

    @property
    def driver(self) -> StorageDriver:
        """A driver of libcloud's for calls of your own, such as ``create_container(name)``.

        It is not safe to be used by several threads at once. The storage itself uses others.
        """
        connector = self._connector
        return _drivers.get(connector, connector.connect)

    @derived
    def _connector(self) -> Connector:
        name, keywords = self.keywords()
        ca_certs = None if self.ca_certs is None else os.fspath(self.ca_certs)
        return Connector.of(name, keywords, self.timeout, ca_certs)

    @derived
    def _pool(self) -> Callable[[], Pool[StorageDriver]]:
        return partial(
            shared,
            self._connector,
            limit=self.max_connections,
            idle_timeout=IDLE_TIMEOUT,
            wait_timeout=self.timeout,
        )

    @derived
    def _container(self) -> Driver:
        """Return what the primitives are for this type of provider."""
        for sentence in self.contradictions():
            raise ImproperlyConfigured(f"{type(self).__name__}: {sentence}")
        connector = self._connector
        cls = driver_class(connector.name)
        if connector.name == "LOCAL":
            return LocalObjects(location=Path(self.user) / self.bucket)
        place = (Session(self._pool, self.timeout), self.bucket, self.multipart_threshold)
        if issubclass(cls, BaseS3StorageDriver):
            return S3Objects(*place, cls)
        if issubclass(cls, AzureBlobsStorageDriver):
            return AzureObjects(*place)
        return OtherObjects(self._pool, self.bucket)

    def close(self) -> None:
        """Close the idle connections; new ones are opened when the storage is used again."""
        self._pool().close()

    # -- primitives, done by the container --------------------------------------------------------

    def _stat(self, key: str) -> Entry:
        return self._container._stat(key)

    def _open_stream(self, key: str) -> tuple[Entry, Stream | None]:
        return self._container._open_stream(key)

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        return self._container._read(key, start, entry)

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        self._container._write(key, source, overwrite=overwrite, expected=expected)

    def _remove(self, key: str) -> None:
        self._container._remove(key)

    def _list(self, key: str) -> Iterator[Listed]:
        yield from self._container._list(key)

    def _walk(self, key: str) -> Iterator[Listed]:
        yield from self._container._walk(key)

    # -- URLs, signed and public ------------------------------------------------------------------

    def url(
        self,
        name: Name | None,
        expire: int | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> str:
        """Return a URL, signed where the provider has signed ones, without asking it.

        ``expire`` is in seconds; ``parameters`` are headers of the answer that it shall have, such
        as ``response-content-disposition``. Raises ValueError where there is no such URL.
        """
        seconds = self.querystring_expire if expire is None else expire
        try:
            check_expire(seconds)
        except ValueError as exc:
            raise ValueError(f"expire {exc}") from None
        if self._public_base is not None:
            return super().url(name)
        name = self._url_name(name)
        key = self.key(name) + ("/" if name.endswith("/") else "")
        cls = driver_class(self._connector.name)
        if issubclass(cls, BaseS3StorageDriver):
            return self._s3_url(key, seconds, parameters or {})
        if issubclass(cls, AzureBlobsStorageDriver):
            return self._azure_url(key, seconds, parameters or {})
        return self._other_url(key)

    def _s3_url(self, key: str, seconds: int, parameters: Mapping[str, str]) -> str:
        path = f"/{self.bucket}/{quote(key, safe='/~')}"
        if self._connector.name == "GOOGLE_STORAGE":
            # Some of its drivers connect as soon as they are made.
            return f"https://storage.googleapis.com{path}"
        driver: Any = self.driver
        if self.querystring_auth and signs_v4(driver.connection):
            return s3_url(driver, path, seconds, parameters)
        scheme, host = address(driver.connection)
        return f"{scheme}://{host}{path}"

    def _azure_url(self, key: str, seconds: int, parameters: Mapping[str, str]) -> str:
        if "auth_type" in self._connector.keywords:
            # It has no key to sign with.
            return f"https://{self.user}.blob.core.windows.net/{self.bucket}/{quote(key)}"
        signed = azure_url(self.driver, key, self.bucket, seconds, parameters)
        return signed if self.querystring_auth else signed.partition("?")[0]

    def _other_url(self, key: str) -> str:
        if self._connector.name != "LOCAL":
            driver = self.driver
            stored = Object(key, 0, "", {}, {}, Container(self.bucket, {}, driver), driver)
            try:
                return driver.get_object_cdn_url(stored)
            except _NO_URL:
                pass
        return super().url(key)


class LibCloudStaticStorage(LibCloudStorage):
    """For static files: its URLs are never signed."""

    querystring_auth = False


class LibCloudManifestStaticStorage(LazyManifest, LibCloudStaticStorage):  # type: ignore[misc]
    """For static files with a hash of their content in their names."""
