"""A directive, ``contract-matrix``, that shows what the last recorded test run found."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from docutils.nodes import Node
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

# First item of each theme of the contract; a theme ends where the next begins.
THEMES = {
    "Save": 1,
    "Unique names": 22,
    "Open": 33,
    "Names": 61,
    "Metadata": 76,
    "Listing": 89,
    "URLs": 98,
    "Life-cycle": 105,
    "Integrity": 118,
    "Handles": 121,
}


#: What stands before a count of items that have not passed.
SIGNS = {"impossible": "−", "not tried": "?", "skipped": "?", "failed": "✗"}  # noqa: RUF001


def table(header: Iterable[str], rows: Iterable[Iterable[str]], widths: str = "auto") -> list[str]:
    """Return the lines of a list-table; cells are reST of one line."""
    lines = [".. list-table::", "   :header-rows: 1", f"   :widths: {widths}", ""]
    for row in [header, *rows]:
        marks = ["   * - ", *["     - "] * len(THEMES)]
        lines += [f"{mark}{cell}" for mark, cell in zip(marks, row, strict=False)]
    return [*lines, ""]


class Result(NamedTuple):
    """One item of the contract in one configuration, as the test run recorded it."""

    configuration: str
    status: str
    item: str
    reason: str = ""

    @property
    def theme(self) -> str:
        """The theme whose range of numbers the item lies in."""
        return [theme for theme, first in THEMES.items() if first <= number(self.item)][-1]


def number(item: str) -> int:
    """Return the number of an item, which may carry a letter: 26 for "26b"."""
    return int("".join(filter(str.isdigit, item)))


def results(text: str) -> Iterator[Result]:
    """Read what a test run wrote: see ``tests/matrix.py``."""
    configuration = ""
    for line in filter(None, text.splitlines()):
        if line.startswith("["):
            configuration = line.strip("[]")
            continue
        status, rest = line.split(": ", 1)
        if status == "passed":
            yield from (Result(configuration, status, item) for item in rest.split())
        else:
            place, reason = rest.split(": ", 1)
            yield Result(configuration, status, place.split()[0], reason)


def matrix(found: list[Result], sentences: Mapping[int, str]) -> list[str]:
    """Return the lines of the table, and of what each configuration has not passed, in words."""
    counts: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    others: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for each in found:
        counts[each.configuration][each.theme][each.status] += 1
        if each.status != "passed":
            others[each.configuration][each.item].add(f"{each.status}: {each.reason}")
    rows = [
        (f"{name}", *(summary(themes[theme]) for theme in THEMES))
        for name, themes in sorted(counts.items())
    ]
    lines = table(("Configuration", *THEMES), rows, "20 " + "8 " * len(THEMES))
    lines[1] += "\n   :class: matrix"
    for configuration, items in sorted(others.items()):
        lines += [f".. rubric:: {configuration}", ""]
        for item in sorted(items, key=number):
            reasons = "; ".join(map(plain, sorted(items[item])))
            lines.append(f"* **{item}** {sentences.get(number(item), '')} {reasons}.")
        lines.append("")
    return lines


def plain(text: str) -> str:
    """Return a text as reST that shows it as it is."""
    return re.sub(r"([*|`_\\])", r"\\\1", text)


def summary(counts: Counter[str]) -> str:
    """Return the counts of one cell, with a sign before those that have not passed."""
    shown = [str(counts["passed"])] if counts["passed"] else []
    return " ".join(shown + [f"{SIGNS[each]}{counts[each]}" for each in SIGNS if counts[each]])


def sentences_of(contract: str) -> dict[int, str]:
    """Return the first sentence of each item of the page on the contract, by number."""
    found = re.findall(r"^(\d+)\. (.+(?:\n {3,}\S.*)*)", contract, re.MULTILINE)
    return {int(item): re.split(r"(?<=[.;]) ", " ".join(text.split()))[0] for item, text in found}


class ContractMatrix(SphinxDirective):
    """``.. contract-matrix::``: configurations by themes, with the number of items that passed."""

    def run(self) -> list[Node]:
        """Return the table and the reasons, or a sentence where no run is recorded."""
        path = Path(self.env.srcdir, "contract-matrix.txt")
        self.env.note_dependency(str(path))
        if not path.exists():
            return self.parse_text_to_nodes("No test run is recorded in this copy.")
        found = list(results(path.read_text(encoding="utf-8")))
        contract = Path(self.env.srcdir, "contract.rst").read_text(encoding="utf-8")
        return self.parse_text_to_nodes("\n".join(matrix(found, sentences_of(contract))))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the directives."""
    app.add_directive("contract-matrix", ContractMatrix)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
