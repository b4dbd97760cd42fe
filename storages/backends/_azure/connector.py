"""The client for a storage's account, and the keys it has there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from azure.core.credentials import AzureSasCredential
from azure.storage.blob import BlobClient, BlobServiceClient, ContainerClient
from django.core.exceptions import ImproperlyConfigured

from storages.base import Name
from storages.clients import SharedClients
from storages.options import derived
from storages.utils import RefusedName, frozen, shown

from .account import Account, check_path, name_in
from .options import NO_ACCOUNT, AzureOptions
from .session import ATTEMPTS, Retry, transport

MAX_NAME = 1024  # characters (REST reference, "Naming and referencing containers, blobs")
MAX_SEGMENTS = 254

#: Characters that no blob's name may have, or no XML, in which names are listed.
_FORBIDDEN = re.compile("[\x7f-\x9f\ufffe\uffff]")
#: Options of the SDK that are the transport's.
_TRANSPORT = ("connection_verify", "connection_cert", "use_env_settings")

_services: SharedClients[BlobServiceClient] = SharedClients()


class AzureConnector(AzureOptions):
    """A storage's account, client and names."""

    @derived
    def account(self) -> Account:
        """Find the account that the options mean, and what opens it."""
        for sentence in self.contradictions():
            raise ImproperlyConfigured(f"{type(self).__name__}: {sentence}")
        fields = self._connection_fields()
        place, inner = self._place()
        if not place:
            raise ImproperlyConfigured(f"{type(self).__name__}: {NO_ACCOUNT}")
        name = fields.get("accountname") or self.account_name
        try:
            path = check_path(place, name)
        except ValueError as exc:
            raise ImproperlyConfigured(
                f"{type(self).__name__}: the option 'account_url' (setting AZURE_ACCOUNT_URL) {exc}"
            ) from None
        sas = fields.get("sharedaccesssignature") or inner or self.sas_token or ""
        return Account(
            name=name or name_in(place, path),
            url=place,
            key=fields.get("accountkey") or self.account_key,
            # A plus sign in a URL may be read as a space.
            sas=sas.strip().lstrip("?").replace("+", "%2B") or None,
        )

    @property
    def service_client(self) -> BlobServiceClient:
        """The SDK's client of the account, shared by all storages of one configuration."""
        account = self.account
        configuration = (
            account,
            frozen(self.token_credential),
            self.timeout,
            self.api_version,
            frozen(self.client_options),
        )
        return _services.get(configuration, lambda: self._connect(account))

    def _connect(self, account: Account) -> BlobServiceClient:
        return connect(
            account,
            self.token_credential,
            timeout=self.timeout,
            version=self.api_version,
            options=self.client_options,
        )

    @property
    def client(self) -> ContainerClient:
        """The SDK's client of the container."""
        return self.service_client.get_container_client(self.azure_container)

    def close(self) -> None:
        """Close the idle connections of the shared client; it opens new ones when used again."""
        self.service_client.close()

    def _blob(self, key: str) -> BlobClient:
        return self.service_client.get_blob_client(self.azure_container, key)

    def key(self, name: Name, *, root: bool = False) -> str:
        """Return the key of a name; raises RefusedName where Azure would store another name."""
        key = super().key(name, root=root)
        parts = key.split("/")
        if any(part.endswith(".") for part in parts):
            raise RefusedName(
                f"The name {shown(key)} has a part that ends in a dot: Azure cuts it."
            )
        if len(key) > MAX_NAME or len(parts) > MAX_SEGMENTS:
            raise RefusedName(
                f"The name {shown(key)} is too long: Azure takes {MAX_NAME} characters with the "
                f"location, and {MAX_SEGMENTS} parts."
            )
        if _FORBIDDEN.search(key):
            raise RefusedName(f"The name {shown(key)} holds characters that no blob's name may.")
        return key


def connect(
    account: Account, token: Any, *, timeout: float, version: str | None, options: Mapping[str, Any]
) -> BlobServiceClient:
    """Return the SDK's client for an account; ``options`` are the user's own for it."""
    given = dict(options)
    credential: Any = None
    if account.key:
        # A key alone would fail for hosts whose name does not tell the account.
        credential = {"account_name": account.name, "account_key": account.key}
    elif account.sas:
        # As a text the SDK would parse and quote it again, and show it in the client's URL.
        credential = AzureSasCredential(account.sas)
    elif token is not None:
        credential = token if hasattr(token, "get_token") else token()
    for_transport = {name: given.pop(name) for name in _TRANSPORT if name in given}
    attempts = int(given.pop("retry_total", ATTEMPTS - 1)) + 1
    defaults: dict[str, Any] = {
        "transport": transport(timeout, **for_transport),
        "retry_policy": Retry(timeout, attempts),
        # Azure sends nobody elsewhere; a redirect would take the credential along.
        "permit_redirects": False,
        **({"api_version": version} if version else {}),
    }
    try:
        return BlobServiceClient(account.url, credential=credential, **(defaults | given))
    except (TypeError, ValueError) as exc:
        raise ImproperlyConfigured(
            "The blob client refuses 'account_url' (AZURE_ACCOUNT_URL), 'token_credential' "
            "(AZURE_TOKEN_CREDENTIAL), 'api_version' (AZURE_API_VERSION) or 'client_options' "
            f"(AZURE_CLIENT_OPTIONS): {type(exc).__name__}."
        ) from exc
