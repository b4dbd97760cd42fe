"""What is kept once for each configuration in a process: SDK clients, and pools of connections."""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

Client = TypeVar("Client")

#: Configurations remembered, for sites that have one per tenant.
MOST: Final = 64


class SharedClients(Generic[Client]):
    """Keeps one client for each of the configurations used last, again made in a forked child.

    For thread-safe clients only. The configuration is any hashable value; see `frozen`. A client
    that falls out is handed to ``drop``. Clients that look after a fork themselves are kept in the
    child with ``outlive_forks``.
    """

    def __init__(
        self, drop: Callable[[Client], None] | None = None, *, outlive_forks: bool = False
    ) -> None:
        self._drop = drop
        self._outlive_forks = outlive_forks
        self._clients: OrderedDict[Hashable, Client] = OrderedDict()
        self._lock = threading.Lock()
        _all.add(self)

    def get(self, configuration: Hashable, make: Callable[[], Client]) -> Client:
        """Return the client of a configuration, made by ``make`` where there is none yet."""
        client = self._clients.get(configuration)
        if client is None:
            client = self._made(configuration, make)
        # Another thread may have dropped it meanwhile.
        with suppress(KeyError):
            self._clients.move_to_end(configuration)
        return client

    def _made(self, configuration: Hashable, make: Callable[[], Client]) -> Client:
        dropped = []
        with self._lock:
            client = self._clients.get(configuration)
            if client is None:
                client = make()
                while len(self._clients) >= MOST:
                    dropped.append(self._clients.popitem(last=False)[1])
                self._clients[configuration] = client
        for each in dropped if self._drop else ():
            self._drop(each)  # type: ignore[misc]
        return client

    def forget(self, client: Client) -> None:
        """Let a client be made anew at its next use, such as one that found no credentials."""
        with self._lock:
            for configuration in [k for k, each in self._clients.items() if each is client]:
                del self._clients[configuration]

    def _after_fork(self) -> None:
        if not self._outlive_forks:
            self._clients = OrderedDict()
        self._lock = threading.Lock()


_all: weakref.WeakSet[SharedClients[Any]] = weakref.WeakSet()


def _reset_all() -> None:
    # A child that used its parent's sockets would read the answers to the parent's requests.
    for clients in _all:
        clients._after_fork()  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
