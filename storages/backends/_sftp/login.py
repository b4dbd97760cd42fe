"""What is given for a login, made into what paramiko takes: numbers, key files, passphrases."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import paramiko
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_ssh_private_key,
)
from django.core.exceptions import ImproperlyConfigured

#: Ways to log in that make the keys of whoever runs this process nobody's business.
GIVEN = ("password", "pkey", "key_filename")

_PORTS = range(1, 65536)
_TIMES = ("timeout", "banner_timeout", "auth_timeout", "channel_timeout")
_CLASSES: Mapping[type, type[paramiko.PKey]] = {
    RSAPrivateKey: paramiko.RSAKey,
    EllipticCurvePrivateKey: paramiko.ECDSAKey,
    Ed25519PrivateKey: paramiko.Ed25519Key,
}


def port_of(params: Mapping[str, Any]) -> int:
    """Return the port; raises ValueError with the end of a sentence on the option."""
    given = params.get("port")
    try:
        port = int(22 if given in (None, "") else given)
    except (TypeError, ValueError):
        port = 0
    if port not in _PORTS:
        raise ValueError("must have a 'port' between 1 and 65535")
    return port


def times_of(params: Mapping[str, Any]) -> dict[str, float]:
    """Return the time limits; raises ValueError with the end of a sentence on the option."""
    times = {}
    for name in _TIMES:
        if (given := params.get(name)) not in (None, ""):
            try:
                times[name] = float(given)
            except (TypeError, ValueError):
                raise ValueError(f"must have a number of seconds as {name!r}") from None
    return times


def arguments(params: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """Return arguments for ``SSHClient.connect()``, with the key of a file instead of its name."""
    limits = {**dict.fromkeys(_TIMES, timeout), **times_of(params), "port": port_of(params)}
    found = {name: value for name, value in params.items() if value not in (None, "")} | limits
    if files := _files(found.pop("key_filename", None)):
        keys = [load_key(path, found.get("passphrase") or found.get("password")) for path in files]
        if len(keys) > 1 or found.get("pkey"):
            found["key_filename"] = [str(path) for path in files]
        else:
            found["pkey"] = keys[0]
    if any(found.get(name) for name in GIVEN):
        return {"allow_agent": False, "look_for_keys": False} | found
    return found


def with_password(params: Mapping[str, Any], password: str) -> dict[str, Any]:
    """Return parameters for a login by password alone: what was refused before is not repeated."""
    left = {name: value for name, value in params.items() if name not in GIVEN}
    return {**left, "password": password, "allow_agent": False, "look_for_keys": False}


def _files(given: Any) -> list[Path]:
    several = given if isinstance(given, Iterable) and not isinstance(given, (str, bytes)) else None
    each = several if several is not None and not isinstance(given, os.PathLike) else [given]
    return [Path(os.path.expanduser(os.fsdecode(path))) for path in each if path]  # noqa: PTH111


def load_key(path: Path, passphrase: Any) -> paramiko.PKey:
    """Return the private key in a file, of any format that OpenSSH writes."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise _unusable(f"cannot read the 'key_filename': {exc.strerror}") from exc
    if data.startswith(b"PuTTY-User-Key-File"):
        raise _unusable(
            "cannot use a 'key_filename' in PuTTY's format: convert it by "
            "puttygen key.ppk -O private-openssh -o key"
        )
    secret = passphrase.encode() if isinstance(passphrase, str) else passphrase
    loaded = _loaded(data, secret)
    kind = next((each for each in _CLASSES if isinstance(loaded, each)), None)
    if kind is None:
        raise _unusable("has a 'key_filename' with a key of a kind that paramiko does not know")
    text = loaded.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    key = _CLASSES[kind].from_private_key(io.StringIO(text))
    certificate = path.with_name(f"{path.name}-cert.pub")
    if certificate.exists():
        key.load_certificate(str(certificate))
    return key


def _loaded(data: bytes, passphrase: bytes | None) -> Any:
    load = load_ssh_private_key if b"BEGIN OPENSSH PRIVATE KEY" in data else load_pem_private_key
    # The password of the account is tried as a passphrase too, for keys that have none as well.
    for secret in (None, passphrase):
        try:
            return load(data, secret)
        except TypeError:
            if passphrase is None:
                raise _unusable(
                    "has a 'key_filename' with an encrypted key: give its 'passphrase'"
                ) from None
        except (ValueError, UnsupportedAlgorithm) as exc:
            problem = (
                "has a 'key_filename' that is no private key, or one of an unknown format"
                if secret is None
                else "has a wrong 'passphrase' for its 'key_filename'"
            )
            raise _unusable(problem) from exc
    raise AssertionError  # an unencrypted key was loaded, and an encrypted one took the secret


def _unusable(problem: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(
        f"SFTPStorage: the option 'params' (setting SFTP_STORAGE_PARAMS) {problem}."
    )
