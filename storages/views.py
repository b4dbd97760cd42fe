"""Views that serve stored files over HTTP from any storage, and links that they let pass."""

from __future__ import annotations

import errno
import logging
import posixpath
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import ClassVar, Final
from urllib.parse import quote, urlencode

from django.core import signing
from django.core.exceptions import ImproperlyConfigured, PermissionDenied, SuspiciousOperation
from django.core.files.storage import FileSystemStorage, Storage, storages
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
)
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe
from django.views.generic import View

from .base import BaseStorage
from .serving import Stored, answer, find, takes_gzip
from .utils import RefusedName, normalize_name, public_url, shown

logger = logging.getLogger(__name__)

SIGNATURE: Final = "signature"  # the query parameter of a signed link
OPAQUE: Final = "application/octet-stream"
PDF: Final = "application/pdf"
POLICY: Final = "sandbox; default-src 'none'"
#: A player asks for the file that it shows once more, as a page of the site would.
PLAYED: Final = "sandbox allow-same-origin; default-src 'none'; media-src 'self'"
ATTEMPTS: Final = 3  # at a file that is replaced while it is looked at

#: The media types of files that a browser shows and runs nothing of, by extension.
SHOWN_TYPES: Final = {
    "avif": "image/avif",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "flac": "audio/flac",
    "m4a": "audio/mp4",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
    "opus": "audio/ogg",
    "wav": "audio/wav",
    "m4v": "video/mp4",
    "mp4": "video/mp4",
    "ogv": "video/ogg",
    "webm": "video/webm",
}
#: Those of files to be downloaded; all others have no type of their own.
TYPES: Final = SHOWN_TYPES | {
    "csv": "text/csv",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "gz": "application/gzip",
    "ods": "application/vnd.oasis.opendocument.spreadsheet",
    "odt": "application/vnd.oasis.opendocument.text",
    "pdf": PDF,
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    "txt": "text/plain",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "zip": "application/zip",
}

#: What a name raises that is no file's, for whatever reason.
_MISSING: Final = (
    FileExistsError,  # Django's storage in memory, of a name below that of a file
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    SuspiciousOperation,
)


# -- signed links ---------------------------------------------------------------------------------


def signed_url(
    name: str, storage: str | Storage = "default", *, expire: int = 3600, url: str | None = None
) -> str:
    """Return a link that lets whoever has it see a file for ``expire`` seconds.

    ``url`` is the address of the view with the name in it; by default it is the storage's own URL
    of the file. The view has to ask `is_signed`, as `serve` does with ``signed=True``.
    """
    if expire <= 0:
        raise ValueError("expire must be more than 0 seconds.")
    store = _storage(storage)
    name = normalize_name(name)
    token = signing.dumps(int(time.time()) + expire, salt=_salt(store, name))
    url = store.url(name) if url is None else url
    return f"{url}{'&' if '?' in url else '?'}{urlencode({SIGNATURE: token})}"


def is_signed(request: HttpRequest, name: str, storage: str | Storage = "default") -> bool:
    """Return True if a request's link was made by `signed_url` for this file, and has not ended."""
    token = request.GET.get(SIGNATURE, "")
    with suppress(signing.BadSignature, RefusedName):
        until = signing.loads(token, salt=_salt(_storage(storage), normalize_name(name)))
        return bool(time.time() < until)
    return False


def _salt(storage: Storage, name: str) -> str:
    """Return what ties a signature to one file of one storage; a link shows nothing of it."""
    place = storage.root() if isinstance(storage, BaseStorage) else ()
    place = place or (type(storage).__qualname__, str(getattr(storage, "location", "")))
    return "\0".join((__name__, *place, str(getattr(storage, "login", "")), name))


def _storage(storage: str | Storage) -> Storage:
    return storages[storage] if isinstance(storage, str) else storage


# -- views ----------------------------------------------------------------------------------------


@require_safe
def serve(
    request: HttpRequest,
    name: str,
    storage: str | Storage = "default",
    *,
    signed: bool = False,
    inline: Collection[str] = (),
    fallback: str | Path | None = None,
    cache_control: str = "private",
    accel_redirect: str | None = None,
    sendfile: bool = False,
    redirect: bool = False,
) -> HttpResponseBase:
    """Serve a file of a storage, which is given itself or by its alias in ``STORAGES``.

    It asks nobody whether the file may be seen, unless ``signed`` demands a link of `signed_url`:
    wrap it in what asks, or use `FileView`. ``inline`` adds types out of `TYPES` to those that the
    browser shows. ``fallback`` is the path of a local picture that stands in for a missing file.

    With ``accel_redirect``, the URL of an internal location of nginx that has the storage's
    directory, or with ``sendfile``, for X-Sendfile, the server before Django sends a local file.
    ``redirect`` leads the client to the storage's own URL.
    """
    store = _storage(storage)
    if signed and not is_signed(request, name, store):
        raise PermissionDenied
    hand_over = partial(_hand_over, accel_redirect, sendfile=sendfile, redirect=redirect)
    try:
        if normalize_name(name) != name:
            raise FileNotFoundError(errno.ENOENT, "Not the name of a file", name)
        headers = _labels(name, inline) | {"Cache-Control": cache_control}
        return _proxied(request, store, name, headers) or _answered(
            request, store, name, headers, hand_over
        )
    except _MISSING:
        return _stand_in(request, fallback)
    except OSError as exc:
        return (
            _stand_in(request, fallback) if exc.errno == errno.ENAMETOOLONG else _failed(name, exc)
        )


class FileView(View):
    """Serves files to those whom `has_permission` lets see them; the attributes are as in `serve`.

    As it is it wants a link of `signed_url`.
    """

    http_method_names: ClassVar[list[str]] = ["get", "head"]  # type: ignore[misc]
    storage: str | Storage = "default"
    inline: Collection[str] = ()
    fallback: str | Path | None = None
    cache_control = "private"
    accel_redirect: str | None = None
    sendfile = False
    redirect = False

    def has_permission(self, name: str) -> bool:
        """Return True if ``self.request`` may see a file, whether or not it is there."""
        return is_signed(self.request, name, self.storage)

    def get(self, request: HttpRequest, name: str) -> HttpResponseBase:
        """Serve the file, or raise PermissionDenied."""
        if not self.has_permission(name):
            raise PermissionDenied
        return serve(
            request,
            name,
            self.storage,
            inline=self.inline,
            fallback=self.fallback,
            cache_control=self.cache_control,
            accel_redirect=self.accel_redirect,
            sendfile=self.sendfile,
            redirect=self.redirect,
        )


def _proxied(
    request: HttpRequest, storage: Storage, name: str, headers: dict[str, str]
) -> HttpResponse | None:
    """Return the answer that has a proxy send a file, where the storage's options want that."""
    peer = request.META.get("REMOTE_ADDR") or ""
    found = storage.proxied(name, peer) if isinstance(storage, BaseStorage) else {}
    return HttpResponse(headers={**headers, **found}) if found else None


def _answered(
    request: HttpRequest,
    storage: Storage,
    name: str,
    headers: dict[str, str],
    hand_over: Callable[[Stored, dict[str, str]], HttpResponse | None],
) -> HttpResponseBase:
    """Return the answer about a file; one that is replaced meanwhile is looked at anew."""
    accepts_gzip = takes_gzip(request.headers.get("Accept-Encoding", ""))
    for attempt in range(ATTEMPTS):
        file = find(storage, name, accepts_gzip=accepts_gzip)
        try:
            return hand_over(file, headers) or answer(request, file, headers)
        except OSError as exc:
            if exc.errno != errno.ESTALE or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError


def _failed(name: str, exc: OSError) -> HttpResponse:
    """Return the answer where a storage fails; what it says is for the log alone."""
    logger.error("The file %s cannot be served", shown(name), exc_info=exc)
    return HttpResponse("The file cannot be read now.", "text/plain", 503)


def _stand_in(request: HttpRequest, fallback: str | Path | None) -> HttpResponseBase:
    if fallback is None:
        raise Http404("There is no such file.") from None
    path = Path(fallback)
    # Not to be kept, since the file may come.
    return serve(request, path.name, FileSystemStorage(path.parent), cache_control="no-cache")


def _labels(name: str, inline: Collection[str]) -> dict[str, str]:
    """Return the headers that tell a browser what to do with a file."""
    base = posixpath.basename(name)
    extension = base.rpartition(".")[2].lower() if "." in base else ""
    kind = TYPES.get(extension, OPAQUE)
    is_shown = extension in SHOWN_TYPES or kind in inline
    headers = {
        "Content-Type": kind,
        "Content-Disposition": str(content_disposition_header(not is_shown, base)),
        "X-Content-Type-Options": "nosniff",
    }
    is_played = kind.startswith(("audio/", "video/"))
    # A browser's viewer of PDF does not work in a sandbox.
    if not (is_shown and kind == PDF):
        headers["Content-Security-Policy"] = PLAYED if is_played else POLICY
    return headers


def _hand_over(
    accel_redirect: str | None,
    file: Stored,
    headers: dict[str, str],
    *,
    sendfile: bool,
    redirect: bool,
) -> HttpResponse | None:
    """Return the answer that has another server send the file; None where Django is to."""
    if redirect:
        # Such URLs end, and nobody knows when.
        return HttpResponseRedirect(
            file.storage.url(file.name), headers={"Cache-Control": "no-store"}
        )
    if accel_redirect is None and not sendfile:
        return None
    if file.path is None:
        raise ImproperlyConfigured(
            "accel_redirect and sendfile are for files of this machine: "
            f"{type(file.storage).__name__} has none."
        )
    if accel_redirect is not None:
        return HttpResponse(
            headers=headers | {"X-Accel-Redirect": public_url(accel_redirect, file.name)}
        )
    return HttpResponse(headers=headers | {"X-Sendfile": quote(file.path)})
