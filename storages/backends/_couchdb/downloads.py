"""A stream that compares what it brought with the digest of the whole."""

from __future__ import annotations

import errno
from hashlib import md5

from storages.driver import Stream


class Verified:
    """A stream of a whole content; raises OSError (EIO) at its end if its MD5 is another."""

    def __init__(self, stream: Stream, size: int, digest: str) -> None:
        self._stream = stream
        self._left = size
        self._digest = digest
        self._found = md5(usedforsecurity=False)

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, ``b""`` only at the end."""
        data = self._stream.read(size)
        self._found.update(data)
        self._left -= len(data)
        if not self._left and self._digest != f"md5:{self._found.hexdigest()}":
            raise OSError(errno.EIO, "The content is not what was saved: its MD5 differs")
        return data

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()
