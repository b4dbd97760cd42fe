"""Gathers the contract's results of a run: configurations by what passed, and what cannot be.

With ``STORAGES_REQUIRE_SERVERS`` set to 1, a test skipped for want of a server fails instead.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from typing import cast

import pytest

from storages.testing import Impossible
from tests.servers.exfat import NO_MOUNTS
from tests.settings import BUILD

MATRIX = BUILD / "contract-matrix.json"
REQUIRE_SERVERS = os.environ.get("STORAGES_REQUIRE_SERVERS") == "1"
#: Reasons to skip that no server could mend.
ALLOWED_SKIPS = {"counts segments with Linux's TCP_INFO", NO_MOUNTS}
#: From the best to the worst; a test's subtests count together as the worst of them.
STATUSES = ("passed", "impossible", "skipped", "failed")


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


CELLS = pytest.StashKey[dict[str, list[Cell]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[CELLS] = {}
    config.pluginmanager.register(Matrix(config.stash[CELLS]))


class Matrix:
    """Fills in the cells of the contract tests that were run, by node id.

    What a cell needs travels with the report, which may come from another process.
    """

    def __init__(self, cells: dict[str, list[Cell]]) -> None:
        self.cells = cells

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            if isinstance(item, pytest.Function) and (
                numbers := getattr(item.function, "items", ())
            ):
                for number in numbers:
                    cell = (item.cls.configuration, number, item.name)
                    item.user_properties.append(("contract", cell))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.outcome == "passed":
            return
        reason = skip_reason(report)
        declared = reason.startswith(Impossible.PREFIX)
        status = "impossible" if declared else report.outcome
        for cell in self.cells_of(report):
            cell.add(status, reason.removeprefix(Impossible.PREFIX))

    def cells_of(self, report: pytest.TestReport) -> list[Cell]:
        names = [value for name, value in report.user_properties if name == "contract"]
        made = [Cell(*map(str, cast("list[str]", each))) for each in names]
        return self.cells.setdefault(report.nodeid, made)


def skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Return why a test or module was skipped, ``""`` if it was not."""
    if report.outcome != "skipped" or not isinstance(report.longrepr, tuple):
        return ""
    return report.longrepr[2].removeprefix("Skipped: ")


def require(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip that a server would have prevented into a failure."""
    reason = skip_reason(report)
    allowed = reason in ALLOWED_SKIPS or reason.startswith(Impossible.PREFIX)
    if hasattr(report, "wasxfail") or allowed:
        return
    if REQUIRE_SERVERS and report.outcome == "skipped":
        report.outcome = "failed"
        report.longrepr = f"STORAGES_REQUIRE_SERVERS is set, and this was skipped: {reason}"


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    require(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    require(report)
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    cells = [cell for each in config.stash[CELLS].values() for cell in each if cell.status]
    if not cells:
        return
    cells.sort(key=lambda cell: (cell.configuration, number(cell.item), cell.test))
    terminalreporter.section("storage contract")
    for line in lines(cells):
        terminalreporter.line(line)
    MATRIX.parent.mkdir(exist_ok=True)
    rows = [asdict(cell) for cell in cells]
    MATRIX.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def lines(cells: list[Cell]) -> Iterator[str]:
    """Yield the table of counts, then what was declared impossible, by reason."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    declared: dict[tuple[str, str], list[str]] = defaultdict(list)
    for cell in cells:
        counts[cell.configuration][cell.status] += 1
        if cell.status == "impossible":
            declared[cell.configuration, cell.reason].append(f"{cell.item} ({cell.test})")
    width = max(map(len, counts))
    yield " ".join([" " * width, *(f"{status:>10}" for status in STATUSES)])
    for configuration, found in counts.items():
        numbers = (f"{found[status]:>10}" for status in STATUSES)
        yield " ".join([f"{configuration:<{width}}", *numbers])
    for (configuration, reason), tests in declared.items():
        yield f"{configuration} cannot: {reason}"
        yield from (f"    {test}" for test in tests)


def number(item: str) -> tuple[int, str]:
    """Return an item's number and letter, for sorting."""
    digits = item.rstrip("abcdefghijklmnopqrstuvwxyz")
    return int(digits), item[len(digits) :]
