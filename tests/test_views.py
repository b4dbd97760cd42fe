"""Views that serve files: what they answer, from storages of every kind."""

from __future__ import annotations

import asyncio
import errno
import io
import logging
import os
import random
import tracemalloc
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage, Storage
from django.http import FileResponse, Http404, HttpRequest, HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.test import AsyncRequestFactory, RequestFactory, override_settings
from django.utils.http import http_date

from storages import views
from storages.backends.apache_libcloud import LibCloudStorage
from storages.backends.couchdb import CouchDBStorage
from storages.backends.database import DatabaseStorage
from storages.backends.ftp import FTPStorage
from storages.backends.overwrite import OverwriteStorage
from storages.backends.s3boto3 import S3Boto3Storage
from storages.backends.sftpstorage import SFTPStorage
from storages.backends.symlinkorcopy import SymlinkOrCopyStorage
from storages.driver import Entry
from storages.views import FileView, is_signed, serve, signed_url
from tests.backends.s3boto3.server import RawBucket, account
from tests.memory import MemoryStorage
from tests.servers.http import HTTPProxy
from tests.servers.moto import Moto
from tests.servers.pyftpdlib_server import Pyftpdlib

KIB = 1024
MIB = 1024 * KIB
CONTENT = random.Random(1).randbytes(300_000)
PICTURE = b"\x89PNG\r\n\x1a\nnot really"
factory = RequestFactory()
pytestmark = pytest.mark.usefixtures("ends_no_request")
urlpatterns: list[object] = []


class Unreadable(MemoryStorage):
    """Its service is away."""

    def _stat(self, key: str) -> Entry:
        raise TimeoutError(errno.ETIMEDOUT, "bucket-of-ours at 10.1.2.3 did not answer")


@pytest.fixture(params=["memory", "overwrite", "filesystem", "inmemory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """A storage of this package's that is remote, one that is local, and two of Django's own."""
    made: dict[str, Callable[[], Storage]] = {
        "memory": lambda: MemoryStorage(bucket=uuid.uuid4().hex, base_url="/media/"),
        "overwrite": lambda: OverwriteStorage(tmp_path, base_url="/media/"),
        "filesystem": lambda: FileSystemStorage(tmp_path, base_url="/media/"),
        "inmemory": lambda: InMemoryStorage(base_url="/media/"),
    }
    storage = made[request.param]()
    storage.save("dir/film.mp4", ContentFile(CONTENT))
    return storage


@pytest.fixture
def local(tmp_path: Path) -> Storage:
    storage = OverwriteStorage(tmp_path, base_url="/media/")
    storage.save("dir/film.mp4", ContentFile(CONTENT))
    return storage


@pytest.fixture
def memory() -> Storage:
    storage = MemoryStorage(bucket=uuid.uuid4().hex, base_url="/media/")
    storage.save("dir/film.mp4", ContentFile(CONTENT))
    return storage


def get(
    storage: Storage, name: str = "dir/film.mp4", *, method: str = "GET", **headers: str
) -> HttpResponseBase:
    """Ask the view; ``if_range`` is the header If-Range."""
    meta = {f"HTTP_{each.upper()}": value for each, value in headers.items()}
    return serve(factory.generic(method, f"/media/{name}", **meta), name, storage)


def body(response: HttpResponseBase) -> bytes:
    """Take all of an answer, as a server does, and close it."""
    try:
        return b"".join(cast("Iterator[bytes]", response))
    finally:
        response.close()


# -- the whole file -------------------------------------------------------------------------------


def test_file_is_sent_whole_with_its_length(storage: Storage) -> None:
    response = get(storage)
    assert response.status_code == 200
    assert response.headers["Content-Length"] == "300000"
    assert response.headers["Content-Type"] == "video/mp4"
    assert response.headers["Accept-Ranges"] == "bytes"
    assert response.streaming
    assert body(response) == CONTENT


def test_empty_file_is_sent(storage: Storage) -> None:
    storage.save("empty.png", ContentFile(b""))
    response = get(storage, "empty.png")
    assert (response.status_code, response.headers["Content-Length"]) == (200, "0")
    assert body(response) == b""


def test_head_has_the_headers_alone(storage: Storage) -> None:
    whole, head = get(storage), get(storage, method="HEAD", range="bytes=0-1")
    assert head.status_code == 200
    assert dict(head.items()) == dict(whole.items())
    assert body(head) == b""
    whole.close()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(memory: Storage, method: str) -> None:
    response = get(memory, method=method)
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD"
    request = factory.generic(method, "/media/x")
    assert FileView.as_view(storage=memory)(request, name="x").status_code == 405


def test_storage_may_be_an_alias(memory: Storage) -> None:
    bucket = cast("Any", memory).bucket
    entries = {
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
        "files": {"BACKEND": "tests.memory.MemoryStorage", "OPTIONS": {"bucket": bucket}},
    }
    with override_settings(STORAGES=entries):
        assert body(serve(factory.get("/"), "dir/film.mp4", "files")) == CONTENT
        with pytest.raises(Http404):
            serve(factory.get("/"), "dir/film.mp4")


def test_local_file_is_handed_to_the_server_as_one(local: Storage) -> None:
    """So that the kernel may send it."""
    response = get(local)
    assert isinstance(response, FileResponse)
    assert os.fstat(response.file_to_stream.fileno()).st_size == len(CONTENT)
    response.close()
    assert response.file_to_stream.closed


# -- ranges ---------------------------------------------------------------------------------------

LAST = len(CONTENT) - 1


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        # Reports 1, 2 and 8 of serving: a single byte, Safari's probe, Chrome's.
        ("bytes=0-0", 0, 1),
        ("bytes=5-5", 5, 6),
        ("bytes=-1", LAST, LAST + 1),
        ("bytes=0-1", 0, 2),
        ("bytes=0-", 0, LAST + 1),
        (f"bytes={LAST}-", LAST, LAST + 1),
        (f"bytes={LAST}-{LAST}", LAST, LAST + 1),
        ("bytes=100-199", 100, 200),
        ("bytes=-500", LAST - 499, LAST + 1),
        ("bytes=-999999", 0, LAST + 1),
        ("bytes=299000-999999", 299_000, LAST + 1),
        ("Bytes=100-199", 100, 200),
        ("bytes= 100-199 ", 100, 200),
    ],
)
def test_range_is_sent_and_never_a_byte_more(
    storage: Storage, asked: str, start: int, stop: int
) -> None:
    response = get(storage, range=asked)
    assert response.status_code == 206
    assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/300000"
    assert response.headers["Content-Length"] == str(stop - start)
    assert body(response) == CONTENT[start:stop]


@pytest.mark.parametrize("asked", ["bytes=300000-", "bytes=300000-300001", "bytes=-0"])
def test_range_outside_of_the_file_cannot_be_sent(storage: Storage, asked: str) -> None:
    response = get(storage, range=asked)
    assert response.status_code == 416
    assert response.headers["Content-Range"] == "bytes */300000"
    # Report 1: a cache needs to know what it is about.
    assert response.headers["Cache-Control"] == "private"
    assert response.headers.get("ETag") == get(storage, method="HEAD").headers.get("ETag")
    assert body(response) == b""


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=0-0", "bytes=-0"])
def test_range_of_an_empty_file_cannot_be_sent(storage: Storage, asked: str) -> None:
    storage.save("empty.mp4", ContentFile(b""))
    assert get(storage, "empty.mp4", range=asked).status_code == 416


@pytest.mark.parametrize("asked", ["bytes=-1", "bytes=-999"])
def test_end_of_an_empty_file_is_all_of_it(storage: Storage, asked: str) -> None:
    """RFC 9110 14.1.2: the last bytes of a file that has fewer are the whole file."""
    storage.save("empty.mp4", ContentFile(b""))
    response = get(storage, "empty.mp4", range=asked)
    assert (response.status_code, body(response)) == (200, b"")


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=",
        "bytes=-",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=1",
        "bytes 0-1",
        "lines=0-1",
        "bytes=0-1,5-6",
        "bytes=--1",
        "bytes=0x1-",
        f"bytes={'9' * 5000}-",
        "bytes=٣-٤",
        "",
    ],
)
def test_range_that_cannot_be_read_is_answered_with_everything(memory: Storage, asked: str) -> None:
    response = get(memory, range=asked)
    assert response.status_code == 200
    assert body(response) == CONTENT


def test_if_range_of_the_same_content_gets_the_range(storage: Storage) -> None:
    told = get(storage, method="HEAD").headers
    for condition in (told.get("ETag", ""), told["Last-Modified"]):
        if not condition.startswith("W/"):
            response = get(storage, range="bytes=0-1", if_range=condition)
            assert (response.status_code, body(response)) == (206, CONTENT[:2])


@pytest.mark.parametrize(
    "condition", ['"another"', "*", "nonsense", http_date(0), http_date(4_000_000_000)]
)
def test_if_range_of_another_content_gets_everything(storage: Storage, condition: str) -> None:
    """Report 3 of serving."""
    response = get(storage, range="bytes=0-1", if_range=condition)
    assert (response.status_code, body(response)) == (200, CONTENT)


def test_weak_tag_is_no_condition_for_a_range(storage: Storage) -> None:
    tag = get(storage, method="HEAD").headers["ETag"]
    weak = tag if tag.startswith("W/") else f"W/{tag}"
    response = get(storage, range="bytes=0-1", if_range=weak)
    assert (response.status_code, body(response)) == (200, CONTENT)


# -- conditions -----------------------------------------------------------------------------------


def test_client_that_has_the_file_is_told_so(storage: Storage) -> None:
    told = get(storage, method="HEAD").headers
    for header, value in (
        ("if_none_match", told["ETag"]),
        ("if_none_match", f'"other", {told["ETag"]}'),
        ("if_none_match", "*"),
        ("if_modified_since", told["Last-Modified"]),
        ("if_modified_since", http_date(4_000_000_000)),
    ):
        response = get(storage, **{header: value})
        assert (response.status_code, body(response)) == (304, b"")
        for name in ("ETag", "Last-Modified", "Cache-Control"):
            assert response.headers[name] == told[name]


def test_client_that_has_another_file_gets_this_one(storage: Storage) -> None:
    for header, value in (
        ("if_none_match", '"other"'),
        ("if_modified_since", http_date(1000)),
        ("if_modified_since", "nonsense"),
    ):
        response = get(storage, **{header: value})
        assert (response.status_code, body(response)) == (200, CONTENT)


def test_condition_that_does_not_hold_is_412(storage: Storage) -> None:
    for header, value in (("if_match", '"other"'), ("if_unmodified_since", http_date(1000))):
        assert get(storage, **{header: value}).status_code == 412


def test_tag_is_another_after_a_change(local: Storage, memory: Storage) -> None:
    for storage in (local, memory):
        before = get(storage, method="HEAD").headers["ETag"]
        storage.delete("dir/film.mp4")
        storage.save("dir/film.mp4", ContentFile(CONTENT[::-1]))
        assert get(storage, method="HEAD").headers["ETag"] != before


# -- what the browser is to do with it ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "is_shown"),
    [
        ("a.png", "image/png", True),
        ("a.JPG", "image/jpeg", True),
        ("a.jpeg", "image/jpeg", True),
        ("a.gif", "image/gif", True),
        ("a.webp", "image/webp", True),
        ("a.avif", "image/avif", True),
        ("a.mp4", "video/mp4", True),
        ("a.pdf", "application/pdf", False),
        ("a.txt", "text/plain", False),
        ("a.zip", "application/zip", False),
        # Report 9 of serving, and neighbours.
        ("a.svg", "application/octet-stream", False),
        ("a.svgz", "application/octet-stream", False),
        ("a.html", "application/octet-stream", False),
        ("a.htm", "application/octet-stream", False),
        ("a.xhtml", "application/octet-stream", False),
        ("a.xml", "application/octet-stream", False),
        ("a.js", "application/octet-stream", False),
        ("a.mjs", "application/octet-stream", False),
        ("a.css", "application/octet-stream", False),
        ("a.swf", "application/octet-stream", False),
        ("a.png.html", "application/octet-stream", False),
        ("a.html.png", "image/png", True),
        ("png", "application/octet-stream", False),
        ("a", "application/octet-stream", False),
        (".png", "image/png", True),
    ],
)
def test_type_is_of_a_list_and_only_what_runs_nothing_is_shown(
    memory: Storage, name: str, kind: str, is_shown: bool
) -> None:
    content = ContentFile(b"<script>alert(1)</script>")
    content.content_type = "text/html"  # type: ignore[attr-defined]
    memory.save(name, content)
    headers = get(memory, name).headers
    assert headers["Content-Type"] == kind
    assert headers["Content-Disposition"].startswith("inline" if is_shown else "attachment")
    assert headers["X-Content-Type-Options"] == "nosniff"
    played = "sandbox allow-same-origin; default-src 'none'; media-src 'self'"
    expected = played if kind == "video/mp4" else "sandbox; default-src 'none'"
    assert headers["Content-Security-Policy"] == expected


def test_further_types_may_be_shown(memory: Storage) -> None:
    for name in ("a.pdf", "a.txt", "a.html"):
        memory.save(name, ContentFile(b"content"))
    shown = ["application/pdf", "text/plain", "text/html"]
    answers = {
        name: serve(factory.get("/"), name, memory, inline=shown).headers
        for name in ("a.pdf", "a.txt", "a.html")
    }
    assert answers["a.pdf"]["Content-Disposition"].startswith("inline")
    # Report 10 of serving: in a sandbox the viewer stays blank.
    assert "Content-Security-Policy" not in answers["a.pdf"]
    assert answers["a.txt"]["Content-Disposition"].startswith("inline")
    assert answers["a.txt"]["Content-Security-Policy"]
    # What is not of `TYPES` cannot be let in.
    assert answers["a.html"]["Content-Disposition"].startswith("attachment")
    assert answers["a.html"]["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dir/a.txt", 'attachment; filename="a.txt"'),
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ('a"b.txt', 'attachment; filename="a\\"b.txt"'),
        ("é漢.txt", "attachment; filename*=utf-8''%C3%A9%E6%BC%A2.txt"),
        ("a;b=c.txt", 'attachment; filename="a;b=c.txt"'),
        ("a%0d%0aX: y.txt", 'attachment; filename="a%0d%0aX: y.txt"'),
    ],
)
def test_name_is_told_as_rfc_6266_has_it(memory: Storage, name: str, told: str) -> None:
    memory.save(name, ContentFile(b"content"))
    assert get(memory, name).headers["Content-Disposition"] == told


def test_caches_are_private_unless_said_otherwise(memory: Storage) -> None:
    assert get(memory).headers["Cache-Control"] == "private"
    response = serve(factory.get("/"), "dir/film.mp4", memory, cache_control="public, max-age=3600")
    assert response.headers["Cache-Control"] == "public, max-age=3600"


@pytest.mark.parametrize("asked", ["", "bytes=0-1999"])
def test_nothing_compresses_an_answer(memory: Storage, asked: str) -> None:
    """Report 4 of serving: GZipMiddleware compresses parts, and drops their length."""
    memory.save("zeros.mp4", ContentFile(bytes(10_000)))
    request = factory.get("/", HTTP_ACCEPT_ENCODING="gzip", HTTP_RANGE=asked)
    response = GZipMiddleware(lambda each: serve(each, "zeros.mp4", memory))(request)
    assert response.headers["Content-Encoding"] == "identity"
    assert response.headers["Content-Length"] == ("2000" if asked else "10000")
    assert set(body(response)) == {0}


# -- what is not there ----------------------------------------------------------------------------

BAD_NAMES = [
    "missing.png",
    "dir",
    "dir/",
    "dir/film.mp4/",
    "dir/film.mp4/x",
    "../film.mp4",
    "dir/../dir/film.mp4",
    "dir//film.mp4",
    "./dir/film.mp4",
    "/dir/film.mp4",
    "//host/film.mp4",
    "dir\\film.mp4",
    "..\\film.mp4",
    "C:\\film.mp4",
    "a\x00.png",
    "a\nb.png",
    "\udc80.png",
    "",
    ".",
    "..",
    "%2e%2e/film.mp4",
    "a" * 300,
    "a/" * 3000 + "a",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_missing_and_bad_names_are_answered_alike(storage: Storage, name: str) -> None:
    for method in ("GET", "HEAD"):
        with pytest.raises(Http404) as raised:
            serve(factory.generic(method, "/media/"), name, storage)
        assert str(raised.value) == "There is no such file."
        assert raised.value.__cause__ is None
        assert raised.value.__suppress_context__


def test_storage_that_is_away_is_told_to_the_log_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    response = get(Unreadable(bucket="bucket-of-ours"))
    assert response.status_code == 503
    assert body(response) == b"The file cannot be read now."
    assert "bucket-of-ours" not in str(response.headers)
    assert "bucket-of-ours at 10.1.2.3 did not answer" in caplog.text


@pytest.mark.parametrize("name", ["missing.png", "../x", "dir"])
def test_picture_stands_in_for_a_missing_file(
    storage: Storage, tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    """As the sample of the first documentation did."""
    picture = tmp_path_factory.mktemp("static") / "no_image.gif"
    picture.write_bytes(b"GIF89a")
    response = serve(factory.get("/"), name, storage, fallback=picture)
    assert (response.status_code, body(response)) == (200, b"GIF89a")
    assert response.headers["Content-Type"] == "image/gif"
    # The file may come.
    assert response.headers["Cache-Control"] == "no-cache"
    response = serve(factory.get("/"), "dir/film.mp4", storage, fallback=picture)
    assert body(response) == CONTENT


def test_stand_in_that_is_missing_itself_is_404(memory: Storage, tmp_path: Path) -> None:
    with pytest.raises(Http404):
        serve(factory.get("/"), "missing.png", memory, fallback=tmp_path / "missing.gif")


def test_file_that_is_replaced_while_it_is_looked_at_is_sent_as_it_is_now(
    tmp_path: Path,
) -> None:
    class Changing(OverwriteStorage):
        def stat(self, name: Any) -> Entry:
            found = super().stat(name)
            if not self.exists("changed"):
                self.save("changed", ContentFile(b""))
                self.save("a.png", ContentFile(b"new and longer"))
            return found

    storage = Changing(tmp_path)
    for asked, expected in (("", b"new and longer"), ("bytes=0-2", b"new")):
        storage.save("a.png", ContentFile(b"old"))
        storage.delete("changed")
        response = get(storage, "a.png", range=asked)
        assert body(response) == expected
        assert response.headers["Content-Length"] == str(len(expected))


def test_link_that_leads_out_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(PICTURE)
    storage = SymlinkOrCopyStorage(tmp_path / "media")
    storage.save("a.png", ContentFile(b"content"))
    (tmp_path / "media/link.png").symlink_to(secret)
    for options in ({}, {"sendfile": True}, {"accel_redirect": "/protected/"}):
        try:
            response = serve(factory.get("/"), "link.png", storage, **options)  # type: ignore[arg-type]
        except Http404:
            continue
        assert response.status_code == 503


# -- permission and signed links ------------------------------------------------------------------


class Members(FileView):
    """Lets those in who are signed in, to their own files."""

    def has_permission(self, name: str) -> bool:
        user = self.request.user
        return user.is_authenticated and name.startswith(f"{user.get_username()}/")


class User:
    is_authenticated = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_username(self) -> str:
        return self.name


def ask_as(view: Callable[..., HttpResponseBase], user: Any, name: str) -> HttpResponseBase:
    request = factory.get(f"/media/{name}")
    request.user = user
    return view(request, name=name)


def test_hook_decides_who_sees_what(memory: Storage) -> None:
    view = Members.as_view(storage=memory)
    assert body(ask_as(view, User("dir"), "dir/film.mp4")) == CONTENT
    # Whether it is there or not, the answer is the same.
    for user in (AnonymousUser(), User("other")):
        for name in ("dir/film.mp4", "dir/missing.mp4", "other/../dir/film.mp4"):
            with pytest.raises((PermissionDenied, Http404)) as raised:
                ask_as(view, user, name)
            if name.startswith("dir"):
                assert raised.type is PermissionDenied


def test_function_may_be_wrapped_in_what_asks(memory: Storage) -> None:
    view = login_required(serve)
    request = factory.get("/media/dir/film.mp4")
    request.user = AnonymousUser()
    with override_settings(ROOT_URLCONF=__name__):
        assert view(request, "dir/film.mp4", memory).status_code == 302


def test_class_lets_nobody_in_without_a_signed_link(storage: Storage) -> None:
    view = FileView.as_view(storage=storage)
    with pytest.raises(PermissionDenied):
        view(factory.get("/media/dir/film.mp4"), name="dir/film.mp4")
    url = signed_url("dir/film.mp4", storage)
    assert urlsplit(url).path == "/media/dir/film.mp4"
    assert body(view(factory.get(url), name="dir/film.mp4")) == CONTENT
    assert view(factory.head(url), name="dir/film.mp4").status_code == 200
    assert body(serve(factory.get(url), "dir/film.mp4", storage, signed=True)) == CONTENT


def test_link_is_of_one_file_of_one_storage(memory: Storage, local: Storage) -> None:
    for storage in (memory, local):
        for name in ("film.mp4", "dir/film.mp4"):
            storage.delete(name)
            storage.save(name, ContentFile(CONTENT))
    url = signed_url("dir/film.mp4", memory)
    request = factory.get(url)
    assert is_signed(request, "dir/film.mp4", memory)
    for name, storage in (
        ("film.mp4", memory),
        ("dir/film.mp3", memory),
        ("dir/film.mp4x", memory),
        ("dir/film.mp4", local),
        ("dir/film.mp4", MemoryStorage(bucket=f"{cast('Any', memory).bucket}x")),
        ("film.mp4", MemoryStorage(bucket=cast("Any", memory).bucket, location="dir2")),
        ("../x", memory),
    ):
        assert not is_signed(request, name, storage)
        with pytest.raises(PermissionDenied):
            serve(request, name, storage, signed=True)


def on_azure(account: str) -> LibCloudStorage:
    kind = "libcloud.storage.types.Provider.AZURE_BLOBS"
    return LibCloudStorage(type=kind, user=account, key="a2V5", bucket="files")


def behind(endpoint: str | None, key: str) -> S3Boto3Storage:
    return S3Boto3Storage(
        bucket_name="files", endpoint_url=endpoint, access_key=key, secret_key="canary"
    )


def in_database(words: str) -> DatabaseStorage:
    columns = dict.fromkeys(("fname_column", "blob_column", "size_column"), "c")
    text = f"DRIVER=PostgreSQL;SERVER=db.example.com;{words}"
    return DatabaseStorage(connection_string=text, db_table="files", **columns)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            CouchDBStorage(server="https://one.example.com", database="files"),
            CouchDBStorage(server="https://two.example.com", database="files"),
        ),
        (FTPStorage("ftps://one@files.example.com/"), FTPStorage("ftps://two@files.example.com/")),
        (
            SFTPStorage("files.example.com", {"username": "one"}),
            SFTPStorage("files.example.com", {"username": "two"}),
        ),
        (
            SFTPStorage("files.example.com", {"port": 22}),
            SFTPStorage("files.example.com", {"port": 2222}),
        ),
        (on_azure("one"), on_azure("two")),
        (behind("https://ceph.example.com", "one"), behind("https://ceph.example.com", "two")),
        (in_database("UID=one"), in_database("UID=two")),
    ],
)
def test_link_is_of_one_account_on_one_server(one: Storage, other: Storage) -> None:
    request = factory.get(signed_url("film.mp4", one, url="/film.mp4"))
    assert is_signed(request, "film.mp4", one)
    assert not is_signed(request, "film.mp4", other)


def test_link_to_a_bucket_of_aws_outlives_a_key() -> None:
    """A bucket's name is of one account in all the world."""
    request = factory.get(signed_url("film.mp4", behind(None, "old"), url="/film.mp4"))
    assert is_signed(request, "film.mp4", behind(None, "new"))


def test_link_that_was_changed_is_refused(memory: Storage) -> None:
    url = signed_url("dir/film.mp4", memory, expire=100)
    assert is_signed(factory.get(url), "dir/film.mp4", memory)
    path, _, token = url.partition("?signature=")
    for changed in (
        "",
        token[:-1],
        token + "x",
        token[1:],
        token.swapcase(),
        "WzFd:" + token.partition(":")[2],
        "null",
        "%00",
        "é",
    ):
        request = factory.get(f"{path}?signature={changed}")
        assert not is_signed(request, "dir/film.mp4", memory), changed
    with override_settings(SECRET_KEY="another"):
        assert not is_signed(factory.get(url), "dir/film.mp4", memory)


def test_link_ends(memory: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    url = signed_url("dir/film.mp4", memory, expire=60)
    now = datetime.now(UTC).timestamp()
    for later, holds in ((0, True), (58, True), (61, False), (10**9, False)):
        monkeypatch.setattr("time.time", lambda later=later: now + later)
        assert is_signed(factory.get(url), "dir/film.mp4", memory) is holds


@pytest.mark.parametrize("expire", [0, -1])
def test_link_that_ends_in_the_past_is_an_error(memory: Storage, expire: int) -> None:
    with pytest.raises(ValueError, match="expire"):
        signed_url("dir/film.mp4", memory, expire=expire)


def test_link_shows_nothing_of_the_storage(memory: Storage) -> None:
    url = signed_url("dir/film.mp4", memory, url="https://files.example/get/?name=film")
    assert url.startswith("https://files.example/get/?name=film&signature=")
    assert list(parse_qs(urlsplit(url).query)) == ["name", "signature"]
    assert cast("Any", memory).bucket not in url
    assert is_signed(factory.get(url), "dir/film.mp4", memory)


# -- hand-over ------------------------------------------------------------------------------------


@pytest.fixture(params=[OverwriteStorage, FileSystemStorage])
def on_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    storage: Storage = request.param(tmp_path, base_url="/media/")
    storage.save("dir/é b%.png", ContentFile(PICTURE))
    return storage


def test_nginx_is_told_the_internal_location(on_disk: Storage) -> None:
    response = serve(
        factory.get("/"), "dir/é b%.png", on_disk, accel_redirect="/protected", signed=False
    )
    assert response.headers["X-Accel-Redirect"] == "/protected/dir/%C3%A9%20b%25.png"
    assert response.headers["Content-Type"] == "image/png"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert body(response) == b""


def test_apache_is_told_the_path(on_disk: Storage) -> None:
    response = serve(factory.get("/"), "dir/é b%.png", on_disk, sendfile=True)
    assert response.headers["X-Sendfile"].endswith("/dir/%C3%A9%20b%25.png")
    assert body(response) == b""


@pytest.mark.parametrize("options", [{"sendfile": True}, {"accel_redirect": "/protected/"}])
@pytest.mark.parametrize("name", ["missing.png", "../x.png", "dir"])
def test_what_is_not_there_is_not_handed_over(
    on_disk: Storage, options: dict[str, Any], name: str
) -> None:
    with pytest.raises(Http404):
        serve(factory.get("/"), name, on_disk, **options)


@pytest.mark.parametrize("options", [{"sendfile": True}, {"accel_redirect": "/protected/"}])
def test_files_elsewhere_cannot_be_handed_over(memory: Storage, options: dict[str, Any]) -> None:
    with pytest.raises(ImproperlyConfigured, match="MemoryStorage has none"):
        serve(factory.get("/"), "dir/film.mp4", memory, **options)


def test_client_may_be_led_to_the_storage_s_own_url(memory: Storage) -> None:
    response = serve(factory.get("/"), "dir/film.mp4", memory, redirect=True)
    assert response.status_code == 302
    assert response.headers["Location"] == "/media/dir/film.mp4"
    assert response.headers["Cache-Control"] == "no-store"
    with pytest.raises(Http404):
        serve(factory.get("/"), "missing.png", memory, redirect=True)


# -- streaming ------------------------------------------------------------------------------------


class Generated(MemoryStorage):
    """A file of 64 MiB that is in no memory, and of which is known what was read."""

    size_of_all = 64 * MIB

    def _stat(self, key: str) -> Entry:
        return Entry(self.size_of_all, datetime(2026, 1, 1, tzinfo=UTC), etag="1")

    def _read(self, key: str, start: int, entry: Entry) -> Any:
        stream = Zeros(self.size_of_all - start)
        streams.append(stream)
        return stream


class Zeros:
    def __init__(self, size: int) -> None:
        self.left = size
        self.closed = False

    def read(self, size: int, /) -> bytes:
        size = min(size, self.left)
        self.left -= size
        return bytes(size)

    def close(self) -> None:
        self.closed = True


class Leased(Zeros):
    is_leased = True


streams: list[Zeros] = []


@pytest.fixture(autouse=True)
def no_streams() -> None:
    streams.clear()


def test_large_file_takes_little_memory() -> None:
    response = get(Generated(bucket="a"))
    tracemalloc.start()
    sent = sum(len(piece) for piece in cast("Iterator[bytes]", response))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    response.close()
    assert sent == 64 * MIB
    assert peak < 2 * MIB


def test_file_is_closed_when_the_client_goes_away() -> None:
    """Report 6 of serving."""
    response = get(Generated(bucket="a"))
    next(iter(cast("Iterator[bytes]", response)))
    (stream,) = streams
    assert not stream.closed
    response.close()
    assert stream.closed


def test_connection_that_others_wait_for_is_not_held_while_a_client_takes_its_time() -> None:
    """Report 7 of serving."""

    class Few(Generated):
        def _read(self, key: str, start: int, entry: Entry) -> Any:
            streams.append(Leased(self.size_of_all - start))
            return streams[-1]

    response = get(Few(bucket="a"), range="bytes=1000-20000000")
    pieces = iter(cast("Iterator[bytes]", response))
    sent = 0
    for piece in pieces:
        sent += len(piece)
        assert all(each.closed for each in streams)
    response.close()
    assert sent == 20_000_000 - 999
    assert len(streams) <= 6


def asked(request: HttpRequest, name: str, storage: Storage) -> tuple[HttpResponseBase, bytes]:
    """Serve as an ASGI server would, and take the answer in an event loop."""

    async def take() -> tuple[HttpResponseBase, bytes]:
        response = await asyncio.to_thread(serve, request, name, storage)
        content = b""
        if response.streaming:
            assert response.is_async  # type: ignore[attr-defined]
            async for piece in cast("AsyncIterator[bytes]", response):
                content += piece
        response.close()
        return response, content

    return asyncio.run(take())


@pytest.mark.parametrize(("wanted", "start", "stop"), [("", 0, None), ("bytes=5-9", 5, 10)])
def test_answer_under_asgi_streams_by_itself(
    storage: Storage, wanted: str, start: int, stop: int | None
) -> None:
    """Report 5 of serving: a plain iterator would be read whole before anything is sent."""
    request = AsyncRequestFactory().get("/media/", headers={"Range": wanted})
    response, content = asked(request, "dir/film.mp4", storage)
    assert response.status_code == (206 if wanted else 200)
    assert content == CONTENT[start:stop]


def test_content_that_breaks_off_breaks_the_answer_off(tmp_path: Path) -> None:
    class Short(Generated):
        def _read(self, key: str, start: int, entry: Entry) -> Any:
            if streams:
                raise ConnectionResetError(errno.ECONNRESET, "gone")
            streams.append(Zeros(10 * MIB))
            return streams[-1]

    response = get(Short(bucket="a"))
    with pytest.raises(ConnectionError):
        body(response)


def test_content_that_cannot_be_begun_is_no_answer_of_200(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Gone(Generated):
        def _read(self, key: str, start: int, entry: Entry) -> Any:
            raise PermissionError(errno.EACCES, "denied by bucket-of-ours")

    response = get(Gone(bucket="a"))
    assert response.status_code == 503
    assert b"bucket" not in body(response)


# -- real servers ---------------------------------------------------------------------------------


def test_many_slow_downloads_share_two_connections() -> None:
    if reason := Pyftpdlib.available():
        pytest.skip(reason)
    with Pyftpdlib() as server:
        url = f"ftp://{server.user}:{server.password}@{server.host}:{server.port}/"
        storage = FTPStorage(url, max_connections=2, timeout=10.0)
        content = random.Random(2).randbytes(9 * MIB)
        storage.save("film.mp4", ContentFile(content))
        answers = [get(storage, "film.mp4") for _ in range(8)]
        taken = [io.BytesIO() for _ in answers]
        iterators = [iter(cast("Iterator[bytes]", each)) for each in answers]
        for _ in range(40):
            for target, iterator in zip(taken, iterators, strict=True):
                target.write(next(iterator, b""))
        for each in answers:
            each.close()
        assert [each.getvalue() == content for each in taken] == [True] * 8
        storage.close()


@pytest.fixture
def on_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[S3Boto3Storage, HTTPProxy]]:
    if reason := Moto.available():
        pytest.skip(reason)
    with Moto() as server, RawBucket(server) as raw, HTTPProxy(*server.address) as front:
        raw.put("film.mp4", bytes(64 * MIB))
        options = {**account(server), "endpoint_url": front.url}
        yield S3Boto3Storage(bucket_name=raw.bucket, **options), front


def test_small_range_of_a_large_file_moves_little(
    on_s3: tuple[S3Boto3Storage, HTTPProxy],
) -> None:
    storage, front = on_s3
    storage.exists("film.mp4")
    front.requests.clear()
    response = get(storage, "film.mp4", range=f"bytes={40 * MIB}-{40 * MIB + 1023}")
    assert body(response) == bytes(1024)
    assert [each.method for each in front.requests] == ["HEAD", "GET"]
    assert sum(each.bytes_out for each in front.requests) == 1024


def test_compressed_file_is_sent_as_the_client_takes_it(
    on_s3: tuple[S3Boto3Storage, HTTPProxy],
) -> None:
    storage, _ = on_s3
    storage.gzip = True
    storage.gzip_content_types = ("text/plain",)
    storage.save("a.txt", ContentFile(b"content " * 1000))
    plain = get(storage, "a.txt")
    packed = get(storage, "a.txt", accept_encoding="gzip, br")
    assert plain.headers["Content-Length"] == "8000"
    assert body(plain) == b"content " * 1000
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert int(packed.headers["Content-Length"]) < 200
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert body(get(storage, "a.txt", range="bytes=8-14")) == b"content"


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("br;q=0, x-gzip ;q=0.5", True),
        ("deflate,gzip; q=1.0,*;q=0", True),
        ("gzip;q=0", False),
        ("br, gzip ; q=0.000", False),
        ("gzippy", False),
        ("identity", False),
        ("", False),
    ],
)
def test_compressed_file_is_not_sent_to_a_client_that_refuses_gzip(
    on_s3: tuple[S3Boto3Storage, HTTPProxy], accepted: str, is_packed: bool
) -> None:
    storage, _ = on_s3
    storage.gzip = True
    storage.gzip_content_types = ("text/plain",)
    storage.save("a.txt", ContentFile(b"content " * 1000))
    response = get(storage, "a.txt", accept_encoding=accepted)
    assert response.headers["Content-Encoding"] == ("gzip" if is_packed else "identity")
    assert response.headers["Vary"] == "Accept-Encoding"
    body(response)


def test_client_may_be_led_to_a_signed_url(on_s3: tuple[S3Boto3Storage, HTTPProxy]) -> None:
    storage, _ = on_s3
    response = serve(factory.get("/"), "film.mp4", storage, redirect=True)
    assert "X-Amz-Signature=" in response.headers["Location"]


def test_module_names_what_is_public() -> None:
    for name in ("serve", "FileView", "signed_url", "is_signed", "SHOWN_TYPES", "TYPES"):
        assert hasattr(views, name)
