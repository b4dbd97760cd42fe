"""The options of the Dropbox backend: settings, defaults, what is wrong and what is unsafe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import sha256
from typing import ClassVar, Literal

from storages.base import BaseStorage
from storages.options import option, positional
from storages.utils import RefusedName, check_authorities, normalize_name

MAX_EXPIRE = 14_400  # seconds that a temporary link lives ("get_temporary_link")

#: What the API takes for something else than a path, at the beginning of one.
PSEUDO_PATH = re.compile(r"(id|rev|ns):")


def check_expire(seconds: int) -> None:
    """Raise ValueError for a life that no temporary link has."""
    if not 0 < seconds <= MAX_EXPIRE:
        raise ValueError(f"must be from 1 to {MAX_EXPIRE} seconds.")


def _check_root(path: str) -> None:
    if PSEUDO_PATH.match(path):
        raise ValueError("must be a path: a namespace belongs in 'path_root'.")
    try:
        normalize_name(path.lstrip("/\\"), root=True)
    except RefusedName:
        raise ValueError("must be a path without '..' and control characters.") from None


def _check_path_root(namespace: str) -> None:
    if not re.fullmatch(r"home|((root|namespace_id):)?[-_0-9a-zA-Z]+", namespace):
        raise ValueError("must be the id of a namespace, with or without 'namespace_id:' before.")


def _check_seconds(seconds: float) -> None:
    if seconds < 0:
        raise ValueError("must not be negative.")


def _check_timeout(seconds: float) -> None:
    if seconds <= 0:
        raise ValueError("must be over 0.")


class DropBoxOptions(BaseStorage):
    """The options of the Dropbox backend, and what of them cannot or should not go together."""

    #: The options that a client is made of; storages that agree in them share one.
    client_options: ClassVar[tuple[str, ...]] = (
        "oauth2_access_token",
        "oauth2_refresh_token",
        "app_key",
        "app_secret",
        "timeout",
        "path_root",
        "select_user",
        "ca_certs",
        "max_wait",
    )

    oauth2_access_token: str | None = positional(
        "DROPBOX_OAUTH2_TOKEN",
        default=None,
        kw_only=False,
        secret=True,
        doc="An access token; those of today live for hours, so better give a refresh token.",
    )
    root_path: str = positional(
        "DROPBOX_ROOT_PATH",
        default="/",
        kw_only=False,
        check=_check_root,
        doc="The folder that holds all files; no name leads out of it.",
    )
    oauth2_refresh_token: str | None = option(
        "DROPBOX_OAUTH2_REFRESH_TOKEN",
        secret=True,
        doc="A refresh token, with which access tokens are got by need.",
    )
    app_key: str | None = option("DROPBOX_APP_KEY", doc="The key of the app of the refresh token.")
    app_secret: str | None = option(
        "DROPBOX_APP_SECRET", secret=True, doc="Its secret; not for apps that sign in with PKCE."
    )
    timeout: float = option(
        "DROPBOX_TIMEOUT",
        default=100.0,
        check=_check_timeout,
        doc="Seconds to wait for a connection, and for each piece of an answer.",
    )
    path_root: str | None = option(
        "DROPBOX_PATH_ROOT",
        check=_check_path_root,
        doc="Namespace that paths are in: the id of a team space, ``namespace_id:`` and the id of "
        "another, or ``home``.",
    )
    select_user: str | None = option(
        "DROPBOX_SELECT_USER", doc="Id of the member (``dbmid:…``) that a team's token acts as."
    )
    ca_certs: str | None = option(
        "DROPBOX_CA_CERTS",
        check=check_authorities,
        doc="A file of certificate authorities instead of the usual ones.",
    )
    max_wait: float = option(
        "DROPBOX_MAX_WAIT",
        default=60.0,
        check=_check_seconds,
        doc="Seconds that one operation may wait, all in all, because Dropbox limits its rate.",
    )
    write_mode: Literal["add", "overwrite", "update"] = option(
        "DROPBOX_WRITE_MODE",
        default="add",
        doc="``add``: saves find a free name; ``overwrite``; ``update``: overwrite, but not what "
        "another client has changed meanwhile.",
    )

    @property  # type: ignore[misc]
    def file_overwrite(self) -> bool:  # type: ignore[override]
        """True unless ``write_mode`` is ``add``, where the option does not say it."""
        return self.write_mode != "add"

    def root(self) -> tuple[str, ...]:
        """Return a sign of the account, its namespace, and the folders down to ``location``."""
        token = self.oauth2_refresh_token or self.oauth2_access_token or ""
        account = sha256(token.encode()).hexdigest()[:16]
        place = (account, self.select_user or "", self.path_root or "home")
        folders = f"{self.root_path}/{self.location}".lower().replace("\\", "/").split("/")
        return (DropBoxOptions.__module__, *place, *filter(None, folders))

    def contradictions(self) -> Iterator[str]:
        """Yield what is missing or cannot both hold among the options."""
        yield from super().contradictions()
        if not self.oauth2_access_token and not self.oauth2_refresh_token:
            yield (
                "it needs 'oauth2_refresh_token' (DROPBOX_OAUTH2_REFRESH_TOKEN) with 'app_key' "
                "(DROPBOX_APP_KEY), or 'oauth2_access_token' (DROPBOX_OAUTH2_TOKEN): set them."
            )
        if self.oauth2_refresh_token and not self.app_key:
            yield (
                "'oauth2_refresh_token' (DROPBOX_OAUTH2_REFRESH_TOKEN) needs the 'app_key' "
                "(DROPBOX_APP_KEY) of its app: set it."
            )

    def insecurities(self) -> Iterator[str]:
        """Yield what a deployment should not do."""
        yield from super().insecurities()
        if not self.oauth2_refresh_token and (self.oauth2_access_token or "").startswith("sl."):
            yield (
                "the access token ends within hours: set 'oauth2_refresh_token' "
                "(DROPBOX_OAUTH2_REFRESH_TOKEN) and 'app_key' (DROPBOX_APP_KEY) instead."
            )


def path_root_header(namespace: str) -> str:
    """Return the header that makes paths relative to a namespace ("Namespace guide")."""
    if namespace == "home":
        return json.dumps({".tag": "home"})
    mode, _, name = namespace.rpartition(":")
    return json.dumps({".tag": mode or "root", mode or "root": name})
