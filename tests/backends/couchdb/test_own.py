"""What is CouchDB's own: documents, ids, revisions, sessions, and how many requests it takes."""

from __future__ import annotations

import base64
import hashlib
import json
import pickle
import random
import socket
import threading
from datetime import UTC, datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.core.management import call_command
from django.db.migrations.writer import MigrationWriter
from django.test import override_settings

from storages.backends.couchdb import CouchDBFile, CouchDBStorage
from storages.testing.parallel import Recipe, in_processes
from storages.testing.save import save_zeros
from tests.backends.couchdb.server import Site, answer, id_of, planted, refusal
from tests.servers.http import HTTPProxy
from tests.servers.process import HOST, refusing_port

KIB = 1024
MIB = 1024 * KIB
STATIC = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
CONTENT = random.Random(1).randbytes(600_000)


def save(storage: Storage, name: str = "a.txt", content: bytes = b"content") -> str:
    return storage.save(name, ContentFile(content))


def read(storage: Storage, name: str = "a.txt") -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


# -- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 7, 4 * MIB])
def test_save_under_a_new_name_is_one_request(site: Site, size: int) -> None:
    save(site.signed_in(), content=bytes(size))
    assert site.methods() == ["PUT"]


def test_save_of_more_than_four_mebibytes_asks_for_the_name_first(site: Site) -> None:
    save(site.signed_in(), content=bytes(4 * MIB + 1))
    # What is no document may still be a directory.
    assert site.methods() == ["GET", "LIST", "PUT"]


def test_overwriting_is_two_requests(site: Site) -> None:
    site.raw.put("a.txt", b"before")
    save(site.signed_in(file_overwrite=True))
    assert site.methods() == ["GET", "PUT"]


@pytest.mark.parametrize("size", [1, 7, 3 * MIB])
def test_reading_is_two_requests(site: Site, size: int) -> None:
    site.raw.put("a.txt", bytes(size))
    assert read(site.signed_in()) == bytes(size)
    assert site.methods() == ["GET", "GET"]


def test_reading_an_empty_file_is_one_request(site: Site) -> None:
    """Reports 9: an empty attachment is not a missing one."""
    site.raw.put("a.txt", b"")
    assert read(site.signed_in()) == b""
    assert site.methods() == ["GET"]


@pytest.mark.parametrize("ask", ["exists", "size", "get_modified_time", "get_created_time"])
def test_look_up_is_one_request(site: Site, ask: str) -> None:
    save(site.storage())
    storage = site.signed_in()
    getattr(storage, ask)("a.txt")
    assert site.methods() == ["GET"]


def test_look_up_of_a_missing_file_is_two_requests(site: Site) -> None:
    assert site.signed_in().exists("a.txt") is False
    assert site.methods() == ["GET", "LIST"]


def test_changing_a_file_is_three_requests(site: Site) -> None:
    site.raw.put("a.txt", b"before")
    with site.signed_in().open("a.txt", "ab") as file:
        file.write(b" and after")
    assert site.methods() == ["GET", "GET", "PUT"]
    assert site.raw.get("a.txt") == b"before and after"


def test_delete_is_two_requests(site: Site) -> None:
    site.raw.put("a.txt", b"content")
    site.signed_in().delete("a.txt")
    assert site.methods() == ["GET", "DELETE"]


def test_first_request_signs_in_and_the_others_do_not(site: Site) -> None:
    storage = site.storage(timeout=random.uniform(20, 30))
    for name in ("a.txt", "b.txt", "c.txt"):
        save(storage, name)
    assert site.methods() == ["SIGN IN", "PUT", "PUT", "PUT"]


def test_save_of_a_large_file_takes_little_memory() -> None:
    """On a server of our own, since pouchdb-server itself has not the memory."""
    with HTTPProxy(HOST, refusing_port()) as front:
        front.answer(201, answer({"ok": True}), method="PUT", times=None)
        storage = CouchDBStorage(server=front.url, database="files", file_overwrite=False)
        front.answer(404, refusal("not_found", "missing"), method="GET")
        front.answer(200, answer({"rows": []}), method="GET")
        size = 256 * MIB
        (peak,) = in_processes(Recipe.of(storage, {}), 1, partial(save_zeros, size))
        assert [each.method for each in front.requests] == ["PUT", "GET", "GET", "PUT"]
        assert front.requests[-1].bytes_in > size
    assert peak < 16 * MIB


# -- documents ------------------------------------------------------------------------------------


def test_document_tells_of_its_file(site: Site) -> None:
    before = datetime.now(UTC)
    save(site.storage(), "dir/a.svg", b"<svg/>")
    document = site.raw.document("dir/a.svg")
    assert document is not None
    stub = document["_attachments"]["content"]
    assert document["_id"] == "dir/a.svg"
    assert document["size"] == 6
    # Reports 2: CouchDB compresses what is called text, which then has no ranges.
    assert document["content_type"] == "image/svg+xml"
    assert stub["content_type"] == "application/octet-stream"
    md5 = hashlib.md5(b"<svg/>").digest()
    assert document["digest"] == f"md5-{base64.b64encode(md5).decode()}" == stub["digest"]
    assert before <= datetime.fromisoformat(document["modified"]) <= datetime.now(UTC)
    assert document["created"] == document["modified"]


def test_upload_tells_couchdb_the_digest_to_compare(site: Site) -> None:
    """CouchDB refuses a content whose MD5 differs from the one in ``digest``."""
    heard: list[bytes] = []
    with socket.create_server((HOST, 0)) as listener:
        thread = threading.Thread(target=take_upload, args=(listener, heard))
        thread.start()
        place = f"http://{HOST}:{listener.getsockname()[1]}"
        save(CouchDBStorage(server=place, database="files"), "a.txt", b"content")
        thread.join()
    head, _, body = heard[0].partition(b"\r\n\r\n")
    assert b"PUT /files/a.txt HTTP/1.1\r\n" in head
    # Reports 1: base64 would be a third larger, and count as part of the document.
    assert b"\r\nContent-Type: multipart/related; boundary=" in head
    assert b"\r\nContent-Length: %d\r\n" % len(body) in head + b"\r\n"
    _, document, content, end = body.split(b"--" + body[2:34])
    told = json.loads(document.partition(b"\r\n\r\n")[2])
    digest = f"md5-{base64.b64encode(hashlib.md5(b'content').digest()).decode()}"
    assert told["_attachments"]["content"] == {
        "follows": True,
        "content_type": "application/octet-stream",
        "length": 7,
        "digest": digest,
    }
    assert content.endswith(b"\r\n\r\ncontent\r\n")
    assert end == b"--"


def take_upload(listener: socket.socket, heard: list[bytes]) -> None:
    """Take one request with a body in parts, and answer as CouchDB does."""
    connection, _ = listener.accept()
    with connection:
        data = b""
        while not data.endswith(b"--" + data.partition(b'boundary="')[2][:32] + b"--"):
            data += connection.recv(100_000)
        heard.append(data)
        body = answer({"ok": True})
        connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


def test_overwritten_file_keeps_when_it_was_made(site: Site) -> None:
    storage = site.storage(file_overwrite=True)
    save(storage)
    first = storage.get_created_time("a.txt")
    save(storage, content=b"later")
    with storage.open("a.txt", "ab") as file:
        file.write(b" still")
    assert storage.get_created_time("a.txt") == first
    assert storage.get_modified_time("a.txt") > first


def test_content_type_of_a_changed_file_stays(site: Site) -> None:
    storage = site.storage()
    content = ContentFile(b"content")
    content.content_type = "application/x-own"  # type: ignore[attr-defined]
    storage.save("a.txt", content)
    with storage.open("a.txt", "ab") as file:
        file.write(b" and more")
    ((_, entry),) = storage.scan()
    assert entry.content_type == "application/x-own"


def test_what_is_stored_with_a_file_stays_when_it_is_changed(site: Site) -> None:
    fields = {"headers": {"cache-control": "no-store"}, "metadata": {"owner": "us"}}
    site.raw.put("a.txt", b"content", **fields)
    with site.storage().open("a.txt", "ab") as file:
        file.write(b" and more")
    document = site.raw.document("a.txt")
    assert document is not None
    assert {name: document[name] for name in fields} == fields


def test_document_that_is_no_file_is_none_and_stays(site: Site) -> None:
    """Reports 4: what is written without its attachment loses it; so no such thing is written."""
    site.raw.ask("PUT", "a.txt", {"of": "another application"})
    storage = site.storage()
    assert storage.exists("a.txt") is False
    assert storage.listdir("") == ([], [])
    with pytest.raises(FileNotFoundError):
        storage.open("a.txt")
    storage.delete("a.txt")
    assert save(storage) != "a.txt"
    with pytest.raises(FileExistsError), storage.open("a.txt", "wb") as file:
        file.write(b"content")
    document = site.raw.document("a.txt")
    assert document is not None
    assert document["of"] == "another application"


@pytest.mark.parametrize("junk", [7, "yesterday", None, ["list"], {"a": 1}])
def test_fields_of_other_clients_may_hold_anything(site: Site, junk: Any) -> None:
    names = ("modified", "created", "headers", "metadata", "content_type", "size")
    site.raw.put("a.txt", b"content", **dict.fromkeys(names, junk))
    storage = site.storage()
    assert storage.size("a.txt") == 7
    assert read(storage) == b"content"
    assert storage.listdir("") == ([], ["a.txt"])


# -- ids ------------------------------------------------------------------------------------------

#: Reports 5 and 6, and their neighbours.
NAMES = ["a+b", "a b", "a/b", "a%2Fb", "a-b", "a%20b", "a%252Fb", "a&b", "a?b", "a#b", "A+B", "a:b"]


def test_every_name_is_a_file_of_its_own(site: Site) -> None:
    storage = site.storage()
    assert [save(storage, name, name.encode()) for name in NAMES] == NAMES
    assert sorted(site.raw.ids()) == sorted(NAMES)
    for name in NAMES:
        assert site.raw.get(name) == name.encode()
        assert read(storage, name) == name.encode()
    assert storage.listdir("a") == ([], ["b"])
    for name in NAMES:
        storage.delete(name)
        assert storage.exists(name) is False
    assert site.raw.ids() == []


RESERVED = ["_design/app", "_local/x", "_all_docs", "_a", "__b", "_design/_view/c", "_"]


def test_names_that_begin_with_an_underscore_are_no_documents_of_couchdb_s(site: Site) -> None:
    storage = site.storage()
    for name in RESERVED:
        assert save(storage, name, name.encode()) == name
        assert read(storage, name) == name.encode()
    assert sorted(site.raw.ids()) == sorted(id_of(name) for name in RESERVED)
    assert site.raw.ask("GET", "_design/app")[0] == 404
    walked = [name for name, _ in storage.scan(recursive=True)]
    assert sorted(walked) == sorted(RESERVED)
    assert storage.listdir("_design") == (["_view"], ["app"])
    directories, files = storage.listdir("")
    assert sorted(directories) == ["_design", "_local"]
    assert sorted(files) == ["_", "__b", "_a", "_all_docs"]


def test_design_documents_are_out_of_reach(site: Site) -> None:
    content = base64.b64encode(b"{}").decode()
    attachment = {"content_type": "application/octet-stream", "data": content}
    body = {"language": "javascript", "_attachments": {"content": attachment}}
    assert site.raw.ask("PUT", "_design/app", body)[0] == 201
    storage = site.storage(file_overwrite=True)
    for name in ("_design/app", "_design%2Fapp", "/_design/app"[1:]):
        assert storage.exists(name) is False
        storage.delete(name)
    assert storage.listdir("") == ([], [])
    assert list(storage.scan(recursive=True)) == []
    save(storage, "_design/app")
    assert site.raw.ask("GET", "_design/app")[1]["language"] == "javascript"


# -- files of the old backend ---------------------------------------------------------------------


def plant_old(site: Site, document_id: str, content: bytes) -> None:
    """Store a file as django-storages 1.5 did: the document first, then the attachment."""
    data = base64.b64encode(content).decode()
    path = quote(document_id, safe="")
    _, made = site.raw.ask("PUT", path, {"size": len(content)})
    attachment = {"content_type": "application/octet-stream", "data": data}
    body = {"_rev": made["rev"], "size": len(content), "_attachments": {"content": attachment}}
    assert site.raw.ask("PUT", path, body)[0] == 201


def test_file_of_the_old_backend_is_read_under_the_name_that_it_returned(site: Site) -> None:
    """It turned ``docs/a.txt`` into ``docs-a.txt``, which it returned and models hold."""
    plant_old(site, "docs-a.txt", CONTENT)
    storage = site.storage(file_overwrite=True)
    assert storage.exists("docs-a.txt")
    assert storage.size("docs-a.txt") == len(CONTENT)
    assert read(storage, "docs-a.txt") == CONTENT
    assert storage.listdir("") == ([], ["docs-a.txt"])
    with pytest.raises(NotImplementedError):
        storage.get_modified_time("docs-a.txt")
    # The name with a slash is that of another file.
    assert storage.exists("docs/a.txt") is False
    save(storage, "docs/a.txt")
    assert read(storage, "docs-a.txt") == CONTENT


def test_file_of_the_old_backend_can_be_changed_and_deleted(site: Site) -> None:
    plant_old(site, "docs-a.txt", b"old")
    storage = site.storage(file_overwrite=True)
    with storage.open("docs-a.txt", "ab") as file:
        file.write(b" and new")
    assert read(storage, "docs-a.txt") == b"old and new"
    assert storage.get_modified_time("docs-a.txt")
    storage.delete("docs-a.txt")
    assert site.raw.ids() == []


# -- revisions ------------------------------------------------------------------------------------


def test_reader_gets_the_revision_that_it_opened(site: Site) -> None:
    """Reports 8: pinned by ``rev``, since a condition on an attachment was not kept."""
    large = random.Random(2).randbytes(3 * MIB)
    site.raw.put("a.bin", large)
    with site.storage().open("a.bin") as file:
        start = file.read(10)
        site.raw.put("a.bin", b"another client's")
        file.seek(2 * MIB)
        assert start + file.read() == large[:10] + large[2 * MIB :]
    assert {each.target.partition("?rev=")[2][:2] for each in site.sent("GET", "/content")} == {
        "1-"
    }


def test_revision_that_was_compacted_away_is_told(site: Site) -> None:
    site.raw.put("a.bin", CONTENT)
    storage = site.storage()
    with storage.open("a.bin") as file:
        site.raw.put("a.bin", b"another client's")
        said = refusal("not_found", "missing")
        site.front.answer(404, said, path="/a.bin/content", times=None)
        with pytest.raises(OSError, match="replaced while it was read"):
            file.read()
        site.raw.delete("a.bin")
        with pytest.raises(FileNotFoundError):
            file.read()


def test_deletion_takes_what_replication_left_beside_a_file_too(site: Site) -> None:
    site.raw.put("a.txt", b"ours")
    for letter in "ab":
        fork = {"_rev": f"1-{letter * 32}", "_revisions": {"start": 1, "ids": [letter * 32]}}
        body = {"docs": [planted(b"x") | {"_id": "a.txt"} | fork], "new_edits": False}
        assert site.raw.ask("POST", "_bulk_docs", body)[0] == 201
    assert len(site.raw.ask("GET", "a.txt?conflicts=true")[1]["_conflicts"]) == 2
    storage = site.storage()
    storage.delete("a.txt")
    assert storage.exists("a.txt") is False
    assert site.raw.ids() == []


# -- ranges: a server that answers as CouchDB 3.5 does ---------------------------------------------


class CouchDB35(HTTPProxy):
    """Stands before pouchdb-server and answers Range with 206, as CouchDB does."""

    def __init__(self, host: str, port: int, content: bytes, *, extra: bytes = b"") -> None:
        super().__init__(host, port)
        self.content = content
        self.extra = extra

    def rule_for(self, request: Any) -> Any:
        wanted = request.headers.get("Range")
        if wanted is not None:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            size = len(self.content)
            start, stop = int(first), int(last) + 1 if last else size
            headers = {
                "Content-Range": f"bytes {start}-{stop - 1}/{size}",
                "Accept-Ranges": "bytes",
                "Content-Length": str(stop - start),
            }
            self.answer(206, self.content[start:stop] + self.extra, headers, path="/content")
        return super().rule_for(request)


@pytest.mark.parametrize("extra", [b"", b"more than announced, as CouchDB 2.3.1 sends"])
def test_range_that_couchdb_answers_with_206_is_used(site: Site, extra: bytes) -> None:
    """Reports 3: the connection after which more came than was announced is not used again."""
    content = random.Random(3).randbytes(12 * MIB)
    site.raw.put("a.bin", content)
    with CouchDB35(*site.server.address, content, extra=extra) as front:
        storage = site.storage(server=front.url)
        with storage.open("a.bin") as file:
            for position in (8 * MIB, 4 * MIB, 12 * MIB - 5):
                file.seek(position)
                assert file.read(5) == content[position : position + 5]
        assert storage.size("a.bin") == len(content)
        sent = [each for each in front.requests if "Range" in each.headers]
    assert [each.headers["Range"] for each in sent] == [
        f"bytes={position}-" for position in (8 * MIB, 4 * MIB, 12 * MIB - 5)
    ]


def test_part_of_a_file_is_asked_for_with_its_end(site: Site) -> None:
    content = random.Random(3).randbytes(12 * MIB)
    site.raw.put("a.bin", content)
    with CouchDB35(*site.server.address, content) as front:
        storage = site.storage(server=front.url)
        entry = storage.stat("a.bin")
        front.requests.clear()
        for start in (0, 8 * MIB):
            with storage.reader("a.bin", entry, start, start + 1024) as part:
                assert part.read(1024) == content[start : start + 1024]
        assert sum(each.bytes_out for each in front.requests) == 2048


def test_range_that_pouchdb_answers_with_everything_is_read_from_there(site: Site) -> None:
    site.raw.put("a.bin", CONTENT)
    with site.storage().open("a.bin") as file:
        file.seek(500_000)
        assert file.read() == CONTENT[500_000:]
    assert site.sent("GET", "/content")[0].bytes_out == len(CONTENT)


def test_range_that_begins_elsewhere_is_refused(site: Site) -> None:
    site.raw.put("a.bin", CONTENT)
    headers = {"Content-Range": "bytes 0-599999/600000"}
    site.front.answer(206, CONTENT, headers, path="/content")
    with site.storage().open("a.bin") as file:
        file.seek(10)
        with pytest.raises(OSError, match="replaced while it was read"):
            file.read()


# -- sessions -------------------------------------------------------------------------------------


def test_renewed_cookie_is_kept(site: Site) -> None:
    """Reports 7: CouchDB renews a session in its answers."""
    storage = site.signed_in()
    renewed = {"Set-Cookie": "AuthSession=renewed; Path=/; HttpOnly"}
    site.front.answer(404, refusal("not_found", "missing"), renewed)
    site.front.answer(200, answer({"rows": []}))
    storage.exists("a.txt")
    assert [each.headers["Cookie"] for each in site.sent()][1:] == ["AuthSession=renewed"]
    # The server does not know it, so that the next call signs in anew.
    assert storage.exists("a.txt") is False
    assert site.methods()[2:] == ["GET", "SIGN IN", "GET", "LIST"]


def test_cookie_that_ran_out_is_not_sent(site: Site) -> None:
    storage = site.signed_in()
    gone = {"Set-Cookie": "AuthSession=old; Path=/; Max-Age=0"}
    site.front.answer(200, answer({"rows": []}), gone)
    storage.listdir("")
    assert storage.listdir("") == ([], [])
    assert site.methods() == ["LIST", "SIGN IN", "LIST"]


def test_user_in_the_server_s_url_signs_in_and_is_told_nowhere(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    password = quote(site.server.password, safe="")
    url = f"http://{site.server.user}:{password}@{HOST}:{site.front.port}/"
    storage = CouchDBStorage(server=url, database=site.raw.name, base_url="https://files.example/")
    assert save(storage) == "a.txt"
    assert read(storage) == b"content"
    told = [
        repr(storage),
        str(storage.deconstruct()),
        MigrationWriter.serialize(storage)[0],
        repr(pickle.dumps(storage)),
        storage.url("a.txt"),
        caplog.text,
        *(each.target for each in site.sent()),
    ]
    for text in told:
        assert password not in text
        assert site.server.password not in text
    assert storage.deconstruct()[2]["server"] == f"http://{HOST}:{site.front.port}"
    assert {each.headers["Authorization"] for each in site.sent()} == {None}


def test_storage_in_the_settings_is_pickled_without_its_password(site: Site) -> None:
    entry = {"BACKEND": "storages.backends.couchdb.CouchDBStorage", "OPTIONS": site.options()}
    with override_settings(STORAGES={"files": entry}):
        save(storages["files"])
        again = pickle.loads(pickle.dumps(storages["files"]))
        assert read(again) == b"content"


# -- settings -------------------------------------------------------------------------------------


def test_keyword_wins_over_the_setting() -> None:
    """The old backend had it the other way round."""
    given = {"server": "http://setting:1", "database": "setting", "location": "setting"}
    with override_settings(COUCHDB_STORAGE_OPTIONS=given, COUCHDB_DEFAULT_SERVER="http://other:2"):
        storage = CouchDBStorage(server="http://keyword:3")
        assert storage.server == "http://keyword:3"
        assert (storage.database, storage.location) == ("setting", "setting")
        assert CouchDBStorage().server == "http://setting:1"
    with override_settings(COUCHDB_DEFAULT_SERVER="http://other:2"):
        assert CouchDBStorage().server == "http://other:2"
    assert CouchDBStorage().server == "http://localhost:5984"


def test_database_is_required() -> None:
    with pytest.raises(ImproperlyConfigured, match=r"COUCHDB_STORAGE_OPTIONS\.database"):
        CouchDBStorage().exists("a.txt")


@pytest.mark.parametrize(
    "server",
    [
        "couchdb.other.example",
        "ftp://couchdb.example.com",
        "http://",
        "http://host:port/",
        "http://us:er@pa/ss@host/",
        "http://host/?query",
        "http://host/#fragment",
    ],
)
def test_server_that_is_no_url_is_refused_and_not_shown(server: str) -> None:
    storage = CouchDBStorage(server=server, database="files")
    with pytest.raises(ImproperlyConfigured, match="must be a URL such as") as raised:
        storage.exists("a.txt")
    assert server not in str(raised.value)


@pytest.mark.parametrize("database", ["", "_users", "_replicator"])
def test_database_of_couchdb_s_own_is_refused(database: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="CouchDB's own"):
        CouchDBStorage(database=database).exists("a.txt")


def found_by_checks(**options: Any) -> list[str]:
    entry = {
        "BACKEND": "storages.backends.couchdb.CouchDBStorage",
        "OPTIONS": {"database": "files", **options},
    }
    with override_settings(STORAGES={"default": STATIC, "staticfiles": STATIC, "files": entry}):
        found = checks.run_checks(include_deployment_checks=True)
    return [str(each.msg) for each in found if "storages" in str(each.id)]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"server": "http://couchdb.example.com"}, "unencrypted: use https://"),
        ({"server": "https://couchdb.example.com", "verify": False}, "'verify'"),
        ({"user": "web"}, "'user' and 'password' go together"),
        ({"password": "secret"}, "'user' and 'password' go together"),
        ({"server": "http://a:b@localhost", "user": "a", "password": "b"}, "both name a user"),
    ],
)
def test_checks_find_what_is_unsafe_or_contradicts(options: dict[str, Any], says: str) -> None:
    found = found_by_checks(**options)
    # An address that holds a password is told of as well.
    (about_this,) = (text for text in found if "debug page" not in text)
    assert says in about_this


def test_checks_find_an_unknown_entry_of_the_setting() -> None:
    with override_settings(COUCHDB_STORAGE_OPTIONS={"databse": "files"}):
        (found,) = found_by_checks()
    assert "has no entry 'databse'. Did you mean 'database'?" in found


def test_good_settings_are_found_good() -> None:
    assert found_by_checks(server="https://couchdb.example.com", user="a", password="b") == []
    assert found_by_checks() == []


def test_url_is_made_of_the_base_url_alone(site: Site) -> None:
    storage = site.storage(base_url="https://files.example/media")
    assert storage.url("_a b/c+d.txt") == "https://files.example/media/_a%20b/c%2Bd.txt"
    with override_settings(MEDIA_URL="/media/"):
        assert site.storage().url("a.txt") == "/media/a.txt"
    assert site.sent() == []


def test_tenants_have_databases_of_their_own(site: Site) -> None:
    current = {"name": site.raw.name}
    storage = site.storage(database=lambda: current["name"])
    save(storage)
    current["name"] = "no-such-database"
    with pytest.raises(OSError, match="does not know the database"):
        storage.exists("a.txt")
    current["name"] = site.raw.name
    assert storage.exists("a.txt")


def test_commands_check_and_list_the_files(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    entry = {"BACKEND": "storages.backends.couchdb.CouchDBStorage", "OPTIONS": site.options()}
    site.raw.put("dir/a.txt", b"content")
    with override_settings(STORAGES={"default": STATIC, "staticfiles": STATIC, "files": entry}):
        call_command("storages_check", "files")
        call_command("storages_list", "files", "--recursive")
    out = capsys.readouterr().out
    assert "dir/a.txt" in out
    assert site.raw.names() == ["dir/a.txt"]


def test_old_name_of_the_file_class_is_there() -> None:
    assert CouchDBFile.__name__ == "RemoteFile"


# -- listings -------------------------------------------------------------------------------------


def test_listing_skips_what_lies_in_directories(site: Site) -> None:
    site.raw.plant(f"dir/sub/{number:04}" for number in range(2500))
    site.raw.plant(["dir/sub0", "dir/a", "dir/z", "dir/sub-1/x"])
    storage = site.signed_in()
    directories, files = storage.listdir("dir")
    assert (sorted(directories), sorted(files)) == (["sub", "sub-1"], ["a", "sub0", "z"])
    assert site.methods() == ["LIST", "LIST"]


def test_walk_is_a_request_for_each_thousand(site: Site) -> None:
    names = [f"dir/sub/{number:04}" for number in range(2500)]
    site.raw.plant(names)
    storage = site.signed_in()
    assert [name for name, _ in storage.scan("dir", recursive=True)] == names
    assert site.methods() == ["LIST", "LIST", "LIST"]


@pytest.mark.parametrize("count", [999, 1000, 1001, 2000])
def test_page_that_is_just_full_ends_no_listing(site: Site, count: int) -> None:
    names = [f"{number:04}" for number in range(count)]
    site.raw.plant(names)
    assert site.storage().listdir("") == ([], names)


def test_names_beyond_latin_are_listed_in_the_root(site: Site) -> None:
    """pouchdb-server ends a range without an end at U+00FF."""
    names = ["a", "ÿ", "Ā", "漢", "\ue000", "\uffee", "😀", "\U0010fff0"]
    for name in names:
        save(site.storage(), name)
    assert site.storage().listdir("") == ([], names)


def test_urls_hold_no_credentials(site: Site) -> None:
    for each in ("http://web:secret@localhost:5984", "http://localhost:5984"):
        storage = CouchDBStorage(server=each, database="files", base_url="/media/")
        assert urlsplit(storage.url("a.txt")).netloc == ""
