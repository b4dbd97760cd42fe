"""Drivers, each with classes, a session and a time limit of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import libcloud.security
from django.core.exceptions import ImproperlyConfigured
from libcloud.http import LibcloudConnection
from libcloud.storage.base import StorageDriver
from requests import PreparedRequest, Response

from storages.http import Adapter, new_session
from storages.utils import frozen

from .errors import ERRORS
from .providers import driver_class, is_secret


@dataclass(frozen=True, repr=False)
class Connector:
    """How to make a driver for one entry; a pool's connections are drivers.

    A driver keeps the request under way on its connection, so no two threads may share one.
    """

    name: str
    keywords: Mapping[str, Any] = field(compare=False)
    timeout: float
    ca_certs: str | None
    #: What the keywords of equal connectors have in common.
    identity: Hashable
    lost: ClassVar[tuple[type[Exception], ...]] = ()

    @classmethod
    def of(
        cls, name: str, keywords: Mapping[str, Any], timeout: float, ca_certs: str | None
    ) -> Connector:
        """Return the connector for a type of provider, and the keywords of its driver."""
        return cls(name, keywords, timeout, ca_certs, frozen(keywords))

    def connect(self) -> StorageDriver:
        """Make a driver; those of most providers connect at their first request."""
        try:
            return self._driver()
        except ImportError as exc:
            raise self._failure(f"{exc}: install that package") from exc
        except (OSError, ImproperlyConfigured):
            raise
        except Exception as exc:
            if isinstance(exc, ERRORS) and not isinstance(exc, (ValueError, ERRORS[0])):
                raise
            # The text may hold the key.
            raise self._failure(str(exc) or type(exc).__name__) from None

    def _driver(self) -> StorageDriver:
        # Error pages show the local variables of the frames that an error leaves behind.
        kind, keywords = self._own_class()
        driver: StorageDriver = kind(**keywords)
        return driver

    def check(self, _driver: StorageDriver, _idle: float) -> bool:
        """Return True: a session replaces connections that the server closed."""
        return True

    def survives(self, exc: BaseException) -> bool:
        """Return True if a driver can be used on: after errors, not after an interruption."""
        return isinstance(exc, Exception)

    def close(self, driver: StorageDriver) -> None:
        """Close the session's connections."""
        with contextlib.suppress(Exception):
            http: Any = driver.connection.connection
            http.session.close()

    def abandon(self, driver: StorageDriver) -> None:
        """Close this process's copies of the sockets, which says nothing to the server."""
        self.close(driver)

    def _own_class(self) -> tuple[Any, dict[str, Any]]:
        """Return a subclass of the driver for this entry alone, and what to call it with.

        Some drivers write their host into the class of their connections, which all entries of a
        type share. The one for MinIO takes neither region nor token.
        """
        limits = {"limit": self.timeout, "authorities": self._authorities()}
        http_class = type("OwnHTTP", (_OwnHTTP,), limits)
        keywords, attributes = dict(self.keywords), dict[str, Any]()
        if self.name == "MINIO":
            attributes["region_name"] = keywords.pop("region", None) or "us-east-1"
            if token := keywords.pop("token", None):
                attributes["_ex_connection_class_kwargs"] = lambda _: {"token": token}
        return isolated(driver_class(self.name), http_class, attributes), keywords

    def _authorities(self) -> str | None:
        """Return the file or directory of authorities; None leaves them to requests."""
        found: Any = self.ca_certs or libcloud.security.CA_CERTS_PATH
        if isinstance(found, (list, tuple)):
            # As it was when the seed appended to it.
            found = found[0] if found else ""
        is_used = self.keywords.get("secure", True) and self.name != "LOCAL"
        if found is None:
            return None
        is_there = found and Path(found).exists()
        if is_used and libcloud.security.VERIFY_SSL_CERT and not is_there:
            raise self._failure(
                "No CA Certificates were found. Set 'ca_certs' of the entry, or "
                "libcloud.security.CA_CERTS_PATH, to the path of a file that is there"
            )
        return str(found)

    def _failure(self, text: str) -> ImproperlyConfigured:
        for keyword, value in self.keywords.items():
            if value and isinstance(value, str) and is_secret(keyword):
                text = text.replace(value, "…")
        return ImproperlyConfigured(f"Unable to create libcloud driver type {self.name}: {text}")


def isolated(cls: Any, http_class: type, attributes: Mapping[str, Any]) -> Any:
    """Return a subclass of a driver whose connections are of classes of their own."""

    def own(connection_class: Any) -> Any:
        bases = (_OwnConnection, connection_class)
        return type(connection_class.__name__, bases, {"conn_class": http_class})

    usual = own(cls.connectionCls)

    def chosen(driver: Any) -> Any:
        return vars(driver).get("own_connection_class", usual)

    def choose(driver: Any, connection_class: Any) -> None:
        # Drivers with two ways to sign choose one when they are made.
        vars(driver)["own_connection_class"] = own(connection_class)

    return type(cls.__name__, (cls,), {**attributes, "connectionCls": property(chosen, choose)})


class _OwnConnection:
    """Goes before a driver's class of connections."""

    def pre_connect_hook(self, params: Any, headers: dict[str, Any]) -> Any:
        """Ask for the stored bytes: libcloud asks for compressed ones, and signs that."""
        headers["Accept-Encoding"] = "identity"
        sign: Callable[..., Any] = super().pre_connect_hook  # type: ignore[misc]
        return sign(params, headers)


class _OwnHTTP(LibcloudConnection):
    """A session without an eye for ``~/.netrc``, without redirects, and with a time limit."""

    limit: ClassVar[float]
    authorities: ClassVar[str | None]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        usual: Any = super()
        usual.__init__(*args, **{**kwargs, "timeout": self.limit})
        before: Any = self.session
        session: Any = new_session()
        session.proxies = before.proxies
        session.timeout = self.limit
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Timed(self.limit))
        self.session = session

    def _setup_ca_cert(self, **_kwargs: Any) -> None:
        if self.verify is not False:
            self.ca_cert = self.authorities

    def prepared_request(self, method: str, url: str, *args: Any, **kwargs: Any) -> None:
        """Send a request; a space in the query is sent as it was signed.

        Some drivers would hold a whole file in memory, others give it out as it comes.
        """
        kwargs["stream"] = kwargs.get("stream") or method == "GET"
        usual: Any = super()
        usual.prepared_request(method, url.replace("+", "%20"), *args, **kwargs)


class _Timed(Adapter):
    """Gives each request a time limit: libcloud gives none to those whose answer is streamed."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        super().__init__()

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        """Send a request."""
        kwargs["timeout"] = kwargs.get("timeout") or self.limit
        return super().send(request, *args, **kwargs)
