from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FUNCTION = 40  # lines, docstring included
LONGEST_REPEAT = 5  # lines that may stand twice within the package

PACKAGE = sorted((ROOT / "storages").rglob("*.py"))
EVERYTHING = [
    *PACKAGE,
    *(p for d in ("tests", "example") for p in sorted((ROOT / d).rglob("*.py"))),
]


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", EVERYTHING, ids=names(EVERYTHING))
def test_no_function_is_longer_than_forty_lines(path: Path) -> None:
    functions = (
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    lengths = {each.name: (each.end_lineno or 0) - each.lineno + 1 for each in functions}
    assert {name: n for name, n in lengths.items() if n > LONGEST_FUNCTION} == {}


def test_no_six_lines_stand_twice_in_the_package() -> None:
    places = defaultdict(list)
    for path in PACKAGE:
        # Blank lines and imports repeat for good reason.
        lines = [
            (number, line.strip())
            for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
            if line.strip() and not line.lstrip().startswith(("import ", "from "))
        ]
        for start in range(len(lines) - LONGEST_REPEAT):
            run = lines[start : start + LONGEST_REPEAT + 1]
            places["\n".join(line for _, line in run)].append(f"{path.name}:{run[0][0]}")
    assert {run: where for run, where in places.items() if len(where) > 1} == {}
