SECRET_KEY = "for tests alone"
INSTALLED_APPS = ["storages", "django.contrib.staticfiles"]
STATIC_URL = "static/"
USE_TZ = True
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
