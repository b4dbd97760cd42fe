from __future__ import annotations

import copy
import pickle

from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.test import override_settings

from storages.backends.overwrite import OverwriteStorage
from storages.staticfiles import LazyManifest


class Manifest(LazyManifest, OverwriteStorage):
    """Static files with hashed names in a directory."""


def test_copy_of_a_manifest_storage_keeps_its_manifest_in_itself(tmp_path):
    first = Manifest(location=tmp_path / "first")
    for other in (copy.copy(first), copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        assert other.manifest_storage is other


def test_copy_keeps_another_storage_of_its_manifest(tmp_path):
    elsewhere = OverwriteStorage(location=tmp_path / "elsewhere")
    first = Manifest(location=tmp_path / "first", manifest_storage=elsewhere)
    assert copy.copy(first).manifest_storage is elsewhere


def test_manifest_is_read_at_first_use(tmp_path):
    OverwriteStorage(tmp_path).save(
        "staticfiles.json", ContentFile(b'{"version": "1.1", "paths": {"a.css": "a.1.css"}}')
    )
    storage = Manifest(location=tmp_path)
    assert storage.hashed_files == {"a.css": "a.1.css"}


def test_unpickled_manifest_storage_finds_its_entry(tmp_path):
    options = {"location": str(tmp_path)}
    entry = {"BACKEND": f"{__name__}.Manifest", "OPTIONS": options}
    with override_settings(STORAGES={"staticfiles": entry}):
        storage = storages["staticfiles"]
        restored = pickle.loads(pickle.dumps(storage))
    assert (restored.location, restored.manifest_storage) == (storage.location, restored)
