"""Bodies of answers, read to where botocore compares their checksums."""

from __future__ import annotations

from typing import Any


class Download:
    """A body of ``size`` bytes; the checksum is compared with the last of them."""

    def __init__(self, body: Any, size: int) -> None:
        self._body = body
        self._left = size

    def read(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes, ``b""`` only at the end."""
        data: bytes = self._body.read(size)
        self._left -= len(data)
        if data and not self._left:
            # botocore compares when a read finds the end.
            self._body.read(1)
        return data

    def close(self) -> None:
        """Close the connection where bytes are left unread."""
        self._body.close()
