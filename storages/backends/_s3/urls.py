"""Signed CloudFront URLs."""

from __future__ import annotations

from botocore.signers import CloudFrontSigner
from django.core.exceptions import ImproperlyConfigured

from storages.utils import sdk_missing


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
