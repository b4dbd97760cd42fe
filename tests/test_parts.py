from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from storages.parts import send_in_parts

PARTS = 2000


class Part(bytes):
    """A part that counts how many of its kind are in memory."""

    lock = threading.RLock()
    count = 0

    def __init__(self, *_: Any) -> None:
        with Part.lock:
            Part.count += 1

    def __del__(self) -> None:
        with Part.lock:
            Part.count -= 1


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Let threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("busy_threads")
@pytest.mark.parametrize("workers", [0, 1, 2, 5])
def test_parts_in_memory_are_those_on_their_way_and_one_more(workers: int) -> None:
    left = list(range(PARTS))
    most = 0

    def read(_size: int) -> bytes:
        nonlocal most
        if not left:
            return b""
        part = Part(str(left.pop(0)).encode())
        most = max(most, Part.count)
        return part

    source: Any = SimpleNamespace(read=read)
    sent = send_in_parts(source, 1, workers, lambda number, part: (number, int(part)))
    assert sent == [(number + 1, number) for number in range(PARTS)]
    assert most <= workers + 1
    assert Part.count == 0


def test_part_that_fails_ends_the_sending() -> None:
    read = iter([b"1", b"2", b"3", b"4"] + [b""] * 3)
    source: Any = SimpleNamespace(read=lambda _size: next(read))
    sent: list[bytes] = []

    def send(number: int, part: bytes) -> None:
        if number == 2:
            raise OSError(5, "no")
        sent.append(part)

    with pytest.raises(OSError, match="no"):
        send_in_parts(source, 1, 1, send)
    assert sent == [b"1"]
