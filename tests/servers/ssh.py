"""What SSH servers need: key pairs for them and their clients, in OpenSSH's format, and a base."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from tests.servers.process import HOST, Server

if TYPE_CHECKING:
    from pathlib import Path

RSA_BITS = 2048
PASSPHRASE = "open sesame"


class Keys:
    """The keys of one server and of the clients it lets in, as files in `directory`.

    `known_hosts` vouches for the host keys made first, also after `change_host_keys`.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.host_keys = [directory / "host_ed25519", directory / "host_rsa"]
        self.key_file = directory / "id_ed25519"
        self.rsa_key_file = directory / "id_rsa"
        self.encrypted_key_file = directory / "id_ed25519_encrypted"
        self.passphrase = PASSPHRASE
        # The server does not let this one in.
        self.stranger_key_file = directory / "id_stranger"
        self.authorized_keys = directory / "authorized_keys"
        self.known_hosts = directory / "known_hosts"
        directory.mkdir()
        self.change_host_keys()
        self._vouched_for = [_public(path) for path in self.host_keys]
        clients = [
            _write(self.key_file, Ed25519PrivateKey.generate()),
            _write(self.rsa_key_file, generate_private_key(65537, RSA_BITS)),
            _write(self.encrypted_key_file, Ed25519PrivateKey.generate(), PASSPHRASE),
        ]
        _write(self.stranger_key_file, Ed25519PrivateKey.generate())
        self.authorized_keys.write_text("\n".join([*clients, ""]))
        self.authorized_keys.chmod(0o600)

    def change_host_keys(self) -> None:
        """Give the server new keys, to be shown after its next start."""
        ed25519, rsa = self.host_keys
        _write(ed25519, Ed25519PrivateKey.generate())
        _write(rsa, generate_private_key(65537, RSA_BITS))

    def write_known_hosts(self, port: int) -> None:
        """Write `known_hosts` for a server on that port."""
        lines = [f"[{HOST}]:{port} {key}\n" for key in self._vouched_for]
        self.known_hosts.write_text("".join(lines))


def _write(path: Path, key: Ed25519PrivateKey | RSAPrivateKey, passphrase: str = "") -> str:
    """Write the pair as `path` and `path`.pub; return the public key's line."""
    encryption = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, encryption))
    path.chmod(0o600)
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    path.with_name(f"{path.name}.pub").write_text(f"{public}\n")
    return public


def _public(path: Path) -> str:
    return path.with_name(f"{path.name}.pub").read_text().strip()


class SSHServer(Server):
    """What the SFTP servers have in common: keys, and a directory to serve."""

    greeting = b"SSH-2.0-"
    user: str

    def __init__(self) -> None:
        super().__init__()
        self._keys: Keys | None = None

    @property
    def keys(self) -> Keys:
        """Return the server's and its clients' keys."""
        if self._keys is None:
            self._keys = Keys(self.directory / "keys")
        return self._keys

    @property
    def key_file(self) -> Path:
        """Return the private key of a user who may log in."""
        return self.keys.key_file

    @property
    def known_hosts(self) -> Path:
        """Return the file which vouches for the server."""
        return self.keys.known_hosts

    @property
    def root(self) -> Path:
        """Return the directory where a session starts, empty at first."""
        return self.directory / "root"

    def prepare(self) -> None:
        self.root.mkdir(exist_ok=True)
        self.keys.write_known_hosts(self.port)

    def cleanup(self) -> None:
        self._keys = None
