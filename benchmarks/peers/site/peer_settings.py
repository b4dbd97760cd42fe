"""The settings of a site that uses the package named by PEER, on the server named by S3_URL."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from typing import Any

PEER = os.environ["PEER"]
URL = os.environ["S3_URL"]
FILES = os.environ.get("FILES", "")
HASHED = "HASHED" in os.environ
BUCKET = "benchmark"
KEYS = {
    "access_key": os.environ["AWS_ACCESS_KEY_ID"],
    "secret_key": os.environ["AWS_SECRET_ACCESS_KEY"],
}
OPTIONS = {**KEYS, "bucket_name": BUCKET, "endpoint_url": URL, "region_name": "us-east-1"}

SECRET_KEY = "benchmark"
USE_TZ = True
STATIC_URL = "/static/"
STATICFILES_DIRS = [FILES]
STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
INSTALLED_APPS = ["django.contrib.staticfiles"]

#: For each package, its app and its classes of static files: plain, and with hashed names.
PACKAGES = {
    "this package": (
        "storages",
        "storages.backends.s3boto3.S3StaticStorage",
        "storages.backends.s3boto3.S3ManifestStaticStorage",
    ),
    "django-storages": (
        "storages",
        "storages.backends.s3.S3StaticStorage",
        "storages.backends.s3.S3ManifestStaticStorage",
    ),
    "collectfasta": (
        "collectfasta",
        "storages.backends.s3.S3StaticStorage",
        "storages.backends.s3.S3ManifestStaticStorage",
    ),
    "django-s3-storage": (
        "django_s3_storage",
        "django_s3_storage.storage.StaticS3Storage",
        "django_s3_storage.storage.ManifestStaticS3Storage",
    ),
}
app, *classes = PACKAGES[PEER]
found = find_spec("storages")
if PEER != "this package" and not (found and str(found.origin).startswith(sys.prefix)):
    raise RuntimeError(f"{PEER} would be measured with another storages: {found}")
INSTALLED_APPS.insert(0, app)
LOCAL = "django.core.files.storage.FileSystemStorage"
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": LOCAL, "OPTIONS": {"location": FILES}},
    "staticfiles": {"BACKEND": classes[HASHED], "OPTIONS": OPTIONS},
    "target": {"BACKEND": "storages.backends.s3boto3.S3Boto3Storage", "OPTIONS": OPTIONS},
}

if PEER == "django-s3-storage":
    STORAGES["staticfiles"].pop("OPTIONS")
    AWS_REGION = "us-east-1"
    AWS_ACCESS_KEY_ID = KEYS["access_key"]
    AWS_SECRET_ACCESS_KEY = KEYS["secret_key"]
    AWS_S3_BUCKET_NAME = AWS_S3_BUCKET_NAME_STATIC = BUCKET
    AWS_S3_ENDPOINT_URL = AWS_S3_ENDPOINT_URL_STATIC = URL
    AWS_S3_ADDRESSING_STYLE = AWS_S3_ADDRESSING_STYLE_STATIC = "path"
    AWS_S3_GZIP = AWS_S3_GZIP_STATIC = False  # none of the others compresses unasked
if PEER == "collectfasta":
    strategy = "Boto3ManifestMemoryStrategy" if HASHED else "Boto3Strategy"
    COLLECTFASTA_STRATEGY = f"collectfasta.strategies.boto3.{strategy}"
    COLLECTFASTA_THREADS = 20  # its documentation's number
    # As it recommends: a cache of its own, safe to use from threads, that lasts to the next run.
    CACHES = {
        "default": {
            "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
            "LOCATION": os.path.join(os.environ["HOME"], "collectfasta"),  # noqa: PTH118
            "TIMEOUT": None,
            "OPTIONS": {"MAX_ENTRIES": 100_000},
        }
    }
