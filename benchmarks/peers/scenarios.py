"""The scenarios: folders brought into a bucket, single calls, and imports."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import IO, Any

from benchmarks.peers import trees
from benchmarks.peers.distant import Distant
from benchmarks.peers.figures import Figures
from benchmarks.peers.tools import (
    BARE,
    OWN,
    PACKAGES,
    SITE,
    SYNCS,
    Peers,
    Responder,
    environment,
    run,
)
from benchmarks.report import MIB


@dataclass
class Bench:
    """What all scenarios share."""

    peers: Peers
    meter: Responder | Distant
    figures: Figures
    folder: Path
    rounds: int
    patience: float  # seconds after which a peer is not measured once more in a scenario

    def tell(self, text: str) -> None:
        """Say what is being measured."""
        print(f"… {text}", file=sys.stderr, flush=True)


@dataclass
class Transfer:
    """A folder to bring into the bucket, by several peers in turn."""

    name: str
    tree: Path
    peers: list[str]
    hashed: bool = False
    command: Callable[[str], list[str]] | None = None


def transfers(bench: Bench, transfer: Transfer, delay: int) -> None:
    """Bring a folder into an empty bucket, and once more; all peers in turn, several rounds."""
    spent = dict.fromkeys(transfer.peers, 0.0)
    for number in range(bench.rounds):
        for peer in transfer.peers:
            if spent[peer] < bench.patience:
                bench.tell(f"{transfer.name}, {delay} ms, round {number + 1}: {peer}")
                spent[peer] += _transfer(bench, transfer, peer, delay)


def _transfer(bench: Bench, transfer: Transfer, peer: str, delay: int) -> float:
    meter, tree = bench.meter, transfer.tree
    home = bench.folder / f"home-{len(list(bench.folder.iterdir()))}"
    home.mkdir()
    env = environment(peer, meter.url, home, tree, hashed=transfer.hashed)
    if peer == OWN and transfer.command:
        command = transfer.command(str(bench.peers.python(peer)))
    else:
        command = bench.peers.command(peer, tree, meter.url)
    meter.reset(delay / 1000)
    expected, spent = trees.files(tree), 0.0
    for state in ("first", "unchanged"):
        found = run(command, env)
        told = meter.counts()
        if told["objects"] < expected:
            missing = f"{told['objects']} of {expected} files are there"
            raise RuntimeError(f"{peer} ended {transfer.name} well, but {missing}")
        requests = told["requests"]
        bench.figures.of(f"{transfer.name}, {state}", peer, delay).add(found, requests)
        spent += found["seconds"]
    return spent


def collecting(bench: Bench, files: int, few_files: int, delays: list[int]) -> None:
    """Measure collectstatic: all files against all peers, few against those that take long."""
    large = trees.static(bench.folder / "static", files)
    few = trees.static(bench.folder / "few", few_files)
    slow = PACKAGES[1:]
    for delay in delays:
        for transfer in (
            Transfer("collectstatic", large, [OWN, *slow[:2], *SYNCS]),
            Transfer("collectstatic with hashes", large, [OWN], hashed=True),
            Transfer("few files", few, [OWN, *slow]),
            Transfer("few files with hashes", few, [OWN, *slow], hashed=True),
        ):
            transfers(bench, transfer, delay)


def copying(bench: Bench, name: str, files: int, delays: list[int]) -> None:
    """Measure storages_copy against the programs that do the same."""
    tree = trees.plain(bench.folder / name, files)

    def command(python: str) -> list[str]:
        copy = ["storages_copy", "default", "target", "--verbosity", "0"]
        return [python, "-m", "django", *copy]

    for delay in delays:
        transfers(bench, Transfer(name, tree, [OWN, *SYNCS], command=command), delay)


# -- single calls ---------------------------------------------------------------------------------

CALLERS = [OWN, BARE, "django-storages", "django-s3-storage"]


class Caller:
    """A process that measures the calls of one peer."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin
        assert process.stdout
        self._process = process
        self._in: IO[str] = process.stdin
        self._out: IO[str] = process.stdout
        self._answer()

    def measure(self, repeats: int) -> dict[str, Any]:
        """Have each call made so many times."""
        print(repeats, file=self._in, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        if not (line := self._out.readline()):
            raise RuntimeError("A process that measures calls has ended; see above.")
        found: dict[str, Any] = json.loads(line)
        return found


@contextmanager
def caller(bench: Bench, peer: str) -> Iterator[Caller]:
    """Start a process that measures a peer's calls, in the peer's environment."""
    command = [str(bench.peers.python(peer)), str(SITE / "calls.py")]
    env = environment(peer, bench.meter.url, bench.folder)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield Caller(process)
        finally:
            process.kill()


def calling(bench: Bench, rounds: int, repeats: int) -> None:
    """Measure single calls, with no delay: their cost is the client's CPU time."""
    assert isinstance(bench.meter, Responder)
    bench.meter.reset(0)
    bench.meter.plant("many/x", 10_000, 1)
    bench.meter.plant("large", 1, 8 * MIB)
    with ExitStack() as stack:
        callers = {peer: stack.enter_context(caller(bench, peer)) for peer in CALLERS}
        for number, peer in product(range(rounds), CALLERS):
            bench.tell(f"calls, round {number + 1}: {peer}")
            found = callers[peer].measure(repeats)
            for name, took in found["calls"].items():
                bench.figures.of(name, peer).add({**took, "memory": found["memory"]})


IMPORTED = {
    OWN: "storages.backends.s3boto3",
    BARE: "boto3",
    "django-storages": "storages.backends.s3boto3",
    "django-s3-storage": "django_s3_storage.storage",
}


def importing(bench: Bench, rounds: int) -> None:
    """Measure a start of Python that imports a package, after what Django imports for storages."""
    for _ in range(rounds):
        for peer, module in IMPORTED.items():
            code = f"import django.core.files.storage, {module}"
            env = environment(peer if peer in PACKAGES else OWN, bench.meter.url, bench.folder)
            found = run([str(bench.peers.python(peer)), "-c", code], env)
            bench.figures.of("import", peer).add(found)
