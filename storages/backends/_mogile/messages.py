"""The lines of a tracker's protocol: ``command k=v&k=v``, ``OK k=v&…`` and ``ERR code text``."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from pymogilefs.exceptions import MogilefsError
from pymogilefs.request import Request

#: What a request sends as its ``callid``; a tracker that knows the word returns it.
_CALL = re.compile(r"call\d+")


class Values(dict[str, str]):
    """What an answer tells; to ask for what it lacks raises OSError."""

    def __missing__(self, name: str) -> str:
        raise OSError(errno.EPROTO, f"The tracker's answer lacks {name!r}")


@dataclass(frozen=True)
class Command:
    """A command and its arguments."""

    name: str
    values: dict[str, str | int] = field(default_factory=dict)

    @property
    def COMMAND(self) -> str:  # noqa: N802 - the name that pymogilefs looks for
        """The command's name."""
        return self.name

    def line(self, call: str) -> bytes:
        """Return the line to send, which carries the id of this call."""
        return bytes(Request(self, **self.values, callid=call))


def parse(line: bytes) -> tuple[str | None, Values | MogilefsError]:
    """Return the id of the call that a line answers, if it tells one, and the answer.

    Raises ConnectionError for a line that is no answer.
    """
    status, _, rest = line.decode("utf-8", "surrogateescape").strip("\r\n").partition(" ")
    if status == "OK":
        pairs = parse_qsl(rest, keep_blank_values=True, errors="surrogateescape")
        values = Values(pairs)
        return values.pop("callid", None), values
    if status == "ERR":
        code, _, text = rest.partition(" ")
        text, _, last = text.rpartition(" ")
        if _CALL.fullmatch(last):
            return last, MogilefsError(code, text)
        return None, MogilefsError(code, f"{text} {last}".strip())
    raise ConnectionAbortedError(errno.EPROTO, "The tracker answers in another protocol")
