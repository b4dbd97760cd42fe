"""Many files at once: copying between any two storages, deleting in bulk."""

from __future__ import annotations

from .copying import (
    COPIED,
    DELETED,
    FAILED,
    SKIPPED,
    NothingToCopy,
    Outcome,
    Report,
    copy,
)
from .deleting import delete_many

__all__ = [
    "COPIED",
    "DELETED",
    "FAILED",
    "SKIPPED",
    "NothingToCopy",
    "Outcome",
    "Report",
    "copy",
    "delete_many",
]
