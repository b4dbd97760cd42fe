"""Azure against Azurite: requests, time and memory, beside the SDK used bare."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from azure.storage.blob import BlobServiceClient
from django.core.files.base import ContentFile

from benchmarks.report import MIB, Row, memory_rows, print_table, progress, read
from storages.backends.azure_storage import AzureStorage
from tests.servers.azurite import Azurite
from tests.servers.http import HTTPProxy

CONTAINER = "benchmark"
LIMIT = 1.3  # times what the SDK takes


def main() -> bool:
    """Print the table; tell whether all targets were met."""
    with Azurite() as server, HTTPProxy(*server.address) as proxy:
        credential = {"account_name": server.account, "account_key": server.key}
        bare = BlobServiceClient(server.url, credential=credential)
        bare.create_container(CONTAINER)
        options: dict[str, Any] = {
            "azure_container": CONTAINER,
            "account_key": server.key,
            "file_overwrite": True,
        }
        storage = AzureStorage(account_url=server.url, **options)
        counted = AzureStorage(account_url=f"{proxy.url}/{server.account}", **options)
        rows = [
            *request_rows(counted, proxy),
            *memory_rows(storage),
            *time_rows(storage, bare),
            clients_row(server.url, options),
        ]
    return print_table("Azure on Azurite", rows)


def request_rows(storage: AzureStorage, proxy: HTTPProxy) -> list[Row]:
    """Count the requests of each operation."""
    progress("requests")

    def count(operation: str, call: Callable[[], object], target: str) -> Row:
        proxy.requests.clear()
        call()
        made = [request.method for request in proxy.requests]
        text = " + ".join(f"{made.count(method)} {method}" for method in dict.fromkeys(made)) or "0"
        return Row(operation, text, target, text == target)

    return [
        count("save 1 KiB", lambda: storage.save("1", ContentFile(bytes(1024))), "1 PUT"),
        count("read 1 KiB", lambda: read(storage, "1"), "1 GET"),
        count("exists", lambda: storage.exists("1"), "1 HEAD"),
        count("size", lambda: storage.size("1"), "1 HEAD"),
        count("url", lambda: storage.url("1"), "0"),
        count("signed url", lambda: storage.url("1", expire=60), "0"),
    ]


def time_rows(storage: AzureStorage, bare: BlobServiceClient) -> list[Row]:
    """Compare saves and reads with the fastest of the SDK's own ways, and with checked saves.

    A storage has each request checked by its MD5, which the SDK does if it is told to.
    """
    rows = []
    for size, name, repeats in ((1024, "1 KiB", 300), (64 * MIB, "64 MiB", 5)):
        progress(f"time of {name}")
        blob = bare.get_blob_client(CONTAINER, "timed")
        content = os.urandom(size)

        def save(content: bytes = content) -> object:
            return storage.save("timed", ContentFile(content))

        def upload(
            workers: int, content: bytes = content, blob: Any = blob, *, is_checked: bool = False
        ) -> object:
            more = {"max_concurrency": workers, "validate_content": is_checked}
            return blob.upload_blob(content, overwrite=True, **more)

        def download(workers: int, blob: Any = blob) -> object:
            return blob.download_blob(max_concurrency=workers).readall()

        workers = (1,) if size < MIB else (1, 2)
        uploads = [partial(upload, each) for each in workers]
        checked = [partial(upload, each, is_checked=True) for each in workers]
        downloads = [partial(download, each) for each in workers]
        rows += [
            ratio_row(f"save {name}", save, uploads, repeats),
            ratio_row(f"save {name}, both checked", save, checked, repeats),
            ratio_row(f"read {name}", lambda: read(storage, "timed"), downloads, repeats),
        ]
    return rows


def ratio_row(
    operation: str, call: Callable[[], object], bare: Sequence[Callable[[], object]], repeats: int
) -> Row:
    """Show the time of a call over that of the fastest of others: medians of calls in turns."""
    taken: list[list[float]] = [[] for _ in range(len(bare) + 1)]
    for _ in range(repeats):
        for times, each in zip(taken, (call, *bare), strict=True):
            begin = time.perf_counter()
            each()
            times.append(time.perf_counter() - begin)
    own, *others = map(statistics.median, taken)
    ratio = own / min(others)
    return Row(operation, f"{ratio:.2f} x the SDK", f"≤ {LIMIT} x", ratio <= LIMIT)


def clients_row(url: str, options: dict[str, Any]) -> Row:
    """Use a hundred storages of one configuration."""
    storages = [AzureStorage(account_url=url, **options) for _ in range(100)]
    clients = {id(each.service_client) for each in storages if each.exists("1")}
    return Row("100 storages", f"{len(clients)} client", "1 client", len(clients) == 1)
