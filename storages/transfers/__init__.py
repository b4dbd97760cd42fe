"""Many files at once: deleting them in bulk."""

from __future__ import annotations

from .deleting import delete_many

__all__ = ["delete_many"]
