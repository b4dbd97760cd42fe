"""Settings of the photo album. What it keeps where is in ``STORAGES``; the rest is plain Django."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).parent

# The bucket. Without an endpoint it is on AWS; boto3 finds the credentials by itself.
AWS_STORAGE_BUCKET_NAME = os.environ.get("ALBUM_BUCKET", "album")
AWS_S3_REGION_NAME = os.environ.get("ALBUM_REGION", "us-east-1")
AWS_S3_ENDPOINT_URL = os.environ.get("ALBUM_ENDPOINT")

STORAGES = {
    # Pictures: private, shown by signed URLs; a second holiday.jpg gets a name of its own.
    "default": {
        "BACKEND": "storages.backends.s3boto3.S3Boto3Storage",
        "OPTIONS": {"location": "media", "file_overwrite": False},
    },
    # Style sheets and scripts: public, cached for ever under names that change with the content.
    "staticfiles": {
        "BACKEND": "storages.backends.s3boto3.S3ManifestStaticStorage",
        "OPTIONS": {
            "location": "static",
            "headers": {"Cache-Control": "public, max-age=31536000, immutable"},
        },
    },
}
STATIC_URL = "static/"

SECRET_KEY = os.environ.get("ALBUM_SECRET_KEY", "for the example only")
ALLOWED_HOSTS = ["127.0.0.1", "localhost"]
INSTALLED_APPS = [
    "storages",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "example.album",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
ROOT_URLCONF = "example.urls"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("ALBUM_DATABASE", HERE / "album.sqlite3"),
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
