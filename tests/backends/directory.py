"""A directory that a backend stores in, looked at from this machine."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path


class RawDirectory:
    """What a storage's root holds, and another client that writes there."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, name: str) -> bytes | None:
        path = self.path / name
        return path.read_bytes() if path.is_file() else None

    def put(self, name: str, content: bytes) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another client that knows its trade replaces a file whole.
        beside = self.path / f".{uuid.uuid4().hex}.put"
        beside.write_bytes(content)
        beside.replace(path)

    def names(self) -> list[str]:
        return sorted(files_in(self.path))


class OwnedDirectory(RawDirectory):
    """The server's own view of a storage's root, all of it the server's user's."""

    def put(self, name: str, content: bytes) -> None:
        super().put(name, content)
        path = self.path / name
        while path != self.path:
            self._give_away(path)
            path = path.parent

    def make(self) -> None:
        """Make the root, the server's user's own."""
        self.path.mkdir(exist_ok=True)
        owner = self.path.parent.stat()
        os.chown(self.path, owner.st_uid, owner.st_gid)

    def _give_away(self, path: Path) -> None:
        owner = self.path.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def files_in(directory: Path) -> Iterator[str]:
    """Yield the names of all files, hidden ones too, at any depth."""
    for path, _, files in os.walk(directory):
        for file in files:
            yield Path(path, file).relative_to(directory).as_posix()
