"""S3's messages in XML: pages of listings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

from botocore.compat import unquote_str

#: What a page says of a file, as far as we read it.
_TOLD = ("Key", "Size", "LastModified", "ETag", "StorageClass")
#: A page in UTF-8 whose parts have texts, or parts with texts, of which nothing is escaped.
_PAGE = re.compile(
    rb'(?:<\?xml version="1\.0"(?: encoding="UTF-8")?\?>\s*)?'
    rb'<ListBucketResult(?: xmlns="[^"<&]*")?>(.*)</ListBucketResult>\s*',
    re.DOTALL,
)
# What is taken is never given back, by the plus at an end, which spares a quarter of the time.
_PART = re.compile(r"<(\w++)>(?:([^<&\x00-\x1f]*+)|((?:<(\w++)>[^<&\x00-\x1f]*+</\4>)++))</\1>")
_TEXTS = re.compile(r"<([^>]*+)>([^<]*+)<")
#: The name of a part, its text, and the texts of its own parts by their names.
_Part = tuple[str, str, Mapping[str, str | None]]


def page_of(content: bytes) -> dict[str, Any] | None:
    """Return a page of a listing as boto3 has it, as far as we read it; None for anything else."""
    try:
        return _page(_usual(content) or _parsed(content))
    except (ET.ParseError, ValueError):
        return None


def _usual(content: bytes) -> list[_Part] | None:
    """Return the parts of a page that is written as usual; None for any other.

    ElementTree makes six objects of each file, which cost more than the rest of a listing.
    """
    if not (page := _PAGE.fullmatch(content)):
        return None
    pieces = _PART.split(page[1].decode().replace("&quot;", '"'))
    if "".join(pieces[::5]).strip():
        return None
    parts = zip(pieces[1::5], pieces[2::5], pieces[3::5], strict=True)
    return [(name, text or "", dict(_TEXTS.findall(inner or ""))) for name, text, inner in parts]


def _parsed(content: bytes) -> list[_Part]:
    root = ET.fromstring(content)  # noqa: S314 - expat expands no entities of others here
    if _name(root) != "ListBucketResult":
        raise ValueError(root.tag)
    return [
        (_name(part), part.text or "", {_name(each): each.text for each in part}) for part in root
    ]


def _page(parts: list[_Part]) -> dict[str, Any]:
    is_encoded = ("EncodingType", "url", {}) in parts
    page: dict[str, Any] = {"Contents": [], "CommonPrefixes": []}
    for name, text, texts in parts:
        if name == "Contents":
            page[name].append(_described(texts, is_encoded))
        elif name == "CommonPrefixes":
            page[name].append({"Prefix": _text(texts.get("Prefix"), is_encoded)})
        elif name == "IsTruncated":
            page[name] = text == "true"
        elif name == "KeyCount":
            page[name] = int(text or 0)
        elif name == "NextContinuationToken":
            page[name] = text
    return page


def _described(said: Mapping[str, str | None], is_encoded: bool) -> dict[str, Any]:
    key, size, modified, etag, storage_class = map(said.get, _TOLD)
    if not key or not size:
        raise ValueError("Key or Size")
    return {
        "Key": _text(key, is_encoded),
        "Size": int(size),
        "LastModified": datetime.fromisoformat(modified) if modified else None,
        "ETag": etag,
        "StorageClass": storage_class,
    }


def _text(text: str | None, is_encoded: bool) -> str:
    if text and is_encoded and ("%" in text or "+" in text):
        return str(unquote_str(text))
    return text or ""


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
