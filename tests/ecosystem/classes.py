"""Storages as sites write them for the packages."""

from __future__ import annotations

from compressor.storage import CompressorFileStorage
from django.conf import settings
from django.core.files.storage import storages
from whitenoise.storage import CompressedManifestStaticFilesStorage

from storages.backends.overwrite import OverwriteStorage
from storages.backends.s3boto3 import S3StaticStorage


class CompressorStorage(S3StaticStorage):
    """Keeps a local copy beside the one in the bucket, as django-compressor's page advises."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **{**getattr(settings, "BUCKET_OPTIONS", {}), **kwargs})
        self.local_storage = CompressorFileStorage(
            location=settings.STATIC_ROOT, base_url=settings.STATIC_URL
        )

    def save(self, name, content):
        self.local_storage.save(name, content)
        super().save(name, self.local_storage._open(name))
        return name


class LocalCompressorStorage(OverwriteStorage):
    """Compressed files on this machine."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, location=settings.STATIC_ROOT, base_url=settings.STATIC_URL)


class WhiteNoiseStorage(CompressedManifestStaticFilesStorage, OverwriteStorage):
    """What whitenoise makes of Django's own storage, on ours."""


def default_storage_of_tests():
    return storages["default"]
