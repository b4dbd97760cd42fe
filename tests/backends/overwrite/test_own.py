"""OverwriteStorage: the contract, and what a killed process leaves."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from django.core.files.base import ContentFile
from django.core.files.uploadedfile import TemporaryUploadedFile

from storages.backends.overwrite import OverwriteStorage
from storages.testing.parallel import Recipe, in_processes
from tests.backends.directory import files_in
from tests.crash import killed_at, system_calls

KILLS = 1000
DAY = 24 * 3600  # seconds
OLD = b"old" * 1000
NEW = b"newer" * 100_000


Writer = Callable[[OverwriteStorage], None]


# Kills


def save(storage: OverwriteStorage) -> None:
    storage.save("directory/a.txt", ContentFile(NEW))


def save_upload(storage: OverwriteStorage) -> None:
    with TemporaryUploadedFile("a.txt", "text/plain", len(NEW), None) as upload:
        upload.write(NEW)
        storage.save("directory/a.txt", upload)


def write(storage: OverwriteStorage) -> None:
    with storage.open("directory/a.txt", "wb") as file:
        file.write(NEW)


def append(storage: OverwriteStorage) -> None:
    with storage.open("directory/a.txt", "ab") as file:
        file.write(NEW)


WRITERS: dict[Writer, bytes] = {
    save: NEW,
    save_upload: NEW,
    write: NEW,
    append: OLD + NEW,
}


def test_kill_at_any_step_leaves_the_old_file_or_the_new_one_whole(tmp_path, settings):
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "uploads"
    settings.FILE_UPLOAD_TEMP_DIR.mkdir()
    (tmp_path / "files/directory").mkdir(parents=True)
    recipe = Recipe.of(OverwriteStorage(tmp_path / "files"), {})
    # A process of its own is smaller than this one, and forks faster.
    (found,) = in_processes(recipe, 1, kill_writers)
    assert found["old"] + found["new"] >= KILLS
    assert found["new"] > KILLS / 20


def kill_writers(storage: OverwriteStorage, _index: int = 0) -> Counter[str]:
    """Kill writers at each of their steps, over and over; return how often which file was found."""
    found: Counter[str] = Counter()
    while found.total() < KILLS:
        for writer, new in WRITERS.items():
            for _ in each_kill(storage, writer):
                found[what_is_found(storage, new)] += 1
    return found


def each_kill(storage: OverwriteStorage, writer: Writer) -> Iterator[list[Path]]:
    """Kill a writer over an old file at each of its steps, and yield what it leaves beside it."""
    path = Path(storage.path("directory/a.txt"))
    for step in count():
        path.write_bytes(OLD)
        if not killed_at(step, lambda: writer(storage)):
            return
        left = [each for each in path.parent.iterdir() if each != path]
        yield left
        for each in left:
            each.unlink(missing_ok=True)


def what_is_found(storage: OverwriteStorage, new: bytes) -> str:
    assert storage.listdir("directory") == ([], ["a.txt"])
    with storage.open("directory/a.txt") as file:
        return {OLD: "old", new: "new"}[file.read()]


def test_what_killed_saves_leave_is_swept_by_a_save_a_day_later(tmp_path):
    storage = OverwriteStorage(tmp_path / "files")
    (tmp_path / "files/directory").mkdir(parents=True)
    (tmp_path / "aside").mkdir()
    for left in each_kill(storage, save):
        for path in left:
            path.rename(tmp_path / "aside" / path.name)
    names = [path.name for path in (tmp_path / "aside").iterdir()]
    assert len(names) > 10
    for name in names:
        (tmp_path / "aside" / name).rename(tmp_path / "files/directory" / name)
        os.utime(tmp_path / "files/directory" / name, (time.time() - 1.5 * DAY,) * 2)
    os.utime(tmp_path / "files/directory" / names[0])
    save(storage)
    assert set(files_in(tmp_path / "files/directory")) == {"a.txt", names[0]}


def test_content_is_on_disk_before_it_has_its_name_and_the_name_is_after(tmp_path):
    storage = OverwriteStorage(tmp_path)
    called: list[str] = []
    with system_calls(called):
        storage.save("a.txt", ContentFile(b"content"))
    assert [name for name in called if name in {"chmod", "fsync", "rename", "replace", "link"}] == [
        "chmod",
        "fsync",
        "replace",
        "fsync",
    ]
