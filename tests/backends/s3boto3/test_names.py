"""Import paths of the S3 backend, today's and those of old settings."""

from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
from django.conf import settings
from django.core.files.storage import storages
from django.test import override_settings
from django.utils.module_loading import import_string

from storages.backends import s3, s3boto, s3boto3

CLASS = s3boto3.S3Boto3Storage


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("storages.backends.s3.S3Storage", CLASS),
        ("storages.backends.s3.S3File", s3boto3.S3Boto3StorageFile),
        ("storages.backends.s3.S3StaticStorage", s3boto3.S3StaticStorage),
        ("storages.backends.s3.S3ManifestStaticStorage", s3boto3.S3ManifestStaticStorage),
        ("storages.backends.s3boto.S3Boto3Storage", CLASS),
        ("storages.backends.s3boto.S3Boto3StorageFile", s3boto3.S3Boto3StorageFile),
    ],
)
def test_other_import_path_gives_the_same_class(path: str, target: type) -> None:
    assert import_string(path) is target


#: Says what is warned of when the old name is used twice, from two places.
OLD_NAME = """
import warnings
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    from storages.backends.s3boto import S3BotoStorage
    from storages.backends import s3boto
    again = s3boto.S3BotoStorage
from storages.backends.s3boto3 import S3Boto3Storage
assert S3BotoStorage is again is S3Boto3Storage
(one,) = told
print(one.category.__name__, one.filename, one.message)
"""


def test_class_of_the_dead_library_works_and_says_so_once() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OLD_NAME], capture_output=True, text=True, check=True
    )
    category, place, message = done.stdout.split(" ", 2)
    assert (category, place) == ("DeprecationWarning", "<string>")
    assert "storages.backends.s3boto3.S3Boto3Storage" in message


def test_old_class_works_in_settings() -> None:
    entry = {"BACKEND": "storages.backends.s3boto.S3BotoStorage", "OPTIONS": {"bucket": "files"}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with override_settings(STORAGES={**settings.STORAGES, "old": entry}):
            assert type(storages["old"]) is CLASS
            assert storages["old"].bucket_name == "files"


def test_missing_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'S3BotoStorageFile'"):
        s3boto.S3BotoStorageFile  # noqa: B018


def test_storage_deconstructs_to_its_real_path() -> None:
    for cls in (s3.S3Storage, s3boto.S3Boto3Storage):
        path, args, options = cls(bucket_name="files", secret_key="secret").deconstruct()
        assert path == "storages.backends.s3boto3.S3Boto3Storage"
        assert (list(args), options) == ([], {"bucket_name": "files"})
