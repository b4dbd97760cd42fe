"""Items 117 and 129: a storage in ``default_storage`` and in Django's ``collectstatic``."""

from __future__ import annotations

import io
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.contrib.staticfiles.management.commands.collectstatic import Command
from django.contrib.staticfiles.storage import ManifestFilesMixin
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, default_storage
from django.core.management import BaseCommand, call_command
from django.test import override_settings
from django.utils.module_loading import import_string

from .case import Impossible, item
from .copies import RebuiltStorages

LONG_AGO: Final = 1e9  # seconds since 1970

#: Static files by name, one of which names another.
STATIC: Final[Mapping[str, bytes]] = {
    "css/site.css": b"body { background: url(../img/dot.svg) }",
    "img/dot.svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "deep/er/data.json": b"{}",
    "top.txt": b"top",
}


class StaticFilesContract(RebuiltStorages):
    """Items 117 and 129."""

    @item(117)
    def test_default_storage_may_be_of_this_backend(self) -> None:
        with given_as("default", self.storage):
            name = default_storage.save("a.txt", ContentFile(b"content"))
            self.assertTrue(default_storage.exists(name))
            self.assert_stored(name, b"content")
            default_storage.delete(name)
        self.assert_stored(name, None)

    @item(117)
    def test_collectstatic_copies_everything_once(self) -> None:
        self.assertIn(f"{len(STATIC)} static files copied", self.collect(self.storage))
        self.assertEqual(self.stored(), STATIC)
        again = self.collect(self.storage)
        if not self.has_modified_time:
            self.assertIn(f"{len(STATIC)} static files copied", again)
            raise Impossible("the service keeps no modified time, by which files are skipped")
        self.assertIn("0 static files copied", again)
        self.assertIn(f"{len(STATIC)} unmodified", again)

    @item(117)
    def test_collectstatic_replaces_what_is_older(self) -> None:
        self.save("top.txt", b"old")
        self.collect(self.storage, modified=time.time() + 3600)
        self.assertEqual(self.stored(), STATIC)

    @item(117)
    def test_collectstatic_clear_deletes_stale_files_of_its_location_only(self) -> None:
        located = self.make_located("static")
        for name in ("stale.txt", "old/er/stale.txt", "css/stale.css"):
            self.save(name, b"stale", located)
        for name in ("static.txt", "static2/a.txt", "media/a.txt"):
            self.save(name, b"kept")
        self.collect(located, clear=True)
        kept = dict.fromkeys(("static.txt", "static2/a.txt", "media/a.txt"), b"kept")
        collected = {f"static/{name}": content for name, content in STATIC.items()}
        self.assertEqual(self.stored(), {**kept, **collected})

    @item(117)
    def test_collectstatic_makes_a_manifest_of_hashed_names(self) -> None:
        self.collect(self.make_manifest())
        again: Any = self.make_manifest()
        self.assertEqual(set(again.hashed_files), set(STATIC))
        hashed = again.hashed_files["css/site.css"]
        picture = again.hashed_files["img/dot.svg"]
        self.assertNotEqual(picture, "img/dot.svg")
        self.assertIn(f"../{picture}".encode(), self.read(hashed))
        with override_settings(DEBUG=False):
            self.assertIn(hashed.rpartition("/")[2], again.url("css/site.css"))

    @item(117)
    def test_second_collectstatic_with_a_manifest_changes_nothing(self) -> None:
        self.collect(self.make_manifest())
        with self.unchanged():
            self.collect(self.make_manifest())

    @item(129)
    def test_two_may_collect_static_files_with_hashed_names_at_once(self) -> None:
        one = self.make_hashing(file_overwrite=False)
        self.collect(one)
        # What the other process stored a moment ago was not there when this one looked.
        other: Any = self.make_hashing(file_overwrite=False, exists=lambda *_: False)
        self.collect(other)
        again: Any = self.make_manifest()
        self.assertEqual(set(again.hashed_files), set(STATIC))
        for name, hashed in again.hashed_files.items():
            self.assertRegex(hashed, r"\.[0-9a-f]{12}\.\w+$")
            if name != "css/site.css":
                self.assertEqual(self.read(hashed), STATIC[name])

    def stored(self) -> dict[str, bytes | None]:
        """Return names and contents of all that the server holds."""
        raw = self.raw()
        return {name: raw.get(name) for name in raw.names()}

    def make_manifest(self) -> Storage:
        """Return a storage as the overwriting one that hashes names of static files."""
        return self.make_hashing()

    def make_hashing(self, *, file_overwrite: bool = True, **members: Any) -> Storage:
        """Return a storage of a class with Django's mixin and some members."""
        recipe = self.recipe()
        cls = type("Manifest", (ManifestFilesMixin, import_string(recipe.path)), members)
        options = {**recipe.options, "file_overwrite": file_overwrite}
        storage: Storage = cls(*recipe.args, **options)
        return storage

    def collect(
        self,
        storage: Storage,
        modified: float = LONG_AGO,
        *,
        files: Mapping[str, bytes] = STATIC,
        command: BaseCommand | None = None,
        **options: Any,
    ) -> str:
        """Run ``collectstatic`` on files modified at a POSIX time; return what it says."""
        said = io.StringIO()
        with (
            tempfile.TemporaryDirectory() as directory,
            override_settings(
                STATICFILES_DIRS=[directory],
                STATICFILES_FINDERS=["django.contrib.staticfiles.finders.FileSystemFinder"],
            ),
            given_as("staticfiles", storage),
        ):
            for name, content in files.items():
                path = Path(directory, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                os.utime(path, (modified, modified))
            call_command(command or Command(), interactive=False, stdout=said, **options)
        return said.getvalue().replace(directory, "project")


def given() -> Storage:
    """Return the storage of `given_as`; the setting STORAGES takes any function by its path."""
    return _given[-1]


@contextmanager
def given_as(alias: str, storage: Storage) -> Iterator[None]:
    """Make a storage one of those in the setting STORAGES."""
    # Where Django 4.2 overrides settings, it loses the OPTIONS of its own aliases.
    _given.append(storage)
    try:
        entry = {"BACKEND": f"{__name__}.given"}
        with override_settings(STORAGES={**settings.STORAGES, alias: entry}):
            yield
    finally:
        _given.pop()


_given: list[Storage] = []
