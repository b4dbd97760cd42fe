"""The options of the FTP backend, what they lead to, and what of them cannot or should not be."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

from django.core.exceptions import ImproperlyConfigured

from storages.options import derived, option, positional
from storages.pooled import PooledStorage
from storages.utils import is_loopback

from .location import Location, check, parse, without_user_info

_ASCII = bytes(range(128))


def _check_encoding(value: str) -> None:
    try:
        keeps_ascii = _ASCII.decode(value).encode(value) == _ASCII == _ASCII.decode(value).encode()
    except (LookupError, UnicodeError):
        keeps_ascii = False
    # A slash and the end of a command are single bytes to a server.
    if not keeps_ascii:
        raise ValueError(
            "must be the name of an encoding that Python knows and that leaves ASCII as it is, "
            "such as utf-8, latin-1 or cp1251."
        )


def _check_positive(value: float) -> None:
    if value <= 0:
        raise ValueError("must be more than 0.")


@cache
def _made(make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    """Return the context that a callable makes, the same each time: a pool belongs to one."""
    try:
        return make()
    except OSError as exc:
        # Or else a missing file of authorities would mean that a stored file is missing.
        raise ImproperlyConfigured(
            f"The option 'ssl_context' (setting FTP_STORAGE_SSL_CONTEXT) raises {exc!r}."
        ) from exc


class FTPOptions(PooledStorage):
    """The options of `FTPStorage`."""

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
    user: str | None = option(
        "FTP_STORAGE_USER", doc="Whom to sign in as; wins over the user in ``location``."
    )
    password: str | None = option(
        "FTP_STORAGE_PASSWORD",
        secret=True,
        doc="The user's password; wins over the one in ``location``, and is kept out of Django's "
        "debug pages and error mails, which show ``location``.",
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
        doc="How names are encoded, ASCII as it is: by default UTF-8 where the server offers it, "
        "else latin-1.",
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

    @derived
    def _server(self) -> Location:
        server = parse(self.location)
        user = server.user if self.user is None else self.user
        password = server.password if self.password is None else self.password
        return replace(server, user=user, password=password)

    @derived
    def _tls(self) -> ssl.SSLContext | None:
        context = self.ssl_context or ssl.create_default_context
        if not self._server.tls:
            return None
        return context if isinstance(context, ssl.SSLContext) else _made(context)

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
