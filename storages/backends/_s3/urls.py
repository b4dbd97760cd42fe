"""URLs of files, signed by S3's way or by CloudFront's, or not at all."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import urlencode

from botocore.exceptions import NoCredentialsError, ParamValidationError
from botocore.signers import CloudFrontSigner
from django.core.exceptions import ImproperlyConfigured

from storages.base import Name
from storages.clients import SharedClients
from storages.options import derived
from storages.utils import public_url, sdk_missing

from .connector import S3Connector
from .options import MAX_EXPIRE, query_name

#: Which request a URL is for, by its method.
OPERATIONS = {"PUT": "put_object", "DELETE": "delete_object", "HEAD": "head_object"}

_signers: SharedClients[CloudFrontSigner] = SharedClients()


class S3Urls(S3Connector):
    """Makes URLs without asking S3."""

    def url(
        self,
        name: Name | None,
        parameters: dict[str, Any] | None = None,
        expire: float | None = None,
        http_method: str | None = None,
    ) -> str:
        """Return a URL, signed if ``querystring_auth`` is on, without asking S3.

        ``expire`` is in seconds; ``parameters`` are boto3's, such as ``ResponseContentType``, or
        for ``http_method="PUT"`` those of an upload. Raises ValueError for what S3 would refuse.
        """
        name = self._url_name(name)
        seconds = _whole_seconds(self.querystring_expire if expire is None else expire)
        if self.custom_domain:
            return self._domain_url(name, parameters or {}, seconds)
        if self._public_base is not None:
            return super().url(name)
        if seconds > MAX_EXPIRE:
            raise ValueError(f"expire must be from 1 to {MAX_EXPIRE} seconds.")
        with self._errors(name):
            return self._s3_url(self._url_key(name), parameters or {}, seconds, http_method)

    def _s3_url(
        self, key: str, parameters: dict[str, Any], seconds: int, method: str | None
    ) -> str:
        arguments: dict[str, Any] = {
            "ClientMethod": OPERATIONS.get((method or "").upper(), "get_object"),
            # The root of a bucket has no key: its URL is what is left of another's.
            "Params": {"Bucket": self.bucket_name, "Key": key or "-", **parameters},
            "ExpiresIn": seconds,
            "HttpMethod": method,
        }
        try:
            url: str = self._url_client.generate_presigned_url(**arguments)
        except ParamValidationError as exc:
            raise ValueError(f"boto3 refuses the parameters of a URL: {exc}") from exc
        except NoCredentialsError:
            self._forget_client()
            S3Urls._url_client.__delete__(self)
            url = self._url_client.generate_presigned_url(**arguments)
        return url if key else url.partition("?")[0][:-1]

    @derived
    def _url_client(self) -> Any:
        endpoint_url = self.public_endpoint_url or self.endpoint_url
        found = self._connect(endpoint_url, signed=self.querystring_auth)
        return found.resource.meta.client

    def _url_key(self, name: str) -> str:
        key = self.key(name, root=True)
        return key + "/" if key and (not name or name.endswith("/")) else key

    def _domain_url(self, name: str, parameters: dict[str, Any], seconds: int) -> str:
        protocol = self.url_protocol if self.secure_urls else "http:"
        url = public_url(f"{protocol}//{self.custom_domain}", self._url_key(name))
        if parameters:
            url += "?" + urlencode({query_name(each): parameters[each] for each in parameters})
        signer = self._signer() if self.querystring_auth else None
        if signer is None:
            return url
        until = datetime.now(UTC) + timedelta(seconds=seconds)
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


def _whole_seconds(expire: Any) -> int:
    """Return the life of a URL; raises ValueError for what is no number of seconds over 0."""
    if isinstance(expire, bool) or not isinstance(expire, (int, float)):
        raise ValueError(f"expire must be a number of seconds, not {expire!r}.")  # noqa: TRY004
    if not 1 <= expire < math.inf:
        raise ValueError(f"expire must be from 1 to {MAX_EXPIRE} seconds.")
    return int(expire)


def cloudfront_signer(key_id: str, pem: str | bytes) -> CloudFrontSigner:
    """Make a signer of CloudFront URLs; the key is parsed once, here."""
    try:
        from cryptography.hazmat.primitives.asymmetric import padding, rsa  # noqa: PLC0415
        from cryptography.hazmat.primitives.hashes import SHA1  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    except ImportError as exc:
        raise sdk_missing("cloudfront", exc) from exc
    try:
        key = load_pem_private_key(pem.encode() if isinstance(pem, str) else pem, password=None)
    except (TypeError, ValueError):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise ImproperlyConfigured(
            "'cloudfront_key' (AWS_CLOUDFRONT_KEY) must be an RSA private key in PEM, without a "
            "passphrase."
        )
    # CloudFront takes no other hash (developer guide, "Create a URL signature").
    return CloudFrontSigner(key_id, lambda message: key.sign(message, padding.PKCS1v15(), SHA1()))  # noqa: S303
