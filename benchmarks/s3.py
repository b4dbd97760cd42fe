"""S3 against SeaweedFS, and against a meter: requests, CPU against bare boto3, memory, threads."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from django.core.files.base import ContentFile

from benchmarks.meter import responder
from benchmarks.report import (
    MIB,
    Row,
    cpu_ratio,
    memory_row,
    memory_rows,
    mixed,
    peak_memory_of,
    print_table,
    progress,
    read,
)
from storages.backends.s3boto3 import S3Boto3Storage
from storages.reader import READ_AHEAD
from tests.servers.http import HTTPProxy
from tests.servers.process import HOST
from tests.servers.seaweedfs import SeaweedFS

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
        memory = memory_rows(storage)
        rows = [
            *meter_rows(),
            *request_rows(counted, proxy),
            *cpu_rows(storage),
            *memory,
            instances_row(server.url, options),
            threads_row(storage),
        ]
    return print_table("S3 on SeaweedFS", rows)


def meter_rows() -> list[Row]:
    """Compare CPU times with boto3's on a meter, which costs less than any server."""
    progress("CPU on a meter")
    with responder() as url:
        keys = {"access_key": "key", "secret_key": "secret", "region_name": "us-east-1"}
        place: dict[str, Any] = {"bucket_name": "meter", "endpoint_url": url, **keys}
        storage, target = S3Boto3Storage(**place), {"Bucket": "meter", "Key": "a.txt"}
        client = storage.client
        storage.save("8", ContentFile(os.urandom(8 * MIB)))
        storage.save("a.txt", ContentFile(bytes(1024)))

        def sign() -> object:
            return client.generate_presigned_url("get_object", Params=target)

        def get(name: str = "a.txt") -> object:
            return client.get_object(Bucket="meter", Key=name)["Body"].read()

        def put() -> object:
            return client.put_object(Body=bytes(1024), ContentType="text/plain", **target)

        rows = [
            meter_row("signed URL", hundred(lambda: storage.url("a.txt")), hundred(sign), 0.06, 50),
            meter_row("save 1 KiB", lambda: storage.save("a.txt", ContentFile(bytes(1024))), put),
            meter_row("read 1 KiB", lambda: read(storage, "a.txt"), get),
            meter_row(
                "exists", lambda: storage.exists("a.txt"), lambda: client.head_object(**target)
            ),
            meter_row("size", lambda: storage.size("a.txt"), lambda: client.head_object(**target)),
            meter_row("read 8 MiB", lambda: read(storage, "8"), lambda: get("8"), 1.1, 40),
            threads_ratio_row(storage, client),
            meter_row(
                "delete", lambda: storage.delete("a.txt"), lambda: client.delete_object(**target)
            ),
            *url_rows(place, sign),
        ]
        return [*rows, listing_row(storage, client)]


def meter_row(
    operation: str,
    call: Callable[[], object],
    bare: Callable[[], object],
    limit: float = 0.45,
    repeats: int = 500,
) -> Row:
    """Compare a call's CPU time with boto3's."""
    return ratio_row(f"meter: {operation}", cpu_ratio(call, bare, repeats), limit)


def hundred(call: Callable[[], object]) -> Callable[[], object]:
    """Return what makes a hundred calls, where one takes little more than looking at the clock."""
    return lambda: [call() for _ in range(100)]


def url_rows(place: dict[str, Any], sign: Callable[[], object]) -> list[Row]:
    """Compare URLs that are not signed."""
    plain = S3Boto3Storage(querystring_auth=False, **place)
    domain = S3Boto3Storage(custom_domain="cdn.example", **place)
    return [
        meter_row("plain URL", hundred(lambda: plain.url("a.txt")), hundred(sign), 0.1, 50),
        meter_row(
            "URL of a custom domain", hundred(lambda: domain.url("a.txt")), hundred(sign), 0.1, 50
        ),
    ]


def listing_row(storage: S3Boto3Storage, client: Any) -> Row:
    """List ten thousand files."""
    plant(storage, 10_000)
    pages = client.get_paginator("list_objects_v2")

    def walk() -> object:
        return [
            each["Key"]
            for page in pages.paginate(Bucket="meter", Prefix="many/", Delimiter="/")
            for each in page["Contents"]
        ]

    return meter_row("listdir of 10,000", lambda: storage.listdir("many"), walk, 0.15, 10)


def threads_ratio_row(storage: S3Boto3Storage, client: Any, seconds: float = 5) -> Row:
    """Count what 32 threads save, read and delete through one storage, and through boto3."""

    def ours(name: str) -> None:
        storage.save(name, ContentFile(bytes(1024)))
        read(storage, name)
        storage.delete(name)

    def theirs(name: str) -> None:
        client.put_object(Bucket="meter", Key=name, Body=bytes(1024))
        client.get_object(Bucket="meter", Key=name)["Body"].read()
        client.delete_object(Bucket="meter", Key=name)

    counts = []
    for work in (ours, theirs):
        until = time.monotonic() + seconds

        def rounds(number: int, work: Callable[[str], None] = work, until: float = until) -> int:
            done = 0
            while time.monotonic() < until:
                work(f"threads/{number}")
                done += 1
            return done

        with ThreadPoolExecutor(THREADS) as pool:
            counts.append(sum(pool.map(rounds, range(THREADS))))
    ratio = counts[0] / counts[1]
    return Row(f"meter: {THREADS} threads", f"{ratio:.2f} x boto3", "≥ 2.5 x", ratio >= 2.5)


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
        count("exists", lambda: storage.exists("small"), "1 GET"),
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


def plant(storage: S3Boto3Storage, count: int) -> None:
    """Save many small files, several at a time."""
    progress(f"planting {count} files")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: storage.save(f"many/{n}", ContentFile(b"x")), range(count)))
