"""What is to be reached, as ratios of medians of one run."""

from __future__ import annotations

from typing import NamedTuple

from benchmarks.peers.figures import Figures
from benchmarks.peers.tools import BARE, OWN
from benchmarks.report import MIB, Row

PUBLIC = "django-storages"


class Target(NamedTuple):
    """This package's time over another's, and the most that it may be."""

    scenario: str
    other: str
    limit: float
    delay: int = 0


TARGETS = [
    Target("collectstatic, first", "s5cmd", 1.0, 20),
    Target("collectstatic, first", PUBLIC, 1 / 25, 20),
    Target("collectstatic, unchanged", PUBLIC, 1 / 70, 20),
    Target("copy, first", "aws s3 sync", 1.0, 20),
    Target("copy, first", "s5cmd", 1.5, 20),
    Target("signed url()", BARE, 0.06),
    Target("unsigned url()", BARE, 0.1),
    Target("custom domain url()", PUBLIC, 1.0),
    Target("listdir of 10,000", BARE, 0.15),
    *(Target(name, BARE, 0.45) for name in ("save", "read", "exists", "delete")),
    Target("read of 8 MiB", BARE, 1.1),
    Target("32 threads", BARE, 1 / 2.5),
]
MANIFEST = "collectstatic with hashes, first", "collectstatic, first", 1.5
MEMORY = 150  # MiB
IMPORT = 0.020  # seconds more than boto3's own


def judged(figures: Figures) -> list[Row]:
    """Return a row for each target whose figures were taken."""
    found = []
    for scenario, other, limit, delay in TARGETS:
        ratio = figures.ratio(scenario, OWN, other, delay)
        if ratio is not None:
            where = f"{scenario} ({delay} ms), to {other}"
            row = Row(where, f"{ratio:.3g} x", f"at most {limit:.3g} x", ratio <= limit)
            found.append(row)
    return [*found, *_others(figures)]


def _others(figures: Figures) -> list[Row]:
    """Return the rows of what is no ratio of two peers in one scenario."""
    found = []
    hashed, plain, limit = MANIFEST
    for delay in (0, 20):
        mine, its = figures.median(hashed, OWN, delay), figures.median(plain, OWN, delay)
        if mine and its:
            text = f"{mine / its:.2f} x"
            where = f"{hashed} ({delay} ms), to the same without"
            found.append(Row(where, text, f"at most {limit} x", mine / its <= limit))
        if copied := figures.found.get(("copy, first", OWN, delay)):
            used = copied.memory / MIB
            where = f"copy, memory ({delay} ms)"
            found.append(Row(where, f"{used:.0f} MiB", f"under {MEMORY} MiB", used < MEMORY))
    mine, its = figures.median("import", OWN), figures.median("import", BARE)
    if mine and its:
        more = (mine - its) * 1000
        text = f"boto3 + {more:.0f} ms"
        found.append(Row("import", text, "at most boto3 + 20 ms", more <= IMPORT * 1000))
    return found
