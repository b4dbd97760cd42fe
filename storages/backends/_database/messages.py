"""What rows tell of a file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from storages.driver import Entry


def entry(row: Sequence[Any]) -> Entry:
    """Return the entry of a row: size, time, content type, and version where that is cheap."""
    size, modified, kind, version = row[:4]
    return Entry(
        int(size),
        modified=moment(modified),
        content_type=kind or None,
        etag=None if version is None else tag(version, size),
    )


def moment(value: str | datetime | None) -> datetime | None:
    """Return a time that a database told as text; one without a zone is in UTC."""
    if value is None:
        return None
    found = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def tag(version: Any, size: int) -> str:
    """Return what tells two contents apart; one that is its own version is hashed."""
    text = version if isinstance(version, str) else hashlib.sha256(bytes(version)).hexdigest()
    return f"{text}-{size}"
