"""Measure calls of the package named by PEER: a line of JSON in, a line of JSON out.

It runs in the environment of that package, so it imports nothing of this project by path.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any

import boto3
import botocore
import django
import django.conf
from botocore.config import Config

settings: Any = django.conf.settings
SMALL = os.urandom(1024)
LARGE = "large"  # 8 MiB, planted
THREADS = 32
DOMAIN = "cdn.example.com"

Call = Callable[[str], object]


def client(**config: Any) -> Any:
    """Return a client of boto3 with as many connections as there are threads."""
    return boto3.client(
        "s3",
        endpoint_url=os.environ["S3_URL"],
        region_name="us-east-1",
        config=Config(max_pool_connections=THREADS, s3={"addressing_style": "path"}, **config),
    )


def bare() -> dict[str, Call]:
    """Return the calls of bare boto3."""
    s3, public, bucket = client(), client(signature_version=botocore.UNSIGNED), settings.BUCKET

    def link(signer: Any, name: str) -> object:
        return signer.generate_presigned_url("get_object", {"Bucket": bucket, "Key": name})

    def listdir(name: str) -> object:
        pages = s3.get_paginator("list_objects_v2").paginate(
            Bucket=bucket, Prefix=f"{name}/", Delimiter="/"
        )
        return [each["Key"] for page in pages for each in page["Contents"]]

    return {
        "signed url()": lambda name: link(s3, name),
        "unsigned url()": lambda name: link(public, name),
        "save": lambda name: s3.put_object(Bucket=bucket, Key=name, Body=SMALL),
        "read": lambda name: s3.get_object(Bucket=bucket, Key=name)["Body"].read(),
        "exists": lambda name: s3.head_object(Bucket=bucket, Key=name),
        "delete": lambda name: s3.delete_object(Bucket=bucket, Key=name),
        "listdir": listdir,
    }


def packaged() -> dict[str, Call]:
    """Return the calls of a Django package."""
    from django.core.files.base import ContentFile  # noqa: PLC0415 - Django is set up by now

    if settings.PEER == "django-s3-storage":
        cls = import_module("django_s3_storage.storage").S3Storage
        storage, public = cls(), cls(aws_s3_bucket_auth=False)
        domain = cls(aws_s3_bucket_auth=False, aws_s3_public_url=f"https://{DOMAIN}/")
    else:
        cls = import_module("storages.backends.s3").S3Storage
        storage = cls(**settings.OPTIONS)
        public = cls(**settings.OPTIONS, querystring_auth=False)
        domain = cls(**settings.OPTIONS, custom_domain=DOMAIN, querystring_auth=False)

    def read(name: str) -> object:
        with storage.open(name) as file:
            return file.read()

    return {
        "signed url()": storage.url,
        "unsigned url()": public.url,
        "custom domain url()": domain.url,
        "save": lambda name: storage.save(name, ContentFile(SMALL)),
        "read": read,
        "exists": storage.exists,
        "delete": storage.delete,
        "listdir": storage.listdir,
    }


def timed(call: Call, names: list[str]) -> dict[str, float]:
    """Return seconds and CPU seconds per call."""
    wall, cpu = time.perf_counter(), time.process_time()
    for name in names:
        call(name)
    spent = time.perf_counter() - wall, time.process_time() - cpu
    return dict(zip(("seconds", "cpu"), (each / len(names) for each in spent), strict=True))


def threads(calls: dict[str, Call], seconds: float) -> dict[str, float]:
    """Save, read and delete in many threads through one instance; return seconds per call."""
    until = time.monotonic() + seconds

    def work(number: int) -> int:
        name, done = f"threads/{number}", 0
        while not done or time.monotonic() < until:
            for each in ("save", "read", "delete"):
                calls[each](name)
                done += 1
        return done

    wall, cpu = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(THREADS) as pool:
        count = sum(pool.map(work, range(THREADS)))
    spent = time.perf_counter() - wall, time.process_time() - cpu
    return {"seconds": spent[0] / count, "cpu": spent[1] / count}


def measure(calls: dict[str, Call], repeats: int) -> Iterator[tuple[str, dict[str, float]]]:
    """Measure each call once; yield its name and what it took."""
    names = [f"small/{number}" for number in range(repeats)]
    for kind in ("signed url()", "unsigned url()", "custom domain url()"):
        if kind in calls:
            yield kind, timed(calls[kind], names * 10)
    for kind in ("save", "read", "exists", "delete"):
        yield kind, timed(calls[kind], names)
    yield "read of 8 MiB", timed(calls["read"], [LARGE] * 8)
    yield "listdir of 10,000", timed(calls["listdir"], ["many"] * 2)
    yield f"{THREADS} threads", threads(calls, repeats / 100)


def peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(dict(each.split(":", 1) for each in lines)["VmHWM"].split()[0]) * 1024


def main() -> None:
    """Answer until the input ends."""
    if os.environ["PEER"] == "boto3":
        settings.configure(BUCKET="benchmark")
        calls = bare()
    else:
        django.setup()
        calls = packaged()
    for _ in measure(calls, 5):
        pass  # the first calls of each kind load and connect
    print(json.dumps({"boto3": boto3.__version__}), flush=True)
    for line in sys.stdin:
        found = dict(measure(calls, int(line)))
        print(json.dumps({"calls": found, "memory": peak()}), flush=True)


if __name__ == "__main__":
    main()
