"""When to look for what broken saves left behind, and what the clocks of servers say."""

from __future__ import annotations

import time
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta

STALE = timedelta(days=1)  # without a write to a temporary file, after which it is nobody's
INTERVAL = 3600.0  # seconds between two looks of a process at one place
CLOCK_TOLERANCE = timedelta(seconds=10)

_PLACES = 1024  # remembered; a place that was forgotten is looked at again
_looked: dict[Hashable, float] = {}


def is_due(place: Hashable) -> bool:
    """Tell, once an interval and process, that a place is to be swept."""
    now = time.monotonic()
    if now - _looked.get(place, -INTERVAL) < INTERVAL:
        return False
    if len(_looked) >= _PLACES:
        _looked.clear()
    _looked[place] = now
    return True


def corrected(modified: datetime | None) -> datetime | None:
    """Return the time that a file written just now should have; None where it is about right.

    ``modified`` is what its server says. Where that clock is off, ``collectstatic`` would take
    changed files for unchanged ones.
    """
    now = datetime.now(UTC)
    return None if modified is None or abs(now - modified) < CLOCK_TOLERANCE else now
