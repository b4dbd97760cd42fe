"""Whether two files are equal, and how that was found out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import IO

from storages.contents import COPY_SIZE
from storages.digests import hasher, matches
from storages.driver import Entry

from .ends import End

BY_DIGEST = "same size and digest"
BY_CONTENT = "same content"
BY_TIME = "same size and not older"
BY_ENCODING = "another encoding and not older"


class Comparison:
    """Compares files of two ends by name and entry.

    Two digests of one kind decide, asked for anew where a listing may not know better. Where one
    end only has a digest and the other is on this machine, the file is read. Else the copy is equal
    if it is as large as the original and not older. ``trusts_time`` lets that decide at once;
    ``reads`` has the contents compared where no digest decides.
    """

    def __init__(self, origin: End, target: End, *, trusts_time: bool, reads: bool) -> None:
        self._origin = origin
        self._target = target
        self._trusts_time = trusts_time
        self._reads = reads

    def rule(self, name: str, original: Entry, copy: Entry) -> str | None:
        """Return how two files were found to be equal; None if they are not, or may not be."""
        if copy.is_directory:
            return None
        if original.size != copy.size:
            return self._by_encoding(name, original, copy)
        if self._trusts_time and _is_no_older(copy, original):
            return BY_TIME
        equal = self._digests_agree(name, original, copy)
        if equal is None and self._reads:
            return BY_CONTENT if self._contents_agree(name) else None
        if equal is not None:
            return BY_DIGEST if equal else None
        return BY_TIME if _is_no_older(copy, original) else None

    def arrived(self, name: str, file: IO[bytes], size: int) -> bool:
        """Return True if the target has a content under a name: by digest, or by reading it back.

        Reads both.
        """
        stored = self._target.stat(name)
        if stored is None:
            return False
        if stored.size == size and matches(stored.digest, file, size):
            return True
        file.seek(0)
        with self._target.opened(name, unpacked=stored.size != size) as (_, back):
            return _sha256(file) == _sha256(back)

    def _by_encoding(self, name: str, original: Entry, copy: Entry) -> str | None:
        """Tell a file that one end keeps compressed; its listing need not say that it does."""
        if not _is_no_older(copy, original):
            return None
        there, here = self._origin.stat(name), self._target.stat(name)
        if there is None or here is None or there.encoding == here.encoding:
            return None
        if self._reads and not self._contents_agree(name):
            return None
        return BY_ENCODING

    def _digests_agree(self, name: str, original: Entry, copy: Entry) -> bool | None:
        equal = self._agree(name, original, copy)
        if equal is not False:
            return equal
        there, here = self._origin.stat(name), self._target.stat(name)
        if there is None or here is None or there.size != here.size:
            return False
        return self._agree(name, there, here)

    def _agree(self, name: str, original: Entry, copy: Entry) -> bool | None:
        if original.digest and copy.digest:
            if original.digest == copy.digest:
                return True
            kind, other = (each.partition(":")[0] for each in (original.digest, copy.digest))
            # Parts of another size have another digest.
            return False if kind == other and hasher(kind) is not None else None
        if self._origin.is_local and copy.digest:
            return self._has(self._origin, name, copy)
        if self._target.is_local and original.digest:
            return self._has(self._target, name, original)
        return None

    def _has(self, end: End, name: str, entry: Entry) -> bool | None:
        with end.opened(name) as (found, file):
            return matches(entry.digest, file, found.size)

    def _contents_agree(self, name: str) -> bool:
        with self._origin.opened(name, unpacked=True) as (_, file):
            wanted = _sha256(file)
        with self._target.opened(name, unpacked=True) as (_, file):
            return _sha256(file) == wanted


def _is_no_older(copy: Entry, original: Entry) -> bool:
    if copy.modified is None or original.modified is None:
        return False
    return copy.modified >= original.modified


def _sha256(file: IO[bytes]) -> str:
    found = hashlib.sha256()
    read: Callable[[], bytes] = lambda: file.read(COPY_SIZE)  # noqa: E731
    for piece in iter(read, b""):
        found.update(piece)
    return found.hexdigest()
