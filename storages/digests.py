"""Digests of stored bytes, as services tell them, and whether a file at hand has one.

A digest is written ``algorithm:hex``. The algorithms are those of `hashlib`, ``dropbox`` for
Dropbox's content hash, and ``md5-N`` for what S3 tells of a file that was uploaded in N parts: the
MD5 of the MD5s of the parts.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b64decode
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

_READ_SIZE = 256 * 1024  # bytes a read
_MIB = 1024 * 1024
_ETAG = re.compile(r"(?:W/)?\"?([0-9a-f]{32})(?:-([1-9][0-9]{0,4}))?\"?")
_DROPBOX_BLOCK = 4 * _MIB
_MD5_SIZE = 16  # bytes
_MOST_PARTS = 10_000  # of an upload to S3
#: Bytes of a part as common clients have it: ours, the AWS CLI, s3cmd, rclone, s5cmd and others.
_PART_SIZES = tuple(each * _MIB for each in (5, 8, 10, 15, 16, 25, 32, 50, 64, 100, 128, 256, 512))


class Readable(Protocol):
    """A binary file that can be read again."""

    def read(self, size: int, /) -> bytes: ...  # noqa: D102
    def seek(self, offset: int, whence: int = ..., /) -> int: ...  # noqa: D102


class Hasher(Protocol):
    """What `hasher` returns."""

    def update(self, data: bytes, /) -> None: ...  # noqa: D102
    def hexdigest(self) -> str: ...  # noqa: D102


def of_etag(etag: str | None) -> str | None:
    """Return the digest that an ETag of S3's form holds; None for any other.

    The caller has to know that the service makes such ETags of the content.
    """
    found = _ETAG.fullmatch(etag or "")
    if found is None:
        return None
    return f"md5-{found[2]}:{found[1]}" if found[2] else f"md5:{found[1]}"


def of_md5(text: str | None) -> str | None:
    """Return the digest that an MD5 in Base64 is; None for any other text."""
    with suppress(ValueError):
        found = b64decode(text or "", validate=True)
        return f"md5:{found.hex()}" if len(found) == _MD5_SIZE else None
    return None


def hasher(algorithm: str) -> Hasher | None:
    """Return what computes a digest of this algorithm, None where the bytes alone do not tell it.

    Of ``md5-N``, only ``md5-1`` can be told without knowing where the parts ended.
    """
    if algorithm == "dropbox":
        return _InBlocks("sha256", _DROPBOX_BLOCK)
    if algorithm == "md5-1":
        return _InBlocks("md5", None)
    if algorithm in hashlib.algorithms_guaranteed and not algorithm.startswith("shake"):
        return hashlib.new(algorithm, usedforsecurity=False)
    return None


def matches(
    digest: str | None, file: Readable, size: int, *, part_sizes: Iterable[int] = ()
) -> bool | None:
    """Return whether a file of ``size`` bytes has a digest; None where that cannot be told.

    Reads the file once, from its start, and rewinds it. A digest of an upload in parts can only be
    told if the size of its parts is one of ``part_sizes``, or one that common clients have.
    """
    algorithm, _, wanted = (digest or "").partition(":")
    hashers = _hashers(algorithm, size, part_sizes)
    if not hashers or not wanted:
        return None
    file.seek(0)
    while data := file.read(_READ_SIZE):
        for each in hashers:
            each.update(data)
    file.seek(0)
    if wanted in {each.hexdigest() for each in hashers}:
        return True
    # The parts may have had another size.
    return None if hasher(algorithm) is None else False


def _hashers(algorithm: str, size: int, part_sizes: Iterable[int]) -> list[Hasher]:
    if (found := hasher(algorithm)) is not None:
        return [found]
    count = algorithm.removeprefix("md5-")
    if count == algorithm or not count.isdecimal():
        return []
    smallest = -(-size // _MOST_PARTS)
    candidates = {max(each, smallest) for each in (*part_sizes, *_PART_SIZES)}
    return [_InBlocks("md5", each) for each in candidates if -(-size // each) == int(count)]


class _InBlocks:
    """The digest of the digests of blocks."""

    def __init__(self, algorithm: str, block_size: int | None) -> None:
        self._algorithm = algorithm
        self._size = block_size
        self._whole = hashlib.new(algorithm, usedforsecurity=False)
        self._block = self._whole.copy()
        self._filled = 0

    def update(self, data: bytes, /) -> None:
        """Add bytes."""
        view = memoryview(data)
        while view:
            room = len(view) if self._size is None else self._size - self._filled
            self._block.update(view[:room])
            self._filled += len(view[:room])
            view = view[room:]
            if self._filled == self._size:
                self._end_block()

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""
        whole = self._whole.copy()
        if self._filled:
            whole.update(self._block.digest())
        return whole.hexdigest()

    def _end_block(self) -> None:
        self._whole.update(self._block.digest())
        self._block = hashlib.new(self._algorithm, usedforsecurity=False)
        self._filled = 0
