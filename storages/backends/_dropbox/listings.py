"""What Dropbox tells of files and folders, one by one and in pages."""

from __future__ import annotations

import errno
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from dropbox.exceptions import ApiError
from dropbox.files import FileMetadata, FolderMetadata

from storages.driver import Entry, Listed

from .downloads import Check
from .errors import says
from .session import Client, Patience, patient

PAGE = 2000  # entries, the most that Dropbox takes
LISTINGS = 4  # of one folder, where Dropbox says that it has to be begun again


@dataclass(frozen=True, slots=True)
class DropboxEntry(Entry):
    """What Dropbox tells of a file; its etag is the revision."""

    #: Dropbox's hash of the content; None for a document that has no bytes.
    content_hash: str | None = None
    #: Of a file that is being read, what its bytes are compared by.
    check: Check | None = None


def entry_of(metadata: Any) -> DropboxEntry:
    """Return the entry for the SDK's metadata of a file or folder."""
    if isinstance(metadata, FolderMetadata):
        return DropboxEntry(0, is_directory=True)
    return DropboxEntry(
        metadata.size,
        # The SDK's times are naive, and of UTC.
        modified=metadata.server_modified.replace(tzinfo=UTC),
        etag=metadata.rev,
        content_hash=metadata.content_hash,
        digest=f"dropbox:{metadata.content_hash}" if metadata.content_hash else None,
    )


def list_folder(client: Client, path: str) -> Iterator[Listed]:
    """Yield what is in a folder, by its name in the case it was given."""
    for each in _metadata(client, path, recursive=False):
        yield each.name, entry_of(each)


def walk_folder(client: Client, path: str) -> Iterator[Listed]:
    """Yield the files below a folder, by their names relative to it."""
    depth = path.count("/")
    for each in _metadata(client, path, recursive=True):
        parts = (each.path_display or each.path_lower or "").split("/")[1:]
        # Names that differ in case are one to Dropbox, so whole parts are compared without it.
        above = ["", *parts[:depth]]
        if isinstance(each, FileMetadata) and "/".join(above).casefold() == path.casefold():
            yield posixpath.join(*parts[depth:]), entry_of(each)


def _metadata(client: Client, path: str, *, recursive: bool) -> Iterator[Any]:
    """Yield the SDK's metadata of each file and folder once, page by page."""
    seen: set[str] = set()
    patience = Patience(client.max_wait)
    for attempt in range(LISTINGS):
        try:
            yield from _new(_pages(client, path, patience, recursive=recursive), seen)
        except ApiError as exc:
            if not says(exc, "reset") or attempt == LISTINGS - 1:
                raise
        else:
            return


def _new(found: Iterator[Any], seen: set[str]) -> Iterator[Any]:
    """Yield what was not seen yet: a page may tell again of what has changed, or was removed."""
    for each in found:
        place = each.path_lower or each.name
        if isinstance(each, (FileMetadata, FolderMetadata)) and place not in seen:
            seen.add(place)
            yield each


def _pages(client: Client, path: str, patience: Patience, *, recursive: bool) -> Iterator[Any]:
    with patient(patience):
        page = client.files_list_folder(path, recursive=recursive, limit=PAGE)
    yield from page.entries
    # A page without entries need not be the last.
    while page.has_more:
        try:
            with patient(patience):
                page = client.files_list_folder_continue(page.cursor)
        except ApiError as exc:
            if says(exc, "not_found"):
                text = "The folder went away while it was listed"
                raise FileNotFoundError(errno.ENOENT, text) from exc
            raise
        yield from page.entries
