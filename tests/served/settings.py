"""Settings: the environment has the entry of the storage."""

from __future__ import annotations

import json
import os

SECRET_KEY = "tests"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "tests.served.urls"
USE_TZ = True
MIDDLEWARE = [
    "django.middleware.gzip.GZipMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.http.ConditionalGetMiddleware",
    "django.middleware.common.CommonMiddleware",
]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "media": json.loads(os.environ["SERVED_MEDIA"]),
}
