"""Notices connections that this thread makes."""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

#: Audit events of the standard library, PEP 578.
EVENTS: Final = frozenset({"socket.connect", "socket.getaddrinfo", "socket.gethostbyname"})


class _Watch(threading.local):
    calls: list[str] | None = None


_watch = _Watch()


@contextmanager
def network_calls() -> Iterator[list[str]]:
    """Give a list that fills with the connections and look-ups of this thread."""
    _listen()
    calls: list[str] = []
    _watch.calls = calls
    try:
        yield calls
    finally:
        _watch.calls = None


@functools.cache
def _listen() -> None:
    # There is no way to remove such a hook, hence one for the life of the process.
    sys.addaudithook(_audit)


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if event in EVENTS and _watch.calls is not None:
        _watch.calls.append(f"{event} {arguments}")
