"""Documents and their ids: what stands for which file, and what a document tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from storages.digests import of_md5
from storages.driver import Entry

from .uploads import ATTACHMENT

Document = dict[str, Any]


def id_of(key: str) -> str:
    """Return the id of a key's document: the key, with ``/`` before a ``_`` at its start.

    CouchDB keeps ids that begin with ``_`` to itself, and no key begins with ``/``.
    """
    return f"/{key}" if key.startswith("_") else key


def key_of(document_id: str) -> str:
    """Return the key of an id; what `id_of` never gives becomes a name that nothing takes."""
    if document_id.startswith("_"):
        return f"/{document_id}"
    return document_id.removeprefix("/") if document_id.startswith("/_") else document_id


def entry_of(document: Document | None) -> Entry | None:
    """Return what a document tells of its file; None if it is no file's."""
    stub = (document or {}).get("_attachments", {}).get(ATTACHMENT)
    if document is None or stub is None:
        return None
    # CouchDB computes the MD5 of what it compressed, not of the content.
    own = "" if "encoding" in stub else stub.get("digest", "")
    content_type = document.get("content_type")
    return Entry(
        stub["length"],
        modified=_moment(document.get("modified")),
        created=_moment(document.get("created")),
        content_type=content_type if isinstance(content_type, str) else None,
        etag=document["_rev"],
        headers=_texts(document.get("headers")),
        metadata=_texts(document.get("metadata")),
        digest=_digest(str(document.get("digest", own))),
    )


def _digest(text: str) -> str | None:
    """Return the digest that CouchDB writes as ``md5-`` and Base64; None if it is no such."""
    kind, _, value = text.partition("-")
    return of_md5(value) if kind == "md5" else None


def _moment(text: object) -> datetime | None:
    """Return a time as uploads write it; other clients may use the field for anything."""
    with suppress(TypeError, ValueError):
        found = datetime.fromisoformat(text)  # type: ignore[arg-type]
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    return None


def _texts(value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): str(each) for name, each in value.items()}
