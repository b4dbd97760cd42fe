"""Pure functions on names, URLs and settings, shared by every backend."""

from __future__ import annotations

import functools
import ipaddress
import mimetypes
import os
import posixpath
import re
import traceback
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from types import NoneType
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.utils.encoding import filepath_to_uri
from django.utils.functional import LazyObject, empty

_CONTROLS = re.compile(r"[\x00-\x1f]")
_DRIVE = re.compile(r"[A-Za-z]:")
# True of most names: they are as they should be, which takes a third of the time to see.
_USUAL = re.compile(r"(?:[\w-][\w.-]*/){0,99}[\w-][\w.-]*", re.ASCII).fullmatch
_UNSAYABLE = re.compile(r"[\x00-\x1f\\\ud800-\udfff]")
# Streams of other files, wildcards, devices, and ends that Windows drops (its "Naming Files").
_WINDOWS = re.compile(
    r'[<>:"|?*]|[. ](/|$)|(^|/)(con|prn|aux|nul|(com|lpt)[0-9¹²³]) *(\.|/|$)', re.IGNORECASE
)
#: Reads an attribute of a lazy object itself, past its own way, which is written in Python.
_inner: Any = object.__getattribute__
_SHOWN = 120  # characters of a name quoted in an error
# RFC 6838 section 4.2, with parameters; for what is none, browsers look into the content.
_TYPE = re.compile(r"[A-Za-z0-9][\w!#$&^.+-]*/[A-Za-z0-9][\w!#$&^.+-]* *(;[ -~]*)?", re.ASCII)
_LONGEST = 255  # characters of a media type
#: How the media types end that browsers run scripts in, or look into the content for.
_RUN = ("html", "xml", "xsl", "script", "unknown")
#: Parts of a name, each but the last a directory: as many as a key of S3 can have, and no more
#: than what goes from level to level can go.
MOST_LEVELS = 512

# What a compressed file is; as a Content-Encoding it would make clients unpack it (RFC 9110 8.4.1).
_COMPRESSED_TYPES = {
    "gzip": "application/gzip",
    "bzip2": "application/x-bzip2",
    "xz": "application/x-xz",
    "br": "application/octet-stream",
    "compress": "application/x-compress",
}

# Types of today's web (IANA's registry) that Python's own table lacks, for a system without
# /etc/mime.types.
_WEB_TYPES = {
    ".cjs": "text/javascript",
    ".3gp": "video/3gpp",
    ".7z": "application/x-7z-compressed",
    ".aac": "audio/aac",
    ".apng": "image/apng",
    ".atom": "application/atom+xml",
    ".avif": "image/avif",
    ".csv": "text/csv",
    ".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    ".eot": "application/vnd.ms-fontobject",
    ".epub": "application/epub+zip",
    ".flac": "audio/flac",
    ".geojson": "application/geo+json",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".ico": "image/vnd.microsoft.icon",
    ".ics": "text/calendar",
    ".json5": "application/json5",
    ".jsonld": "application/ld+json",
    ".jxl": "image/jxl",
    ".m3u8": "application/vnd.apple.mpegurl",
    ".m4a": "audio/mp4",
    ".m4v": "video/mp4",
    ".map": "application/json",
    ".markdown": "text/markdown",
    ".md": "text/markdown",
    ".mkv": "video/matroska",
    ".mpd": "application/dash+xml",
    ".odp": "application/vnd.oasis.opendocument.presentation",
    ".ods": "application/vnd.oasis.opendocument.spreadsheet",
    ".odt": "application/vnd.oasis.opendocument.text",
    ".oga": "audio/ogg",
    ".ogg": "audio/ogg",
    ".ogv": "video/ogg",
    ".opus": "audio/ogg",
    ".otf": "font/otf",
    ".parquet": "application/vnd.apache.parquet",
    ".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ".rar": "application/vnd.rar",
    ".rss": "application/rss+xml",
    ".rtf": "application/rtf",
    ".toml": "application/toml",
    ".ttc": "font/collection",
    ".ttf": "font/ttf",
    ".vtt": "text/vtt",
    ".wasm": "application/wasm",
    ".weba": "audio/webm",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xhtml": "application/xhtml+xml",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zst": "application/zstd",
}


class RefusedName(SuspiciousFileOperation, ValueError):
    """Raised for a name no backend accepts; also a ValueError, as Django raises for empty names."""


def setting(name: str, default: Any = None, strict: bool = False) -> Any:
    """Return the Django setting ``name``, or ``default`` where it is missing or None.

    A dotted name reaches into a dict: ``setting("DB_FILES.db_table")``. With ``strict`` a missing
    setting raises ImproperlyConfigured.
    """
    first, _, rest = name.partition(".")
    # Past Django's wrapper, which raises and catches an error for each name that is not set.
    holder = _inner(settings, "_wrapped")
    if holder is empty:
        holder = settings
    value = None if getattr(holder, first, None) is None else getattr(settings, first)
    for part in rest.split(".") if rest else ():
        value = value.get(part) if isinstance(value, dict) else None
    if value is not None:
        return value
    if strict:
        raise ImproperlyConfigured(f"The setting {name} is required: add it to your settings.")
    return default


def unwrapped(value: Any) -> Any:
    """Return the object behind a lazy one of Django's; any other value as it is."""
    while isinstance(value, LazyObject):
        if value._wrapped is empty:  # noqa: SLF001 - no public name
            value._setup()  # noqa: SLF001
        value = value._wrapped  # noqa: SLF001
    return value


def lookup_env(names: Iterable[str]) -> str | None:
    """Return the value of the first environment variable that is set and not empty, or None."""
    return next((value for name in names if (value := os.environ.get(name))), None)


def sdk_missing(extra: str, exc: ImportError) -> ImproperlyConfigured:
    """Return the error for a backend whose SDK does not import; ``extra`` is what to install."""
    return ImproperlyConfigured(
        f"{exc}: install what this backend needs by pip install 'django-storages[{extra}]'."
    )


def shown(name: object) -> str:
    """Quote a name for an error message: escaped, and at most 120 characters long."""
    text = repr(name)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def printable(text: str) -> str:
    """Return a text in which what moves a cursor, or begins a line of a log, is escaped."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def normalize_name(name: str | os.PathLike[str] | None, *, root: bool = False) -> str:
    """Return ``name`` as a relative, ``/``-separated name without empty or ``.`` components.

    Every public method of every backend passes its names through here. Backslashes become slashes
    once; the result is a fixed point. ``root=True`` (listings) lets ``""``, ``"."`` and ``"/"``
    stand for the root and returns ``""`` for them. Raises RefusedName for names that are empty,
    absolute, climb with ``..``, hold control characters, cannot be encoded as UTF-8 or have over
    512 parts.
    """
    return _normalized("" if name is None else os.fspath(name), root)


# One call of Django's storage API normalises its name several times.
@functools.lru_cache(maxsize=1024)
def _normalized(name: str, root: bool) -> str:
    # Of a text's subclass the text alone: what is kept is told to others too.
    return str.__str__(name) if _USUAL(name) else _resolved(name, root=root)


def _resolved(name: str, *, root: bool) -> str:
    text = name.replace("\\", "/")
    if root and text == "/":
        return ""
    if _CONTROLS.search(text):
        raise RefusedName(f"The name {shown(name)} holds control characters: remove them.")
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise RefusedName(f"The name {shown(name)} cannot be encoded as UTF-8.") from exc
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if text.startswith("/") or (parts and _DRIVE.fullmatch(parts[0])):
        raise RefusedName(f"The name {shown(name)} is absolute: names are relative to the storage.")
    if ".." in parts:
        raise RefusedName(f"The name {shown(name)} climbs with '..': name the file directly.")
    if len(parts) > MOST_LEVELS:
        raise RefusedName(f"The name {shown(name)} has over {MOST_LEVELS} parts: use fewer.")
    if not parts and not root:
        raise RefusedName("The name is empty: give the name of a file.")
    return "/".join(parts)


def public_url(base_url: str, name: str) -> str:
    """Join a base URL (with or without a final slash) and a name, quoting the name once."""
    return f"{base_url.rstrip('/')}/{filepath_to_uri(name)}"


def guess_content_type(name: str, default: str = "application/octet-stream") -> str:
    """Return the media type for a name by its extension; ``x.tar.gz`` is a gzip file, not a tar.

    A type that the project adds by ``mimetypes.add_type`` wins.
    """
    # Python takes "data:text/html,photo.jpg" for a URL that holds a page.
    kind, encoding = mimetypes.guess_type(name.rpartition(":")[2])
    if encoding is not None:
        return _COMPRESSED_TYPES.get(encoding, default)
    return kind or _WEB_TYPES.get(posixpath.splitext(name)[1].lower(), default)


def content_type_of(name: str, declared: object, default: str) -> str:
    """Return the media type of an upload: what it declares, else what its name implies.

    A browser may declare anything. What is no media type does not count, and one that browsers run
    scripts in only where the name implies no other: names are what checks of uploads look at.
    """
    if not isinstance(declared, str) or not _TYPE.fullmatch(declared) or len(declared) > _LONGEST:
        return guess_content_type(name, default)
    if _may_run(declared) and (implied := guess_content_type(name, "")) and not _may_run(implied):
        return implied
    return declared


def _may_run(kind: str) -> bool:
    return kind.partition(";")[0].strip().lower().endswith(_RUN)


def is_loopback(host: str | None) -> bool:
    """Return True if a host name or address is this machine's own."""
    if host in {None, "", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(str(host)).is_loopback
    except ValueError:
        return False


def is_clear_text(url: str | None) -> bool:
    """Return True if what a URL leads to is sent unencrypted from another machine."""
    try:
        parts = urlsplit(url or "")
        return parts.scheme == "http" and not is_loopback(parts.hostname)
    except ValueError:
        return False


def is_nameable(name: str) -> bool:
    """Return True if a listed name is one that every method takes as it is.

    Says of each name what `normalize_name` would, in a fifth of its time.
    """
    path = f"/{name}/"
    if "//" in path or "/./" in path or "/../" in path or _UNSAYABLE.search(name):
        return False
    if path.count("/") > MOST_LEVELS + 1:
        return False
    return ":" not in name or not _DRIVE.fullmatch(name.partition("/")[0])


def is_taken_by_windows(name: str) -> bool:
    """Return True if Windows would take a normalised name for another name, or for a device."""
    return bool(_WINDOWS.search(name))


def get_available_overwrite_name(name: str, max_length: int | None = None) -> str:
    """Return ``name``, its root shortened to fit ``max_length`` characters, extension kept.

    Raises SuspiciousFileOperation where nothing of the root would be left.
    """
    if max_length is None or len(name) <= max_length:
        return name
    directory, base = posixpath.split(name)
    root, extension = posixpath.splitext(base)
    root = root[: max_length - len(name)]
    if not root:
        raise SuspiciousFileOperation(
            f"No name for {shown(name)} fits in {max_length} characters: "
            "give the file field a larger max_length."
        )
    return posixpath.join(directory, root + extension)


def clean_name(name: str | os.PathLike[str]) -> str:
    """Return ``name`` with forward slashes and ``.``/``..`` resolved, keeping a final slash.

    For other packages that import it; our own methods use `normalize_name`, which refuses ``..``.
    """
    text = os.fspath(name).replace("\\", "/")
    cleaned = posixpath.normpath(text)
    if text.endswith("/") and not cleaned.endswith("/"):
        cleaned += "/"
    return "" if cleaned in (".", "./") else cleaned


def safe_join(base: str, *paths: str) -> str:
    """Join ``paths`` under ``base``, both ``/``-separated; the result has no leading slash.

    Raises RefusedName, a ValueError, when the result would lie outside of ``base``.
    """
    root = "/" + base.strip("/")
    joined = posixpath.normpath(posixpath.join(root, *(path.replace("\\", "/") for path in paths)))
    inside = joined == root or joined.startswith(root.rstrip("/") + "/")
    if not inside or _CONTROLS.search(joined):
        raise RefusedName(f"The path {shown(posixpath.join('', *paths))} leaves its base.")
    final = "/" if paths and paths[-1].endswith("/") and joined != "/" else ""
    return joined.lstrip("/") + final


def is_seekable(file: Any) -> bool:
    """Return True if a file object can seek; one without a ``seekable`` method is taken to."""
    return not hasattr(file, "seekable") or bool(file.seekable())


def frozen(value: Any) -> Hashable:
    """Return a hashable stand-in for an option's value; equal dicts and lists have equal ones."""
    if isinstance(value, (str, NoneType, int)):
        return value  # as almost all are: soonest done, since it is done for every request
    if isinstance(value, Mapping):
        return tuple(sorted((name, frozen(each)) for name, each in value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(frozen(each) for each in value)
    hashable: Hashable = value
    return hashable


def check_prefix(location: str) -> None:
    """Raise ValueError for a prefix of names that leads out of what it is a prefix in."""
    if ".." in location.replace("\\", "/").split("/"):
        raise ValueError("must not lead upwards: it has '..' among its parts.")


def check_authorities(path: bool | str) -> None:
    """Raise ValueError for a path of certificate authorities that leads nowhere."""
    if isinstance(path, str) and not Path(path).exists():
        raise ValueError("names a file that is not there: correct the path, or make the file.")


def forget_locals(exc: BaseException) -> None:
    """Clear the local variables of the finished frames that an exception, or its cause, came by.

    Django's debug page and error mails show them, and so do trackers of errors. Those of SDKs hold
    tokens, signed headers and form data, which no list of names could find.
    """
    seen: set[int] = set()
    left: list[BaseException | None] = [exc]
    while left:
        each = left.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            traceback.clear_frames(each.__traceback__)
            left += [each.__cause__, each.__context__]
