from __future__ import annotations

import os
import signal
import sys
import threading
from contextvars import ContextVar

import pytest
from django.db import connections

from storages.jobs import AHEAD, Meter, done, shown_duration, shown_size


def test_each_item_comes_with_its_result_or_its_exception():
    error = ValueError("odd")

    def work(number: int) -> int:
        if number % 2:
            raise error
        return number * 10

    assert sorted(done(work, range(4), 3)) == [(0, 0), (1, error), (2, 20), (3, error)]


@pytest.mark.parametrize("jobs", [0, 1])
def test_one_job_works_in_the_calling_thread(jobs):
    here = threading.get_ident()
    assert [*done(lambda _: threading.get_ident(), range(2), jobs)] == [(0, here), (1, here)]


def test_results_come_as_they_end():
    gate = threading.Event()

    def work(name: str) -> None:
        if name == "slow":
            assert gate.wait(10)

    names = []
    for name, result in done(work, ["slow", "quick"], 2):
        assert result is None
        names.append(name)
        gate.set()
    assert names == ["quick", "slow"]


def test_as_many_threads_work_at_once_as_jobs_are_asked_for():
    barrier = threading.Barrier(5)
    assert len([*done(lambda _: barrier.wait(10), range(20), 5)]) == 20


def test_threads_end_also_where_ctrl_c_is_pressed_again_before_they_are_told_to():
    def stop() -> None:
        raise KeyboardInterrupt

    before = {*threading.enumerate()}
    with pytest.raises(KeyboardInterrupt):
        [*done(str, range(9), 5, stop=stop)]
    for thread in {*threading.enumerate()} - before:
        thread.join(10)
        assert not thread.is_alive()


def test_items_are_taken_as_they_are_needed():
    taken: list[int] = []

    def taking(number: int) -> int:
        taken.append(number)
        return number

    for count, _ in enumerate(done(str, map(taking, range(1000)), 3)):
        assert len(taken) <= count + 3 + AHEAD
    assert len(taken) == 1000


def test_closing_drops_what_waits_and_waits_for_what_has_begun():
    begun, ended = [], []
    gate = threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        assert not number or gate.wait(10)
        ended.append(number)

    results = done(work, range(100), 3)
    assert next(results) == (0, None)
    threading.Timer(0.05, gate.set).start()
    results.close()
    assert sorted(begun) == sorted(ended)
    assert len(begun) <= 3 + AHEAD


def test_a_failure_to_take_an_item_reaches_the_caller_after_what_has_begun():
    ended = []

    def items():
        yield from range(3)
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(done(ended.append, items(), 2))
    assert set(ended) <= {0, 1, 2}


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs POSIX signals")
def test_ctrl_c_drops_what_waits_and_waits_for_what_has_begun():
    begun, ended = [], []
    pressed = threading.Event()

    def work(number: int) -> None:
        begun.append(number)
        if number == 5:
            os.kill(os.getpid(), signal.SIGINT)
            pressed.set()
        assert number < 5 or pressed.wait(10)
        ended.append(number)

    with pytest.raises(KeyboardInterrupt):
        for _ in done(work, range(10_000), 3):
            pass
    assert sorted(begun) == sorted(ended)
    assert len(begun) < 10_000


def test_ctrl_c_while_a_thread_is_being_started_waits_for_it_too(monkeypatch):
    begun, ended = [], []
    starts = threading.Thread.start

    def work(number: int) -> None:
        begun.append(number)
        ended.append(number)

    def pressed(thread: threading.Thread) -> None:
        starts(threading.Timer(0.1, starts, [thread]))
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", pressed)
    with pytest.raises(KeyboardInterrupt):
        list(done(work, range(9), 3))
    assert begun == ended
    assert "storages-jobs" not in {each.name for each in threading.enumerate()}


def test_what_ends_a_program_ends_the_job():
    with pytest.raises(SystemExit):
        list(done(sys.exit, range(9), 3))


def test_threads_leave_no_database_connection_behind(tmp_path, monkeypatch, django_db_blocker):
    database = {**connections.settings["default"], "NAME": tmp_path / "database"}
    monkeypatch.setitem(connections.settings, "side", database)
    used = set()

    def work(_: int) -> None:
        connections["side"].ensure_connection()
        used.add(connections["side"])

    with django_db_blocker.unblock():
        list(done(work, range(9), 3))
    assert used
    assert {each.connection for each in used} == {None}


def test_work_sees_the_context_of_the_caller():
    tenant = ContextVar("tenant", default="")
    token = tenant.set("one")
    try:
        assert [*done(lambda _: tenant.get(), [1], 2)] == [(1, "one")]
    finally:
        tenant.reset(token)


def test_meter_tells_counts_rate_and_remaining_time():
    now = 100.0
    meter = Meter(4, 4096, lambda: now)
    assert str(meter) == "0 of 4 files, 0 B of 4.0 KiB"
    now = 110.0
    meter.add(1024)
    assert str(meter) == "1 of 4 files, 1.0 KiB of 4.0 KiB, 102 B/s, 30 s left"
    meter.add(3072, files=3)
    assert str(meter) == "4 of 4 files, 4.0 KiB of 4.0 KiB, 410 B/s, 0 s left"


def test_meter_without_totals_counts_only():
    now = 0.0
    meter = Meter(clock=lambda: now)
    meter.add(2048)
    now = 2.0
    assert str(meter) == "1 file, 2.0 KiB, 1.0 KiB/s"


def test_meter_of_empty_files_goes_by_their_number():
    now = 0.0
    meter = Meter(2, 0, lambda: now)
    meter.add()
    now = 3.0
    assert str(meter).endswith("3 s left")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536, "1.5 KiB"),
        (5 << 20, "5.0 MiB"),
        (3 << 30, "3.0 GiB"),
        (2 << 40, "2.0 TiB"),
    ],
)
def test_sizes_are_told_in_units(size, text):
    assert shown_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59, "59 s"), (185, "3:05 min"), (7801, "2:10 h")]
)
def test_time_spans_are_told_in_units(seconds, text):
    assert shown_duration(seconds) == text
