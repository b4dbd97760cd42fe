"""Backends as ``STORAGES`` configures them: every option, entries side by side, tenants."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from contextvars import ContextVar
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.files.storage import storages
from django.core.management import call_command
from django.test import override_settings

from storages import backends
from storages.backends.s3boto3 import S3Boto3Storage
from storages.configured import Configured, options_of
from storages.options import Option

S3 = "storages.backends.s3boto3.S3Boto3Storage"
tenant: ContextVar[str] = ContextVar("tenant")


class TenantStorage(S3Boto3Storage):
    """A bucket and a directory per tenant."""

    querystring_auth = False

    @property
    def bucket_name(self) -> Any:
        return f"bucket-{tenant.get()}"

    @property
    def location(self) -> Any:
        return f"files/{tenant.get()}"


def current_bucket() -> str:
    return f"bucket-{tenant.get()}"


def entry(backend: str, **options: Any) -> dict[str, Any]:
    return {"BACKEND": backend, "OPTIONS": options}


def every_option() -> Iterator[tuple[str, Option]]:
    """Yield the path of each backend with each of its options."""
    infos = pkgutil.iter_modules(backends.__path__, f"{backends.__name__}.")
    for module in (import_module(info.name) for info in infos if "._" not in info.name):
        for name, cls in vars(module).items():
            if isinstance(cls, type) and issubclass(cls, Configured):
                yield from (
                    (f"{module.__name__}.{name}", each) for each in options_of(cls).values()
                )


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own signs URLs."""
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def test_entry_may_hold_any_option_that_a_backend_has() -> None:
    found = list(every_option())
    assert len(found) > 50
    for path, option in found:
        made: Any = storages.create_storage(entry(path, **{option.name: option.default}))
        assert isinstance(made, Configured)


def test_entries_of_one_backend_keep_their_options_apart() -> None:
    account = {"access_key": "id", "secret_key": "secret", "region_name": "us-east-1"}
    both = {
        "public": entry(S3, bucket_name="public", querystring_auth=False),
        "private": entry(S3, bucket_name="private", querystring_expire=60, **account),
    }
    with override_settings(STORAGES=both):
        public, private = (urlsplit(storages[alias].url("name")) for alias in ("public", "private"))
    assert "public" in public.geturl()
    assert public.query == ""
    assert "private" in private.geturl()
    assert "X-Amz-Expires=60" in private.query


@pytest.mark.parametrize("name", ["one", "other"])
def test_properties_of_a_subclass_may_differ_from_request_to_request(name: str) -> None:
    with override_settings(STORAGES={"tenants": entry(f"{__name__}.TenantStorage")}):
        storage = storages["tenants"]
        for each in ("first", name):
            tenant.set(each)
            url = urlsplit(storage.url("name.txt"))
        assert f"bucket-{name}" in url.geturl()
        assert url.path.endswith(f"/files/{name}/name.txt")


def test_callables_may_differ_from_request_to_request() -> None:
    options = {
        "bucket_name": current_bucket,
        "location": lambda: f"files/{tenant.get()}",
        "querystring_auth": False,
    }
    with override_settings(STORAGES={"tenants": entry(S3, **options)}):
        storage = storages["tenants"]
        for name in ("one", "other"):
            tenant.set(name)
            url = urlsplit(storage.url("name.txt"))
            assert f"bucket-{name}" in url.geturl()
            assert url.path.endswith(f"/files/{name}/name.txt")


def test_base_url_may_be_a_callable() -> None:
    options = {"location": "/nowhere", "base_url": lambda: f"https://{tenant.get()}.example/"}
    overwriting = entry("storages.backends.overwrite.OverwriteStorage", **options)
    with override_settings(STORAGES={"local": overwriting}):
        tenant.set("one")
        assert storages["local"].url("name") == "https://one.example/name"


@pytest.mark.django_db
def test_migrations_are_made_where_no_option_has_a_value() -> None:
    bare = {"BACKEND": S3}
    sftp = {"BACKEND": "storages.backends.sftpstorage.SFTPStorage"}
    with override_settings(STORAGES={"default": bare, "staticfiles": bare, "sftp": sftp}):
        call_command("makemigrations", dry_run=True, verbosity=0, skip_checks=False)
