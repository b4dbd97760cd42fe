from __future__ import annotations

import uuid
from collections.abc import Iterator

import boto3
import pytest
from django.core.cache import cache
from django.core.files.storage import storages

from tests.servers.moto import Moto


@pytest.fixture(scope="session")
def moto() -> Iterator[Moto]:
    assert Moto.available() is None
    with Moto() as server:
        yield server


@pytest.fixture(autouse=True)
def no_memory():
    """Forget what the packages remember of the files of another test."""
    cache.clear()


@pytest.fixture
def bucket(moto, settings):
    """An empty bucket; the default storage and the static files lie in it."""
    account = {
        "endpoint_url": moto.url,
        "access_key": moto.access_key,
        "secret_key": moto.secret_key,
        "region_name": moto.region,
    }
    name = f"bucket-{uuid.uuid4().hex}"
    resource = boto3.resource(
        "s3",
        endpoint_url=moto.url,
        aws_access_key_id=moto.access_key,
        aws_secret_access_key=moto.secret_key,
        region_name=moto.region,
    )
    found = resource.create_bucket(Bucket=name)
    options = {"bucket_name": name, **account}
    settings.BUCKET_OPTIONS = {**options, "location": "static", "base_url": "/static/"}
    settings.STORAGES = {
        "default": {
            "BACKEND": "storages.backends.s3boto3.S3Boto3Storage",
            "OPTIONS": {**options, "location": "media"},
        },
        "staticfiles": {
            "BACKEND": "storages.backends.s3boto3.S3StaticStorage",
            "OPTIONS": {**options, "location": "static"},
        },
        "dbbackup": {
            "BACKEND": "storages.backends.s3boto3.S3Boto3Storage",
            "OPTIONS": {**options, "location": "backups"},
        },
        "compressor": {"BACKEND": "tests.ecosystem.classes.CompressorStorage"},
    }
    return found


@pytest.fixture
def directory(tmp_path, settings):
    """A directory; the default storage and the static files lie in it."""
    overwrite = "storages.backends.overwrite.OverwriteStorage"
    places = {
        name: {
            "BACKEND": overwrite,
            "OPTIONS": {"location": str(tmp_path / name), "base_url": f"/{name}/"},
        }
        for name in ("default", "staticfiles", "dbbackup")
    }
    local = {"BACKEND": "tests.ecosystem.classes.LocalCompressorStorage"}
    settings.STORAGES = {**places, "compressor": local}
    return tmp_path


@pytest.fixture(params=["bucket", "directory"])
def place(request):
    """The default storage in a bucket, then in a directory."""
    request.getfixturevalue(request.param)
    return storages["default"]
