SECRET_KEY = "…"
INSTALLED_APPS = ["storages", "django.contrib.staticfiles"]
STATIC_URL = "/static/"

AWS_ACCESS_KEY_ID = "…"
STORAGES = {
    "default": {
        "BACKEND": "storages.backends.s3boto3.S3Boto3Storage",
        "OPTIONS": {"bucket_name": "site", "querystring_expires": 600},
    },
    "staticfiles": {
        "BACKEND": "storages.backends.s3boto3.S3StaticStorage",
        "OPTIONS": {"bucket_name": "site"},
    },
    "backups": {
        "BACKEND": "storages.backends.s3_boto3.S3Boto3Storage",
    },
}
