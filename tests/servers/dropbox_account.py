"""The accounts of the Dropbox stub: trees of files and folders, upload sessions, cursors, links."""

from __future__ import annotations

import functools
import hashlib
import itertools
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import Any

BLOCK = 4 * 1024 * 1024  # bytes that are hashed at once, and the unit of concurrent sessions
LARGEST_REQUEST = 150 * 1024 * 1024  # bytes
LONGEST_PART = 255  # characters
LINK_LIFE = timedelta(hours=4)
FORMAT = "%Y-%m-%dT%H:%M:%SZ"

#: Names that Dropbox keeps nothing under ("ignored files" of its help pages).
DISALLOWED = re.compile(
    r"desktop\.ini|thumbs\.db|\.ds_store|icon\r|\.dropbox|\.dropbox\.attr|~\$.*|\.~.*|~.*\.tmp|.* ",
    re.IGNORECASE | re.DOTALL,
)

Json = dict[str, Any]
_ticks = itertools.count(1)


class Refusal(Exception):
    """An answer of status 409; ``tags`` name the error from its outermost part to its reason."""

    def __init__(self, *tags: str, **members: Any) -> None:
        super().__init__("/".join(tags))
        error: Json = {".tag": tags[-1], **members}
        for tag in reversed(tags[:-1]):
            error = {".tag": tag, tag: error}
        self.body: Json = {"error_summary": "/".join((*tags, "...")), "error": error}


class BadInputError(Exception):
    """An answer of status 400, in plain text."""


class GoneError(Exception):
    """An answer of status 410, of a link that lives no more."""


def content_hash(data: bytes) -> str:
    """Return Dropbox's hash of a content ("Content hash" of its developer pages)."""
    blocks = (data[start : start + BLOCK] for start in range(0, len(data), BLOCK))
    return hashlib.sha256(b"".join(hashlib.sha256(each).digest() for each in blocks)).hexdigest()


@dataclass
class Settings:
    """How an account is answered otherwise than a good one."""

    quota: int | None = None  # bytes of all files together
    pages: list[int] = field(default_factory=list)  # entries of the next pages of listings
    resets: int = 0  # continuations of listings that are answered by "reset"
    busy: int = 0  # writes that are answered by "too_many_write_operations"
    without: list[str] = field(default_factory=list)  # scopes that the token does not have
    expired: bool = False  # all access tokens there are have expired
    life: int = 14400  # seconds that access tokens from now on live
    roots: list[str] = field(default_factory=lambda: ["1001", "1001"])  # home and root namespace
    errors: dict[str, list[str]] = field(default_factory=dict)  # path to the tags of its error
    clock: int = 0  # seconds by which the clock is ahead


@dataclass
class Item:
    """A file, a folder where ``data`` is None, or a document of Paper's."""

    path: str
    data: bytes | None = None
    modified: str = ""
    client_modified: str = ""
    number: int = 0
    rev: str = ""
    tick: int = 0
    paper: bool = False

    @functools.cached_property
    def hash(self) -> str:
        """The hash of the content."""
        return content_hash(self.data or b"")

    def metadata(self, *, tagged: bool = True) -> Json:
        """Describe it as the API does."""
        name = self.path.rpartition("/")[2]
        place = {"name": name, "path_lower": self.path.lower(), "path_display": self.path}
        tag = "folder" if self.data is None else "file"
        found: Json = {".tag": tag, **place, "id": f"id:{self.number:022d}"}
        if self.data is not None:
            found |= {
                "client_modified": self.client_modified,
                "server_modified": self.modified,
                "rev": self.rev,
                "size": len(self.data),
                "is_downloadable": not self.paper,
            }
            if self.paper:
                found["export_info"] = {"export_as": "html"}
            else:
                found["content_hash"] = self.hash
        return found if tagged else {name: found[name] for name in found if name != ".tag"}


@dataclass
class Session:
    """An upload session and the bytes it has, by their offset."""

    concurrent: bool
    parts: dict[int, bytes] = field(default_factory=dict)
    closed: bool = False
    committed: bool = False

    def data(self) -> bytes:
        """Return all there is, in order."""
        return b"".join(self.parts[start] for start in sorted(self.parts))

    @property
    def is_whole(self) -> bool:
        """True if the parts follow one another from the start without a gap."""
        return sum(map(len, self.parts.values())) == self.length

    @property
    def length(self) -> int:
        """The bytes up to the end of the last part."""
        return max((start + len(part) for start, part in self.parts.items()), default=0)


@dataclass
class Cursor:
    """Where a listing stands: what is left of it, and the last change that it knows."""

    tree: dict[str, Item]
    path: str
    recursive: bool
    limit: int
    left: list[str]
    tick: int


class Account:
    """One account: namespaces with a tree each, by the lower-case path of what is in it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.settings = Settings()
        self.lock = threading.RLock()
        self.trees: dict[str, dict[str, Item]] = {}
        self.sessions: dict[str, Session] = {}
        self.cursors: dict[str, Cursor] = {}
        self.links: dict[str, tuple[bytes, str, datetime]] = {}
        self.revisions: dict[str, Item] = {}
        self.tokens: dict[str, datetime] = {}
        self.refreshes = 0

    def tell(self, settings: Json) -> None:
        """Change settings by name."""
        known = {each.name for each in fields(Settings)}
        assert settings.keys() <= known, settings.keys() - known
        for name, value in settings.items():
            setattr(self.settings, name, value)

    def now(self) -> datetime:
        """Return the time by the account's clock."""
        return datetime.now(UTC) + timedelta(seconds=self.settings.clock)

    # -- looking ----------------------------------------------------------------------------------

    def locate(self, path: str, namespace: str) -> tuple[dict[str, Item], str]:
        """Return the tree and the path in it that a path of the API means."""
        if path.startswith("ns:"):
            namespace, slash, rest = path[3:].partition("/")
            path = slash + rest
        tree = self.trees.setdefault(namespace, {})
        if path.startswith("id:"):
            found = [each.path for each in tree.values() if f"id:{each.number:022d}" == path]
            path = found[0] if found else "/" + path
        return tree, path

    def find(self, path: str, namespace: str, *, outer: str = "path") -> Item:
        """Return what is at a path; ``outer`` is the tag around what is wrong with it."""
        if path.startswith("rev:"):
            if path[4:] not in self.revisions:
                raise Refusal(outer, "not_found")
            return self.revisions[path[4:]]
        tree, path = self.locate(path, namespace)
        if path.lower() in self.settings.errors:
            raise Refusal(outer, *self.settings.errors[path.lower()])
        if is_malformed(path):
            raise Refusal(outer, "malformed_path")
        if path.lower() not in tree:
            raise Refusal(outer, "not_found")
        return tree[path.lower()]

    def find_file(self, path: str, namespace: str) -> Item:
        """Return the file at a path whose bytes are wanted."""
        found = self.find(path, namespace)
        if found.data is None:
            raise Refusal("path", "not_file")
        if found.paper:
            raise Refusal("unsupported_file")
        return found

    # -- writing ----------------------------------------------------------------------------------

    def commit(self, info: Json, namespace: str, data: bytes) -> Item:
        """Give a content its name; raises Refusal with the tags of a WriteError."""
        tree, path = self.locate(info["path"], namespace)
        self._check_write(tree, path, data)
        moment = _checked_time(info.get("client_modified"))
        mode = info.get("mode", "add")
        mode = {".tag": mode} if isinstance(mode, str) else mode
        old = tree.get(path.lower())
        strict = info.get("strict_conflict", False)
        if old is not None and old.data == data and not strict and not old.paper:
            return old
        if _conflicts(old, mode, strict=strict):
            if not info.get("autorename"):
                raise Refusal("conflict", "folder" if old and old.data is None else "file")
            path, old = _free(tree, path), None
        return self.store(tree, path, data, client_modified=moment, old=old)

    def store(
        self,
        tree: dict[str, Item],
        path: str,
        data: bytes,
        *,
        client_modified: str = "",
        old: Item | None = None,
        paper: bool = False,
    ) -> Item:
        """Put a file into a tree, and its folders."""
        parts = path.split("/")
        for count in range(2, len(parts)):
            folder = "/".join(parts[:count])
            tick = next(_ticks)
            tree.setdefault(folder.lower(), Item(folder, number=tick, tick=tick))
        parent = tree.get("/".join(parts[:-1]).lower())
        # Folders keep the case they were made in.
        path = f"{parent.path if parent else ''}/{parts[-1]}"
        path = old.path if old else path
        now, tick = self.now().strftime(FORMAT), next(_ticks)
        item = Item(path, data, now, client_modified or now, old.number if old else tick)
        item.rev, item.tick, item.paper = f"{tick:015x}", tick, paper
        tree[path.lower()] = self.revisions[item.rev] = item
        return item

    def _check_write(self, tree: dict[str, Item], path: str, data: bytes) -> None:
        if path.lower() in self.settings.errors:
            raise Refusal(*self.settings.errors[path.lower()])
        if self.settings.busy:
            self.settings.busy -= 1
            raise Refusal("too_many_write_operations")
        if is_malformed(path) or not path:
            raise Refusal("malformed_path")
        parts = path.split("/")
        if any(DISALLOWED.fullmatch(each) for each in parts):
            raise Refusal("disallowed_name")
        for count in range(2, len(parts)):
            above = tree.get("/".join(parts[:count]).lower())
            if above is not None and above.data is not None:
                raise Refusal("conflict", "file_ancestor")
        used = sum(len(each.data or b"") for each in tree.values())
        if self.settings.quota is not None and used + len(data) > self.settings.quota:
            raise Refusal("insufficient_space")

    def delete(self, path: str, namespace: str, parent_rev: str | None) -> Item:
        """Remove a file, or a folder with all that is in it."""
        if self.settings.busy:
            self.settings.busy -= 1
            raise Refusal("too_many_write_operations")
        found = self.find(path, namespace, outer="path_lookup")
        if parent_rev is not None and found.data is None:
            raise Refusal("path_lookup", "not_file")
        if parent_rev is not None and parent_rev != found.rev:
            raise Refusal("path_write", "conflict", "file")
        tree, _ = self.locate(path, namespace)
        below = f"{found.path.lower()}/"
        for each in [key for key in tree if f"{key}/".startswith(below)]:
            del tree[each]
        return found

    # -- listing ----------------------------------------------------------------------------------

    def list_folder(self, arg: Json, namespace: str) -> Json:
        """Return the first page of a listing."""
        tree, path = self.locate(arg["path"], namespace)
        if path and self.find(path, namespace).data is not None:
            raise Refusal("path", "not_folder")
        recursive = bool(arg.get("recursive"))
        inside = list(below(tree, path, recursive=recursive))
        limit = arg.get("limit") or 500
        return self._page(Cursor(tree, path, recursive, limit, inside, next(_ticks)))

    def continue_list(self, name: str) -> Json:
        """Return the page that a cursor stands before."""
        if self.settings.resets:
            self.settings.resets -= 1
            raise Refusal("reset")
        if name not in self.cursors:
            raise BadInputError('Invalid "cursor" parameter')
        return self._page(self.cursors[name])

    def _page(self, cursor: Cursor) -> Json:
        if not cursor.left:
            news = below(cursor.tree, cursor.path, recursive=cursor.recursive)
            cursor.left = [each for each in news if cursor.tree[each].tick > cursor.tick]
            cursor.tick = next(_ticks)
        size = self.settings.pages.pop(0) if self.settings.pages else min(cursor.limit, 2000)
        entries = [self._entry(cursor, each) for each in cursor.left[:size]]
        name = f"cursor-{next(_ticks)}"
        rest = Cursor(
            cursor.tree,
            cursor.path,
            cursor.recursive,
            cursor.limit,
            cursor.left[size:],
            cursor.tick,
        )
        self.cursors[name] = rest
        return {"entries": entries, "cursor": name, "has_more": bool(rest.left)}

    def _entry(self, cursor: Cursor, key: str) -> Json:
        if key in cursor.tree:
            return cursor.tree[key].metadata()
        name = key.rpartition("/")[2]
        return {".tag": "deleted", "name": name, "path_lower": key, "path_display": key}


def below(tree: dict[str, Item], path: str, *, recursive: bool) -> Iterator[str]:
    """Yield the keys below a path, folders before what is in them."""
    prefix = f"{path.lower()}/"
    for key in sorted(tree):
        if key.startswith(prefix) and (recursive or "/" not in key[len(prefix) :]):
            yield key


def is_malformed(path: str) -> bool:
    """Return True if a path has not the form the API wants."""
    parts = path.split("/")[1:]
    return bool(path) and any(not each or len(each) > LONGEST_PART for each in parts)


def _checked_time(moment: str | None) -> str:
    if moment is None:
        return ""
    try:
        datetime.strptime(moment, FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise BadInputError(f"client_modified: time data {moment!r} is not of {FORMAT}") from None
    return moment


def _conflicts(old: Item | None, mode: Json, *, strict: bool) -> bool:
    """Return True if a write mode meets a conflict ("WriteMode" of the API reference)."""
    if old is None:
        return bool(mode[".tag"] == "update" and strict)
    if old.data is None or mode[".tag"] == "add":
        return True
    return bool(mode[".tag"] == "update" and mode["update"] != old.rev)


def _free(tree: dict[str, Item], path: str) -> str:
    stem, dot, extension = path.rpartition(".")
    if not dot or "/" in extension:
        stem, dot, extension = path, "", ""
    for number in itertools.count(1):
        name = f"{stem} ({number}){dot}{extension}"
        if name.lower() not in tree:
            return name
    raise AssertionError
