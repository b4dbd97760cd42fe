"""Dropbox on the stub: requests counted by a proxy, time against the bare SDK, memory, clients."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.files.base import ContentFile
from dropbox import Dropbox
from dropbox.files import WriteMode

from benchmarks.report import (
    MIB,
    Row,
    cpu_ratio,
    memory_rows,
    print_table,
    progress,
    read,
    requests_row,
)
from tests.backends.dropbox.server import StubbedStorage
from tests.servers.dropbox_stub import DropboxStub
from tests.servers.http import HTTPProxy

TOKEN = "good-benchmark"


def main() -> bool:
    """Print the table; return True if all targets were met."""
    with DropboxStub() as server, HTTPProxy(*server.address) as proxy:
        storage = StubbedStorage(TOKEN, endpoint=server.url, file_overwrite=True)
        counted = StubbedStorage(TOKEN, endpoint=proxy.url, file_overwrite=True)
        # The client is made before memory is measured.
        storage.exists("large")
        memory = memory_rows(storage)
        server.plant("benchmark", [f"/many/{number}" for number in range(5000)])
        rows = [*request_rows(counted, proxy), *time_rows(storage), *memory, instances_row(storage)]
    return print_table("Dropbox on a stub of our own", rows)


def request_rows(storage: StubbedStorage, proxy: HTTPProxy) -> list[Row]:
    """Count the requests of each operation."""
    progress("requests")

    count = partial(requests_row, proxy)
    content = os.urandom(1024)
    return [
        count("save 1 KiB", lambda: storage.save("small", ContentFile(content)), 1),
        count("save 64 MiB", lambda: storage.save("64", ContentFile(content * 65_536)), 18),
        count("open and read 1 KiB", lambda: read(storage, "small"), 1),
        count("open and read 64 MiB", lambda: read(storage, "64"), 1),
        count("exists", lambda: storage.exists("small"), 1),
        count("size", lambda: storage.size("small"), 1),
        count("url", lambda: storage.url("small"), 1),
        count("listdir of 5,000", lambda: storage.listdir("many"), 3),
    ]


def time_rows(storage: StubbedStorage) -> list[Row]:
    """Compare with the SDK's fastest calls: small files by CPU time, large ones by the clock."""
    bare = Dropbox(TOKEN, session=storage.make_session())
    rows = []
    for size, name in ((1024, "1 KiB"), (64 * MIB, "64 MiB")):
        progress(f"time of {name}")
        content, is_small = os.urandom(size), size < MIB

        def save(content: bytes = content) -> object:
            return storage.save("cpu", ContentFile(content))

        def upload(content: bytes = content) -> object:
            return bare.files_upload(content, "/cpu", mode=WriteMode.overwrite)

        def download() -> object:
            # The SDK leaves the comparison with the hash to who calls it.
            metadata, answer = bare.files_download("/cpu")
            assert len(answer.content) == metadata.size
            return metadata

        for what, own, other in (
            ("save", save, upload),
            ("read", lambda: read(storage, "cpu"), download),
        ):
            ratio = cpu_ratio(own, other, 300) if is_small else clock_ratio(own, other, 9)
            operation = f"{'CPU' if is_small else 'time'} of a {what} of {name}"
            rows.append(Row(operation, f"{ratio:.2f} x SDK", "≤ 1.3 x", ratio <= 1.3))
    return rows


def clock_ratio(call: Callable[[], object], bare: Callable[[], object], repeats: int) -> float:
    """Return the time of ``call`` over that of ``bare``: the medians of alternating calls."""

    def seconds(each: Callable[[], object]) -> float:
        start = time.perf_counter()
        each()
        return time.perf_counter() - start

    times = [(seconds(call), seconds(bare)) for _ in range(repeats)]
    return statistics.median(own for own, _ in times) / statistics.median(
        other for _, other in times
    )


def instances_row(first: StubbedStorage) -> Row:
    """Use a hundred storages of one configuration."""
    progress("a hundred storages")
    options: dict[str, Any] = {"endpoint": first.endpoint, "file_overwrite": True}
    instances = [StubbedStorage(TOKEN, **options) for _ in range(100)]
    for each in instances:
        each.exists("small")
    clients = len({id(each.client) for each in (first, *instances)})
    return Row("100 storages, used", f"{clients} client", "1", clients == 1)
