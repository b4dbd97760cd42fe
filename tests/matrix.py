"""The results of the contract: printed at the end of a run, and kept for the documentation."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

#: From the best to the worst; a test's subtests count together as the worst of them.
STATUSES = ("passed", "impossible", "not tried", "skipped", "failed")


@dataclass
class Cell:
    """One contract item in one test of one configuration."""

    configuration: str
    item: str
    test: str
    status: str = ""
    reason: str = ""

    def add(self, status: str, reason: str) -> None:
        """Count a result in: the worst is the cell's, with all reasons for it."""
        if not self.status or STATUSES.index(status) > STATUSES.index(self.status):
            self.status, self.reason = status, reason
        elif status == self.status and reason not in self.reason:
            self.reason += f"; {reason}"


def lines(cells: list[Cell]) -> Iterator[str]:
    """Yield the table of counts, then what was declared impossible, by reason."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    declared: dict[tuple[str, str], list[str]] = defaultdict(list)
    for cell in cells:
        counts[cell.configuration][cell.status] += 1
        if cell.status in {"impossible", "not tried"}:
            declared[cell.configuration, f"{cell.status}: {cell.reason}"].append(
                f"{cell.item} ({cell.test})"
            )
    width = max(map(len, counts))
    yield " ".join([" " * width, *(f"{status:>10}" for status in STATUSES)])
    for configuration, found in counts.items():
        numbers = (f"{found[status]:>10}" for status in STATUSES)
        yield " ".join([f"{configuration:<{width}}", *numbers])
    for (configuration, reason), tests in declared.items():
        yield f"{configuration}, {reason}"
        yield from (f"    {test}" for test in tests)


def number(item: str) -> tuple[int, str]:
    """Return an item's number and letter, for sorting."""
    digits = item.rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(digits), item[len(digits) :]


def written(cells: list[Cell]) -> str:
    """Return the text that the documentation reads: a line for the items that passed, by tens.

    Then follows a line for each test that did not pass, with the reason.
    """
    parts = []
    for configuration, group in groupby(cells, key=lambda cell: cell.configuration):
        found = list(group)
        passed = dict.fromkeys(cell.item for cell in found if cell.status == "passed")
        parts.append(f"[{configuration}]")
        for _, items in groupby(passed, key=lambda item: number(item)[0] // 10):
            parts.append(f"passed: {' '.join(items)}")
        parts += [
            f"{cell.status}: {cell.item} {cell.test}: {cell.reason}"
            for cell in found
            if cell.status != "passed"
        ]
        parts.append("")
    return "\n".join(parts)
