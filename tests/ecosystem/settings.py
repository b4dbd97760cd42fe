"""A project that uses the packages which are used most with other storages."""

from __future__ import annotations

from tests.settings import *  # noqa: F403
from tests.settings import BUILD

ROOT = BUILD / "ecosystem"
INSTALLED_APPS = [
    "collectfasta",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "storages",
    "compressor",
    "dbbackup",
    "easy_thumbnails",
    "filer",
    "imagekit",
    "import_export",
    "sorl.thumbnail",
    "taggit",
    "wagtail.documents",
    "wagtail.images",
    "wagtail.users",
    "wagtail",
    "tests.ecosystem",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [str(ROOT / "templates")],
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
        "NAME": str(ROOT / "db.sqlite3"),
        "TEST": {"NAME": str(ROOT / "test.sqlite3")},
    }
}
ROOT_URLCONF = "tests.ecosystem.urls"
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "compressor.finders.CompressorFinder",
]
STATICFILES_DIRS = [str(ROOT / "assets")]
MEDIA_ROOT = str(ROOT / "media")
STATIC_ROOT = str(ROOT / "static")
WAGTAIL_SITE_NAME = "tests"
WAGTAILADMIN_BASE_URL = "http://testserver"
COMPRESS_ENABLED = True
COMPRESS_URL = "/static/"
COMPRESS_FILTERS = {"css": ["compressor.filters.css_default.CssAbsoluteFilter"]}
COLLECTFASTA_STRATEGY = "collectfasta.strategies.boto3.Boto3Strategy"
COMPRESS_STORAGE_ALIAS = "compressor"
THUMBNAIL_DEFAULT_STORAGE_ALIAS = "default"
SILENCED_SYSTEM_CHECKS = ["models.W042"]
ROOT.mkdir(parents=True, exist_ok=True)
for name in ("assets/css", "templates", "media", "static"):
    (ROOT / name).mkdir(parents=True, exist_ok=True)
