"""Which account a storage's options mean: its URL, its name and what opens it."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

#: The account of Microsoft's emulators, whose key is public (their documentation).
EMULATOR = "devstoreaccount1"
EMULATOR_KEY = (
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)
EMULATOR_PORT = 10000


@dataclass(frozen=True)
class Account:
    """An account: where it is, and what opens it. At most one credential is set."""

    name: str
    url: str  # without a query, and without a final slash
    key: str | None = None
    sas: str | None = None  # without the question mark

    @property
    def host(self) -> str:
        """Return host and port, for messages."""
        return urlsplit(self.url).netloc

    @property
    def is_encrypted(self) -> bool:
        """Return True if requests go over TLS."""
        return self.url.startswith("https://")


def split_url(url: str) -> tuple[str, str]:
    """Split an account's URL into the URL itself and the shared access signature in it."""
    parts = urlsplit(url.strip())
    return f"{parts.scheme}://{parts.netloc}{parts.path}".rstrip("/"), parts.query


def check_path(url: str, name: str | None) -> str:
    """Return the account that an account's URL has as its path, ``""`` if it has none.

    Emulators have the account there. Raises ValueError if the path can be no account, since the
    SDK drops a container that stands there.
    """
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise ValueError("must hold a URL of the form https://account.blob.core.windows.net.")
    path = parts.path.strip("/")
    if not path or path == name:
        return path
    if "/" in path or name or not _is_local(parts.hostname):
        raise ValueError(
            "must hold the URL of the account alone: the container is 'azure_container' "
            "(AZURE_CONTAINER), what is before the names is 'location' (AZURE_LOCATION)."
        )
    return path


def _is_local(host: str) -> bool:
    """Return True if a host has no name of its own in the internet, as emulators have none."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host
    return True


def name_in(url: str, path: str) -> str:
    """Return the account's name: the path, or the first part of the host."""
    return path or (urlsplit(url).hostname or "").split(".")[0].removesuffix("-secondary")


def parse_connection_string(text: str) -> dict[str, str]:
    """Return the fields of a connection string by lower-case name, ``blobendpoint`` always.

    Takes the quotes and spaces that come with a string from a file or a shell. Raises ValueError
    with the end of a sentence.
    """
    fields = dict(map(_field, filter(None, map(str.strip, _unquoted(text).split(";")))))
    if fields.get("usedevelopmentstorage", "").lower() == "true":
        host = fields.get("developmentstorageproxyuri", "http://127.0.0.1").rstrip("/")
        fields |= {
            "accountname": EMULATOR,
            "accountkey": EMULATOR_KEY,
            "blobendpoint": f"{host}:{EMULATOR_PORT}/{EMULATOR}",
        }
    if not fields.get("blobendpoint"):
        if not fields.get("accountname"):
            raise ValueError("has no AccountName and no BlobEndpoint: copy it whole.")
        scheme = fields.get("defaultendpointsprotocol", "https")
        suffix = fields.get("endpointsuffix", "core.windows.net")
        fields["blobendpoint"] = f"{scheme}://{fields['accountname']}.blob.{suffix}"
    check_path(split_url(fields["blobendpoint"])[0], fields.get("accountname"))
    if fields.get("accountkey"):
        check_key(fields["accountkey"])
    return fields


def _field(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError("has a part without '=': copy it whole.")
    return name.strip().lower(), _unquoted(value)


def _unquoted(text: str) -> str:
    text = text.strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] in "'\"" else text


def check_key(key: str) -> None:
    """Raise ValueError, with the end of a sentence, if a text can be no account's key."""
    try:
        base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is no base64: copy the key whole.") from None


def check_sas(token: str) -> None:
    """Raise ValueError, with the end of a sentence, if a text is no shared access signature."""
    if "sig" not in parse_qs(token.strip().lstrip("?")):
        raise ValueError("has no 'sig=': copy the token whole.")


def check_url(url: str) -> None:
    """Raise ValueError, with the end of a sentence, if a text is no URL of an account."""
    place, sas = split_url(url)
    path = urlsplit(place).path.strip("/")
    check_path(place, path if "/" not in path else None)
    if sas:
        check_sas(sas)


def check_connection_string(text: str) -> None:
    """Raise ValueError, with the end of a sentence, if a text is no connection string."""
    parse_connection_string(text)


def check_credential(credential: object) -> None:
    """Raise ValueError, with the end of a sentence, if an object gives no tokens."""
    if not callable(credential) and not hasattr(credential, "get_token"):
        raise ValueError("must be a credential of azure-identity, or a function that makes one.")
