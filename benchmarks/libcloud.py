"""Libcloud on moto and Azurite: requests, time and memory, beside its own drivers used bare."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.files.base import ContentFile
from libcloud.storage.base import Container, StorageDriver

from benchmarks.azure import ratio_row
from benchmarks.report import MIB, Row, memory_rows, print_table, progress, read, requests_row
from storages.backends.apache_libcloud import LibCloudStorage
from tests.backends.apache_libcloud.server import azure_entry, s3_entry
from tests.servers.azurite import Azurite
from tests.servers.http import HTTPProxy
from tests.servers.moto import Moto

BUCKET = "benchmark"


def main() -> bool:
    """Print a table for each service; tell whether all targets were met."""
    return all(
        [measured("S3 on moto", Moto(), s3_entry), measured("Azurite", Azurite(), azure_entry)]
    )


def measured(name: str, server: Any, entry: Callable[..., dict[str, Any]]) -> bool:
    """Print the table of one service."""
    with server, HTTPProxy(*server.address) as proxy:
        options = {"bucket": BUCKET, "file_overwrite": True}
        storage = LibCloudStorage(**entry(server, **options))
        storage.driver.create_container(BUCKET)
        counted = LibCloudStorage(**entry(server, proxy, **options))
        rows = [
            *request_rows(counted, proxy),
            *memory_rows(storage),
            *time_rows(storage),
        ]
    return print_table(f"Libcloud, {name}", rows)


def request_rows(storage: LibCloudStorage, proxy: HTTPProxy) -> list[Row]:
    """Count the requests of each operation."""
    progress("requests")

    count = partial(requests_row, proxy)
    return [
        count("save 1 KiB", lambda: storage.save("1", ContentFile(bytes(1024))), 1),
        count("read 1 KiB", lambda: read(storage, "1"), 1),
        count("exists", lambda: storage.exists("1"), 1),
        count("size", lambda: storage.size("1"), 1),
        count("url", lambda: storage.url("1"), 0),
        count("listdir", lambda: storage.listdir(""), 1),
        count("delete", lambda: storage.delete("1"), 1),
    ]


def time_rows(storage: LibCloudStorage) -> list[Row]:
    """Compare saves and reads with those of a driver."""
    driver: StorageDriver = storage.driver
    container = Container(BUCKET, {}, driver)
    rows = []
    for size, name, repeats in ((1024, "1 KiB", 100), (64 * MIB, "64 MiB", 3)):
        progress(f"time of {name}")
        content = os.urandom(size)

        def save(content: bytes = content) -> object:
            return storage.save("timed", ContentFile(content))

        def upload(content: bytes = content) -> object:
            return driver.upload_object_via_stream(io.BytesIO(content), container, "timed")

        def download() -> object:
            stored = driver.get_object(BUCKET, "timed")
            return b"".join(driver.download_object_as_stream(stored))

        rows += [
            ratio_row(f"save {name}", save, [upload], repeats),
            ratio_row(f"read {name}", lambda: read(storage, "timed"), [download], repeats),
        ]
    return rows
