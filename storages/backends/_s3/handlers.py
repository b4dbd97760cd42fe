"""Whether others take part in what a boto3 client does."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable
from types import FunctionType
from typing import Any

#: Modules whose handlers do no harm: those that every client has, without botocore's stub for
#: tests, those of boto3's transfers, and ours.
_OWN = re.compile(r"(botocore(?!\.stub$)|boto3|s3transfer|storages\.backends\._s3)(\..+)?")


class Watch:
    """Tells whether a client does its work alone, by the handlers of its events.

    Anyone may register a handler at any time: a hook of the project, moto, botocore's Stubber.
    ``methods`` of the client must be its class's own too, and no mock's.
    """

    def __init__(self, client: Any, events: Iterable[str], methods: Iterable[str]) -> None:
        self._own = vars(client).keys()
        # botocore has no public names for either.
        self._emitter = getattr(client.meta.events, "_emitter", None)
        self._events = tuple(events)
        self._methods = frozenset(methods)
        self._seen: object = None
        self._is_alone = False
        #: Differs once handlers were registered or removed.
        self.version = 0

    @property
    def is_alone(self) -> bool:
        """True if only botocore's handlers see the events."""
        # Every change of the handlers begins another cache.
        cache = getattr(self._emitter, "_lookup_cache", None)
        if cache is not self._seen:
            self._is_alone = not any(map(self._has_others, self._events))
            self.version += 1
            self._seen = cache
        return self._is_alone and self._own.isdisjoint(self._methods)

    def named(self, event: str, name: str) -> list[Any]:
        """Return the handlers of an event that bear a name."""
        found = self._handlers(event) or ()
        return [each for each in found if getattr(each, "__name__", "") == name]

    def _has_others(self, event: str) -> bool:
        found = self._handlers(event)
        return found is None or not all(map(is_own, found))

    def _handlers(self, event: str) -> Iterable[Any] | None:
        search = getattr(getattr(self._emitter, "_handlers", None), "prefix_search", None)
        return search and search(event)


def is_own(handler: Any) -> bool:
    """Return True if a handler or method is botocore's, or one of what stands on it."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return bool(_OWN.fullmatch(getattr(handler, "__module__", None) or ""))


def is_plain(function: Any) -> bool:
    """Return True if a function is botocore's itself: wrappers bear the names of the wrapped."""
    if type(function) is not FunctionType:
        return False
    return bool(_OWN.fullmatch(function.__globals__.get("__name__", "")))
