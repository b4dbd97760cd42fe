"""The primitives on a service of objects that is asked over HTTP; S3's and Azure's differ a little.

libcloud signs the requests. Its own methods do not do: they take any answer to a HEAD for "no such
file", ask twice, read ranges as text, and neither pin what is read nor hold back from a taken name.
"""

from __future__ import annotations

import errno
import secrets
from collections.abc import Iterator, Mapping
from typing import ClassVar
from urllib.parse import quote
from xml.etree import ElementTree as ET

from storages.driver import Driver, Entry, Listed, Source, Stream
from storages.http import Body, ranged_body
from storages.reader import READ_AHEAD
from storages.utils import RefusedName, shown

from .errors import NO_BUCKET, code_of, refused
from .messages import digest, etag_of, is_missing_bucket, length_of, moment, without_namespaces
from .session import Answer, Session

DIRECTORY = Entry(0, is_directory=True)
#: Name of the metadata that tells a save's own file from another's.
TOKEN = "savetoken"  # noqa: S105 - no secret
LONGEST_KEY = 1024  # bytes of S3, characters of Azure
DESCRIBING = ("cache-control", "content-disposition", "content-language", "expires")


class Objects(Driver):
    """A container of objects. A subclass says how its service spells what they have in common."""

    #: What names of headers begin with: of metadata, and of what describes a file.
    metadata_prefix: ClassVar[str]
    describing_prefix: ClassVar[str] = ""
    #: The header that stores only under a free name.
    create_only: Mapping[str, str] = {"If-None-Match": "*"}
    range_header: ClassVar[str] = "Range"

    def __init__(self, session: Session, bucket: str, threshold: int | None) -> None:
        self.session = session
        self.bucket = bucket
        self.threshold = threshold

    def path(self, key: str) -> str:
        """Return the path of a key's URL, quoted; RefusedName for one that no object can have."""
        self.check_key(key)
        return f"/{self.bucket}/{quote(key, safe='/~')}"

    def check_key(self, key: str) -> None:
        """Raise RefusedName for a key that the service refuses or rewrites."""
        if len(key.encode()) > LONGEST_KEY:
            raise RefusedName(f"The name and location of {shown(key)} are over 1,024 bytes long.")

    # -- primitives -------------------------------------------------------------------------------

    def _stat(self, key: str) -> Entry:
        answer = self.session.ask("HEAD", self.path(key))
        if answer.status == 404:
            code_of(answer.response)
            return self._directory(key)
        if answer.status != 200:
            raise self._refused_head(answer, key)
        answer.response.close()
        return self._entry(answer, length_of(answer))

    def _open_stream(self, key: str) -> tuple[Entry, Stream | None]:
        """Get the first block, which brings what a HEAD would say."""
        answer = self._get(key, f"bytes=0-{READ_AHEAD - 1}")
        if answer.status == 416:
            # An empty object has no first byte.
            answer.response.close()
            answer = self._get(key)
        if answer.status == 404 and not is_missing_bucket(answer):
            return self._directory(key), None
        if answer.status not in {200, 206}:
            raise self._refused(answer, "GET")
        length = length_of(answer)
        total = answer.headers.get("Content-Range", "").rpartition("/")[2] or length
        body = Body(answer.response, length, patience=self.session.timeout)
        return self._entry(answer, int(total)), body

    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        condition = {"If-Match": f'"{entry.etag}"'} if entry.etag else {}
        answer = self._get(key, f"bytes={start}-", condition)
        if answer.status not in {200, 206}:
            raise self._refused(answer, "GET")
        # There are servers that know no conditions.
        if entry.etag and etag_of(answer.headers) != entry.etag:
            answer.response.close()
            raise OSError(errno.ESTALE, "The file was replaced while it was read")
        return ranged_body(answer.response, start, entry.size, patience=self.session.timeout)

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        self._require_unchanged(key, expected)
        token = "" if overwrite else secrets.token_hex(16)
        condition = {} if overwrite else self.create_only
        answer = self._upload(key, source, self._description(source, token), condition)
        if answer is None:
            return
        if answer.status in {200, 201}:
            answer.response.close()
            return
        error = self._refused(answer, "PUT")
        taken = answer.status in {409, 412}
        # An earlier try, whose answer was lost, may be what holds the name.
        if taken and answer.repeated and token and self._token(key) == token:
            return
        if answer.status == 412 and not overwrite:
            raise FileExistsError(errno.EEXIST, "The name is taken")
        raise error

    def _remove(self, key: str) -> None:
        answer = self.session.ask("DELETE", self.path(key))
        if answer.status not in {200, 202, 204}:
            raise self._refused(answer, "DELETE")
        answer.response.close()

    def _list(self, key: str) -> Iterator[Listed]:
        return self._entries(key, delimiter="/")

    def _walk(self, key: str) -> Iterator[Listed]:
        return self._entries(key, delimiter="")

    # -- what the services spell in their own way -------------------------------------------------

    def _page(
        self, prefix: str, delimiter: str, marker: str, limit: int | None
    ) -> tuple[list[Listed], str]:
        """Return a page of keys and of their common prefixes, which end in "/", and the next mark.

        No next mark is "".
        """
        raise NotImplementedError

    def _upload(
        self, key: str, source: Source, headers: Mapping[str, str], condition: Mapping[str, str]
    ) -> Answer | None:
        """Send the content; return the answer to what gives it its name, None if that is done."""
        raise NotImplementedError

    def _digest(self, headers: Mapping[str, str]) -> str | None:
        """Return the digest of a file that the headers of an answer tell, by lower-case name."""
        raise NotImplementedError

    # -- steps ------------------------------------------------------------------------------------

    def _get(
        self, key: str, wanted: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        asked = {self.range_header: wanted} if wanted else {}
        return self.session.ask("GET", self.path(key), headers={**asked, **(headers or {})})

    def _put(
        self, key: str, source: Source, headers: Mapping[str, str], condition: Mapping[str, str]
    ) -> Answer:
        """Send the content in one request, with a digest that the service compares."""
        sent = {"Content-MD5": digest(source), **headers, **condition}
        if not source.size:
            # A stream of no length would be sent in chunks, and Azure signs no length of 0.
            return self.session.ask("PUT", self.path(key), headers=sent, data=b"")
        sent["Content-Length"] = str(source.size)
        return self.session.ask("PUT", self.path(key), headers=sent, data=source)

    def _directory(self, key: str) -> Entry:
        """Return the entry of a directory that holds a key; FileNotFoundError where none does."""
        found, _ = self._page(f"{key}/", "", "", 1)
        if not found:
            raise FileNotFoundError(errno.ENOENT, "No such file")
        return DIRECTORY

    def _entries(self, key: str, delimiter: str) -> Iterator[Listed]:
        prefix, marker = f"{key}/" if key else "", ""
        while True:
            found, following = self._page(prefix, delimiter, marker, None)
            for name, entry in found:
                relative = name[len(prefix) :]
                if entry is DIRECTORY:
                    yield relative[:-1], entry
                # An empty object may stand for a directory.
                elif relative and not relative.endswith("/"):
                    yield relative, entry
            if not following:
                return
            if following == marker:
                raise OSError(errno.EPROTO, "The listing goes round in a circle")
            marker = following

    def _list_answer(self, params: Mapping[str, str]) -> ET.Element:
        answer = self.session.ask("GET", f"/{self.bucket}", params)
        if answer.status == 404:
            code_of(answer.response)
            raise OSError(*NO_BUCKET)
        if answer.status != 200:
            raise self._refused(answer, "a listing")
        try:
            return without_namespaces(self.session.content(answer))
        except ET.ParseError as exc:
            raise OSError(
                errno.EPROTO, "The answer is no listing: check 'type', 'host' and 'port'"
            ) from exc

    def _description(self, source: Source, token: str) -> dict[str, str]:
        """Return the headers that are stored with a file."""
        described = {"content-type": source.content_type, **source.headers}
        metadata = {**source.metadata, **({TOKEN: token} if token else {})}
        return {
            **{f"{self.describing_prefix}{name}": each for name, each in described.items()},
            **{f"{self.metadata_prefix}{name}": each for name, each in metadata.items()},
        }

    def _token(self, key: str) -> str | None:
        answer = self.session.ask("HEAD", self.path(key))
        answer.response.close()
        return answer.headers.get(f"{self.metadata_prefix}{TOKEN}")

    def _entry(self, answer: Answer, size: int) -> Entry:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        metadata = answer.below(self.metadata_prefix)
        metadata.pop(TOKEN, None)
        encodings = {each.strip() for each in headers.get("content-encoding", "").split(",")}
        return Entry(
            size,
            moment(headers.get("last-modified")),
            moment(headers.get("x-ms-creation-time")),
            content_type=headers.get("content-type"),
            etag=etag_of(answer.headers),
            encoding="gzip" if "gzip" in encodings else None,
            is_directory=metadata.get("hdi_isfolder") == "true",
            headers={name: headers[name] for name in DESCRIBING if name in headers},
            metadata=metadata,
            digest=self._digest(headers),
        )

    def _refused(self, answer: Answer, what: str) -> OSError:
        return refused(answer.status, code_of(answer.response), what)

    def _refused_head(self, answer: Answer, key: str) -> OSError:
        """Return the error for a HEAD; where its answer has no reason, a GET is asked for one."""
        code = code_of(answer.response)
        if not code:
            again = self._get(key, "bytes=0-0")
            reason = code_of(again.response)
            code = reason if again.status == answer.status else ""
        return refused(answer.status, code, "HEAD")
