SECRET_KEY = "…"
INSTALLED_APPS = ["storages"]
USE_TZ = True

AWS_S3_ENDPOINT_URL = "http://127.0.0.1:9000"
AWS_ACCESS_KEY_ID = "…"
AWS_SECRET_ACCESS_KEY = "…"
STORAGES = {
    "default": {
        "BACKEND": "storages.backends.s3boto3.S3Boto3Storage",
        "OPTIONS": {"bucket_name": "site"},
    },
    "archive": {
        "BACKEND": "storages.backends.s3boto3.S3Boto3Storage",
        "OPTIONS": {"bucket_name": "archive"},
    },
}
