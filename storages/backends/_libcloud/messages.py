"""What the answers of object services say."""

from __future__ import annotations

import base64
import errno
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from hashlib import md5
from xml.etree import ElementTree as ET

from storages.contents import COPY_SIZE
from storages.driver import Source

from .errors import NO_BUCKET, code_of
from .session import Answer


def is_missing_bucket(answer: Answer) -> bool:
    """Raise the error of a container that is missing; return False for another 404."""
    code = code_of(answer.response)
    if code in {"NoSuchBucket", "ContainerNotFound"}:
        raise OSError(*NO_BUCKET)
    return False


def length_of(answer: Answer) -> int:
    """Return how long the body of an answer is; raises OSError (EPROTO) if it does not say."""
    length = answer.headers.get("Content-Length", "")
    if not length.isdigit():
        answer.response.close()
        raise OSError(errno.EPROTO, "The answer does not tell how large the file is")
    return int(length)


def digest(source: Source) -> str:
    """Return the MD5 of a source in the form of a header, and rewind it."""
    found = md5(usedforsecurity=False)
    while data := source.read(COPY_SIZE):
        found.update(data)
    source.seek(0)
    return base64.b64encode(found.digest()).decode()


def moment(text: str | None) -> datetime | None:
    """Return the time that a header or a listing tells; None if it tells none."""
    if not text:
        return None
    is_iso = text[:1].isdigit()
    found = datetime.fromisoformat(text) if is_iso else parsedate_to_datetime(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def without_namespaces(content: bytes) -> ET.Element:
    """Parse XML; the names of its elements are their local parts."""
    root = ET.fromstring(content)  # noqa: S314 - it comes from the service that keeps the files
    for each in root.iter():
        each.tag = each.tag.rpartition("}")[2]
    return root


def text_of(element: ET.Element, path: str) -> str:
    """Return the text of an element below another, "" where there is none."""
    return element.findtext(path) or ""


def etag_of(headers: Mapping[str, str]) -> str | None:
    return headers.get("ETag", "").removeprefix("W/").strip('"') or None
