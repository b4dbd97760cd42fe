"""S3's messages in XML: pages of listings."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

from botocore.compat import unquote_str

#: What a page says of a file, as far as we read it.
_TOLD = ("Key", "Size", "LastModified", "ETag", "StorageClass")


def page_of(content: bytes) -> dict[str, Any] | None:
    """Return a page of a listing as boto3 has it, as far as we read it; None for anything else."""
    try:
        root = ET.fromstring(content)  # noqa: S314 - expat expands no entities of others here
        if _name(root) != "ListBucketResult":
            return None
        return _page(root)
    except (ET.ParseError, KeyError, ValueError):
        return None


def _page(root: ET.Element) -> dict[str, Any]:
    start = root.tag[: -len("ListBucketResult")]
    names = {f"{start}{name}": name for name in _TOLD}
    is_encoded = root.findtext(f"{start}EncodingType") == "url"
    page: dict[str, Any] = {"Contents": [], "CommonPrefixes": []}
    for each in root:
        name = each.tag[len(start) :]
        if name == "Contents":
            said = {names[part.tag]: part.text or "" for part in each if part.tag in names}
            page["Contents"].append(_described(said, is_encoded))
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


def _described(said: dict[str, Any], is_encoded: bool) -> dict[str, Any]:
    key = said["Key"]
    if is_encoded and ("%" in key or "+" in key):
        said["Key"] = unquote_str(key)
    said["Size"] = int(said["Size"])
    if "LastModified" in said:
        said["LastModified"] = datetime.fromisoformat(said["LastModified"])
    return said


def _name(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
