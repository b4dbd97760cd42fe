"""Import paths of the time of boto, which has had no releases since 2018; boto3 serves them."""

from __future__ import annotations

import warnings

from .s3boto3 import S3Boto3Storage, S3Boto3StorageFile

__all__ = ["S3Boto3Storage", "S3Boto3StorageFile"]


def __getattr__(name: str) -> type[S3Boto3Storage]:
    if name != "S3BotoStorage":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warnings.warn(
        "storages.backends.s3boto.S3BotoStorage is storages.backends.s3boto3.S3Boto3Storage now: "
        "name that one in your settings.",
        DeprecationWarning,
        stacklevel=2,
    )
    # Found directly from now on: once is enough.
    globals()[name] = S3Boto3Storage
    return S3Boto3Storage
