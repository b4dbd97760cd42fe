"""Listings of a bucket, and one that answers a bulk job's questions."""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, Self

from botocore.exceptions import ClientError

from storages.digests import of_etag
from storages.driver import Entry, Listed

from .connector import S3Connector
from .errors import NO_SERVICE, is_denied

#: Names that begin as the one that is looked for, and sort before what lies in a directory of it.
SIBLINGS = 20

#: The storage class of directory buckets, whose ETags are none of the content's.
EXPRESS = "EXPRESS_ONEZONE"
DIRECTORY = Entry(0, is_directory=True)


class Preloaded:
    """Entries by key from one listing, but for what this process changed since it was begun."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] | None = None
        self._changed: set[str] = set()
        self._lock = threading.Lock()

    def get(self, key: str, entries: Callable[[], Iterator[tuple[str, Entry]]]) -> Entry | None:
        """Return the entry of a key, None if it has to be asked for; ``entries()`` lists all."""
        if self._entries is None:
            with self._lock:
                if self._entries is None:
                    self._entries = dict(entries())
        if key in self._changed:
            return None
        if key not in self._entries:
            raise FileNotFoundError(errno.ENOENT, "No such file")
        return self._entries[key]

    def forget(self, key: str) -> None:
        """Have a key asked for from now on, and the directories above it."""
        ends = [each.start() for each in re.finditer("/", key)]
        self._changed.update({key, *(key[:end] for end in ends)})


class S3Listings(S3Connector):
    """What a listing tells."""

    volatile: ClassVar[frozenset[str]] = frozenset({"_preloaded"})

    def _list(self, key: str) -> Iterator[Listed]:
        prefix = f"{key}/" if key else ""
        for page in self._pages(prefix, Delimiter="/"):
            for each in page.get("CommonPrefixes", ()):
                yield each["Prefix"][len(prefix) : -1], DIRECTORY
            yield from contents(page, prefix)

    def _walk(self, key: str) -> Iterator[Listed]:
        prefix = f"{key}/" if key else ""
        for page in self._pages(prefix):
            yield from contents(page, prefix)

    def _pages(self, prefix: str, **parameters: Any) -> Iterator[dict[str, Any]]:
        more: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", Prefix=prefix, **parameters, **more)
            yield page
            if not page.get("IsTruncated"):
                return
            if "NextContinuationToken" not in page:
                raise OSError(errno.EPROTO, NO_SERVICE)
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _is_there(self, key: str) -> bool:
        """Return True if there is an object or a directory: one listing tells, as a rule."""
        try:
            page = self._call("list_objects_v2", Prefix=key, Delimiter="/", MaxKeys=SIBLINGS)
        except ClientError as exc:
            if not is_denied(exc):
                raise
            # An object can be found without the right to list.
            return bool(self._call("head_object", Key=key, **self._read_parameters))
        if any(each["Key"] == key for each in page.get("Contents", ())):
            return True
        if any(each["Prefix"] == f"{key}/" for each in page.get("CommonPrefixes", ())):
            return True
        return bool(page.get("IsTruncated")) and self._is_prefix(key)

    def _is_prefix(self, key: str) -> bool:
        answer = self._call("list_objects_v2", Prefix=f"{key}/", MaxKeys=1)
        return bool(answer.get("KeyCount", len(answer.get("Contents", ()))))

    # -- bulk jobs --------------------------------------------------------------------------------

    def settled(self) -> Self:
        """Return this storage, or a copy with settled options that shares its listings."""
        vars(self).setdefault("_preloaded", {})
        return super().settled()

    def _preloaded_entry(self, key: str) -> Entry | None:
        """Answer from one listing; None for what has changed since it was begun."""
        return self._preloaded_here().get(key, self._all_entries)

    def _all_entries(self) -> Iterator[tuple[str, Entry]]:
        root = self.key("", root=True)
        for name, entry in self._walk(root):
            key = f"{root}/{name}" if root else name
            for end in re.finditer("/", key):
                yield key[: end.start()], DIRECTORY
            yield key, entry or self._stat(key)

    def _forget(self, key: str) -> None:
        for each in [*vars(self).get("_preloaded", {}).values()]:
            each.forget(key)

    def _preloaded_here(self) -> Preloaded:
        places = vars(self).setdefault("_preloaded", {})
        found: Preloaded = places.setdefault((self.endpoint_url, self.bucket_name), Preloaded())
        return found


def contents(page: dict[str, Any], prefix: str) -> Iterator[Listed]:
    """Yield the files of a page of a listing, by their names below a prefix."""
    for each in page.get("Contents", ()):
        etag = each.get("ETag")
        digest = None if each.get("StorageClass") == EXPRESS else of_etag(etag)
        entry = Entry(each["Size"], each.get("LastModified"), etag=etag, digest=digest)
        # An empty object that stands for a directory.
        if not each["Key"].endswith("/"):
            yield each["Key"][len(prefix) :], entry
