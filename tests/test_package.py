from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import storages

IMPORT_ALL = Path(__file__).with_name("import_all.py")
EXTRAS = {
    "all",
    "azure",
    "boto3",
    "cloudfront",
    "couchdb",
    "database",
    "dropbox",
    "ftp",
    "image",
    "libcloud",
    "mogile",
    "s3",
    "sftp",
}


def test_installed_version_is_the_one_in_the_source() -> None:
    assert metadata.version("django-storages") == storages.__version__


def test_every_backend_has_an_extra() -> None:
    assert set(metadata.metadata("django-storages").get_all("Provides-Extra") or ()) == EXTRAS


def test_extra_all_names_every_other_extra() -> None:
    (everything,) = [
        requirement
        for requirement in metadata.requires("django-storages") or ()
        if re.search(r"extra == .all.$", requirement)
    ]
    named = re.findall(r"\w+", everything.split("[")[1].split("]")[0])
    assert set(named) == EXTRAS - {"all", "boto3"}


def test_every_module_imports_without_settings_and_without_any_sdk() -> None:
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    subprocess.run([sys.executable, "-P", IMPORT_ALL], env=environment, check=True)
