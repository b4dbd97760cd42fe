"""Configurations of boto3's, which Django cannot write: in migrations, pickles and settings."""

from __future__ import annotations

import copy
import pickle
from functools import partial
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore.config import Config
from django.conf import settings
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.state import ProjectState
from django.db.migrations.writer import MigrationWriter
from django.db.models import FileField
from django.test import override_settings

from storages.backends.s3boto3 import S3Boto3Storage
from storages.testing.parallel import Recipe, in_processes
from storages.testing.save import save_zeros
from tests.backends.s3boto3.server import Site, account

MIB = 1024 * 1024
GIB = 1024 * MIB

CONFIGS = [
    ("client_config", Config(connect_timeout=3, s3={"addressing_style": "path"})),
    ("client_config", Config(retries={"total_max_attempts": 2}, read_timeout=1)),
    ("client_config", Config()),
    ("transfer_config", TransferConfig(multipart_threshold=1, multipart_chunksize=5 * MIB)),
    ("transfer_config", TransferConfig(use_threads=False, max_concurrency=2)),
    ("transfer_config", TransferConfig()),
]


@pytest.mark.parametrize(("option", "config"), CONFIGS)
def test_configuration_of_boto3_s_is_kept_in_migrations(option: str, config: Any) -> None:
    def field() -> Any:
        again = copy.copy(config)
        return FileField(storage=S3Boto3Storage(bucket_name="b", **{option: again}))

    text, imports = MigrationWriter.serialize(field())
    names: dict[str, Any] = {}
    exec("\n".join(imports), names)
    found = eval(text, names)
    # Else makemigrations would find a change each time.
    state = MigrationAutodetector.deep_deconstruct
    detector = MigrationAutodetector(ProjectState(), ProjectState())
    assert state(detector, found) == state(detector, field())
    assert told(used(found.storage, option)) == told(config)


@pytest.mark.parametrize(("option", "config"), CONFIGS)
def test_configuration_of_boto3_s_is_kept_in_pickles(option: str, config: Any) -> None:
    storage = S3Boto3Storage(bucket_name="b", **{option: config})
    found = pickle.loads(pickle.dumps(storage))
    assert told(used(found, option)) == told(config)


def told(config: Any) -> dict[str, Any]:
    """Return all that a configuration says."""
    return {
        name: getattr(config, name)
        for name in dir(config)
        if not name.startswith("_") and not callable(getattr(config, name))
    }


def used(storage: S3Boto3Storage, option: str) -> Any:
    """Return the configuration that an option, a dict or not, stands for."""
    given = getattr(storage, option)
    made = Config if option == "client_config" else TransferConfig
    return made(**given) if isinstance(given, dict) else given


@pytest.mark.parametrize(
    "options",
    [
        {"client_config": Config(signature_version=UNSIGNED)},
        {"client_config": {"signature_version": UNSIGNED}},
        {"client_config": {"signature_version": "unsigned"}},
        {"signature_version": "unsigned"},
    ],
)
def test_storage_that_signs_nothing_is_kept_as_one(site: Site, options: dict[str, Any]) -> None:
    """Neither migrations nor pickles can hold botocore's UNSIGNED itself."""
    given = {"bucket_name": site.raw.bucket, "endpoint_url": site.front.url, **options}
    storage = S3Boto3Storage(**given, region_name=site.server.region)
    field = FileField(storage=storage)
    text, imports = MigrationWriter.serialize(field)
    names: dict[str, Any] = {}
    exec("\n".join(imports), names)
    migrated = eval(text, names)
    state = MigrationAutodetector(ProjectState(), ProjectState()).deep_deconstruct
    assert state(migrated) == state(field)
    site.raw.put("a.txt", b"content", ACL="public-read")
    for each in (
        storage,
        migrated.storage,
        pickle.loads(pickle.dumps(storage)),
        copy.copy(storage),
        copy.deepcopy(storage),
    ):
        assert each.url("a.txt") == f"{site.front.url}/{site.raw.bucket}/a.txt"
        site.front.clear()
        with each.open("a.txt") as file:
            assert file.read() == b"content"
        assert "authorization" not in {name.lower() for name in site.only("GET").headers}


def test_entry_that_signs_nothing_is_found_by_what_was_pickled() -> None:
    options = {"bucket_name": "b", "client_config": Config(signature_version=UNSIGNED)}
    entry = {"BACKEND": "storages.backends.s3boto3.S3Boto3Storage", "OPTIONS": options}
    with override_settings(STORAGES={**settings.STORAGES, "public": entry}):
        storage = storages["public"]
        assert "unsigned" in repr(storage)
        assert checks.run_checks() == []
        assert pickle.loads(pickle.dumps(storage)).config.signature_version is UNSIGNED


def test_proxies_of_a_configuration_are_kept_out_of_migrations_and_pickles() -> None:
    config = Config(connect_timeout=3, proxies={"https": "http://user:canary@proxy.example:3128"})
    storage = S3Boto3Storage(bucket_name="b", client_config=config)
    text, _ = MigrationWriter.serialize(FileField(storage=storage))
    assert "'connect_timeout': 3" in text
    assert "canary" not in text + repr(storage)
    assert b"canary" not in pickle.dumps(storage)


def test_transfer_config_may_be_a_dict(site: Site) -> None:
    parts = {"multipart_threshold": 6 * MIB, "use_threads": False}
    with override_settings(AWS_S3_TRANSFER_CONFIG=parts):
        site.storage().save("a.bin", ContentFile(bytes(7 * MIB)))
    assert len(site.sent("PUT", "partNumber")) == 1
    with pytest.raises(ImproperlyConfigured, match=r"transfer_config.*refused by boto3.*workers"):
        site.storage(transfer_config={"workers": 3}).save("a.bin", ContentFile(b""))


@pytest.mark.parametrize(
    ("transfer", "parts"),
    [
        # A part, and those that are in memory at once.
        ({"multipart_threshold": 10**12, "multipart_chunksize": 1, "max_concurrency": 1}, (5, 2)),
        ({"multipart_chunksize": 16 * MIB, "max_concurrency": 2}, (16, 3)),
        ({"multipart_chunksize": 32 * MIB, "use_threads": False}, (32, 1)),
        ({"multipart_chunksize": GIB, "max_concurrency": 50, "use_threads": False}, (200, 1)),
        ({"io_chunksize": 10**9, "max_io_queue": 10**6, "max_concurrency": 3}, (8, 4)),
    ],
)
def test_no_transfer_config_holds_more_than_the_parts_on_their_way(
    weed: Site, transfer: dict[str, Any], parts: tuple[int, int]
) -> None:
    config = TransferConfig(**transfer)
    storage = weed.storage(endpoint_url=weed.server.url, transfer_config=config)
    secrets = {name: account(weed.server)[name] for name in ("access_key", "secret_key")}
    recipe = Recipe.of(storage, secrets)
    (peak,) = in_processes(recipe, 1, partial(save_zeros, 200 * MIB))
    size, count = parts
    assert peak <= (size * count + 24) * MIB
