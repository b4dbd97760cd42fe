"""What the local backends share: temporary files, permissions, uploads on disk, links, limits."""

from __future__ import annotations

import errno
import io
import os
import resource
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.apps.registry import Apps
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.core.management import call_command
from django.db import models
from django.test import override_settings

from storages.backends.image import ImageStorage
from storages.backends.overwrite import OverwriteStorage
from storages.backends.symlinkorcopy import SymlinkOrCopyStorage
from storages.testing import Impossible
from storages.testing.parallel import in_threads
from storages.testing.sources import Interrupted
from tests.backends.directory import files_in
from tests.backends.local.server import NOBODY, picture
from tests.crash import in_child

BACKENDS = [OverwriteStorage, ImageStorage, SymlinkOrCopyStorage]
DAY = 24 * 3600  # seconds
STALE = f".storages-{'0' * 32}.part"
FRESH = f".storages-{'1' * 32}.part"


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture
def storage(backend, tmp_path):
    return backend(tmp_path, "/files/")


@pytest.fixture
def overwriting(backend, tmp_path):
    return backend(tmp_path, "/files/", file_overwrite=True)


@pytest.fixture
def unique(backend, tmp_path):
    return backend(tmp_path, "/files/", file_overwrite=False)


class Static(OverwriteStorage):
    """Where static files are collected."""

    @property
    def location(self) -> str:  # type: ignore[override]
        return str(settings.STATIC_ROOT)


def upload(content: bytes) -> TemporaryUploadedFile:
    """Return an upload as Django's handler for large ones leaves it."""
    file = TemporaryUploadedFile("upload.bin", "application/octet-stream", len(content), None)
    file.write(content)
    file.seek(0)
    return file


# Options


def test_is_a_file_system_storage(storage):
    assert isinstance(storage, FileSystemStorage)


def test_location_and_base_url_may_be_given_by_position_as_to_django_s_own(backend):
    storage = backend("/somewhere", "/files/")
    own = FileSystemStorage("/somewhere", "/files/")
    assert (storage.location, storage.base_url) == (own.location, own.base_url)
    assert storage.path("a/b.txt") == own.path("a/b.txt")


def test_location_is_read_as_an_absolute_path(backend, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert backend("media").location == str(tmp_path / "media")
    assert backend(Path("media/../other")).location == str(tmp_path / "other")
    assert backend("media").base_location == "media"


def test_changed_settings_reach_a_storage_made_before(backend, tmp_path):
    storage = backend()
    with override_settings(MEDIA_ROOT=tmp_path, MEDIA_URL="/elsewhere/"):
        storage.save("a.txt", ContentFile(b"content"))
        assert storage.url("a.txt") == "/elsewhere/a.txt"
    assert (tmp_path / "a.txt").read_bytes() == b"content"


def test_subclass_may_set_options_by_any_of_their_names(backend, tmp_path):
    class Subclass(backend):
        location = tmp_path
        allow_overwrite = True

    for content in (b"old", b"new"):
        assert Subclass().save("a.txt", ContentFile(content)) == "a.txt"
    assert (tmp_path / "a.txt").read_bytes() == b"new"


def test_two_names_of_one_option_together_are_refused(backend):
    with pytest.raises(ImproperlyConfigured, match="allow_overwrite"):
        backend(allow_overwrite=True, file_overwrite=False)


def test_path_inside_of_the_location_is_a_name_where_it_is_looked_up(storage):
    storage.save("a/b.txt", ContentFile(b"content"))
    assert storage.path(storage.path("a/b.txt")) == storage.path("a/b.txt")
    assert storage.exists(storage.path("a/b.txt"))
    assert storage.listdir(storage.location) == (["a"], [])
    with pytest.raises(SuspiciousFileOperation):
        storage.path(f"{storage.location}/../a.txt")


# Temporary files


class Watched(io.BytesIO):
    """Calls ``look`` before each read."""

    def __init__(self, content: bytes, look: Callable[[], None]) -> None:
        super().__init__(content)
        self.look = look

    def read(self, size: int | None = -1, /) -> bytes:
        self.look()
        return super().read(size)


def test_file_being_saved_is_private_and_not_to_be_guessed(overwriting, tmp_path):
    seen = {}

    def look() -> None:
        seen.update({path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob(".*")})
        assert overwriting.listdir("") == ([], [])

    for _ in range(2):
        with override_settings(FILE_UPLOAD_PERMISSIONS=0o644):
            overwriting.save("a.txt", File(Watched(b"content", look)))
        overwriting.delete("a.txt")
    first, second = seen
    assert first != second
    assert set(seen.values()) == {0o600}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [STALE, f"directory/{STALE}"])
def test_names_of_temporary_files_are_refused(storage, tmp_path, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"half")
    for call in (storage.open, storage.exists, storage.size, storage.delete, storage.path):
        with pytest.raises(SuspiciousFileOperation):
            call(name)
    with pytest.raises(SuspiciousFileOperation):
        storage.save(name, ContentFile(b"content"))
    assert path.read_bytes() == b"half"


def test_save_sweeps_stale_temporary_files_of_its_directory_alone(storage, tmp_path):
    (tmp_path / "directory").mkdir()
    stale = [STALE, ".own", "own.part", f".storages-{'g' * 32}.part", f"directory/{STALE}"]
    for name in (*stale, FRESH):
        (tmp_path / name).write_bytes(b"")
    for name in stale:
        os.utime(tmp_path / name, (time.time() - 2 * DAY,) * 2)
    storage.save("a.txt", ContentFile(b"content"))
    assert set(files_in(tmp_path)) == {*stale, FRESH, "a.txt"} - {STALE}


def test_sweeping_does_not_fail_a_save(storage, tmp_path):
    (tmp_path / STALE).mkdir()
    os.utime(tmp_path / STALE, (time.time() - 2 * DAY,) * 2)
    assert storage.save("a.txt", ContentFile(b"content")) == "a.txt"


# Permissions


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444])
def test_permissions_are_those_of_the_settings(overwriting, tmp_path, mode):
    modes = {"FILE_UPLOAD_PERMISSIONS": mode, "FILE_UPLOAD_DIRECTORY_PERMISSIONS": mode | 0o770}
    for content in (ContentFile(b"content"), upload(b"content")):
        with override_settings(**modes), content:
            overwriting.save("one/two/a.txt", content)
        assert mode_of(tmp_path / "one/two/a.txt") == mode
    for directory in ("one", "one/two"):
        assert mode_of(tmp_path / directory) == mode | 0o770


def test_permissions_without_a_setting_are_left_to_the_umask(overwriting, tmp_path):
    with override_settings(FILE_UPLOAD_PERMISSIONS=None):
        assert in_child(lambda: (os.umask(0o027), save(overwriting, "one/a.txt"))) == 0
    assert mode_of(tmp_path / "one/a.txt") == 0o640
    assert mode_of(tmp_path / "one") == 0o750


def test_option_wins_over_the_setting_of_permissions(backend, tmp_path):
    save(backend(tmp_path, file_permissions_mode=0o604, directory_permissions_mode=0o705), "a/b")
    assert (mode_of(tmp_path / "a/b"), mode_of(tmp_path / "a")) == (0o604, 0o705)


def test_group_is_that_of_the_location(storage, tmp_path):
    own = tmp_path.stat().st_gid
    groups = [NOBODY] if os.geteuid() == 0 else [each for each in os.getgroups() if each != own]
    if not groups:
        raise Impossible("a user of one group can give a directory no other")
    os.chown(tmp_path, -1, groups[0])
    save(storage, "one/a.txt")
    assert (tmp_path / "one/a.txt").stat().st_gid == groups[0]


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


# Uploads on disk


def test_upload_on_the_same_file_system_is_moved(storage, tmp_path):
    (tmp_path / "incoming").mkdir()
    with override_settings(FILE_UPLOAD_TEMP_DIR=tmp_path / "incoming"):
        content = upload(b"content")
    path = Path(content.temporary_file_path())
    os.utime(path, (1e9, 1e9))
    number = path.stat().st_ino
    storage.save("a.bin", content)
    assert (tmp_path / "a.bin").stat().st_ino == number
    assert storage.get_modified_time("a.bin").timestamp() > 1e9 + DAY
    assert not path.exists()
    content.close()
    assert (tmp_path / "a.bin").read_bytes() == b"content"


def test_upload_whose_file_was_moved_before_is_copied(unique, tmp_path):
    content = upload(b"content")
    names = [unique.save("a.bin", content) for _ in range(2)]
    assert [(tmp_path / name).read_bytes() for name in names] == [b"content"] * 2
    content.close()


def test_upload_on_another_file_system_is_copied(storage, tmp_path):
    other = Path("/dev/shm")
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        raise Impossible("there is no other file system")
    with override_settings(FILE_UPLOAD_TEMP_DIR=other):
        content = upload(b"content" * 100_000)
    storage.save("a.bin", content)
    content.close()
    assert (tmp_path / "a.bin").read_bytes() == b"content" * 100_000


# Failures


def test_full_disk_leaves_the_old_file_and_nothing_else(overwriting, tmp_path):
    save(overwriting, "a.txt", b"old")

    def job() -> None:
        # The limit of a process on the size of its files fails a write as a full disk does.
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        for name in ("a.txt", "new.txt"):
            with pytest.raises(OSError, match=f"large.*'{name}'"):
                save(overwriting, name, b"new" * 100_000)
            with pytest.raises(OSError, match="large"), overwriting.open(name, "ab") as file:
                file.write(b"more" * 100_000)

    assert in_child(job) == 0
    assert {path: (tmp_path / path).read_bytes() for path in files_in(tmp_path)} == {
        "a.txt": b"old"
    }


def test_full_disk_while_a_free_name_is_sought_leaves_nothing(storage, tmp_path):
    def job() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        with pytest.raises(OSError, match="large"):
            save(storage, "a.txt", b"new" * 100_000)

    assert in_child(job) == 0
    assert list(files_in(tmp_path)) == []


def test_read_only_directory_is_a_permission_error_and_keeps_the_old_file(overwriting, tmp_path):
    save(overwriting, "one/a.txt", b"old")
    (tmp_path / "one").chmod(0o555)
    for parent in (tmp_path, *tmp_path.parents[:2]):
        parent.chmod(0o755)

    def job() -> None:
        if os.geteuid() == 0:
            os.setuid(NOBODY)
        for name in ("one/a.txt", "one/new.txt"):
            with pytest.raises(PermissionError, match=f"'{name}'"):
                save(overwriting, name, b"new")
        with pytest.raises(PermissionError):
            overwriting.delete("one/a.txt")

    assert in_child(job) == 0
    assert (tmp_path / "one/a.txt").read_bytes() == b"old"
    assert list(files_in(tmp_path)) == ["one/a.txt"]


def test_directory_under_the_name_is_not_replaced(overwriting, tmp_path):
    save(overwriting, "a/b.txt", b"old")
    with pytest.raises(IsADirectoryError):
        save(overwriting, "a")
    assert list(files_in(tmp_path)) == ["a/b.txt"]


def test_name_is_taken_in_one_step_where_there_are_no_hard_links(unique, tmp_path, monkeypatch):
    def link(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    def take_the_name() -> None:
        (tmp_path / "a.txt").write_bytes(b"another's")

    monkeypatch.setattr(os, "link", link)
    name = unique.save("a.txt", File(Interrupted(b"ours", take_the_name)))
    assert (tmp_path / name).read_bytes() == b"ours"
    assert (tmp_path / "a.txt").read_bytes() == b"another's"
    assert set(files_in(tmp_path)) == {"a.txt", name}


# Odd things in the directory


def test_link_under_the_name_is_replaced_and_its_target_left_alone(overwriting, tmp_path):
    target = tmp_path / "target"
    target.write_bytes(b"target")
    location = tmp_path / "location"
    location.mkdir()
    storage = type(overwriting)(location, file_overwrite=True)
    for name, leads_to in (("a", target), ("b", tmp_path / "missing"), ("c", location / "c")):
        (location / name).symlink_to(leads_to)
        assert save(storage, name, b"content") == name
        assert not (location / name).is_symlink()
        assert (location / name).read_bytes() == b"content"
    assert target.read_bytes() == b"target"
    assert not (tmp_path / "missing").exists()


def test_link_that_leads_nowhere_takes_its_name(unique, tmp_path):
    for name, leads_to in (("nowhere", "missing"), ("loop", "loop")):
        (tmp_path / name).symlink_to(leads_to)
        assert unique.exists(name)
        assert save(unique, name) != name
        with pytest.raises(OSError, match=f"'{name}'"):
            unique.open(name)
        unique.delete(name)
        assert not unique.exists(name)


def test_deleting_a_link_leaves_its_target(storage, tmp_path):
    (tmp_path / "directory").mkdir()
    (tmp_path / "file").write_bytes(b"content")
    for target in ("directory", "file"):
        (tmp_path / "link").symlink_to(target)
        storage.delete("link")
        assert not os.path.lexists(tmp_path / "link")
    assert (tmp_path / "directory").is_dir()
    assert (tmp_path / "file").read_bytes() == b"content"


def test_listing_shows_whatever_lies_there(storage, tmp_path):
    (tmp_path / "nowhere").symlink_to("missing")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "to directory").symlink_to("directory")
    (tmp_path / "directory").mkdir()
    (tmp_path / "unreadable").touch(0)
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        directories, files = storage.listdir("")
    assert sorted(directories) == ["directory", "to directory"]
    assert sorted(files) == ["fifo", "loop", "nowhere", "socket", "unreadable"]


def test_file_that_no_name_can_say_is_not_listed(storage, tmp_path):
    (tmp_path / "en").mkdir()
    (tmp_path / "en/test.txt").write_bytes(b"right")
    odd = [b"en\\test.txt", b"caf\xe9.txt", b"caf\xe8.txt", b"line\n.txt"]
    for name in odd:
        (tmp_path / os.fsdecode(name)).write_bytes(b"other")
    assert storage.listdir("") == (["en"], [])
    assert [name for name, _ in storage.scan(recursive=True)] == ["en/test.txt"]
    # A backslash in a name is a slash, so this is the other file.
    with storage.open("en\\test.txt") as file:
        assert file.read() == b"right"
    with override_settings(
        STORAGES={"staticfiles": {"BACKEND": f"{__name__}.Static"}},
        STATIC_ROOT=tmp_path,
        STATICFILES_DIRS=[],
        STATICFILES_FINDERS=["django.contrib.staticfiles.finders.FileSystemFinder"],
    ):
        call_command("collectstatic", interactive=False, clear=True, verbosity=0)
    assert {os.fsencode(each.name) for each in tmp_path.iterdir()} == {b"en", *odd}
    assert not (tmp_path / "en/test.txt").exists()


def test_directory_can_be_deleted_when_it_is_empty(storage, tmp_path):
    save(storage, "directory/a.txt")
    with pytest.raises(OSError, match="'directory'"):
        storage.delete("directory")
    storage.delete("directory/a.txt")
    storage.delete("directory")
    assert list(tmp_path.iterdir()) == []


# Fields


def test_image_field_saves_shows_and_measures(overwriting, tmp_path):
    class Player(models.Model):  # noqa: DJ008
        photo = models.ImageField(
            upload_to="photos", storage=overwriting, width_field="width", height_field="height"
        )
        width = models.IntegerField()
        height = models.IntegerField()

        class Meta:
            app_label = "tests"
            apps = Apps()

    player = Player()
    for colour in ("red", "blue"):
        player.photo.save("me.png", ContentFile(picture("PNG", colour), "i.png"), save=False)
        assert (player.photo.name, player.width, player.height) == ("photos/me.png", 4, 3)
    assert (tmp_path / "photos/me.png").read_bytes() == picture("PNG", "blue")
    assert (player.photo.url, player.photo.width) == ("/files/photos/me.png", 4)
    player.photo.delete(save=False)
    assert list(files_in(tmp_path)) == []


# Several at once


def test_last_of_two_writers_wins_whole(overwriting, tmp_path):
    contents = [bytes([number]) * 300_000 for number in range(4)]

    def write(index: int) -> None:
        for _ in range(10):
            save(overwriting, "a.bin", contents[index])

    in_threads(4, write)
    assert (tmp_path / "a.bin").read_bytes() in contents
    assert list(files_in(tmp_path)) == ["a.bin"]


def save(storage: Any, name: str, content: bytes = b"content") -> str:
    saved: str = storage.save(name, ContentFile(content))
    return saved


@pytest.mark.parametrize("backend", BACKENDS)
def test_directory_that_others_remove_while_it_is_empty_costs_no_save(
    backend: type[Any], tmp_path: Path
) -> None:
    class Content(ContentFile):
        removed = 0

        def temporary_file_path(self) -> str:
            # Asked for when the directory was made.
            if self.removed < 3:
                (tmp_path / "dir").rmdir()
                self.removed += 1
            return str(tmp_path / "missing")

    content = Content(b"content")
    backend(location=tmp_path).save("dir/a.txt", content)
    assert (tmp_path / "dir/a.txt").read_bytes() == b"content"
    assert content.removed == 3


@pytest.mark.parametrize("mode", [None, 0o644])
@pytest.mark.parametrize("backend", BACKENDS)
def test_directory_that_is_removed_with_all_in_it_during_a_save_costs_no_content(
    backend: type[Any], mode: int | None, tmp_path: Path
) -> None:
    class Content(ContentFile):
        def read(self, size: int = -1) -> Any:
            block = super().read(size)
            if block and not removed and (tmp_path / "dir").is_dir():
                removed.append(block)
                shutil.rmtree(tmp_path / "dir")
            return block

    removed: list[bytes] = []
    storage = backend(location=tmp_path, file_permissions_mode=mode)
    storage.save("dir/a.txt", Content(b"content"))
    assert (tmp_path / "dir/a.txt").read_bytes() == b"content"
    assert removed


def test_sweep_goes_on_after_what_it_cannot_remove(tmp_path: Path) -> None:
    # A directory, such as servers of the same files leave, between two files.
    names = [f".storages-{each * 32}.{kind}" for each, kind in (("0", "part"), ("2", "part"))]
    for name in names:
        (tmp_path / name).touch()
    lock = tmp_path / f".storages-{'1' * 32}.lock"
    lock.mkdir()
    for path in (*(tmp_path / name for name in names), lock):
        os.utime(path, (time.time() - 2 * DAY,) * 2)
    OverwriteStorage(location=tmp_path).save("a.txt", ContentFile(b"content"))
    assert {each.name for each in tmp_path.iterdir()} == {lock.name, "a.txt"}
