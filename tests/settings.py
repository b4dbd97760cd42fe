"""Django settings of the test suite, the same on every supported Django."""

from __future__ import annotations

from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent / "build"

SECRET_KEY = "tests"
USE_TZ = True
# Neither UTC nor without daylight saving: a time in the wrong zone shows.
TIME_ZONE = "Europe/Paris"

INSTALLED_APPS = [
    "storages",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.staticfiles",
    "tests",
]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

MEDIA_ROOT = BUILD / "media"
MEDIA_URL = "/media/"
STATIC_ROOT = BUILD / "static"
STATIC_URL = "/static/"
