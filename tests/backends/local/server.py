"""What the tests of the local backends share: the contract in a directory, and a look into it."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from django.core.files.storage import Storage
from PIL import Image

from storages.local import LocalStorage
from storages.testing import StorageContract
from tests.backends.directory import RawDirectory

BASE_URL = "/files/"
NO_SERVER = "no server that may be away"
NOBODY = 65534  # the user without rights, by custom


class LocalContract(StorageContract):
    """The contract in a directory of its own for each test."""

    backend: ClassVar[type[LocalStorage]]
    impossible = {
        "20": "a file system keeps no content type",
        "test_exists_raises_when_the_server_is_away": NO_SERVER,
        "test_delete_raises_when_the_server_is_away": NO_SERVER,
        **dict.fromkeys(("110b", "113", "113b", "114"), NO_SERVER),
        **dict.fromkeys(("118", "118b", "119", "120"), "its files cross no network"),
        **dict.fromkeys(
            ("101", "102", "102b"), "its files are served by others, without signature"
        ),
        "95": "a directory is listed in one go",
    }
    has_directories = True
    urls_are_served = True
    #: Where the directories are made; None for the system's place of temporary files.
    place: Path | None = None

    def setUp(self) -> None:
        super().setUp()
        self.directory = self.make_directory()

    def make_storage(self, **options: Any) -> LocalStorage:
        return self.backend(**{"location": self.directory, "base_url": BASE_URL, **options})

    def make_located(self, location: str) -> LocalStorage:
        return self.make_storage(file_overwrite=True, location=self.directory / location.strip("/"))

    def make_directory(self) -> Path:
        """Make a directory for the time of a test, which other users may read."""
        directory = Path(os.path.realpath(tempfile.mkdtemp(dir=self.place)))
        self.addCleanup(shutil.rmtree, directory)
        directory.chmod(0o755)
        return directory

    def make_denied(self) -> LocalStorage:
        return self.make_storage(location=self.denied_way(self.directory))

    def denied_way(self, directory: Path) -> Path:
        """Return a path to a directory that this process may not go."""
        locked = Path(self.enterContext(tempfile.TemporaryDirectory()))
        way = locked / "way"
        way.symlink_to(directory)
        locked.chmod(0)
        self.addCleanup(locked.chmod, 0o700)
        if os.geteuid() == 0:
            os.seteuid(NOBODY)
            self.addCleanup(os.seteuid, 0)
        return way

    @property
    def longest_name(self) -> int:  # type: ignore[override]
        return os.pathconf(self.directory, "PC_PATH_MAX") - len(f"{self.directory}/") - 1

    def name_of_open(self, name: str, storage: Storage) -> str:
        return storage.path(name)

    def raw(self) -> RawDirectory:
        return RawDirectory(self.directory)

    def fetch(self, url: str) -> bytes:
        path = urlsplit(url).path
        assert path.startswith(BASE_URL)
        return (self.directory / unquote(path.removeprefix(BASE_URL))).read_bytes()


def picture(kind: str = "PNG", colour: str = "red", **options: Any) -> bytes:
    """Return an image four pixels wide and three high, in a format by Pillow's name."""
    file = io.BytesIO()
    Image.new("RGB", (4, 3), colour).save(file, kind, **options)
    return file.getvalue()
