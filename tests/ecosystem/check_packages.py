"""Unmodified packages on S3Boto3Storage and OverwriteStorage, as their own pages set them up."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import tablib
from django.conf import settings as site
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.template import Context, Template
from django.test import override_settings
from PIL import Image

from tests.ecosystem.models import Picture

pytestmark = pytest.mark.django_db

STYLES = {
    "css/site.css": "body { background: url(paper.png) }",
    "css/more.css": "p { margin: 0 }" * 99,
}


def picture(width: int = 40, height: int = 30) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(file, "PNG")
    return file.getvalue()


def size_of(content: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(content)).size


@pytest.fixture
def assets():
    """The static files of the project, in the directory that the finders look in."""
    root = Path(site.STATICFILES_DIRS[0])
    for name, text in STYLES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "css/paper.png").write_bytes(picture())
    return root


# -- thumbnails -----------------------------------------------------------------------------------


def test_sorl_makes_a_thumbnail(place):
    from sorl.thumbnail import get_thumbnail

    shown = Picture()
    shown.sorl.save("a picture.png", ContentFile(picture()))
    thumbnail = get_thumbnail(shown.sorl, "20x15")
    assert thumbnail.exists()
    assert (thumbnail.width, thumbnail.height) == (20, 15)
    assert size_of(thumbnail.read()) == (20, 15)
    assert thumbnail.url


def test_easy_thumbnails_makes_a_thumbnail_and_finds_it_again(place):
    shown = Picture()
    shown.easy.save("a picture.png", ContentFile(picture()))
    thumbnail = shown.easy.get_thumbnail({"size": (20, 20), "crop": True})
    assert size_of(thumbnail.storage.open(thumbnail.name).read()) == (20, 20)
    again = Picture.objects.get(pk=shown.pk).easy
    assert again.get_existing_thumbnail({"size": (20, 20), "crop": True}).name == thumbnail.name


def test_imagekit_makes_and_stores_images(place):
    shown = Picture()
    shown.kit.save("a picture.png", ContentFile(picture()))
    shown.cut.save("cut.png", ContentFile(picture()))
    assert size_of(shown.small.read()) == (10, 10)
    assert (shown.small.width, size_of(place.open(shown.cut.name).read())) == (10, (8, 8))


def test_filer_keeps_an_image_with_its_thumbnails(place):
    from filer.models import Image as FilerImage

    owner = User.objects.create(username="owner")
    upload = SimpleUploadedFile("a picture.png", picture(), "image/png")
    kept = FilerImage.objects.create(owner=owner, original_filename="a picture.png", file=upload)
    assert kept.file.storage.exists(kept.file.name)
    assert (kept.size, kept.width) == (len(picture()), 40)
    assert kept.thumbnails
    name = kept.file.name
    kept.delete()
    assert not place.exists(name)


def test_wagtail_keeps_images_renditions_and_documents(place):
    from wagtail.documents.models import Document
    from wagtail.images.models import Image as WagtailImage
    from wagtail.models import Collection

    Collection.add_root(name="Root")
    upload = SimpleUploadedFile("a picture.png", picture(), "image/png")
    image = WagtailImage.objects.create(title="picture", file=upload)
    rendition = image.get_rendition("fill-10x10")
    assert size_of(place.open(rendition.file.name).read()) == (10, 10)
    assert image.get_file_size() == len(picture())
    document = Document.objects.create(title="text", file=ContentFile(b"content", "text.txt"))
    assert document.get_file_hash()
    with document.open_file() as file:
        assert file.read() == b"content"


# -- data -----------------------------------------------------------------------------------------


def test_import_export_keeps_an_upload_until_it_is_confirmed(place):
    from import_export.tmp_storages import MediaStorage

    first = MediaStorage(encoding="utf-8")
    first.save("name,value\né,1\n")
    again = MediaStorage(name=first.name, encoding="utf-8")
    assert again.read().decode() == "name,value\né,1\n"
    again.remove()
    assert not place.exists(f"django-import-export/{first.name}")


def test_tablib_writes_and_reads_tables(place):
    table = tablib.Dataset(["é", 1], headers=["name", "value"])
    with place.open("table.csv", "w") as file:
        file.write(table.export("csv"))
    with place.open("table.csv") as file:
        assert tablib.Dataset().load(file.read().decode(), format="csv").dict == [
            {"name": "é", "value": "1"}
        ]


@pytest.fixture
def backups(place, monkeypatch):
    """The storage of backups, whose settings the package reads when it is imported."""
    entry = site.STORAGES["dbbackup"]
    monkeypatch.setattr("dbbackup.settings.STORAGE", entry["BACKEND"])
    monkeypatch.setattr("dbbackup.settings.STORAGE_OPTIONS", entry["OPTIONS"])
    return storages["dbbackup"]


@pytest.mark.django_db(transaction=True)
def test_dbbackup_backs_up_and_restores(backups):
    Picture.objects.create(sorl="before.png")
    call_command("dbbackup", "--quiet")
    assert any(name.endswith(".sqlite3") for name in backups.listdir("")[1])
    Picture.objects.all().delete()
    call_command("dbrestore", "--noinput", "--quiet")
    assert [each.sorl.name for each in Picture.objects.all()] == ["before.png"]


def test_dbbackup_backs_up_media(place, backups):
    place.save("a.txt", ContentFile(b"content"))
    call_command("mediabackup", "--quiet")
    place.delete("a.txt")
    call_command("mediarestore", "--noinput", "--quiet")
    assert place.open("a.txt").read() == b"content"


# -- static files ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("strategy", "backend"),
    [
        ("Boto3Strategy", "S3StaticStorage"),
        ("Boto3ManifestMemoryStrategy", "S3ManifestStaticStorage"),
        ("Boto3ManifestFileSystemStrategy", "S3ManifestStaticStorage"),
    ],
)
def test_collectfasta_uploads_once(bucket, assets, settings, strategy, backend):
    settings.COLLECTFASTA_STRATEGY = f"collectfasta.strategies.boto3.{strategy}"
    entries = dict(settings.STORAGES)
    entries["staticfiles"] = {
        **entries["staticfiles"],
        "BACKEND": f"storages.backends.s3boto3.{backend}",
    }
    settings.STORAGES = entries
    outputs = []
    for _ in range(2):
        out = io.StringIO()
        call_command("collectstatic", interactive=False, stdout=out)
        outputs.append(out.getvalue())
    keys = {each.key for each in bucket.objects.all()}
    assert "static/css/site.css" in keys
    first, second = (int(text.split()[0]) for text in outputs)
    assert (first >= len(STYLES) + 1, second) == (True, 0)
    if "Manifest" in strategy:
        assert "static/staticfiles.json" in keys


@pytest.mark.parametrize("where", ["bucket", "directory"])
@pytest.mark.parametrize("offline", [False, True])
def test_compressor_makes_one_file_of_two(where, offline, request, assets, settings):
    request.getfixturevalue(where)
    call_command("collectstatic", interactive=False, verbosity=0, disable_collectfasta=True)
    settings.COMPRESS_OFFLINE = offline
    text = (
        "{% load compress static %}{% compress css %}"
        '<link rel="stylesheet" href="/static/css/site.css">'
        '<link rel="stylesheet" href="/static/css/more.css">{% endcompress %}'
    )
    Path(site.TEMPLATES[0]["DIRS"][0], "page.html").write_text(text, encoding="utf-8")
    if offline:
        call_command("compress", force=True, verbosity=0)
    page = Template(text).render(Context())
    assert page.count("<link") == 1
    assert "/static/CACHE/css/" in page


def test_whitenoise_compresses_hashed_files(tmp_path, assets):
    entry = {
        "BACKEND": "tests.ecosystem.classes.WhiteNoiseStorage",
        "OPTIONS": {"location": str(tmp_path), "base_url": "/static/"},
    }
    with override_settings(STORAGES={**site.STORAGES, "staticfiles": entry}):
        call_command("collectstatic", interactive=False, verbosity=0, disable_collectfasta=True)
    manifest = json.loads((tmp_path / "staticfiles.json").read_text(encoding="utf-8"))
    hashed = manifest["paths"]["css/site.css"]
    assert (tmp_path / hashed).exists()
    assert (tmp_path / "css/more.css.gz").exists()
