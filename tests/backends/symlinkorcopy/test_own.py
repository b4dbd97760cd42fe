"""SymlinkOrCopyStorage: the contract, what is linked to or copied, and where links may lead."""

from __future__ import annotations

import io
import os
import signal
import threading
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.files.base import ContentFile, File
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import (
    InMemoryUploadedFile,
    SimpleUploadedFile,
    TemporaryUploadedFile,
)
from django.core.management import call_command
from django.test import override_settings

from storages.backends.symlinkorcopy import SymlinkOrCopyStorage
from tests.backends.directory import files_in
from tests.crash import in_child, killed_at

CONTENT = b"content"
SECRET = b"secret"
LIMIT = 20  # seconds after which opening a file is taken to hang


def content_of(storage: SymlinkOrCopyStorage, name: str) -> bytes:
    with storage.open(name) as file:
        return file.read()


def test_files_are_copied_where_there_are_no_links(exfat, allowed):
    storage = SymlinkOrCopyStorage(exfat.directory, symlink_within=[allowed])
    with (allowed / "file").open("rb") as file:
        names = [storage.save("saved.txt", File(file)) for _ in range(2)]
    (allowed / "file").unlink()
    assert len(set(names)) == 2
    for name in names:
        assert not (exfat.directory / name).is_symlink()
        assert (exfat.directory / name).read_bytes() == CONTENT


@pytest.fixture
def root(tmp_path):
    """Return the directory of the storage; beside it are ``allowed`` and ``outside``."""
    for name in ("root", "allowed", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "allowed/file").write_bytes(CONTENT)
    (tmp_path / "outside/secret").write_bytes(SECRET)
    return tmp_path / "root"


@pytest.fixture
def allowed(root):
    return root.parent / "allowed"


@pytest.fixture
def outside(root):
    return root.parent / "outside"


@pytest.fixture
def storage(root, allowed):
    return SymlinkOrCopyStorage(root, "/files/", [allowed])


def save_file(storage: SymlinkOrCopyStorage, path: Path, name: str = "saved") -> Path:
    """Save an open file; return the path of what was made of it."""
    with path.open("rb") as file:
        return Path(storage.path(storage.save(name, File(file))))


def save_content(storage: SymlinkOrCopyStorage, content: Any) -> Path:
    return Path(storage.path(storage.save("saved", content)))


# What is linked to


def test_file_in_a_directory_is_linked_to(storage, allowed):
    saved = save_file(storage, allowed / "file", "directory/saved.txt")
    assert saved.readlink() == allowed / "file"
    assert content_of(storage, "directory/saved.txt") == CONTENT
    assert storage.size("directory/saved.txt") == len(CONTENT)
    assert storage.url("directory/saved.txt") == "/files/directory/saved.txt"
    assert storage.listdir("directory") == ([], ["saved.txt"])


def test_file_deep_in_a_directory_is_linked_to(storage, allowed):
    (allowed / "one/two").mkdir(parents=True)
    (allowed / "one/two/file").write_bytes(CONTENT)
    assert save_file(storage, allowed / "one/two/file").readlink() == allowed / "one/two/file"


def test_directories_are_a_list_a_text_or_a_path(root, allowed, outside):
    both = [str(allowed), outside]
    for given in (both, tuple(both), f"{allowed}{os.pathsep}{outside}"):
        storage = SymlinkOrCopyStorage(root, symlink_within=given)
        assert save_file(storage, allowed / "file").is_symlink()
        assert save_file(storage, outside / "secret").is_symlink()
    for one in (allowed, str(allowed), f"{allowed}/", f"{os.pathsep}{allowed}{os.pathsep}"):
        storage = SymlinkOrCopyStorage(root, symlink_within=one)
        assert save_file(storage, allowed / "file").is_symlink()
        assert not save_file(storage, outside / "secret").is_symlink()


def test_directories_may_be_given_by_position_and_by_a_subclass(root, allowed):
    class Subclass(SymlinkOrCopyStorage):
        location = root
        symlink_within = str(allowed)

    for storage in (SymlinkOrCopyStorage(root, None, str(allowed)), Subclass()):
        assert save_file(storage, allowed / "file").is_symlink()


def test_directory_may_itself_be_a_link(root, allowed):
    (root.parent / "link").symlink_to(allowed)
    storage = SymlinkOrCopyStorage(root, symlink_within=[root.parent / "link"])
    for path in (allowed / "file", root.parent / "link/file"):
        assert save_file(storage, path).readlink() == allowed / "file"


def test_link_outside_to_a_file_in_a_directory_leads_to_that_file(storage, allowed, outside):
    (outside / "link").symlink_to(allowed / "file")
    assert save_file(storage, outside / "link").readlink() == allowed / "file"


def test_file_of_another_storage_is_linked_to(storage, allowed):
    with FileSystemStorage(allowed).open("file") as file:
        assert save_content(storage, file).readlink() == allowed / "file"


def test_linking_changes_nothing_about_the_file(storage, allowed):
    (allowed / "file").chmod(0o640)
    before = (allowed / "file").stat()
    with override_settings(FILE_UPLOAD_PERMISSIONS=0o604):
        save_file(storage, allowed / "file")
    after = (allowed / "file").stat()
    assert (after.st_mode, after.st_gid, after.st_nlink, after.st_mtime_ns) == (
        before.st_mode,
        before.st_gid,
        before.st_nlink,
        before.st_mtime_ns,
    )


def test_relative_links_hold_when_both_ends_move_together(root, allowed):
    storage = SymlinkOrCopyStorage(root, symlink_within=[allowed], relative=True)
    saved = save_file(storage, allowed / "file", "one/two/saved")
    assert saved.readlink() == Path("../../../allowed/file")
    moved = root.parent / "moved"
    moved.mkdir()
    for each in (root, allowed):
        each.rename(moved / each.name)
    storage = SymlinkOrCopyStorage(moved / "root", symlink_within=[moved / "allowed"])
    assert content_of(storage, "one/two/saved") == CONTENT


# What is copied


def test_nothing_is_linked_to_without_directories(root, allowed, monkeypatch):
    monkeypatch.chdir(allowed)
    for none in ((), [], "", [""], os.pathsep):
        storage = SymlinkOrCopyStorage(root, symlink_within=none)
        assert not save_file(storage, allowed / "file").is_symlink()


def test_file_elsewhere_is_copied(storage, outside):
    saved = save_file(storage, outside / "secret")
    assert not saved.is_symlink()
    assert saved.read_bytes() == SECRET


def test_directory_whose_name_begins_alike_is_another(storage, allowed):
    for name in ("allowed2", "allowed file", "allowed.d"):
        other = allowed.with_name(name)
        other.mkdir()
        (other / "file").write_bytes(CONTENT)
        assert not save_file(storage, other / "file").is_symlink()


def test_way_through_a_directory_to_elsewhere_is_no_way_into_it(storage, allowed, outside):
    (allowed / "link").symlink_to(outside / "secret")
    (allowed / "directory").symlink_to(outside)
    for way in ("link", "directory/secret", "../outside/secret", "directory/../outside/secret"):
        saved = save_file(storage, allowed / way)
        assert not saved.is_symlink()
        assert saved.read_bytes() == SECRET


def test_content_that_names_a_file_it_is_not_read_from_is_copied(storage, allowed, outside):
    secret = outside / "secret"
    for path in (allowed / "file", secret, Path("/etc/passwd")):
        named = io.BytesIO(b"own")
        named.name = str(path)
        for content in (
            File(io.BytesIO(b"own"), str(path)),
            File(named),
            ContentFile(b"own", str(path)),
        ):
            content.name = str(path)
            saved = save_content(storage, content)
            assert not saved.is_symlink()
            assert saved.read_bytes() == b"own"


def test_content_that_names_another_file_than_the_one_it_has_open_is_copied(
    storage, allowed, outside
):
    class Liar(io.FileIO):
        name = str(allowed / "file")

    with Liar(outside / "secret") as file:
        saved = save_content(storage, File(file))
    assert not saved.is_symlink()
    assert saved.read_bytes() == SECRET


def test_file_replaced_since_it_was_opened_is_copied_as_it_was(storage, allowed):
    with (allowed / "file").open("rb") as file:
        (allowed / "new").write_bytes(b"new")
        (allowed / "new").replace(allowed / "file")
        saved = save_content(storage, File(file))
    assert not saved.is_symlink()
    assert saved.read_bytes() == CONTENT


def test_file_removed_since_it_was_opened_is_copied_as_it_was(storage, allowed):
    with (allowed / "file").open("rb") as file:
        (allowed / "file").unlink()
        assert save_content(storage, File(file)).read_bytes() == CONTENT


def test_uploads_are_copied(storage, allowed):
    with override_settings(FILE_UPLOAD_TEMP_DIR=allowed), (allowed / "file").open("rb") as file:
        upload = TemporaryUploadedFile("upload", "text/plain", len(CONTENT), None)
        upload.write(CONTENT)
        for content in (
            upload,
            SimpleUploadedFile("upload", CONTENT),
            InMemoryUploadedFile(file, None, "upload", "text/plain", len(CONTENT), None),
        ):
            saved = save_content(storage, content)
            assert not saved.is_symlink()
            assert saved.read_bytes() == CONTENT
        upload.close()


def test_files_of_the_storage_itself_are_copied(root, allowed):
    storage = SymlinkOrCopyStorage(root, symlink_within=[root.parent, root])
    (root / "own").write_bytes(b"own")
    linked = save_file(storage, allowed / "file")
    assert linked.is_symlink()
    (root.parent / "way").symlink_to(root)
    for path in (root / "own", root.parent / "way/own"):
        assert not save_file(storage, path).is_symlink()
    assert save_file(storage, linked).readlink() == allowed / "file"
    with storage.open("own") as file:
        assert not save_content(storage, file).is_symlink()


def test_file_open_as_text_is_copied(storage, allowed):
    with (allowed / "file").open() as file:
        saved = save_content(storage, File(file))
    assert not saved.is_symlink()
    assert saved.read_bytes() == CONTENT


def test_file_is_copied_where_links_are_not_permitted(storage, allowed, monkeypatch):
    def symlink(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", symlink)
    saved = save_file(storage, allowed / "file")
    assert not saved.is_symlink()
    assert saved.read_bytes() == CONTENT


# Names and links


def test_taken_name_is_left_alone(storage, root, allowed):
    (root / "nowhere").symlink_to(allowed / "missing")
    (root / "taken").write_bytes(b"taken")
    for name in ("nowhere", "taken"):
        saved = save_file(storage, allowed / "file", name)
        assert saved.name != name
        assert saved.is_symlink()
    assert (root / "taken").read_bytes() == b"taken"
    assert (root / "nowhere").readlink() == allowed / "missing"


def test_sixteen_threads_that_link_one_name_get_a_name_each(storage, root, allowed):
    names = []
    barrier = threading.Barrier(16)

    def job() -> None:
        barrier.wait()
        names.append(save_file(storage, allowed / "file").name)

    threads = [threading.Thread(target=job) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 16
    assert set(names) == set(os.listdir(root))  # noqa: PTH208


def test_overwriting_replaces_a_link_and_a_file_by_each_other(root, allowed):
    storage = SymlinkOrCopyStorage(root, symlink_within=[allowed], file_overwrite=True)
    for _ in range(2):
        assert save_file(storage, allowed / "file").is_symlink()
        assert not save_content(storage, ContentFile(b"own")).is_symlink()
    assert (allowed / "file").read_bytes() == CONTENT
    assert list(files_in(root)) == ["saved"]


@pytest.mark.parametrize("mode", ["wb", "ab", "r+b", "w"])
def test_writing_through_a_link_makes_a_file_of_its_own(storage, allowed, mode):
    saved = save_file(storage, allowed / "file")
    with storage.open("saved", mode) as file:
        file.write("C" if mode == "w" else b"C")
    assert not saved.is_symlink()
    assert saved.read_bytes() == {"ab": b"contentC", "r+b": b"Content"}.get(mode, b"C")
    assert (allowed / "file").read_bytes() == CONTENT


def test_deleting_a_link_leaves_the_file(storage, root, allowed):
    save_file(storage, allowed / "file")
    storage.delete("saved")
    assert list(files_in(root)) == []
    assert (allowed / "file").read_bytes() == CONTENT


def test_link_whose_file_is_gone_takes_its_name_and_opens_as_missing(storage, allowed):
    save_file(storage, allowed / "file")
    (allowed / "file").unlink()
    assert storage.exists("saved")
    assert storage.listdir("") == ([], ["saved"])
    for call in (storage.open, storage.size, storage.get_modified_time):
        with pytest.raises(FileNotFoundError, match="'saved'"):
            call("saved")
    storage.delete("saved")
    assert not storage.exists("saved")


def test_kill_at_any_step_of_linking_leaves_no_half(storage, root, allowed):
    found = set()
    for step in count():
        if not killed_at(step, lambda: save_file(storage, allowed / "file")):
            break
        assert set(storage.listdir("")[1]) <= {"saved"}
        found.add(os.path.lexists(root / "saved"))
        if (root / "saved").is_symlink():
            assert content_of(storage, "saved") == CONTENT
        for left in root.iterdir():
            left.unlink()
    assert found == {True, False}


# Where links may lead


def refused(storage: SymlinkOrCopyStorage, name: str) -> None:
    for call in (
        storage.open,
        storage.size,
        storage.get_modified_time,
        lambda name: storage.open(name, "r"),
        lambda name: storage.open(name, "ab"),
        lambda name: storage.open(name, "r+b"),
    ):
        with pytest.raises(PermissionError, match=f"symlink_within.*'{name}'") as raised:
            call(name)
        assert "outside" not in str(raised.value)


@pytest.mark.parametrize(
    "target",
    ["{outside}/secret", "../outside/secret", "../allowed/../outside/secret", "{allowed}/link"],
)
def test_link_that_leads_elsewhere_is_not_followed(storage, root, allowed, outside, target):
    (allowed / "link").symlink_to(outside / "secret")
    (root / "planted").symlink_to(target.format(outside=outside, allowed=allowed))
    refused(storage, "planted")
    storage.delete("planted")
    assert (outside / "secret").read_bytes() == SECRET


def test_listing_tells_nothing_of_what_lies_elsewhere(storage, root, allowed, outside):
    (root / "file").symlink_to(outside / "secret")
    (root / "directory").symlink_to(outside)
    (root / "good").symlink_to(allowed / "file")
    directories, files = storage.listdir("")
    assert not directories
    assert sorted(files) == ["directory", "file", "good"]
    told = dict(storage.scan())
    for name in ("file", "directory"):
        assert told[name].size == (root / name).lstat().st_size
        assert told[name].modified.timestamp() == pytest.approx((root / name).lstat().st_mtime)
    assert told["good"].size == len(CONTENT)
    assert (root / "file").lstat().st_size != len(SECRET)


def test_links_within_the_storage_and_to_its_directories_are_followed(storage, root, allowed):
    (root / "own").write_bytes(b"own")
    (root / "directory").mkdir()
    (root / "directory/to own").symlink_to("../own")
    (root / "to allowed").symlink_to(allowed / "file")
    (root / "to link").symlink_to("to allowed")
    (root / "all").symlink_to(allowed)
    assert content_of(storage, "directory/to own") == b"own"
    for name in ("to allowed", "to link", "all/file"):
        assert content_of(storage, name) == CONTENT
    assert storage.listdir("all") == ([], ["file"])


def test_location_may_itself_be_a_link(root, allowed):
    (root.parent / "way").symlink_to(root)
    storage = SymlinkOrCopyStorage(root.parent / "way", symlink_within=[allowed], relative=True)
    assert save_file(storage, allowed / "file").readlink() == Path("../allowed/file")
    save_content(storage, ContentFile(b"own"))
    assert content_of(storage, "saved") == CONTENT


def test_file_that_was_linked_to_and_became_a_link_elsewhere_is_refused(storage, allowed, outside):
    save_file(storage, allowed / "file")
    (allowed / "file").unlink()
    (allowed / "file").symlink_to(outside / "secret")
    refused(storage, "saved")


def test_file_that_was_linked_to_and_became_a_pipe_is_not_waited_for(storage, allowed):
    save_file(storage, allowed / "file")
    (allowed / "file").unlink()
    os.mkfifo(allowed / "file")

    def job() -> None:
        signal.alarm(LIMIT)
        assert content_of(storage, "saved") == b""

    assert in_child(job) == 0


def test_directory_that_was_named_no_more_is_refused(root, allowed):
    save_file(SymlinkOrCopyStorage(root, symlink_within=[allowed]), allowed / "file")
    refused(SymlinkOrCopyStorage(root), "saved")


def test_directory_that_is_a_link_elsewhere_is_closed(storage, root, outside):
    (root / "way").symlink_to(outside)
    refused(storage, "way/secret")
    with pytest.raises(PermissionError):
        storage.listdir("way")
    for call in (
        lambda: storage.save("way/new", ContentFile(b"new")),
        lambda: storage.save("way/one/new", ContentFile(b"new")),
        lambda: storage.delete("way/secret"),
    ):
        with pytest.raises(PermissionError):
            call()
    assert {path.name: path.read_bytes() for path in outside.iterdir()} == {"secret": SECRET}


def test_nothing_is_written_or_deleted_in_the_directories_linked_to(storage, root, allowed):
    (root / "all").symlink_to(allowed)
    for call in (
        lambda: storage.save("all/new", ContentFile(b"new")),
        lambda: storage.delete("all/file"),
    ):
        with pytest.raises(PermissionError):
            call()
    assert {path.name: path.read_bytes() for path in allowed.iterdir()} == {"file": CONTENT}


def test_links_that_lead_in_a_circle_are_errors(storage, root):
    (root / "one").symlink_to("two")
    (root / "two").symlink_to("one")
    (root / "way").symlink_to(".")
    for name in ("one", "two"):
        with pytest.raises(OSError, match=f"'{name}'"):
            storage.open(name)
        assert storage.exists(name)
    assert list(map(sorted, storage.listdir("way/way"))) == [["way"], ["one", "two"]]


def flip_file(allowed: Path, outside: Path) -> None:
    """Put a link to what is elsewhere in the place of a file, and the file back."""
    spare = allowed / "spare"
    spare.symlink_to(outside / "way/file")
    spare.replace(allowed / "way/file")
    spare.write_bytes(CONTENT)
    spare.replace(allowed / "way/file")


def flip_directory(allowed: Path, outside: Path) -> None:
    """Put a link to a directory elsewhere in the place of a directory, and it back."""
    (allowed / "way").rename(allowed / "spare")
    (allowed / "way").symlink_to(outside / "way")
    (allowed / "way").unlink()
    (allowed / "spare").rename(allowed / "way")


@pytest.mark.parametrize("flip", [flip_file, flip_directory])
def test_path_that_changes_all_the_time_never_gives_what_is_elsewhere(
    storage, allowed, outside, flip
):
    for directory, content in ((allowed, CONTENT), (outside, SECRET)):
        (directory / "way").mkdir()
        (directory / "way/file").write_bytes(content)
    save_file(storage, allowed / "way/file")
    done = threading.Event()

    def flip_on() -> None:
        while not done.is_set():
            flip(allowed, outside)

    thread = threading.Thread(target=flip_on)
    thread.start()
    try:
        found = {what_opens(storage) for _ in range(3000)}
    finally:
        done.set()
        thread.join()
    assert SECRET not in found
    assert what_opens(storage) == CONTENT


def what_opens(storage: SymlinkOrCopyStorage) -> bytes | type[OSError]:
    try:
        with storage.open("saved") as file:
            content: bytes = file.read()
    except OSError as exc:
        return type(exc)
    return content


# Django


class StaticLinks(SymlinkOrCopyStorage):
    """Links to where the finders look."""

    @property
    def location(self) -> str:  # type: ignore[override]
        return str(settings.STATIC_ROOT)

    @property
    def symlink_within(self) -> list[Path]:  # type: ignore[override]
        return list(settings.STATICFILES_DIRS)


def test_collectstatic_links_to_static_files(root, allowed):
    (allowed / "css").mkdir()
    (allowed / "css/site.css").write_bytes(b"body {}")
    with override_settings(
        STORAGES={"staticfiles": {"BACKEND": f"{__name__}.StaticLinks"}},
        STATICFILES_DIRS=[allowed],
        STATICFILES_FINDERS=["django.contrib.staticfiles.finders.FileSystemFinder"],
        STATIC_ROOT=root,
    ):
        for clear in (False, False, True):
            call_command("collectstatic", interactive=False, clear=clear, verbosity=0)
            assert sorted(files_in(root)) == ["css/site.css", "file"]
            assert (root / "css/site.css").readlink() == allowed / "css/site.css"
    assert (allowed / "css/site.css").read_bytes() == b"body {}"
