"""The URL that says where an FTP server is, whom to sign in as, and where the files are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

from storages.options import UNSET

PORTS: Final = {"ftp": 21, "aftp": 21, "ftps": 21, "ftpsi": 990}

# A password may hold anything, so it ends at the last "@"; a path holds none, not to be taken for
# the rest of a password.
_URL = re.compile(
    r"(?P<scheme>ftpsi|ftps|aftp|ftp)://"
    r"(?:(?P<user>[^:/]*)(?::(?P<password>.*))?@)?"
    r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[^][@:/?#\s]+)(?::(?P<port>[0-9]{1,5}))?(?P<path>/[^@]*)?",
    re.DOTALL | re.IGNORECASE,
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Location:
    """A parsed location; an empty ``root`` is the directory that signing in leads to."""

    scheme: str
    host: str
    port: int
    root: str
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def tls(self) -> bool:
        """Return True if the connection is encrypted."""
        return self.scheme in {"ftps", "ftpsi"}

    @property
    def implicit(self) -> bool:
        """Return True if it is from the first byte."""
        return self.scheme == "ftpsi"

    @property
    def active(self) -> bool:
        """Return True if the server is to open the data connections."""
        return self.scheme == "aftp"


# Up to a slash this would be host and port already, were no "@" behind.
_AMBIGUOUS = re.compile(r"\w+://[^][@:/?#\s]+(:[0-9]{1,5})?/.*@", re.DOTALL)


def parse(url: str) -> Location:
    """Split a location; raises ValueError with the end of a sentence that shows nothing of it."""
    match = _URL.fullmatch(url)
    if match is None or _AMBIGUOUS.match(url):
        raise ValueError(
            "must be a URL such as ftps://user:password@host:21/directory with the scheme ftp, "
            "aftp, ftps or ftpsi; write ':' and '/' in the user and '@' in the path as %3A, %2F "
            "and %40."
        )
    user, password, path = (
        unquote(match[part] or "", errors="surrogateescape")
        for part in ("user", "password", "path")
    )
    if _CONTROLS.search(user + password + path):
        raise ValueError("must not hold control characters.")
    if ".." in path.split("/"):
        raise ValueError("must not climb with '..'.")
    scheme = match["scheme"].lower()
    port = int(match["port"] or PORTS[scheme])
    if not 0 < port < 65536:
        raise ValueError("must have a port between 1 and 65535.")
    root = re.sub(r"/(\.?/)*", "/", f"{path}/") if path else ""
    return Location(scheme, match["host"].strip("[]"), port, root, user, password)


def check(url: str) -> None:
    """Raise ValueError if `parse` would."""
    parse(url)


def without_user_info(url: Any) -> Any:
    """Return a location without user and password, ``UNSET`` where it cannot be told."""
    match = _URL.fullmatch(url) if isinstance(url, str) else None
    if match is None:
        return UNSET
    return (
        url
        if match["user"] is None
        else url[: match.end("scheme") + 3] + url[match.start("host") :]
    )
