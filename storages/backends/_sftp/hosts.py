"""Host keys: a known_hosts file read line by line as OpenSSH does (sshd(8)), and what to accept."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fnmatch import translate
from pathlib import Path

import paramiko
from django.core.exceptions import ImproperlyConfigured

SSH_PORT = 22


class HostKeyError(paramiko.SSHException):
    """The host key is not accepted; the text says how to accept it."""


@dataclass(frozen=True)
class Line:
    """One key of a known_hosts file."""

    marker: str  # "@revoked", "@cert-authority" or nothing
    hosts: str
    kind: str
    key: str

    def names(self, host: str) -> bool:
        """Return True if the line is about a host, written ``[host]:port`` if not on port 22."""
        if self.hosts.startswith("|1|"):
            return _is_hash_of(self.hosts, host)
        patterns = self.hosts.lower().split(",")
        if any(_fits(each[1:], host) for each in patterns if each.startswith("!")):
            return False
        return any(_fits(each, host) for each in patterns)


def _fits(pattern: str, host: str) -> bool:
    # Of the letters with a meaning to fnmatch only these two have one here.
    literal = pattern.replace("[", "[[]")
    return re.fullmatch(translate(literal), host.lower()) is not None


def _is_hash_of(hashed: str, host: str) -> bool:
    salt, _, digest = hashed[3:].partition("|")
    try:
        key = base64.b64decode(salt)
    except ValueError:
        return False
    found = hmac.new(key, host.encode(), hashlib.sha1).digest()
    return hmac.compare_digest(base64.b64encode(found).decode(), digest)


def read(path: Path) -> list[Line]:
    """Return the lines of a known_hosts file; those of another form are skipped, as OpenSSH does.

    A file that is not there has none.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise ImproperlyConfigured(
            f"SFTPStorage cannot read {path}: repair it, or give another file by the option "
            "'known_host_file' (setting SFTP_KNOWN_HOST_FILE)."
        ) from exc
    return [*_lines(text)]


def _lines(text: str) -> Iterator[Line]:
    for words in map(str.split, text.splitlines()):
        marker = words.pop(0) if words and words[0].startswith("@") else ""
        if len(words) >= 3 and not words[0].startswith("#") and _is_base64(words[2]):
            yield Line(marker, *words[:3])


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False


def address(host: str, port: int) -> str:
    """Return a host as known_hosts names it."""
    return host if port == SSH_PORT else f"[{host}]:{port}"


class HostKeys(paramiko.MissingHostKeyPolicy):
    """Decides on the key that a host shows: pinned fingerprints alone, or known_hosts and a policy.

    paramiko knows no host itself, so it asks for every one.
    """

    def __init__(
        self, host: str, port: int, policy: str, known_hosts: Path, pinned: Collection[str]
    ) -> None:
        self._host = address(host, port)
        self._policy = policy
        self._path = known_hosts
        self._pinned = pinned
        every = [] if pinned else read(known_hosts)
        self._lines = [line for line in every if line.names(self._host)]
        # As OpenSSH does: a key that is known for the host is good on each of its ports.
        self._others = [line for line in every if line.names(host)]

    @property
    def kinds(self) -> set[str]:
        """The kinds of the known keys."""
        return {line.kind for line in self._lines or self._others if not line.marker}

    def missing_host_key(
        self,
        client: paramiko.SSHClient,  # noqa: ARG002
        hostname: str,  # noqa: ARG002
        key: paramiko.PKey,
    ) -> None:
        if self._pinned:
            self._require_pinned(key)
        elif not self._is_known(key):
            self._decide(key)

    def _require_pinned(self, key: paramiko.PKey) -> None:
        if key.fingerprint not in self._pinned:
            raise HostKeyError(
                f"The host key of {self._host} is none of the option 'host_keys' (setting "
                f"SFTP_HOST_KEYS): {_shown(key)} was seen. Someone may be in between. If it is the "
                "server's own, add it there."
            )

    def _is_known(self, key: paramiko.PKey) -> bool:
        text = key.get_base64()
        lines = [*self._lines, *self._others]
        if any(line.key == text for line in lines if line.marker == "@revoked"):
            raise HostKeyError(
                f"The host key of {self._host}, {_shown(key)}, is revoked in {self._path}: give "
                "the server another key."
            )
        if any(line.key == text for line in lines if not line.marker):
            return True
        # Whoever is in between has keys of each kind, so another kind is no other first occasion.
        is_strict = self._policy == "reject"
        kin = [
            line
            for line in self._lines
            if not line.marker and (line.kind == key.get_name() or not is_strict)
        ]
        if kin:
            raise HostKeyError(
                f"The host key of {self._host} is not the known one: {_fingerprint(kin[0].key)} "
                f"is known, {key.fingerprint} was seen. Someone may be in between. If the server "
                f"was set up anew, forget its key: ssh-keygen -R '{self._host}' -f {self._path}"
            )
        return False

    def _decide(self, key: paramiko.PKey) -> None:
        seen = f"The host key of {self._host} is unknown: {_shown(key)}."
        if self._policy == "reject":
            missing = "" if self._path.exists() else f" {self._path} does not exist."
            raise HostKeyError(
                f"{seen}{missing} Compare the fingerprint with the server's own, then accept it: "
                f"{self._scan()}"
            )
        if self._policy == "auto":
            self._remember(f"{self._host} {key.get_name()} {key.get_base64()}\n")
        warnings.warn(f"{seen} It was accepted unseen.", RuntimeWarning, stacklevel=2)

    def _scan(self) -> str:
        host, _, port = self._host.strip("[").partition("]:")
        directory = "" if self._path.parent.exists() else f"mkdir -m 700 {self._path.parent}; "
        return f"{directory}ssh-keyscan -p {port or SSH_PORT} {host} >> {self._path}"

    def _remember(self, line: str) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._path.open("ab+") as file:
            # The last line of the file may have no end.
            if file.tell():
                file.seek(-1, 2)
                line = line if file.read(1) == b"\n" else f"\n{line}"
            file.write(line.encode())


def _shown(key: paramiko.PKey) -> str:
    return f"{key.get_name()} {key.fingerprint}"


def _fingerprint(text: str) -> str:
    digest = hashlib.sha256(base64.b64decode(text)).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
