"""Gathers the contract's results of a run: configurations by what passed, and what cannot be.

With ``STORAGES_REQUIRE_SERVERS`` set to 1, a test skipped for want of a server fails instead.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Generator, Iterator
from typing import Any, cast

import django
import pytest
from botocore import handlers
from django.conf import settings
from django.core.files.storage import storages
from django.core.signals import request_finished, setting_changed
from django.db import close_old_connections

from storages.testing import Impossible, NotTried
from tests.matrix import Cell, lines, number, written
from tests.servers.exfat import NO_MOUNTS
from tests.servers.moto import Moto
from tests.settings import BUILD

MATRIX = BUILD / "contract-matrix.txt"
REQUIRE_SERVERS = os.environ.get("STORAGES_REQUIRE_SERVERS") == "1"
#: Reasons to skip that no server could mend.
DECLARED = (Impossible.PREFIX, NotTried.PREFIX)
ALLOWED_SKIPS = {"counts segments with Linux's TCP_INFO", NO_MOUNTS}
MOST_PROCESSES = 4
CELLS = pytest.StashKey[dict[str, list[Cell]]]()


def keep_options(*, setting: str, **_kwargs: Any) -> None:
    """Give an override of STORAGES the OPTIONS of its first two aliases, which Django 4.2 drops."""
    if setting not in {"STORAGES", "STATIC_ROOT", "STATIC_URL"}:
        return
    for alias, entry in storages.backends.items():
        wanted: Any = settings.STORAGES.get(alias, {})
        if wanted.get("BACKEND") == entry.get("BACKEND"):
            storages.backends[alias] = wanted


@pytest.fixture(autouse=True, scope="session")
def overrides_keep_options() -> None:
    """Mend Django 4.2's override_settings."""
    if django.VERSION < (5,):
        setting_changed.connect(keep_options)


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    """Start the emulator, once for each module of tests."""
    if reason := Moto.available():
        pytest.skip(reason)
    with Moto() as server:
        yield server


@pytest.fixture
def ends_no_request() -> Iterator[None]:
    """Let answers be closed without Django's look at the database, which other tests used."""
    request_finished.disconnect(close_old_connections)
    yield
    request_finished.connect(close_old_connections)


@pytest.fixture
def without_moto(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make clients without the handler that moto, once imported, gives to every new session."""
    own = [each for each in handlers.BUILTIN_HANDLERS if "moto" not in type(each[1]).__module__]
    monkeypatch.setattr(handlers, "BUILTIN_HANDLERS", own)
    # A changed environment has a session of its own.
    monkeypatch.setenv("AWS_WITHOUT_MOTO", uuid.uuid4().hex)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes run tests: one more than cores, since many tests wait.

    Each starts servers of its own, so more than four cost more than they bring.
    """
    return min((os.cpu_count() or 1) + 1, MOST_PROCESSES)


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what runs in the background with Ctrl-C ignored, and children inherit that.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
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
        status, reason = report.outcome, skip_reason(report)
        for declared in DECLARED:
            if reason.startswith(declared):
                status, reason = declared.removesuffix(": "), reason.removeprefix(declared)
        for cell in self.cells_of(report):
            cell.add(status, reason)

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
    allowed = reason in ALLOWED_SKIPS or reason.startswith(DECLARED)
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
    MATRIX.write_text(written(cells), encoding="utf-8")
