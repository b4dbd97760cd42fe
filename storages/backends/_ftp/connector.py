"""How FTP connections are made, checked and closed: what `storages.pool` asks for."""

# ruff: noqa: S321 - that FTP is not encrypted is told by a system check.

from __future__ import annotations

import ftplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from .errors import REFUSED, Refusal
from .location import Location
from .session import Files

NOOP_AFTER = 10.0  # seconds of idleness after which the server is asked whether it is still there


@dataclass(frozen=True)
class Connector:
    """How to connect, for the pool: equal ones share their connections."""

    location: Location
    timeout: float
    encoding: str | None
    ssl_context: ssl.SSLContext | None
    #: What was found out of the server, for all its connections.
    traits: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def lost(self) -> tuple[type[Exception], ...]:
        """Errors after which another connection may do better."""
        return (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError)

    def connect(self) -> Files:
        """Return a connection that is signed in."""
        connection = Files(self.location, self.timeout, self.encoding, self.ssl_context)
        connection.traits = self.traits
        connection.has_facts &= self.traits.get("facts", True)
        return connection

    def check(self, connection: Files, idle: float) -> bool:
        """Return True if the server neither closed the connection nor is about to."""
        try:
            is_quiet = connection.is_quiet()
            if not is_quiet or idle < NOOP_AFTER:
                return is_quiet
            with connection.hurried():
                return bool(connection.voidcmd("NOOP"))
        except (OSError, ftplib.Error):
            return False

    def survives(self, exc: BaseException) -> bool:
        """Return True if the server answered in full."""
        return isinstance(exc, (Refusal, *REFUSED, UnicodeEncodeError))

    def close(self, connection: Files) -> None:
        """Say goodbye without waiting for the answer, and close."""
        with suppress(OSError):
            connection.putcmd("QUIT")
        self.abandon(connection)

    def abandon(self, connection: Files) -> None:
        """Close the sockets."""
        for each in (connection, connection.data):
            if each is not None:
                with suppress(OSError):
                    each.close()
