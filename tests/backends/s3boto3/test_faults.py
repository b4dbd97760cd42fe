"""What the S3 backend does where the network, the service or the account are bad.

Each fault is shown to end, to leave what was stored before, to leave nothing half done, to be told
without a secret, and to be over for the same storage once it is gone.
"""

from __future__ import annotations

import errno
import os
import random
import re
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

import pytest
from botocore.config import Config
from django.core.files.base import ContentFile, File

from storages.backends._s3.errors import ERRORS
from storages.backends.s3boto3 import S3Boto3Storage
from storages.testing.sources import Interrupted
from tests.backends.s3boto3.server import DENIED, RawBucket, Site, account, error, locate, unshared
from tests.servers.certificates import Certificate, authority
from tests.servers.http import HTTPProxy
from tests.servers.process import HOST, Server, refusing_port
from tests.servers.proxy import Proxy
from tests.servers.seaweedfs import SeaweedFS

MIB = 1024 * 1024
CONTENT = random.Random(1).randbytes(600_000)  # more than is read ahead
LARGE = random.Random(2).randbytes(11 * MIB)  # three parts

ATTEMPTS = 3
CONFIG = Config(
    retries={"mode": "standard", "total_max_attempts": ATTEMPTS}, connect_timeout=5, read_timeout=20
)
#: For servers that say nothing.
SHORT = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=2)


@pytest.fixture(autouse=True)
def delay() -> Iterator[mock.Mock]:
    """Let boto3's back-off take no time, and say how often there was one.

    A client that met many faults gives up sooner, and the tests share one: each may try in full.
    """
    with (
        mock.patch(
            "botocore.retries.standard.ExponentialBackoff.delay_amount", return_value=0.0
        ) as delay,
        mock.patch("botocore.retries.quota.RetryQuota.acquire", return_value=True),
    ):
        yield delay


@pytest.fixture(scope="module")
def lasting_line(seaweedfs: Server) -> Iterator[Proxy]:
    with Proxy(*seaweedfs.address) as line:
        yield line


@pytest.fixture
def line(lasting_line: Proxy) -> Iterator[Proxy]:
    """A bad line to SeaweedFS."""
    yield lasting_line
    # What it holds back would reach the bucket of the next test.
    lasting_line.drop_connections()
    lasting_line.clear()


@pytest.fixture
def on_line(weed: Site, line: Proxy) -> S3Boto3Storage:
    """A storage at the end of the bad line, whose bucket holds a file."""
    weed.raw.put("before.bin", CONTENT)
    storage = weed.storage(endpoint_url=locate(line), client_config=CONFIG)
    # The client is shared by all tests: what the one before broke must not count as a fault here.
    storage.close()
    return storage


@pytest.fixture
def scripted(weed: Site) -> S3Boto3Storage:
    """A storage that asks the proxy of `weed`, whose bucket holds a file."""
    weed.raw.put("before.bin", CONTENT)
    return weed.storage(client_config=CONFIG)


def save(storage: S3Boto3Storage, name: str = "a.txt", content: bytes = b"content") -> str:
    return storage.save(name, ContentFile(content))


def read(storage: S3Boto3Storage, name: str = "before.bin") -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


#: Every way to ask the service, and which request it sends first.
CALLS: dict[str, Callable[[S3Boto3Storage], object]] = {
    "read": read,
    "save": lambda storage: save(storage, "before.bin"),
    "save in parts": lambda storage: save(storage, "before.bin", LARGE),
    "save under a free name": lambda storage: save(unique(storage)),
    "exists": lambda storage: storage.exists("before.bin"),
    "size": lambda storage: storage.size("before.bin"),
    "get_modified_time": lambda storage: storage.get_modified_time("before.bin"),
    "listdir": lambda storage: storage.listdir("dir"),
    "delete": lambda storage: storage.delete("before.bin"),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())


def unique(storage: S3Boto3Storage) -> S3Boto3Storage:
    """Return the same storage, of the kind that overwrites nothing."""
    storage.file_overwrite = False
    return storage


@contextmanager
def failing(
    site: Site, kind: type[OSError] | int, says: str | None = None, stored: Sequence[str] = ()
) -> Iterator[None]:
    """Assert that a call fails as it should, and leaves things as they were.

    ``kind`` is the class of the error or its errno, ``says`` a pattern of its text, ``stored`` what
    may be there besides what was.
    """
    with pytest.raises(OSError, match=says) as raised:
        yield
    error = raised.value
    if isinstance(kind, int):
        assert error.errno == kind, error
    else:
        assert type(error) is kind, error
    assert isinstance(error.__cause__, ERRORS)
    assert error.filename in {"before.bin", "a.txt", "dir", *stored}
    text = "".join(traceback.format_exception(error))
    assert site.server.secret_key not in text
    assert "X-Amz-Signature" not in text
    assert set(site.raw.names()) <= {"before.bin", *stored}
    assert site.raw.get("before.bin") == CONTENT


def assert_works(site: Site, storage: S3Boto3Storage, content: bytes = b"content") -> None:
    """Assert that a storage is none the worse for what it went through."""
    assert read(storage) == CONTENT
    name = save(storage, "after.bin", content)
    assert site.raw.get(name) == content
    assert storage.exists(name)
    storage.delete(name)
    assert site.raw.names() == ["before.bin"]


# -- connections ----------------------------------------------------------------------------------


@each_call
def test_g1_refused_connection_is_told_with_host_and_port_alone(
    weed: Site, line: Proxy, on_line: S3Boto3Storage, call: Callable[[S3Boto3Storage], object]
) -> None:
    line.down()
    with failing(weed, ConnectionRefusedError, rf"\] {HOST}:{line.port} cannot be reached.*'"):
        call(on_line)
    line.clear()
    assert_works(weed, on_line)


def test_g2_host_that_does_not_resolve_is_told(weed: Site) -> None:
    weed.raw.put("before.bin", CONTENT)
    storage = weed.storage(endpoint_url="http://no-such-host.invalid:1", client_config=SHORT)
    with failing(weed, ConnectionRefusedError, "no-such-host.invalid:1 cannot be reached"):
        read(storage)


def test_g3_server_that_falls_silent_during_a_download_times_out(
    weed: Site, line: Proxy, on_line: S3Boto3Storage
) -> None:
    weed.raw.put("before.bin", CONTENT)
    weed.raw.put("large.bin", LARGE)
    on_line.client_config = SHORT
    with on_line.open("large.bin") as file:
        start = file.read(1000)
        line.silence()
        with failing(weed, TimeoutError, stored=["large.bin"]):
            file.read()
        line.clear()
        file.seek(1000)
        assert start + file.read() == LARGE
    weed.raw.client.delete_object(Bucket=weed.raw.bucket, Key="large.bin")
    assert_works(weed, on_line)


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one request", "parts"])
def test_g3_server_that_falls_silent_during_an_upload_times_out(
    weed: Site, line: Proxy, on_line: S3Boto3Storage, content: bytes
) -> None:
    on_line.client_config = SHORT
    source = File(Interrupted(content, line.silence, after=1), "a.bin")
    on_line.exists("a.txt")
    if content is CONTENT:
        line.silence()
    with pytest.raises(TimeoutError):
        on_line.save("a.txt", source)
    # Else the request that nobody waits for any more would go on.
    line.drop_connections()
    line.clear()
    # What could not be aborted while the server was away is an unfinished upload: no file.
    assert weed.raw.keys() == ["before.bin"]
    assert read(on_line) == CONTENT


@each_call
def test_g4_connection_reset_before_the_answer_is_tried_again(
    weed: Site, line: Proxy, on_line: S3Boto3Storage, call: Callable[[S3Boto3Storage], object]
) -> None:
    line.reset_peer(0, "down", times=1)
    assert call(on_line) == (CONTENT if call is read else mock.ANY)
    # An upload in parts whose start was not answered is one that nobody knows of.
    assert len(weed.raw.uploads()) == (call is CALLS["save in parts"])


@each_call
def test_g4_connection_reset_before_every_answer_is_told(
    weed: Site, line: Proxy, on_line: S3Boto3Storage, call: Callable[[S3Boto3Storage], object]
) -> None:
    line.reset_peer(0, "up")
    with failing(weed, ConnectionResetError, "connection to .* broke"):
        call(on_line)
    line.clear()
    assert_works(weed, on_line)


@pytest.mark.parametrize(
    ("how", "after", "times"),
    [
        ("reset_peer", 700, 1),
        ("reset_peer", 100_000, 2),
        ("limit_data", 700, 2),
        ("limit_data", 100_000, 1),
        ("limit_data", 100_000, None),
    ],
)
def test_g5_g6_download_that_breaks_goes_on_where_it_was(
    weed: Site, line: Proxy, on_line: S3Boto3Storage, how: str, after: int, times: int | None
) -> None:
    getattr(line, how)(after, "down", times=times)
    assert read(on_line) == CONTENT
    line.clear()
    assert_works(weed, on_line)


@pytest.mark.parametrize("how", ["reset_peer", "limit_data"])
def test_g5_g6_download_that_never_gives_a_byte_is_told(
    weed: Site, line: Proxy, on_line: S3Boto3Storage, how: str
) -> None:
    with on_line.open("before.bin") as file:
        start = file.read(1000)
        # Behind what was read ahead comes a second request.
        getattr(line, how)(100, "down")
        line.drop_connections()
        with failing(weed, ConnectionResetError):
            file.read()
        line.clear()
        file.seek(1000)
        assert start + file.read() == CONTENT
    assert_works(weed, on_line)


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one request", "parts"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_g7_upload_that_breaks_once_starts_again(
    weed: Site, line: Proxy, on_line: S3Boto3Storage, content: bytes, overwrite: bool
) -> None:
    on_line.file_overwrite = overwrite
    line.reset_peer(50_000, "up", times=1)
    assert save(on_line, "a.bin", content) == "a.bin"
    assert weed.raw.get("a.bin") == content
    assert sorted(weed.raw.names()) == ["a.bin", "before.bin"]


@pytest.mark.parametrize("name", ["a.txt", "before.bin"])
@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one request", "parts"])
def test_g7_upload_that_always_breaks_stores_nothing(
    weed: Site, line: Proxy, on_line: S3Boto3Storage, content: bytes, name: str
) -> None:
    line.reset_peer(50_000, "up")
    with failing(weed, ConnectionResetError, "connection to .* broke"):
        save(on_line, name, content)
    line.clear()
    assert_works(weed, on_line, content)


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one request", "parts"])
@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize("kind", ["weed", "site"], ids=["seaweedfs", "moto"])
def test_g8_save_whose_answer_is_lost_makes_one_file(
    request: pytest.FixtureRequest, kind: str, content: bytes, overwrite: bool
) -> None:
    site = request.getfixturevalue(kind)
    last = {"path": "uploadId", "method": "POST"} if content is LARGE else {"method": "PUT"}
    site.front.reset(**last, forward=True, times=1)
    storage = site.storage(client_config=CONFIG, file_overwrite=overwrite)
    assert save(storage, "a.bin", content) == "a.bin"
    assert site.raw.names() == ["a.bin"]
    assert site.raw.get("a.bin") == content
    assert len(site.sent(last["method"], last.get("path", ""))) >= 2


def test_g8_lost_answer_is_not_taken_for_ours_where_another_took_the_name(weed: Site) -> None:
    storage = weed.storage(client_config=CONFIG, file_overwrite=False)
    weed.front.reset(method="PUT", forward=False, times=1)
    source = Interrupted(CONTENT, lambda: weed.raw.put("a.bin", b"another client's"))
    name = storage.save("a.bin", File(source, "a.bin"))
    assert name != "a.bin"
    assert weed.raw.get("a.bin") == b"another client's"
    assert weed.raw.get(name) == CONTENT


def test_g9_restarted_server_is_found_again() -> None:
    with SeaweedFS() as server, RawBucket(server) as raw:
        raw.put("before.bin", CONTENT)
        storage = S3Boto3Storage(bucket_name=raw.bucket, client_config=CONFIG, **account(server))
        storage.exists("before.bin")
        server.restart()
        assert read(storage) == CONTENT
        save(storage)
        assert raw.get("a.txt") == b"content"


def test_g10_connections_closed_while_idle_are_replaced(
    weed: Site, line: Proxy, on_line: S3Boto3Storage
) -> None:
    for call in CALLS.values():
        on_line.exists("before.bin")
        line.drop_connections()
        call(on_line)


def test_g11_content_that_trickles_is_given_up(
    weed: Site, line: Proxy, on_line: S3Boto3Storage
) -> None:
    weed.raw.put("before.bin", CONTENT)
    on_line.client_config = SHORT
    with on_line.open("before.bin") as file:
        file.read(1000)
        line.bandwidth(20, "down")
        with failing(weed, TimeoutError):
            file.read()


def test_g12_slow_line_changes_nothing(weed: Site, line: Proxy, on_line: S3Boto3Storage) -> None:
    line.latency(0.05, "up")
    line.latency(0.05, "down")
    assert_works(weed, on_line, LARGE)


def test_g13_answers_may_come_byte_by_byte(
    weed: Site, line: Proxy, on_line: S3Boto3Storage
) -> None:
    weed.raw.put("small.txt", b"content")
    line.slicer(1, "down")
    line.slicer(1, "up")
    assert read(on_line, "small.txt") == b"content"
    save(on_line, "small.txt", b"other")
    assert on_line.listdir("") == ([], ["before.bin", "small.txt"])
    assert on_line.size("small.txt") == 5


@pytest.mark.parametrize(
    "shown",
    [authority().expired, authority().wrong_host, authority().self_signed],
    ids=["expired", "wrong host", "self-signed"],
)
def test_g15_bad_certificate_is_refused(seaweedfs: Server, shown: Certificate) -> None:
    with HTTPProxy(*seaweedfs.address, tls=shown.server_context()) as front:
        storage = S3Boto3Storage(
            **{**account(seaweedfs), "endpoint_url": front.url, "bucket_name": "files"},
            verify=str(authority().ca_file),
            client_config=SHORT,
        )
        for call in CALLS.values():
            with pytest.raises(OSError, match=r"certificate of .* was refused") as raised:
                call(storage)
            assert raised.value.errno == errno.EPROTO
        assert front.requests == []


#: Saves 30 MiB until it is told to end.
SAVING = """
import sys
from django.conf import settings
from django.core.files.base import ContentFile
settings.configure()
from storages.backends._s3.errors import ERRORS
from storages.backends.s3boto3 import S3Boto3Storage
endpoint, bucket, key, secret, size = sys.argv[1:]
S3Boto3Storage(
    bucket_name=bucket,
    endpoint_url=endpoint,
    access_key=key,
    secret_key=secret,
    region_name="us-east-1",
).save("before.bin", ContentFile(bytes(int(size))))
"""


@pytest.mark.parametrize("size", [7 * MIB, 30 * MIB], ids=["one request", "parts"])
def test_g17_process_that_is_ended_during_a_save_leaves_the_file(
    weed: Site, line: Proxy, size: int
) -> None:
    weed.raw.put("before.bin", CONTENT)
    server = weed.server
    line.bandwidth(6 * MIB, "up")
    before = line.bytes_up
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [locate(line), weed.raw.bucket, server.access_key, server.secret_key, str(size)]
    with subprocess.Popen([sys.executable, "-c", SAVING, *arguments], env=environment) as process:
        while line.bytes_up - before < MIB and process.poll() is None:
            threading.Event().wait(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    assert weed.raw.get("before.bin") == CONTENT
    assert weed.raw.keys() == ["before.bin"]


# -- answers --------------------------------------------------------------------------------------


@each_call
@pytest.mark.parametrize(
    ("status", "code"), [(503, "SlowDown"), (500, "InternalError"), (503, "ServiceUnavailable")]
)
def test_s1_passing_trouble_is_waited_out(
    weed: Site,
    scripted: S3Boto3Storage,
    delay: mock.Mock,
    call: Callable[[S3Boto3Storage], object],
    status: int,
    code: str,
) -> None:
    weed.front.answer(status, error(code), times=2)
    assert call(scripted) == (CONTENT if call is read else mock.ANY)
    assert delay.call_count == 2
    assert weed.raw.uploads() == []


@each_call
def test_s2_service_that_is_always_busy_is_told_after_some_tries(
    weed: Site, scripted: S3Boto3Storage, call: Callable[[S3Boto3Storage], object]
) -> None:
    weed.front.answer(503, error("SlowDown"), times=None)
    with failing(weed, errno.EBUSY, "try again later"):
        call(scripted)
    assert len(weed.sent()) <= 2 * ATTEMPTS
    weed.front.clear()
    assert_works(weed, scripted)


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one request", "parts"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_s3_put_that_was_stored_and_answered_by_an_error_makes_one_file(
    weed: Site, content: bytes, overwrite: bool
) -> None:
    storage = weed.storage(client_config=CONFIG, file_overwrite=overwrite)
    last = {"path": "uploadId", "method": "POST"} if content is LARGE else {"method": "PUT"}
    weed.front.answer(500, error("InternalError"), **last, forward=True)
    assert save(storage, "a.bin", content) == "a.bin"
    assert weed.raw.names() == ["a.bin"]
    assert weed.raw.get("a.bin") == content


def test_s4_completion_that_answers_200_with_an_error_is_tried_again(
    weed: Site, scripted: S3Boto3Storage
) -> None:
    weed.front.answer(200, error("InternalError"), method="POST", path="uploadId")
    save(scripted, "a.bin", LARGE)
    assert weed.raw.get("a.bin") == LARGE
    assert len(weed.sent("POST", "uploadId")) == 2


def test_s4_completion_that_always_answers_200_with_an_error_fails(
    weed: Site, scripted: S3Boto3Storage
) -> None:
    weed.front.answer(200, error("InternalError"), method="POST", path="uploadId", times=None)
    with failing(weed, errno.EIO, "InternalError"):
        save(scripted, "before.bin", LARGE)
    weed.front.clear()
    assert_works(weed, scripted, LARGE)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize(("status", "code"), [(500, "InternalError"), (403, "AccessDenied")])
def test_s5_part_that_fails_aborts_the_upload(
    weed: Site, scripted: S3Boto3Storage, number: int, status: int, code: str
) -> None:
    weed.front.answer(status, error(code), path=f"partNumber={number}", times=None)
    with failing(weed, PermissionError if status == 403 else errno.EIO):
        save(scripted, "before.bin", LARGE)
    assert len(weed.sent("DELETE", "uploadId")) == 1
    weed.front.clear()
    assert_works(weed, scripted)


def test_s5_start_of_an_upload_that_fails_leaves_nothing(
    weed: Site, scripted: S3Boto3Storage
) -> None:
    weed.front.answer(403, DENIED, method="POST", path="uploads", times=None)
    with failing(weed, PermissionError, "s3:PutObject"):
        save(scripted, "before.bin", LARGE)


@each_call
def test_s6_denied_is_an_error_that_names_the_permission(
    weed: Site, scripted: S3Boto3Storage, call: Callable[[S3Boto3Storage], object]
) -> None:
    weed.front.answer(403, DENIED, times=None)
    with failing(weed, PermissionError, r"credentials need s3:\w+"):
        call(scripted)
    weed.front.clear()
    assert_works(weed, scripted)


def test_s6_missing_file_without_the_right_to_list_is_denied_with_a_hint(
    weed: Site, scripted: S3Boto3Storage
) -> None:
    # What S3 answers for a missing key to whom may not list the bucket.
    weed.front.answer(403, DENIED, method="HEAD", times=None)
    weed.front.answer(403, DENIED, method="GET", times=None)
    with failing(weed, PermissionError, "s3:ListBucket without which a missing file is denied"):
        scripted.exists("a.txt")


def test_s6_file_without_the_right_to_list_is_found(weed: Site, scripted: S3Boto3Storage) -> None:
    weed.front.answer(403, DENIED, path="list-type", times=None)
    assert scripted.exists("before.bin")
    assert read(scripted) == CONTENT


@each_call
def test_s7_missing_bucket_is_not_taken_for_a_missing_file(
    weed: Site, scripted: S3Boto3Storage, call: Callable[[S3Boto3Storage], object]
) -> None:
    scripted.bucket_name = "no-such-bucket"
    with failing(weed, errno.ENXIO, "AWS_STORAGE_BUCKET_NAME"):
        call(scripted)
    scripted.bucket_name = weed.raw.bucket
    assert_works(weed, scripted)


def test_s7_missing_file_is_told_as_one(weed: Site, scripted: S3Boto3Storage) -> None:
    for call in (read, lambda storage, name: storage.size(name)):
        with failing(weed, FileNotFoundError):
            call(scripted, "a.txt")


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one request", "parts"])
def test_s8_name_that_was_taken_meanwhile_is_not_used(weed: Site, content: bytes) -> None:
    storage = weed.storage(client_config=CONFIG, file_overwrite=False)
    source = Interrupted(content, lambda: weed.raw.put("a.bin", b"another client's"))
    name = storage.save("a.bin", File(source, "a.bin"))
    assert re.fullmatch(r"a_\w{7}\.bin", name)
    assert sorted(weed.raw.names()) == sorted(["a.bin", name])
    assert weed.raw.get("a.bin") == b"another client's"
    assert weed.raw.get(name) == content


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one request", "parts"])
def test_s9_conflict_with_another_write_is_tried_again(weed: Site, content: bytes) -> None:
    storage = weed.storage(client_config=CONFIG, file_overwrite=False)
    last = {"path": "uploadId", "method": "POST"} if content is LARGE else {"method": "PUT"}
    weed.front.answer(409, error("ConditionalRequestConflict"), **last, times=2)
    assert save(storage, "a.bin", content) == "a.bin"
    assert weed.raw.names() == ["a.bin"]
    assert weed.raw.get("a.bin") == content
    # An upload in parts starts anew, as S3 wants it.
    assert len(weed.sent("POST", "uploads")) == (3 if content is LARGE else 0)


def test_s9_conflict_that_does_not_end_does_not_go_on_for_ever(
    weed: Site, scripted: S3Boto3Storage
) -> None:
    weed.front.answer(409, error("ConditionalRequestConflict"), method="PUT", times=None)
    with pytest.raises(FileExistsError), scripted.open("a.txt", "xb") as file:
        file.write(b"content")
    assert len(weed.sent("PUT")) == 5
    weed.front.clear()
    assert_works(weed, scripted)


@each_call
@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("ExpiredToken", "AWS_SESSION_TOKEN"),
        ("InvalidToken", "AWS_SESSION_TOKEN"),
        ("InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        ("RequestTimeTooSkewed", "clock of this machine"),
    ],
)
def test_s10_s11_refused_account_is_told_with_what_to_change(
    weed: Site,
    scripted: S3Boto3Storage,
    call: Callable[[S3Boto3Storage], object],
    code: str,
    says: str,
) -> None:
    weed.front.answer(403, error(code), times=None)
    with failing(weed, PermissionError, says):
        call(scripted)
    assert len(weed.sent()) <= 2 * ATTEMPTS
    weed.front.clear()
    assert_works(weed, scripted)


#: Gives other keys each time, which boto3 is to renew at once.
CREDENTIALS = """
import datetime, json, pathlib, sys
counter = pathlib.Path(sys.argv[1])
number = int(counter.read_text()) + 1
counter.write_text(str(number))
end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=30)
print(json.dumps({"Version": 1, "AccessKeyId": f"key{number}", "SecretAccessKey": "secret",
                  "SessionToken": f"token{number}", "Expiration": end.isoformat()}))
"""


def test_s10_credentials_left_to_boto3_are_renewed(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "counter").write_text("0")
    (tmp_path / "credentials.py").write_text(CREDENTIALS)
    command = f"{sys.executable} {tmp_path / 'credentials.py'} {tmp_path / 'counter'}"
    (tmp_path / "config").write_text(f"[default]\ncredential_process = {command}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    storage = S3Boto3Storage(
        bucket_name=site.raw.bucket, endpoint_url=site.front.url, client_config=unshared()
    )
    for _ in range(2):
        storage.listdir("")
    tokens = [each.headers["x-amz-security-token"] for each in site.sent("GET")]
    assert len(set(tokens)) == 2


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "AccessControlListNotSupported"),
        (400, "InvalidBucketAclWithObjectOwnership"),
        (403, "AccessDenied"),
    ],
)
@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one request", "parts"])
def test_s12_refused_acl_is_told_with_its_setting_and_both_causes(
    weed: Site, scripted: S3Boto3Storage, content: bytes, status: int, code: str
) -> None:
    scripted.default_acl = "public-read"
    weed.front.answer(status, error(code), times=None)
    with failing(weed, PermissionError, "AWS_DEFAULT_ACL.*ownership.*block public"):
        save(scripted, "before.bin", content)


@pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one request", "parts"])
def test_f6_denied_upload_names_the_action_that_aws_names_and_no_acl_where_none_is_sent(
    weed: Site, scripted: S3Boto3Storage, content: bytes
) -> None:
    refusal = "User: arn:aws:iam::1:user/web is not authorized to perform: kms:GenerateDataKey"
    weed.front.answer(403, error("AccessDenied", refusal), times=None)
    with failing(weed, PermissionError, "need kms:GenerateDataKey(?!.*ACL)"):
        save(scripted, "before.bin", content)


def test_f6_denied_upload_without_an_acl_says_nothing_of_acls(
    weed: Site, scripted: S3Boto3Storage
) -> None:
    weed.front.answer(403, error("AccessDenied"), times=None)
    with failing(weed, PermissionError, "need s3:PutObject(?!.*ACL)"):
        save(scripted, "before.bin", CONTENT)


def test_f6_what_s3_says_moves_no_cursor_and_begins_no_line(
    weed: Site, scripted: S3Boto3Storage
) -> None:
    weed.front.answer(418, error("Teapot", "a\nERROR forged\x9b31m"), times=None)
    with pytest.raises(OSError, match=r"Teapot to PutObject: a\\nERROR forged\\x9b31m") as caught:
        save(scripted, "before.bin", CONTENT)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("act", ["size", "save"])
def test_f6_web_page_in_the_place_of_an_answer_is_told_with_the_setting(
    weed: Site, scripted: S3Boto3Storage, act: str
) -> None:
    weed.front.answer(200, b"<html><body>Console</body></html>", times=None)
    call = scripted.size if act == "size" else partial(scripted.save, content=ContentFile(CONTENT))
    with pytest.raises(OSError, match="AWS_S3_ENDPOINT_URL") as caught:
        call("before.bin")
    assert caught.value.errno == errno.EPROTO


REDIRECT = error("PermanentRedirect", "use the endpoint of the bucket")


@pytest.mark.parametrize(
    ("status", "code"), [(301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed")]
)
def test_s13_request_is_signed_anew_for_the_region_that_the_answer_names(
    site: Site, status: int, code: str
) -> None:
    site.raw.put("before.bin", CONTENT)
    told = error(code).replace(b"</Code>", b"</Code><Region>eu-west-3</Region>")
    site.front.answer(status, told, {"x-amz-bucket-region": "eu-west-3"}, method="GET")
    storage = site.storage(client_config=CONFIG)
    with storage.open("before.bin") as file:
        assert file.read(10) == CONTENT[:10]
    first, second = (each.headers["Authorization"] for each in site.sent("GET"))
    assert "/us-east-1/s3/" in first
    assert "/eu-west-3/s3/" in second


@each_call
def test_s13_redirect_is_never_followed_to_another_host(
    weed: Site, scripted: S3Boto3Storage, call: Callable[[S3Boto3Storage], object]
) -> None:
    with HTTPProxy(HOST, refusing_port()) as elsewhere:
        place = elsewhere.url.removeprefix("http://").encode()
        weed.front.answer(
            301,
            REDIRECT.replace(b"</Code>", b"</Code><Endpoint>" + place + b"</Endpoint>"),
            {"Location": elsewhere.url, "x-amz-bucket-region": "eu-west-3"},
            times=None,
        )
        with failing(weed, errno.EINVAL, "another region, eu-west-3.*AWS_S3_REGION_NAME"):
            call(scripted)
        assert elsewhere.connections == 0
    weed.front.clear()
    assert_works(weed, scripted)


@pytest.mark.parametrize("size", [8, 600_000], ids=["all of a file", "its start"])
def test_s14_content_that_does_not_match_its_checksum_is_an_error(
    weed: Site, scripted: S3Boto3Storage, size: int
) -> None:
    scripted.client_config = CONFIG.merge(Config(response_checksum_validation="when_supported"))
    weed.front.answer(
        206,
        CONTENT[: min(size, 262_144)],
        {
            "Content-Range": f"bytes 0-{min(size, 262_144) - 1}/{size}",
            "Last-Modified": "Sun, 22 Nov 2026 08:00:00 GMT",
            "x-amz-checksum-crc32": "AAAAAA==",
        },
        method="GET",
        times=None,
    )
    with failing(weed, errno.EIO, "bytes were changed"):
        read(scripted)


def test_s14_answer_shorter_than_announced_is_read_on(weed: Site, scripted: S3Boto3Storage) -> None:
    weed.front.answer(
        206,
        CONTENT[:1000],
        {
            "Content-Length": "262144",
            "Content-Range": f"bytes 0-262143/{len(CONTENT)}",
            "Last-Modified": "Sun, 22 Nov 2026 08:00:00 GMT",
            "ETag": weed.raw.head("before.bin")["ETag"],
        },
        method="GET",
    )
    assert read(scripted) == CONTENT


def test_s15_file_replaced_between_two_requests_is_never_a_mix(
    weed: Site, scripted: S3Boto3Storage
) -> None:
    weed.raw.put("a.bin", b"a" * 600_000)
    with scripted.open("a.bin") as file:
        file.read(1)
        weed.raw.put("a.bin", b"b" * 600_000)
        with failing(weed, errno.ESTALE, "replaced while it was read", ["a.bin"]):
            file.read()
    assert read(scripted, "a.bin") == b"b" * 600_000


@pytest.mark.parametrize(
    ("status", "code", "kind", "says"),
    [
        (400, "BadDigest", errno.EIO, "changed on their way"),
        (400, "KeyTooLongError", errno.ENAMETOOLONG, "1,024"),
        (400, "EntityTooLarge", errno.EFBIG, "larger than S3 takes"),
        (400, "InvalidBucketName", errno.EINVAL, "AWS_STORAGE_BUCKET_NAME"),
        (403, "InvalidObjectState", PermissionError, "restore it"),
        (418, "Teapot", errno.EIO, "S3 answered Teapot to PutObject: what S3 says"),
    ],
)
def test_other_answers_have_a_meaning_of_their_own(
    weed: Site,
    scripted: S3Boto3Storage,
    status: int,
    code: str,
    kind: type[OSError] | int,
    says: str,
) -> None:
    weed.front.answer(status, error(code), times=None)
    with failing(weed, kind, says):
        save(scripted, "before.bin", CONTENT)


def test_answer_that_is_none_of_s3_s_is_an_error(weed: Site, scripted: S3Boto3Storage) -> None:
    weed.front.answer(200, b"Welcome! Log in to the network.", times=None)
    with failing(weed, errno.EIO, "S3 answered 500 to ListObjectsV2"):
        scripted.listdir("dir")
