"""Signed URLs: with an account's key, or with a key that a token credential is given."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from azure.storage.blob import (
    BlobSasPermissions,
    BlobServiceClient,
    UserDelegationKey,
    generate_blob_sas,
)

from .account import Account
from .uploads import CONTENT_SETTINGS

SKEW = timedelta(minutes=15)  # signatures begin so long ago: clocks differ
#: How long a delegation key may live (REST reference, "Get User Delegation Key").
MAX_EXPIRE = 604_800  # seconds
MARGIN = timedelta(minutes=5)  # what a key's life stays below the longest by
RENEWAL = timedelta(days=1)  # what a key lives longer than the URLs it is made for
YOUNG = timedelta(hours=1)  # a key of this age serves URLs that would outlive it, cut to its end

PERMISSIONS = frozenset("racwdxytmei")


@dataclass
class DelegationKeys:
    """The delegation key of one client: asked for at first use, and anew before it ends."""

    service: BlobServiceClient
    _made: tuple[UserDelegationKey, datetime, datetime] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, now: datetime, life: timedelta) -> tuple[UserDelegationKey, datetime]:
        """Return a key for a URL that lives so long, and when the key ends."""
        with self._lock:
            if self._made is None or not self._serves(self._made[1:], now, life):
                self._made = self._make(now, life)
            return self._made[0], self._made[2]

    def _serves(self, span: tuple[datetime, datetime], now: datetime, life: timedelta) -> bool:
        start, end = span
        return now + life <= end or start <= now <= start + SKEW + YOUNG

    def _make(self, now: datetime, life: timedelta) -> tuple[UserDelegationKey, datetime, datetime]:
        start = now - SKEW
        end = min(now + life + RENEWAL, start + timedelta(seconds=MAX_EXPIRE) - MARGIN)
        return self.service.get_user_delegation_key(start, end), start, end


def check_parameters(parameters: Mapping[str, str], mode: str) -> None:
    """Raise ValueError for headers or permissions that no signature has."""
    if unknown := parameters.keys() - set(CONTENT_SETTINGS):
        raise ValueError(
            f"parameters has {min(unknown)!r}: it takes {', '.join(CONTENT_SETTINGS)}."
        )
    if not mode or set(mode) - PERMISSIONS:
        raise ValueError("mode must be letters of permissions, 'r' for reading.")


def signature(
    account: Account,
    keys: DelegationKeys | None,
    blob: tuple[str, str],
    *,
    expire: int,
    mode: str,
    parameters: Mapping[str, Any],
) -> str:
    """Return the query that opens a blob, container and name, for ``expire`` seconds from now."""
    now = datetime.now(UTC).replace(microsecond=0)
    end = now + timedelta(seconds=expire)
    secret: dict[str, Any] = {"account_key": account.key}
    if keys is not None:
        key, key_end = keys.get(now, timedelta(seconds=expire))
        secret = {"user_delegation_key": key}
        end = min(end, key_end)
    container, name = blob
    query: str = generate_blob_sas(
        account.name,
        container,
        name,
        **secret,
        permission=BlobSasPermissions.from_string(mode),
        start=now - SKEW,
        # A number would be taken for the signature's text as it is, and the URL be dead.
        expiry=end,
        protocol="https" if account.is_encrypted else "https,http",
        **parameters,
    )
    return query
