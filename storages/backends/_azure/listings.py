"""What Azure tells of blobs: properties, and the pages of listings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from azure.storage.blob import BlobPrefix, BlobProperties

from storages.digests import of_md5
from storages.driver import Entry, Listed

METADATA = "x-ms-meta-"
QUOTE = '"'
#: Where keys imply it, or where hierarchical accounts keep an empty blob for it.
DIRECTORY = Entry(0, is_directory=True)


def entry_of(found: BlobProperties) -> Entry:
    """Describe a blob by the SDK's properties."""
    settings = found.content_settings
    headers = {
        "cache-control": settings.cache_control,
        "content-disposition": settings.content_disposition,
        "content-language": settings.content_language,
        **_of_another_kind(settings.content_encoding),
    }
    return _entry(
        found.size,
        dict(found.metadata or {}),
        settings.content_encoding,
        modified=found.last_modified,
        created=found.creation_time,
        accessed=found.last_accessed_on,
        content_type=settings.content_type,
        # In listings it comes without the quotes that headers have.
        etag=f'"{found.etag.strip(QUOTE)}"' if found.etag else None,
        headers={name: value for name, value in headers.items() if value},
        digest=f"md5:{bytes(settings.content_md5).hex()}" if settings.content_md5 else None,
    )


def entry_from(headers: Mapping[str, str], size: int) -> Entry:
    """Describe a blob by the headers of an answer to GET, in whatever case their names are."""
    found = {name.lower(): value for name, value in headers.items()}
    metadata = {n[len(METADATA) :]: v for n, v in headers.items() if n.lower().startswith(METADATA)}
    kept = ("cache-control", "content-disposition", "content-language")
    return _entry(
        size,
        metadata,
        found.get("content-encoding"),
        modified=_time(found, "last-modified"),
        created=_time(found, "x-ms-creation-time"),
        accessed=_time(found, "x-ms-last-access-time"),
        content_type=found.get("content-type"),
        etag=found.get("etag"),
        headers={
            **{name: found[name] for name in kept if name in found},
            **_of_another_kind(found.get("content-encoding")),
        },
        digest=of_md5(found.get("x-ms-blob-content-md5")),
    )


def _entry(size: int, metadata: dict[str, str], encodings: str | None, **fields: Any) -> Entry:
    marks = {name.lower(): value.lower() for name, value in metadata.items()}
    if marks.get("hdi_isfolder") == "true":
        return DIRECTORY
    return Entry(
        size, metadata=metadata, encoding="gzip" if _is_gzip(encodings) else None, **fields
    )


def _is_gzip(encodings: str | None) -> bool:
    return "gzip" in map(str.strip, (encodings or "").lower().split(","))


def _of_another_kind(encodings: str | None) -> dict[str, str]:
    """Return the header of an encoding that nobody unpacks here."""
    return {"content-encoding": encodings} if encodings and not _is_gzip(encodings) else {}


def _time(headers: Mapping[str, str], name: str) -> datetime | None:
    return parsedate_to_datetime(headers[name]) if name in headers else None


def listed(found: Iterable[Any], prefix: str) -> Iterator[Listed]:
    """Yield the names under a prefix; keys that end in a slash are directories as well."""
    for each in found:
        name = each.name[len(prefix) :]
        if isinstance(each, BlobPrefix):
            yield name.rstrip("/"), DIRECTORY
        # An empty blob that stands for a directory; without a name it is the listed one itself.
        elif name and not name.endswith("/"):
            yield name, entry_of(each)
