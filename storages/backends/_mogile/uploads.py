"""Storing a file: three exchanges, of which the last gives the content its key."""

from __future__ import annotations

import errno
import hashlib
import io
import secrets
import time
from contextlib import suppress

from pymogilefs.exceptions import MogilefsError

from storages.driver import Source
from storages.http import drain
from storages.temporaries import STALE, beside, is_temporary

from .listings import keys
from .messages import Command, Values
from .session import Cluster, refused
from .urls import usable

_ATTEMPTS = 3  # at the last step, whose answer may be lost
_ROUNDS = 2  # through the destinations, for those whose connection broke
_LONGEST_ANSWER = 4096  # bytes of a node's text that says that all is well
_LOST = (ConnectionError, TimeoutError)

_TEMPORARY = ".storages-"  # what temporary keys begin with, at the root of the domain


def temporary_key() -> str:
    """Return a key for an upload that is to be renamed.

    It begins with the second in which it is made, since a tracker keeps no times.
    """
    return beside("", "part", f"{int(time.time()):08x}{secrets.token_hex(12)}")


def sweep(cluster: Cluster) -> None:
    """Delete what was uploaded a day ago or longer and never got its name."""
    oldest = time.time() - STALE.total_seconds()
    for each in list(keys(cluster, _TEMPORARY)):
        if is_temporary(each, "part") and int(each.removeprefix(_TEMPORARY)[:8], 16) < oldest:
            cluster.ask("delete", key=each)


class _Content(io.RawIOBase):
    """A source from its start, summed up as it is sent.

    Tells its length and position, or requests would send it as chunks.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0
        self.md5 = hashlib.md5(usedforsecurity=False)
        source.seek(0)

    def __len__(self) -> int:
        return self._source.size

    def tell(self) -> int:
        return self._position

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        left = len(self) - self._position
        # One byte more than there should be is asked for, or content that grew would be cut.
        data = self._source.read(min(size, left) if left and size >= 0 else left or 1)
        if bool(data) != bool(left and size):
            raise OSError(errno.EIO, "The content changed its length while it was read")
        self._position += len(data)
        self.md5.update(data)
        return data


class Upload:
    """One file on its way: `send` it, then `publish` it, or `discard` it."""

    def __init__(self, cluster: Cluster, source: Source, class_name: str | None) -> None:
        self._cluster = cluster
        self._source = source
        self._class_name = class_name
        self._close: dict[str, str | int] = {}
        self._fid = ""

    def send(self, key: str) -> None:
        """Open an upload and put the content on the first node that takes it."""
        given = {"class": self._class_name} if self._class_name else {}
        told = self._cluster.ask(
            "create_open", key=key, multi_dest=1, size=self._source.size, **given
        )
        self._fid = told["fid"]
        destinations = self._destinations(told)
        error: OSError = OSError(errno.EIO, "The tracker tells no storage node")
        for url in list(destinations) * _ROUNDS:
            if url not in destinations:
                continue
            self._close = {"fid": self._fid, "devid": destinations[url], "path": url}
            try:
                self._put(url, destinations)
            except OSError as exc:
                error = exc
            else:
                return
            if self._source.error is not None:
                break
        raise error

    def _destinations(self, told: Values) -> dict[str, str]:
        """Return the devices' numbers by the URLs to put the content at."""
        count = int(told.get("dev_count", 0))
        found = {told[f"path_{n}"]: told[f"devid_{n}"] for n in range(1, count + 1)}
        found = found or {told["path"]: told["devid"]}
        return {url: found[url] for url in usable(found, self._cluster.hosts)}

    def _put(self, url: str, destinations: dict[str, str]) -> None:
        content = _Content(self._source)
        # An empty file object would be sent as chunks, which not every node takes.
        body = content if self._source.size else content.read()
        headers = {"Content-Type": "application/octet-stream"}
        with self._cluster.request("PUT", url, data=body, headers=headers) as response:
            if not 200 <= response.status_code < 300:
                # What a node refuses, it refuses again.
                del destinations[url]
                raise refused(response)
            drain(response, _LONGEST_ANSWER, patience=self._cluster.timeout)
        checksum = f"MD5:{content.md5.hexdigest()}"
        self._close |= {"size": self._source.size, "checksum": checksum, "checksumverify": 1}

    def publish(self, key: str, temporary: str | None) -> None:
        """Give the content its key; by way of a temporary one if the key must be free.

        Where an answer is lost, what has the key now tells whether it is this file.
        """
        steps = [self._cluster.command("create_close", key=temporary or key, **self._close)]
        rename = self._cluster.command("rename", from_key=temporary or "", to_key=key)
        if temporary is not None:
            steps.append(rename)
        error: Exception | None = None
        for _ in range(_ATTEMPTS):
            error = self._failure(steps, lost_before=error is not None)
            if error is None or self._holds(key):
                return
            if temporary is not None and self._holds(temporary):
                steps = [rename]
        raise error or OSError(errno.EIO, "The file was not stored")

    def _failure(self, commands: list[Command], *, lost_before: bool) -> Exception | None:
        """Try the last step; return what leaves it open whether it was carried out."""
        try:
            self._cluster.ask_once(*commands, size=self._source.size)
        except _LOST as exc:
            return exc
        except MogilefsError as exc:
            refusal: Exception = exc
            # Old trackers do two things at once, in any order.
            if lost_before or exc.code == "unknown_key":
                return refusal
            raise
        return None

    def _holds(self, key: str) -> bool:
        """Return True if a key has this very content."""
        with suppress(MogilefsError):
            return self._cluster.ask("file_info", key=key)["fid"] == self._fid
        return False

    def discard(self, temporary: str | None) -> None:
        """Take back what was sent; what cannot be taken back now, a later sweep removes."""
        with suppress(OSError, MogilefsError):
            if temporary is not None and self._fid and self._holds(temporary):
                self._cluster.ask("delete", key=temporary)
            elif self._close:
                # A tracker discards what is closed without a key.
                wanted = {name: self._close[name] for name in ("fid", "devid", "path")}
                self._cluster.ask("create_close", key="", **wanted)
