"""Serving under gunicorn and uvicorn: time next to Django's FileResponse, memory, bytes moved."""

from __future__ import annotations

import statistics
import tempfile
import time
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tests.backends.s3boto3.server import RawBucket
from tests.servers.http import HTTPProxy
from tests.servers.moto import Moto
from tests.servers.process import HOST
from tests.servers.sites import Gunicorn, Site, Uvicorn

from .report import MIB, Row, print_table, progress, sparse_file

LARGE = 64 * MIB
ROUNDS = 15
MOST_RATIO = 1.2
MOST_MEMORY = 16 * MIB
MOST_MOVED = 512 * 1024  # bytes, of a range of 1 KiB


def main() -> bool:
    """Measure, print the table, tell whether all targets were met."""
    rows: list[Row] = []
    with (
        tempfile.TemporaryDirectory() as directory,
        Moto() as server,
        RawBucket(server) as raw,
        HTTPProxy(*server.address) as front,
    ):
        sparse_file(Path(directory, "large.mp4"), LARGE)
        raw.put("large.mp4", bytes(LARGE))
        local = entry("overwrite.OverwriteStorage", location=directory)
        account = {"access_key": server.access_key, "secret_key": server.secret_key}
        s3 = entry(
            "s3boto3.S3Boto3Storage", bucket_name=raw.bucket, endpoint_url=front.url, **account
        )
        for kind in (Gunicorn, Uvicorn):
            progress(kind.name)
            with kind(local) as site:
                rows += [ratio(site), memory(site, "a local file")]
            with kind(s3) as site:
                rows += [memory(site, "a file on S3 (moto)"), moved(site, front)]
    return print_table("Serving", rows)


def entry(backend: str, **options: Any) -> dict[str, Any]:
    """Return an entry of STORAGES."""
    return {"BACKEND": f"storages.backends.{backend}", "OPTIONS": options}


def get(site: Site, path: str, **headers: str) -> int:
    """Take a file, and return how many bytes there were."""
    with closing(HTTPConnection(HOST, site.port, timeout=60)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        size = 0
        while piece := answer.read(MIB):
            size += len(piece)
        return size


def seconds(site: Site, path: str) -> float:
    """Return how long it takes to get the large file."""
    begun = time.perf_counter()
    if get(site, path) != LARGE:
        raise SystemExit(f"{path} is not whole")
    return time.perf_counter() - begun


def ratio(site: Site) -> Row:
    """Compare with Django's own, in turns."""
    pairs = [
        (seconds(site, "/media/large.mp4"), seconds(site, "/plain/large.mp4"))
        for _ in range(ROUNDS)
    ]
    ours = statistics.median(own for own, _ in pairs)
    found = ours / statistics.median(other for _, other in pairs)
    return Row(
        f"{site.name}: 64 MiB from disk, time next to FileResponse",
        f"{found:.2f} x, {LARGE / MIB / ours:.0f} MiB/s",
        f"at most {MOST_RATIO} x",
        found <= MOST_RATIO,
    )


def memory(site: Site, what: str) -> Row:
    """Tell by how much the large file raises the memory of the site."""
    get(site, "/media/large.mp4", Range="bytes=0-1023")
    before = site.peak()
    get(site, "/media/large.mp4")
    grown = site.peak() - before
    return Row(
        f"{site.name}: memory for 64 MiB of {what}",
        f"{grown / MIB:.1f} MiB",
        f"at most {MOST_MEMORY // MIB} MiB",
        grown <= MOST_MEMORY,
    )


def moved(site: Site, front: HTTPProxy) -> Row:
    """Count what a small range in the middle takes from S3."""
    front.requests.clear()
    middle = LARGE // 2
    if get(site, "/media/large.mp4", Range=f"bytes={middle}-{middle + 1023}") != 1024:
        raise SystemExit("The range is not whole")
    count = sum(each.bytes_out for each in front.requests)
    return Row(
        f"{site.name}: moved from S3 for a range of 1 KiB",
        f"{count} bytes in {len(front.requests)} requests",
        f"under {MOST_MOVED} bytes",
        count < MOST_MOVED,
    )
