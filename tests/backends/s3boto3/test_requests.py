"""How many requests the S3 backend makes, and how much it moves."""

from __future__ import annotations

import io
import itertools
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import django
import pytest
from botocore.stub import Stubber
from django.core.files.base import ContentFile
from django.core.management import call_command

from storages.backends.s3boto3 import S3Boto3Storage
from tests.backends.s3boto3.server import Site, unshared

KIB = 1024
MIB = 1024 * KIB


#: Django 4.2's override_settings drops the OPTIONS of `default` and `staticfiles`.
with_options = pytest.mark.skipif(
    django.VERSION < (5,), reason="impossible: Django 4.2 drops these options in tests"
)


def methods(site: Site) -> list[str]:
    """Return the methods of the requests so far, listings by that name."""
    return ["LIST" if "list-type" in each.target else each.method for each in site.sent()]


def save(storage: S3Boto3Storage, size: int = 7, name: str = "a.txt") -> str:
    return storage.save(name, ContentFile(bytes(size)))


def read(storage: S3Boto3Storage) -> bytes:
    with storage.open("a.txt") as file:
        content: bytes = file.read()
    return content


@pytest.mark.parametrize("size", [0, 7, 8 * MIB])
def test_save_of_up_to_eight_mebibytes_is_one_request(weed: Site, size: int) -> None:
    save(weed.storage(), size)
    assert methods(weed) == ["PUT"]
    assert weed.only().bytes_in == size


@pytest.mark.parametrize("is_hooked", [False, True], ids=["ours", "boto3's"])
def test_leave_to_send_is_asked_for_large_bodies_alone(weed: Site, is_hooked: bool) -> None:
    storage = weed.storage(client_config=unshared())
    if is_hooked:
        storage.client.meta.events.register("before-sign.s3.PutObject", lambda **_: None)
    for size in (7, 0, 7, 2 * MIB, 7):
        save(storage, size)
    asked = [each.headers.get("Expect") for each in weed.sent("PUT")]
    assert asked == [None, None, None, "100-continue", None]


def test_save_under_a_free_name_is_one_request(weed: Site) -> None:
    storage = weed.storage(file_overwrite=False)
    # The first save of a process finds out whether the service refuses what it has to.
    save(storage, name="first.txt")
    weed.front.clear()
    save(storage)
    assert methods(weed) == ["PUT"]


def test_service_that_replaces_what_it_should_not_is_asked_for_each_name(site: Site) -> None:
    storage = site.storage(file_overwrite=False, client_config=unshared())

    def strip(request: Any, **_: Any) -> None:
        del request.headers["If-None-Match"]

    storage.client.meta.events.register("before-sign.s3.PutObject", strip)
    site.raw.put("a.txt", b"another's")
    names = {save(storage) for _ in range(3)}
    assert len(names | {"a.txt"}) == 4
    assert site.raw.get("a.txt") == b"another's"


@pytest.mark.parametrize("endpoint", [None, "https://0123.eu.r2.cloudflarestorage.com"])
def test_save_to_aws_or_r2_is_one_request_from_the_first_on(endpoint: str | None) -> None:
    options = {"access_key": "k", "secret_key": "s", "client_config": unshared()}
    options["endpoint_url"] = endpoint
    storage = S3Boto3Storage(bucket_name="b", region_name="eu-west-1", **options)
    storage.file_overwrite = False
    with Stubber(storage.client) as stubber:
        stubber.add_response("put_object", {})
        assert save(storage) == "a.txt"
        stubber.assert_no_pending_responses()


def test_save_calls_little_python_before_boto3(
    site: Site, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What the signatures of a second share is computed once in it, and no part of each save.
    monkeypatch.setattr("time.time", itertools.repeat(time.time()).__next__)
    options = site.options()
    for name in ("access_key", "secret_key", "endpoint_url", "region_name"):
        names = {"access_key": "ACCESS_KEY_ID", "secret_key": "SECRET_ACCESS_KEY"}
        setattr(settings, f"AWS_S3_{names.get(name, name.upper())}", options[name])
    settings.AWS_STORAGE_BUCKET_NAME = options["bucket_name"]
    storage = S3Boto3Storage(file_overwrite=False)
    save(storage, name="warm.txt")
    count = 0

    def profile(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        if frame.f_code.co_name in {"_make_api_call", "send"}:
            sys.setprofile(None)
        count += event == "call"

    content = ContentFile(b"content")
    sys.setprofile(profile)
    try:
        storage.save("a.txt", content)
    finally:
        sys.setprofile(None)
    # Half of what it once was. The share of the standard library differs between Pythons.
    assert count <= 188


def test_save_under_a_taken_name_is_two_requests(weed: Site) -> None:
    storage = weed.storage(file_overwrite=False)
    save(storage, name="first.txt")
    weed.front.clear()
    weed.raw.put("a.txt", b"another's")
    assert save(storage) != "a.txt"
    assert methods(weed) == ["PUT", "PUT"]


def test_save_of_a_large_file_under_a_unique_name_looks_for_a_free_one_first(weed: Site) -> None:
    weed.raw.put("a.txt", b"another's")
    assert save(weed.storage(file_overwrite=False), 11 * MIB) != "a.txt"
    assert methods(weed) == ["LIST", "LIST", "POST", "PUT", "PUT", "PUT", "POST"]


def test_save_under_a_name_of_the_project_s_own_choice_asks_for_it(weed: Site) -> None:
    class Own(S3Boto3Storage):
        def get_available_name(self, name: Any, max_length: int | None = None) -> str:
            return super().get_available_name(f"own/{name}", max_length)

    storage = Own(**weed.options(file_overwrite=False))
    save(storage, name="first.txt")
    weed.front.clear()
    assert save(storage) == "own/a.txt"
    assert methods(weed) == ["LIST", "PUT"]


def test_save_in_parts_is_a_request_for_each_and_two(weed: Site) -> None:
    save(weed.storage(), 11 * MIB)
    assert methods(weed) == ["POST", "PUT", "PUT", "PUT", "POST"]


@pytest.mark.parametrize("size", [1, 7, 256 * KIB])
def test_reading_what_fits_the_read_ahead_is_one_request(weed: Site, size: int) -> None:
    weed.raw.put("a.txt", bytes(size))
    storage = weed.storage()
    with storage.open("a.txt") as file:
        assert (file.size, len(file.read())) == (size, size)
    assert methods(weed) == ["GET"]


def test_reading_an_empty_file_is_two_requests_at_most(weed: Site) -> None:
    weed.raw.put("a.txt", b"")
    assert read(weed.storage()) == b""
    assert len(weed.sent()) <= 2


def test_reading_a_large_file_is_two_requests(weed: Site) -> None:
    weed.raw.put("a.txt", bytes(3 * MIB))
    assert len(read(weed.storage())) == 3 * MIB
    assert methods(weed) == ["GET", "GET"]
    assert sum(each.bytes_out for each in weed.sent()) == 3 * MIB


def test_reading_the_start_of_a_huge_file_moves_little_more(weed: Site) -> None:
    weed.raw.put("a.txt", bytes(64 * MIB))
    with weed.storage().open("a.txt") as file:
        file.read(64 * KIB)
    assert methods(weed) == ["GET"]
    assert weed.only().bytes_out <= 512 * KIB


def test_reading_here_and_there_moves_what_is_read(weed: Site) -> None:
    weed.raw.put("a.txt", bytes(16 * MIB))
    with weed.storage().open("a.txt") as file:
        for position in (12 * MIB, 4 * MIB):
            file.seek(position)
            file.read(1)
    assert methods(weed) == ["GET", "GET", "GET"]


@pytest.mark.parametrize(
    "ask",
    [
        lambda storage: storage.size("a.txt"),
        lambda storage: storage.get_modified_time("a.txt"),
    ],
    ids=["size", "get_modified_time"],
)
def test_look_up_is_one_request(weed: Site, ask: Callable[[S3Boto3Storage], object]) -> None:
    weed.raw.put("a.txt", b"content")
    ask(weed.storage())
    assert methods(weed) == ["HEAD"]


def test_asking_whether_a_name_exists_is_one_request(weed: Site) -> None:
    for name in ("a.txt", "dir/b.txt", "dir-1", "dir.txt", "dir2/c"):
        weed.raw.put(name, b"content")
    storage = weed.storage()
    found = {name: storage.exists(name) for name in ("a.txt", "dir", "a", "dir/b", "b", "dir2/c")}
    assert found == {
        "a.txt": True,
        "dir": True,
        "a": False,
        "dir/b": False,
        "b": False,
        "dir2/c": True,
    }
    assert methods(weed) == ["LIST"] * 6


def test_directory_that_sorts_behind_many_names_is_found(site: Site) -> None:
    site.raw.plant(["dir/a.txt", *(f"dir-{number}" for number in range(50))])
    assert site.storage().exists("dir") is True
    assert len(methods(site)) <= 2


@with_options
def test_collectstatic_of_new_files_is_a_listing_and_a_request_for_each(
    weed: Site, tmp_path: Path, settings: Any
) -> None:
    for number in range(10):
        (tmp_path / f"{number}.css").write_text("body {}")
    settings.STATICFILES_DIRS = [tmp_path]
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    place = {"BACKEND": "storages.backends.s3boto3.S3StaticStorage", "OPTIONS": weed.options()}
    settings.STORAGES = {**settings.STORAGES, "staticfiles": place}
    call_command("collectstatic", interactive=False, verbosity=0)
    assert sorted(methods(weed)) == ["LIST"] + ["PUT"] * 10


def test_delete_is_one_request(weed: Site) -> None:
    weed.raw.put("a.txt", b"content")
    weed.storage().delete("a.txt")
    assert methods(weed) == ["DELETE"]


def page(number: int, last: int) -> bytes:
    """Return a page of a listing of a thousand keys, as S3 sends it."""
    keys = "".join(
        f"<Contents><Key>dir/{number:02}-{each:03}</Key><Size>1</Size></Contents>"
        for each in range(1000)
    )
    more = f"<NextContinuationToken>after {number}</NextContinuationToken>" if number < last else ""
    truncated = str(number < last).lower()
    return (
        f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{more}{keys}</ListBucketResult>"
    ).encode()


def test_listing_of_ten_thousand_files_is_ten_requests(weed: Site) -> None:
    for number in range(10):
        weed.front.answer(200, page(number, 9), {"Content-Type": "application/xml"})
    directories, files = weed.storage().listdir("dir")
    assert (directories, len(set(files)), len(files)) == ([], 10_000, 10_000)
    queries = [parse_qs(urlsplit(each.target).query) for each in weed.sent()]
    tokens = [each.get("continuation-token", [""])[0] for each in queries]
    assert tokens == ["", *(f"after {number}" for number in range(9))]
    assert {each["prefix"][0] for each in queries} == {"dir/"}


def test_list_of_a_thousand_files_is_listings_only(site: Site, settings: Any) -> None:
    site.raw.plant(f"dir/{number:04}.txt" for number in range(1001))
    entry = {"BACKEND": "storages.backends.s3boto3.S3Boto3Storage", "OPTIONS": site.options()}
    settings.STORAGES = {**settings.STORAGES, "files": entry}
    out = io.StringIO()
    call_command("storages_list", "files", recursive=True, stdout=out)
    assert out.getvalue().count(".txt") == 1001
    assert methods(site) == ["LIST", "LIST"]


def test_url_is_no_request(weed: Site) -> None:
    weed.storage().url("a.txt")
    weed.storage(querystring_auth=False).url("a.txt")
    weed.storage(custom_domain="cdn.example").url("a.txt")
    assert weed.sent() == []


def test_hundred_storages_of_one_configuration_share_a_client(weed: Site) -> None:
    options: dict[str, Any] = {"client_config": {"s3": {"addressing_style": "path"}}}
    weed.storage(**options).exists("a.txt")
    tracemalloc.start()
    try:
        storages = [weed.storage(**options) for _ in range(100)]
        for storage in storages:
            storage.exists("a.txt")
        assert tracemalloc.get_traced_memory()[0] < 5 * MIB
    finally:
        tracemalloc.stop()
    assert len({id(storage.connection) for storage in storages}) == 1


def test_storages_of_other_configurations_have_clients_of_their_own(weed: Site) -> None:
    ours = weed.storage().connection
    for options in ({"region_name": "eu-west-3"}, {"verify": False}, {"access_key": "another"}):
        assert weed.storage(**options).connection is not ours, options
    # Neither bucket nor location make a client another.
    for options in ({"bucket_name": "other"}, {"location": "loc"}, {"file_overwrite": False}):
        assert weed.storage(**options).connection is ours, options
