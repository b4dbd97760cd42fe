"""The options of the Azure backends: settings, defaults, what is wrong and what is unsafe."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from storages.base import BaseStorage
from storages.options import option
from storages.utils import check_prefix, is_clear_text

from .account import (
    check_connection_string,
    check_credential,
    check_key,
    check_sas,
    check_url,
    parse_connection_string,
    split_url,
)
from .uploads import Parameters, check_parameters

DAY = 86_400  # seconds

_CONTAINER = re.compile(r"\$root|\$web|\$logs|(?=.{3,63}$)[a-z0-9]+(-[a-z0-9]+)*")

#: Options of the SDK's that cannot be had, and why.
_REFUSED = {
    "transport": "which the storage makes itself",
    **dict.fromkeys(
        ("require_encryption", "encryption_version", "key_encryption_key", "key_resolver_function"),
        "by which the SDK encrypts what only the SDK's downloads could read",
    ),
}

NO_ACCOUNT = (
    "no account is named: set 'account_name' (AZURE_ACCOUNT_NAME), 'account_url' "
    "(AZURE_ACCOUNT_URL) or 'connection_string' (AZURE_CONNECTION_STRING)."
)


def _check_container(name: str) -> None:
    if not _CONTAINER.fullmatch(name):
        raise ValueError("must be 3 to 63 lower-case letters, digits and single hyphens.")


def _check_domain(domain: str) -> None:
    if not urlsplit(domain if "://" in domain else f"//{domain}").hostname:
        raise ValueError("must be a host name.")


def check_expire(seconds: int) -> None:
    """Raise ValueError, with the end of a sentence, for a life that no URL has."""
    if seconds <= 0:
        raise ValueError("must be 1 second or more.")


def _check_positive(number: float) -> None:
    if number <= 0:
        raise ValueError("must be more than 0.")


def _check_client_options(options: Parameters) -> None:
    for name in options.keys() & _REFUSED.keys():
        raise ValueError(f"has {name!r}, {_REFUSED[name]}: remove it.")


def _without_sas(url: Any) -> Any:
    return split_url(url)[0] if "?" in url else url


def _without_secrets(options: Any) -> Any:
    """Leave out what may hold a password or a key."""
    open_to_all = (str, int, float, bool, type(None))
    safe = {n: each for n, each in options.items() if isinstance(each, open_to_all)}
    return {n: each for n, each in safe.items() if "@" not in str(each) and "sig=" not in str(each)}


class AzureOptions(BaseStorage):
    """The options of the Azure backends, and what of them cannot or should not go together."""

    account_name: str | None = option("AZURE_ACCOUNT_NAME", doc="The storage account.")
    account_key: str | None = option(
        "AZURE_ACCOUNT_KEY", secret=True, check=check_key, doc="One of the account's two keys."
    )
    azure_container: str = option(
        "AZURE_CONTAINER",
        required=True,
        check=_check_container,
        doc="The container. It must be there: none is ever made.",
    )
    azure_ssl: bool = option("AZURE_SSL", default=True, doc="False: ``http:`` instead of TLS.")
    connection_string: str | None = option(
        "AZURE_CONNECTION_STRING",
        secret=True,
        check=check_connection_string,
        doc="The account and its credential in one, as the portal shows them.",
    )
    sas_token: str | None = option(
        "AZURE_SAS_TOKEN",
        secret=True,
        check=check_sas,
        doc="A shared access signature, with or without its question mark.",
    )
    token_credential: Any = option(
        "AZURE_TOKEN_CREDENTIAL",
        secret=True,
        check=check_credential,
        doc="A credential of azure-identity, or a function that makes one.",
    )
    account_url: str | None = option(
        "AZURE_ACCOUNT_URL",
        secret=_without_sas,
        check=check_url,
        doc="URL of the account, where it is not the usual one; may hold a signature.",
    )
    endpoint_suffix: str = option(
        "AZURE_ENDPOINT_SUFFIX",
        default="core.windows.net",
        doc="End of the account's host name in other clouds, such as ``core.chinacloudapi.cn``.",
    )
    custom_domain: str | None = option(
        "AZURE_CUSTOM_DOMAIN",
        check=_check_domain,
        doc="Host name for URLs, such as a CDN's. Requests go to the account all the same.",
    )
    location: str = option(
        "AZURE_LOCATION", default="", check=check_prefix, doc="Prefix of every key."
    )
    file_overwrite: bool = option(
        "AZURE_OVERWRITE_FILES",
        default=False,
        doc="Save over a file of the same name instead of finding a free name.",
    )
    overwrite_files: bool = option(alias_of="file_overwrite", default=False)
    upload_max_conn: int = option(
        "AZURE_UPLOAD_MAX_CONN",
        default=2,
        check=_check_positive,
        doc="Blocks of a large file that are uploaded at once.",
    )
    timeout: float = option(
        "AZURE_CONNECTION_TIMEOUT_SECS",
        default=20,
        check=_check_positive,
        doc="Seconds to wait for a connection, and for each answer.",
    )
    max_memory_size: int = option(
        "AZURE_BLOB_MAX_MEMORY_SIZE",
        default=2 * 1024 * 1024,
        doc="Bytes of a file being written that may stay in memory before it moves to disk.",
    )
    expiration_secs: int | None = option(
        "AZURE_URL_EXPIRATION_SECS",
        check=check_expire,
        doc="Seconds a signed URL is valid; without it URLs are not signed.",
    )
    cache_control: str | None = option("AZURE_CACHE_CONTROL", doc="Cache-Control of each file.")
    object_parameters: Parameters | Callable[[str], Parameters] = option(
        "AZURE_OBJECT_PARAMETERS",
        default={},
        check=check_parameters,
        doc="What uploads take: content settings, ``metadata``, ``tags``, ``standard_blob_tier``; "
        "or a function that returns them for a name.",
    )
    client_options: Parameters = option(
        "AZURE_CLIENT_OPTIONS",
        default={},
        secret=_without_secrets,
        check=_check_client_options,
        doc="More keywords for the SDK's ``BlobServiceClient``, which win over the options above.",
    )
    api_version: str | None = option(
        "AZURE_API_VERSION", doc="Version of the service's API; the SDK's newest unless set."
    )

    def root(self) -> tuple[str, ...]:
        """Return the account's URL, the container and the parts of ``location``."""
        return (self._place()[0], *super().root())

    def contradictions(self) -> Iterator[str]:
        """Yield what cannot both hold among the options."""
        yield from super().contradictions()
        if self.connection_string is not None and self.account_url is not None:
            yield (
                "'connection_string' (AZURE_CONNECTION_STRING) and 'account_url' "
                "(AZURE_ACCOUNT_URL) both name the account: set one of them."
            )
            return
        fields = self._connection_fields()
        place, inner = self._place()
        key = fields.get("accountkey") or self.account_key
        sas = fields.get("sharedaccesssignature") or inner or self.sas_token
        token = self.token_credential
        if sum(map(bool, (key, sas, token))) > 1:
            yield (
                "there are several credentials: set one of 'account_key' (AZURE_ACCOUNT_KEY), "
                "'sas_token' (AZURE_SAS_TOKEN) and 'token_credential' (AZURE_TOKEN_CREDENTIAL), or "
                "none where 'connection_string' or 'account_url' holds one."
            )
        if token and place.startswith("http://"):
            yield (
                "'token_credential' (AZURE_TOKEN_CREDENTIAL) is sent over TLS only: set "
                "'azure_ssl' (AZURE_SSL), or begin 'account_url' (AZURE_ACCOUNT_URL) with https."
            )
        if self.expiration_secs and not (key or token):
            yield (
                "'expiration_secs' (AZURE_URL_EXPIRATION_SECS) asks for signed URLs: set "
                "'account_key' (AZURE_ACCOUNT_KEY) or 'token_credential', which can sign."
            )

    def insecurities(self) -> Iterator[str]:
        """Yield what a deployment should not do."""
        yield from super().insecurities()
        place, _ = self._place()
        if not place:
            yield NO_ACCOUNT
        if is_clear_text(place):
            yield "requests go in clear text: set 'azure_ssl' (AZURE_SSL), or use https."
        if self.client_options.get("connection_verify") is False:
            yield "certificates are not verified: unset 'connection_verify' in 'client_options'."
        if is_clear_text(self.custom_domain):
            yield "URLs are http: leave the scheme out of 'custom_domain' (AZURE_CUSTOM_DOMAIN)."
        if self.expiration_secs and self.expiration_secs > DAY:
            yield "signed URLs live for over a day: lower 'expiration_secs'."

    def _connection_fields(self) -> dict[str, str]:
        text = self.connection_string
        return {} if text is None else parse_connection_string(text)

    def _place(self) -> tuple[str, str]:
        """Return the account's URL, ``""`` if no account is named, and the signature in it."""
        url = self._connection_fields().get("blobendpoint") or self.account_url
        if not url and self.account_name:
            scheme = "https" if self.azure_ssl else "http"
            url = f"{scheme}://{self.account_name}.blob.{self.endpoint_suffix}"
        return split_url(url) if url else ("", "")
