"""The folders that are brought into a bucket, the same for all peers."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from django.contrib import admin

COPIED = 50 * 1024  # bytes of a file that is copied
LARGEST = 60_000  # bytes of a static file


def static(folder: Path, count: int) -> Path:
    """Make a project's static files: those of Django's admin, and others like them."""
    shutil.copytree(Path(admin.__file__).parent / "static", folder)
    # What others refer to comes first: a tree that is cut short has no dangling names.
    existing = sorted(
        (each for each in folder.rglob("*") if each.is_file()),
        key=lambda path: (path.suffix in {".css", ".js"}, path.suffix == ".js", path),
    )
    for each in existing[count:]:
        each.unlink()
    dice = random.Random(14)
    images: list[str] = []
    for number in range(max(0, count - len(existing))):
        kind = ("css", "js", "png")[number % 3]
        path = folder / f"app{number % 12}" / kind / f"file{number}.{kind}"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = min(LARGEST, int(dice.lognormvariate(8.3, 1.2)) + 200)
        if kind == "png":
            path.write_bytes(dice.randbytes(size))
            images.append(f"../../{path.relative_to(folder).as_posix()}")
        else:
            path.write_text(_text(kind, number, size, images[-3:]), encoding="utf-8")
    return folder


def _text(kind: str, number: int, size: int, images: list[str]) -> str:
    if kind == "js":
        return f"/* {number} */ export const value{number} = '{'v' * size}';\n"
    rules = [f".a{number} {{background: url({each})}}\n" for each in images]
    return "".join(rules) + f"/* {number}{'c' * size} */\n"


def plain(folder: Path, count: int) -> Path:
    """Make files of 50 KiB that all differ."""
    dice = random.Random(15)
    for number in range(count):
        path = folder / f"d{number % 20}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(dice.randbytes(COPIED))
    return folder


def files(folder: Path) -> int:
    """Return how many files are in a folder."""
    return sum(each.is_file() for each in folder.rglob("*"))
