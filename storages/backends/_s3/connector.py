"""The boto3 client of a storage, and how requests about its bucket are sent."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Hashable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError, NoCredentialsError, ProfileNotFound
from django.core.exceptions import ImproperlyConfigured

from storages.clients import SharedClients
from storages.options import derived, environment
from storages.utils import frozen

from .configs import client_config
from .errors import code_of
from .options import READ_PARAMETERS, S3Options
from .session import Session
from .signing import UrlSigner

POOL_CONNECTIONS = 64  # of one client; urllib3 throws away what is over it

#: Parameters that every request takes.
EVERY_REQUEST = frozenset({"ExpectedBucketOwner", "RequestPayer"})
#: Closes a bucket to the public, whatever its ACLs and policies say.
CLOSED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
#: For services other than AWS, which know no checksums newer than themselves; that the signature
#: covers the bytes guards them instead.
CHECKSUMS = {
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}
#: What a client is made of; the charset is read for its check alone.
CLIENT_OPTIONS = (
    "file_name_charset",
    "access_key",
    "secret_key",
    "security_token",
    "session_profile",
    "region_name",
    "use_ssl",
    "verify",
    "proxies",
    "addressing_style",
    "signature_version",
    "client_config",
)
#: What boto3 reads of the environment: its own variables, and those of proxies and certificates.
_READ_BY_BOTO3 = re.compile(r"AWS_|BOTO_|HOME$|\w*CA_BUNDLE$|\w+_PROXY$", re.IGNORECASE)
#: Buckets and access points that boto3 alone knows how to sign for.
_SPECIAL = re.compile(r"arn:.*|.*--x-s3")


@dataclass(eq=False)
class Connection:
    """A boto3 client, what it was made by and with, and what its use has shown."""

    client: Any
    maker: boto3.session.Session
    config: Config
    signer: UrlSigner
    session: Session
    #: Under "exclusive" whether the service refuses to replace a file if it is told not to.
    shown: dict[str, bool]

    @property
    def is_exclusive(self) -> bool | None:
        """True if the service keeps to ``If-None-Match``, None if that is to be found out."""
        endpoint = self.client.meta.endpoint_url
        return True if is_aws(endpoint) or is_r2(endpoint) else self.shown.get("exclusive")

    @cached_property
    def resource(self) -> Any:
        """The boto3 resource of the client, which costs more time than few sites have use for."""
        # boto3 makes a resource around a client of its own, which is left alone.
        meta = self.client.meta
        made = self.maker.resource(
            "s3", region_name=meta.region_name, endpoint_url=meta.endpoint_url
        )
        return type(made)(client=self.client)


_connections: SharedClients[Connection] = SharedClients()
#: Each holds boto3's model of S3, 12 MiB.
_sessions: SharedClients[boto3.session.Session] = SharedClients()


class S3Connector(S3Options):
    """Makes the client, shared by all storages of one configuration in one environment."""

    @derived
    def _connection(self) -> Connection:
        return self._connect(self.endpoint_url)

    @derived
    def connection(self) -> Any:
        """Give the boto3 resource, shared by all storages of one configuration."""
        return self._connection.resource

    @derived
    def client(self) -> Any:
        """Give the boto3 client of `connection`."""
        return self._connection.client

    @property
    def config(self) -> Config:
        """The botocore configuration: defaults, then ``client_config``, then the single options."""
        return self._connection.config

    @property
    def _patience(self) -> float:
        """For how many seconds the client waits for the next piece of an answer."""
        seconds: float | None = getattr(self._connection.config, "read_timeout", None)
        return math.inf if seconds is None else seconds

    def doubts(self) -> Iterator[str]:
        """Yield where the endpoint holds the bucket's name, which is then said twice."""
        yield from super().doubts()
        url = urlsplit(self.endpoint_url or "")
        first, _, rest = (url.hostname or "").partition(".")
        # A service may be called as the bucket is: minio.example.com.
        is_host = first == self.bucket_name and rest.count(".") > 1
        if self.bucket_name and (is_host or url.path.strip("/") == self.bucket_name):
            yield (
                "'endpoint_url' (AWS_S3_ENDPOINT_URL) holds the name of the bucket, which "
                "'bucket_name' (AWS_STORAGE_BUCKET_NAME) adds: set it to the service alone."
            )

    def close(self) -> None:
        """Close the idle connections of the shared client; it opens new ones when used again."""
        self.client.close()

    # -- making -----------------------------------------------------------------------------------

    def _connect(self, endpoint_url: str | None, *, signed: bool = True) -> Connection:
        read = environment()
        variables = tuple(sorted(each for each in read.items() if _READ_BY_BOTO3.match(each[0])))
        bucket = self.bucket_name
        kind = (bool(_SPECIAL.fullmatch(bucket)), "." in bucket)
        values = [_frozen(getattr(self, name)) for name in CLIENT_OPTIONS]
        key = (endpoint_url, signed, kind, variables, *values)
        return _connections.get(key, lambda: self._make(endpoint_url, variables, signed=signed))

    def _make(self, endpoint_url: str | None, variables: Hashable, *, signed: bool) -> Connection:
        for sentence in self.contradictions():
            raise ImproperlyConfigured(f"{type(self).__name__}: {sentence}")
        try:
            session = self._session(variables)
            config = self._given_config()
            if not signed:
                config = config.merge(Config(signature_version=UNSIGNED))
            # Only a client knows what environment and profile say of regions and endpoints.
            is_known = bool(endpoint_url) and not is_aws(str(endpoint_url))
            client = None if is_known else self._client(session, endpoint_url, config)
            rest = dict(self._fitting(session, config, client and client.meta))
            if client is None or rest:
                config = config.merge(Config(**rest))
                client = self._client(session, endpoint_url, config)
        except ProfileNotFound as exc:
            raise ImproperlyConfigured(
                f"{type(self).__name__}: there is no profile as 'session_profile' "
                "(AWS_S3_SESSION_PROFILE, or AWS_PROFILE in the environment) says: set it to one "
                "that 'aws configure list-profiles' shows, or unset it."
            ) from exc
        except ValueError as exc:
            raise ImproperlyConfigured(
                f"{type(self).__name__}: boto3 refuses 'endpoint_url' (AWS_S3_ENDPOINT_URL) or "
                "another option of the connection."
            ) from exc
        return Connection(client, session, config, UrlSigner(client), Session(client), {})

    def _session(self, variables: Hashable) -> boto3.session.Session:
        """Return boto3's session for the profile, another where the environment has changed."""
        profile = self.session_profile
        key = (profile, variables)
        return _sessions.get(key, lambda: boto3.session.Session(profile_name=profile))

    def _client(
        self, session: boto3.session.Session, endpoint_url: str | None, config: Config
    ) -> Any:
        return session.client(
            "s3",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            aws_session_token=self.security_token,
            region_name=self.region_name,
            endpoint_url=endpoint_url,
            use_ssl=self.use_ssl,
            verify=self.verify,
            config=config,
        )

    def _given_config(self) -> Config:
        """Return what the options say, and our defaults where no one says another thing."""
        given = client_config(self.client_config or {})
        single: dict[str, Any] = {
            "signature_version": self.signature_version,
            "proxies": self.proxies,
        }
        if self.addressing_style:
            s3 = getattr(given, "s3", None) or {}
            single["s3"] = {**s3, "addressing_style": self.addressing_style}
        defaults: dict[str, Any] = {"max_pool_connections": POOL_CONNECTIONS}
        if not _SPECIAL.fullmatch(self.bucket_name):
            defaults["signature_version"] = "s3v4"
        said = client_config({name: each for name, each in single.items() if each})
        return Config(**defaults).merge(given).merge(said)

    def _fitting(
        self, session: boto3.session.Session, config: Config, meta: Any
    ) -> Iterator[tuple[str, Any]]:
        """Yield what suits the place that a client found, but for what the user decided.

        ``meta`` is None for an endpoint of the user's that is not Amazon's.
        """
        profile = session._session.get_scoped_config()  # noqa: SLF001 - boto3 has no public name
        s3: Any = getattr(config, "s3", None) or {}
        if meta is None or not is_aws(meta.endpoint_url):
            for name, value in CHECKSUMS.items():
                is_said = f"AWS_{name.upper()}" in os.environ or name in profile
                if getattr(config, name, None) is None and not is_said:
                    yield name, value
            if "payload_signing_enabled" not in s3:
                yield "s3", {**s3, "payload_signing_enabled": True}
            return
        styles = {**_section(profile), **s3}
        # boto3 signs URLs for the global host name, which redirects for young buckets elsewhere.
        is_plain = "." not in self.bucket_name and not _SPECIAL.fullmatch(self.bucket_name)
        is_regional = meta.region_name not in {None, "aws-global"}
        if is_plain and is_regional and "addressing_style" not in styles and not self.endpoint_url:
            yield "s3", {**s3, "addressing_style": "virtual"}

    # -- requests ---------------------------------------------------------------------------------

    @derived
    def _sender(self) -> tuple[Session, Mapping[str, Any]]:
        """Give what sends requests, and what every one of them says."""
        given = {n: each for n, each in self.object_parameters.items() if n in EVERY_REQUEST}
        return self._connection.session, {"Bucket": self.bucket_name, **given}

    @derived
    def _read_parameters(self) -> Mapping[str, Any]:
        return {n: each for n, each in self.object_parameters.items() if n in READ_PARAMETERS}

    def _call(self, operation: str, **arguments: Any) -> Any:
        """Send a request about the bucket, which is made first if it is missing and may be."""
        session, said = self._sender
        arguments = {**said, **arguments}
        try:
            return session.call(operation, arguments)
        except NoCredentialsError:
            self._forget_client()
        except ClientError as exc:
            if code_of(exc) != "NoSuchBucket" or not self.auto_create_bucket:
                raise
            self._create_bucket()
        return self._sender[0].call(operation, arguments)

    def _forget_client(self) -> None:
        """Let boto3 look for credentials anew: that it found none may be a passing trouble."""
        _connections.forget(self._connection)
        made = (S3Connector._connection, S3Connector.connection, S3Connector.client)
        for each in (*made, S3Connector._sender):
            each.__delete__(self)

    def _create_bucket(self) -> None:
        client, region = self.client, self.client.meta.region_name
        parameters: dict[str, Any] = {}
        if region not in {None, "us-east-1", "aws-global"}:
            parameters["CreateBucketConfiguration"] = {"LocationConstraint": region}
        if self.bucket_acl:
            # Without an ownership that allows ACLs, AWS refuses the ACL.
            parameters |= {"ACL": self.bucket_acl, "ObjectOwnership": "BucketOwnerPreferred"}
        with suppress(client.exceptions.BucketAlreadyOwnedByYou):
            client.create_bucket(Bucket=self.bucket_name, **parameters)
        if not self.bucket_acl:
            # AWS does this by itself today; other services may not know the request.
            with suppress(ClientError):
                client.put_public_access_block(
                    Bucket=self.bucket_name, PublicAccessBlockConfiguration=CLOSED
                )


def is_aws(endpoint_url: str) -> bool:
    """Return True if a URL is one of Amazon's."""
    host = urlsplit(endpoint_url).hostname or ""
    return host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def is_r2(endpoint_url: str) -> bool:
    """Return True if a URL is one of Cloudflare R2's, whose manual promises ``If-None-Match``."""
    return (urlsplit(endpoint_url).hostname or "").endswith(".r2.cloudflarestorage.com")


def _frozen(value: Any) -> Hashable:
    """Return a stand-in for an option's value; equal configurations of botocore have equal ones."""
    if isinstance(value, Config):
        given = {name: getattr(value, name, None) for name in Config.OPTION_DEFAULTS}
        return frozen({name: _frozen(each) for name, each in given.items()})
    return frozen(value)


def _section(profile: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a profile says of S3."""
    section = profile.get("s3")
    return section if isinstance(section, dict) else {}
