"""This package and its peers, in one run against one server: ``python -m benchmarks peers``."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from benchmarks.peers import drawing, scenarios
from benchmarks.peers.distant import distant
from benchmarks.peers.figures import Figures, about, tables, text
from benchmarks.peers.targets import judged
from benchmarks.peers.tools import ROOT, Peers, Responder
from benchmarks.report import print_table

PARTS = ["import", "calls", "copy", "collectstatic", "seaweedfs"]
QUICK = {"files": 200, "few_files": 20, "copies": 200, "rounds": 1, "repeats": 50}


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser("python -m benchmarks peers", description=__doc__)
    parser.add_argument("--parts", default=",".join(PARTS), help="Only these, with commas.")
    parser.add_argument("--files", type=int, default=1496, help="Static files.")
    parser.add_argument("--few-files", type=int, default=50, help="Static files for slow peers.")
    parser.add_argument("--copies", type=int, default=2000, help="Files of 50 KiB to copy.")
    parser.add_argument("--delays", default="0,20", help="Milliseconds added to each answer.")
    parser.add_argument("--rounds", type=int, default=3, help="Rounds of each scenario.")
    parser.add_argument("--patience", type=float, default=6, help="Seconds: slower is run once.")
    parser.add_argument("--repeats", type=int, default=150, help="Calls of each kind in a round.")
    parser.add_argument("--quick", action="store_true", help="A few files and one round.")
    parser.add_argument("--peers", type=Path, default=ROOT / "build/peers", help="Environment.")
    parser.add_argument("--save", type=Path, help="Write the figures to this file.")
    parser.add_argument("--docs", action="store_true", help="Put the figures into the docs.")
    options = parser.parse_args(arguments)
    if options.quick:
        vars(options).update(QUICK)
    return options


def measure(bench: scenarios.Bench, parts: set[str], options: argparse.Namespace) -> None:
    """Measure the parts named."""
    delays = [int(each) for each in options.delays.split(",")]
    if "import" in parts:
        scenarios.importing(bench, options.rounds * 6)
    if "calls" in parts:
        scenarios.calling(bench, options.rounds, options.repeats)
    if "copy" in parts:
        scenarios.copying(bench, "copy", options.copies, delays)
    if "collectstatic" in parts:
        scenarios.collecting(bench, options.files, options.few_files, delays)
    if "seaweedfs" in parts:
        with distant() as server:
            there = replace(bench, meter=server)
            scenarios.copying(there, "copy to SeaweedFS", options.copies // 8, [20])


def main(arguments: list[str]) -> bool:
    """Measure, print and save; return True if all targets were met."""
    options = parsed(arguments)
    peers, figures = Peers(options.peers), Figures()
    peers.install()
    sizes = {name: getattr(options, name) for name in QUICK}
    figures.about = about(peers.versions, sizes)
    parts = set(options.parts.split(","))
    if unknown := parts - set(PARTS):
        raise SystemExit(f"There is no part {min(unknown)!r}: choose from {', '.join(PARTS)}.")
    with Responder() as meter, tempfile.TemporaryDirectory() as folder:
        bench = scenarios.Bench(
            peers, meter, figures, Path(folder), options.rounds, options.patience
        )
        measure(bench, parts, options)
    for title, table in tables(figures):
        print(f"\n{title}\n{'-' * len(title)}\n{text(table)}")
    if options.save:
        figures.save(options.save)
    if options.docs:
        figures.save(drawing.DATA)
        drawing.draw(figures)
    found = judged(figures)
    return print_table("Targets", found) if found else True
