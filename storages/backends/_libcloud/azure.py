"""Azure's blobs."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from typing import ClassVar
from urllib.parse import unquote
from xml.sax.saxutils import escape

from storages.digests import of_md5
from storages.driver import Entry, Listed, Source
from storages.utils import RefusedName, shown

from .messages import moment, text_of
from .objects import DIRECTORY, LONGEST_KEY, Objects
from .session import Answer

MOST_IN_ONE = 256 * 1024**2  # bytes that a request takes in the version that libcloud speaks
BLOCK_SIZE = 8 * 1024**2  # bytes
MOST_BLOCKS = 50_000
ATTEMPTS = 5  # of an upload in blocks, while others save the same name
MOST_PARTS = 254  # of a name, between slashes


class _Exact(str):
    """A text whose spaces libcloud leaves in what it signs, as Azure does."""

    __slots__ = ()

    def __str__(self) -> str:
        return self

    def strip(self, _characters: str | None = None, /) -> str:
        """Return the text as it is."""
        return self


class AzureObjects(Objects):
    """Blobs of a container. Files over the threshold go in blocks."""

    metadata_prefix: ClassVar[str] = "x-ms-meta-"
    describing_prefix: ClassVar[str] = "x-ms-blob-"
    range_header: ClassVar[str] = "x-ms-range"

    def check_key(self, key: str) -> None:
        """Raise RefusedName for a key that Azure refuses or rewrites."""
        parts = key.split("/")
        if len(key) > LONGEST_KEY or len(parts) > MOST_PARTS:
            raise RefusedName(f"The name and location of {shown(key)} are longer than Azure takes.")
        if any(part.endswith(".") for part in parts):
            raise RefusedName(f"Azure would drop the dot at the end of a part of {shown(key)}.")

    def _digest(self, headers: Mapping[str, str]) -> str | None:
        # In an answer to a request for a range, the other header is of the range.
        whole = "" if "content-range" in headers else headers.get("content-md5")
        return of_md5(headers.get("x-ms-blob-content-md5") or whole)

    def _page(
        self, prefix: str, delimiter: str, marker: str, limit: int | None
    ) -> tuple[list[Listed], str]:
        params = {
            "restype": "container",
            "comp": "list",
            "include": "metadata",
            "prefix": _Exact(prefix),
            "delimiter": delimiter,
            "marker": marker,
            "maxresults": str(limit or ""),
        }
        root = self._list_answer({name: each for name, each in params.items() if each})
        found: list[Listed] = [
            (text_of(each, "Name"), DIRECTORY) for each in root.iter("BlobPrefix")
        ]
        for each in root.iter("Blob"):
            name = text_of(each, "Name")
            if each.find("Name[@Encoded='true']") is not None:
                name = unquote(name)
            if text_of(each, "Metadata/hdi_isfolder") == "true":
                # How an account with real directories lists one.
                found.append((f"{name}/", DIRECTORY))
                continue
            entry = Entry(
                int(text_of(each, "Properties/Content-Length")),
                moment(text_of(each, "Properties/Last-Modified")),
                moment(text_of(each, "Properties/Creation-Time")),
                etag=text_of(each, "Properties/Etag").strip('"') or None,
                digest=of_md5(text_of(each, "Properties/Content-MD5")),
            )
            found.append((name, entry))
        return found, text_of(root, "NextMarker")

    def _upload(
        self, key: str, source: Source, headers: Mapping[str, str], condition: Mapping[str, str]
    ) -> Answer:
        if source.size <= min(self.threshold or MOST_IN_ONE, MOST_IN_ONE):
            kind = {"x-ms-blob-type": "BlockBlob"}
            return self._put(key, source, {**headers, **kind}, condition)
        for _ in range(ATTEMPTS - 1):
            answer = self._in_blocks(key, source, headers, condition)
            if answer.status != 400:
                return answer
            # What another saved meanwhile under this name took the blocks away.
            answer.response.close()
            source.seek(0)
        return self._in_blocks(key, source, headers, condition)

    def _in_blocks(
        self, key: str, source: Source, headers: Mapping[str, str], condition: Mapping[str, str]
    ) -> Answer:
        # Of random names, since uploads of one blob share the blocks that wait.
        size = max(BLOCK_SIZE, -(-source.size // MOST_BLOCKS))
        names: list[str] = []
        while data := source.read(size):
            names.append(base64.b64encode(secrets.token_bytes(24)).decode())
            params = {"comp": "block", "blockid": names[-1]}
            self.session.send_part(self.path(key), params, data)
        blocks = "".join(f"<Latest>{escape(each)}</Latest>" for each in names)
        body = f"<?xml version='1.0' encoding='utf-8'?><BlockList>{blocks}</BlockList>".encode()
        sent = {"Content-Length": str(len(body)), **headers, **condition}
        return self.session.ask("PUT", self.path(key), {"comp": "blocklist"}, sent, body)
