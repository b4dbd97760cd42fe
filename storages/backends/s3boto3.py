"""Amazon S3 and services that speak its protocol, through boto3."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from storages.base import Name
from storages.driver import Entry, Stream
from storages.files import RemoteFile
from storages.reader import READ_AHEAD
from storages.staticfiles import LazyManifest
from storages.utils import sdk_missing

try:
    import boto3  # noqa: F401
    from botocore.exceptions import ClientError
except ImportError as exc:
    raise sdk_missing("s3", exc) from exc

from ._s3.companions import CalledByCompanions
from ._s3.copies import S3Copies
from ._s3.downloads import body_from, described
from ._s3.errors import ERRORS, code_of, explain
from ._s3.listings import DIRECTORY
from ._s3.urls import S3Urls

S3Boto3StorageFile = RemoteFile

MOST_REMOVED = 1000  # files of one request (S3 API reference, "DeleteObjects")
#: What XML 1.0 has no way to write, and spaces that servers strip; names hold no controls.
_UNSAYABLE = re.compile(r"[\ufffe\uffff]|^\s|\s$")
#: What services say that do not know the request, or not in the way boto3 sends it.
_NO_BULK = frozenset(
    {
        "400",
        "405",
        "501",
        "InvalidArgument",
        "InvalidRequest",
        "MalformedXML",
        "MethodNotAllowed",
        "MissingContentMD5",
        "NotImplemented",
    }
)


class S3Boto3Storage(S3Copies, CalledByCompanions, S3Urls):
    """Files as objects of a bucket."""

    sdk_errors = ERRORS

    def _explain(self, exc: Exception) -> tuple[int, str]:
        if not isinstance(exc, ERRORS):
            return super()._explain(exc)
        sent = self.default_acl or self.object_parameters.get("ACL") or self.headers
        return explain(exc, with_acl=bool(sent))

    def exists(self, name: Name) -> bool:
        """Return True if there is a file, or a directory with files in it."""
        if self.preload_metadata:
            return super().exists(name)
        name = self._named(name, root=True)
        if not name:
            return True
        with self._errors(name):
            return self._is_there(self.key(name))

    # -- primitives -------------------------------------------------------------------------------

    def _stat(self, key: str) -> Entry:
        if self.preload_metadata and (entry := self._preloaded_entry(key)):
            return entry
        try:
            answer = self._call("head_object", Key=key, **self._read_parameters)
        except ClientError as exc:
            if code_of(exc) != "404":
                self._ask_again(key)
                raise
            if not self._is_prefix(key):
                raise
            return DIRECTORY
        return described(answer)

    def _ask_again(self, key: str) -> None:
        """Raise S3's reason for refusing a HEAD, whose answer has no room for one."""
        self._call("get_object", Key=key, Range="bytes=0-0", **self._read_parameters)

    def _open_stream(self, key: str) -> tuple[Entry, Stream | None]:
        """Get the first block, which brings what a HEAD would say."""
        read = self._read_parameters
        try:
            answer = self._call("get_object", Key=key, Range=f"bytes=0-{READ_AHEAD - 1}", **read)
        except ClientError as exc:
            if code_of(exc) not in {"InvalidRange", "416"}:
                raise
            # An empty object has no first byte.
            answer = self._call("get_object", Key=key, **read)
        return described(answer), body_from(answer, 0, self._patience)

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        return self._read_range(key, start, "", entry)

    def _read_part(self, key: str, start: int, stop: int, entry: Entry) -> Stream:
        return self._read_range(key, start, str(stop - 1), entry)

    def _read_range(self, key: str, start: int, last: str, entry: Entry) -> Stream:
        match = {"IfMatch": entry.etag} if entry.etag else {}
        wanted = f"bytes={start}-{last}"
        answer = self._call("get_object", Key=key, Range=wanted, **match, **self._read_parameters)
        return body_from(answer, start, self._patience)

    def _remove(self, key: str) -> None:
        self._call("delete_object", Key=key)
        self._forget(key)

    def _remove_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Exception | None]]:
        left = iter(keys)
        while batch := [*islice(left, MOST_REMOVED)]:
            kept = self._remove_together([key for key in batch if not _UNSAYABLE.search(key)])
            alone = [key for key in batch if key in kept or _UNSAYABLE.search(key)]
            yield from ((key, None) for key in batch if key not in alone)
            # What is left has a reason, or succeeds by itself.
            yield from super()._remove_many(alone)

    def _remove_together(self, keys: list[str]) -> set[str]:
        """Remove files by one request; return the keys that it did not remove."""
        if not keys:
            return set()
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        try:
            answer = self._call("delete_objects", Delete=wanted)
        except ClientError as exc:
            if code_of(exc) not in _NO_BULK:
                raise
            return set(keys)
        finally:
            for key in keys:
                self._forget(key)
        return {each["Key"] for each in answer.get("Errors", ())}


class S3StaticStorage(S3Boto3Storage):
    """For static files: its URLs are never signed."""

    querystring_auth = False


class S3ManifestStaticStorage(LazyManifest, S3StaticStorage):  # type: ignore[misc]
    """For static files with a hash of their content in their names."""
