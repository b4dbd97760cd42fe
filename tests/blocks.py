"""Code blocks of README and the documentation, found as a reader of the ``.rst`` finds them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.rst", *(ROOT / "docs").rglob("*.rst")])

DIRECTIVE = re.compile(r"^( *)\.\. (?:code-block|sourcecode|code):: *(\S*)$")
NOT_RUN = re.compile(r"^ *\.\. not run: (.+)$")
#: A paragraph that ends in two colons announces a block without a language.
BARE = re.compile(r"^(?! *\.\. ).*::$")


class Block(NamedTuple):
    """A code block: where it begins, its language, its text, and why it cannot be run."""

    page: str
    line: int
    language: str
    code: str
    reason: str

    @property
    def place(self) -> str:
        """The page and the line of the block's first line, as error messages give them."""
        return f"{self.page}:{self.line}"


def blocks() -> Iterator[Block]:
    """Yield the code blocks of README and all pages."""
    for path in PAGES:
        lines = path.read_text(encoding="utf-8").splitlines()
        reason = ""
        for number, line in enumerate(lines, 1):
            if found := NOT_RUN.match(line):
                reason = found[1]
            elif found := DIRECTIVE.match(line):
                first, code = indented(lines, number, len(found[1]))
                yield Block(str(path.relative_to(ROOT)), first, found[2], code, reason)
                reason = ""


def indented(lines: list[str], start: int, indent: int) -> tuple[int, str]:
    """Return the number of the first line, and the text, of what is indented after a line."""
    taken = []
    for line in lines[start:]:
        if line.strip() and len(line) - len(line.lstrip()) <= indent:
            break
        taken.append("" if line.lstrip().startswith(":") and not any(taken) else line)
    code = textwrap.dedent("\n".join(taken))
    blank = len(code) - len(code.lstrip("\n"))
    return start + 1 + blank, code.strip("\n") + "\n"


def without_language() -> Iterator[str]:
    """Yield the places of blocks that say no language."""
    for path in PAGES:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if BARE.match(line):
                yield f"{path.relative_to(ROOT)}:{number}: {line}"
