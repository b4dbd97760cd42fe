"""SDK clients, shared by all storages of one configuration in a process."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

Client = TypeVar("Client")

_MAX_CLIENTS = 64  # configurations remembered, for sites that make them per tenant


class SharedClients(Generic[Client]):
    """Keeps one client per configuration, made at first use and again in a forked child.

    For thread-safe clients only. The configuration is any hashable value; see `frozen`.
    """

    def __init__(self) -> None:
        self._reset()
        _all.add(self)

    def get(self, configuration: Hashable, make: Callable[[], Client]) -> Client:
        """Return the client of a configuration, made by ``make`` where there is none yet."""
        client = self._clients.get(configuration)
        if client is None:
            with self._lock:
                client = self._clients.get(configuration)
                if client is None:
                    client = make()
                    self._remember(configuration, client)
        return client

    def _remember(self, configuration: Hashable, client: Client) -> None:
        if len(self._clients) >= _MAX_CLIENTS:
            del self._clients[next(iter(self._clients))]
        self._clients[configuration] = client

    def _reset(self) -> None:
        self._clients: dict[Hashable, Client] = {}
        self._lock = threading.Lock()


_all: weakref.WeakSet[SharedClients[Any]] = weakref.WeakSet()


def _reset_all() -> None:
    # A child that used its parent's sockets would read the answers to the parent's requests.
    for clients in _all:
        clients._reset()  # noqa: SLF001


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_all)
