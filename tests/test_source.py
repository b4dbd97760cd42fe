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


def longest(path: Path) -> int:
    """The lines that a module may have: the core and the contract more than a backend."""
    inner = path.relative_to(ROOT / "storages").parts
    is_core = inner[0] != "backends" or inner[1].startswith(("_s3", "s3"))
    return 400 if is_core else 250


@pytest.mark.parametrize("path", PACKAGE, ids=names(PACKAGE))
def test_no_module_is_too_long_to_be_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= longest(path)


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


#: Each row may import what stands in the rows before it, and modules of its own package.
ORDER = [
    {"utils", "clients", "spool", "jobs", "digests", "sockets"},
    {"declared"},
    {"contents", "options", "driver", "http", "pool", "staticfiles"},
    {"configured", "reader", "parts", "temporaries", "walking"},
    {"files"},
    {"base", "aliases"},
    {"local", "pooled", "serving"},
    {"views"},
    {"backends"},
    {"checks", "transfers"},
    {"static_checks", "upgrading"},
    {"apps", "management", "testing", "compress"},
]


def room(module: str) -> str:
    """The part of the package that a module belongs to: ``storages.backends.ftp`` to backends."""
    return [*module.split("."), ""][1]


def imports_of(path: Path) -> set[str]:
    """The modules of the package that a module imports, wherever in it."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    package = parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            full = ".".join([*base, *filter(None, [node.module])])
            found |= (
                {f"{full}.{each.name}" for each in node.names} if full == "storages" else {full}
            )
    return {each for each in found if each.startswith("storages.")}


def test_imports_run_one_way() -> None:
    rank = {name: row for row, names in enumerate(ORDER) for name in names}
    backwards = []
    for path in PACKAGE:
        here = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for each in sorted(imports_of(path)):
            there = room(each)
            if here not in {"", there, "__init__"} and rank[there] >= rank[here]:
                backwards.append(f"{path.relative_to(ROOT)} imports {each}")
    assert backwards == []


def test_backends_do_not_import_each_other() -> None:
    names = {path.stem for path in (ROOT / "storages/backends").glob("[a-z]*.py")}
    aliases = {"s3", "s3boto"}  # other names of s3boto3
    wrong = [
        f"{path.name} imports {each}"
        for path in (ROOT / "storages/backends").rglob("*.py")
        for each in imports_of(path)
        if path.stem not in aliases and each.split(".")[2:] and each.split(".")[2] in names
    ]
    assert wrong == []
