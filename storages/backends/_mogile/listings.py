"""Listing: pages of keys, and entries that ask for a size only where it is wanted."""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Iterator
from itertools import takewhile

from pymogilefs.exceptions import MogilefsError

from storages.driver import Entry

from .session import Cluster

_PAGE = 1000  # keys, the most that a tracker gives
_LITERAL = re.compile(r"[\w/ -]*")  # what means itself in a regular expression too


def keys(cluster: Cluster, prefix: str) -> Iterator[str]:
    """Yield the keys that begin with a prefix, page by page.

    A tracker finds keys by LIKE, which takes ``_`` for any letter and may ignore case, so its
    pages hold others too. From the second page on it also takes the prefix for a regular
    expression, which the last key has to match. If that goes wrong, it is asked for what both begin
    with, as far as that means itself.
    """
    asked, after = prefix, ""
    while True:
        try:
            told = cluster.ask("list_keys", prefix=asked, after=after, limit=_PAGE)
        except MogilefsError as exc:
            if exc.code == "none_match":
                return
            both = takewhile(lambda pair: pair[0] == pair[1], zip(asked, after, strict=False))
            shorter = "".join(_LITERAL.findall("".join(each for each, _ in both))[:1])
            if shorter == asked or exc.code not in {"after_mismatch", "failure"}:
                raise
            asked = shorter
            continue
        page = [told[f"key_{number}"] for number in range(1, int(told["key_count"]) + 1)]
        yield from (each for each in page if each.startswith(prefix))
        if not page or page[-1] == after:
            raise OSError(errno.EPROTO, "The tracker lists the same keys again and again")
        after = page[-1]


class Listed(Entry):
    """A file in a listing. The tracker lists names alone, and is asked for the size when read."""

    __slots__ = ("_ask",)
    _ask: Callable[[], int]

    def __init__(self, ask: Callable[[], int]) -> None:
        object.__setattr__(self, "_ask", ask)
        super().__init__(0)

    @property
    def size(self) -> int:
        """Bytes as stored."""
        return self._ask()

    @size.setter
    def size(self, _value: int) -> None:
        """Take no notice of the size that every entry is made with."""
