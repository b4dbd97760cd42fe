"""Many small files to S3 at once, from one thread: by ``collectstatic``, and by a copy."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import astuple
from pathlib import Path
from typing import Any, ClassVar

import pytest
from django.contrib.staticfiles.finders import FileSystemFinder
from django.core.files.storage import FileSystemStorage, Storage
from django.core.management import CommandError

from storages.backends.overwrite import OverwriteStorage
from storages.backends.s3boto3 import S3ManifestStaticStorage, S3StaticStorage
from storages.transfers import copy
from tests.backends.s3boto3.server import RawBucket, unshared
from tests.servers.certificates import authority
from tests.servers.http import HTTPProxy
from tests.servers.moto import Moto
from tests.test_collectstatic import LISTING, Front, Site, puts

FILES = {f"d{number % 7}/{number}.txt": b"%d" % number for number in range(80)}
CLOSING = {"ETag": '"e"', "Connection": "close"}


pytestmark = pytest.mark.usefixtures("without_moto", "closed_at_the_end")


class Watched(S3StaticStorage):
    """Knows which thread each file was stored by."""

    threads: ClassVar[dict[str, threading.Thread]] = {}

    def get_object_parameters(self, name: str) -> dict[str, Any]:
        self.threads[name] = threading.current_thread()
        return super().get_object_parameters(name)


@pytest.fixture
def closed_at_the_end(site: Site) -> Iterator[None]:
    """Leave no connections to the tests that follow: some programs take no number over 1023."""
    yield
    site.storage.close()


@pytest.fixture
def raw(moto: Moto) -> RawBucket:
    found = RawBucket(moto)
    found.client.create_bucket(Bucket=found.bucket)
    return found


@pytest.fixture
def front(raw: RawBucket) -> Iterator[Front]:
    with HTTPProxy(raw.server.host, raw.server.port) as proxy:
        yield Front(proxy, raw)


@pytest.fixture
def secure(raw: RawBucket) -> Iterator[Front]:
    tls = authority().good.server_context()
    with HTTPProxy(raw.server.host, raw.server.port, tls=tls) as proxy:
        yield Front(proxy, raw)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    made = Site(tmp_path / "assets")
    made.write(FILES)
    return made


def on(site: Site, front: Front, **options: Any) -> None:
    Watched.threads.clear()
    site.on(Watched, **{**front.options, "client_config": unshared(), **options})


def by_others() -> set[str]:
    """Return the names of the files that went by a thread of their own."""
    main = threading.main_thread()
    return {name for name, thread in Watched.threads.items() if thread is not main}


def test_they_are_sent_by_one_thread_and_many_connections(site: Site, front: Front) -> None:
    on(site, front)
    site.collect()
    assert Counter(front.requests()) == puts(FILES) + Counter([LISTING])
    assert front.stored() == FILES
    assert by_others() == set()
    assert front.proxy.connections == 64


@pytest.mark.parametrize("jobs", [1, 5])
def test_no_more_are_on_their_way_than_jobs_are_asked_for(
    site: Site, front: Front, jobs: int
) -> None:
    on(site, front)
    site.collect(jobs=jobs)
    assert front.stored() == FILES
    assert (by_others(), front.proxy.connections) == (set(), jobs)


def test_pool_of_the_client_is_the_limit(site: Site, front: Front) -> None:
    on(site, front, client_config={**unshared(), "max_pool_connections": 3})
    site.collect()
    assert front.stored() == FILES
    assert (by_others(), front.proxy.connections) == (set(), 3)


def test_large_files_go_by_threads(site: Site, front: Front) -> None:
    large = {"large.bin": bytes(65 * 1024), "a/larger.bin": bytes(300 * 1024)}
    site.write(large)
    on(site, front)
    site.collect()
    assert front.stored() == {**FILES, **large}
    assert by_others() == large.keys()


def test_over_tls_the_authorities_are_read_once_and_hold_for_all(site: Site, secure: Front) -> None:
    on(site, secure, verify=str(authority().ca_file))
    site.collect()
    assert secure.stored() == FILES
    assert (by_others(), secure.proxy.connections) == (set(), 64)


@pytest.mark.parametrize("certificate", ["wrong_host", "self_signed", "expired"])
def test_over_tls_each_connection_is_checked(site: Site, secure: Front, certificate: str) -> None:
    on(site, secure, verify=str(authority().ca_file))
    site.storage.exists("a.txt")
    bad = getattr(authority(), certificate)
    assert secure.proxy.tls is not None
    secure.proxy.tls.load_cert_chain(bad.cert_file, bad.key_file)
    # The one connection that is good serves once more.
    secure.proxy.answer(200, b"", CLOSING, method="PUT", times=None, forward=True)
    with pytest.raises(CommandError, match="certificate"):
        site.collect()
    assert len(secure.stored()) == 1


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (503, {}),
        (500, {"Connection": "close"}),
        (200, {}),
        (200, {"ETag": '"e"', "Content-Length": "7"}),
        (200, {"ETag": '"e"', "Transfer-Encoding": "chunked"}),
        (204, {"ETag": '"e"', "Connection": "upgrade"}),
        (301, {"Location": "http://127.0.0.1:1/"}),
    ],
)
def test_file_that_is_answered_oddly_is_sent_again(
    site: Site, front: Front, status: int, headers: dict[str, str]
) -> None:
    on(site, front)
    front.proxy.answer(status, b"", headers, method="PUT", times=5)
    site.collect()
    assert front.stored() == FILES


def test_connections_that_break_lose_no_file(site: Site, front: Front) -> None:
    on(site, front)
    front.proxy.reset(method="PUT", path=r"/d[35]/", times=20)
    site.collect()
    assert front.stored() == FILES


def test_connections_that_are_silent_lose_no_file(site: Site, front: Front) -> None:
    on(site, front, client_config={**unshared(), "read_timeout": 1})
    front.proxy.stall(method="PUT", path=r"/d3/", times=3)
    site.collect()
    assert front.stored() == FILES


@pytest.mark.parametrize("kind", ["front", "secure"])
def test_service_that_closes_each_connection_gets_each_file_once(
    site: Site, request: pytest.FixtureRequest, kind: str
) -> None:
    front: Front = request.getfixturevalue(kind)
    on(site, front, verify=str(authority().ca_file))
    front.proxy.answer(200, b"", CLOSING, method="PUT", times=None, forward=True)
    site.collect()
    assert Counter(front.requests()) == puts(FILES) + Counter([LISTING])
    assert front.stored() == FILES
    assert by_others() == set()
    # One for each, and those of the last round that none was left for.
    assert len(FILES) <= front.proxy.connections <= len(FILES) + 64


def test_idle_connections_may_end_while_one_is_silent(site: Site, raw: RawBucket) -> None:
    with HTTPProxy(raw.server.host, raw.server.port, patience=0.5) as proxy:
        front = Front(proxy, raw)
        on(site, front, client_config={**unshared(), "read_timeout": 1})
        proxy.stall(method="PUT", path=r"/d3/3\.")
        site.collect()
        assert front.stored() == FILES
        # Without an end to opening them there were a thousand.
        assert proxy.connections <= 128


def test_connection_whose_tls_cannot_be_made_is_not_used(
    site: Site, secure: Front, tmp_path: Path
) -> None:
    pair = [tmp_path / "client.pem", tmp_path / "client.key"]
    for path, source in zip(pair, astuple(authority().good), strict=True):
        path.write_bytes(source.read_bytes())
    config = {**unshared(), "client_cert": (str(pair[0]), str(pair[1]))}
    on(site, secure, client_config=config, verify=str(authority().ca_file))
    assert not site.storage.exists("a.txt")
    pair[0].unlink()
    site.collect()
    assert secure.stored() == FILES
    assert "HTTP_REQUEST" not in {getattr(each, "reason", "") for each in secure.proxy.broken}


def test_client_is_the_same_whatever_boto3_does_with_its_configuration(
    site: Site, front: Front
) -> None:
    config = {**unshared(), "retries": {"max_attempts": 2}}
    on(site, front, client_config=config)
    site.collect()
    assert config["retries"] == {"max_attempts": 2}
    assert (front.stored(), by_others()) == (FILES, set())


def test_connections_are_opened_for_what_is_new_alone(site: Site, front: Front) -> None:
    site.write({f"{number}.css": b"a{b:%d}" % number for number in range(20)})
    site.on(S3ManifestStaticStorage, **front.options)
    site.collect()
    before = front.proxy.connections
    site.write({"7.css": b"a{b:c}"})
    site.on(S3ManifestStaticStorage, **front.options, client_config=unshared())
    site.collect()
    assert front.proxy.connections == before + 1


@pytest.mark.parametrize("is_secure", [False, True])
def test_narrow_path_takes_a_file_piece_by_piece(
    site: Site, raw: RawBucket, *, is_secure: bool
) -> None:
    tls = authority().good.server_context() if is_secure else None
    files = {f"{number}.bin": bytes([number]) * 64 * 1024 for number in range(20)}
    site.write(files)
    with HTTPProxy(raw.server.host, raw.server.port, tls=tls, is_narrow=True) as proxy:
        front = Front(proxy, raw)
        on(site, front, verify=str(authority().ca_file))
        site.collect()
        assert front.stored() == {**FILES, **files}
        assert by_others() == set()


class Own(S3StaticStorage):
    """Stores in a way of its own."""

    stored: ClassVar[list[str]] = []

    def _save(self, name: Any, content: Any) -> str:
        self.stored.append(str(name))
        return super()._save(name, content)


class Written(S3StaticStorage):
    """Has a primitive of its own."""

    stored: ClassVar[list[str]] = []

    def _write(self, key: str, source: Any, **options: Any) -> None:
        self.stored.append(key.removeprefix("static/"))
        super()._write(key, source, **options)


@pytest.mark.parametrize("cls", [Own, Written])
def test_class_that_stores_in_its_own_way_does(site: Site, front: Front, cls: Any) -> None:
    cls.stored.clear()
    site.on(cls, **front.options)
    site.collect()
    assert Counter(cls.stored) == Counter([*FILES])
    assert front.stored() == FILES


def test_hook_sees_each_file_and_each_is_read_once(site: Site, front: Front) -> None:
    on(site, front)
    seen: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        seen.append(params["Key"].removeprefix("static/"))

    site.storage.client.meta.events.register("before-parameter-build.s3.PutObject", note)
    site.collect()
    assert Counter(seen) == Counter([*FILES])
    assert front.stored() == FILES
    assert by_others() == FILES.keys()


class Choosy(S3StaticStorage):
    """Has no description of one file."""

    def get_object_parameters(self, name: str) -> dict[str, Any]:
        if name == "d3/3.txt":
            raise LookupError("no such class")
        return super().get_object_parameters(name)


def test_file_that_cannot_be_described_is_named_and_the_others_are_stored(
    site: Site, front: Front
) -> None:
    site.on(Choosy, **front.options)
    with pytest.raises(CommandError, match=r"  d3/3\.txt: no such class$"):
        site.collect()
    assert front.stored().keys() == FILES.keys() - {"d3/3.txt"}
    assert Counter(front.requests()) == puts(FILES.keys() - {"d3/3.txt"}) + Counter([LISTING])


def test_files_to_be_packed_go_by_threads(site: Site, front: Front) -> None:
    site.write({"a.css": b"a{} " * 1000})
    on(site, front, gzip=True, gzip_content_types=["text/css"])
    site.collect()
    assert front.raw.head("static/a.css")["ContentEncoding"] == "gzip"
    assert by_others() == {"a.css"}


class Far(Storage):
    """Has its files elsewhere."""

    def __init__(self, directory: Path) -> None:
        self._files = FileSystemStorage(directory)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def open(self, name: str, mode: str = "rb") -> Any:
        return self._files.open(name, mode)

    def path(self, name: str) -> str:
        return self._files.path(name)


class FarFinder(FileSystemFinder):
    """Finds files elsewhere."""

    def list(self, ignore_patterns: Any) -> Any:
        for path, storage in super().list(ignore_patterns):
            yield path, Far(Path(storage.location))


def test_files_of_elsewhere_are_read_by_threads(site: Site, front: Front) -> None:
    site.finder = f"{__name__}.FarFinder"
    on(site, front)
    site.collect()
    assert front.stored() == FILES
    assert by_others() == FILES.keys()


def test_name_in_two_spellings_counts_twice(site: Site, front: Front) -> None:
    site.write({"a\\b.txt": b"1", "a/b.txt": b"2"})
    on(site, front)
    front.proxy.answer(403, b"", method="PUT", path="/d3/3\\.", times=None)
    with pytest.raises(CommandError, match=r"^1 static file could not be stored:\n.*$"):
        site.collect()


def test_connections_serve_on_afterwards(site: Site, front: Front) -> None:
    on(site, front)
    site.collect()
    assert site.storage.size("d0/0.txt") == 1
    with site.storage.open("d0/7.txt") as file:
        assert file.read() == b"7"
    assert front.proxy.connections == 64
    assert socket.getdefaulttimeout() is None


# -- copies ---------------------------------------------------------------------------------------


def target(site: Site, front: Front, **options: Any) -> S3StaticStorage:
    on(site, front, **options)
    found: S3StaticStorage = site.storage
    return found


def test_copies_from_this_machine_are_sent_by_one_thread(site: Site, front: Front) -> None:
    told: list[str] = []
    found = copy(
        OverwriteStorage(location=site.directory),
        target(site, front),
        report=lambda outcome, meter: told.append(f"{outcome.action} {meter.done_files}"),
    )
    assert Counter(front.requests()) == puts(FILES) + Counter([LISTING])
    assert front.stored() == FILES
    assert by_others() == set()
    assert {each.name: each.size for each in found.of("copied")} == {
        name: len(content) for name, content in FILES.items()
    }
    assert told == [f"copied {number}" for number in range(1, len(FILES) + 1)]


def test_copies_are_described_as_they_are_by_threads(site: Site, front: Front) -> None:
    copy(
        OverwriteStorage(location=site.directory),
        target(site, front, headers={"Cache-Control": "a"}),
    )
    said = front.raw.head("static/d0/0.txt")
    assert (said["ContentType"], said["CacheControl"]) == ("text/plain", "a")


def test_copies_that_fail_are_told_as_by_threads(site: Site, front: Front) -> None:
    front.proxy.answer(403, b"", method="PUT", path="/d3/", times=None)
    front.proxy.reset(method="PUT", path="/d5/", times=5)
    found = copy(OverwriteStorage(location=site.directory), target(site, front))
    bad = {name for name in FILES if name.startswith("d3/")}
    assert {each.name for each in found.of("failed")} == bad
    assert front.stored().keys() == FILES.keys() - bad


class Meddling(Watched):
    """Has a file of this machine changed once it was read."""

    meddled: ClassVar[list[Path]] = []

    def get_object_parameters(self, name: str) -> dict[str, Any]:
        if name == "d3/3.txt" and self.meddled:
            self.meddled.pop().write_bytes(b"longer")
        return super().get_object_parameters(name)


def test_copy_of_a_file_that_changes_meanwhile_is_made_anew(site: Site, front: Front) -> None:
    Meddling.meddled[:] = [site.directory / "d3/3.txt"]
    into = site.on(Meddling, **front.options)
    found = copy(OverwriteStorage(location=site.directory), into)
    assert front.stored() == {**FILES, "d3/3.txt": b"longer"}
    assert len(found.of("copied")) == len(FILES)


def test_verified_copies_go_by_threads(site: Site, front: Front) -> None:
    copy(OverwriteStorage(location=site.directory), target(site, front), verify=True)
    assert front.stored() == FILES
    assert by_others() == FILES.keys()
