"""Azure Blob Storage by Azurite, Microsoft's emulator (npm)."""

from __future__ import annotations

from functools import cached_property

from azure.storage.blob import BlobServiceClient, LinearRetry

from tests.servers import npm
from tests.servers.certificates import Certificate, authority
from tests.servers.process import HOST, Server


class Azurite(Server):
    """Serve blobs from memory; the only account is the emulators' own, whose key is public.

    With a certificate it speaks TLS and takes tokens of Microsoft Entra, whose signature it does
    not check (``--oauth basic``).
    """

    name = "azurite"
    account = "devstoreaccount1"
    key = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="

    def __init__(self, certificate: Certificate | None = None, *, in_memory: bool = True) -> None:
        super().__init__()
        self._certificate = certificate
        self._in_memory = in_memory

    @classmethod
    def available(cls) -> str | None:
        return npm.unavailable("azurite")

    @property
    def url(self) -> str:
        """Return the account's URL."""
        return f"{'https' if self._certificate else 'http'}://{HOST}:{self.port}/{self.account}"

    @cached_property
    def client(self) -> BlobServiceClient:
        """Return Microsoft's own client, which looks past the backends."""
        return BlobServiceClient(
            self.url,
            credential={"account_name": self.account, "account_key": self.key},
            connection_verify=str(authority().ca_file),
            # The server closes a connection that was idle for 6 s, maybe in just this moment.
            retry_policy=LinearRetry(backoff=0, random_jitter_range=0),
        )

    def command(self) -> list[str]:
        flags = ["--blobHost", HOST, "--blobPort", str(self.port), "--silent", "--disableTelemetry"]
        # The newest client speaks a newer version of the API than the emulator knows.
        flags.append("--skipApiVersionCheck")
        if self._in_memory:
            flags.append("--inMemoryPersistence")
        else:
            flags += ["--location", str(self.directory / "data")]
        if self._certificate is not None:
            flags += ["--oauth", "basic"]
            flags += ["--cert", str(self._certificate.cert_file)]
            flags += ["--key", str(self._certificate.key_file)]
        return [*npm.program("azurite", "azurite-blob"), *flags]
