"""What goes wrong while an SSH connection is made, as built-in errors that say what to change."""

from __future__ import annotations

import errno

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from .hosts import HostKeyError
from .messages import LostError

#: What paramiko and its sockets raise while they connect.
CONNECTING = (EOFError, paramiko.SSHException, TimeoutError, ConnectionError)
_PLACE = "the options 'host' (SFTP_STORAGE_HOST) and 'params' (SFTP_STORAGE_PARAMS)"


def explained(
    exc: Exception, address: str, transport: paramiko.Transport | None, *, late: bool
) -> OSError:
    """Return the error for what was raised by connecting; ``late`` if that took too long."""
    if isinstance(exc, HostKeyError):
        return PermissionError(errno.EPERM, str(exc))
    if late or isinstance(exc, TimeoutError):
        return TimeoutError(
            errno.ETIMEDOUT,
            f"{address} does not answer: check host and network, or raise the option 'timeout' "
            "(setting SFTP_STORAGE_TIMEOUT)",
        )
    if isinstance(exc, IncompatiblePeer):
        return OSError(
            errno.EPROTONOSUPPORT,
            f"{address} offers none of the algorithms paramiko knows: update the server",
        )
    if isinstance(exc, ConnectionRefusedError):
        return ConnectionRefusedError(
            errno.ECONNREFUSED, f"{address} refuses connections: is an SSH server there?"
        )
    is_unwelcome = (
        transport is not None and transport.is_active() and not transport.is_authenticated()
    )
    is_refused = is_unwelcome or isinstance(exc, paramiko.AuthenticationException)
    if is_refused and not _has_ended(transport):
        return PermissionError(
            errno.EACCES,
            f"{address} refused the login: check username, password and keys in the option "
            "'params' (setting SFTP_STORAGE_PARAMS)",
        )
    hint = ""
    if is_refused:
        hint = (
            " while it was to answer a login: check username and password if it does so each time"
        )
    elif transport is not None and not transport.remote_version:
        hint = f", and did not say that it is an SSH server: check {_PLACE}"
    return LostError(errno.ECONNRESET, f"{address} closed the connection{hint}")


def _has_ended(transport: paramiko.Transport | None) -> bool:
    """Return True if the connection ended before a login was answered.

    paramiko calls that a refusal. The name of the user is set until the answer to a login comes.
    """
    handler = transport.auth_handler if transport is not None else None
    if transport is None or handler is None or handler.get_username() is None:
        return False
    return bool(getattr(transport.sock, "has_ended", False))
