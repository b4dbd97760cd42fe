"""A page whose styles django-compressor packs: ``python -m tests.compressed s3|local on|off``.

Run in a process of its own by `tests.test_compressor`: it has settings of its own. The second
argument says whether the styles are packed offline.
"""

from __future__ import annotations

import re
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import boto3
import django
from django.conf import settings
from django.core.files.storage import storages
from django.core.management import call_command
from django.template.loader import render_to_string
from moto import mock_aws

PAGE = (
    '{%% load compress %%}{%% compress css %%}<link rel="stylesheet" href="%sa.css">'
    "{%% endcompress %%}"
)
REGION = "eu-west-1"


def configure(root: Path, url: str, entry: dict[str, Any], *, offline: bool) -> None:
    """Set up Django for a site whose files are in one storage."""
    (root / "templates").mkdir()
    (root / "templates/page.html").write_text(PAGE % url)
    (root / "a.css").write_text("body { color: red }")
    places = {"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}
    settings.configure(
        INSTALLED_APPS=["django.contrib.staticfiles", "compressor", "storages"],
        STATIC_URL=url,
        STATIC_ROOT=str(root),
        COMPRESS_URL=url,
        COMPRESS_ROOT=str(root),
        COMPRESS_ENABLED=True,
        COMPRESS_OFFLINE=offline,
        COMPRESS_FILTERS={"css": ["compressor.filters.cssmin.rCSSMinFilter"], "js": []},
        STORAGES=dict.fromkeys(("default", "staticfiles", "compressor"), entry),
        STATICFILES_FINDERS=["compressor.finders.CompressorFinder"],
        TEMPLATES=[{**places, "DIRS": [str(root / "templates")]}],
    )
    django.setup()


def main(kind: str, when: str) -> None:
    """Render the page, and read the styles that it names from the storage."""
    root, is_s3 = Path(tempfile.mkdtemp()), kind == "s3"
    url = f"https://files.s3.{REGION}.amazonaws.com/" if is_s3 else "/static/"
    s3 = {"bucket_name": "files", "region_name": REGION}
    entry = {
        "BACKEND": "storages.backends.s3boto3.S3StaticStorage"
        if is_s3
        else "storages.backends.overwrite.OverwriteStorage",
        "OPTIONS": s3 if is_s3 else {"location": str(root), "base_url": url},
    }
    configure(root, url, entry, offline=when == "off")
    with mock_aws() if is_s3 else nullcontext():
        if is_s3:
            place: Any = {"LocationConstraint": REGION}
            boto3.client("s3", region_name=REGION).create_bucket(
                Bucket="files", CreateBucketConfiguration=place
            )
        if when == "off":
            call_command("compress", verbosity=0)
        found = re.search(r'href="([^"]+)"', render_to_string("page.html"))
        assert found is not None
        assert found[1].startswith(f"{url}CACHE/css/"), found[1]
        with storages["compressor"].open(found[1].removeprefix(url)) as file:
            assert b"color:red" in file.read()


if __name__ == "__main__":
    main(*sys.argv[1:])
