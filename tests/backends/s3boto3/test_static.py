"""Static files on S3: what Django's own contract tests do not look at."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.contrib.staticfiles.management.commands.collectstatic import Command
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.template import Context, Engine
from django.test import override_settings

from storages.backends.s3boto3 import S3Boto3Storage, S3ManifestStaticStorage, S3StaticStorage
from storages.testing.network import network_calls
from storages.testing.statics import given_as
from tests.backends.s3boto3.server import Site

STATIC = {"css/site.css": "body { background: url(../img/dot.svg) }", "img/dot.svg": "<svg/>"}
TEMPLATE = "{% load static %}{% static 'css/site.css' %}"


@pytest.fixture(params=["weed", "site"], ids=["seaweedfs", "moto"])
def place(request: pytest.FixtureRequest) -> Site:
    found: Site = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for name, content in STATIC.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


@contextmanager
def site_settings(
    place: Site, sources: Path, cls: type[S3Boto3Storage], **options: Any
) -> Iterator[None]:
    """Set up a site whose static files are on S3."""
    with (
        override_settings(
            DEBUG=False,
            STATICFILES_DIRS=[sources],
            STATICFILES_FINDERS=["django.contrib.staticfiles.finders.FileSystemFinder"],
        ),
        given_as("staticfiles", cls(**place.options(**options))),
    ):
        yield


def collect(**options: Any) -> str:
    said = io.StringIO()
    call_command(Command(), interactive=False, stdout=said, **options)
    return said.getvalue()


def rendered() -> str:
    engine = Engine(libraries={"static": "django.templatetags.static"})
    return engine.from_string(TEMPLATE).render(Context())


def test_static_tag_gives_the_plain_url_of_a_collected_file(place: Site, sources: Path) -> None:
    with site_settings(place, sources, S3StaticStorage, location="static"):
        collect()
        assert rendered() == f"{place.front.url}/{place.raw.bucket}/static/css/site.css"
    assert place.raw.get("static/css/site.css") == STATIC["css/site.css"].encode()
    assert place.raw.head("static/css/site.css")["ContentType"] == "text/css"


def test_static_tag_gives_the_hashed_name_of_the_manifest(place: Site, sources: Path) -> None:
    with site_settings(place, sources, S3ManifestStaticStorage, custom_domain="cdn.example"):
        collect()
        url = rendered()
    assert url.startswith("https://cdn.example/css/site.")
    hashed = url.removeprefix("https://cdn.example/")
    stored = place.raw.get(hashed)
    assert stored is not None
    picture = stored.decode().partition("url(")[2].partition(")")[0].strip('"').removeprefix("../")
    assert place.raw.get(picture) == b"<svg/>"
    assert place.raw.get("staticfiles.json") is not None


def test_manifest_is_read_once_by_a_site_and_not_when_it_is_made(
    place: Site, sources: Path
) -> None:
    with site_settings(place, sources, S3ManifestStaticStorage):
        collect()
        place.front.clear()
        with network_calls() as calls:
            storage = S3ManifestStaticStorage(**place.options())
        assert calls == []
        first = storage.url("css/site.css")
        requests = len(place.sent())
        assert (storage.url("css/site.css"), storage.url("img/dot.svg"))[0] == first
        assert len(place.sent()) == requests == 1


def test_site_whose_manifest_is_missing_says_so(place: Site, sources: Path) -> None:
    with (
        site_settings(place, sources, S3ManifestStaticStorage),
        pytest.raises(ValueError, match=r"Missing staticfiles manifest entry for 'css/site\.css'"),
    ):
        rendered()


def test_manifest_storage_is_pickled_and_works(place: Site, sources: Path) -> None:
    options = place.options()
    keys = {
        "AWS_S3_ACCESS_KEY_ID": options.pop("access_key"),
        "AWS_S3_SECRET_ACCESS_KEY": options.pop("secret_key"),
    }
    with site_settings(place, sources, S3ManifestStaticStorage), override_settings(**keys):
        collect()
        storage = S3ManifestStaticStorage(**options)
        url = storage.url("css/site.css")
        assert pickle.loads(pickle.dumps(storage)).url("css/site.css") == url
        assert (
            pickle.loads(pickle.dumps(S3ManifestStaticStorage(**options))).url("css/site.css")
            == url
        )


def test_site_starts_and_is_checked_without_an_account() -> None:
    storages = {
        "default": {"BACKEND": "storages.backends.s3boto3.S3Boto3Storage"},
        "staticfiles": {"BACKEND": "storages.backends.s3boto3.S3ManifestStaticStorage"},
    }
    with (
        override_settings(STORAGES=storages, AWS_STORAGE_BUCKET_NAME="files"),
        network_calls() as calls,
    ):
        call_command("check", stdout=io.StringIO(), stderr=io.StringIO())
        assert staticfiles_storage.bucket_name == default_storage.bucket_name == "files"
    assert calls == []


def test_clear_empties_the_location_and_nothing_else(place: Site, sources: Path) -> None:
    kept = ("static2/a.txt", "media/b.txt", "static.txt", "stat")
    for name in (*kept, "static/old.txt", "static/de/ep/old.txt"):
        place.raw.put(name, b"content")
    with site_settings(place, sources, S3StaticStorage, location="static"):
        collect(clear=True)
    assert sorted(place.raw.keys()) == sorted((*kept, *(f"static/{name}" for name in STATIC)))


def test_second_collection_sends_nothing(place: Site, sources: Path) -> None:
    with site_settings(place, sources, S3StaticStorage):
        collect()
        place.front.clear()
        collect()
    assert place.sent("PUT") == []


def test_media_and_static_files_live_side_by_side(place: Site, sources: Path) -> None:
    with site_settings(place, sources, S3StaticStorage, location="static"):
        media = S3Boto3Storage(**place.options(location="media"))
        with media.open("a.txt", "w") as file:
            file.write("content")
        collect()
    assert place.raw.get("media/a.txt") == b"content"
    assert media.listdir("") == ([], ["a.txt"])
