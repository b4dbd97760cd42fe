"""Reading: where the copies of a file are, and a copy's content."""

from __future__ import annotations

import errno
import hashlib
from contextlib import suppress
from dataclasses import dataclass, field

from storages.driver import Entry
from storages.http import Body, ranged_body

from .messages import Values
from .session import Cluster, refused
from .urls import fid_of, usable

_ATTEMPTS = 3  # at a file that is replaced while it is looked up
_ROUNDS = 2  # through the copies, for those whose connection broke
_MOST_PATHS = 10  # that a tracker may tell


@dataclass(frozen=True, slots=True)
class Copies(Entry):
    """A file, with the URLs of its copies, the best first, and its MD5 if the tracker keeps one."""

    urls: list[str] = field(default_factory=list, compare=False)
    md5: str = ""

    def demote(self, url: str) -> None:
        """Put a copy that failed behind the others."""
        with suppress(ValueError):
            self.urls.remove(url)
            self.urls.append(url)


def described(info: Values, urls: list[str] | None = None) -> Copies:
    """Return the entry of what ``file_info`` tells."""
    kind, _, digest = info.get("checksum", "").partition(":")
    md5 = digest if kind == "MD5" else ""
    told = f"md5:{md5.lower()}" if md5 else None
    return Copies(int(info["length"]), etag=info["fid"], digest=told, urls=urls or [], md5=md5)


def locate(cluster: Cluster, key: str) -> Copies:
    """Ask for a file and its copies, of one and the same content, in one exchange."""
    info = cluster.command("file_info", key=key)
    # The paths that `noverify=1` gives may be an hour old: those of a file that was replaced.
    paths = cluster.command("get_paths", key=key, noverify=0, pathcount=_MOST_PATHS)
    for _ in range(_ATTEMPTS):
        found, told = cluster.ask_together(info, paths)
        urls = _urls(cluster, told) or _unverified(cluster, key)
        if {fid_of(each) for each in urls} <= {found["fid"], None}:
            return described(found, urls)
    raise OSError(errno.ESTALE, "The file was replaced again and again while it was looked up")


def _unverified(cluster: Cluster, key: str) -> list[str]:
    """Return copies that no tracker could see lately."""
    return _urls(cluster, cluster.ask("get_paths", key=key, noverify=1, pathcount=_MOST_PATHS))


def _urls(cluster: Cluster, told: Values) -> list[str]:
    count = int(told.get("paths", 0))
    return usable((told[f"path{number}"] for number in range(1, count + 1)), cluster.hosts)


def open_copy(cluster: Cluster, copies: Copies, start: int, stop: int | None = None) -> Download:
    """Return the content from a byte on, up to another one if given, of the first whole copy."""
    error = OSError(errno.EIO, "No storage node has the content of the file")
    hopeless: set[str] = set()
    for url in copies.urls * _ROUNDS:
        if url in hopeless:
            continue
        try:
            return _opened(cluster, copies, url, start, stop)
        except OSError as exc:
            error = exc
            copies.demote(url)
            if not isinstance(exc, ConnectionError):
                hopeless.add(url)
    # "Not found" from a node is no word of the tracker's on the file.
    raise OSError(error.errno, f"{error.strerror}: no copy can be read") from error


def _opened(cluster: Cluster, copies: Copies, url: str, start: int, stop: int | None) -> Download:
    headers = {"Accept-Encoding": "identity"}
    if start or stop:
        headers["Range"] = f"bytes={start}-{stop - 1 if stop else ''}"
    response = cluster.request("GET", url, headers=headers)
    if response.status_code not in {200, 206}:
        response.close()
        raise refused(response)
    try:
        body = ranged_body(response, start, copies.size, patience=cluster.timeout)
    except OSError as exc:
        raise OSError(errno.EIO, "A storage node has a copy of another size") from exc
    return Download(body, copies, url, start)


class Download:
    """The content of a copy, compared with its MD5 where it is read from the start to the end."""

    def __init__(self, body: Body, copies: Copies, url: str, start: int) -> None:
        self._body = body
        self._copies = copies
        self._url = url
        self._left = copies.size - start
        md5 = hashlib.md5(usedforsecurity=False)
        self._md5 = md5 if copies.md5 and start == 0 else None

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, ``b""`` only at the end."""
        try:
            data = self._body.read(size)
        except OSError as exc:
            self._copies.demote(self._url)
            if len(self._copies.urls) > 1:
                # The reader goes on from where it is, in another copy.
                raise ConnectionAbortedError(errno.ECONNABORTED, exc.strerror) from exc
            raise
        self._left -= len(data)
        if self._md5 is not None:
            self._md5.update(data)
            if not self._left and self._md5.hexdigest() != self._copies.md5:
                self._refuse(all_of_it=len(data) == self._copies.size)
        return data

    def close(self) -> None:
        """Close the connection if bytes are left unread."""
        self._body.close()

    def _refuse(self, *, all_of_it: bool) -> None:
        self._copies.demote(self._url)
        reason = "The content differs from its checksum"
        if all_of_it:
            # Nobody has seen a byte of it, so another copy may be read instead.
            raise ConnectionAbortedError(errno.ECONNABORTED, reason)
        raise OSError(errno.EIO, reason)
