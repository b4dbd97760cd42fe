"""Amazon S3 and services that speak its protocol, through boto3."""

from __future__ import annotations

import errno
import gzip
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from hashlib import md5
from typing import IO, Any, ClassVar, cast
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from storages.base import Name
from storages.clients import SharedClients
from storages.contents import COPY_SIZE
from storages.driver import Entry, Listed, Source, Stream
from storages.files import READ_AHEAD, RemoteFile
from storages.staticfiles import LazyManifest
from storages.utils import frozen, public_url, sdk_missing

try:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.exceptions import ClientError, ProfileNotFound
    from botocore.signers import CloudFrontSigner
except ImportError as exc:
    raise sdk_missing("s3", exc) from exc

from ._s3.downloads import Download
from ._s3.errors import ERRORS, code_of, explain
from ._s3.options import (
    HEADERS,
    METADATA_HEADER,
    READ_PARAMETERS,
    UPLOAD_PARAMETERS,
    S3Options,
    check_expire,
    query_name,
)
from ._s3.uploads import upload_in_parts
from ._s3.urls import cloudfront_signer

SINGLE_PUT = 8 * 1024 * 1024  # bytes; larger files are uploaded in parts
UPLOAD_WORKERS = 4  # parts on their way at once
WRITE_ATTEMPTS = 5  # while others write the same new name
POOL_CONNECTIONS = 50  # of one client; urllib3 throws away what is over it

#: Parameters that every request takes.
EVERY_REQUEST = frozenset({"ExpectedBucketOwner", "RequestPayer"})
#: Closes a bucket to the public, whatever its ACLs and policies say.
CLOSED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
DEFAULTS: dict[str, Any] = {"signature_version": "s3v4", "max_pool_connections": POOL_CONNECTIONS}
#: For services other than AWS, which know no checksums newer than themselves; that the signature
#: covers the bytes guards them instead.
COMPATIBLE: dict[str, Any] = {
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
    "s3": {"payload_signing_enabled": True},
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

S3Boto3StorageFile = RemoteFile

_resources: SharedClients[Any] = SharedClients()
#: Each holds boto3's model of S3, 12 MiB.
_sessions: SharedClients[boto3.session.Session] = SharedClients()
_signers: SharedClients[CloudFrontSigner] = SharedClients()


class S3Boto3Storage(S3Options):
    """Files as objects of a bucket."""

    sdk_errors = ERRORS
    volatile: ClassVar[frozenset[str]] = frozenset({"_preloaded"})

    def _explain(self, exc: Exception) -> tuple[int, str]:
        return explain(exc) if isinstance(exc, ERRORS) else super()._explain(exc)

    # -- client -----------------------------------------------------------------------------------

    @property
    def connection(self) -> Any:
        """The boto3 resource, shared by all storages of one configuration."""
        return self._resource(self.endpoint_url)

    @property
    def client(self) -> Any:
        """The boto3 client of `connection`."""
        return self.connection.meta.client

    @property
    def config(self) -> Config:
        """The botocore configuration: defaults, then ``client_config``, then the single options."""
        given = self.client_config or {}
        given = given if isinstance(given, Config) else Config(**given)
        style = self.addressing_style or self._default_style()
        compatible = {} if self._is_aws() else COMPATIBLE
        s3 = {
            **compatible.get("s3", {}),
            **(getattr(given, "s3", None) or {}),
            **({"addressing_style": style} if style else {}),
        }
        single: dict[str, Any] = {
            "signature_version": self.signature_version,
            "proxies": self.proxies,
            "s3": s3,
        }
        return (
            Config(**(DEFAULTS | compatible))
            .merge(given)
            .merge(Config(**{name: each for name, each in single.items() if each}))
        )

    def close(self) -> None:
        """Close the idle connections of the shared client; it opens new ones when used again."""
        self.client.close()

    def _is_aws(self) -> bool:
        host = urlsplit(self.endpoint_url or "").hostname or "amazonaws.com"
        return host.endswith(("amazonaws.com", "amazonaws.com.cn"))

    def _default_style(self) -> str | None:
        # boto3 signs URLs for the global host name, which redirects for young buckets elsewhere.
        regional = self.region_name and not self.endpoint_url and "." not in self.bucket_name
        return "virtual" if regional else None

    def _resource(self, endpoint_url: str | None, *, signed: bool = True) -> Any:
        values = (frozen(getattr(self, name)) for name in CLIENT_OPTIONS)
        key = (endpoint_url, signed, self._default_style(), *values)
        return _resources.get(key, lambda: self._connect(endpoint_url, signed=signed))

    def _connect(self, endpoint_url: str | None, *, signed: bool) -> Any:
        for sentence in self.contradictions():
            raise ImproperlyConfigured(f"{type(self).__name__}: {sentence}")
        config = self.config if signed else self.config.merge(Config(signature_version=UNSIGNED))
        try:
            return self._session().resource(
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
        except ProfileNotFound as exc:
            raise ImproperlyConfigured(
                f"{type(self).__name__}: there is no profile as 'session_profile' "
                "(AWS_S3_SESSION_PROFILE, or AWS_PROFILE in the environment) says."
            ) from exc
        except ValueError as exc:
            raise ImproperlyConfigured(
                f"{type(self).__name__}: boto3 refuses 'endpoint_url' (AWS_S3_ENDPOINT_URL) or "
                "another option of the connection."
            ) from exc

    def _session(self) -> boto3.session.Session:
        """Return boto3's session for the profile, another where the environment has changed."""
        profile = self.session_profile
        found = tuple(sorted(each for each in os.environ.items() if each[0].startswith("AWS_")))
        return _sessions.get((profile, found), lambda: boto3.session.Session(profile_name=profile))

    def _call(self, operation: str, **arguments: Any) -> Any:
        """Send a request about the bucket, which is made first if it is missing and may be."""
        send = getattr(self.client, operation)
        arguments |= {
            name: each for name, each in self.object_parameters.items() if name in EVERY_REQUEST
        }
        try:
            return send(Bucket=self.bucket_name, **arguments)
        except ClientError as exc:
            if code_of(exc) != "NoSuchBucket" or not self.auto_create_bucket:
                raise
        self._create_bucket()
        return send(Bucket=self.bucket_name, **arguments)

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

    # -- primitives -------------------------------------------------------------------------------

    def _stat(self, key: str) -> Entry:
        if self.preload_metadata and (entry := self._preloaded_entry(key)):
            return entry
        try:
            answer = self._call("head_object", Key=key, **self._read_parameters())
        except ClientError as exc:
            if code_of(exc) != "404":
                self._ask_again(key)
                raise
            if not self._is_prefix(key):
                raise
            return Entry(0, is_directory=True)
        return _entry(answer, answer["ContentLength"])

    def _ask_again(self, key: str) -> None:
        """Raise S3's reason for refusing a HEAD, whose answer has no room for one."""
        self._call("get_object", Key=key, Range="bytes=0-0", **self._read_parameters())

    def _is_prefix(self, key: str) -> bool:
        answer = self._call("list_objects_v2", Prefix=f"{key}/", MaxKeys=1)
        return bool(answer.get("KeyCount", len(answer.get("Contents", ()))))

    def _open_stream(self, key: str) -> tuple[Entry, Stream | None]:
        """Get the first block, which brings what a HEAD would say."""
        read = self._read_parameters()
        try:
            answer = self._call("get_object", Key=key, Range=f"bytes=0-{READ_AHEAD - 1}", **read)
        except ClientError as exc:
            if code_of(exc) not in {"InvalidRange", "416"}:
                raise
            # An empty object has no first byte.
            answer = self._call("get_object", Key=key, **read)
        total = answer.get("ContentRange", "").rpartition("/")[2] or answer["ContentLength"]
        return _entry(answer, int(total)), Download(answer["Body"], answer["ContentLength"])

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        match = {"IfMatch": entry.etag} if entry.etag else {}
        answer = self._call(
            "get_object", Key=key, Range=f"bytes={start}-", **match, **self._read_parameters()
        )
        return Download(answer["Body"], answer["ContentLength"])

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        self._require_unchanged(key, expected)
        parameters = self._upload_parameters(key, source)
        condition = {} if overwrite else {"IfNoneMatch": "*"}
        with self._encoded(source, parameters) as body:
            tries = (self._upload(key, body, parameters, condition) for _ in range(WRITE_ATTEMPTS))
            if not any(tries):
                raise FileExistsError(errno.EEXIST, "The name is being written by others")
        self._forget(key)

    def _remove(self, key: str) -> None:
        self._call("delete_object", Key=key)
        self._forget(key)

    def _list(self, key: str) -> Iterator[Listed]:
        prefix = f"{key}/" if key else ""
        for page in self._pages(prefix, Delimiter="/"):
            for each in page.get("CommonPrefixes", ()):
                yield each["Prefix"][len(prefix) : -1], Entry(0, is_directory=True)
            yield from _contents(page, prefix)

    def _walk(self, key: str) -> Iterator[Listed]:
        prefix = f"{key}/" if key else ""
        for page in self._pages(prefix):
            yield from _contents(page, prefix)

    # -- writing ----------------------------------------------------------------------------------

    def get_object_parameters(self, name: str) -> dict[str, Any]:  # noqa: ARG002
        """Return boto3's upload arguments for a name; a subclass may add to them per file."""
        parameters: dict[str, Any] = {}
        for header, value in self.headers.items():
            if header.lower().startswith(METADATA_HEADER):
                metadata = parameters.setdefault("Metadata", {})
                metadata[header[len(METADATA_HEADER) :]] = value
            else:
                parameters[HEADERS[header.lower()]] = value
        return parameters | dict(self.object_parameters)

    def _upload_parameters(self, key: str, source: Source) -> dict[str, Any]:
        parameters: dict[str, Any] = {"ContentType": source.content_type}
        if self.default_acl:
            parameters["ACL"] = self.default_acl
        if self.encryption:
            parameters["ServerSideEncryption"] = "AES256"
        if self.reduced_redundancy:
            parameters["StorageClass"] = "REDUCED_REDUNDANCY"
        name = key[len(self.key("", root=True)) :].lstrip("/")
        parameters |= self.get_object_parameters(name)
        return {name: each for name, each in parameters.items() if name in UPLOAD_PARAMETERS}

    def _read_parameters(self) -> dict[str, Any]:
        return {n: each for n, each in self.object_parameters.items() if n in READ_PARAMETERS}

    @contextmanager
    def _encoded(self, source: Source, parameters: dict[str, Any]) -> Iterator[Source]:
        """Compress a source of the types to compress, and say so in its parameters."""
        kind = parameters["ContentType"].partition(";")[0].strip()
        if not self.gzip or kind not in self.gzip_content_types or "ContentEncoding" in parameters:
            yield source
            return
        parameters["ContentEncoding"] = "gzip"
        with tempfile.SpooledTemporaryFile(
            self.max_memory_size, dir=settings.FILE_UPLOAD_TEMP_DIR
        ) as packed:
            # Without name and time, equal files give equal objects.
            with gzip.GzipFile("", "wb", fileobj=packed, mtime=0) as packer:
                shutil.copyfileobj(source, packer, COPY_SIZE)
            yield Source(cast("IO[bytes]", packed), source.content_type)

    def _upload(
        self, key: str, body: Source, parameters: dict[str, Any], condition: dict[str, Any]
    ) -> bool:
        """Store a body; False where S3 wants it sent anew because of another's write."""
        body.seek(0)
        transfer = self.transfer_config
        threshold = transfer.multipart_threshold if transfer else SINGLE_PUT + 1
        try:
            if body.size < threshold:
                self._put(key, body.read(), parameters | condition)
            else:
                self._put_in_parts(key, body, parameters, condition)
        except ClientError as exc:
            if code_of(exc) != "ConditionalRequestConflict":
                raise
            return False
        return True

    def _put_in_parts(
        self, key: str, body: Source, parameters: dict[str, Any], condition: dict[str, Any]
    ) -> None:
        transfer: Any = self.transfer_config
        workers = transfer.max_concurrency if transfer else UPLOAD_WORKERS
        upload_in_parts(
            self._call,
            body,
            key=key,
            parameters=parameters,
            condition=condition,
            is_done=lambda exc, etag: self._is_done(exc, key, etag),
            part_size=transfer.multipart_chunksize if transfer else self.buffer_size,
            workers=workers if transfer is None or transfer.use_threads else 1,
        )

    def _put(self, key: str, content: bytes, parameters: dict[str, Any]) -> None:
        try:
            self._call("put_object", Key=key, Body=content, **parameters)
        except ClientError as exc:
            if not self._is_done(exc, key, md5(content, usedforsecurity=False).hexdigest()):
                raise

    def _is_done(self, exc: ClientError, key: str, etag: str) -> bool:
        """Tell whether an earlier try, whose answer was lost, is what a repeated one met."""
        repeated = exc.response.get("ResponseMetadata", {}).get("RetryAttempts", 0)
        if not repeated or code_of(exc) not in {"PreconditionFailed", "412", "NoSuchUpload"}:
            return False
        stored = self._call("head_object", Key=key, **self._read_parameters())
        return str(stored.get("ETag", "")).strip('"') == etag

    # -- listing ----------------------------------------------------------------------------------

    def _pages(self, prefix: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        more: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", Prefix=prefix, **parameters, **more)
            yield page
            if not page.get("IsTruncated"):
                return
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _preloaded_entry(self, key: str) -> Entry | None:
        """Answer from one listing; None for what this storage has changed since."""
        if "_preloaded" not in vars(self):
            self._preloaded: dict[str, Entry | None] = dict(self._all_entries())
        if key not in self._preloaded:
            raise FileNotFoundError(errno.ENOENT, "No such file")
        return self._preloaded[key]

    def _all_entries(self) -> Iterator[tuple[str, Entry | None]]:
        root = self.key("", root=True)
        for name, entry in self._walk(root):
            key = f"{root}/{name}" if root else name
            for end in re.finditer("/", key):
                yield key[: end.start()], Entry(0, is_directory=True)
            yield key, entry

    def _forget(self, key: str) -> None:
        if "_preloaded" in vars(self):
            self._preloaded[key] = None

    # -- URLs -------------------------------------------------------------------------------------

    def url(
        self,
        name: Name | None,
        parameters: dict[str, Any] | None = None,
        expire: int | None = None,
        http_method: str | None = None,
    ) -> str:
        """Return a URL, signed if ``querystring_auth`` is on, without asking S3.

        ``expire`` is in seconds; ``parameters`` are boto3's, such as ``ResponseContentType``.
        Raises ValueError for an ``expire`` that S3 would not accept.
        """
        expire = self.querystring_expire if expire is None else expire
        try:
            check_expire(expire)
        except ValueError as exc:
            raise ValueError(f"expire {exc}") from None
        name = self._url_name(name)
        if self.custom_domain:
            return self._domain_url(name, parameters or {}, expire)
        if self._public_base is not None:
            return super().url(name)
        key = self.key(name) + ("/" if name.endswith("/") else "")
        resource = self._resource(
            self.public_endpoint_url or self.endpoint_url, signed=self.querystring_auth
        )
        with self._errors(name):
            url: str = resource.meta.client.generate_presigned_url(
                "get_object",
                Params={"Bucket": self.bucket_name, "Key": key, **(parameters or {})},
                ExpiresIn=expire,
                HttpMethod=http_method,
            )
        return url

    def _domain_url(self, name: str, parameters: dict[str, Any], expire: int) -> str:
        protocol = self.url_protocol if self.secure_urls else "http:"
        key = self.key(name) + ("/" if name.endswith("/") else "")
        url = public_url(f"{protocol}//{self.custom_domain}", key)
        if parameters:
            url += "?" + urlencode({query_name(each): parameters[each] for each in parameters})
        signer = self._signer() if self.querystring_auth else None
        if signer is None:
            return url
        until = datetime.now(UTC) + timedelta(seconds=expire)
        signed: str = signer.generate_presigned_url(url, date_less_than=until)
        return signed

    def _signer(self) -> CloudFrontSigner | None:
        if self.cloudfront_signer is not None or not (
            self.cloudfront_key_id or self.cloudfront_key
        ):
            return cast("CloudFrontSigner | None", self.cloudfront_signer)
        key_id, pem = self.cloudfront_key_id, self.cloudfront_key
        return _signers.get((key_id, pem), lambda: self._make_signer(key_id, pem))

    def _make_signer(self, key_id: str | None, pem: str | bytes | None) -> CloudFrontSigner:
        for sentence in self.contradictions():
            raise ImproperlyConfigured(f"{type(self).__name__}: {sentence}")
        return cloudfront_signer(str(key_id), pem or b"")


class S3StaticStorage(S3Boto3Storage):
    """For static files: its URLs are never signed."""

    querystring_auth = False


class S3ManifestStaticStorage(LazyManifest, S3StaticStorage):  # type: ignore[misc]
    """For static files with a hash of their content in their names."""


def _contents(page: dict[str, Any], prefix: str) -> Iterator[Listed]:
    for each in page.get("Contents", ()):
        entry = Entry(each["Size"], each.get("LastModified"), etag=each.get("ETag"))
        # An empty object that stands for a directory.
        if not each["Key"].endswith("/"):
            yield each["Key"][len(prefix) :], entry


def _entry(answer: dict[str, Any], size: int) -> Entry:
    encodings = {each.strip() for each in answer.get("ContentEncoding", "").split(",")}
    return Entry(
        size,
        modified=answer["LastModified"],
        content_type=answer.get("ContentType"),
        etag=answer.get("ETag"),
        encoding="gzip" if "gzip" in encodings else None,
    )
