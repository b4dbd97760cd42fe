"""What the Azure backend does where the network, the service or the account are bad.

Each fault is shown to end, to leave what was stored before, to be told without a secret, and to be
over for the same storage once it is gone. What Azurite never says is answered by a proxy before it.
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
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile, File

from storages.backends.azure_storage import AzureStorage
from storages.http import LONGEST
from storages.testing.sources import Interrupted
from tests.backends.azure_storage.server import (
    IMPATIENT,
    TRUSTING,
    RawContainer,
    Site,
    account,
    answer,
    error,
    through,
)
from tests.servers.azurite import Azurite
from tests.servers.certificates import Certificate, authority
from tests.servers.http import HTTPProxy
from tests.servers.process import HOST, Server
from tests.servers.proxy import Proxy

MIB = 1024 * 1024
CONTENT = random.Random(1).randbytes(600_000)  # more than is read ahead
LARGE = random.Random(2).randbytes(17 * MIB)  # two blocks
ATTEMPTS = 4
COMMIT = {"method": "PUT", "path": "comp=blocklist"}
BLOCK = {"method": "PUT", "path": "comp=block&"}


@pytest.fixture(autouse=True)
def delay() -> Iterator[mock.Mock]:
    """Let waiting take no time, and say for how long it would have been."""
    with mock.patch("azure.core.pipeline.transport.HttpTransport.sleep") as delay:
        yield delay


@pytest.fixture
def line(azurite: Server) -> Iterator[Proxy]:
    """A bad line to Azurite."""
    with Proxy(*azurite.address) as line:
        yield line


@pytest.fixture
def on_line(site: Site, line: Proxy) -> AzureStorage:
    """A storage at the end of the bad line, whose container holds a file."""
    site.raw.put("before.bin", CONTENT)
    return site.storage(account_url=through(line), file_overwrite=True, timeout=5)


@pytest.fixture
def scripted(site: Site) -> AzureStorage:
    """A storage that asks the proxy of `site`, whose container holds a file."""
    site.raw.put("before.bin", CONTENT)
    return site.storage(file_overwrite=True)


def save(storage: AzureStorage, name: str = "a.txt", content: bytes = b"content") -> str:
    return storage.save(name, ContentFile(content))


def read(storage: AzureStorage, name: str = "before.bin") -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


def save_under_a_free_name(storage: AzureStorage) -> str:
    storage.file_overwrite = False
    return save(storage)


CALLS: dict[str, Callable[[AzureStorage], object]] = {
    "read": read,
    "save": lambda storage: save(storage, "before.bin"),
    "save in blocks": lambda storage: save(storage, "before.bin", LARGE),
    "save under a free name": save_under_a_free_name,
    "exists": lambda storage: storage.exists("before.bin"),
    "size": lambda storage: storage.size("before.bin"),
    "get_modified_time": lambda storage: storage.get_modified_time("before.bin"),
    "listdir": lambda storage: storage.listdir("dir"),
    "delete": lambda storage: storage.delete("before.bin"),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
each_size = pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["one request", "blocks"])
each_mode = pytest.mark.parametrize("overwrite", [True, False])


@contextmanager
def failing(
    site: Site, kind: type[OSError] | int, says: str | None = None, *more: str
) -> Iterator[None]:
    """Assert that a call fails as it should, and leaves things as they were.

    ``kind`` is the class of the error or its errno, ``says`` a pattern of its text, ``more`` the
    names of other files that may be there.
    """
    with pytest.raises(OSError, match=says) as raised:
        yield
    failed = raised.value
    if isinstance(kind, int):
        assert failed.errno == kind, failed
    else:
        assert type(failed) is kind, failed
    assert failed.__cause__ is not None
    text = "".join(traceback.format_exception(failed))
    assert site.server.key not in text
    assert "sig=" not in text
    assert set(site.raw.names()) <= {"before.bin", *more}
    assert site.raw.get("before.bin") == CONTENT


def assert_works(site: Site, storage: AzureStorage, content: bytes = b"content") -> None:
    """Assert that a storage is none the worse for what it went through."""
    assert read(storage) == CONTENT
    name = save(storage, "after.bin", content)
    assert site.raw.get(name) == content
    storage.delete(name)
    assert site.raw.names() == ["before.bin"]


# -- connections ----------------------------------------------------------------------------------


@each_call
def test_g1_refused_connection_is_told_with_host_and_port_alone(
    site: Site, line: Proxy, on_line: AzureStorage, call: Callable[[AzureStorage], object]
) -> None:
    line.down()
    with failing(site, ConnectionRefusedError, rf"refused: {HOST}:{line.port} cannot be reached"):
        call(on_line)
    line.clear()
    assert_works(site, on_line)


def test_g2_host_that_does_not_resolve_is_told_at_once(site: Site, delay: mock.Mock) -> None:
    site.raw.put("before.bin", CONTENT)
    storage = site.storage(account_url="http://acct.blob.no-such-host.invalid")
    with failing(site, errno.EHOSTUNREACH, r"acct.blob.no-such-host.invalid is not found"):
        read(storage)
    assert delay.call_count == 0


def test_g3_server_that_falls_silent_during_a_download_times_out(
    site: Site, line: Proxy, on_line: AzureStorage
) -> None:
    site.raw.put("large.bin", LARGE)
    on_line.timeout = 1
    with on_line.open("large.bin") as file:
        start = file.read(1000)
        line.silence()
        with failing(site, TimeoutError, None, "large.bin"):
            file.read()
        line.drop_connections()
        line.clear()
        file.seek(1000)
        assert start + file.read() == LARGE


@each_call
def test_g3_server_that_says_nothing_is_not_waited_for_longer_than_a_time_limit(
    site: Site, line: Proxy, on_line: AzureStorage, call: Callable[[AzureStorage], object]
) -> None:
    on_line.timeout = 1
    line.silence()
    with failing(site, TimeoutError, "did not answer in time"):
        call(on_line)
    line.drop_connections()
    line.clear()
    assert_works(site, on_line)


@each_call
def test_g4_connection_reset_before_the_answer_is_tried_again(
    site: Site, line: Proxy, on_line: AzureStorage, call: Callable[[AzureStorage], object]
) -> None:
    line.reset_peer(0, "down", times=1)
    assert call(on_line) == (CONTENT if call is read else mock.ANY)


@each_call
def test_g4_connection_reset_before_every_answer_is_told(
    site: Site, line: Proxy, on_line: AzureStorage, call: Callable[[AzureStorage], object]
) -> None:
    line.reset_peer(0, "up")
    with failing(site, errno.ECONNRESET, f"{HOST}:{line.port}"):
        call(on_line)
    line.clear()
    assert_works(site, on_line)


@pytest.mark.parametrize(
    ("how", "after", "times"),
    [
        ("reset_peer", 900, 1),
        ("reset_peer", 100_000, 2),
        ("limit_data", 900, 2),
        ("limit_data", 100_000, 1),
        ("limit_data", 100_000, None),
    ],
)
def test_g5_g6_download_that_breaks_goes_on_where_it_was(
    site: Site, line: Proxy, on_line: AzureStorage, how: str, after: int, times: int | None
) -> None:
    getattr(line, how)(after, "down", times=times)
    assert read(on_line) == CONTENT
    line.clear()
    assert_works(site, on_line)


@each_size
@each_mode
def test_g7_upload_that_breaks_once_starts_again(
    site: Site, line: Proxy, on_line: AzureStorage, content: bytes, overwrite: bool
) -> None:
    on_line.file_overwrite = overwrite
    line.reset_peer(50_000, "up", times=1)
    assert save(on_line, "a.bin", content) == "a.bin"
    assert site.raw.get("a.bin") == content
    assert sorted(site.raw.names()) == ["a.bin", "before.bin"]


@pytest.mark.parametrize("name", ["a.txt", "before.bin"])
@each_size
def test_g7_upload_that_always_breaks_stores_nothing(
    site: Site, line: Proxy, on_line: AzureStorage, content: bytes, name: str
) -> None:
    line.reset_peer(50_000, "up")
    with failing(site, errno.ECONNRESET):
        save(on_line, name, content)
    line.clear()
    assert_works(site, on_line, content)


@each_size
@each_mode
def test_g8_save_whose_answer_is_lost_makes_one_file(
    site: Site, content: bytes, overwrite: bool
) -> None:
    last = COMMIT if content is LARGE else {"method": "PUT"}
    site.front.reset(**last, forward=True, times=1)
    assert save(site.storage(file_overwrite=overwrite), "a.bin", content) == "a.bin"
    assert site.raw.names() == ["a.bin"]
    assert site.raw.get("a.bin") == content


@each_size
@each_mode
def test_g8_save_that_was_stored_and_answered_by_an_error_makes_one_file(
    site: Site, content: bytes, overwrite: bool
) -> None:
    last = COMMIT if content is LARGE else {"method": "PUT"}
    answer(site.front, 500, "InternalError", **last, forward=True)
    assert save(site.storage(file_overwrite=overwrite), "a.bin", content) == "a.bin"
    assert site.raw.names() == ["a.bin"]
    assert site.raw.get("a.bin") == content


@each_size
def test_g8_lost_answer_is_not_taken_for_ours_where_another_took_the_name(
    site: Site, content: bytes
) -> None:
    last = COMMIT if content is LARGE else {"method": "PUT"}
    storage = site.storage()
    # The request is lost, and the name is taken before it is sent again.
    site.front.reset(**last, forward=False, times=1)
    with mock.patch(
        "azure.core.pipeline.transport.HttpTransport.sleep",
        side_effect=lambda _: site.raw.put("a.bin", b"another client's"),
    ):
        name = save(storage, "a.bin", content)
    assert name != "a.bin"
    assert site.raw.get("a.bin") == b"another client's"
    assert site.raw.get(name) == content


@each_size
def test_g8_change_whose_answer_is_lost_is_done_once(site: Site, content: bytes) -> None:
    site.raw.put("a.bin", content)
    last = COMMIT if content is LARGE else {"method": "PUT"}
    site.front.reset(**last, forward=True, times=1)
    with site.storage().open("a.bin", "ab") as file:
        file.write(b"more")
    assert site.raw.get("a.bin") == content + b"more"


def test_g9_restarted_server_is_found_again() -> None:
    with Azurite(in_memory=False) as server, RawContainer(server) as raw:
        raw.put("before.bin", CONTENT)
        storage = AzureStorage(azure_container=raw.name, **account(server))
        storage.exists("before.bin")
        server.restart()
        assert read(storage) == CONTENT
        save(storage)
        assert raw.get("a.txt") == b"content"


def test_g10_connections_closed_while_idle_are_replaced(
    site: Site, line: Proxy, on_line: AzureStorage
) -> None:
    for call in CALLS.values():
        on_line.exists("before.bin")
        line.drop_connections()
        call(on_line)


def test_g11_answer_that_trickles_ends(site: Site, line: Proxy, on_line: AzureStorage) -> None:
    on_line.timeout = 1
    with on_line.open("before.bin") as file:
        file.read(1000)
        line.bandwidth(200, "down")
        with failing(site, TimeoutError, "too slowly|in time"):
            file.read()


@each_call
def test_g11_answer_whose_head_trickles_ends(
    line: Proxy, on_line: AzureStorage, call: Callable[[AzureStorage], object]
) -> None:
    on_line.timeout = 1
    line.bandwidth(20, "down")
    with pytest.raises(TimeoutError):
        call(on_line)


def test_g12_slow_line_changes_nothing(site: Site, line: Proxy, on_line: AzureStorage) -> None:
    line.latency(0.05, "up")
    line.latency(0.05, "down")
    assert_works(site, on_line, LARGE)


def test_g13_answers_may_come_byte_by_byte(site: Site, line: Proxy, on_line: AzureStorage) -> None:
    site.raw.put("small.txt", b"content")
    line.slicer(1, "down")
    line.slicer(1, "up")
    assert read(on_line, "small.txt") == b"content"
    save(on_line, "small.txt", b"other")
    assert on_line.listdir("") == ([], ["before.bin", "small.txt"])


@pytest.mark.parametrize("after", [100, 10_000])
def test_g14_byte_that_is_changed_on_its_way_up_is_found(
    site: Site, line: Proxy, on_line: AzureStorage, after: int
) -> None:
    line.corrupt(after + 2_000, "up", times=1)
    with failing(site, errno.EIO, "changed on their way"):
        save(on_line, "before.bin", CONTENT[:20_000])
    assert_works(site, on_line)


@pytest.mark.parametrize(
    "shown",
    [authority().expired, authority().wrong_host, authority().self_signed],
    ids=["expired", "wrong host", "self-signed"],
)
def test_g15_bad_certificate_is_refused(site: Site, shown: Certificate, delay: mock.Mock) -> None:
    with HTTPProxy(*site.server.address, tls=shown.server_context()) as front:
        storage = site.storage(account_url=through(front, "https"), **TRUSTING)
        for call in CALLS.values():
            with pytest.raises(OSError, match="certificate is refused") as raised:
                call(storage)
            assert raised.value.errno == errno.EPROTO
        assert front.requests == []
    assert delay.call_count == 0


#: Saves until it is told to end.
SAVING = """
import sys
from django.conf import settings
from django.core.files.base import ContentFile
settings.configure()
from storages.backends.azure_storage import AzureStorage
url, container, key, size = sys.argv[1:]
AzureStorage(
    account_url=url, azure_container=container, account_key=key, file_overwrite=True
).save("before.bin", ContentFile(bytes(int(size))))
"""


@pytest.mark.parametrize("size", [7 * MIB, 30 * MIB], ids=["one request", "blocks"])
def test_g17_process_that_is_ended_during_a_save_leaves_the_file(
    site: Site, line: Proxy, size: int
) -> None:
    site.raw.put("before.bin", CONTENT)
    line.bandwidth(6 * MIB, "up")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [through(line), site.raw.name, site.server.key, str(size)]
    with subprocess.Popen([sys.executable, "-c", SAVING, *arguments], env=environment) as process:
        while line.bytes_up < MIB and process.poll() is None:
            threading.Event().wait(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    assert site.raw.get("before.bin") == CONTENT
    assert site.raw.names() == ["before.bin"]


# -- answers --------------------------------------------------------------------------------------


@each_call
@pytest.mark.parametrize(
    ("status", "code"),
    [(503, "ServerBusy"), (500, "OperationTimedOut"), (500, "InternalError"), (429, "Throttled")],
)
def test_a1_a2_passing_trouble_is_waited_out(
    site: Site,
    scripted: AzureStorage,
    delay: mock.Mock,
    call: Callable[[AzureStorage], object],
    status: int,
    code: str,
) -> None:
    answer(site.front, status, code, times=2)
    assert call(scripted) == (CONTENT if call is read else mock.ANY)
    assert delay.call_count == 2


@each_call
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("xml", b"<Error><Code>InternalError</Code><Message></Message></Error>"),
        ("xml", b"<Error><Code>InternalError</Code><Message/></Error>"),
        ("xml", b"<Error><Code>InternalError</Code></Error>"),
        ("xml", b'<Error xmlns="urn:x"><Code>InternalError</Code><Message>m</Message></Error>'),
        ("xml", b"<Error/>"),
        ("xml", b"<Error"),
        ("xml", b""),
        ("json", b'{"error": {"code": "InternalError"}}'),
        ("json", b'{"error": {"code": "InternalError", "message": 5}}'),
        ("json", b'{"error": "InternalError"}'),
        ("json", b'{"error": null}'),
        ("json", b"[]"),
    ],
)
@pytest.mark.parametrize("header", [{"x-ms-error-code": "InternalError"}, {}], ids=["", "bare"])
def test_error_without_a_message_is_told_all_the_same(
    site: Site,
    scripted: AzureStorage,
    call: Callable[[AzureStorage], object],
    kind: str,
    body: bytes,
    header: dict[str, str],
) -> None:
    said = {**header, "Content-Type": f"application/{kind}"}
    site.front.answer(500, body, said, times=None)
    with failing(site, errno.EIO, "answered 500"):
        call(scripted)


@each_call
def test_a1_service_that_is_always_busy_is_told_after_some_tries(
    site: Site, scripted: AzureStorage, call: Callable[[AzureStorage], object]
) -> None:
    answer(site.front, 503, "ServerBusy", times=None)
    with failing(site, errno.EBUSY, "try again later"):
        call(scripted)
    assert len(site.sent()) <= 3 * ATTEMPTS
    site.front.clear()
    assert_works(site, scripted)


@pytest.mark.parametrize(("asked", "least", "most"), [("7", 7, 8.5), ("9999", 30, 30), ("x", 0, 1)])
def test_a1_wait_is_as_long_as_the_service_asks_for_up_to_a_limit(
    site: Site, scripted: AzureStorage, delay: mock.Mock, asked: str, least: float, most: float
) -> None:
    answer(site.front, 503, "ServerBusy", headers={"Retry-After": asked})
    assert scripted.size("before.bin") == len(CONTENT)
    (waited,) = delay.call_args.args
    assert least <= waited <= most


def test_a2_block_that_fails_once_is_sent_again(site: Site, scripted: AzureStorage) -> None:
    answer(site.front, 500, "OperationTimedOut", **BLOCK)
    save(scripted, "a.bin", LARGE)
    assert site.raw.get("a.bin") == LARGE
    assert len(site.sent("PUT", "comp=block&")) == 3


@pytest.mark.parametrize("name", ["a.txt", "before.bin"])
@pytest.mark.parametrize("request_", [COMMIT, BLOCK], ids=["commit", "block"])
@pytest.mark.parametrize(("status", "kind"), [(500, errno.EIO), (403, PermissionError)])
def test_a3_upload_that_fails_shows_nothing(
    site: Site,
    scripted: AzureStorage,
    name: str,
    request_: dict[str, str],
    status: int,
    kind: Any,
) -> None:
    answer(site.front, status, "SomeError", **request_, times=None)
    with failing(site, kind):
        save(scripted, name, LARGE)
    site.front.clear()
    assert_works(site, scripted, LARGE)


@each_size
def test_a4_name_that_was_taken_meanwhile_is_not_used(site: Site, content: bytes) -> None:
    source = Interrupted(content, lambda: site.raw.put("a.bin", b"another client's"))
    name = site.storage().save("a.bin", File(source, "a.bin"))
    assert re.fullmatch(r"a_\w{7}\.bin", name)
    assert site.raw.get("a.bin") == b"another client's"
    assert site.raw.get(name) == content


@each_call
def test_a5_missing_container_is_not_taken_for_a_missing_file(
    site: Site, scripted: AzureStorage, call: Callable[[AzureStorage], object]
) -> None:
    scripted.azure_container = "no-such-container"
    with failing(site, errno.ENXIO, "AZURE_CONTAINER"):
        call(scripted)
    scripted.azure_container = site.raw.name
    assert_works(site, scripted)


def test_a5_missing_file_is_told_as_one(site: Site, scripted: AzureStorage) -> None:
    for call in (read, lambda storage, name: storage.size(name)):
        with pytest.raises(FileNotFoundError, match=r"^\[Errno 2\] No such file: 'a.txt'$"):
            call(scripted, "a.txt")
    assert not scripted.exists("a.txt")


@each_call
def test_a5_not_found_that_azure_did_not_say_is_an_error(
    site: Site, scripted: AzureStorage, call: Callable[[AzureStorage], object]
) -> None:
    site.front.answer(404, b"<h1>Not here</h1>", {"Content-Type": "text/html"}, times=None)
    with failing(site, errno.ENXIO, "AZURE_ACCOUNT_URL"):
        call(scripted)


@each_call
def test_answer_that_is_none_of_azure_s_is_an_error(
    site: Site, scripted: AzureStorage, call: Callable[[AzureStorage], object]
) -> None:
    page = b"Welcome! Log in to the network."
    site.front.answer(200, page, {"Content-Type": "text/html"}, times=None)
    with pytest.raises(OSError, match=r"none of Azure's|Azure answered 200"):
        call(scripted)


def test_answer_without_an_end_is_given_up(site: Site, scripted: AzureStorage) -> None:
    body, told = bytes(LONGEST + 1), {"Content-Type": "text/plain"}
    for method in ("GET", "DELETE"):
        site.front.answer(409, body, told, method=method, times=None)
    with pytest.raises(OSError, match="Protocol error"):
        read(scripted)
    with pytest.raises(OSError, match="Protocol error"):
        scripted.delete("before.bin")


@each_call
@pytest.mark.parametrize("status", [409])
def test_a6_container_that_is_being_deleted_is_an_error_after_one_attempt(
    site: Site, scripted: AzureStorage, call: Callable[[AzureStorage], object], status: int
) -> None:
    answer(site.front, status, "ContainerBeingDeleted", times=None)
    with failing(site, errno.EBUSY, "ContainerBeingDeleted"):
        call(scripted)
    # Blocks are sent by two at once.
    assert len(site.sent()) <= 2


@each_call
def test_a7_wrong_clock_is_told(
    site: Site, scripted: AzureStorage, call: Callable[[AzureStorage], object]
) -> None:
    told = format_datetime(datetime.now(UTC) - timedelta(hours=1), usegmt=True)
    answer(site.front, 403, "AuthenticationFailed", headers={"Date": told}, times=None)
    with failing(site, PermissionError, "clock of this machine"):
        call(scripted)
    assert len(site.sent()) <= 2


def test_a7_wrong_clock_is_told_by_the_text_of_the_answer(
    site: Site, scripted: AzureStorage
) -> None:
    detail = (
        "<AuthenticationErrorDetail>Request date header too old: 'x'</AuthenticationErrorDetail>"
    )
    body = error("AuthenticationFailed").replace(b"</Error>", detail.encode() + b"</Error>")
    site.front.answer(403, body, {"Content-Type": "application/xml"}, times=None)
    with failing(site, PermissionError, "clock of this machine"):
        read(scripted)


@each_call
@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (403, "AuthenticationFailed", "AZURE_ACCOUNT_KEY"),
        (403, "AuthorizationFailure", "firewall"),
        (403, "AuthorizationPermissionMismatch", "role Storage Blob Data Contributor"),
        (403, "KeyBasedAuthenticationNotPermitted", "AZURE_TOKEN_CREDENTIAL"),
        (403, "AccountIsDisabled", "account is disabled"),
        (409, "PublicAccessNotPermitted", "AZURE_ACCOUNT_KEY"),
        (401, "NoAuthenticationInformation", "no credential"),
        (403, "SomethingNew", "SomethingNew"),
    ],
)
def test_a8_refused_request_is_told_with_what_to_change(
    site: Site,
    scripted: AzureStorage,
    call: Callable[[AzureStorage], object],
    status: int,
    code: str,
    says: str,
) -> None:
    answer(site.front, status, code, times=None)
    with failing(site, PermissionError, says):
        call(scripted)
    assert len(site.sent()) <= 2
    site.front.clear()
    assert_works(site, scripted)


def test_a10_answer_shorter_than_announced_is_read_on(site: Site, scripted: AzureStorage) -> None:
    found = site.raw.head("before.bin")
    site.front.answer(
        206,
        CONTENT[:1000],
        {
            "Content-Length": "262144",
            "Content-Range": f"bytes 0-262143/{len(CONTENT)}",
            "ETag": found.etag,
            "x-ms-version": "2021-12-02",
        },
        method="GET",
    )
    assert read(scripted) == CONTENT


@each_size
def test_a11_content_that_the_service_finds_changed_is_not_stored(
    site: Site, scripted: AzureStorage, content: bytes
) -> None:
    answer(site.front, 400, "Md5Mismatch", method="PUT", times=None)
    with failing(site, errno.EIO, "changed on their way"):
        save(scripted, "before.bin", content)
    assert all("Content-MD5" in each.headers for each in site.sent("PUT"))


def test_a12_file_replaced_between_two_requests_is_never_a_mix(
    site: Site, scripted: AzureStorage
) -> None:
    site.raw.put("a.bin", b"a" * 600_000)
    with scripted.open("a.bin") as file:
        file.read(1)
        site.raw.put("a.bin", b"b" * 600_000)
        with failing(site, errno.ESTALE, "replaced while it was read", "a.bin"):
            file.read()
    assert read(scripted, "a.bin") == b"b" * 600_000


@each_size
def test_a12_file_replaced_while_it_was_changed_is_kept(site: Site, content: bytes) -> None:
    site.raw.put("a.bin", content)
    file = site.storage().open("a.bin", "ab")
    file.write(b"more")
    site.raw.put("a.bin", b"another client's")
    with pytest.raises(OSError, match="replaced") as raised:
        file.close()
    assert raised.value.errno == errno.ESTALE
    assert site.raw.get("a.bin") == b"another client's"


@pytest.mark.parametrize(
    ("status", "code", "kind", "says"),
    [
        (409, "BlobArchived", PermissionError, "BlobArchived"),
        (409, "SnapshotsPresent", errno.EBUSY, "SnapshotsPresent"),
        (409, "InvalidBlobType", errno.EINVAL, "append or page blob"),
        (409, "BlobImmutableDueToPolicy", PermissionError, "policy"),
        (412, "LeaseIdMissing", errno.EBUSY, "leased"),
        (409, "NeverHeardOf", errno.EIO, "409 NeverHeardOf"),
        (400, "InvalidBlobOrBlock", errno.EBUSY, "unfinished upload"),
        (413, "RequestBodyTooLarge", errno.EFBIG, "larger"),
        (301, "", errno.EIO, "301"),
    ],
)
@each_mode
def test_other_answers_have_a_meaning_of_their_own_and_are_no_taken_name(
    site: Site,
    scripted: AzureStorage,
    status: int,
    code: str,
    kind: type[OSError] | int,
    says: str,
    overwrite: bool,
) -> None:
    scripted.file_overwrite = overwrite
    answer(site.front, status, code, method="PUT", times=None, headers={"Location": "http://h/"})
    with failing(site, kind, says):
        save(scripted, "a.txt", CONTENT)
    assert len(site.sent("PUT")) == 1


def test_taken_name_is_found_before_the_blocks_are_sent(site: Site) -> None:
    storage = site.storage()
    file = storage.open("b.bin", "xb")
    file.write(LARGE)
    site.raw.put("b.bin", b"another client's")
    with pytest.raises(FileExistsError):
        file.close()
    assert site.sent("PUT") == []


@each_mode
def test_parallel_uploads_in_blocks_of_one_name_are_each_whole(site: Site, overwrite: bool) -> None:
    contents = [random.Random(seed).randbytes(9 * MIB) for seed in range(4)]
    storage = site.storage(file_overwrite=overwrite)
    with ThreadPoolExecutor(4) as pool:
        names = list(pool.map(lambda each: save(storage, "a.bin", each), contents))
    stored = {name: site.raw.get(name) for name in site.raw.names()}
    assert set(stored) == set(names)
    if overwrite:
        assert stored["a.bin"] in contents
    else:
        assert [stored[name] for name in names] == contents


def test_account_that_nothing_names_is_told(site: Site) -> None:
    storage = AzureStorage(azure_container=site.raw.name)
    for call in CALLS.values():
        with pytest.raises(ImproperlyConfigured, match="AZURE_ACCOUNT_NAME"):
            call(storage)


def test_time_limits_of_a_storage_are_its_own(site: Site, line: Proxy) -> None:
    line.silence()
    site.raw.put("before.bin", CONTENT)
    storage = site.storage(account_url=through(line), **IMPATIENT)
    with failing(site, TimeoutError):
        read(storage)


def test_whole_file_in_answer_to_a_range_is_read_whole(scripted: AzureStorage, site: Site) -> None:
    headers = {"x-ms-version": "2021-12-02", "ETag": '"1"'}
    site.front.answer(200, CONTENT, headers, method="GET")
    assert read(scripted) == CONTENT
