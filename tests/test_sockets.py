"""What counts as moving on sockets."""

from __future__ import annotations

import socket

from storages.sockets import unsent


def test_closed_socket_holds_nothing() -> None:
    ours, theirs = socket.socketpair()
    ours.close()
    theirs.close()
    assert unsent(ours) == 0
