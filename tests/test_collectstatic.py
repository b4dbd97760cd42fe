"""This package's ``collectstatic``, beyond the contract's items 134 and 135."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.contrib.staticfiles.finders import FileSystemFinder
from django.contrib.staticfiles.management.commands import collectstatic as of_django
from django.contrib.staticfiles.storage import ManifestFilesMixin, StaticFilesStorage
from django.core.checks import run_checks
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.core.management import CommandError, call_command
from django.test import override_settings

from storages.backends.overwrite import OverwriteStorage
from storages.backends.s3boto3 import S3ManifestStaticStorage, S3StaticStorage
from storages.driver import Entry, Source
from storages.management.collecting import LARGE, MOST_LARGE
from storages.management.commands.collectstatic import Command, in_turns
from storages.management.hashing import IN_MEMORY
from storages.staticfiles import LazyManifest
from storages.testing.statics import given_as
from tests.backends.s3boto3.server import RawBucket, account
from tests.memory import OBJECTS, MemoryStorage
from tests.servers.http import HTTPProxy
from tests.servers.moto import Moto

SITE = {
    "css/a.css": b"a { background: url(../img/b.svg) }",
    "img/b.svg": b"<svg/>",
    "c.txt": b"c",
}


class Screen(io.StringIO):
    """Where a person watches."""

    def isatty(self) -> bool:
        return True


class Site:
    """A project's static files, and the storage that they are collected to."""

    finder = "django.contrib.staticfiles.finders.FileSystemFinder"

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.others: list[Path] = []

    def write(self, files: Mapping[str, bytes], modified: float = 1e9) -> None:
        for name, content in files.items():
            path = self.directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            os.utime(path, (modified, modified))

    def on(self, cls: type, **options: Any) -> Any:
        """Keep the static files in a storage, and return it."""
        self.entry = {"BACKEND": f"{cls.__module__}.{cls.__qualname__}", "OPTIONS": options}
        self.storage = cls(**options)
        return self.storage

    def collect(self, *arguments: str, command: Any = None, **options: Any) -> str:
        """Run the command; return what it says."""
        out = io.StringIO()
        given = {"interactive": False, "stdout": out, **options}
        with (
            given_as("staticfiles", self.storage),
            override_settings(
                STATICFILES_DIRS=[self.directory, *self.others],
                STATICFILES_FINDERS=[self.finder],
            ),
        ):
            call_command(command or Command(), *arguments, **given)
        return out.getvalue()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path / "assets")
    made.write(SITE)
    return made


class Vault(MemoryStorage):
    """Files in memory, by the name of a test."""

    base_url = "/s/"


class HashedVault(LazyManifest, MemoryStorage):
    """The same under hashed names."""

    base_url = "/s/"


@pytest.fixture
def bucket() -> str:
    return uuid.uuid4().hex


def held(bucket: str) -> dict[str, bytes]:
    return {key: content for key, (content, _) in OBJECTS.get(bucket, {}).items()}


# -- requests -------------------------------------------------------------------------------------


class Front:
    """A bucket behind a proxy that counts requests."""

    def __init__(self, proxy: HTTPProxy, raw: RawBucket) -> None:
        self.proxy = proxy
        self.raw = raw
        self.options = {
            **account(raw.server),
            "endpoint_url": proxy.url,
            "bucket_name": raw.bucket,
            "location": "static",
        }

    def requests(self) -> list[str]:
        """Return what was asked for since the last call."""
        found = [
            f"{each.method} {each.target.partition('?')[0].partition(self.raw.bucket)[2]}"
            for each in self.proxy.requests
        ]
        self.proxy.requests.clear()
        return found

    def stored(self) -> dict[str, bytes | None]:
        names = [each.removeprefix("static/") for each in self.raw.names()]
        return {name: self.raw.get(f"static/{name}") for name in names}


@pytest.fixture
def front(moto: Moto) -> Iterator[Front]:
    raw = RawBucket(moto)
    raw.client.create_bucket(Bucket=raw.bucket)
    with HTTPProxy(moto.host, moto.port) as proxy:
        yield Front(proxy, raw)


LISTING = "GET "


def puts(names: Any) -> Counter[str]:
    return Counter(f"PUT /static/{name}" for name in names)


def test_first_run_sends_each_file_by_one_request(site: Site, front: Front) -> None:
    site.on(S3StaticStorage, **front.options)
    site.collect()
    assert Counter(front.requests()) == puts(SITE) + Counter([LISTING])
    assert front.stored() == SITE


def test_unchanged_run_is_a_listing(site: Site, front: Front) -> None:
    site.on(S3StaticStorage, **front.options)
    site.collect()
    front.requests()
    assert "3 unmodified" in site.collect()
    assert front.requests() == [LISTING]


def test_changed_file_alone_is_sent(site: Site, front: Front) -> None:
    site.on(S3StaticStorage, **front.options)
    site.collect()
    front.requests()
    site.write({"c.txt": b"longer"})
    assert "1 static file copied, 2 unmodified" in site.collect()
    assert front.requests() == [LISTING, "PUT /static/c.txt"]


def test_older_file_of_equal_size_is_sent(site: Site, front: Front) -> None:
    site.on(S3StaticStorage, **front.options)
    site.collect()
    site.write({"c.txt": b"d"}, modified=1e8)
    site.collect()
    assert front.stored() == {**SITE, "c.txt": b"d"}


def test_manifest_and_hashed_files_are_sent_once_and_not_read(site: Site, front: Front) -> None:
    site.on(S3ManifestStaticStorage, **front.options)
    site.collect()
    requests = front.requests()
    stored = front.stored()
    assert Counter(requests) == puts(stored) + Counter([LISTING])
    assert requests[-1] == "PUT /static/staticfiles.json"
    paths = json.loads(stored["staticfiles.json"] or b"")["paths"]
    assert stored.keys() == {*SITE, *paths.values(), "staticfiles.json"}


def test_unchanged_run_with_a_manifest_is_a_listing(site: Site, front: Front) -> None:
    site.on(S3ManifestStaticStorage, **front.options)
    site.collect()
    front.requests()
    assert "0 static files copied, 3 unmodified, 1 post-processed" in site.collect()
    assert front.requests() == [LISTING]


def test_changed_file_is_sent_with_what_names_it(site: Site, front: Front) -> None:
    site.on(S3ManifestStaticStorage, **front.options)
    site.collect()
    before = front.stored()
    front.requests()
    site.write({"img/b.svg": b"<svg></svg>"})
    site.collect()
    new = front.stored().keys() - before.keys()
    assert [re.sub(r"\.\w{12}\.", ".", name) for name in sorted(new)] == ["css/a.css", "img/b.svg"]
    sent = puts({*new, "img/b.svg", "staticfiles.json"})
    # The manifest is of the same size, so that S3 is asked whether its ETag is a digest.
    asked = Counter([LISTING, "HEAD /static/staticfiles.json"])
    assert Counter(front.requests()) == sent + asked


def test_packed_files_are_skipped(site: Site, front: Front) -> None:
    site.on(S3StaticStorage, **front.options, gzip=True)
    site.collect()
    assert front.raw.head("static/css/a.css")["ContentEncoding"] == "gzip"
    front.requests()
    site.collect()
    assert front.requests() == [LISTING]


def test_packed_files_with_hashed_names_are_skipped(site: Site, front: Front) -> None:
    site.on(S3ManifestStaticStorage, **front.options, gzip=True)
    site.collect()
    front.requests()
    site.collect()
    assert front.requests() == [LISTING]


def test_file_that_was_sent_in_parts_is_skipped(site: Site, front: Front) -> None:
    site.write({"large.bin": os.urandom(9 * 1024 * 1024)})
    site.on(S3StaticStorage, **front.options)
    site.collect()
    assert "-" in front.raw.head("static/large.bin")["ETag"]
    front.requests()
    site.collect()
    assert front.requests() == [LISTING]


def test_failed_upload_names_the_file_and_ends_the_others(site: Site, front: Front) -> None:
    site.on(S3ManifestStaticStorage, **front.options)
    front.proxy.answer(403, b"", path="c.txt", times=None)
    with pytest.raises(
        CommandError, match=r"1 static file could not be stored:\n  c\.txt: "
    ) as raised:
        site.collect()
    assert raised.value.returncode == 1
    assert front.stored().keys() == SITE.keys() - {"c.txt"}


def test_hashed_file_that_is_not_stored_leaves_no_manifest(site: Site, front: Front) -> None:
    site.on(S3ManifestStaticStorage, **front.options)
    front.proxy.answer(403, b"", path=r"c\.\w{12}\.txt", times=None)
    with pytest.raises(CommandError, match=r"  c\.\w{12}\.txt: "):
        site.collect()
    assert "staticfiles.json" not in front.stored()


# -- threads and failures -------------------------------------------------------------------------


class Meeting(Vault):
    """Each save waits until three are on their way."""

    barrier = threading.Barrier(3)

    def _write(self, key: str, source: Source, **options: Any) -> None:
        self.barrier.wait(30)
        super()._write(key, source, **options)


def test_as_many_files_are_sent_at_once_as_jobs_are_asked_for(site: Site, bucket: str) -> None:
    site.on(Meeting, bucket=bucket)
    site.collect("--jobs", "3")
    assert held(bucket) == SITE


class Narrow(Vault):
    """Has one connection."""

    max_connections = 1
    connection = threading.Lock()

    def _write(self, key: str, source: Source, **options: Any) -> None:
        assert self.connection.acquire(blocking=False)
        try:
            super()._write(key, source, **options)
        finally:
            self.connection.release()


def test_no_more_files_are_sent_at_once_than_there_are_connections(site: Site, bucket: str) -> None:
    site.on(Narrow, bucket=bucket)
    site.collect("--jobs", "9")
    assert held(bucket) == SITE


def test_directories_are_made_before_they_are_filled() -> None:
    assert in_turns(["a/1", "a/2", "a/3", "b/1", "c", "b/2"]) == [
        *("a/1", "b/1", "c"),
        *("a/2", "b/2"),
        "a/3",
    ]


class Heavy(Vault):
    """Knows whether too many large files were on their way at once."""

    barrier = threading.Barrier(MOST_LARGE + 1)
    met: ClassVar[list[str]] = []

    def _write(self, key: str, source: Source, **options: Any) -> None:
        if source.size > LARGE:
            with suppress(threading.BrokenBarrierError):
                self.barrier.wait(1)
                self.met.append(key)
        super()._write(key, source, **options)


def test_few_large_files_are_in_memory_at_once(site: Site, bucket: str) -> None:
    site.write({f"{number}.bin": bytes(LARGE + 1) for number in range(MOST_LARGE + 1)})
    site.on(Heavy, bucket=bucket)
    site.collect()
    assert len(held(bucket)) == MOST_LARGE + 1 + len(SITE)
    assert Heavy.met == []


def test_file_that_cannot_be_read_is_named_alone(site: Site, bucket: str) -> None:
    site.write({f"{number}.txt": b"" for number in range(200)})
    site.on(Vault, bucket=bucket)
    site.collect()
    (site.directory / "100.txt").unlink()
    (site.directory / "100.txt").symlink_to("nowhere")
    with pytest.raises(CommandError) as raised:
        site.collect()
    assert str(raised.value).splitlines() == [
        "1 static file could not be compared:",
        "  100.txt: No such file or directory",
    ]


def test_file_that_leads_nowhere_is_named_on_the_first_run_too(site: Site, bucket: str) -> None:
    (site.directory / "a.txt").symlink_to("nowhere")
    site.on(Vault, bucket=bucket)
    with pytest.raises(CommandError, match=r"/a\.txt: No such file or directory$"):
        site.collect()


class Vanishing(FileSystemStorage):
    """Loses a file once Django has looked at it."""

    opened: ClassVar[Counter[str]] = Counter()

    def open(self, name: str, mode: str = "rb") -> Any:
        self.opened[name] += 1
        if name == "c.txt" and self.opened[name] > 1:
            raise FileNotFoundError(2, "No such file or directory", name)
        return super().open(name, mode)


class VanishingFinder(FileSystemFinder):
    """Finds files that vanish."""

    def list(self, ignore_patterns: Any) -> Any:
        for path, storage in super().list(ignore_patterns):
            yield path, Vanishing(storage.location)


def test_file_that_vanishes_is_named_and_the_others_are_stored(site: Site, front: Front) -> None:
    Vanishing.opened.clear()
    site.finder = f"{__name__}.VanishingFinder"
    site.on(S3StaticStorage, **front.options)
    with pytest.raises(
        CommandError, match=r"1 static file could not be stored:\n  c\.txt: No such"
    ):
        site.collect()
    assert front.stored().keys() == SITE.keys() - {"c.txt"}


@pytest.mark.parametrize("jobs", ["0", "-1", "x"])
def test_jobs_are_above_0(site: Site, bucket: str, jobs: str) -> None:
    site.on(Vault, bucket=bucket)
    for given in ({"arguments": [f"--jobs={jobs}"]}, {"jobs": jobs}):
        with pytest.raises(CommandError, match="--jobs: give a number of 1 or more"):
            site.collect(*given.pop("arguments", []), **given)


def test_jobs_may_be_text_where_the_command_is_called_in_code(site: Site, bucket: str) -> None:
    site.on(Vault, bucket=bucket)
    assert "3 static files copied" in site.collect(jobs="4")
    with pytest.raises(CommandError, match="--jobs: give a number of 1 or more"):
        site.collect(jobs=0)


def test_files_with_no_place_to_go_are_told_with_the_setting_and_no_traceback(site: Site) -> None:
    with override_settings(STATIC_ROOT=None):
        site.on(StaticFilesStorage)
        with pytest.raises(CommandError, match="without having set the STATIC_ROOT"):
            site.collect()


class Broken(Vault):
    """Stores nothing."""

    tries = 0

    def _write(self, key: str, source: Source, **options: Any) -> None:
        type(self).tries += 1
        raise PermissionError(13, "The bucket is closed")


def test_run_ends_when_it_is_not_the_files_that_are_at_fault(site: Site, bucket: str) -> None:
    site.write({f"{number}.txt": b"" for number in range(200)})
    Broken.tries = 0
    site.on(Broken, bucket=bucket)
    with pytest.raises(CommandError, match=r": The bucket is closed\n(.|\n)*others were not tried"):
        site.collect("--jobs", "2")
    assert Broken.tries < 20


def test_progress_is_shown_to_a_person_alone(site: Site, bucket: str) -> None:
    site.on(Vault, bucket=bucket)
    err = Screen()
    site.collect(stdout=Screen(), stderr=err, verbosity=1)
    assert " of 3 files, " in err.getvalue()
    assert err.getvalue().endswith("\r\033[K")
    for err, options in ((io.StringIO(), {}), (Screen(), {"stdout": Screen(), "verbosity": 0})):
        site.collect("--clear", stderr=err, **options)
        assert err.getvalue() == ""


# -- comparing ------------------------------------------------------------------------------------


class Sealed(Vault):
    """Its listing tells digests that are none, as that of a bucket under a key of KMS does."""

    def _list(self, key: str) -> Iterator[Any]:
        for name, entry in super()._list(key):
            told = Entry(entry.size, entry.modified, digest="md5:" + "0" * 32)
            yield name, entry if entry.is_directory else told


def test_digest_of_a_listing_that_is_none_is_not_believed(site: Site, bucket: str) -> None:
    site.on(Sealed, bucket=bucket)
    site.collect()
    assert "3 unmodified" in site.collect()
    site.write({"c.txt": b"d"}, modified=time.time() + 3600)
    assert "1 static file copied, 2 unmodified" in site.collect()
    assert held(bucket)["c.txt"] == b"d"


def test_files_without_digest_are_compared_by_size_and_time(site: Site, bucket: str) -> None:
    site.on(Vault, bucket=bucket)
    site.collect()
    site.write({"c.txt": b"longer"}, modified=1e8)
    site.write({"img/b.svg": b"<svg?>"}, modified=time.time() + 3600)
    assert "2 static files copied, 1 unmodified" in site.collect()
    assert held(bucket) == {**SITE, "c.txt": b"longer", "img/b.svg": b"<svg?>"}


class ByTheMinute(Vault):
    """Its listing tells times by the minute, as many FTP servers do."""

    def _list(self, key: str) -> Iterator[Any]:
        for name, entry in super()._list(key):
            minute = entry.modified and entry.modified.replace(second=0, microsecond=0)
            yield name, entry if entry.is_directory else replace(entry, modified=minute)


def test_time_of_a_listing_may_be_told_by_the_minute(site: Site, bucket: str) -> None:
    storage = site.on(ByTheMinute, bucket=bucket)
    site.collect()
    stored = {name: storage.stat(name).modified.timestamp() for name in SITE}
    # A second may have begun between two of them.
    site.write(SITE, modified=min(stored.values()))
    assert "3 unmodified" in site.collect()
    site.write({"c.txt": b"d"}, modified=stored["c.txt"] + 2)
    assert "1 static file copied, 2 unmodified" in site.collect()


class Leaving(Sealed):
    """Its files are gone once they were listed, as where others replace them at the same time."""

    def _stat(self, key: str) -> Entry:
        raise KeyError(key)


def test_file_that_goes_away_while_it_is_compared_is_stored_again(site: Site, bucket: str) -> None:
    site.on(Vault, bucket=bucket).save("c.txt", ContentFile(b"c"))
    site.on(Leaving, bucket=bucket)
    assert "3 static files copied" in site.collect()
    assert held(bucket) == SITE


# -- hashed names ---------------------------------------------------------------------------------


class Counting(HashedVault):
    """Knows what was written."""

    written: ClassVar[list[str]] = []

    def _write(self, key: str, source: Source, **options: Any) -> None:
        self.written.append(key)
        super()._write(key, source, **options)


@pytest.mark.parametrize("is_elsewhere", [False, True])
def test_unchanged_manifest_is_left_alone_without_digests_too(
    site: Site, bucket: str, is_elsewhere: bool
) -> None:
    elsewhere = Counting(bucket=f"{bucket}-elsewhere") if is_elsewhere else None
    site.on(Counting, bucket=bucket, manifest_storage=elsewhere)
    site.collect()
    assert "staticfiles.json" in Counting.written
    Counting.written.clear()
    site.collect()
    assert Counting.written == []
    # The new manifest is as large as the old one.
    site.write({"c.txt": b"d"}, modified=time.time() + 3600)
    site.collect()
    assert len(Counting.written) == 3
    assert Counting.written[-1] == "staticfiles.json"


@pytest.mark.parametrize("command", [Command, of_django.Command])
def test_directory_in_a_style_may_be_named_by_a_way_up(
    site: Site, bucket: str, command: Any
) -> None:
    style = b"a { background: url(../img/) } b { background: url(../../) }"
    site.write({"css/a.css": style})
    site.on(HashedVault, bucket=bucket)
    site.collect(command=command())
    paths = json.loads(held(bucket)["staticfiles.json"])["paths"]
    assert held(bucket)[paths["css/a.css"]] == style.replace(b"(", b'("').replace(b")", b'")')


def test_manifest_may_be_kept_elsewhere(site: Site, bucket: str) -> None:
    elsewhere = Vault(bucket=f"{bucket}-elsewhere")
    site.on(HashedVault, bucket=bucket, manifest_storage=elsewhere)
    site.collect()
    site.collect()
    (manifest,) = held(f"{bucket}-elsewhere")
    assert manifest == "staticfiles.json"
    assert manifest not in held(bucket)


def test_manifest_may_be_kept_by_djangos_own_storage(
    site: Site, bucket: str, tmp_path: Path
) -> None:
    site.on(HashedVault, bucket=bucket, manifest_storage=FileSystemStorage(tmp_path / "elsewhere"))
    site.collect()
    site.write({"c.txt": b"changed"})
    site.collect()
    (manifest,) = (tmp_path / "elsewhere").iterdir()
    paths = json.loads(manifest.read_bytes())["paths"]
    assert held(bucket)[paths["c.txt"]] == b"changed"


def test_process_that_collected_knows_the_new_names(site: Site, bucket: str) -> None:
    storage = site.on(HashedVault, bucket=bucket)
    site.collect()
    assert re.fullmatch(r"/s/c\.\w{12}\.txt", storage.url("c.txt"))


class Versioned(HashedVault):
    """Overrides what subclasses do."""

    def file_hash(self, name: str, content: Any = None) -> str:
        return "v7"

    def _save(self, name: str, content: Any) -> str:
        return super()._save(name, ContentFile(content.read() + b"!"))

    def post_process(self, paths: Any, dry_run: bool = False, **options: Any) -> Any:
        yield from super().post_process(paths, dry_run=dry_run, **options)
        self._save("extra.txt", ContentFile(b"extra"))
        assert self.get_modified_time("extra.txt") > self.get_modified_time("c.txt")
        yield "extra.txt", "extra.txt", True


def test_hashed_files_that_are_too_large_for_memory_are_stored(site: Site, bucket: str) -> None:
    large = bytes(IN_MEMORY)
    site.write({"large.bin": large})
    site.on(HashedVault, bucket=bucket)
    site.collect()
    stored = held(bucket)
    hashed = json.loads(stored["staticfiles.json"])["paths"]
    assert stored[hashed["large.bin"]] == large
    assert stored[hashed["c.txt"]] == b"c"
    assert len(stored) == 2 * (len(SITE) + 1) + 1


def test_methods_of_a_subclass_are_called_once_for_each_file(site: Site, bucket: str) -> None:
    site.on(Versioned, bucket=bucket)
    assert "4 post-processed" in site.collect()
    stored = held(bucket)
    assert (stored["c.txt"], stored["c.v7.txt"], stored["extra.txt"]) == (b"c!", b"c!", b"extra!")


def test_root_may_be_named_in_a_style(site: Site, bucket: str) -> None:
    site.write({"css/a.css": b"a { background: url(..) } b { background: url(/static/) }"})
    site.on(HashedVault, bucket=bucket)
    assert "3 post-processed" in site.collect()


class Tidy(HashedVault):
    """Keeps what the manifest names, and nothing else."""

    def post_process(self, paths: Any, dry_run: bool = False, **options: Any) -> Any:
        for name, hashed, processed in super().post_process(paths, dry_run=dry_run, **options):
            self.delete(name)
            yield name, hashed, processed and not self.exists(name)
        self.delete("old.txt")


class Telling(HashedVault):
    """Its listing tells digests."""

    def _list(self, key: str) -> Iterator[Any]:
        for name, entry in super()._list(key):
            content, _ = self.objects.get(f"{key}/{name}" if key else name, (b"", None))
            digest = f"md5:{hashlib.md5(content).hexdigest()}"
            yield name, entry if entry.is_directory else replace(entry, digest=digest)


class InPlace(Telling):
    """Changes files where they are."""

    def post_process(self, paths: Any, dry_run: bool = False, **options: Any) -> Any:
        yield from super().post_process(paths, dry_run=dry_run, **options)
        for name, (storage, path) in paths.items():
            with storage.open(path) as file:
                content = ContentFile(file.read().upper())
            self.delete(name)
            self._save(name, content)


@pytest.mark.parametrize("cls", [Tidy, InPlace])
def test_what_a_subclass_deletes_and_changes_is_deleted_and_changed(
    site: Site, bucket: str, cls: Any
) -> None:
    trees = []
    for command in (Command, of_django.Command):
        storage = site.on(cls, bucket=f"{bucket}-{len(trees)}")
        storage.save("old.txt", ContentFile(b"old"))
        said = [site.collect("-v2", command=command()) for _ in range(2)]
        trees.append((held(storage.bucket), [sorted(each.splitlines()) for each in said]))
    if cls is InPlace:
        # Ours sees by digests that these were changed.
        trees = [tree for tree, _ in trees]
    assert trees[0] == trees[1]


def test_manifest_wins_over_a_file_of_its_name(site: Site, bucket: str) -> None:
    site.write({"staticfiles.json": b"{}"})
    site.on(Telling, bucket=bucket)
    for _ in range(2):
        site.collect()
        assert json.loads(held(bucket)["staticfiles.json"])["paths"]


class PlainMixin(ManifestFilesMixin, Vault):
    """Django's mixin as people put it before any storage."""


def test_djangos_own_mixin_keeps_its_manifest_with_the_files(site: Site, bucket: str) -> None:
    site.on(PlainMixin, bucket=bucket)
    site.collect()
    assert json.loads(held(bucket)["staticfiles.json"])["paths"].keys() == SITE.keys()


def test_reference_to_a_file_that_only_the_storage_has_is_hashed(site: Site, bucket: str) -> None:
    storage = site.on(HashedVault, bucket=bucket)
    storage.save("old.svg", ContentFile(b"<old/>"))
    site.write({"css/a.css": b"a { background: url(../old.svg) }"})
    site.collect()
    paths = json.loads(held(bucket)["staticfiles.json"])["paths"]
    assert re.search(rb"\.\./old\.\w{12}\.svg", held(bucket)[paths["css/a.css"]])


@pytest.mark.parametrize(
    "files",
    [
        {"css/a.css": b"a { background: url(missing.svg) }"},
        {"a.css": b"@import 'b.css';", "b.css": b"@import 'a.css';"},
        {"a.css": b"\xff"},
    ],
    ids=["missing", "circle", "latin"],
)
def test_what_django_refuses_to_hash_is_refused_alike(site: Site, bucket: str, files: Any) -> None:
    site.write(files)
    texts = []
    for command, name in ((Command(), "ours"), (of_django.Command(), "theirs")):
        storage = site.on(HashedVault, bucket=f"{bucket}-{name}")
        error = io.StringIO()
        with pytest.raises(Exception) as raised:  # noqa: PT011 - whichever Django raises
            site.collect(command=command, stderr=error)
        text = re.sub(r"<.*>", "", str(raised.value)).replace(repr(storage), "")
        texts.append((type(raised.value), text.replace("ours", "theirs"), error.getvalue()))
        assert "staticfiles.json" not in held(f"{bucket}-{name}")
    assert texts[0] == texts[1]


# -- storages of all kinds ------------------------------------------------------------------------


def test_storage_of_djangos_is_left_to_django(site: Site, tmp_path: Path) -> None:
    said = []
    for command in (Command(), of_django.Command()):
        root = tmp_path / str(len(said))
        site.on(FileSystemStorage, location=str(root))
        said += [site.collect("-v3", command=command).replace(str(root), "") for _ in range(2)]
        assert (root / "css/a.css").read_bytes() == SITE["css/a.css"]
    assert said[:2] == said[2:]


def test_links_are_made_and_replaced(site: Site, tmp_path: Path) -> None:
    site.on(OverwriteStorage, location=str(tmp_path / "root"))
    site.collect()
    assert "3 static files symlinked" in site.collect("--link")
    assert (tmp_path / "root/c.txt").is_symlink()
    assert "3 static files copied" in site.collect()
    assert not (tmp_path / "root/c.txt").is_symlink()


def test_remote_storage_has_no_links(site: Site, bucket: str) -> None:
    site.on(Vault, bucket=bucket)
    with pytest.raises(CommandError, match="Can't symlink to a remote destination"):
        site.collect("--link")


def test_link_that_leads_nowhere_is_cleared(site: Site, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "broken").symlink_to("nowhere")
    site.on(OverwriteStorage, location=str(root))
    site.collect("--clear")
    assert sorted(each.name for each in root.iterdir()) == ["c.txt", "css", "img"]


class Shouting(Command):
    """Stores something else than the files of the project."""

    def copy_file(self, path: str, prefixed_path: str, source_storage: Any) -> None:
        if self.delete_file(path, prefixed_path, source_storage):
            with source_storage.open(path) as file:
                self.storage.save(prefixed_path, ContentFile(file.read().upper()))


def test_content_that_a_command_of_the_project_makes_is_stored(site: Site, bucket: str) -> None:
    site.on(Vault, bucket=bucket, file_overwrite=False)
    for content in (b"one", b"three"):
        site.write({"c.txt": content})
        site.collect(command=Shouting())
        assert held(bucket) == {
            name: each.upper() for name, each in {**SITE, "c.txt": content}.items()
        }


class Choosing(Vault):
    """Finds another name for a file that is there, as subclasses do."""

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        return f"other-{name}" if self.exists(name) else name


def test_file_keeps_its_name_where_a_subclass_looks_for_a_free_one(site: Site, bucket: str) -> None:
    site.on(Choosing, bucket=bucket)
    site.collect()
    site.write({"c.txt": b"changed"})
    site.collect()
    assert held(bucket) == {**SITE, "c.txt": b"changed"}


def test_second_file_of_a_name_is_told_as_django_tells_it(
    site: Site, bucket: str, tmp_path: Path
) -> None:
    site.others = [tmp_path / "other"]
    Site(*site.others).write({"c.txt": b"second"})
    said = []
    for command in (Command(), of_django.Command()):
        site.on(Vault, bucket=f"{bucket}-{len(said)}")
        said.append(site.collect("-v2", command=command))
    assert sorted(said[0].splitlines()) == sorted(said[1].splitlines())


# -- interruptions, and several at once -----------------------------------------------------------

#: Collects as a project does, in a process of its own.
PROGRAM = """
import json, os, sys, types
directory, entry, *arguments = sys.argv[1:]
# A module, since Django 4.2's settings.configure() drops the OPTIONS.
made = sys.modules["site_settings"] = types.ModuleType("site_settings")
made.SECRET_KEY = "not one"
made.INSTALLED_APPS = ["storages", "django.contrib.staticfiles"]
made.STATIC_URL = "/static/"
made.STATICFILES_DIRS = [directory]
made.STORAGES = {"staticfiles": json.loads(entry)}
os.environ["DJANGO_SETTINGS_MODULE"] = "site_settings"
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "collectstatic", "--no-input", *arguments])
"""


def process(site: Site) -> subprocess.Popen[str]:
    """Start to collect in another process."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(site.directory), json.dumps(site.entry)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_command_of_a_project_is_this_one(site: Site, front: Front) -> None:
    site.on(S3StaticStorage, **front.options)
    out, error = process(site).communicate(timeout=60)
    assert (out.strip(), error) == ("3 static files copied.", "")
    assert Counter(front.requests()) == puts(SITE) + Counter([LISTING])


def test_interrupted_run_leaves_whole_files(site: Site, front: Front) -> None:
    files = {f"{number:03}.bin": os.urandom(300_000) for number in range(120)}
    files["large.bin"] = os.urandom(20 * 1024 * 1024)
    site.write(files)
    site.on(S3ManifestStaticStorage, **front.options)
    running = process(site)
    while len(front.proxy.requests) < 12:
        assert running.poll() is None
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=60)
    stored = front.stored()
    assert running.returncode != 0
    assert error.rstrip().endswith("KeyboardInterrupt")
    assert 0 < len(stored) < len(files)
    # Unfinished uploads would be among the names.
    assert stored == {name: {**SITE, **files}[name] for name in stored}


def test_two_deployments_at_once_end_with_a_whole_set(
    site: Site, front: Front, tmp_path: Path
) -> None:
    versions = [site, Site(tmp_path / "other")]
    for version, each in enumerate(versions):
        each.write({f"{n}.css": b"a { color: #%06d }" % (n + version) for n in range(60)})
        each.write({"all.css": b"".join(b"@import '%d.css';" % n for n in range(60))})
        each.on(S3ManifestStaticStorage, **front.options)
    processes = [process(each) for each in versions]
    ends = [(running.communicate(timeout=120)[1], running.returncode) for running in processes]
    assert ends == [("", 0), ("", 0)]
    stored = front.stored()
    paths = json.loads(stored["staticfiles.json"] or b"")["paths"]
    assert paths["all.css"] in stored
    for name, hashed in paths.items():
        content = stored[hashed] or b""
        assert hashlib.md5(content).hexdigest()[:12] == hashed.split(".")[-2], name
        named = (match.decode() for match in re.findall(rb'"([^"/]+)"', content))
        assert stored.keys() >= set(named)


# -- the project's apps ---------------------------------------------------------------------------


OURS = {"BACKEND": "storages.backends.overwrite.OverwriteStorage"}
THEIRS = {"BACKEND": "django.core.files.storage.FileSystemStorage"}


def found_of(apps: list[str], entry: dict[str, str]) -> list[str | None]:
    """Return the ids of what checks find in a project with these apps and static files."""
    entries = {"default": THEIRS, "staticfiles": entry}
    with override_settings(INSTALLED_APPS=apps, STORAGES=entries):
        return [each.id for each in run_checks(tags=["staticfiles"])]


def test_order_of_the_apps_is_checked_where_it_matters() -> None:
    apps = ["storages", "django.contrib.staticfiles"]
    assert found_of(apps[::-1], OURS) == ["storages.W014"]
    assert found_of(apps[::-1], THEIRS) == []
    assert found_of(apps, OURS) == []


def test_command_of_another_app_is_its_own_affair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "speedy"
    (package / "management/commands").mkdir(parents=True)
    for name in ("__init__.py", "management/commands/collectstatic.py"):
        (package / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert found_of(["speedy", "django.contrib.staticfiles", "storages"], OURS) == []


def test_project_without_the_app_is_told_so(site: Site, bucket: str) -> None:
    site.on(Vault, bucket=bucket)
    with (
        override_settings(INSTALLED_APPS=["storages"]),
        pytest.raises(CommandError, match=r"Add 'django\.contrib\.staticfiles'"),
    ):
        site.collect()
