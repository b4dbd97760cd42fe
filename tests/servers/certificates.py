"""A certificate authority for loopback: certificates a client is to accept and to refuse."""

from __future__ import annotations

import ssl
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from ipaddress import IPv4Address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.servers.process import HOST

DAY = timedelta(days=1)
LOOPBACK = (x509.IPAddress(IPv4Address(HOST)), x509.DNSName("localhost"))
ELSEWHERE = (x509.DNSName("elsewhere.example"),)


@dataclass(frozen=True)
class Certificate:
    """A certificate and its private key, as PEM files."""

    cert_file: Path
    key_file: Path

    def server_context(self) -> ssl.SSLContext:
        """Return a context for a server which shows this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert_file, self.key_file)
        return context


@dataclass(frozen=True)
class _Pair:
    """A certificate and its private key, in memory."""

    certificate: x509.Certificate
    key: EllipticCurvePrivateKey


class Authority:
    """Sign certificates; a client which trusts `ca_file` is to accept `good` alone."""

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="certificates-")
        root = _make("Loopback test authority", ())
        self.ca_file = self._write("ca", root).cert_file
        self.good = self._write("good", _make("good", LOOPBACK, root))
        # For 127.0.0.1, valid until yesterday.
        self.expired = self._write("expired", _make("expired", LOOPBACK, root, until=-DAY))
        # Valid, for another host.
        self.wrong_host = self._write("wrong_host", _make("wrong_host", ELSEWHERE, root))
        # For 127.0.0.1, and nobody but itself vouches for it.
        self.self_signed = self._write("self_signed", _make("self_signed", LOOPBACK))

    def client_context(self) -> ssl.SSLContext:
        """Return a verifying context for a client which trusts this authority alone."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def _write(self, name: str, pair: _Pair) -> Certificate:
        directory = Path(self._temporary.name)
        files = Certificate(directory / f"{name}.pem", directory / f"{name}.key")
        files.cert_file.write_bytes(pair.certificate.public_bytes(Encoding.PEM))
        files.key_file.write_bytes(
            pair.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        files.key_file.chmod(0o600)
        return files


@cache
def authority() -> Authority:
    """Return the authority all servers of this run share."""
    return Authority()


def _make(
    name: str,
    hosts: tuple[x509.GeneralName, ...],
    issuer: _Pair | None = None,
    until: timedelta = DAY,
) -> _Pair:
    """Return a certificate for the hosts, signed by the issuer or else by itself."""
    key = generate_private_key(SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer = issuer.key if issuer else key
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 2 * DAY)
        .not_valid_after(now + until)
        .add_extension(x509.BasicConstraints(ca=not hosts, path_length=None), critical=True)
    )
    for extension, critical in _identity(key, signer, ca=not hosts):
        builder = builder.add_extension(extension, critical=critical)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return _Pair(builder.sign(signer, hashes.SHA256()), key)


def _identity(
    key: EllipticCurvePrivateKey, signer: EllipticCurvePrivateKey, *, ca: bool
) -> list[tuple[x509.ExtensionType, bool]]:
    """Return the extensions without which Python 3.13 refuses a chain, and whether critical."""
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return [
        (usage, True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False),
    ]
