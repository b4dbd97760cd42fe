"""Sending a file in parts, several at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from .driver import Source

Sent = TypeVar("Sent")


def send_in_parts(
    source: Source, size: int, workers: int, send: Callable[[int, bytes], Sent]
) -> list[Sent]:
    """Call ``send(number, bytes)`` for each part of ``size`` bytes; return what it gives, in order.

    Numbers begin with 1. Up to ``workers`` parts are on their way at once, and one more is in
    memory; without workers the calling thread sends them. Where one fails, those that wait are not
    sent, and those on their way end first.
    """
    sent: list[Sent] = []
    if not workers:
        while part := source.read(size):
            sent.append(send(len(sent) + 1, part))
            # Else there would be two in memory while the next one is read.
            del part
        return sent
    sending: deque[Future[Sent]] = deque()
    pool = ThreadPoolExecutor(workers)

    def send_held(number: int, held: list[bytes]) -> Sent:
        # The pool keeps what it was given for a moment longer than until the result can be had.
        return send(number, held.pop())

    try:
        while part := source.read(size):
            if len(sending) == workers:
                sent.append(sending.popleft().result())
            sending.append(pool.submit(send_held, len(sent) + len(sending) + 1, [part]))
            del part
        return sent + [each.result() for each in sending]
    finally:
        pool.shutdown(cancel_futures=True)
