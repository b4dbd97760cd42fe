"""What code that knows Django's own FileSystemStorage takes for granted."""

from __future__ import annotations

import mmap
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.utils.functional import cached_property

from storages.backends.image import ImageStorage
from storages.backends.overwrite import OverwriteStorage
from storages.backends.symlinkorcopy import SymlinkOrCopyStorage

BACKENDS = [OverwriteStorage, ImageStorage, SymlinkOrCopyStorage]


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


@pytest.fixture
def storage(backend, tmp_path):
    return backend(tmp_path, "/files")


def test_paths_inside_of_the_location_are_taken_by_every_method(storage, tmp_path):
    path = str(tmp_path / "dir/a.txt")
    assert storage.save(path, ContentFile(b"content")) == "dir/a.txt"
    assert storage.exists(path)
    assert storage.size(path) == 7
    assert storage.path(path) == path
    assert storage.url(path) == "/files/dir/a.txt"
    assert storage.listdir(str(tmp_path)) == (["dir"], [])
    assert storage.get_modified_time(path) == storage.get_modified_time("dir/a.txt")
    assert storage.get_available_name(path)
    with storage.open(path, "ab") as file:
        file.write(b" more")
    with storage.open(Path(path)) as file:
        assert file.read() == b"content more"
    storage.delete(path)
    assert not storage.exists(path)
    with pytest.raises((SuspiciousFileOperation, OSError)):
        storage.open(str(tmp_path.parent / "outside"))
    with pytest.raises(SuspiciousFileOperation):
        storage.delete(f"{tmp_path}/../outside")


def test_base_url_ends_in_a_slash_as_django_s_own(backend, tmp_path):
    for given in ("/files", "/files/", ""):
        own = FileSystemStorage(tmp_path, given)
        assert backend(tmp_path, given).base_url == own.base_url


def test_open_file_has_a_path_and_a_descriptor(storage, tmp_path):
    storage.save("a.txt", ContentFile(b"content"))
    with storage.open("a.txt") as file:
        assert file.name == str(tmp_path / "a.txt")
        assert os.fstat(file.fileno()).st_size == 7
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            assert mapped[:] == b"content"
        assert subprocess.check_output(["cat"], stdin=file) == b"content"


def test_file_whose_size_the_system_does_not_tell_is_read():
    with OverwriteStorage("/proc/self").open("status", "r") as file:
        assert "Name:" in file.read()


def test_growing_file_is_read_on(storage, tmp_path):
    log = tmp_path / "log"
    log.write_bytes(b"one\n")
    with storage.open("log") as file:
        assert file.readlines() == [b"one\n"]
        with log.open("ab") as writer:
            writer.write(b"two\n")
        assert file.readlines() == [b"two\n"]
        file.seek(0)
        assert file.read() == b"one\ntwo\n"
        assert file.size == 8


def test_file_that_is_a_mount_point_is_written_in_place(tmp_path):
    target, source = tmp_path / "a.txt", tmp_path / "source"
    target.write_bytes(b"hidden by the mount")
    source.write_bytes(b"the old and longer content")
    if subprocess.run(["mount", "--bind", source, target], check=False).returncode:
        pytest.skip("this machine mounts no file systems")
    try:
        storage = OverwriteStorage(tmp_path)
        assert storage.save("a.txt", ContentFile(b"new")) == "a.txt"
        assert source.read_bytes() == b"new"
        assert sorted(each.name for each in tmp_path.iterdir()) == ["a.txt", "source"]
    finally:
        subprocess.run(["umount", target], check=True)


# Tenants


class ByLocation(FileSystemStorage):
    tenant = "one"

    @property
    def location(self):
        return f"{self.root}/{self.tenant}"


class ByBaseLocation(FileSystemStorage):
    tenant = "one"

    @property
    def base_location(self):
        return f"{self.root}/{self.tenant}"


class ByCachedLocation(FileSystemStorage):
    tenant = "one"

    @cached_property
    def base_location(self):
        return f"{self.root}/{self.tenant}"


@pytest.mark.parametrize("tenants", [ByLocation, ByBaseLocation, ByCachedLocation])
@pytest.mark.parametrize("is_first", [True, False])
def test_location_of_a_class_for_tenants_holds_in_any_order_of_bases(
    backend: Any, tenants: Any, is_first: bool, tmp_path: Path
) -> None:
    bases = (tenants, backend) if is_first else (backend, tenants)
    cls: Any = type("Storage", bases, {"root": str(tmp_path)})
    for tenant in ("one", "other"):
        storage = cls()
        storage.tenant = tenant
        storage.save("a.txt", ContentFile(tenant.encode()))
        assert (tmp_path / tenant / "a.txt").read_bytes() == tenant.encode()
        assert storage.path("a.txt") == str(tmp_path / tenant / "a.txt")


def test_base_location_of_a_subclass_is_its_location(backend: Any, tmp_path: Path) -> None:
    class Storage(backend):  # type: ignore[misc]
        @property
        def base_location(self) -> str:
            return str(tmp_path / "sub")

    assert Storage().location == str(tmp_path / "sub")
    assert Storage(tmp_path / "given").location == str(tmp_path / "given")
