"""S3's messages in XML: pages of listings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

from botocore.compat import unquote_str

#: What a page says of a file, as far as we read it.
_TOLD = ("Key", "Size", "LastModified", "ETag", "StorageClass")
#: How a page begins that is in UTF-8, a file in it of which nothing is escaped, and what that says.
_START = re.compile(rb'(<\?xml version="1\.0"( encoding="UTF-8")?\?>\s*)?<ListBucketResult[ >]')
_FILE = re.compile(r"<Contents>((?:<(\w+)>[^<&\x00-\x1f]*</\2>)+)</Contents>")
_SAID = re.compile(r"<(\w+)>([^<]*)<")


def page_of(content: bytes) -> dict[str, Any] | None:
    """Return a page of a listing as boto3 has it, as far as we read it; None for anything else."""
    try:
        files, rest = _without_files(content)
        root = ET.fromstring(rest)  # noqa: S314 - expat expands no entities of others here
        if _name(root) != "ListBucketResult":
            return None
        return _page(root, files)
    except (ET.ParseError, ValueError):
        return None


def _without_files(content: bytes) -> tuple[list[str], str | bytes]:
    """Take those files out of a page that a pattern finds: all or none, for their order.

    ElementTree makes six objects of each, which cost more than the rest of a listing.
    """
    if b"<!" in content or not _START.match(content):
        return [], content
    parts = _FILE.split(content.decode().replace("&quot;", '"'))
    rest = "".join(parts[::3])
    return ([], content) if "<Contents" in rest else (parts[1::3], rest)


def _page(root: ET.Element, files: Iterable[str]) -> dict[str, Any]:
    start = root.tag[: -len("ListBucketResult")]
    is_encoded = root.findtext(f"{start}EncodingType") == "url"
    found = [_described(dict(_SAID.findall(each)), is_encoded) for each in files]
    page: dict[str, Any] = {"Contents": found, "CommonPrefixes": []}
    for each in root:
        name = each.tag[len(start) :]
        if name == "Contents":
            said = {part.tag[len(start) :]: part.text for part in each}
            found.append(_described(said, is_encoded))
        elif name == "CommonPrefixes":
            prefix = each.findtext(f"{start}Prefix") or ""
            page["CommonPrefixes"].append({"Prefix": unquote_str(prefix) if is_encoded else prefix})
        elif name == "IsTruncated":
            page[name] = each.text == "true"
        elif name == "KeyCount":
            page[name] = int(each.text or 0)
        elif name == "NextContinuationToken":
            page[name] = each.text or ""
    return page


def _described(said: Mapping[str, str | None], is_encoded: bool) -> dict[str, Any]:
    key, size, modified, etag, storage_class = map(said.get, _TOLD)
    if not key or not size:
        raise ValueError("Key or Size")
    return {
        "Key": unquote_str(key) if is_encoded and ("%" in key or "+" in key) else key,
        "Size": int(size),
        "LastModified": datetime.fromisoformat(modified) if modified else None,
        "ETag": etag,
        "StorageClass": storage_class,
    }


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
