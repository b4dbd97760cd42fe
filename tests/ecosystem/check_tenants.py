"""Tenants as django-tenants switches them: by the schema of the thread's connection."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db.utils import ConnectionHandler

from storages.backends.overwrite import OverwriteStorage
from storages.backends.s3boto3 import S3Boto3Storage

THREADS = 16
ROUNDS = 10
TENANTS = ("one", "two")

#: A connection for each thread. No server is needed: the schema is only kept until a query.
connections = ConnectionHandler(
    {"default": {"ENGINE": "django_tenants.postgresql_backend", "NAME": "site"}}
)


class OfTenant:
    """A directory for each tenant, asked for at every use."""

    @property
    def location(self):
        return f"{super().location}/tenants/{connections['default'].schema_name}".lstrip("/")


class TenantBucket(OfTenant, S3Boto3Storage):
    """In a bucket."""


class TenantDirectory(OfTenant, OverwriteStorage):
    """On this machine."""

    @property
    def location(self):
        return f"/{super().location}"


@pytest.fixture(params=["bucket", "directory"])
def storage(request, settings):
    """A storage of tenants, and the one that all their files lie in."""
    request.getfixturevalue(request.param)
    options = settings.STORAGES["default"]["OPTIONS"]
    cls = TenantBucket if request.param == "bucket" else TenantDirectory
    place = options.pop("location")
    if cls is TenantBucket:
        settings.AWS_LOCATION = place
    else:
        settings.MEDIA_ROOT = place
    settings.STORAGES = {
        **settings.STORAGES,
        "everything": {
            "BACKEND": settings.STORAGES["default"]["BACKEND"],
            "OPTIONS": {**options, "location": place},
        },
    }
    return cls(**options)


def test_no_file_gets_to_another_tenant(storage):
    ready = Barrier(THREADS)

    def work(number):
        connection = connections["default"]
        ready.wait()
        for turn in range(ROUNDS):
            tenant, other = TENANTS[number % 2], TENANTS[(number + 1) % 2]
            connection.set_schema(tenant)
            name = f"{number}-{turn}.txt"
            content = f"{tenant} {name}".encode()
            assert storage.save(name, ContentFile(content)) == name
            with storage.open(name) as reading, storage.open(f"w{name}", "wb") as writing:
                writing.write(content)
                connection.set_schema(other)
                assert reading.read() == content
            assert not storage.exists(name)
            assert not storage.exists(f"w{name}")
            connection.set_schema(tenant)
            assert storage.size(f"w{name}") == len(content)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    everything = storages["everything"]
    for index, tenant in enumerate(TENANTS):
        wanted = {
            f"{prefix}{number}-{turn}.txt"
            for number in range(index, THREADS, 2)
            for turn in range(ROUNDS)
            for prefix in ("", "w")
        }
        found = set(everything.listdir(f"tenants/{tenant}")[1])
        assert found == wanted
        for name in found:
            with everything.open(f"tenants/{tenant}/{name}") as file:
                assert file.read().decode().startswith(tenant)
