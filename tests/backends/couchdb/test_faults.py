"""What the CouchDB backend does where the network, the server or the account are bad.

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
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.core.files.base import ContentFile, File

from storages.backends.couchdb import CouchDBStorage
from storages.testing.sources import Interrupted
from tests.backends.couchdb.server import RawDatabase, Site, answer, refusal
from tests.servers.certificates import Certificate, authority
from tests.servers.http import HTTPProxy
from tests.servers.pouchdb import PouchDB
from tests.servers.process import HOST, refusing_port
from tests.servers.proxy import Proxy

MIB = 1024 * 1024
CONTENT = random.Random(1).randbytes(600_000)  # more than is read ahead
#: Of the head of an answer and some of what follows, and of an upload.
MIDDLE = 100_000


@pytest.fixture
def line(pouchdb: PouchDB) -> Iterator[Proxy]:
    """A bad line to the server."""
    with Proxy(*pouchdb.address) as line:
        yield line


@pytest.fixture
def on_line(site: Site, line: Proxy) -> CouchDBStorage:
    """A storage at the end of the bad line, signed in, whose database holds a file."""
    site.raw.put("before.bin", CONTENT)
    storage = site.storage(server=f"http://{HOST}:{line.port}", timeout=5)
    assert storage.exists("before.bin")
    return storage


@pytest.fixture
def scripted(site: Site) -> CouchDBStorage:
    """A storage that asks the proxy of `site`, signed in, whose database holds a file."""
    site.raw.put("before.bin", CONTENT)
    return site.signed_in()


def save(storage: CouchDBStorage, name: str = "a.txt", content: bytes = b"content") -> str:
    return storage.save(name, ContentFile(content))


def overwrite(storage: CouchDBStorage) -> str:
    storage.file_overwrite = True
    return save(storage, "before.bin", CONTENT)


def change(storage: CouchDBStorage) -> None:
    with storage.open("before.bin", "r+b") as file:
        file.write(CONTENT[:3])


def read(storage: CouchDBStorage, name: str = "before.bin") -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


#: Every way to ask the server.
CALLS: dict[str, Callable[[CouchDBStorage], object]] = {
    "read": read,
    "save": save,
    "overwrite": overwrite,
    "change": change,
    "exists": lambda storage: storage.exists("before.bin"),
    "size": lambda storage: storage.size("before.bin"),
    "get_modified_time": lambda storage: storage.get_modified_time("before.bin"),
    "listdir": lambda storage: storage.listdir("dir"),
    "walk": lambda storage: list(storage.scan(recursive=True)),
    "delete": lambda storage: storage.delete("before.bin"),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
reading = pytest.mark.parametrize(
    "call", [CALLS[name] for name in ("read", "exists", "size", "listdir", "walk")]
)
both_modes = pytest.mark.parametrize("overwriting", [True, False])


@contextmanager
def failing(site: Site, kind: type[OSError] | int, says: str | None = None) -> Iterator[None]:
    """Expect an error that tells no secret and changes no file."""
    with pytest.raises(OSError, match=says) as raised:
        yield
    error = raised.value
    assert error.errno == kind if isinstance(kind, int) else isinstance(error, kind), error
    text = "".join(traceback.format_exception(error))
    assert site.server.password not in text
    assert "AuthSession" not in text
    assert site.raw.names() == ["before.bin"]
    assert site.raw.get("before.bin") == CONTENT


def assert_works(site: Site, storage: CouchDBStorage) -> None:
    """Fail unless a storage works now."""
    storage.file_overwrite = False
    name = save(storage, "after.bin", CONTENT)
    assert name == "after.bin"
    assert read(storage, name) == site.raw.get(name) == CONTENT
    storage.delete(name)
    assert site.raw.names() == ["before.bin"]


# -- connections ----------------------------------------------------------------------------------


@each_call
def test_g1_refused_connection_is_told_with_host_and_port_alone(
    site: Site,
    line: Proxy,
    on_line: CouchDBStorage,
    call: Callable[[CouchDBStorage], object],
) -> None:
    line.down()
    with failing(site, ConnectionRefusedError, rf"CouchDB at {HOST}:{line.port} cannot be reached"):
        call(on_line)
    line.clear()
    assert_works(site, on_line)


def test_g2_host_that_does_not_resolve_is_told(site: Site) -> None:
    site.raw.put("before.bin", CONTENT)
    with failing(site, errno.EHOSTUNREACH, "no-such-host.invalid:5984 is not found"):
        read(site.storage(server="http://no-such-host.invalid:5984"))


@each_call
def test_g3_server_that_falls_silent_times_out(
    site: Site,
    line: Proxy,
    on_line: CouchDBStorage,
    call: Callable[[CouchDBStorage], object],
) -> None:
    on_line.timeout = 2.0
    on_line.exists("before.bin")
    line.silence()
    with failing(site, TimeoutError, "did not answer in time"):
        call(on_line)
    line.drop_connections()
    line.clear()
    on_line.timeout = 10.0
    assert_works(site, on_line)


def test_g3_server_that_falls_silent_during_a_download_times_out(
    site: Site, line: Proxy, on_line: CouchDBStorage
) -> None:
    large = random.Random(2).randbytes(12 * MIB)
    site.raw.put("large.bin", large)
    on_line.timeout = 1.0
    with on_line.open("large.bin") as file:
        start = file.read(1000)
        line.silence()
        with pytest.raises(TimeoutError):
            file.read()
        line.drop_connections()
        line.clear()
        file.seek(1000)
        assert start + file.read() == large


@each_call
def test_g4_connection_reset_before_the_answer_is_tried_again(
    site: Site,
    line: Proxy,
    on_line: CouchDBStorage,
    call: Callable[[CouchDBStorage], object],
) -> None:
    line.reset_peer(0, "down", times=1)
    expected = {read: CONTENT, save: "a.txt", overwrite: "before.bin"}
    found = call(on_line)
    assert found == expected.get(call, found)
    assert site.raw.get("a.txt") == (b"content" if call is save else None)
    assert (site.raw.get("before.bin") is None) == (call is CALLS["delete"])
    assert set(site.raw.names()) <= {"before.bin", "a.txt"}


@each_call
def test_g4_connection_reset_before_every_answer_is_told(
    site: Site,
    line: Proxy,
    on_line: CouchDBStorage,
    call: Callable[[CouchDBStorage], object],
) -> None:
    line.reset_peer(0, "up")
    with failing(site, ConnectionError):
        call(on_line)
    line.clear()
    assert_works(site, on_line)


@pytest.mark.parametrize("how", ["reset_peer", "limit_data"])
@pytest.mark.parametrize("after", [700, MIDDLE])
@pytest.mark.parametrize("times", [1, 2])
def test_g5_g6_download_that_breaks_goes_on_where_it_was(
    site: Site, line: Proxy, on_line: CouchDBStorage, how: str, after: int, times: int
) -> None:
    getattr(line, how)(after, "down", times=times)
    assert read(on_line) == CONTENT
    line.clear()
    assert_works(site, on_line)


@pytest.mark.parametrize("how", ["reset_peer", "limit_data"])
def test_g5_g6_download_that_never_gives_a_byte_is_told(
    site: Site, line: Proxy, on_line: CouchDBStorage, how: str
) -> None:
    # More than the kernel holds for the reader.
    large = random.Random(2).randbytes(12 * MIB)
    site.raw.put("large.bin", large)
    with on_line.open("large.bin") as file:
        start = file.read(1000)
        getattr(line, how)(300, "down")
        line.drop_connections()
        with pytest.raises(ConnectionError):
            file.read()
        line.clear()
        file.seek(1000)
        assert start + file.read() == large


@both_modes
def test_g7_upload_that_breaks_once_starts_again(
    site: Site, line: Proxy, on_line: CouchDBStorage, overwriting: bool
) -> None:
    on_line.file_overwrite = overwriting
    line.reset_peer(MIDDLE, "up", times=1)
    assert save(on_line, "a.bin", CONTENT) == "a.bin"
    assert site.raw.get("a.bin") == CONTENT
    assert site.raw.names() == ["a.bin", "before.bin"]


@both_modes
def test_g7_upload_that_always_breaks_stores_nothing(
    site: Site, line: Proxy, on_line: CouchDBStorage, overwriting: bool
) -> None:
    on_line.file_overwrite = overwriting
    line.reset_peer(MIDDLE, "up")
    with failing(site, ConnectionError):
        save(on_line, "before.bin" if overwriting else "a.bin", CONTENT)
    line.clear()
    assert_works(site, on_line)


@both_modes
@pytest.mark.parametrize("times", [1, 2])
def test_g8_save_whose_answer_is_lost_makes_one_file(
    site: Site, scripted: CouchDBStorage, overwriting: bool, times: int
) -> None:
    scripted.file_overwrite = overwriting
    site.front.reset(method="PUT", times=times)
    assert save(scripted, "a.bin", CONTENT) == "a.bin"
    assert site.raw.names() == ["a.bin", "before.bin"]
    assert site.raw.get("a.bin") == CONTENT
    assert len(site.sent("PUT")) == 1


def test_g8_overwriting_whose_answer_is_lost_is_done_once(
    site: Site, scripted: CouchDBStorage
) -> None:
    scripted.file_overwrite = True
    site.front.reset(method="PUT")
    assert save(scripted, "before.bin") == "before.bin"
    document = site.raw.document("before.bin")
    assert document is not None
    assert document["_rev"].startswith("2-")


def test_g8_change_whose_answer_is_lost_is_done_once(site: Site, scripted: CouchDBStorage) -> None:
    site.front.reset(method="PUT")
    change(scripted)
    document = site.raw.document("before.bin")
    assert document is not None
    assert document["_rev"].startswith("2-")


def test_g8_lost_answer_is_not_taken_for_ours_where_another_took_the_name(site: Site) -> None:
    storage = site.signed_in()
    site.front.reset(method="PUT", forward=False)
    source = Interrupted(CONTENT, lambda: site.raw.put("a.bin", b"another client's"))
    name = storage.save("a.bin", File(source, "a.bin"))
    assert name != "a.bin"
    assert site.raw.get("a.bin") == b"another client's"
    assert site.raw.get(name) == CONTENT


@both_modes
def test_g8_save_that_is_not_answered_in_time_is_looked_up(
    site: Site, scripted: CouchDBStorage, overwriting: bool
) -> None:
    scripted.file_overwrite = overwriting
    scripted.timeout = 1
    site.front.stall(method="PUT")
    assert save(scripted, "a.bin", CONTENT) == "a.bin"
    assert site.raw.names() == ["a.bin", "before.bin"]
    assert len(site.sent("PUT")) == 1


def test_g8_deletion_whose_answer_is_lost_is_no_error(site: Site, scripted: CouchDBStorage) -> None:
    site.front.reset(method="DELETE")
    scripted.delete("before.bin")
    assert site.raw.names() == []


def test_g9_restarted_server_is_found_again() -> None:
    if reason := PouchDB.available():
        pytest.skip(reason)
    with PouchDB() as server, RawDatabase(server) as raw:
        raw.put("before.bin", CONTENT)
        storage = CouchDBStorage(
            server=server.url, database=raw.name, user=server.user, password=server.password
        )
        assert storage.exists("before.bin")
        # The new process knows no sessions of the old one: C4.
        server.restart()
        assert read(storage) == CONTENT
        server.restart()
        assert save(storage) == "a.txt"
        assert raw.get("a.txt") == b"content"
        server.restart()
        storage.delete("a.txt")
        assert raw.names() == ["before.bin"]


def test_g10_connections_closed_while_idle_are_replaced(
    site: Site, line: Proxy, on_line: CouchDBStorage
) -> None:
    for call in CALLS.values():
        on_line.exists("before.bin")
        line.drop_connections()
        call(on_line)


def test_g11_content_that_trickles_is_given_up(
    site: Site, line: Proxy, on_line: CouchDBStorage
) -> None:
    site.raw.put("large.bin", bytes(9 * MIB))
    on_line.timeout = 1
    with on_line.open("large.bin") as file:
        file.read(1000)
        line.bandwidth(200, "down")
        with pytest.raises(TimeoutError):
            file.read()


@each_call
def test_g11_answer_that_trickles_is_given_up(
    line: Proxy, on_line: CouchDBStorage, call: Callable[[CouchDBStorage], object]
) -> None:
    on_line.timeout = 1
    line.bandwidth(20, "down")
    with pytest.raises(TimeoutError):
        call(on_line)


def test_g12_slow_line_changes_nothing(site: Site, line: Proxy, on_line: CouchDBStorage) -> None:
    line.latency(0.05, "up")
    line.latency(0.05, "down")
    assert_works(site, on_line)


def test_g13_answers_may_come_byte_by_byte(
    site: Site, line: Proxy, on_line: CouchDBStorage
) -> None:
    site.raw.put("small.txt", b"content")
    line.slicer(1, "down")
    line.slicer(1, "up")
    assert read(on_line, "small.txt") == b"content"
    on_line.file_overwrite = True
    save(on_line, "small.txt", b"other")
    assert on_line.listdir("") == ([], ["before.bin", "small.txt"])
    assert on_line.size("small.txt") == 5


def test_g14_byte_that_changes_on_the_way_down_is_noticed(
    site: Site, line: Proxy, on_line: CouchDBStorage
) -> None:
    line.corrupt(400_000, "down", times=1)
    with failing(site, errno.EIO, "MD5 differs"):
        read(on_line)
    assert read(on_line) == CONTENT


def test_g14_byte_that_changed_on_the_way_up_is_never_read_as_the_content(
    site: Site, line: Proxy, on_line: CouchDBStorage
) -> None:
    # CouchDB compares the digest that it is sent; pouchdb-server does not.
    line.corrupt(400_000, "up", times=1)
    save(on_line, "a.bin", CONTENT)
    with pytest.raises(OSError, match="MD5 differs") as raised:
        read(on_line, "a.bin")
    assert raised.value.errno == errno.EIO


def test_g14_upload_that_couchdb_finds_changed_is_sent_again(
    site: Site, scripted: CouchDBStorage
) -> None:
    said = refusal("content_md5_mismatch", "Possible message corruption.")
    site.front.answer(400, said, method="PUT")
    assert save(scripted, "a.bin", CONTENT) == "a.bin"
    assert site.raw.get("a.bin") == CONTENT


@pytest.mark.parametrize(
    "shown",
    [authority().expired, authority().wrong_host, authority().self_signed],
    ids=["expired", "wrong host", "self-signed"],
)
def test_g15_bad_certificate_is_refused(pouchdb: PouchDB, shown: Certificate) -> None:
    with HTTPProxy(*pouchdb.address, tls=shown.server_context()) as front:
        storage = CouchDBStorage(
            server=front.url, database="files", verify=str(authority().ca_file), timeout=5
        )
        for call in CALLS.values():
            with pytest.raises(OSError, match="certificate is refused") as raised:
                call(storage)
            assert raised.value.errno == errno.EPROTO
        assert front.requests == []


def test_g15_good_certificate_is_accepted(site: Site) -> None:
    tls = authority().good.server_context()
    with HTTPProxy(*site.server.address, tls=tls) as front:
        storage = site.storage(server=front.url, verify=str(authority().ca_file))
        assert save(storage) == "a.txt"
        assert read(storage, "a.txt") == b"content"


#: Saves a file until it is told to end.
SAVING = """
import sys
from django.conf import settings
from django.core.files.base import ContentFile
settings.configure()
from storages.backends.couchdb import CouchDBStorage
server, database, user, password = sys.argv[1:]
CouchDBStorage(
    server=server, database=database, user=user, password=password, file_overwrite=True
).save("before.bin", ContentFile(bytes(20_000_000)))
"""


def test_g17_process_that_is_ended_during_a_save_leaves_the_file(site: Site, line: Proxy) -> None:
    site.raw.put("before.bin", CONTENT)
    line.bandwidth(4 * MIB, "up")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    place = [f"http://{HOST}:{line.port}", site.raw.name, site.server.user, site.server.password]
    with subprocess.Popen([sys.executable, "-c", SAVING, *place], env=environment) as process:
        while line.bytes_up < MIB and process.poll() is None:
            threading.Event().wait(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    assert site.raw.get("before.bin") == CONTENT
    assert site.raw.names() == ["before.bin"]


# -- conflicts ------------------------------------------------------------------------------------


def test_c1_name_that_another_takes_meanwhile_is_not_used(site: Site) -> None:
    storage = site.signed_in()
    source = Interrupted(CONTENT, lambda: site.raw.put("a.bin", b"another client's"))
    name = storage.save("a.bin", File(source, "a.bin"))
    assert re.fullmatch(r"a_\w{7}\.bin", name)
    assert site.raw.get("a.bin") == b"another client's"
    assert site.raw.get(name) == CONTENT


def test_c1_file_that_another_changes_meanwhile_is_overwritten(site: Site) -> None:
    site.raw.put("a.bin", b"before")
    storage = site.signed_in(file_overwrite=True)
    # The revision is asked for when the digest is known, and the content sent after that.
    site.front.answer(409, refusal("conflict", "Document update conflict."), method="PUT", times=3)
    assert save(storage, "a.bin", CONTENT) == "a.bin"
    assert site.raw.get("a.bin") == CONTENT
    assert site.methods() == ["GET", "PUT"] * 4


def test_c1_file_opened_to_be_changed_is_not_changed_where_another_did(site: Site) -> None:
    site.raw.put("a.bin", b"before")
    file = site.storage().open("a.bin", "r+b")
    file.write(b"ours")
    site.raw.put("a.bin", b"another client's")
    with pytest.raises(OSError, match="replaced while it was changed") as raised:
        file.close()
    assert raised.value.errno == errno.ESTALE
    assert site.raw.get("a.bin") == b"another client's"


def test_c1_file_opened_to_be_changed_is_not_made_anew_where_another_deleted_it(
    site: Site,
) -> None:
    site.raw.put("a.bin", b"before")
    file = site.storage().open("a.bin", "r+b")
    file.write(b"ours")
    site.raw.delete("a.bin")
    with pytest.raises(OSError, match="replaced while it was changed"):
        file.close()
    assert site.raw.names() == []


def test_c2_conflict_that_does_not_end_is_told(site: Site, scripted: CouchDBStorage) -> None:
    scripted.file_overwrite = True
    site.front.answer(409, refusal("conflict", "…"), method="PUT", times=None)
    with failing(site, errno.EBUSY, "Others keep writing"):
        save(scripted, "before.bin")
    assert len(site.sent("PUT")) <= 50
    site.front.clear()
    assert_works(site, scripted)


def test_c2_threads_that_overwrite_one_file_all_get_their_turn(site: Site) -> None:
    storage = site.storage(file_overwrite=True)
    contents = [bytes([number]) * 1000 for number in range(16)]
    threads = [
        threading.Thread(target=save, args=(storage, "a.bin", content)) for content in contents
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    document = site.raw.document("a.bin")
    assert document is not None
    assert document["_rev"].startswith("16-")
    assert site.raw.get("a.bin") in contents


def test_c3_document_is_never_seen_without_its_content(site: Site, line: Proxy) -> None:
    """Breaks the upload at many positions, and looks."""
    storage = site.storage(server=f"http://{HOST}:{line.port}", file_overwrite=True, timeout=5)
    storage.exists("any")
    content = CONTENT[:3000]
    for position in range(0, 4200, 280):
        line.reset_peer(position, "up")
        line.drop_connections()
        try:
            save(storage, "a.bin", content)
        except OSError:
            assert site.raw.names() == []
        else:
            assert site.raw.get("a.bin") == content
            site.raw.delete("a.bin")
        line.clear()


# -- the account ----------------------------------------------------------------------------------


@each_call
def test_c4_session_that_ended_is_begun_anew_once(
    site: Site, scripted: CouchDBStorage, call: Callable[[CouchDBStorage], object]
) -> None:
    said = refusal("unauthorized", "You are not authorized to access this db.")
    site.front.answer(401, said)
    call(scripted)
    assert site.methods().count("SIGN IN") == 1


def test_c4_upload_is_sent_whole_after_the_session_ended(
    site: Site, scripted: CouchDBStorage
) -> None:
    site.front.answer(401, refusal("unauthorized", "…"), method="PUT")
    save(scripted, "a.bin", CONTENT)
    assert site.methods() == ["PUT", "SIGN IN", "PUT"]
    assert site.raw.get("a.bin") == CONTENT


@each_call
def test_c4_account_that_is_always_refused_is_told_and_not_tried_for_ever(
    site: Site, scripted: CouchDBStorage, call: Callable[[CouchDBStorage], object]
) -> None:
    site.front.answer(401, refusal("unauthorized", "…"), path=site.raw.name, times=None)
    with failing(site, PermissionError, "check 'user' and 'password'"):
        call(scripted)
    assert len(site.sent()) <= 3
    site.front.clear()
    assert_works(site, scripted)


def test_c4_wrong_password_is_told(site: Site) -> None:
    site.raw.put("before.bin", CONTENT)
    with failing(site, PermissionError, "check 'user' and 'password'"):
        read(site.storage(password="wrong"))
    assert site.methods() == ["SIGN IN"]


def test_c4_nobody_s_account_is_refused(site: Site) -> None:
    site.raw.put("before.bin", CONTENT)
    with failing(site, PermissionError):
        read(site.storage(user=None, password=None))


# -- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.bin", "before.bin"])
def test_c5_file_that_is_too_large_for_the_server_is_told(
    site: Site, scripted: CouchDBStorage, name: str
) -> None:
    scripted.file_overwrite = name == "before.bin"
    said = refusal("attachment_too_large", "content")
    site.front.answer(413, said, method="PUT", times=None)
    with failing(site, errno.EFBIG, "max_attachment_size"):
        save(scripted, name)
    assert len(site.sent("PUT")) == 1
    site.front.clear()
    assert_works(site, scripted)


@reading
@pytest.mark.parametrize(
    ("status", "error"), [(503, "service_unavailable"), (500, "timeout"), (504, "bad_gateway")]
)
def test_c6_node_that_is_away_for_a_moment_is_asked_again(
    site: Site,
    scripted: CouchDBStorage,
    call: Callable[[CouchDBStorage], object],
    status: int,
    error: str,
) -> None:
    site.front.answer(status, refusal(error, "…"), times=2)
    assert call(scripted) in (CONTENT, True, len(CONTENT), ([], []), call(scripted))


@each_call
def test_c6_service_that_stays_away_is_told(
    site: Site, scripted: CouchDBStorage, call: Callable[[CouchDBStorage], object]
) -> None:
    site.front.answer(503, b"<html>no JSON</html>", times=None)
    with failing(site, errno.EBUSY, "not available"):
        call(scripted)
    assert len(site.sent()) <= 9
    site.front.clear()
    assert_works(site, scripted)


@both_modes
def test_c6_save_that_was_carried_out_and_answered_by_an_error_makes_one_file(
    site: Site, scripted: CouchDBStorage, overwriting: bool
) -> None:
    scripted.file_overwrite = overwriting
    said = refusal("timeout", "The request could not be processed in a reasonable amount of time.")
    site.front.answer(500, said, method="PUT", forward=True)
    assert save(scripted, "a.bin", CONTENT) == "a.bin"
    assert site.raw.names() == ["a.bin", "before.bin"]


def test_c7_server_that_dies_during_an_upload_has_no_document(site: Site) -> None:
    with PouchDB() as server, RawDatabase(server) as raw, Proxy(*server.address) as line:
        options = site.options(server=f"http://{HOST}:{line.port}", database=raw.name, timeout=5)
        storage = CouchDBStorage(**options)
        storage.exists("any")
        line.bandwidth(MIB, "up")
        before = line.bytes_up
        thread = threading.Thread(target=try_to_save, args=(storage,))
        thread.start()
        while line.bytes_up - before < MIB // 4:
            threading.Event().wait(0.01)
        server.kill()
        thread.join()
        line.clear()
        server.start()
        assert raw.ids() == []
        assert save(storage, "a.bin") == "a.bin"


def try_to_save(storage: CouchDBStorage) -> None:
    with pytest.raises(OSError, match="CouchDB at"):
        save(storage, "a.bin", bytes(4 * MIB))


@pytest.mark.parametrize("times", [1, 2])
def test_c8_deletion_of_what_was_changed_meanwhile_looks_again(
    site: Site, scripted: CouchDBStorage, times: int
) -> None:
    site.front.answer(409, refusal("conflict", "…"), method="DELETE", times=times)
    scripted.delete("before.bin")
    assert site.raw.names() == []


def test_c8_deletion_of_what_changes_all_the_time_is_told(
    site: Site, scripted: CouchDBStorage
) -> None:
    site.front.answer(409, refusal("conflict", "…"), method="DELETE", times=None)
    with failing(site, errno.EBUSY, "Others keep writing"):
        scripted.delete("before.bin")
    assert len(site.sent("DELETE")) == 3


def test_c9_deleted_file_is_missing_and_can_be_made_again(site: Site) -> None:
    storage = site.storage()
    for content in (b"first", b"second"):
        assert save(storage, "a.txt", content) == "a.txt"
        assert read(storage, "a.txt") == content
        storage.delete("a.txt")
        assert storage.exists("a.txt") is False
        assert storage.listdir("") == ([], [])
        with pytest.raises(FileNotFoundError):
            storage.open("a.txt")
        # Once more is no error.
        storage.delete("a.txt")


def test_c10_attachment_that_couchdb_compressed_is_read_whole(
    site: Site, scripted: CouchDBStorage
) -> None:
    """CouchDB compresses text of other clients; to a client that asks for none it sends it plain.

    Then it announces no length, and its MD5 is that of the compressed form.
    """
    stub = {"length": 5000, "digest": "md5-of+what/is+compressed==", "encoding": "gzip"}
    document = {"_id": "a", "_rev": "1-a", "_attachments": {"content": {**stub, "stub": True}}}
    site.front.answer(200, answer(document), path="/a")
    site.front.answer(200, b"x" * 5000, path="/a/content")
    assert read(scripted, "a") == b"x" * 5000
    assert {each.headers["Accept-Encoding"] for each in site.sent("GET")} == {"identity"}
    assert "att_encoding_info=true" in site.sent("GET")[0].target


@each_call
def test_missing_database_is_not_taken_for_a_missing_file(
    site: Site, scripted: CouchDBStorage, call: Callable[[CouchDBStorage], object]
) -> None:
    scripted.database = "no-such-database"
    with failing(site, errno.ENXIO, "does not know the database"):
        call(scripted)
    scripted.database = site.raw.name
    assert_works(site, scripted)


def test_missing_database_of_couchdb_is_told_as_one(site: Site, scripted: CouchDBStorage) -> None:
    said = refusal("not_found", "Database does not exist.")
    site.front.answer(404, said, times=None)
    with failing(site, errno.ENXIO, "does not know the database"):
        scripted.exists("before.bin")


@each_call
@pytest.mark.parametrize(
    ("status", "error", "code", "says"),
    [
        (403, "forbidden", errno.EACCES, "CouchDB refuses it; it says 'because'"),
        (400, "bad_request", errno.EIO, "it says 'because'"),
        (412, "precondition_failed", errno.EIO, "it says 'because'"),
        (429, "too_many_requests", errno.EBUSY, "fewer requests"),
        (414, "uri_too_long", errno.ENAMETOOLONG, "longer than CouchDB takes"),
    ],
)
def test_refusals_are_told_apart(
    site: Site,
    scripted: CouchDBStorage,
    call: Callable[[CouchDBStorage], object],
    status: int,
    error: str,
    code: int,
    says: str,
) -> None:
    site.front.answer(status, refusal(error, "because"), times=None)
    with failing(site, code, says):
        call(scripted)
    assert len(site.sent()) == 1


@each_call
def test_redirect_is_not_followed(
    site: Site, scripted: CouchDBStorage, call: Callable[[CouchDBStorage], object]
) -> None:
    with HTTPProxy(HOST, refusing_port()) as elsewhere:
        elsewhere.answer(200, b"{}", times=None)
        site.front.answer(307, headers={"Location": elsewhere.url}, times=None)
        with failing(site, errno.EPROTO, "redirects: set 'server'"):
            call(scripted)
        assert elsewhere.requests == []


@each_call
@pytest.mark.parametrize(
    "said", [b"<html>", b"{}", b'{"status": "ok", "rows": null}', b"[" * 200_000]
)
def test_server_that_is_no_couchdb_is_told(
    site: Site, scripted: CouchDBStorage, call: Callable[[CouchDBStorage], object], said: bytes
) -> None:
    site.front.answer(200, said, times=None)
    with failing(site, errno.EPROTO, "does not answer as CouchDB does"):
        call(scripted)
