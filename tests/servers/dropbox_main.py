"""Serve the Dropbox stub: ``python -m tests.servers.dropbox_main PORT``."""

from __future__ import annotations

import itertools
import json
import mimetypes
import re
import secrets
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.servers.dropbox_account import (
    BLOCK,
    LARGEST_REQUEST,
    LINK_LIFE,
    Account,
    BadInputError,
    GoneError,
    Json,
    Refusal,
    Session,
    content_hash,
)
from tests.servers.process import HOST

#: What a route needs, by its name without "files/".
SCOPES = {
    "get_metadata": "files.metadata.read",
    "list_folder": "files.metadata.read",
    "list_folder/continue": "files.metadata.read",
    "download": "files.content.read",
    "get_temporary_link": "files.content.read",
    "delete_v2": "files.content.write",
    "create_folder_v2": "files.content.write",
    "upload": "files.content.write",
    "upload_session/start": "files.content.write",
    "upload_session/append_v2": "files.content.write",
    "upload_session/finish": "files.content.write",
}
UPLOADS = {each for each in SCOPES if each.startswith("upload")}
READ_PATH = r"(/(.|[\r\n])*|id:.*)|(rev:[0-9a-f]{9,})|(ns:[0-9]+(/(.|[\r\n])*)?)"
WRITE_PATH = r"(/(.|[\r\n])*)|(ns:[0-9]+(/(.|[\r\n])*)?)|(id:.*)"
LIST_PATH = r"(/(.|[\r\n])*)?|id:.*|(ns:[0-9]+(/(.|[\r\n])*)?)"

accounts: dict[str, Account] = {}
_lock = threading.Lock()
_numbers = itertools.count(1)


def account_of(name: str) -> Account:
    """Return an account, made where it is new."""
    with _lock:
        return accounts.setdefault(name, Account(name))


class StatusError(Exception):
    """An answer with a status of its own and a body in JSON."""

    def __init__(self, status: int, body: Json) -> None:
        super().__init__(status)
        self.status = status
        self.body = body


def auth_error(tag: str, **members: str) -> StatusError:
    """Return an answer of status 401."""
    error = {".tag": tag, **members}
    return StatusError(401, {"error_summary": f"{tag}/...", "error": error})


class Handler(BaseHTTPRequestHandler):
    """Answer one client's connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 256 * 1024
    answer: tuple[int, bytes, dict[str, str]]
    account: Account
    namespace: str
    body: bytes

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answered(self._get)

    def do_PUT(self) -> None:
        self._answered(self._control)

    def do_POST(self) -> None:
        self._answered(self._post)

    def _answered(self, act: Callable[[], None]) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            act()
        except Refusal as exc:
            self._send(409, exc.body)
        except StatusError as exc:
            self._send(exc.status, exc.body)
        except BadInputError as exc:
            self._send(400, f"Error in call to API function {self.path[3:]!r}: {exc}".encode())
        except GoneError:
            self._send(410, b"")
        self._flush()

    def _send(self, status: int, body: Any, **headers: str) -> None:
        """Have an answer sent, once no lock is held: its client may be slow to take it."""
        kind = "text/plain; charset=utf-8" if isinstance(body, bytes) else "application/json"
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        given = {"Content-Type": kind, "Content-Length": str(len(data))}
        given["X-Dropbox-Request-Id"] = f"{next(_numbers):032x}"
        for name, value in headers.items():
            given[name.replace("_", "-")] = value
        self.answer = (status, data, given)

    def _flush(self) -> None:
        status, data, headers = self.answer
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    # -- past the API -----------------------------------------------------------------------------

    def _get(self) -> None:
        url = urlsplit(self.path)
        if url.path.startswith("/link/"):
            self._send_linked(url.path.split("/")[2])
            return
        self._control()

    def _control(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        account = account_of(query.get("account", ""))
        act = getattr(self, f"_{self.command.lower()}_{url.path.rpartition('/')[2]}")
        with account.lock:
            act(account, query)

    def _get_ready(self, account: Account, query: dict[str, str]) -> None:
        self._send(200, b"ready")

    def _put_settings(self, account: Account, query: dict[str, str]) -> None:
        account.tell(json.loads(self.body))
        self._send(200, b"")

    def _tree(self, account: Account, query: dict[str, str]) -> dict[str, Any]:
        namespace = query.get("namespace") or account.settings.roots[0]
        return account.trees.setdefault(namespace, {})

    def _get_file(self, account: Account, query: dict[str, str]) -> None:
        found = self._tree(account, query).get(query["path"].lower())
        data = None if found is None else found.data
        self._send(404 if data is None else 200, data or b"")

    def _put_file(self, account: Account, query: dict[str, str]) -> None:
        tree, path = self._tree(account, query), query["path"]
        moment = query.get("client_modified", "")
        old, paper = tree.get(path.lower()), "paper" in query
        item = account.store(tree, path, self.body, client_modified=moment, old=old, paper=paper)
        item.modified = query.get("modified", item.modified)
        self._send(200, b"")

    def _put_files(self, account: Account, query: dict[str, str]) -> None:
        for path in json.loads(self.body):
            account.store(self._tree(account, query), path, b"x")
        self._send(200, b"")

    def _get_files(self, account: Account, query: dict[str, str]) -> None:
        tree = self._tree(account, query)
        self._send(200, [each.path for each in tree.values() if each.data is not None])

    def _get_facts(self, account: Account, query: dict[str, str]) -> None:
        sessions = [each for each in account.sessions.values() if each.concurrent]
        facts = {"refreshes": account.refreshes, "sessions": len(account.sessions)}
        self._send(200, facts | {"concurrent": len(sessions)})

    def _send_linked(self, name: str) -> None:
        account = account_of(name.partition(".")[0])
        if name not in account.links or account.links[name][2] < account.now():
            raise GoneError
        data, path, _ = account.links[name]
        kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
        self._send(200, data, Content_Type=kind)

    # -- the API ----------------------------------------------------------------------------------

    def _post(self) -> None:
        if self.path == "/oauth2/token":
            self._refresh()
            return
        name = self.path.removeprefix("/2/files/")
        if name not in SCOPES:
            self._send(404, b"There is no such route.")
            return
        account = self._account()
        if SCOPES[name] in account.settings.without:
            raise auth_error("missing_scope", required_scope=SCOPES[name])
        self.account, self.namespace = account, self._root(account)
        arg = self._argument(name)
        with account.lock:
            getattr(self, "_do_" + name.replace("/", "_"))(arg)

    def _refresh(self) -> None:
        form = {name: values[0] for name, values in parse_qs(self.body.decode()).items()}
        client = (form.get("client_id"), form.get("client_secret", "app-secret"))
        kind, _, name = form.get("refresh_token", "").partition("-")
        if client != ("app-key", "app-secret"):
            self._send(400, {"error": "invalid_client_id", "error_description": "Invalid client"})
            return
        if form.get("grant_type") != "refresh_token" or kind != "refresh":
            text = "refresh token is invalid or revoked"
            self._send(400, {"error": "invalid_grant", "error_description": text})
            return
        account = account_of(name)
        with account.lock:
            account.refreshes += 1
            token, life = f"sl.{name}.{secrets.token_hex(4)}", account.settings.life
            account.tokens[token] = account.now() + timedelta(seconds=life)
        body = {"access_token": token, "token_type": "bearer", "expires_in": life}
        self._send(200, body)

    def _account(self) -> Account:
        kind, _, token = self.headers.get("Authorization", "").partition(" ")
        if kind != "Bearer" or not token:
            header = self.headers.get("Authorization", "")
            raise BadInputError(f'Invalid authorization value in HTTP header "{header}"')
        scheme, _, name = token.partition("-")
        if scheme == "team":
            return self._member(name)
        if token.startswith("sl."):
            account = account_of(token.split(".")[1])
            if account.tokens.get(token, account.now()) <= account.now():
                raise auth_error("expired_access_token")
            return account
        if scheme != "good":
            raise auth_error("invalid_access_token")
        if account_of(name).settings.expired:
            raise auth_error("expired_access_token")
        return account_of(name)

    def _member(self, name: str) -> Account:
        user = self.headers.get("Dropbox-API-Select-User")
        if user is None:
            raise BadInputError(
                "This API function operates on a single Dropbox account, but the OAuth 2 access "
                "token you provided is for an entire Dropbox Business team. Since your API app "
                "key has team member file access permissions, you can operate on a team member's "
                'Dropbox by providing the "Dropbox-API-Select-User" HTTP header.'
            )
        if user != f"dbmid:{name}":
            raise auth_error("invalid_select_user")
        return account_of(name)

    def _root(self, account: Account) -> str:
        """Return the namespace that paths are relative to ("Namespace guide")."""
        home, root = account.settings.roots
        header = json.loads(self.headers.get("Dropbox-API-Path-Root") or '{".tag": "home"}')
        tag, wanted = header[".tag"], header.get(header[".tag"], home)
        if tag == "root" and wanted != root:
            info = {"root_namespace_id": root, "home_namespace_id": home, "home_path": "/Home"}
            info = {".tag": "team", **info}
            error = {".tag": "invalid_root", "invalid_root": info}
            raise StatusError(422, {"error_summary": "invalid_root/...", "error": error})
        if wanted not in {home, root, *account.trees}:
            error = {".tag": "no_permission"}
            raise StatusError(422, {"error_summary": "no_permission/...", "error": error})
        return str(wanted)

    def _argument(self, name: str) -> Json:
        is_content = name in UPLOADS or name == "download"
        host = self.headers.get("Host", "")
        # Tests that come without a name of Dropbox's are taken as they are.
        if "dropboxapi" in host and host.startswith("content.") != is_content:
            raise StatusError(404, {"error_summary": f"{host} has no such route"})
        text = self.headers.get("Dropbox-API-Arg", "") if is_content else self.body.decode()
        if is_content and not (text.isascii() and text.isprintable()):
            raise BadInputError("HTTP header Dropbox-API-Arg: must be printable ASCII")
        try:
            arg: Json = json.loads(text)
        except ValueError:
            raise BadInputError("could not decode input as JSON") from None
        if name in UPLOADS and len(self.body) > LARGEST_REQUEST:
            raise Refusal("payload_too_large")
        return arg

    def _path(self, arg: Json, pattern: str) -> str:
        path = str(arg["path"])
        if not re.fullmatch(pattern, path):
            raise BadInputError(f"path: {path!r} did not match pattern {pattern!r}")
        return path

    def _do_get_metadata(self, arg: Json) -> None:
        if arg["path"] in {"", "/"}:
            raise BadInputError("request body: path: The root folder is unsupported.")
        path = self._path(arg, READ_PATH)
        self._send(200, self.account.find(path, self.namespace).metadata())

    def _do_list_folder(self, arg: Json) -> None:
        if arg["path"] == "/":
            raise BadInputError(
                'request body: path: Specify the root folder as an empty string rather than as "/".'
            )
        self._path(arg, LIST_PATH)
        self._send(200, self.account.list_folder(arg, self.namespace))

    def _do_list_folder_continue(self, arg: Json) -> None:
        self._send(200, self.account.continue_list(arg["cursor"]))

    def _do_delete_v2(self, arg: Json) -> None:
        path, rev = self._path(arg, WRITE_PATH), arg.get("parent_rev")
        found = self.account.delete(path, self.namespace, rev)
        self._send(200, {"metadata": found.metadata()})

    def _do_get_temporary_link(self, arg: Json) -> None:
        found = self.account.find_file(self._path(arg, READ_PATH), self.namespace)
        link = f"{self.account.name}.{secrets.token_hex(16)}"
        until = self.account.now() + LINK_LIFE
        self.account.links[link] = (found.data or b"", found.path, until)
        url = f"http://{HOST}:{sys.argv[1]}/link/{link}"
        self._send(200, {"metadata": found.metadata(tagged=False), "link": url})

    def _do_download(self, arg: Json) -> None:
        found = self.account.find_file(self._path(arg, READ_PATH), self.namespace)
        data, size = found.data or b"", len(found.data or b"")
        headers = {
            "Content_Type": "application/octet-stream",
            "Dropbox_API_Result": json.dumps(found.metadata(tagged=False)),
            "ETag": f'W/"{found.rev}"',
            "Accept_Ranges": "bytes",
        }
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            self._send(200, data, **headers)
            return
        start, end = int(wanted[1]), min(int(wanted[2] or size - 1), size - 1)
        if start >= size:
            self._send(416, b"", Content_Range=f"bytes */{size}")
            return
        headers["Content_Range"] = f"bytes {start}-{end}/{size}"
        self._send(206, data[start : end + 1], **headers)

    # -- uploads ----------------------------------------------------------------------------------

    def _check_hash(self, arg: Json) -> None:
        if arg.get("content_hash") not in {None, content_hash(self.body)}:
            raise Refusal("content_hash_mismatch")

    def _do_upload(self, arg: Json) -> None:
        self._path(arg, WRITE_PATH)
        self._check_hash(arg)
        try:
            found = self.account.commit(arg, self.namespace, self.body)
        except Refusal as exc:
            error, summary = exc.body["error"], exc.body["error_summary"]
            failed = {".tag": "path", "reason": error, "upload_session_id": "session"}
            raise StatusError(409, {"error_summary": f"path/{summary}", "error": failed}) from None
        self._send(200, found.metadata(tagged=False))

    def _do_upload_session_start(self, arg: Json) -> None:
        self._check_hash(arg)
        kind = arg.get("session_type") or "sequential"
        kind = kind if isinstance(kind, str) else kind[".tag"]
        session = Session(kind == "concurrent", closed=bool(arg.get("close")))
        if session.concurrent and self.body:
            raise Refusal("concurrent_session_data_not_allowed")
        if session.concurrent and session.closed:
            raise Refusal("concurrent_session_close_not_allowed")
        if self.body:
            session.parts[0] = self.body
        name = f"pid_upload_session:{secrets.token_hex(12)}"
        self.account.sessions[name] = session
        self._send(200, {"session_id": name})

    def _do_upload_session_append_v2(self, arg: Json) -> None:
        session, offset = self._session(arg["cursor"]), int(arg["cursor"]["offset"])
        self._check_hash(arg)
        if session.closed:
            raise Refusal("closed")
        if not session.concurrent and offset != session.length:
            raise Refusal("incorrect_offset", correct_offset=session.length)
        if session.concurrent and offset % BLOCK:
            raise Refusal("concurrent_session_invalid_offset")
        if session.concurrent and len(self.body) % BLOCK and not arg.get("close"):
            raise Refusal("concurrent_session_invalid_data_size")
        if self.body:
            session.parts[offset] = self.body
        session.closed = bool(arg.get("close"))
        self._send(200, None)

    def _do_upload_session_finish(self, arg: Json) -> None:
        session, offset = self._session(arg["cursor"], "lookup_failed"), arg["cursor"]["offset"]
        self._path(arg["commit"], WRITE_PATH)
        self._check_hash(arg)
        if session.committed:
            raise Refusal("lookup_failed", "closed")
        if session.concurrent:
            self._check_concurrent(session)
        if offset != session.length:
            raise Refusal("lookup_failed", "incorrect_offset", correct_offset=session.length)
        if self.body:
            session.parts[offset] = self.body
        try:
            found = self.account.commit(arg["commit"], self.namespace, session.data())
        except Refusal as exc:
            # A path's reason is a WriteError here, and not the struct that `upload` has.
            inner, within = exc.body["error"], str(exc.body["error_summary"])
            busy = inner[".tag"] == "too_many_write_operations"
            error = inner if busy else {".tag": "path", "path": inner}
            summary = within if busy else f"path/{within}"
            raise StatusError(409, {"error_summary": summary, "error": error}) from None
        session.committed, session.parts = True, {}
        self._send(200, found.metadata(tagged=False))

    def _check_concurrent(self, session: Session) -> None:
        if self.body:
            raise Refusal("concurrent_session_data_not_allowed")
        if not session.closed:
            raise Refusal("concurrent_session_not_closed")
        if not session.is_whole:
            raise Refusal("concurrent_session_missing_data")

    def _session(self, cursor: Json, *outer: str) -> Session:
        session = self.account.sessions.get(cursor["session_id"])
        if session is None:
            raise Refusal(*outer, "not_found")
        return session


class Listener(ThreadingHTTPServer):
    """Listen with room for many at once."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let clients go away."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main() -> None:
    """Serve until killed."""
    with suppress(KeyboardInterrupt):
        Listener((HOST, int(sys.argv[1])), Handler).serve_forever()


if __name__ == "__main__":
    main()
