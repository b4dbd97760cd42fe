SECRET_KEY = "…"
INSTALLED_APPS = ["storages"]

STORAGES = {
    "default": {
        "BACKEND": "storages.backends.s3boto3.S3Boto3Storage",
        "OPTIONS": {"bucket_name": "site", "default_acl": "public-read", "verify": False},
    },
}
