"""What stands in the docs: the figures as JSON, and the charts and tables drawn from them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers.charts import chart
from benchmarks.peers.figures import Figures, rst, tables
from benchmarks.peers.targets import judged
from benchmarks.peers.tools import ROOT

FOLDER = ROOT / "docs/performance"
DATA = FOLDER / "peers.json"
FULL = 1000  # static files that make a run more than a look

COLLECTED = {
    "collectstatic, first": "first run, into an empty bucket",
    "collectstatic, unchanged": "run again, nothing has changed",
}
HASHED = {
    "few files with hashes, first": "first run, into an empty bucket",
    "few files with hashes, unchanged": "run again, nothing has changed",
}
COPIED = {"copy, first": "into an empty bucket", "copy, unchanged": "again, nothing has changed"}
LINKS = {each: each for each in ("signed url()", "unsigned url()", "custom domain url()")}
CALLED = {
    "save": "save of 1 KiB, CPU time",
    "read": "read of 1 KiB, CPU time",
    "exists": "exists, CPU time",
    "delete": "delete, CPU time",
    "listdir of 10,000": "listdir of 10,000 names, CPU time",
    "read of 8 MiB": "read of 8 MiB",
    "32 threads": "a call in each of 32 threads, on average",
}
#: For each file: its title, its scenarios with their headings, and the delay.
CHARTS = {
    "collectstatic": ("collectstatic, 20 ms per request", COLLECTED, 20),
    "hashes": ("collectstatic with hashed names, few files, 20 ms per request", HASHED, 20),
    "copy": ("Copying files of 50 KiB to S3, 20 ms per request", COPIED, 20),
    "links": ("url()", LINKS, 0),
    "calls": ("Calls, no delay", CALLED, 0),
}

CHARTED = [*(f"{name}.svg" for name in CHARTS), "tables.txt", "targets.txt", "about.txt"]


def drawn(figures: Figures) -> Iterator[tuple[str, str]]:
    """Yield the name and the content of each file."""
    for name, (title, headings, delay) in CHARTS.items():
        yield f"{name}.svg", chart(title, figures, headings, delay)
    yield "tables.txt", "\n".join(rst(title, table) for title, table in tables(figures))
    rows = [
        [each.operation, each.result, each.target, "met" if each.is_met else "missed"]
        for each in judged(figures)
    ]
    yield "targets.txt", rst("Targets", [["", "measured", "to reach", ""], *rows])
    yield "about.txt", described(figures)


def described(figures: Figures) -> str:
    """Return the sentences about a run."""
    about, sizes = figures.about, figures.about["sizes"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    short = sizes["files"] < FULL or about["load"] > about["cores"]
    note = " A short run, or on a busy machine: the figures are preliminary." if short else ""
    return (
        f"Measured on {about['date']} with Python {about['python']} on {about['cores']} cores "
        f"({about['processor']}), where {about['load']} processes ran or waited at the start; "
        f"{sizes['files']:,} static files, {sizes['few_files']:,} where it says few, "
        f"{sizes['copies']:,} copied files. Versions: {versions}.{note}\n"
    )


def draw(figures: Figures, folder: Path = FOLDER) -> None:
    """Write the charts and tables."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in drawn(figures):
        (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    draw(Figures.load(DATA))
