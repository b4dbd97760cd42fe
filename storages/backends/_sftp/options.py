"""The options of the SFTP backend, and what of them cannot or should not be."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Literal

from paramiko import PKey, SSHClient, SSHException
from paramiko.pkey import UnknownKeyType

from storages.options import UNSET, option, positional
from storages.pooled import PooledStorage

from .login import port_of, times_of

_SECRETS = frozenset({"password", "passphrase", "pkey", "sock", "auth_strategy"})
_PARAMS = frozenset(signature(SSHClient.connect).parameters) - {"self", "hostname"}


def _without_secrets(params: Mapping[str, Any]) -> Any:
    safe = {name: value for name, value in params.items() if name not in _SECRETS}
    return params if len(safe) == len(params) else safe or UNSET


def _check_params(params: Mapping[str, Any]) -> None:
    if unknown := sorted(params.keys() - _PARAMS):
        raise ValueError(f"must not have {unknown[0]!r}: paramiko's connect() does not take it")
    port_of(params)
    times_of(params)


def _check_root(path: str) -> None:
    # The protocol knows no home; a directory called "~" would be made.
    if path.startswith("~") and path.strip("~/"):
        user, _, rest = path.partition("/")
        if user == "~":
            raise ValueError(f"must not begin with '~': a login starts there, so give {rest!r}")


def _check_mode(mode: int) -> None:
    # Who writes 644 means 0o644: as a number it is 0o1204, which nobody wants.
    if not 0 <= mode <= 0o7777 or 0o1000 <= mode <= 777:
        raise ValueError("must be a mode in octal, such as 0o644")


def _check_id(number: int) -> None:
    if not 0 <= number < 1 << 32:
        raise ValueError("must be from 0 to 4294967295")


def pinned(line: str) -> tuple[str, str]:
    """Return kind and fingerprint of the host key that a line gives; a fingerprint has no kind."""
    if re.fullmatch("SHA256:[A-Za-z0-9+/]{43}", line):
        return "", line
    try:
        kind, text, *_ = line.split()
        return kind, PKey.from_type_string(kind, base64.b64decode(text, validate=True)).fingerprint
    except (ValueError, SSHException, UnknownKeyType):
        raise ValueError(
            "must hold fingerprints such as SHA256:… (43 characters), or public keys such as "
            "'ssh-ed25519 AAAA…'"
        ) from None


def _check_host_keys(lines: Sequence[str]) -> None:
    for line in lines:
        pinned(line)


def _check_host(host: str) -> None:
    if "/" in host or "@" in host:
        raise ValueError(
            "must be a name alone: user and port belong into 'params', a directory into "
            "'root_path'."
        )


class SFTPOptions(PooledStorage):
    """The options of `SFTPStorage`."""

    elsewhere = dict.fromkeys(
        ("port", "user", "username", "password", "key_filename", "pkey", "passphrase"),
        "'params' (SFTP_STORAGE_PARAMS)",
    )

    host: str = positional(
        "SFTP_STORAGE_HOST",
        default=None,
        required=True,
        check=_check_host,
        kw_only=False,
        doc="Name or address of the server.",
    )
    params: Mapping[str, Any] = positional(
        "SFTP_STORAGE_PARAMS",
        default={},
        secret=_without_secrets,
        check=_check_params,
        kw_only=False,
        doc="Arguments of paramiko's ``SSHClient.connect()`` but the host: ``port``, ``username``, "
        "``password``, ``key_filename``, ``pkey``, ``passphrase`` and so on. ``sock`` may be a "
        "callable that makes a socket. The SSH agent and the keys in ``~/.ssh`` are tried only "
        "where no password and no key is given.",
    )
    interactive: bool = positional(
        "SFTP_STORAGE_INTERACTIVE",
        default=False,
        kw_only=False,
        doc="Ask for a password where the login is refused and there is a terminal.",
    )
    file_mode: int | None = positional(
        "SFTP_STORAGE_FILE_MODE",
        default=None,
        check=_check_mode,
        kw_only=False,
        doc="Mode of new files, such as 0o644; the server's umask decides where it is not set.",
    )
    dir_mode: int | None = positional(
        "SFTP_STORAGE_DIR_MODE",
        default=None,
        check=_check_mode,
        kw_only=False,
        doc="Mode of new directories, on every level.",
    )
    uid: int | None = positional(
        "SFTP_STORAGE_UID",
        default=None,
        check=_check_id,
        kw_only=False,
        doc="Owner of new files and directories, a number.",
    )
    gid: int | None = positional(
        "SFTP_STORAGE_GID",
        default=None,
        check=_check_id,
        kw_only=False,
        doc="Group of new files and directories, a number.",
    )
    known_host_file: str | Path = positional(
        "SFTP_KNOWN_HOST_FILE",
        default="~/.ssh/known_hosts",
        kw_only=False,
        doc="File with the keys of known hosts, in OpenSSH's format.",
    )
    root_path: str = positional(
        "SFTP_STORAGE_ROOT",
        default="",
        check=_check_root,
        kw_only=False,
        doc="Directory of all files, absolute or relative to where a login starts; ``location`` "
        "is a prefix under it.",
    )
    # The last by position, which type checkers cannot know: to them it keeps its base's place.
    base_url: str | None = option(
        "SFTP_BASE_URL",
        "MEDIA_URL",
        kw_only=False,
        doc="URL under which the files are served.",
    )
    host_key_policy: Literal["reject", "warn", "auto"] = option(
        "SFTP_HOST_KEY_POLICY",
        default="reject",
        doc="What to do with the key of an unknown host: refuse it, accept it with a warning, or "
        "write it to ``known_host_file`` too. A key that changed is refused in any case.",
    )
    host_keys: Sequence[str] = option(
        "SFTP_HOST_KEYS",
        default=(),
        check=_check_host_keys,
        doc="The only host keys to accept, as fingerprints (``SHA256:…``) or public keys "
        "(``ssh-ed25519 AAAA…``); ``known_host_file`` is not read then.",
    )
    timeout: float = option(
        "SFTP_STORAGE_TIMEOUT",
        default=30.0,
        doc="Seconds to wait for the server, each time that it has something to answer.",
    )
    max_connections: int = option(
        "SFTP_MAX_CONNECTIONS",
        default=8,
        doc="Connections of a process at most; a file being read has one for itself.",
    )

    def root(self) -> tuple[str, ...]:
        """Return port, user, host and the parts of the directory.

        Another user may see other files under the same names.
        """
        place = (str(port_of(self.params)), str(self.params.get("username") or ""))
        return (*place, *super().root())

    def contradictions(self) -> Iterator[str]:
        """Yield what cannot be: waiting for no time or by no connection, and two policies."""
        if self.timeout <= 0:
            yield "The option 'timeout' (setting SFTP_STORAGE_TIMEOUT) must be above 0."
        if self.max_connections < 1:
            yield "The option 'max_connections' (setting SFTP_MAX_CONNECTIONS) must be above 0."
        if self.host_keys and self.host_key_policy != "reject":
            yield (
                "The option 'host_keys' (setting SFTP_HOST_KEYS) leaves nothing to the "
                "'host_key_policy' (setting SFTP_HOST_KEY_POLICY): set one of them."
            )

    def doubts(self) -> Iterator[str]:
        """Yield why no host can be known, which django-storages 1.14 did not mind."""
        is_strict = self.host_key_policy == "reject" and not self.host_keys
        # A user without a home has none for "~" either.
        path = os.path.expanduser(self.known_host_file)  # noqa: PTH111
        if is_strict and not Path(path).exists():
            yield (
                "the server will be refused, because there is no file of known hosts: set "
                "'host_keys' (SFTP_HOST_KEYS), or make the file that 'known_host_file' "
                "(SFTP_KNOWN_HOST_FILE) names. django-storages 1.14 accepted any host."
            )

    def insecurities(self) -> Iterator[str]:
        """Yield what lets others read over the shoulder, or write."""
        yield from super().insecurities()
        if self.host_key_policy != "reject":
            yield (
                "The option 'host_key_policy' (setting SFTP_HOST_KEY_POLICY) accepts unknown "
                "hosts, which may be anyone: use 'reject'."
            )
        for name in ("file_mode", "dir_mode"):
            if (getattr(self, name) or 0) & 0o002:
                yield (
                    f"The option '{name}' (setting SFTP_STORAGE_{name.upper()}) lets everyone on "
                    "the server write."
                )
