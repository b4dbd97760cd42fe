"""URLs of files, signed by S3's way or by CloudFront's, or not at all."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode

from botocore.exceptions import NoCredentialsError, ParamValidationError
from botocore.signers import CloudFrontSigner
from django.core.exceptions import ImproperlyConfigured

from storages.base import BaseStorage, Name
from storages.clients import SharedClients
from storages.options import derived
from storages.utils import forget_locals, public_url, sdk_missing

from .connector import S3Connector
from .errors import ERRORS
from .options import MAX_EXPIRE, query_name
from .signing import UrlRequest, UrlSigner, rounded

#: Which request a URL is for, by its method; others are for reading.
GET = "get_object"
OPERATIONS = {"PUT": "put_object", "DELETE": "delete_object", "HEAD": "head_object"}

_signers: SharedClients[CloudFrontSigner] = SharedClients()


class UrlPlan(NamedTuple):
    """What the options say of every URL: one of three kinds, or none where ``base_url`` is set."""

    seconds: int
    rounding: int
    #: What stands before a name in its key; None where a subclass says how keys are made.
    prefix: str | None
    domain: str = ""
    cloudfront: CloudFrontSigner | None = None
    signer: UrlSigner | None = None
    bucket: str = ""


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
        try:
            plan = self._url_plan
            seconds = plan.seconds if expire is None else _whole_seconds(expire)
            if plan.domain:
                return self._domain_url(plan, name, parameters or {}, seconds)
            if plan.signer is None:
                return super().url(name)
            if seconds > (longest := MAX_EXPIRE - plan.rounding):
                raise ValueError(f"expire must be from 1 to {longest} seconds.")
            key = self._url_key(plan, name)
            operation = OPERATIONS.get(http_method.upper(), GET) if http_method else GET
            # The root of a bucket has no key: its URL is what is left of another's.
            request = UrlRequest(
                plan.bucket, key or "-", operation, parameters or {}, seconds, http_method
            )
            url = self._s3_url(plan.signer, request, plan.rounding)
        except (OSError, *ERRORS) as exc:
            raise self._error(exc, name) from exc
        return url if key else url.partition("?")[0][:-1]

    @derived
    def _url_plan(self) -> UrlPlan:
        seconds, rounding = self.querystring_expire, self.querystring_round
        is_usual = type(self).key is BaseStorage.key
        prefix = (self._prefix and self._prefix + "/") if is_usual else None
        if self.custom_domain:
            protocol = self.url_protocol if self.secure_urls else "http:"
            domain = f"{protocol}//{self.custom_domain}"
            signer = self._signer() if self.querystring_auth else None
            return UrlPlan(seconds, rounding, prefix, domain=domain, cloudfront=signer)
        if self._public_base is not None:
            return UrlPlan(seconds, rounding, prefix)
        endpoint_url = self.public_endpoint_url or self.endpoint_url
        found = self._connect(endpoint_url, signed=self.querystring_auth)
        return UrlPlan(seconds, rounding, prefix, signer=found.signer, bucket=self.bucket_name)

    def _s3_url(self, signer: UrlSigner, request: UrlRequest, rounding: int) -> str:
        try:
            return signer.url(request, rounding)
        except ParamValidationError as exc:
            forget_locals(exc)
            raise ValueError(f"boto3 refuses the parameters of a URL: {exc}") from exc
        except NoCredentialsError:
            self._forget_client()
            S3Urls._url_plan.__delete__(self)
            again = self._url_plan.signer or signer
            return again.url(request, rounding)

    def _url_key(self, plan: UrlPlan, name: str) -> str:
        if name and plan.prefix is not None:
            return plan.prefix + name
        key = self.key(name, root=True)
        return key + "/" if key and (not name or name.endswith("/")) else key

    def _domain_url(
        self, plan: UrlPlan, name: str, parameters: dict[str, Any], seconds: int
    ) -> str:
        url = public_url(plan.domain, self._url_key(plan, name))
        if parameters:
            url += "?" + urlencode({query_name(each): parameters[each] for each in parameters})
        if plan.cloudfront is None:
            return url
        at, seconds = rounded(time.time(), seconds, plan.rounding)
        until = datetime.fromtimestamp(at + seconds, UTC)
        signed: str = plan.cloudfront.generate_presigned_url(url, date_less_than=until)
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
