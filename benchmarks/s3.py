"""S3 against SeaweedFS: requests counted by a proxy, CPU against bare boto3, memory, threads."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.core.files.base import ContentFile, File

from benchmarks.report import (
    MIB,
    Row,
    cpu_ratio,
    mixed,
    peak_memory_of,
    print_table,
    progress,
    sparse_file,
)
from storages.backends.s3boto3 import S3Boto3Storage
from storages.files import READ_AHEAD
from tests.servers.http import HTTPProxy
from tests.servers.process import HOST
from tests.servers.seaweedfs import SeaweedFS

LARGE = 256 * MIB
THREADS = 32
SECONDS = 20


def main() -> bool:
    """Print the table; tell whether all targets were met."""
    with SeaweedFS() as server, HTTPProxy(HOST, server.port) as proxy:
        options: dict[str, Any] = {
            "bucket_name": "benchmark",
            "access_key": server.access_key,
            "secret_key": server.secret_key,
            "region_name": "us-east-1",
            "auto_create_bucket": True,
        }
        storage = S3Boto3Storage(endpoint_url=server.url, **options)
        counted = S3Boto3Storage(endpoint_url=proxy.url, **options)
        storage.save("start", ContentFile(b"start"))
        with tempfile.TemporaryDirectory() as folder:
            large = sparse_file(Path(folder, "large"), LARGE)
            memory = memory_rows(storage, large)
        rows = [
            *request_rows(counted, proxy),
            *cpu_rows(storage),
            *memory,
            instances_row(server.url, options),
            threads_row(storage),
        ]
    return print_table("S3 on SeaweedFS", rows)


def request_rows(storage: S3Boto3Storage, proxy: HTTPProxy) -> list[Row]:
    """Count the requests of each operation."""
    progress("requests")

    def count(operation: str, call: Callable[[], object], target: str) -> Row:
        proxy.requests.clear()
        call()
        made = [request.method for request in proxy.requests]
        text = " + ".join(f"{made.count(method)} {method}" for method in dict.fromkeys(made))
        return Row(operation, text or "0", target, (text or "0") == target)

    def read_start() -> None:
        with storage.open("large") as file:
            file.read(64 * 1024)

    storage.save("small", ContentFile(b"x" * READ_AHEAD))
    rows = [
        count("save 8 MiB", lambda: storage.save("8", ContentFile(bytes(8 * MIB))), "1 PUT"),
        count("open and read 256 KiB", lambda: read(storage, "small"), "1 GET"),
        count("open 256 MiB, read 64 KiB", read_start, "1 GET"),
    ]
    sent = sum(request.bytes_out for request in proxy.requests)
    rows.append(Row("  transferred", f"{sent // 1024} KiB", "≤ 512 KiB", sent <= 512 * 1024))
    rows += [
        count("exists", lambda: storage.exists("small"), "1 HEAD"),
        count("size", lambda: storage.size("small"), "1 HEAD"),
        count("get_modified_time", lambda: storage.get_modified_time("small"), "1 HEAD"),
        count("url", lambda: storage.url("small"), "0"),
    ]
    plant(storage, 10_000)
    return [*rows, count("listdir of 10,000", lambda: storage.listdir("many"), "10 GET")]


def cpu_rows(storage: S3Boto3Storage) -> list[Row]:
    """Compare the CPU time of saves and reads with boto3's own calls."""
    client, bucket = storage.client, storage.bucket_name
    rows = []
    for size, name in ((1024, "1 KiB"), (READ_AHEAD, "256 KiB"), (8 * MIB, "8 MiB")):
        progress(f"CPU of {name}")
        content, repeats = os.urandom(size), 1000 if size < MIB else 50

        def save(content: bytes = content) -> object:
            return storage.save("cpu", ContentFile(content))

        def put(content: bytes = content) -> object:
            return client.put_object(Bucket=bucket, Key="cpu", Body=content)

        def get() -> object:
            return client.get_object(Bucket=bucket, Key="cpu")["Body"].read()

        rows.append(ratio_row(f"CPU of a save of {name}", cpu_ratio(save, put, repeats), 1.2))
        if size <= READ_AHEAD:
            ratio = cpu_ratio(lambda: read(storage, "cpu"), get, repeats)
            rows.append(ratio_row(f"CPU of a read of {name}", ratio, 1.3))
    return rows


def ratio_row(operation: str, ratio: float, limit: float) -> Row:
    """Show a ratio to bare boto3."""
    return Row(operation, f"{ratio:.2f} x boto3", f"≤ {limit} x", ratio <= limit)


def memory_rows(storage: S3Boto3Storage, large: Path) -> list[Row]:
    """Save and read 256 MiB."""
    progress("memory of 256 MiB")

    def save() -> None:
        with large.open("rb") as file:
            storage.save("large", File(file))

    def stream() -> None:
        with storage.open("large") as file:
            digest = hashlib.sha256()
            for chunk in file.chunks(MIB):
                digest.update(chunk)

    return [
        memory_row("save 256 MiB", peak_memory_of(save)),
        memory_row("read 256 MiB", peak_memory_of(stream)),
    ]


def memory_row(operation: str, used: int, limit: int = 64) -> Row:
    """Show a peak of memory."""
    return Row(operation, f"{used / MIB:.0f} MiB more", f"≤ {limit} MiB", used <= limit * MIB)


def instances_row(url: str, options: dict[str, Any]) -> Row:
    """Use a hundred storages of one configuration."""
    progress("a hundred storages")

    def use_all() -> None:
        for each in instances:
            each.exists("start")

    first = S3Boto3Storage(endpoint_url=url, **options)
    first.exists("start")
    instances = [S3Boto3Storage(endpoint_url=url, **options) for _ in range(100)]
    used = peak_memory_of(use_all)
    clients = {id(each.client) for each in (first, *instances)}
    row = memory_row("100 storages, used", used, limit=5)
    row.result += f", {len(clients)} client"
    return row


def threads_row(storage: S3Boto3Storage) -> Row:
    """Use one storage from many threads."""
    used = peak_memory_of(lambda: mixed(storage, THREADS, SECONDS))
    return memory_row(f"{THREADS} threads, {SECONDS} s", used, limit=32)


def read(storage: S3Boto3Storage, name: str) -> bytes:
    """Read a whole file."""
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


def plant(storage: S3Boto3Storage, count: int) -> None:
    """Save many small files, several at a time."""
    progress(f"planting {count} files")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: storage.save(f"many/{n}", ContentFile(b"x")), range(count)))
