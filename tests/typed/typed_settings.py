"""Settings of the typed project, for the plugin of django-stubs."""

# ruff: noqa: INP001
SECRET_KEY = "x"
INSTALLED_APPS = ["storages"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
