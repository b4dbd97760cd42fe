"""A document and its attachment, sent together as multipart/related."""

from __future__ import annotations

import base64
import io
import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from hashlib import md5
from typing import Any, Final

from storages.contents import COPY_SIZE
from storages.driver import Entry, Source

#: The one name of all attachments, which the old backend used too.
ATTACHMENT: Final = "content"
#: Keeps CouchDB from compressing the content, which would take away ranges and its true MD5.
OPAQUE: Final = "application/octet-stream"


class Upload:
    """The document of a file, and its content as the attachment.

    ``nonce`` is a value in the document that no other upload has.
    """

    def __init__(self, document_id: str, source: Source) -> None:
        self.document_id = document_id
        self.nonce = uuid.uuid4().hex
        self.content_type = f'multipart/related; boundary="{self.nonce}"'
        self._source = source
        self._revision: dict[str, Any] = {}
        self._document: dict[str, Any] = {
            "_id": document_id,
            "size": source.size,
            "content_type": source.content_type,
            "digest": _digest(source),
            "nonce": self.nonce,
            "headers": dict(source.headers),
            "metadata": dict(source.metadata),
        }

    def replacing(self, entry: Entry | None) -> Upload:
        """Say which file is replaced, None for none; it was made when that one was made."""
        now = datetime.now(UTC)
        created = (entry and entry.created) or now
        self._document |= {"created": created.isoformat(), "modified": now.isoformat()}
        self._revision = {"_rev": entry.etag} if entry else {}
        return self

    def rewind(self) -> _Parts:
        """Return the parts in order, as one file at its start."""
        document = (
            self._document
            | self._revision
            | {
                "_attachments": {
                    ATTACHMENT: {
                        "follows": True,
                        "content_type": OPAQUE,
                        "length": self._source.size,
                        "digest": self._document["digest"],
                    }
                }
            }
        )
        head = (
            f"--{self.nonce}\r\nContent-Type: application/json\r\n\r\n{json.dumps(document)}\r\n"
            f"--{self.nonce}\r\nContent-Type: {OPAQUE}\r\n"
            f'Content-Disposition: attachment; filename="{ATTACHMENT}"\r\n'
            f"Content-Length: {self._source.size}\r\n\r\n"
        )
        return _Parts(head.encode(), self._source, f"\r\n--{self.nonce}--".encode())


class _Parts:
    """A source between two texts, as the file that requests sends with a Content-Length."""

    def __init__(self, head: bytes, source: Source, tail: bytes) -> None:
        source.seek(0)
        self._files = [io.BytesIO(head), source, io.BytesIO(tail)]
        self._size = len(head) + source.size + len(tail)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.read(COPY_SIZE), b"")

    def read(self, size: int) -> bytes:
        """Return the next bytes, fewer than asked for where one part ends."""
        return next(filter(None, (each.read(size) for each in self._files)), b"")


def _digest(source: Source) -> str:
    """Return the MD5 of the content as CouchDB writes it."""
    found = md5(usedforsecurity=False)
    source.seek(0)
    while piece := source.read(COPY_SIZE):
        found.update(piece)
    return f"md5-{base64.b64encode(found.digest()).decode()}"
