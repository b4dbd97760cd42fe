"""What the parts of the backend talk through: trackers for one domain, and nodes over HTTP."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass

from requests import Response, Session

from storages.clients import SharedClients
from storages.http import TRANSPORT_ERRORS, explain_transport, new_session
from storages.pool import Pool

from .connector import Tracker
from .messages import Command, Values
from .urls import Hosts

#: Bytes a second that a tracker or node reads from its disks at least, to sum a file up.
_SLOWEST_DISK = 5 * 1024 * 1024


_sessions: SharedClients[Session] = SharedClients()


def to_nodes() -> Session:
    """Return this process's HTTP connections to storage nodes."""
    return _sessions.get("nodes", _direct)


def _direct() -> Session:
    session = new_session()
    # Nodes are in the private network, which no proxy of the environment leads to.
    session.trust_env = False
    return session


@dataclass(frozen=True)
class Cluster:
    """The trackers and nodes of one configuration."""

    pool: Pool[Tracker]
    http: Session
    domain: str
    hosts: Hosts
    timeout: float

    def command(self, name: str, **values: str | int) -> Command:
        """Return a command on the domain."""
        return Command(name, {"domain": self.domain, **values})

    def ask(self, name: str, **values: str | int) -> Values:
        """Ask a tracker for what can be asked again after a lost connection."""
        return self.ask_together(self.command(name, **values))[0]

    def ask_together(self, *commands: Command) -> list[Values]:
        """Ask several things of a tracker in one exchange; repeated after a lost connection."""
        return self.pool.run(lambda tracker: tracker.ask(*commands))

    def ask_once(self, *commands: Command, size: int) -> list[Values]:
        """Ask what must not be repeated blindly, about a file of so many bytes."""
        with self.pool.lease() as tracker:
            return tracker.ask(*commands, extra=size / _SLOWEST_DISK)

    def request(self, method: str, url: str, **given: object) -> Response:
        """Send a request to a node and return the head of its answer, or raise OSError."""
        send: Callable[..., Response] = self.http.request
        limits = (self.timeout, self.timeout)
        try:
            return send(method, url, timeout=limits, allow_redirects=False, stream=True, **given)
        except TRANSPORT_ERRORS as exc:
            raise OSError(*explain_transport(exc, "A storage node")) from exc


def refused(response: Response) -> OSError:
    """Return the error for a status that is no success."""
    code = {507: errno.ENOSPC, 401: errno.EACCES, 403: errno.EACCES}.get(response.status_code)
    return OSError(code or errno.EIO, f"A storage node answers with status {response.status_code}")
