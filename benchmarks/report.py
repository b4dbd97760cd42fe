"""Measuring a call, and the table that shows it against its target."""

from __future__ import annotations

import hashlib
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from django.core.files.base import ContentFile, File
from django.core.files.storage import Storage

from tests.servers.http import HTTPProxy

MIB = 1024 * 1024  # bytes
LARGE = 256 * MIB


@dataclass
class Row:
    """One line of a table: what was measured, the result, the target, and whether it was met."""

    operation: str
    result: str
    target: str
    is_met: bool


class Mixed(NamedTuple):
    """What many threads did, and the most of something that one of them saw."""

    rounds: int
    most: int


def print_table(title: str, rows: list[Row]) -> bool:
    """Print the rows and tell whether all targets were met."""
    widths = [
        max(len(getattr(row, name)) for row in rows) for name in ("operation", "result", "target")
    ]
    print(f"\n{title}\n{'-' * len(title)}")
    for row in rows:
        cells = (row.operation, row.result, row.target)
        line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        print(f"{line}  {'met' if row.is_met else 'MISSED'}")
    sys.stdout.flush()
    return all(row.is_met for row in rows)


def progress(text: str) -> None:
    """Say what is being measured, where a person watches."""
    if sys.stderr.isatty():
        print(f"… {text}", file=sys.stderr)


def cpu_of(call: Callable[[], object]) -> float:
    """Return the CPU time of this process that a call takes, in seconds."""
    start = time.process_time()
    call()
    return time.process_time() - start


def cpu_ratio(call: Callable[[], object], bare: Callable[[], object], repeats: int) -> float:
    """Return the CPU time of ``call`` over that of ``bare``: the medians of alternating calls."""
    for _ in range(repeats // 10):
        call(), bare()
    # In turns, so that what else this machine does meets both alike.
    times = [(cpu_of(call), cpu_of(bare)) for _ in range(repeats)]
    return statistics.median(own for own, _ in times) / statistics.median(
        other for _, other in times
    )


def peak_memory_of(call: Callable[[], object]) -> int:
    """Return by how many bytes a call raises the memory of this process, in a child of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        before = _peak()
        call()
        os.write(writer, str(_peak() - before).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    if not text:
        raise RuntimeError("The measured call failed in its process; see above.")
    return int(text)


def _peak() -> int:
    """Return the most memory this process has had resident, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def mixed(storage: Storage, threads: int, seconds: float, look: Callable[[], int] = int) -> Mixed:
    """Save, read, list and delete from many threads through one storage; errors are raised."""
    progress(f"{threads} threads for {seconds:.0f} seconds")
    until = time.monotonic() + seconds

    def work(number: int) -> Mixed:
        name, done, most = f"threads/{number}", 0, 0
        while time.monotonic() < until:
            content = os.urandom(10_000)
            storage.save(name, ContentFile(content))
            with storage.open(name) as file:
                most = max(most, look())
                assert file.read() == content
            assert str(number) in storage.listdir("threads")[1]
            storage.delete(name)
            done += 1
        return Mixed(done, most)

    with ThreadPoolExecutor(threads) as pool:
        found = list(pool.map(work, range(threads)))
    return Mixed(sum(each.rounds for each in found), max(each.most for each in found))


def mixed_row(storage: Storage, look: Callable[[], int], limit: int) -> Row:
    """Show how many connections 16 threads use in a minute."""
    found = mixed(storage, 16, 60, look)
    result = f"{found.rounds} rounds, no error, {found.most} connections"
    return Row("16 threads, 60 s", result, f"at most {limit} connections", found.most <= limit)


def sparse_file(path: Path, size: int) -> Path:
    """Make a file of ``size`` bytes whose blocks differ, without holding it in memory."""
    with path.open("wb") as file:
        for number in range(size // MIB):
            file.write(number.to_bytes(8, "big") * (MIB // 8))
    return path


def read(storage: Storage, name: str) -> bytes:
    """Read a whole file."""
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


def requests_row(proxy: HTTPProxy, operation: str, call: Callable[[], object], target: int) -> Row:
    """Count the requests of an operation."""
    proxy.requests.clear()
    call()
    made = len(proxy.requests)
    return Row(operation, f"{made} requests", str(target), made == target)


def memory_row(operation: str, used: int, limit: int = 64) -> Row:
    """Show a peak of memory."""
    return Row(operation, f"{used / MIB:.0f} MiB more", f"≤ {limit} MiB", used <= limit * MIB)


def memory_rows(storage: Storage) -> list[Row]:
    """Save and read 256 MiB as "large"; first, since what a process once took it keeps."""
    progress("memory of 256 MiB")

    def save() -> None:
        with large.open("rb") as file:
            storage.save("large", File(file))

    def stream() -> None:
        digest = hashlib.sha256()
        with storage.open("large") as file:
            for chunk in file.chunks(MIB):
                digest.update(chunk)

    with tempfile.TemporaryDirectory() as folder:
        large = sparse_file(Path(folder, "large"), LARGE)
        used = {"save 256 MiB": peak_memory_of(save), "read 256 MiB": peak_memory_of(stream)}
    return [memory_row(operation, each) for operation, each in used.items()]
