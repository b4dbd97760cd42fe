"""The options of the S3 backends: settings, defaults, what is wrong and what is unsafe."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from boto3.s3.transfer import S3Transfer, TransferConfig
from botocore.config import Config

from storages.base import BaseStorage
from storages.options import UNSET, derived, option, positional
from storages.utils import check_authorities, check_prefix, is_clear_text

from . import logs  # noqa: F401 - keeps secrets out of botocore's logs
from .configs import check_client, check_transfer, written
from .configs import transfer_config as made_transfer

MIN_PART = 5 * 1024 * 1024  # bytes (S3 user guide, "Multipart upload limits")
MAX_EXPIRE = 604_800  # seconds (S3 API reference, "Authenticating requests: query parameters")
DAY = 86_400  # seconds

HEADERS = {
    "cache-control": "CacheControl",
    "content-disposition": "ContentDisposition",
    "content-encoding": "ContentEncoding",
    "content-language": "ContentLanguage",
    "content-type": "ContentType",
    "expires": "Expires",
    "x-amz-acl": "ACL",
    "x-amz-grant-full-control": "GrantFullControl",
    "x-amz-grant-read": "GrantRead",
    "x-amz-grant-read-acp": "GrantReadACP",
    "x-amz-grant-write-acp": "GrantWriteACP",
    "x-amz-server-side-encryption": "ServerSideEncryption",
    "x-amz-server-side-encryption-aws-kms-key-id": "SSEKMSKeyId",
    "x-amz-storage-class": "StorageClass",
    "x-amz-tagging": "Tagging",
    "x-amz-website-redirect-location": "WebsiteRedirectLocation",
}
METADATA_HEADER = "x-amz-meta-"
UPLOAD_PARAMETERS = frozenset(S3Transfer.ALLOWED_UPLOAD_ARGS)
READ_PARAMETERS = frozenset(S3Transfer.ALLOWED_DOWNLOAD_ARGS)
PUBLIC_ACLS = frozenset({"public-read", "public-read-write", "authenticated-read"})


def _check_bucket(name: str) -> None:
    # The ARN of an access point has a slash; an alias of one has none.
    if not name.startswith("arn:") and set("/:") & set(name):
        raise ValueError("must be a bucket's name alone; a directory belongs into 'location'.")


def _check_headers(headers: Mapping[str, Any]) -> None:
    for name in headers:
        if name.lower() not in HEADERS and not name.lower().startswith(METADATA_HEADER):
            raise ValueError(f"has {name!r}, which is no header S3 stores: remove it.")


def _check_parameters(parameters: Mapping[str, Any]) -> None:
    if unknown := parameters.keys() - UPLOAD_PARAMETERS - READ_PARAMETERS:
        raise ValueError(f"has {min(unknown)!r}, which boto3 does not know: remove it.")


def check_expire(seconds: int) -> None:
    if not 0 < seconds <= MAX_EXPIRE:
        raise ValueError(f"must be from 1 to {MAX_EXPIRE} seconds.")


def _check_round(seconds: int) -> None:
    if not 0 <= seconds < MAX_EXPIRE:
        raise ValueError(f"must be from 0 to {MAX_EXPIRE - 1} seconds.")


def _check_part_size(size: int) -> None:
    if size < MIN_PART:
        raise ValueError(f"must be at least {MIN_PART} bytes, S3's smallest part.")


def _check_charset(charset: str) -> None:
    if charset.lower().replace("-", "") != "utf8":
        raise ValueError("must be utf-8: S3 has no other.")


def _check_endpoint(url: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://.")
    if "@" in url:
        raise ValueError(
            "must not hold a user or a password, which no request would send: set 'access_key' "
            "(AWS_ACCESS_KEY_ID) and 'secret_key' (AWS_SECRET_ACCESS_KEY)."
        )


def _check_domain(domain: str | Literal[False]) -> None:
    if domain and "://" in domain:
        raise ValueError("must be a host name without http:// or https://.")


def _check_style(style: str) -> None:
    if style not in {"virtual", "path", "auto"}:
        raise ValueError("must be 'virtual', 'path' or 'auto'.")


def _check_protocol(protocol: str) -> None:
    if protocol not in {"http:", "https:"}:
        raise ValueError("must be 'http:' or 'https:'.")


def query_name(parameter: str) -> str:
    """Turn boto3's ``ResponseContentType`` into S3's ``response-content-type``."""
    if not parameter.startswith("Response"):
        return parameter[:1].lower() + parameter[1:]
    return re.sub("(?<!^)(?=[A-Z])", "-", parameter).lower()


def _without_key(parameters: Any) -> Any:
    return {name: each for name, each in parameters.items() if name != "SSECustomerKey"}


def _without_password(proxies: Any) -> Any:
    return UNSET if any("@" in str(url) for url in proxies.values()) else proxies


def _without_proxies(config: Any) -> Any:
    proxies = config.get("proxies") or {}
    if _without_password(proxies) is proxies:
        return config
    return {name: each for name, each in config.items() if name != "proxies"}


class S3Options(BaseStorage):
    """The options of the S3 backends, and what of them cannot or should not go together."""

    default_acl: str | None = option("AWS_DEFAULT_ACL", doc="Canned ACL; none is sent unless set.")
    acl: str | None = positional(alias_of="default_acl", default=None, kw_only=False)
    bucket_name: str = option(
        "AWS_STORAGE_BUCKET_NAME", required=True, check=_check_bucket, doc="The bucket."
    )
    bucket: Any = positional(
        alias_of="bucket_name",
        default=None,
        kw_only=False,
        read=lambda storage, value: storage.connection.Bucket(value),
    )
    access_key: str | None = option(
        "AWS_S3_ACCESS_KEY_ID",
        "AWS_ACCESS_KEY_ID",
        env=("AWS_S3_ACCESS_KEY_ID",),
        secret=True,
        doc="Without it boto3's own chain finds credentials, and renews them.",
    )
    secret_key: str | None = option(
        "AWS_S3_SECRET_ACCESS_KEY",
        "AWS_SECRET_ACCESS_KEY",
        env=("AWS_S3_SECRET_ACCESS_KEY",),
        secret=True,
        doc="The secret of ``access_key``.",
    )
    security_token: str | None = option(
        "AWS_SESSION_TOKEN",
        "AWS_SECURITY_TOKEN",
        env=("AWS_S3_SESSION_TOKEN", "AWS_S3_SECURITY_TOKEN"),
        secret=True,
        doc="The session token of temporary keys.",
    )
    session_profile: str | None = option(
        "AWS_S3_SESSION_PROFILE", doc="A profile of AWS's configuration files, instead of keys."
    )
    auto_create_bucket: bool = option(
        "AWS_AUTO_CREATE_BUCKET",
        default=False,
        doc="Make the bucket where S3 says that there is none, closed to the public.",
    )
    bucket_acl: str | None = option("AWS_BUCKET_ACL", doc="Canned ACL of a bucket made so.")
    headers: Mapping[str, Any] = option(
        "AWS_HEADERS",
        default={},
        check=_check_headers,
        doc="HTTP headers of each file: ``Cache-Control``, ``Expires``, ``x-amz-meta-…``.",
    )
    object_parameters: Mapping[str, Any] = option(
        "AWS_S3_OBJECT_PARAMETERS",
        default={},
        check=_check_parameters,
        secret=_without_key,
        doc="boto3's upload arguments; those that reads take too (SSE-C) are sent with reads.",
    )
    encryption: bool = option(
        "AWS_S3_ENCRYPTION", default=False, doc="Encrypt at rest with AES256."
    )
    reduced_redundancy: bool = option(
        "AWS_REDUCED_REDUNDANCY", default=False, doc="Use the storage class REDUCED_REDUNDANCY."
    )
    querystring_auth: bool = option("AWS_QUERYSTRING_AUTH", default=True, doc="Sign URLs.")
    querystring_expire: int = option(
        "AWS_QUERYSTRING_EXPIRE",
        default=3600,
        check=check_expire,
        doc="Seconds a signed URL is valid; 604,800 at most.",
    )
    file_overwrite: bool = option(
        "AWS_S3_FILE_OVERWRITE",
        default=True,
        doc="False: saves find a free name, safely also where several processes save.",
    )
    querystring_round: int = option(
        "AWS_QUERYSTRING_ROUND",
        default=0,
        check=_check_round,
        doc="Seconds within which a signed URL stays the same, for browsers to cache; 0 is off.",
    )
    location: str = option(
        "AWS_LOCATION",
        default="",
        check=check_prefix,
        doc="Prefix of every key; slashes at its ends do not count.",
    )
    custom_domain: str | Literal[False] | None = option(
        "AWS_S3_CUSTOM_DOMAIN",
        check=_check_domain,
        doc="Host name for URLs, such as a CDN's; ``False`` for none where the setting has one.",
    )
    url_protocol: str = option(
        "AWS_S3_URL_PROTOCOL", default="https:", check=_check_protocol, doc="For custom domains."
    )
    secure_urls: bool = option(
        "AWS_S3_SECURE_URLS", default=True, doc="False: ``http:`` for custom domains."
    )
    cloudfront_key_id: str | None = option(
        "AWS_CLOUDFRONT_KEY_ID", doc="Public key id for signed CloudFront URLs."
    )
    cloudfront_key: str | bytes | None = option(
        "AWS_CLOUDFRONT_KEY", secret=True, doc="The private key, PEM."
    )
    cloudfront_signer: Any = option(
        secret=True, doc="A ``botocore.signers.CloudFrontSigner`` instead of the two."
    )
    region_name: str | None = option("AWS_S3_REGION_NAME", doc="Region of the bucket.")
    endpoint_url: str | None = option(
        "AWS_S3_ENDPOINT_URL", check=_check_endpoint, doc="URL of a service that is not AWS."
    )
    public_endpoint_url: str | None = option(
        "AWS_S3_PUBLIC_ENDPOINT_URL",
        check=_check_endpoint,
        doc="Endpoint in the URLs of files, where ``endpoint_url`` is an internal one.",
    )
    use_ssl: bool = option("AWS_S3_USE_SSL", default=True, doc="Use TLS.")
    verify: bool | str | None = option(
        "AWS_S3_VERIFY",
        check=check_authorities,
        doc="False not to verify certificates, or a path to a bundle.",
    )
    proxies: Mapping[str, str] | None = option(
        "AWS_S3_PROXIES", secret=_without_password, doc="Proxy URLs by scheme."
    )
    addressing_style: str | None = option(
        "AWS_S3_ADDRESSING_STYLE", check=_check_style, doc="``virtual``, ``path`` or ``auto``."
    )
    signature_version: str | None = option(
        "AWS_S3_SIGNATURE_VERSION", doc="``s3v4`` unless set; ``unsigned`` signs nothing."
    )
    client_config: Config | Mapping[str, Any] | None = option(
        "AWS_S3_CLIENT_CONFIG",
        check=check_client,
        secret=_without_proxies,
        doc="A dict of what ``botocore.config.Config`` takes, or such a Config; the options above "
        "win.",
    )
    transfer_config: TransferConfig | Mapping[str, Any] | None = option(
        "AWS_S3_TRANSFER_CONFIG",
        check=check_transfer,
        doc="A dict of what ``boto3.s3.transfer.TransferConfig`` takes, or such a TransferConfig: "
        "threshold, part size, concurrency.",
    )
    use_threads: bool = option(
        "AWS_S3_USE_THREADS", default=True, doc="Upload several parts of a large file at once."
    )
    gzip: bool = option("AWS_IS_GZIPPED", default=False, doc="Compress files of these types:")
    gzip_content_types: Sequence[str] = option(
        "GZIP_CONTENT_TYPES",
        default=(
            "text/css",
            "text/javascript",
            "application/javascript",
            "application/x-javascript",
            "image/svg+xml",
        ),
        doc="Media types that ``gzip`` compresses.",
    )
    max_memory_size: int = option(
        "AWS_S3_MAX_MEMORY_SIZE",
        default=8 * 1024 * 1024,
        doc="Bytes of a file being written that may stay in memory; 0 for all of them.",
    )
    buffer_size: int = option(
        "AWS_S3_FILE_BUFFER_SIZE",
        default=MIN_PART,
        check=_check_part_size,
        doc="Bytes of a part of a multipart upload; larger where 10,000 parts would not do.",
    )
    preload_metadata: bool = option(
        "AWS_PRELOAD_METADATA",
        default=False,
        doc="List once, and answer ``exists``, ``size`` and times from that: for bulk jobs.",
    )
    file_name_charset: str = option(
        "AWS_S3_FILE_NAME_CHARSET", default="utf-8", check=_check_charset, doc="utf-8 only."
    )

    @derived
    def _transfer(self) -> TransferConfig | None:
        given = self.transfer_config
        return None if given is None else made_transfer(given)

    def _held(self, value: Any) -> Any:
        """Return the keywords of a configuration of boto3's, which Django cannot write down."""
        return super()._held(written(value))

    def root(self) -> tuple[str, ...]:
        """Return endpoint, bucket and the parts of ``location``."""
        return (self.endpoint_url or "", *super().root())

    @property
    def login(self) -> str:
        """Whom it signs in as, but for AWS; another may have a bucket of the same name."""
        return (self.endpoint_url and self.access_key) or ""

    def contradictions(self) -> Iterator[str]:
        """Yield what cannot both hold among the options."""
        yield from super().contradictions()
        keys = (self.access_key, self.secret_key)
        if any(keys) and not all(keys):
            yield (
                "'access_key' (AWS_ACCESS_KEY_ID) and 'secret_key' (AWS_SECRET_ACCESS_KEY) belong "
                "together: set both, or neither."
            )
        if self.security_token and not any(keys):
            yield (
                "'security_token' (AWS_SESSION_TOKEN) belongs to an 'access_key' and a "
                "'secret_key': set all three, or none."
            )
        if any(keys) and self.session_profile:
            yield (
                "'session_profile' (AWS_S3_SESSION_PROFILE) replaces 'access_key' "
                "(AWS_ACCESS_KEY_ID) and 'secret_key': set one or the other."
            )
        if self.querystring_expire + self.querystring_round > MAX_EXPIRE:
            yield (
                "'querystring_expire' (AWS_QUERYSTRING_EXPIRE) and 'querystring_round' "
                f"(AWS_QUERYSTRING_ROUND) may be {MAX_EXPIRE} seconds together: lower one."
            )
        if bool(self.cloudfront_key_id) != bool(self.cloudfront_key):
            yield (
                "'cloudfront_key_id' (AWS_CLOUDFRONT_KEY_ID) and 'cloudfront_key' "
                "(AWS_CLOUDFRONT_KEY) belong together: set both, or neither."
            )

    def insecurities(self) -> Iterator[str]:
        """Yield what a deployment should not do."""
        yield from super().insecurities()
        if self.verify is False:
            yield "certificates are not verified: unset 'verify' (AWS_S3_VERIFY)."
        endpoint = self.endpoint_url or ("http://s3" if not self.use_ssl else "https://s3")
        if is_clear_text(endpoint):
            yield "requests go in clear text: use https ('endpoint_url' or 'use_ssl')."
        if self.custom_domain and (not self.secure_urls or self.url_protocol == "http:"):
            yield "URLs are http: set 'secure_urls' (AWS_S3_SECURE_URLS) and 'url_protocol'."
        if is_clear_text(self.public_endpoint_url):
            yield "URLs are http: use https ('public_endpoint_url', AWS_S3_PUBLIC_ENDPOINT_URL)."
        acls = {self.default_acl, self.bucket_acl, self.object_parameters.get("ACL")}
        acls |= {each for name, each in self.headers.items() if name.lower() == "x-amz-acl"}
        if acls & PUBLIC_ACLS:
            yield "everyone may read the files: unset 'default_acl' (AWS_DEFAULT_ACL)."
        if self.querystring_auth and self.querystring_expire > DAY:
            yield "signed URLs live for over a day: lower 'querystring_expire'."
