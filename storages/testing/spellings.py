"""Names that are tried: odd ones that every backend takes, and those that none takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: What a name holds, to the name: characters with a meaning in URLs, shells or file systems.
PUNCTUATION: Final[Mapping[str, str]] = {
    **{each: f"a{each}b.txt" for each in " +%#?&=;:,'\"()[]{}<>~@$^`|*!"},
    "%46": "a%46b.txt",
    "%2F": "a%2Fb.txt",
    "leading space": " a.txt",
    "trailing space": "a.txt ",
    "leading dot": ".a.txt",
    "trailing dot": "a.txt.",
    "leading dash": "-a.txt",
    "leading tilde": "~a.txt",
}

#: What a name holds, to the name: letters beyond ASCII.
SCRIPTS: Final[Mapping[str, str]] = {
    "Latin-1": "Ærøskøbing ÿ ß.txt",
    "CJK": "漢字かな한글.txt",
    "Arabic": "مرحبا.txt",
    "combining marks": "q\u0307\u0323.txt",
    "joined emoji": "👩\u200d👩\u200d👧.txt",
    "surrogate pair": "𝔘𐍈.txt",
}

#: What a name might do where it is taken for more than a name, to the name.
COMMANDS: Final[Mapping[str, str]] = {
    "LIKE %": "100%.txt",
    "LIKE _": "a_c.txt",
    "SQL": "'; DROP TABLE files;--.txt",
    "SQL comment": "a'--.txt",
    "glob *": "*.txt",
    "glob ?": "a?c.txt",
    "glob []": "[abc].txt",
    "regular expression": "a.+|^$.txt",
    "shell": "$(touch x)`x`;&&x.txt",
    "option": "--help",
}
#: Names that some of `COMMANDS` would match, were they patterns.
BYSTANDERS: Final = ("1000.txt", "abc.txt", "a.txt", "a'", "b.txt")

CLIMBING: Final = ("..", "../a", "a/..", "a/../b", "a/b/../../c", "..\\a", "a\\..\\b")
ABSOLUTE: Final = ("/a.txt", "//host/a.txt", "\\a.txt", "\\\\host\\a.txt", "C:\\a.txt", "c:/a.txt")
CONTROLS: Final = tuple(f"a{chr(code)}b.txt" for code in range(32))
NOT_UNICODE: Final = ("a\udcffb.txt", "\ud800/a.txt")
ENCODED: Final = ("..%2fa.txt", "%2e%2e/a.txt", "%252e%252e%252fa.txt", "..%5ca.txt", "%00.txt")
