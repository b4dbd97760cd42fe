"""Contents on their way here, compared with the hash that Dropbox has of them."""

from __future__ import annotations

import errno

from dropbox.content_hash import DropboxContentHasher

from storages.http import Body


class Check:
    """Compares what is read of a file, from its start to its end, with its hash.

    The streams of one open file share it, so that a read which was interrupted is checked as well.
    """

    def __init__(self, content_hash: str | None, size: int) -> None:
        self._expected = content_hash
        self._size = size
        self._hasher = DropboxContentHasher()
        self._position = 0

    def take(self, position: int, data: bytes) -> None:
        """Hash bytes that continue what was hashed; raise OSError if they end it wrongly."""
        if position == 0:
            self._hasher, self._position = DropboxContentHasher(), 0
        if position != self._position or not data or self._expected is None:
            return
        self._hasher.update(data)
        self._position += len(data)
        if self._position == self._size and self._hasher.hexdigest() != self._expected:
            raise OSError(errno.EIO, "The bytes were changed on their way from Dropbox")


class Download:
    """A body that begins at a position of the file, and its check."""

    def __init__(self, body: Body, check: Check, position: int) -> None:
        self._body = body
        self._check = check
        self._position = position

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, ``b""`` only at the end."""
        data = self._body.read(size)
        self._check.take(self._position, data)
        self._position += len(data)
        return data

    def close(self) -> None:
        """Close the connection if bytes are left unread."""
        self._body.close()
