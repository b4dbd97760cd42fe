"""The shorter import path of the S3 backends."""

from __future__ import annotations

from .s3boto3 import S3Boto3Storage as S3Storage
from .s3boto3 import S3Boto3StorageFile as S3File
from .s3boto3 import S3ManifestStaticStorage, S3StaticStorage

__all__ = ["S3File", "S3ManifestStaticStorage", "S3StaticStorage", "S3Storage"]
