"""Files in CouchDB: each a document with its content as an attachment."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, ClassVar

from storages.clients import SharedClients
from storages.driver import Entry, Listed, Source, Stream
from storages.files import RemoteFile
from storages.utils import sdk_missing

try:
    from couchdb.http import HTTPError, ResourceConflict, ResourceNotFound

    from storages.http import ranged_body
except ImportError as exc:
    raise sdk_missing("couchdb", exc) from exc

from ._couchdb.downloads import Verified
from ._couchdb.errors import explain, is_missing
from ._couchdb.messages import Document, entry_of, id_of, key_of
from ._couchdb.options import CouchDBOptions
from ._couchdb.session import UNSETTLED, Client
from ._couchdb.uploads import ATTACHMENT, Upload

PAGE = 1000  # documents of one request of a listing
WRITE_ATTEMPTS = 50  # while others write the same file
LOST_ANSWERS = 3  # to one save before it gives up
REMOVE_ATTEMPTS = 3
#: Behind all ids. PouchDB ends a range that has no end at U+00FF.
LAST_ID = "\U0010fffd"

CouchDBFile = RemoteFile

_clients: SharedClients[Client] = SharedClients()


class CouchDBStorage(CouchDBOptions):
    """Keeps each file as a document of one database, its content as the attachment ``content``.

    Document and attachment are written in one request, so that no document is ever seen without
    its content. CouchDB's revisions decide conflicts: a new file replaces none, and a changed one
    only the revision that was read.
    """

    sdk_errors: ClassVar[tuple[type[Exception], ...]] = (HTTPError,)
    unasked_size = 4 * 1024 * 1024

    def _explain(self, exc: Exception) -> tuple[int, str]:
        return super()._explain(exc) if isinstance(exc, OSError) else explain(exc)

    @property
    def client(self) -> Client:
        """The client of the server, shared by all storages of one configuration."""
        account, timeout, verify = self.account, self.timeout, self.verify
        return _clients.get(
            (account, timeout, verify), lambda: Client(account, timeout=timeout, verify=verify)
        )

    def close(self) -> None:
        """Close the idle connections to the server; it connects anew when used again."""
        self.client.close()

    # -- primitives -------------------------------------------------------------------------------

    def _stat(self, key: str) -> Entry:
        if entry := entry_of(self._find(key)):
            return entry
        if self._rows(f"{key}/", limit=1, include_docs=False):
            return Entry(0, is_directory=True)
        raise FileNotFoundError(errno.ENOENT, "No such file")

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        return self._read_range(key, start, "", entry)

    def _read_part(self, key: str, start: int, stop: int, entry: Entry) -> Stream:
        return self._read_range(key, start, str(stop - 1), entry)

    def _read_range(self, key: str, start: int, last: str, entry: Entry) -> Stream:
        # The revision gives the content that was described, whatever replaced it since.
        place = (self.database, id_of(key), ATTACHMENT)
        headers = {"Range": f"bytes={start}-{last}"} if start or last else {}
        try:
            answer = self.client.stream(*place, rev=entry.etag, headers=headers)
        except ResourceNotFound as exc:
            # Old revisions are kept only until the database is compacted.
            self._stat(key)
            raise OSError(errno.ESTALE, "The file was replaced while it was read") from exc
        body = ranged_body(answer, start, entry.size, patience=self.timeout)
        if headers or not entry.digest:
            return body
        return Verified(body, entry.size, entry.digest)

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        upload = Upload(id_of(key), source)
        replaced, is_known = expected, expected is not None or not overwrite
        losses = 0
        for attempt in range(WRITE_ATTEMPTS):
            if attempt or not is_known:
                found = self._find(key)
                if found is not None and found.get("nonce") == upload.nonce:
                    return
                replaced = _replaceable(found, overwrite=overwrite, expected=expected)
            try:
                if self._put(key, upload.replacing(replaced)):
                    return
            except UNSETTLED:
                losses += 1
                if losses == LOST_ANSWERS or source.error is not None:
                    raise
        raise OSError(errno.EBUSY, "Others keep writing the file: try again later")

    def _remove(self, key: str) -> None:
        for _ in range(REMOVE_ATTEMPTS - 1):
            with suppress(ResourceConflict, *UNSETTLED):
                return self._remove_found(key)
        return self._remove_found(key)

    def _list(self, key: str) -> Iterator[Listed]:
        prefix = f"{key}/" if key else ""
        directory = ""
        for name, entry in self._below(prefix, deep=False):
            first, slash, _ = name.partition("/")
            if not slash:
                yield name, entry
            elif first != directory:
                directory = first
                yield first, Entry(0, is_directory=True)

    def _walk(self, key: str) -> Iterator[Listed]:
        return self._below(f"{key}/" if key else "", deep=True)

    # -- requests ---------------------------------------------------------------------------------

    def _find(self, key: str, **query: Any) -> Document | None:
        """Return the document of a key, None where there definitely is none."""
        try:
            return self.client.get(
                "_rev", self.database, id_of(key), att_encoding_info=True, **query
            )
        except ResourceNotFound as exc:
            if not is_missing(exc):
                raise
            return None

    def _put(self, key: str, upload: Upload) -> bool:
        """Store a file; False where the document is not the one that it replaces."""
        try:
            self.client.change("PUT", self.database, upload.document_id, body=upload)
        except ResourceConflict:
            return False
        except TimeoutError:
            # Another try could take as long; a look tells whether this one was carried out.
            if not self._is_stored(key, upload):
                raise
        return True

    def _is_stored(self, key: str, upload: Upload) -> bool:
        """Return True if a key has the very file that was sent, as far as the server answers."""
        with suppress(OSError, HTTPError):
            return (self._find(key) or {}).get("nonce") == upload.nonce
        return False

    def _remove_found(self, key: str) -> None:
        document = self._find(key, conflicts=True)
        if document is None or entry_of(document) is None:
            raise FileNotFoundError(errno.ENOENT, "No such file")
        # Else a revision that replication left beside this one would take its place.
        for revision in (*document.get("_conflicts", ()), document["_rev"]):
            self.client.change("DELETE", self.database, id_of(key), rev=revision)

    def _rows(self, prefix: str, *, start: str = "", **query: Any) -> list[dict[str, Any]]:
        """Return the rows of documents below a prefix, from the id ``start`` on."""
        answer = self.client.get(
            "rows",
            self.database,
            "_all_docs",
            startkey=json.dumps(start or id_of(prefix)),
            # "0" is what comes after "/".
            endkey=json.dumps(f"{id_of(prefix)[:-1]}0" if prefix else LAST_ID),
            inclusive_end=False,
            **query,
        )
        rows: list[dict[str, Any]] = answer["rows"]
        return rows

    def _below(self, prefix: str, *, deep: bool) -> Iterator[tuple[str, Entry]]:
        """Yield the files below a prefix; unless ``deep``, some of each directory are enough."""
        start = last = ""
        while True:
            rows = self._rows(prefix, start=start, limit=PAGE, include_docs=True)
            for row in rows:
                entry = entry_of(row.get("doc"))
                if entry is not None and row["id"] != last:
                    yield key_of(row["id"]).removeprefix(prefix), entry
            if len(rows) < PAGE:
                return
            start = last = rows[-1]["id"]
            slash = last.find("/", max(1, len(id_of(prefix))))
            if slash != -1 and not deep:
                start = f"{last[:slash]}0"


def _replaceable(
    found: Document | None, *, overwrite: bool, expected: Entry | None
) -> Entry | None:
    """Return the file that a save replaces, None for none; raises where it may not."""
    entry = entry_of(found)
    if expected is not None and (entry is None or entry.etag != expected.etag):
        raise OSError(errno.ESTALE, "The file was replaced while it was changed: open it anew")
    if found is not None and (entry is None or not overwrite):
        raise FileExistsError(errno.EEXIST, "The name is taken")
    return entry
