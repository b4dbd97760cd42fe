"""Options of the CouchDB backend, and the URL of a server taken apart."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from django.conf import settings

from storages.base import BaseStorage
from storages.configured import options_of
from storages.options import UNSET, derived, option
from storages.utils import check_authorities, check_prefix, is_clear_text

SETTING = "COUCHDB_STORAGE_OPTIONS"


@dataclass(frozen=True)
class Server:
    """A server's URL, which holds no user, and the account to sign in as."""

    url: str
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        return urlsplit(self.url).netloc


def parse(url: str) -> Server:
    """Split a server's URL; raises ValueError with the end of a sentence that shows nothing of it.

    A user and a password before the host are decoded from their percent-encoding.
    """
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_good = False
    # What follows an unescaped "/" of a password would pass for a path, and be shown.
    if not is_good or parts.query or parts.fragment or "@" in parts.path:
        raise ValueError(
            "must be a URL such as https://couchdb.example.com:6984; write '@', ':', '/', '?' and "
            "'#' in a user or password as %40, %3A, %2F, %3F and %23."
        )
    return Server(_bare(parts), unquote(parts.username or ""), unquote(parts.password or ""))


def _bare(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")


def check_server(url: str) -> None:
    """Raise ValueError if `parse` would."""
    parse(url)


def without_user_info(url: Any) -> Any:
    """Return a server's URL without user and password, ``UNSET`` where it cannot be told."""
    try:
        server = parse(url)
    except ValueError:
        return UNSET
    return server.url if server.user or server.password else url


def _check_database(name: str) -> None:
    if not name or name.startswith("_"):
        raise ValueError(
            "must be the name of a database; those that begin with '_' are CouchDB's own."
        )


def _check_positive(value: float) -> None:
    if value <= 0:
        raise ValueError("must be more than 0.")


class CouchDBOptions(BaseStorage):
    """The options, which the setting ``COUCHDB_STORAGE_OPTIONS`` may hold too."""

    server: str = option(
        f"{SETTING}.server",
        "COUCHDB_DEFAULT_SERVER",
        default="http://localhost:5984",
        secret=without_user_info,
        check=check_server,
        doc="URL of CouchDB, which may hold a user and a password.",
    )
    database: str = option(
        f"{SETTING}.database",
        required=True,
        check=_check_database,
        doc="Name of the database, which must exist.",
    )
    user: str | None = option(f"{SETTING}.user", doc="Name to sign in as.")
    password: str | None = option(f"{SETTING}.password", secret=True, doc="Password of ``user``.")
    location: str = option(
        f"{SETTING}.location",
        default="",
        check=check_prefix,
        doc="Prefix of every document id; slashes at its ends do not count.",
    )
    base_url: str | None = option(
        f"{SETTING}.base_url",
        "MEDIA_URL",
        doc="URL under which a view or a web server serves the files; not the server's own.",
    )
    file_overwrite: bool = option(
        f"{SETTING}.file_overwrite",
        default=False,
        doc="Save over a file of the same name instead of finding a free name.",
    )
    timeout: float = option(
        f"{SETTING}.timeout",
        default=30.0,
        check=_check_positive,
        doc="Seconds to wait for the server, at each step.",
    )
    verify: bool | str = option(
        f"{SETTING}.verify",
        default=True,
        check=check_authorities,
        doc="Whether to check the server's certificate, or the file of the authorities to check "
        "it against.",
    )

    @derived
    def account(self) -> Server:
        """Return the server and the account to sign in as."""
        server = parse(self.server)
        if self.user is None:
            return server
        return Server(server.url, self.user, self.password or "")

    def root(self) -> tuple[str, ...]:
        """Return server, database and the parts of the location."""
        return (self.account.url, *super().root())

    def contradictions(self) -> Iterator[str]:
        """Yield a sentence for each pair of options that cannot both hold."""
        yield from super().contradictions()
        if self.user is not None and parse(self.server).user:
            yield "The options 'user' and 'server' both name a user: leave one out."
        if (self.user is None) != (self.password is None):
            yield "The options 'user' and 'password' go together: set both or neither."
        given = getattr(settings, SETTING, None)
        known = list(options_of(type(self)))
        for name in given if isinstance(given, Mapping) else ():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean '{close[0]}'?" if close else ""
                yield f"The setting {SETTING} has no entry '{name}'.{hint}"

    def insecurities(self) -> Iterator[str]:
        """Yield a sentence for each setting that is unsafe in production."""
        yield from super().insecurities()
        if is_clear_text(self.server):
            yield (
                f"The option 'server' (setting {SETTING}.server or COUCHDB_DEFAULT_SERVER) begins "
                "with http://, which sends passwords and files unencrypted: use https://."
            )
        if self.verify is False:
            yield (
                f"The option 'verify' (setting {SETTING}.verify) is False, so that any server can "
                "pose as yours: name the file of your authority instead."
            )
