"""The figures of a run: kept, compared, and told as tables and JSON."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.peers.tools import OWN
from benchmarks.report import MIB


@dataclass
class Figure:
    """What one peer took for one scenario, round by round."""

    scenario: str
    peer: str
    delay: int  # ms
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    memory: int = 0  # bytes, the most of all rounds
    requests: dict[str, int] = field(default_factory=dict)  # of the last round

    def add(self, found: dict[str, float], requests: dict[str, int] | None = None) -> None:
        """Note a round."""
        self.seconds.append(found["seconds"])
        self.cpu.append(found["cpu"])
        self.memory = max(self.memory, int(found.get("memory", 0)))
        self.requests = requests or self.requests

    @property
    def median(self) -> float:
        """The seconds that are compared: CPU time for single calls, else what a watch shows."""
        return statistics.median(self.cpu if self.scenario in CPU else self.seconds)


#: Scenarios whose CPU time is compared: what a network adds is not the client's.
CPU = {
    "import",
    "signed url()",
    "unsigned url()",
    "custom domain url()",
    "save",
    "read",
    "exists",
    "delete",
    "listdir of 10,000",
}


class Figures:
    """All figures of a run, in the order in which they were first taken."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str, int], Figure] = {}
        self.about: dict[str, Any] = {}

    def of(self, scenario: str, peer: str, delay: int = 0) -> Figure:
        """Return the figure to add to."""
        key = scenario, peer, delay
        return self.found.setdefault(key, Figure(*key))

    def median(self, scenario: str, peer: str, delay: int = 0) -> float | None:
        """Return a figure's median, None if it was not taken."""
        figure = self.found.get((scenario, peer, delay))
        return figure.median if figure and figure.seconds else None

    def ratio(self, scenario: str, peer: str, other: str, delay: int = 0) -> float | None:
        """Return how much longer one peer took than another."""
        mine, its = self.median(scenario, peer, delay), self.median(scenario, other, delay)
        return mine / its if mine and its else None

    @property
    def groups(self) -> dict[tuple[str, int], list[Figure]]:
        """The figures by scenario and delay."""
        groups: dict[tuple[str, int], list[Figure]] = {}
        for figure in self.found.values():
            groups.setdefault((figure.scenario, figure.delay), []).append(figure)
        return groups

    def save(self, path: Path) -> None:
        """Write all as JSON."""
        data = {"about": self.about, "figures": [asdict(each) for each in self.found.values()]}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Figures:
        """Return what `save` wrote."""
        data, figures = json.loads(path.read_text(encoding="utf-8")), cls()
        figures.about = data["about"]
        for each in data["figures"]:
            figure = Figure(**each)
            figures.found[figure.scenario, figure.peer, figure.delay] = figure
        return figures


def about(versions: dict[str, str], sizes: dict[str, int]) -> dict[str, Any]:
    """Return where and when the figures were taken."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = [each.partition(":")[2].strip() for each in lines if each.startswith("model name")]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "processor": (models or [platform.machine()])[0],
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
        "versions": versions,
        "sizes": sizes,
    }


# -- tables ---------------------------------------------------------------------------------------


def shown(seconds: float) -> str:
    """Return a time span as people compare it."""
    for unit, factor in (("s", 1), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def requests(counts: dict[str, int]) -> str:
    """Return numbers of requests by kind, the most first."""
    return ", ".join(f"{count:,} {kind}" for kind, count in Counter(counts).most_common())


def rows(figures: Iterable[Figure], reference: float | None) -> list[list[str]]:
    """Return a table's rows: peer, median, ratio, CPU, memory, requests, rounds."""
    return [
        [
            each.peer,
            shown(each.median),
            f"{each.median / reference:.2f}" if reference else "",
            shown(statistics.median(each.cpu)),
            f"{each.memory / MIB:.0f} MiB" if each.memory else "",
            requests(each.requests),
            str(len(each.seconds)),
        ]
        for each in figures
    ]


HEADER = ["", "median", "ratio", "CPU", "memory", "requests", "rounds"]


def titled(scenario: str, delay: int) -> str:
    """Return a table's title."""
    return f"{scenario}, {delay} ms" if scenario not in CPU else f"{scenario}, CPU time"


def tables(figures: Figures) -> list[tuple[str, list[list[str]]]]:
    """Return every table with its title; empty columns are left out."""
    found = []
    for (scenario, delay), group in figures.groups.items():
        table = [HEADER, *rows(group, figures.median(scenario, OWN, delay))]
        kept = [at for at in range(len(HEADER)) if any(row[at] for row in table[1:])]
        found.append((titled(scenario, delay), [[row[at] for at in kept] for row in table]))
    return found


def text(table: list[list[str]]) -> str:
    """Return a table for a terminal."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def rst(title: str, table: list[list[str]]) -> str:
    """Return a table for the docs."""
    lines = [f".. list-table:: {title}", "   :header-rows: 1", ""]
    for row in table:
        lines += [f"   {'*' if not at else ' '} - {cell}".rstrip() for at, cell in enumerate(row)]
    return "\n".join(lines) + "\n"
