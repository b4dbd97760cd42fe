"""Listings as an FTP server sends them, asked for again where they may not be whole."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from typing import Final

from .errors import Refusal
from .listings import Listing, is_disturbed, parse_list
from .times import Timed
from .transfers import lines_of

LISTINGS: Final = 8  # of a directory, at most, in which names go away meanwhile


class Lister(Timed):
    """Takes listings."""

    #: True if the server ends TLS without a word also where nothing is missing.
    is_ragged = False

    def _list_with(self, command: str, argument: str) -> Listing:
        before: list[str] = []
        for _ in range(LISTINGS):
            lines = self._lines(command, argument)
            if lines == before or not is_disturbed(lines):
                return parse_list(lines, datetime.now(UTC))
            before = lines
        raise Refusal(
            errno.EBUSY,
            "The FTP server cannot list the directory while files in it go away: try again",
        )

    def _lines(self, verb: str, argument: str) -> list[str]:
        with self._hiding(argument) as sent:
            command = f"{verb} {sent}".rstrip()
        lines, is_ragged = lines_of(self, command)
        if is_ragged and not self.is_ragged:
            # Cut, unless the server always ends so: then it ends so again after the same lines.
            again, is_ragged = lines_of(self, command)
            if is_ragged and again != lines:
                raise ConnectionAbortedError(errno.ECONNABORTED, "A listing was cut")
            self.is_ragged, lines = is_ragged, again
        return lines
