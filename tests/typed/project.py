"""A user's code, as mypy sees it: the error that a line makes is at its end, others make none."""

# ruff: noqa: INP001
from __future__ import annotations

import io
from typing import Any

from django.core.files.storage import storages
from django.db import models

from storages.backends.database import DatabaseStorage
from storages.backends.ftp import FTPStorage
from storages.backends.image import ImageStorage
from storages.backends.overwrite import OverwriteStorage
from storages.backends.s3boto3 import S3Boto3Storage, S3ManifestStaticStorage, S3StaticStorage
from storages.backends.sftpstorage import SFTPStorage
from storages.backends.symlinkorcopy import SymlinkOrCopyStorage
from storages.base import BaseStorage


class MediaStorage(S3Boto3Storage):
    location = "media"
    file_overwrite = False
    querystring_expire = 60


class StaticStorage(S3StaticStorage):
    location: str = "static"


class HashedStorage(S3ManifestStaticStorage):
    location = "hashed"


class OldStorage(S3Boto3Storage):
    """A subclass as most projects have one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("location", "old")
        super().__init__(*args, **kwargs)


class WrongStorage(S3Boto3Storage):
    location = 5  # error: Incompatible types in assignment


def private() -> BaseStorage:
    return S3Boto3Storage(bucket_name="private", querystring_auth=True)


class Report(models.Model):  # noqa: DJ008
    plain = models.FileField(storage=S3Boto3Storage(bucket_name="reports"))
    settled = models.FileField(storage=S3Boto3Storage())
    named = models.FileField(storage=S3Boto3Storage(acl="private", bucket="reports"))
    placed = models.FileField(storage=S3Boto3Storage("private", "reports", location="a"))
    media = models.FileField(storage=MediaStorage(bucket_name="media"))
    static = models.FileField(storage=StaticStorage(bucket_name="static"))
    old = models.ImageField(storage=OldStorage(bucket_name="old"))
    given = models.FileField(storage=private)
    entry = models.FileField(storage=storages["default"])
    database = models.ImageField(upload_to="player_photos", storage=DatabaseStorage())
    database_table = models.FileField(storage=DatabaseStorage({"db_table": "files"}, using="x"))
    ftp = models.FileField(storage=FTPStorage("ftps://files.example/site", "/files/"))
    sftp = models.FileField(storage=SFTPStorage("files.example", {"port": 2222}))
    sftp_root = models.FileField(storage=SFTPStorage(root_path="/site/", file_mode=0o640))
    local = models.FileField(storage=OverwriteStorage("/srv/files", "/files/"))
    photo = models.ImageField(storage=ImageStorage(on_unknown="refuse"))
    linked = models.FileField(storage=SymlinkOrCopyStorage("/srv/files", "/files/", "/a:/b"))

    misspelt = models.FileField(storage=S3Boto3Storage(bucket_nam="x"))  # error: "bucket_nam"
    below = models.FileField(storage=MediaStorage(locaton="x"))  # error: did you mean "location"?
    mistyped = models.FileField(storage=S3Boto3Storage(querystring_expire="1"))  # error: "str"
    nowhere = models.FileField(storage=FTPStorage(lokation="ftps://x"))  # error: "location"?
    open_mode = models.FileField(storage=SFTPStorage(file_mode="640"))  # error: "str"
    other = models.ImageField(storage=ImageStorage(on_unknown="drop"))  # error: "on_unknown"
    extra = models.FileField(storage=S3Boto3Storage("a", "b", "c"))  # error: Too many positional


storage = MediaStorage(bucket_name="media")
seconds: int = storage.querystring_expire
url: str = storage.url("name", expire=seconds)
name: str = storage.save("name", io.BytesIO(b"content"))
with storage.open(name) as file:
    content: bytes = file.read()
with storage.open(name, "w") as written:
    written.write("text")
names: list[str] = [each for each, entry in storage.scan("directory") if entry.size]
