"""What the Dropbox backend does where the network, the service or the account are bad.

Numbers are those of the fault list: G for all services, X for Dropbox.
"""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from requests import PreparedRequest, Response, Session
from requests.exceptions import ReadTimeout

from storages.backends.dropbox import DropBoxStorage, DropBoxStorageException
from storages.testing.lifecycle import forked, wait_for
from tests.backends.dropbox.server import Site, StubbedStorage, ToStub
from tests.servers.certificates import Certificate, authority
from tests.servers.dropbox_stub import DropboxStub
from tests.servers.http import HTTPProxy
from tests.servers.process import HOST, refusing_port
from tests.servers.proxy import Proxy

MIB = 1024 * 1024
CONTENT = random.Random(1).randbytes(600_000)
LARGE = random.Random(2).randbytes(9 * MIB)  # three parts
MIDDLE = 300_000  # a byte of the content's exchange

Storage = DropBoxStorage
Call = Callable[[Storage], object]


def save(storage: Storage, name: str = "a.bin", content: bytes = CONTENT) -> str:
    return storage.save(name, ContentFile(content))


def read(storage: Storage, name: str = "before.bin") -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


#: Every way to ask Dropbox.
CALLS: dict[str, Call] = {
    "read": read,
    "save": save,
    "save in parts": lambda storage: save(storage, "a.bin", LARGE),
    "exists": lambda storage: storage.exists("before.bin"),
    "size": lambda storage: storage.size("before.bin"),
    "get_modified_time": lambda storage: storage.get_modified_time("before.bin"),
    "listdir": lambda storage: storage.listdir(""),
    "url": lambda storage: storage.url("before.bin"),
    "delete": lambda storage: storage.delete("before.bin"),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
each_mode = pytest.mark.parametrize("overwrite", [True, False], ids=["overwrite", "add"])
each_size = pytest.mark.parametrize("content", [CONTENT, LARGE], ids=["at once", "in parts"])


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let waiting take no time, and keep for how long it would have been."""
    found: list[float] = []
    monkeypatch.setattr(time, "sleep", found.append)
    return found


@pytest.fixture
def full(site: Site) -> Site:
    """An account that holds a file."""
    site.raw.put("before.bin", CONTENT)
    return site


@pytest.fixture
def line(stub: DropboxStub) -> Iterator[Proxy]:
    with Proxy(*stub.address) as proxy:
        yield proxy


def on_line(site: Site, line: Proxy, **options: Any) -> StubbedStorage:
    return site.storage(endpoint=f"http://{line.host}:{line.port}", **options)


def answer(tag: str, *outer: str, **members: Any) -> bytes:
    """Return the body of an error of the API."""
    error: dict[str, Any] = {".tag": tag, **members}
    for each in reversed(outer):
        error = {".tag": each, each: error}
    return json.dumps({"error_summary": f"{tag}/...", "error": error}).encode()


JSON = {"Content-Type": "application/json"}
#: Of some file.
METADATA = {
    "name": "before.bin",
    "id": "id:1",
    "client_modified": "2026-01-01T00:00:00Z",
    "server_modified": "2026-01-01T00:00:00Z",
    "rev": "0123456789",
}


# -- connections ----------------------------------------------------------------------------------


@each_call
def test_g1_refused_connection_is_told(site: Site, call: Call) -> None:
    storage = site.storage(endpoint=f"http://{HOST}:{refusing_port()}")
    with pytest.raises(ConnectionRefusedError) as raised:
        call(storage)
    assert site.raw.account not in "".join(traceback.format_exception(raised.value))


def test_g2_unknown_host_is_told(site: Site) -> None:
    with pytest.raises(OSError, match="not found") as raised:
        site.storage(endpoint="http://nowhere.invalid").exists("a.txt")
    assert raised.value.errno == errno.EHOSTUNREACH


@each_call
def test_g3_silence_ends_in_time(full: Site, line: Proxy, call: Call) -> None:
    line.silence()
    with pytest.raises(TimeoutError):
        call(on_line(full, line, timeout=0.5))


@each_call
def test_g4_reset_before_the_answer_is_met_by_another_try(
    full: Site, slept: list[float], call: Call
) -> None:
    full.front.reset(times=1, forward=False)
    call(full.storage())
    assert len(slept) == 1


@each_call
def test_g4_resets_without_end_are_told_after_four_tries(
    full: Site, slept: list[float], call: Call
) -> None:
    full.front.reset(times=None, forward=False)
    with pytest.raises(ConnectionError):
        call(full.storage())
    assert full.raw.names() == ["before.bin"]
    full.front.clear()
    call(full.storage())


@pytest.mark.parametrize("cut", ["reset_peer", "limit_data"])
def test_g5_g6_download_cut_in_the_middle_is_read_on(full: Site, line: Proxy, cut: str) -> None:
    getattr(line, cut)(MIDDLE, "down", times=1)
    assert read(on_line(full, line)) == CONTENT


def test_g6_download_that_always_ends_early_is_an_error(full: Site) -> None:
    metadata = json.dumps(METADATA | {"size": len(CONTENT)})
    told = {"Content-Length": str(len(CONTENT)), "Dropbox-API-Result": metadata}
    full.front.answer(200, b"", told, path="download$", times=None)
    with pytest.raises(ConnectionError):
        read(full.storage())


@each_mode
@each_size
def test_g7_upload_reset_in_the_middle_is_sent_again(
    full: Site, line: Proxy, slept: list[float], content: bytes, overwrite: bool
) -> None:
    line.reset_peer(MIDDLE, "up", times=1)
    name = save(on_line(full, line, file_overwrite=overwrite), content=content)
    assert (name, full.raw.get("a.bin")) == ("a.bin", content)
    assert sorted(full.raw.names()) == ["a.bin", "before.bin"]


LOSSES: dict[str, Callable[[HTTPProxy, str], None]] = {
    "reset": lambda front, path: front.reset(path=path),
    "500": lambda front, path: front.answer(500, path=path, forward=True),
    "503": lambda front, path: front.answer(503, b"<html>", path=path, forward=True),
}


@each_mode
@each_size
@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_g8_x6_save_whose_answer_was_lost_makes_one_file(
    full: Site, slept: list[float], lose: Any, content: bytes, overwrite: bool
) -> None:
    lose(full.front, "upload$" if content is CONTENT else "finish$")
    name = save(full.storage(file_overwrite=overwrite), content=content)
    assert (name, full.raw.get("a.bin")) == ("a.bin", content)
    assert sorted(full.raw.names()) == ["a.bin", "before.bin"]


class Late(ToStub):
    """Lets the answers to the requests that commit a file come too late."""

    def send(self, request: PreparedRequest, *args: Any, **options: Any) -> Response:
        is_commit = str(request.url).endswith(("/upload", "/finish"))
        response = super().send(request, *args, **options)
        if is_commit:
            response.close()
            raise ReadTimeout
        return response


class LateStorage(StubbedStorage):
    """A storage that never hears of its commits."""

    def make_session(self) -> Session:
        session = super().make_session()
        session.mount("https://", Late(str(self.endpoint)))
        return session


@each_mode
@each_size
def test_g8_save_whose_answer_comes_too_late_is_stored_once(
    full: Site, content: bytes, overwrite: bool
) -> None:
    storage = LateStorage(**full.options(file_overwrite=overwrite))
    assert save(storage, content=content) == "a.bin"
    assert full.raw.get("a.bin") == content
    assert sorted(full.raw.names()) == ["a.bin", "before.bin"]
    assert len([each for each in full.routes if each.endswith(("upload", "finish"))]) == 1


def test_g8_save_that_was_late_and_is_not_there_is_a_timeout(full: Site) -> None:
    storage = LateStorage(**full.options(file_overwrite=False))
    full.front.answer(500, path="upload$")
    with pytest.raises(TimeoutError):
        save(storage)
    assert full.raw.names() == ["before.bin"]


@each_size
def test_g8_lost_answer_and_lost_look_make_one_file(
    full: Site, slept: list[float], content: bytes
) -> None:
    path = "upload$" if content is CONTENT else "finish$"
    full.front.reset(path=path)
    storage = full.storage(file_overwrite=False)
    storage.exists("a.bin")
    full.front.answer(500, path="get_metadata$", times=2)
    assert save(storage, content=content) == "a.bin"
    assert sorted(full.raw.names()) == ["a.bin", "before.bin"]


@pytest.mark.parametrize("age", [0, 3600])
def test_g8_equal_file_of_another_client_is_never_taken_for_ones_own(
    site: Site, slept: list[float], age: int
) -> None:
    storage = site.storage(file_overwrite=False)
    site.front.answer(500, path="upload$", times=1)
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - age + 100))

    class Planting(ContentFile):  # type: ignore[type-arg]
        def read(self, *size: int) -> Any:
            if size != (0,):
                site.raw.put("a.bin", CONTENT, client_modified=moment, modified=moment)
            return super().read(*size)

    name = storage.save("a.bin", Planting(CONTENT))
    assert name != "a.bin"
    assert sorted(site.raw.names()) == sorted(["a.bin", name])


def test_g8_change_whose_answer_was_lost_is_no_conflict(full: Site, slept: list[float]) -> None:
    with full.storage().open("before.bin", "ab") as file:
        file.write(b"more")
        full.front.reset(path="upload$")
    assert full.raw.get("before.bin") == CONTENT + b"more"


def test_delete_whose_answer_was_lost_is_done(full: Site, slept: list[float]) -> None:
    full.front.answer(500, path="delete_v2$", forward=True)
    full.storage().delete("before.bin")
    assert full.raw.names() == []


def test_delete_spares_what_takes_the_name_meanwhile(full: Site) -> None:
    newer = []

    class Replacing(HTTPProxy):
        def rule_for(self, request: Any) -> Any:
            if request.target.endswith("delete_v2") and not newer:
                newer.append(full.raw.put("before.bin", b"newer"))
            return super().rule_for(request)

    with Replacing(*full.stub.address) as front:
        full.storage(endpoint=front.url).delete("before.bin")
        revisions = [each.target for each in front.requests].count("/2/files/delete_v2")
    assert revisions == 2
    assert full.raw.names() == []


@each_call
def test_g9_restarted_server_is_met_by_the_next_call(call: Call) -> None:
    with DropboxStub() as own, HTTPProxy(*own.address) as front:
        site = Site(own, front)
        storage = site.storage(endpoint=own.url)
        storage.exists("a.txt")
        own.restart()
        site.raw.put("before.bin", CONTENT)
        call(storage)


@each_call
def test_g10_connection_closed_while_idle_is_replaced(full: Site, line: Proxy, call: Call) -> None:
    storage = on_line(full, line)
    storage.exists("a.txt")
    line.drop_connections()
    call(storage)


def test_g11_content_that_trickles_is_given_up(full: Site, line: Proxy) -> None:
    full.raw.put("before.bin", LARGE)
    with on_line(full, line, timeout=1.0).open("before.bin") as file:
        file.read(1000)
        line.bandwidth(200, "down")
        with pytest.raises(TimeoutError):
            file.read()


@each_call
def test_g11_answer_that_trickles_is_given_up(full: Site, line: Proxy, call: Call) -> None:
    line.bandwidth(20, "down")
    with pytest.raises(TimeoutError):
        call(on_line(full, line, timeout=0.5))


def test_g12_g13_distance_and_small_segments_change_nothing(full: Site, line: Proxy) -> None:
    line.latency(0.2)
    line.slicer(1000)
    storage = on_line(full, line)
    assert save(storage, content=CONTENT) == "a.bin"
    assert read(storage, "a.bin") == CONTENT
    assert storage.listdir("") == ([], ["a.bin", "before.bin"])


@each_size
def test_g14_byte_changed_on_its_way_there_is_sent_again(
    full: Site, line: Proxy, slept: list[float], content: bytes
) -> None:
    line.corrupt(MIDDLE, "up", times=1)
    save(on_line(full, line), content=content)
    assert full.raw.get("a.bin") == content


@pytest.mark.parametrize("position", [2000, MIDDLE, 590_000])
def test_g14_x12_byte_changed_on_its_way_here_is_an_error(
    full: Site, line: Proxy, position: int
) -> None:
    line.corrupt(position, "down", times=1)
    with pytest.raises(DropBoxStorageException, match="changed on their way"):
        read(on_line(full, line))


def test_g14_x12_changed_byte_is_found_after_an_interruption_too(full: Site, line: Proxy) -> None:
    line.corrupt(2000, "down", times=1)
    line.limit_data(MIDDLE, "down", times=1)
    with on_line(full, line).open("before.bin") as file:
        file.read(1000)
        with pytest.raises(DropBoxStorageException, match="changed on their way"):
            file.read()
    assert line.connections == 2


@pytest.mark.parametrize(
    "shown",
    [authority().expired, authority().wrong_host, authority().self_signed],
    ids=["expired", "wrong host", "self-signed"],
)
def test_g15_bad_certificate_is_refused(full: Site, shown: Certificate) -> None:
    ca_certs = str(authority().ca_file)
    with HTTPProxy(*full.stub.address, tls=shown.server_context()) as front:
        with pytest.raises(OSError, match="certificate"):
            full.storage(endpoint=front.url, ca_certs=ca_certs).exists("a.txt")
        assert front.requests == []


def test_g15_certificate_of_the_given_authority_is_taken(
    full: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = authority().good.server_context()
    ca_certs = str(authority().ca_file)
    with HTTPProxy(*full.stub.address, tls=tls) as front:
        assert full.storage(endpoint=front.url, ca_certs=ca_certs).exists("before.bin")
        with pytest.raises(OSError, match="certificate"):
            full.storage(endpoint=front.url).exists("before.bin")


def test_g16_forked_child_opens_a_connection_of_its_own(full: Site, line: Proxy) -> None:
    storage = on_line(full, line)
    assert read(storage) == CONTENT
    child = forked(lambda: read(storage))
    assert wait_for(child) == ""
    assert line.connections == 2


def test_g17_killed_upload_leaves_no_file(full: Site, line: Proxy) -> None:
    line.bandwidth(2 * MIB, "up")
    code = (
        "import django, sys; from django.conf import settings\n"
        "settings.configure(); django.setup()\n"
        "from django.core.files.base import ContentFile\n"
        "from tests.backends.dropbox.server import StubbedStorage\n"
        "storage = StubbedStorage(sys.argv[1], endpoint=sys.argv[2], file_overwrite=True)\n"
        "print(storage.exists('x'), flush=True)\n"
        "storage.save('before.bin', ContentFile(bytes(64 << 20)))\n"
    )
    token = f"good-{full.raw.account}"
    where = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *sys.path])}
    arguments = [sys.executable, "-c", code, token, f"http://{line.host}:{line.port}"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=where) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while not full.raw.facts["sessions"]:
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    assert full.raw.names() == ["before.bin"]
    assert full.raw.get("before.bin") == CONTENT


def test_netrc_does_not_replace_the_token(
    full: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    hosts = (HOST, "api.dropboxapi.com", "content.dropboxapi.com")
    netrc.write_text("".join(f"machine {host} login x password y\n" for host in hosts))
    monkeypatch.setenv("NETRC", str(netrc))
    assert read(full.storage()) == CONTENT


# -- answers --------------------------------------------------------------------------------------


@each_call
@pytest.mark.parametrize("form", ["header", "json"])
def test_x1_rate_limit_is_waited_for(full: Site, slept: list[float], call: Call, form: str) -> None:
    if form == "header":
        full.front.answer(429, b"slow down", {"Retry-After": "7"}, times=2)
    else:
        reason = {".tag": "too_many_requests"}
        body = json.dumps({"error_summary": "x", "error": {"reason": reason, "retry_after": 7}})
        full.front.answer(429, body.encode(), JSON, times=2)
    call(full.storage())
    assert slept == [7, 7]


@each_call
def test_x1_rate_limit_over_the_cap_is_a_timeout(
    full: Site, slept: list[float], call: Call
) -> None:
    full.front.answer(429, b"", {"Retry-After": "7"}, times=None)
    with pytest.raises(TimeoutError, match="DROPBOX_MAX_WAIT"):
        call(full.storage(max_wait=20.0))
    assert sum(slept) <= 20
    assert full.raw.names() == ["before.bin"]


@pytest.mark.parametrize("said", ["86400", "Wed, 25 Nov 2026 20:00:00 GMT", "", "-1", "0"])
def test_x1_any_retry_after_ends_within_the_cap(full: Site, slept: list[float], said: str) -> None:
    full.front.answer(429, b"", {"Retry-After": said}, times=None)
    with pytest.raises(TimeoutError):
        full.storage(max_wait=20.0).exists("a.txt")
    assert sum(slept) <= 20


def test_x1_parts_of_one_save_share_the_cap(site: Site, slept: list[float]) -> None:
    site.front.answer(429, b"", {"Retry-After": "7"}, path="start$", times=2)
    site.front.answer(429, b"", {"Retry-After": "7"}, path="finish$", times=2)
    with pytest.raises(TimeoutError):
        save(site.storage(max_wait=20.0), content=LARGE)
    assert slept == [7, 7]


def test_x1_whole_content_is_sent_again_after_a_rate_limit(site: Site, slept: list[float]) -> None:
    site.front.answer(429, b"", {"Retry-After": "1"}, path="upload$")
    save(site.storage())
    assert site.raw.get("a.bin") == CONTENT


@each_call
@pytest.mark.parametrize("status", [500, 502, 503])
def test_x2_passing_trouble_is_waited_out(
    full: Site, slept: list[float], call: Call, status: int
) -> None:
    full.front.answer(status, b"<html>trouble</html>", times=2)
    call(full.storage())
    assert len(slept) == 2


@each_call
def test_x2_lasting_trouble_is_told_and_over_when_it_is_over(
    full: Site, slept: list[float], call: Call
) -> None:
    storage = full.storage()
    full.front.answer(503, b"<html>trouble</html>", times=None)
    with pytest.raises(DropBoxStorageException, match="503"):
        call(storage)
    assert len(slept) <= 8
    assert full.raw.names() == ["before.bin"]
    full.front.clear()
    call(storage)


@each_call
def test_x3_expired_token_is_renewed(full: Site, call: Call) -> None:
    storage = full.refreshing()
    storage.exists("a.txt")
    full.raw.tell(clock=20_000)
    call(storage)
    assert full.raw.facts["refreshes"] == 2


@each_call
@pytest.mark.parametrize("token", ["unknown", "expired", "malformed"])
def test_x3_refused_token_is_told_with_the_setting(full: Site, call: Call, token: str) -> None:
    options = {} if token == "expired" else {"oauth2_access_token": "unknown-canary"}
    full.raw.tell(expired=True)
    if token == "malformed":
        body = (
            b'Invalid authorization value in HTTP header "Authorization": "Bearer unknown-canary"'
        )
        full.front.answer(400, body, times=None)
    with pytest.raises(PermissionError, match="DROPBOX_OAUTH2_TOKEN") as raised:
        call(full.storage(**options))
    told = "".join(traceback.format_exception(raised.value))
    assert "unknown-canary" not in told
    assert full.raw.names() == ["before.bin"]


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("lose", LOSSES.values(), ids=LOSSES)
def test_x4_part_whose_answer_was_lost_is_no_loss(
    site: Site, slept: list[float], lose: Any, part: int
) -> None:
    for _ in range(part):
        site.front.answer(500, path="append_v2$", times=1)
    lose(site.front, "append_v2$")
    save(site.storage(), content=LARGE)
    assert site.raw.get("a.bin") == LARGE


@pytest.mark.parametrize("offset", [0, 1, MIB, 4 * MIB, 8 * MIB, 9 * MIB, 12 * MIB])
def test_x4_upload_goes_on_where_the_session_says(
    site: Site, slept: list[float], offset: int
) -> None:
    body = answer("incorrect_offset", correct_offset=offset)
    site.front.answer(409, body, JSON, path="append_v2$")
    try:
        save(site.storage(), content=LARGE)
    except OSError:
        # The session stood elsewhere than it had said.
        assert site.raw.names() == []
    else:
        assert site.raw.get("a.bin") == LARGE


@pytest.mark.parametrize("offset", [0, 4 * MIB, 8 * MIB])
def test_x4_finish_goes_back_to_where_the_session_says(
    site: Site, slept: list[float], offset: int
) -> None:
    body = answer("incorrect_offset", "lookup_failed", correct_offset=offset)
    site.front.answer(409, body, JSON, path="finish$")
    save(site.storage(), content=LARGE)
    assert site.raw.get("a.bin") == LARGE


@pytest.mark.parametrize(
    ("path", "tag", "outer"),
    [
        ("append_v2$", "not_found", ()),
        ("finish$", "not_found", ("lookup_failed",)),
        ("finish$", "closed", ("lookup_failed",)),
        ("finish$", "concurrent_session_missing_data", ()),
        ("finish$", "concurrent_session_not_closed", ()),
    ],
)
def test_x5_lost_session_is_begun_again(
    site: Site, slept: list[float], path: str, tag: str, outer: tuple[str, ...]
) -> None:
    site.front.answer(409, answer(tag, *outer), JSON, path=path)
    save(site.storage(), content=LARGE)
    assert site.raw.get("a.bin") == LARGE
    assert site.raw.facts["sessions"] == 2


def test_x5_session_that_is_always_lost_is_told(site: Site, slept: list[float]) -> None:
    site.front.answer(409, answer("not_found"), JSON, path="append_v2$", times=None)
    with pytest.raises(OSError, match="session"):
        save(site.storage(), content=LARGE)
    assert site.raw.names() == []


@each_size
def test_x7_equal_content_under_a_taken_name_is_a_file_of_its_own(
    site: Site, content: bytes
) -> None:
    storage = site.storage(file_overwrite=False)
    names = [save(storage, content=content) for _ in range(2)]
    assert len(set(names)) == 2
    storage.delete(names[0])
    assert site.raw.get(names[1]) == content


@each_mode
@each_size
@pytest.mark.parametrize(
    ("tag", "number"),
    [
        ("insufficient_space", errno.ENOSPC),
        ("team_folder_insufficient_space", errno.ENOSPC),
        ("member_folder_insufficient_space", errno.ENOSPC),
        ("upload_traffic_limit_reached", errno.EDQUOT),
        ("no_write_permission", errno.EACCES),
        ("access_restricted", errno.EACCES),
        ("operation_suppressed", errno.EACCES),
        ("disallowed_name", errno.EINVAL),
        ("malformed_path", errno.EINVAL),
    ],
)
def test_x8_x11_refused_write_is_told_by_its_kind(
    site: Site, content: bytes, overwrite: bool, tag: str, number: int
) -> None:
    site.raw.tell(errors={"/a.bin": [tag]})
    site.front.answer(409, answer("not_found", "path"), JSON, path="get_metadata$")
    with pytest.raises(OSError, match=r"a\.bin") as raised:
        save(site.storage(file_overwrite=overwrite), content=content)
    assert raised.value.errno == number
    assert site.raw.names() == []


def test_x8_full_account_keeps_the_old_file(full: Site) -> None:
    full.raw.tell(quota=len(CONTENT))
    with pytest.raises(OSError, match="no room") as raised:
        save(full.storage(), "before.bin", LARGE)
    assert raised.value.errno == errno.ENOSPC
    assert full.raw.get("before.bin") == CONTENT


@pytest.mark.parametrize("call", [CALLS["save"], CALLS["save in parts"], CALLS["delete"]])
def test_x9_too_many_writes_are_waited_out(full: Site, slept: list[float], call: Call) -> None:
    full.raw.tell(busy=3)
    call(full.storage())
    assert slept == [1, 2, 4]
    full.raw.put("before.bin", CONTENT)
    full.raw.tell(busy=1000)
    with pytest.raises(TimeoutError, match="DROPBOX_MAX_WAIT"):
        call(full.storage())
    assert sum(slept) <= 67


def test_x10_reset_listing_begins_again(site: Site) -> None:
    site.stub.plant(site.raw.account, [f"/d/{number}" for number in range(6)])
    site.raw.tell(pages=[2] * 20, resets=1)
    assert site.storage().listdir("d") == ([], [str(number) for number in range(6)])


@pytest.mark.parametrize("directory", ["", "/d"])
@pytest.mark.parametrize("recursive", [False, True])
def test_root_that_goes_away_between_two_pages_is_not_listed_as_whole(
    site: Site, recursive: bool, directory: str
) -> None:
    # A page may hold a folder alone.
    names = [f"{directory}/{number}" for number in range(6)]
    site.stub.plant(site.raw.account, [*names, "/e/1"])
    site.raw.tell(pages=[1] * 20)
    site.front.answer(409, answer("not_found", "path"), JSON, path="continue$")
    with pytest.raises(FileNotFoundError):
        list(site.storage().scan(recursive=recursive))


@pytest.mark.parametrize(
    ("tag", "number"),
    [
        ("not_found", errno.ENOENT),
        ("restricted_content", errno.EPERM),
        ("malformed_path", errno.EINVAL),
        ("locked", errno.EBUSY),
        ("unsupported_content_type", errno.EOPNOTSUPP),
        ("something_new", errno.EIO),
    ],
)
@pytest.mark.parametrize("call", [CALLS[name] for name in ("read", "exists", "size", "url")])
def test_x11_lookup_errors_are_told_apart(full: Site, call: Call, tag: str, number: int) -> None:
    full.front.answer(409, answer(tag, "path"), JSON)
    if call is CALLS["exists"] and tag == "not_found":
        assert call(full.storage()) is False
        return
    with pytest.raises(OSError, match=r"before\.bin") as raised:
        call(full.storage())
    assert raised.value.errno == number


@each_call
@pytest.mark.parametrize("status", [302, 307])
def test_answer_that_redirects_takes_no_token_and_no_content_elsewhere(
    full: Site, call: Call, status: int
) -> None:
    with HTTPProxy(HOST, refusing_port()) as elsewhere:
        location = {"Location": f"{elsewhere.url}/2/files/upload"}
        for storage in (full.storage(), full.refreshing()):
            full.front.answer(status, b"", location, times=None)
            with pytest.raises(OSError):  # noqa: PT011 - whatever it is
                call(storage)
        assert elsewhere.requests == []


@each_call
@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (200, b"<html>Sign in to the hotel</html>", {"Content-Type": "text/html"}),
        (200, b"{", JSON),
        (200, b"null", JSON),
        (200, b"[]", JSON),
        (200, b"[" * 200_000, JSON),
        (409, b"[" * 200_000, JSON),
        (401, b"<html>", {"Content-Type": "text/html"}),
        (403, b"<html>", {"Content-Type": "text/html"}),
        (404, b"", {}),
        (409, b"<html>", {"Content-Type": "text/html"}),
        (409, b'{"error": {".tag": "path"}}', JSON),
        (418, b"", {}),
    ],
)
def test_answer_that_is_not_dropboxs_is_an_error_and_never_an_absence(
    full: Site, call: Call, status: int, body: bytes, headers: dict[str, str]
) -> None:
    full.front.answer(status, body, headers, times=None)
    with pytest.raises(OSError) as raised:  # noqa: PT011 - any but these
        call(full.storage())
    assert not isinstance(raised.value, (FileNotFoundError, FileExistsError))
    assert full.raw.names() == ["before.bin"]


@pytest.mark.parametrize(
    ("status", "headers"),
    [
        (206, {"Content-Range": "bytes 0-599999/600000"}),
        (206, {"Content-Range": "bytes 400000-599999/700000"}),
        (206, {}),
    ],
)
def test_range_that_was_not_asked_for_is_never_taken(
    full: Site, status: int, headers: dict[str, str]
) -> None:
    with full.storage().open("before.bin") as file:
        metadata = json.dumps(METADATA | {"size": len(CONTENT)})
        told = {**headers, "Dropbox-API-Result": metadata}
        full.front.answer(status, CONTENT[400_000:], told, path="download$", times=None)
        file.seek(300_000)
        with pytest.raises(OSError, match=r"replaced|which bytes"):
            file.read()


def test_removed_revision_ends_the_reading(full: Site) -> None:
    with full.storage().open("before.bin") as file:
        full.front.answer(409, answer("not_found", "path"), JSON, path="download$", times=None)
        file.seek(300_000)
        with pytest.raises(OSError, match="replaced") as raised:
            file.read()
    assert raised.value.errno == errno.ESTALE


def test_changed_root_namespace_ends_a_listing_in_a_configuration_error(full: Site) -> None:
    info = {".tag": "user", "root_namespace_id": "777", "home_namespace_id": "1"}
    body = answer("invalid_root", invalid_root=info)
    full.front.answer(422, body, JSON, times=None)
    with pytest.raises(ImproperlyConfigured, match="777"):
        full.storage(path_root="1001").listdir("")
