"""The stub's answers, held against the SDK's own types: strictly, so no name may be made up."""

from __future__ import annotations

import json
import uuid
from contextlib import closing
from http.client import HTTPConnection, HTTPMessage
from typing import Any

import pytest
from dropbox import auth, common, files
from stone.backends.python_rsrc import stone_serializers

from tests.servers.dropbox_account import BLOCK, content_hash
from tests.servers.dropbox_stub import DropboxStub

PLACES = {"download": "content", "upload": "content"}
COMMIT = {"path": "/new.txt", "mode": "add", "strict_conflict": True}
#: What makes each write be refused, to the tags of the WriteError.
REFUSED_WRITES: list[tuple[dict[str, Any], str, list[str]]] = [
    ({}, "/a.txt", ["conflict", "file"]),
    ({}, "/A.TXT", ["conflict", "file"]),
    ({}, "/folder", ["conflict", "folder"]),
    ({}, "/a.txt/b.txt", ["conflict", "file_ancestor"]),
    ({}, "/x//y.txt", ["malformed_path"]),
    ({}, f"/{'x' * 256}", ["malformed_path"]),
    ({}, "/desktop.ini", ["disallowed_name"]),
    ({}, "/~$a.docx", ["disallowed_name"]),
    ({}, "/trailing ", ["disallowed_name"]),
    ({"quota": 1}, "/b.txt", ["insufficient_space"]),
    ({"busy": 1}, "/b.txt", ["too_many_write_operations"]),
    ({"errors": {"/b.txt": ["no_write_permission"]}}, "/b.txt", ["no_write_permission"]),
]


class Caller:
    """Calls routes of the stub for one account, without the SDK's client."""

    def __init__(self, stub: DropboxStub) -> None:
        self.stub = stub
        self.account = uuid.uuid4().hex
        self.headers = {"Authorization": f"Bearer good-{self.account}"}
        self.stub.put(self.account, "/a.txt", b"content")
        self.stub.put(self.account, "/folder/b.txt", b"other")

    def send(
        self, name: str, arg: Any, body: bytes | None = None, **headers: str
    ) -> tuple[int, bytes, HTTPMessage]:
        """Return the status, the body and the headers of an answer."""
        given = {**self.headers, **{key.replace("_", "-"): headers[key] for key in headers}}
        if body is None and name != "download":
            given["Content-Type"], body = "application/json", json.dumps(arg).encode()
        else:
            given["Dropbox-API-Arg"] = json.dumps(arg)
        with closing(HTTPConnection(*self.stub.address)) as connection:
            connection.request("POST", f"/2/files/{name}", body or b"", given)
            answer = connection.getresponse()
            return answer.status, answer.read(), answer.headers

    def result(self, name: str, arg: Any, body: bytes | None = None, **headers: str) -> Any:
        """Return what an answer of success holds, in the SDK's type."""
        status, content, answer = self.send(name, arg, body, **headers)
        assert status in {200, 206}, content
        text = answer["Dropbox-API-Result"] if name == "download" else content
        return decode(route_of(name).result_type, json.loads(text))

    def error(self, name: str, arg: Any, body: bytes | None = None) -> list[str]:
        """Return the tags of an error, which the SDK's type of the route has."""
        status, content, _ = self.send(name, arg, body)
        assert status == 409, content
        answer = json.loads(content)
        assert answer["error_summary"].endswith("...")
        return tags(decode(route_of(name).error_type, answer["error"]))


def route_of(name: str) -> Any:
    return getattr(files, name.replace("/", "_"))


def decode(kind: Any, value: Any) -> Any:
    return stone_serializers.json_compat_obj_decode(kind, value, strict=True)


def tags(error: Any) -> list[str]:
    found = []
    while error is not None:
        if hasattr(error, "_tag"):
            # Stone has no public name for them.
            found.append(error._tag)  # noqa: SLF001
            error = error._value  # noqa: SLF001
        else:
            error = getattr(error, "reason", None)
    return found


@pytest.fixture
def caller(stub: DropboxStub) -> Caller:
    return Caller(stub)


def test_metadata_is_of_the_sdks_types(caller: Caller) -> None:
    found = caller.result("get_metadata", {"path": "/A.txt"})
    assert isinstance(found, files.FileMetadata)
    assert (found.name, found.size, found.content_hash) == ("a.txt", 7, content_hash(b"content"))
    assert caller.result("get_metadata", {"path": found.id}).rev == found.rev
    assert caller.result("get_metadata", {"path": f"rev:{found.rev}"}).id == found.id
    assert isinstance(caller.result("get_metadata", {"path": "/folder"}), files.FolderMetadata)


def test_paper_documents_have_no_bytes(caller: Caller) -> None:
    caller.stub.put(caller.account, "/notes.paper", b"", paper=1)
    found = caller.result("get_metadata", {"path": "/notes.paper"})
    assert (found.is_downloadable, found.content_hash) == (False, None)
    assert found.export_info.export_as == "html"
    for name in ("download", "get_temporary_link"):
        assert caller.error(name, {"path": "/notes.paper"}) == ["unsupported_file"]


@pytest.mark.parametrize(
    ("name", "path", "found"),
    [
        ("get_metadata", "/missing", ["path", "not_found"]),
        ("get_metadata", "id:missing", ["path", "not_found"]),
        ("get_metadata", "rev:0123456789", ["path", "not_found"]),
        ("get_metadata", "/a//b", ["path", "malformed_path"]),
        ("download", "/missing", ["path", "not_found"]),
        ("download", "/folder", ["path", "not_file"]),
        ("get_temporary_link", "/folder", ["path", "not_file"]),
        ("list_folder", "/missing", ["path", "not_found"]),
        ("list_folder", "/a.txt", ["path", "not_folder"]),
        ("delete_v2", "/missing", ["path_lookup", "not_found"]),
    ],
)
def test_lookup_errors_are_of_the_sdks_types(
    caller: Caller, name: str, path: str, found: list[str]
) -> None:
    assert caller.error(name, {"path": path}) == found


@pytest.mark.parametrize(("settings", "path", "found"), REFUSED_WRITES)
def test_write_errors_are_of_the_sdks_types(
    caller: Caller, settings: dict[str, Any], path: str, found: list[str]
) -> None:
    commit = COMMIT | {"path": path}
    caller.stub.tell(caller.account, **settings)
    assert caller.error("upload", commit, b"new") == ["path", *found]
    session = caller.result("upload_session/start", {}, b"new").session_id
    caller.stub.tell(caller.account, **settings)
    arg = {"cursor": {"session_id": session, "offset": 3}, "commit": commit}
    outer = [] if found == ["too_many_write_operations"] else ["path"]
    assert caller.error("upload_session/finish", arg, b"") == [*outer, *found]


def test_equal_bytes_are_a_conflict_only_where_it_is_strict(caller: Caller) -> None:
    rev = caller.result("get_metadata", {"path": "/a.txt"}).rev
    plain, strict = {"path": "/a.txt"}, {"path": "/a.txt", "strict_conflict": True}
    assert caller.result("upload", plain, b"content").rev == rev
    assert caller.error("upload", strict, b"content") == ["path", "conflict", "file"]


def test_update_needs_the_revision_there_is(caller: Caller) -> None:
    rev = caller.result("get_metadata", {"path": "/a.txt"}).rev
    update = {"path": "/a.txt", "mode": {".tag": "update", "update": rev}, "strict_conflict": True}
    assert caller.result("upload", update, b"new").rev != rev
    assert caller.error("upload", update, b"newer") == ["path", "conflict", "file"]
    caller.result("delete_v2", {"path": "/a.txt"})
    assert caller.error("upload", update, b"newest") == ["path", "conflict", "file"]


def test_autorename_gives_another_name(caller: Caller) -> None:
    arg = {"path": "/a.txt", "autorename": True}
    assert caller.result("upload", arg, b"new").path_display == "/a (1).txt"


def test_composed_and_decomposed_letters_are_two_names(caller: Caller) -> None:
    for name in ("/\u00e9", "/e\u0301"):
        caller.result("upload", {"path": name, "strict_conflict": True}, b"x")
    assert len([each for each in caller.stub.names(caller.account) if len(each) < 4]) == 2


def test_hashes_are_compared_on_every_upload(caller: Caller) -> None:
    wrong = {"content_hash": "0" * 64}
    cursor = {"session_id": caller.result("upload_session/start", {}, b"").session_id, "offset": 0}
    for name, arg in {
        "upload": {"path": "/x"},
        "upload_session/start": {},
        "upload_session/append_v2": {"cursor": cursor},
        "upload_session/finish": {"cursor": cursor, "commit": {"path": "/x"}},
    }.items():
        assert caller.error(name, arg | wrong, b"x") == ["content_hash_mismatch"]
    assert "/x" not in caller.stub.names(caller.account)


def test_sequential_session_says_where_it_stands(caller: Caller) -> None:
    session = caller.result("upload_session/start", {}, b"abc").session_id
    wrong = {"cursor": {"session_id": session, "offset": 5}}
    assert caller.error("upload_session/append_v2", wrong, b"x") == ["incorrect_offset"]
    _, content, _ = caller.send("upload_session/append_v2", wrong, b"x")
    error = decode(files.UploadSessionAppendError_validator, json.loads(content)["error"])
    assert error.get_incorrect_offset().correct_offset == 3
    finish = {**wrong, "commit": {"path": "/s"}}
    assert caller.error("upload_session/finish", finish, b"") == [
        "lookup_failed",
        "incorrect_offset",
    ]
    lost = {"cursor": {"session_id": "lost", "offset": 0}}
    assert caller.error("upload_session/append_v2", lost, b"x") == ["not_found"]


def test_concurrent_session_takes_whole_blocks_in_any_order(caller: Caller) -> None:
    start = {"session_type": {".tag": "concurrent"}}
    assert caller.error("upload_session/start", start, b"x") == [
        "concurrent_session_data_not_allowed"
    ]
    assert caller.error("upload_session/start", start | {"close": True}, b"") == [
        "concurrent_session_close_not_allowed"
    ]
    session = caller.result("upload_session/start", start, b"").session_id

    def at(offset: int, **more: Any) -> dict[str, Any]:
        return {"cursor": {"session_id": session, "offset": offset}, **more}

    name, block = "upload_session/append_v2", bytes(BLOCK)
    assert caller.error(name, at(5), block) == ["concurrent_session_invalid_offset"]
    assert caller.error(name, at(0), b"x") == ["concurrent_session_invalid_data_size"]
    finish = at(BLOCK + 1, commit={"path": "/c"})
    assert caller.error("upload_session/finish", finish, b"") == ["concurrent_session_not_closed"]
    caller.result(name, at(BLOCK, close=True), b"x")
    assert caller.error(name, at(0), block) == ["closed"]
    assert caller.error("upload_session/finish", finish, b"") == ["concurrent_session_missing_data"]


def test_ranges_are_told_with_their_place(caller: Caller) -> None:
    arg = {"path": "/a.txt"}
    caller.result("download", arg)
    status, content, headers = caller.send("download", arg, Range="bytes=2-")
    assert (status, content, headers["Content-Range"]) == (206, b"ntent", "bytes 2-6/7")
    status, _, headers = caller.send("download", arg, Range="bytes=7-")
    assert (status, headers["Content-Range"]) == (416, "bytes */7")


def test_listing_comes_in_pages_of_any_size(caller: Caller) -> None:
    caller.stub.plant(caller.account, ["/many/a", "/many/b", "/many/c"])
    caller.stub.tell(caller.account, pages=[0, 2, 0, 1], resets=0)
    page = caller.result("list_folder", {"path": "/many"})
    sizes = [len(page.entries)]
    while page.has_more:
        page = caller.result("list_folder/continue", {"cursor": page.cursor})
        sizes.append(len(page.entries))
    assert sizes == [0, 2, 0, 1]
    caller.stub.tell(caller.account, resets=1)
    assert caller.error("list_folder/continue", {"cursor": page.cursor}) == ["reset"]


@pytest.mark.parametrize(
    ("name", "arg"),
    [
        ("list_folder", {"path": "/"}),
        ("get_metadata", {"path": ""}),
        ("get_metadata", {"path": "a.txt"}),
        ("delete_v2", {"path": "rev:0123456789"}),
        ("list_folder/continue", {"cursor": "made up"}),
    ],
)
def test_input_of_a_wrong_form_is_told_in_plain_text(caller: Caller, name: str, arg: Any) -> None:
    status, content, headers = caller.send(name, arg)
    assert (status, headers["Content-Type"]) == (400, "text/plain; charset=utf-8")
    assert content.startswith(b"Error in call to API function")


@pytest.mark.parametrize("moment", ["2026-01-01T00:00:00+01:00", "2026-01-01 00:00:00", "now"])
def test_times_are_of_utc(caller: Caller, moment: str) -> None:
    status, _, _ = caller.send("upload", {"path": "/t", "client_modified": moment}, b"x")
    assert status == 400


@pytest.mark.parametrize(
    ("token", "settings", "tag"),
    [
        ("unknown", {}, "invalid_access_token"),
        ("good-{}", {"expired": True}, "expired_access_token"),
        ("good-{}", {"without": ["files.metadata.read"]}, "missing_scope"),
    ],
)
def test_refused_tokens_are_of_the_sdks_types(
    caller: Caller, token: str, settings: dict[str, Any], tag: str
) -> None:
    caller.stub.tell(caller.account, **settings)
    caller.headers["Authorization"] = f"Bearer {token.format(caller.account)}"
    status, content, headers = caller.send("get_metadata", {"path": "/a.txt"})
    assert (status, headers["Content-Type"]) == (401, "application/json")
    assert tags(decode(auth.AuthError_validator, json.loads(content)["error"])) == [tag]


def test_team_token_needs_a_member(caller: Caller) -> None:
    caller.headers["Authorization"] = f"Bearer team-{caller.account}"
    assert caller.send("get_metadata", {"path": "/a.txt"})[0] == 400
    caller.headers["Dropbox-API-Select-User"] = "dbmid:nobody"
    status, content, _ = caller.send("get_metadata", {"path": "/a.txt"})
    error = decode(auth.AuthError_validator, json.loads(content)["error"])
    assert (status, tags(error)) == (401, ["invalid_select_user"])
    caller.headers["Dropbox-API-Select-User"] = f"dbmid:{caller.account}"
    assert caller.send("get_metadata", {"path": "/a.txt"})[0] == 200


def test_namespaces_have_files_of_their_own(caller: Caller) -> None:
    caller.stub.tell(caller.account, roots=["1001", "2002"])
    caller.stub.put(caller.account, "/team.txt", b"team", namespace="2002")
    root = json.dumps({".tag": "root", "root": "2002"})
    assert caller.result("get_metadata", {"path": "/team.txt"}, Dropbox_API_Path_Root=root)
    assert caller.result("get_metadata", {"path": "ns:2002/team.txt"})
    for header, tag in (
        ({".tag": "root", "root": "1001"}, "invalid_root"),
        ({".tag": "namespace_id", "namespace_id": "7"}, "no_permission"),
    ):
        given = {"Dropbox_API_Path_Root": json.dumps(header)}
        status, content, _ = caller.send("get_metadata", {"path": "/team.txt"}, **given)
        error = decode(common.PathRootError_validator, json.loads(content)["error"])
        assert (status, tags(error)) == (422, [tag])
    assert error is not None
