"""Faults of services and networks, and what users of libcloud have reported."""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fasteners
import pytest
from azure.storage.blob import ContentSettings
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from storages.backends.apache_libcloud import LibCloudStorage
from storages.testing.parallel import in_threads
from tests.backends.apache_libcloud.server import (
    PROVIDER,
    Interrupting,
    RawContainer,
    azure_entry,
    local_storage,
    s3_entry,
)
from tests.backends.directory import files_in
from tests.backends.s3boto3.server import RawBucket, Site, error
from tests.servers.azurite import Azurite
from tests.servers.certificates import authority
from tests.servers.http import HTTPProxy
from tests.servers.moto import Moto
from tests.servers.process import Server, refusing_port
from tests.servers.proxy import Proxy

MIB = 1024 * 1024
CHUNK = 5 * MIB  # of libcloud's own
CONTENT = random.Random(1).randbytes(600_000)  # more than is read ahead
MIDDLE = 100_000  # a byte of an exchange that lies past all headers


def content_of(storage: LibCloudStorage, name: str) -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


def on(site: Site, **options: Any) -> LibCloudStorage:
    """Return a storage on moto whose way leads through the site's proxy."""
    entry = s3_entry(site.server, site.front, bucket=site.raw.bucket)
    return LibCloudStorage(**{**entry, **options})


def put(site: Site, name: str, content: bytes) -> None:
    site.raw.put(name, content)


@pytest.fixture
def line(moto: Server) -> Iterator[Proxy]:
    """A bad line to moto."""
    with Proxy(*moto.address) as line:
        yield line


@pytest.fixture
def on_line(site: Site, line: Proxy) -> LibCloudStorage:
    """A storage at the end of the bad line, whose bucket holds a file."""
    put(site, "before.bin", CONTENT)
    return on(site, host=line.host, port=line.port, timeout=1.0, file_overwrite=True)


#: Every way to ask a service.
ASKED: dict[str, Callable[[LibCloudStorage], object]] = {
    "read": lambda storage: content_of(storage, "before.bin"),
    "save": lambda storage: storage.save("a.txt", ContentFile(b"content")),
    "save in parts": lambda storage: storage.save("a.bin", ContentFile(bytes(2 * CHUNK))),
    "exists": lambda storage: storage.exists("before.bin"),
    "size": lambda storage: storage.size("before.bin"),
    "listdir": lambda storage: storage.listdir(""),
    "delete": lambda storage: storage.delete("missing.txt"),
}
each_call = pytest.mark.parametrize("call", ASKED.values(), ids=ASKED.keys())


# 3.0, networks


def test_refused_connection_is_told_without_secrets(site: Site) -> None:  # G1
    storage = on(site, port=refusing_port())
    with pytest.raises(ConnectionRefusedError) as raised:
        storage.exists("a.txt")
    assert "'host'" in str(raised.value)
    assert site.server.secret_key not in str(raised.value)


def test_unknown_host_is_told(site: Site) -> None:  # G2
    with pytest.raises(OSError, match="not known") as raised:
        on(site, host="nowhere.invalid").exists("a.txt")
    assert raised.value.errno == errno.EHOSTUNREACH


@each_call
def test_server_that_says_nothing_is_given_up(
    line: Proxy, on_line: LibCloudStorage, call: Callable[[LibCloudStorage], object]
) -> None:  # G3
    on_line.multipart_threshold = CHUNK
    line.silence()
    with pytest.raises(TimeoutError):
        call(on_line)
    line.drop_connections()
    line.clear()
    call(on_line)


def test_server_that_falls_silent_in_a_download_is_given_up(
    line: Proxy, on_line: LibCloudStorage
) -> None:  # G3
    with on_line.open("before.bin") as file:
        start = file.read(1000)
        line.silence()
        with pytest.raises(TimeoutError):
            file.read()
        line.drop_connections()
        line.clear()
        file.seek(1000)
        assert start + file.read() == CONTENT


@pytest.mark.parametrize(
    ("how", "after", "times"),
    [
        ("reset_peer", MIDDLE, 2),
        ("limit_data", MIDDLE, 1),
        ("limit_data", MIDDLE, None),
        ("limit_data", 100, 2),
    ],
)
def test_broken_download_goes_on_where_it_was(
    line: Proxy, on_line: LibCloudStorage, how: str, after: int, times: int | None
) -> None:  # G5 G6
    getattr(line, how)(after, "down", times=times)
    assert content_of(on_line, "before.bin") == CONTENT


def test_size_is_right_wherever_an_answer_is_cut(line: Proxy, on_line: LibCloudStorage) -> None:
    for position in range(20, 400, 19):  # G6, in the head of an answer
        line.limit_data(position, "down", times=1)
        assert on_line.size("before.bin") == len(CONTENT)
        line.drop_connections()


def test_restarted_server_is_found_again() -> None:  # G9
    if reason := Azurite.available():
        pytest.skip(reason)
    with Azurite(in_memory=False) as server, RawContainer(server) as container:
        storage = LibCloudStorage(**azure_entry(server, bucket=container.name))
        storage.save("a.txt", ContentFile(b"content"))
        server.restart()
        assert content_of(storage, "a.txt") == b"content"
        assert storage.save("b.txt", ContentFile(b"content")) == "b.txt"


def test_connections_closed_while_idle_are_replaced(
    line: Proxy, on_line: LibCloudStorage
) -> None:  # G10
    for call in ASKED.values():
        on_line.exists("before.bin")
        line.drop_connections()
        call(on_line)


def test_content_that_trickles_is_given_up(line: Proxy, on_line: LibCloudStorage) -> None:  # G11
    with on_line.open("before.bin") as file:
        file.read(1000)
        line.bandwidth(200, "down")
        with pytest.raises(TimeoutError):
            file.read()


@each_call
def test_answer_that_trickles_is_given_up(
    line: Proxy, on_line: LibCloudStorage, call: Callable[[LibCloudStorage], object]
) -> None:  # G11
    line.bandwidth(20, "down")
    with pytest.raises(TimeoutError):
        call(on_line)


def test_distant_server_is_only_slower(site: Site, line: Proxy, on_line: LibCloudStorage) -> None:
    line.latency(0.05, "up")  # G12
    line.latency(0.05, "down")
    on_line.multipart_threshold = CHUNK
    for call in ASKED.values():
        call(on_line)
    assert site.raw.get("a.bin") == bytes(2 * CHUNK)


#: Saves until it is told to end.
SAVING = """
import json, sys
from django.conf import settings
from django.core.files.base import ContentFile
settings.configure()
from storages.backends.apache_libcloud import LibCloudStorage
LibCloudStorage(**json.loads(sys.argv[1])).save("before.bin", ContentFile(bytes(30 * 1024**2)))
"""


@pytest.mark.parametrize("threshold", [None, CHUNK], ids=["one request", "parts"])
def test_process_that_is_ended_during_a_save_leaves_the_file(
    site: Site, line: Proxy, threshold: int | None
) -> None:  # G17
    put(site, "before.bin", CONTENT)
    line.bandwidth(6 * MIB, "up")
    entry = s3_entry(site.server, line, bucket=site.raw.bucket, file_overwrite=True)
    given = json.dumps({**entry, "multipart_threshold": threshold})
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", SAVING, given], env=environment) as process:
        while line.bytes_up < MIB and process.poll() is None:
            threading.Event().wait(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    assert site.raw.keys() == ["before.bin"]
    assert site.raw.get("before.bin") == CONTENT


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_reset_before_an_answer_is_asked_again(site: Site, method: str) -> None:  # G4
    put(site, "a.txt", b"content")
    site.front.reset(method=method, forward=False)
    storage = on(site)
    assert storage.size("a.txt") == 7
    assert content_of(storage, "a.txt") == b"content"
    assert storage.listdir("") == ([], ["a.txt"])


def test_reset_in_an_upload_begins_it_anew(site: Site) -> None:  # G7
    content = b"c" * (3 * MIB)
    site.front.reset(method="PUT", forward=False)
    assert on(site).save("a.txt", ContentFile(content)) == "a.txt"
    assert site.raw.get("a.txt") == content


@pytest.mark.parametrize("overwrite", [True, False])
def test_lost_answer_to_a_save_ends_in_one_file(site: Site, overwrite: bool) -> None:  # G8
    site.front.reset(method="PUT", forward=True)
    storage = on(site, file_overwrite=overwrite)
    assert storage.save("a.txt", ContentFile(b"content")) == "a.txt"
    assert site.raw.names() == ["a.txt"]


def test_name_taken_by_another_with_equal_content_after_a_busy_answer_is_not_ours(
    site: Site,
) -> None:
    storage = on(site, file_overwrite=False)
    put(site, "a.txt", b"content")
    # The look before the save does not see the other's file yet.
    site.front.answer(404, method="HEAD")
    site.front.answer(503, method="PUT")
    name = storage.save("a.txt", ContentFile(b"content"))
    assert name != "a.txt"
    assert sorted(site.raw.names()) == sorted(["a.txt", name])


def test_segments_of_a_byte_are_put_together(site: Site) -> None:  # G13
    put(site, "a.txt", b"content" * 100)
    with Proxy(*site.server.address) as line:
        line.slicer(1)
        storage = on(site, host=line.host, port=line.port)
        assert content_of(storage, "a.txt") == b"content" * 100
        assert storage.listdir("") == ([], ["a.txt"])


@pytest.mark.parametrize("kind", ["expired", "wrong_host", "self_signed"])
def test_bad_certificate_is_refused(site: Site, kind: str) -> None:  # G15
    certificate = getattr(authority(), kind)
    with HTTPProxy(*site.server.address, tls=certificate.server_context()) as front:
        options = {"host": front.host, "port": front.port, "secure": True}
        with pytest.raises(OSError, match="certificate"):
            on(site, **options, ca_certs=str(authority().ca_file)).exists("a.txt")
        with pytest.raises(OSError, match="certificate"):
            on(site, **options).exists("a.txt")


# 3.2, libcloud


@pytest.mark.parametrize("status", [500, 503, 429])
def test_busy_service_is_asked_again(site: Site, status: int) -> None:  # L1
    storage = on(site)
    for method in ("PUT", "HEAD", "GET", "DELETE"):
        site.front.answer(status, method=method, times=2)
    storage.save("a.txt", ContentFile(b"content"))
    assert storage.exists("a.txt")
    assert content_of(storage, "a.txt") == b"content"
    storage.delete("a.txt")
    assert site.raw.names() == []


def test_service_that_stays_busy_is_an_error_in_the_end(site: Site) -> None:  # L1
    site.front.answer(503, error("SlowDown"), times=None)
    with pytest.raises(OSError, match="fewer requests"):
        on(site).exists("a.txt")
    assert len(site.front.requests) <= 8


def test_refused_credentials_are_a_permission_error(site: Site) -> None:  # L2
    site.front.answer(403, error("InvalidAccessKeyId"), times=None)
    for call in (lambda s: s.exists("a.txt"), lambda s: s.listdir("")):
        with pytest.raises(PermissionError, match="'user' and 'key'"):
            call(on(site))


def test_failed_part_leaves_nothing(site: Site) -> None:  # L3
    storage = on(site, multipart_threshold=CHUNK)
    put(site, "a.txt", b"old")
    site.front.answer(403, error("AccessDenied"), method="PUT", path="partNumber=2", times=None)
    with pytest.raises(OSError, match="credentials are refused"):
        storage.save("a.txt", ContentFile(b"c" * (CHUNK + 1)))
    assert site.raw.names() == ["a.txt"]
    assert site.raw.get("a.txt") == b"old"
    assert site.raw.uploads() == []


def test_file_over_the_threshold_is_sent_in_parts_and_read_whole(site: Site) -> None:  # L4
    content = random_bytes(2 * CHUNK + 1)
    storage = on(site, multipart_threshold=CHUNK)
    storage.save("a.bin", ContentFile(content))
    assert site.raw.get("a.bin") == content
    assert len(site.sent("PUT", "partNumber=")) == 3
    assert content_of(storage, "a.bin") == content
    assert site.raw.head("a.bin")["ContentType"] == "application/octet-stream"


def test_large_file_is_not_sent_where_its_name_is_taken(site: Site) -> None:
    put(site, "a.bin", b"old")
    storage = on(site, multipart_threshold=CHUNK)
    site.front.answer(404, method="HEAD")
    file = storage.open("a.bin", "xb")
    file.write(b"c" * (CHUNK + 1))
    with pytest.raises(FileExistsError):
        file.close()
    assert site.sent("POST") == []
    assert site.raw.get("a.bin") == b"old"


#: The request that ends an upload in parts.
END = r"\?uploadId="


def test_large_file_leaves_a_name_that_another_took_meanwhile(weed: Site) -> None:
    host, port = weed.server.address
    with Interrupting(host, port, END, lambda: weed.raw.put("a.bin", b"another's")) as line:
        entry = s3_entry(weed.server, line, bucket=weed.raw.bucket)
        storage = LibCloudStorage(**entry, multipart_threshold=CHUNK, file_overwrite=False)
        name = storage.save("a.bin", ContentFile(b"c" * (CHUNK + 1)))
    assert name != "a.bin"
    assert weed.raw.get("a.bin") == b"another's"
    assert weed.raw.get(name) == b"c" * (CHUNK + 1)
    assert weed.raw.uploads() == []


@pytest.mark.parametrize("overwrite", [True, False])
def test_large_file_whose_last_answer_is_lost_is_one_file(site: Site, overwrite: bool) -> None:
    storage = on(site, multipart_threshold=CHUNK, file_overwrite=overwrite)
    site.front.reset(method="POST", path=END)
    assert storage.save("a.bin", ContentFile(b"c" * (CHUNK + 1))) == "a.bin"
    assert site.raw.get("a.bin") == b"c" * (CHUNK + 1)
    assert site.raw.names() == ["a.bin"]
    assert site.raw.uploads() == []


@pytest.mark.parametrize("status", [200, 403])
def test_large_file_whose_end_is_refused_leaves_nothing(site: Site, status: int) -> None:
    """A service begins to answer such a request with 200 before it is done."""
    put(site, "a.bin", b"old")
    storage = on(site, multipart_threshold=CHUNK, file_overwrite=True)
    site.front.answer(status, b"\n \n" + error("InternalError"), method="POST", path=END)
    with pytest.raises(OSError, match=r"InternalError|refused"):
        storage.save("a.bin", ContentFile(b"c" * (CHUNK + 1)))
    assert site.raw.get("a.bin") == b"old"
    assert site.raw.uploads() == []


def test_lock_of_libcloud_s_own_holds_nobody_up(tmp_path: Path) -> None:  # L5
    storage = local_storage(tmp_path)
    path = str(tmp_path / "container/a.txt")
    name = f"/tmp/{hashlib.sha256(path.encode()).hexdigest()}.lock"
    with fasteners.InterProcessLock(name):
        storage.save("a.txt", ContentFile(b"content"))
        assert content_of(storage, "a.txt") == b"content"
    Path(name).unlink()


def test_full_disk_leaves_the_old_file(tmp_path: Path) -> None:  # L6
    storage = local_storage(tmp_path)
    storage.save("a.txt", ContentFile(b"old"))
    with largest_file(MIB), pytest.raises(OSError, match="File too large"):
        storage.save("a.txt", ContentFile(b"n" * 2 * MIB))
    assert content_of(storage, "a.txt") == b"old"
    assert sorted(files_in(tmp_path)) == ["container/a.txt"]


# What users have reported


def test_netrc_does_not_replace_the_credentials(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # report 0
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {site.front.host}\nlogin other\npassword wrong\n")
    monkeypatch.setenv("NETRC", str(netrc))
    on(site).exists("a.txt")
    on(site).save("a.txt", ContentFile(b""))
    for request in site.front.requests:
        assert request.headers["Authorization"].startswith("AWS4-HMAC-SHA256 ")


def test_two_entries_of_one_type_keep_their_hosts_and_regions(site: Site) -> None:  # report 1
    with (
        Moto() as other,
        RawBucket(other, site.raw.bucket),
        HTTPProxy(*other.address) as front,
    ):
        first = on(site, type=f"{PROVIDER}MINIO", region="gra", timeout=5)
        second = on(site, type=f"{PROVIDER}MINIO", host="localhost", port=front.port, region="rbx")
        first.save("a.txt", ContentFile(b"first"))
        second.save("a.txt", ContentFile(b"second"))
        assert content_of(first, "a.txt") == b"first"
        assert content_of(second, "a.txt") == b"second"
        assert {scope(each) for each in site.front.requests} == {"gra"}
        assert {scope(each) for each in front.requests} == {"rbx"}
        assert {each.headers["Host"] for each in front.requests} == {f"localhost:{front.port}"}


@pytest.mark.parametrize(
    ("kind", "regions"), [("SCALEWAY", ("fr-par", "nl-ams")), ("OVH", ("sbg", "gra"))]
)
def test_driver_keeps_its_host_when_another_region_s_is_made(
    kind: str, regions: tuple[str, str]
) -> None:  # report 1
    options = {"type": PROVIDER + kind, "user": "me", "key": "secret", "bucket": "b"}
    first, second = (LibCloudStorage(**options, region=each) for each in regions)
    before = first.url("a.txt").partition("?")[0]
    assert second.url("a.txt").partition("?")[0] != before
    assert first.url("a.txt").partition("?")[0] == before


def test_etag_that_is_no_digest_is_no_error(site: Site) -> None:  # report 2
    site.front.answer(200, headers={"ETag": '"4d-5"'}, method="PUT", forward=True)
    on(site).save("a.txt", ContentFile(b"content"))
    assert site.raw.get("a.txt") == b"content"


def test_missing_container_is_told_as_such(site: Site) -> None:  # report 2
    storage = on(site, bucket="no-such-bucket")
    for call in CALLS:
        with pytest.raises(OSError, match="'bucket'") as raised:
            call(storage)
        assert raised.value.errno == errno.ENXIO


@pytest.mark.parametrize("name", ["../b2/x", "a/../../b2/x", "/b2/x", "..\\b2\\x"])
def test_name_that_leaves_the_container_is_refused_before_any_request(
    site: Site, name: str
) -> None:  # report 4
    storage = on(site)
    for call in (storage.open, storage.exists, storage.delete, storage.size):
        with pytest.raises(SuspiciousFileOperation):
            call(name)
    assert site.front.requests == []


@pytest.mark.parametrize("bucket", ["..", ".", "a/b", "a\\b", ""])
def test_container_name_that_is_a_path_is_refused(tmp_path: Path, bucket: str) -> None:  # report 4
    with pytest.raises(Exception, match="'bucket'"):
        local_storage(tmp_path, bucket=bucket).exists("a.txt")


def test_link_out_of_the_container_is_not_followed(tmp_path: Path) -> None:  # report 5
    storage = local_storage(tmp_path)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "other").mkdir()
    (tmp_path / "container/link.txt").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "container/way").symlink_to(tmp_path / "other")
    for call in (storage.open, storage.size, storage.get_modified_time):
        with pytest.raises(PermissionError):
            call("link.txt")
    directories, files = storage.listdir("")
    assert not directories
    assert sorted(files) == ["link.txt", "way"]
    with pytest.raises(PermissionError):
        storage.save("way/a.txt", ContentFile(b"planted"))
    with pytest.raises(PermissionError):
        storage.listdir("way")
    storage.save("link.txt", ContentFile(b"new"))
    assert (tmp_path / "secret.txt").read_text() == "secret"
    assert sorted(files_in(tmp_path / "other")) == []
    assert content_of(storage, "link.txt") == b"new"


def test_no_lock_file_is_left(tmp_path: Path) -> None:  # report 6
    storage = local_storage(tmp_path)
    before = set(Path("/tmp").glob("*.lock"))
    storage.save("a.txt", ContentFile(b"content"))
    content_of(storage, "a.txt")
    storage.delete("a.txt")
    path = str(tmp_path / "container/a.txt")
    lock = Path("/tmp", f"{hashlib.sha256(path.encode()).hexdigest()}.lock")
    assert lock not in set(Path("/tmp").glob("*.lock")) - before


def test_dangling_link_does_not_break_a_listing(tmp_path: Path) -> None:  # report 8
    storage = local_storage(tmp_path)
    storage.save("a.txt", ContentFile(b"content"))
    (tmp_path / "container/dangling").symlink_to(tmp_path / "nothing")
    assert "a.txt" in storage.listdir("")[1]


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "ExpiredToken", PermissionError),
        (403, "AccessDenied", PermissionError),
        (409, "OperationAborted", OSError),
        (503, "SlowDown", OSError),
        (301, "PermanentRedirect", OSError),
    ],
)
def test_only_404_means_that_there_is_no_file(
    site: Site, status: int, code: str, kind: type[OSError]
) -> None:  # report 9
    put(site, "a.txt", b"content")
    site.front.answer(status, method="HEAD", times=None)
    site.front.answer(status, error(code), method="GET", times=None)
    with pytest.raises(kind) as raised:
        on(site).exists("a.txt")
    assert not isinstance(raised.value, FileNotFoundError)


@pytest.mark.parametrize("status", [400, 403, 409, 503])
def test_refused_head_is_not_a_missing_file_whatever_else_is_answered(
    site: Site, status: int
) -> None:  # report 9
    site.front.answer(status, method="HEAD", times=None)
    with pytest.raises(OSError, match=r".") as raised:
        on(site).exists("missing.txt")
    assert not isinstance(raised.value, FileNotFoundError)


def test_expired_token_is_told_as_such(site: Site) -> None:  # report 9
    site.front.answer(400, method="HEAD")
    site.front.answer(400, error("ExpiredToken"), method="GET")
    with pytest.raises(PermissionError, match="have expired"):
        on(site, token="old").exists("a.txt")


def test_redirect_is_not_followed(site: Site) -> None:
    with HTTPProxy(*site.server.address) as elsewhere:
        site.front.answer(307, headers={"Location": f"{elsewhere.url}/x"}, times=None)
        with pytest.raises(OSError, match="'region'"):
            on(site).save("a.txt", ContentFile(b"content"))
        assert elsewhere.requests == []


def test_range_answered_by_the_whole_file_is_skipped_to_its_place(site: Site) -> None:  # report 12
    content = random_bytes(MIB)
    put(site, "a.bin", content)
    with on(site).open("a.bin") as file:
        site.front.answer(200, content, {"ETag": etag(content)}, method="GET")
        file.seek(700_000)
        assert file.read(10) == content[700_000:700_010]


def test_range_of_another_place_is_refused(site: Site) -> None:  # report 12
    content = random_bytes(MIB)
    put(site, "a.bin", content)
    headers = {"ETag": etag(content), "Content-Range": f"bytes 0-99/{MIB}"}
    with on(site).open("a.bin") as file:
        site.front.answer(206, content[:100], headers, method="GET")
        file.seek(700_000)
        with pytest.raises(OSError, match="replaced"):
            file.read(10)


def test_file_replaced_while_it_is_read_is_an_error(site: Site) -> None:
    put(site, "a.bin", b"1" * MIB)
    with on(site).open("a.bin") as file:
        assert file.read(1) == b"1"
        put(site, "a.bin", b"2" * MIB)
        file.seek(700_000)
        with pytest.raises(OSError, match="replaced") as raised:
            file.read(10)
    assert raised.value.errno == errno.ESTALE


# AZURE_BLOBS


def on_azure(container: RawContainer, place: Any = None, **options: Any) -> LibCloudStorage:
    entry = azure_entry(container.server, place, bucket=container.name)
    return LibCloudStorage(**{**entry, **options})


def test_parallel_saves_in_blocks_end_in_the_content_of_one(
    container: RawContainer,
) -> None:  # report 13
    storage = on_azure(container, multipart_threshold=MIB)
    contents = [bytes([48 + index]) * (20 * MIB) for index in range(3)]
    in_threads(3, lambda index: storage.save("a.bin", ContentFile(contents[index])))
    assert container.get("a.bin") in contents
    assert container.names() == ["a.bin"]


def test_save_in_blocks_is_whole_after_another_in_between(
    container: RawContainer,
) -> None:  # report 13
    other = on_azure(container, multipart_threshold=MIB)

    def change() -> None:
        other.save("a.bin", ContentFile(b"2" * (9 * MIB)))

    with Interrupting(*container.server.address, "comp=blocklist", change) as front:
        storage = on_azure(container, front, multipart_threshold=MIB)
        storage.save("a.bin", ContentFile(b"1" * (9 * MIB)))
    assert container.get("a.bin") == b"1" * (9 * MIB)


def test_threads_of_one_storage_get_their_own_answers(container: RawContainer) -> None:  # report 14
    storage = on_azure(container)

    def work(index: int) -> None:
        for number in range(10):
            content = f"{index} {number} ".encode() * 1000
            storage.save(f"{index}.txt", ContentFile(content))
            assert content_of(storage, f"{index}.txt") == content

    in_threads(8, work)


def test_netrc_does_not_replace_the_signature_of_azure(
    container: RawContainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # report 0
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1\nlogin other\npassword wrong\n")
    storage = on_azure(container)
    with monkeypatch.context() as changed:
        changed.setenv("NETRC", str(netrc))
        storage.save("a.txt", ContentFile(b"content"))
        assert content_of(storage, "a.txt") == b"content"


def test_lost_answer_of_azure_ends_in_one_blob(container: RawContainer) -> None:
    for threshold in (MIB, 1):
        with HTTPProxy(*container.server.address) as front:
            front.reset(method="PUT", path="a.txt(\\?comp=blocklist|$)", forward=True)
            storage = on_azure(
                container, front, file_overwrite=False, multipart_threshold=threshold
            )
            assert storage.save("a.txt", ContentFile(b"content")) == "a.txt"
        assert container.names() == ["a.txt"]
        container.client.delete_blob("a.txt")


@pytest.mark.parametrize("name", ["file.", "dir./a.txt", "a" * 1025, "/".join("a" * 255)])
def test_name_that_azure_rewrites_or_refuses_is_refused(container: RawContainer, name: str) -> None:
    with HTTPProxy(*container.server.address) as front:
        storage = on_azure(container, front)
        for call in (storage.exists, storage.open, lambda n: storage.save(n, ContentFile(b""))):
            with pytest.raises(SuspiciousFileOperation):
                call(name)
        assert front.requests == []


def test_missing_container_of_azure_is_told_as_such(container: RawContainer) -> None:
    storage = on_azure(container, bucket="no-such-container")
    for call in CALLS:
        with pytest.raises(OSError, match="'bucket'") as raised:
            call(storage)
        assert raised.value.errno == errno.ENXIO


def test_wrong_key_of_azure_is_a_permission_error(container: RawContainer) -> None:  # L2
    storage = on_azure(container, key="d3Jvbmc=")
    for call in CALLS:
        with pytest.raises(PermissionError, match="'key'"):
            call(storage)


def test_directory_of_an_account_with_real_ones_is_listed_once(container: RawContainer) -> None:
    container.put("dir", b"", metadata={"hdi_isfolder": "true"})
    container.put("dir/a.txt", b"content")
    storage = on_azure(container)
    assert storage.listdir("") == (["dir"], [])
    assert storage.listdir("dir") == ([], ["a.txt"])


def test_blob_labelled_gzip_is_read_as_what_was_packed(container: RawContainer) -> None:
    packed = gzip.compress(b"content" * 1000)
    settings = ContentSettings(content_encoding="gzip")
    container.put("a.txt", packed, content_settings=settings)
    storage = on_azure(container)
    assert storage.size("a.txt") == len(packed)
    assert content_of(storage, "a.txt") == b"content" * 1000


# What the tests stand on

CALLS: tuple[Callable[[Storage], object], ...] = (
    lambda storage: storage.exists("a.txt"),
    lambda storage: storage.open("a.txt"),
    lambda storage: storage.save("a.txt", ContentFile(b"content")),
    lambda storage: storage.listdir(""),
    lambda storage: storage.size("a.txt"),
)


def random_bytes(size: int) -> bytes:
    return (hashlib.sha512(b"seed").digest() * (size // 64 + 1))[:size]


def etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


def scope(request: Any) -> str:
    """Return the region that a request was signed for."""
    credential: str = request.headers["Authorization"].split("Credential=")[1]
    return credential.split("/")[2]


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let this process write no file of more bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
