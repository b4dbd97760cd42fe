"""The benchmark's meter, and the figures in the docs."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from benchmarks.peers import drawing
from benchmarks.peers.figures import Figures
from benchmarks.peers.tools import Responder
from benchmarks.responder import ACCESS_KEY, SECRET_KEY

BUCKET = "b"


@pytest.fixture(scope="module")
def responder() -> Iterator[Responder]:
    with Responder() as running:
        yield running


def client(responder: Responder, secret: str = SECRET_KEY) -> Any:
    responder.reset(0)
    config = Config(s3={"addressing_style": "path"})
    return boto3.client(
        "s3",
        endpoint_url=responder.url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=secret,
        config=config,
    )


def test_meter_refuses_a_wrong_signature(responder: Responder) -> None:
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        client(responder, "wrong").list_objects_v2(Bucket=BUCKET)


@pytest.mark.parametrize("key", ["a", "a b+c", "ä/ö ~*'()", "a//b", "a=b&c?d#e"])
def test_meter_keeps_an_object_under_any_key(responder: Responder, key: str) -> None:
    s3 = client(responder)
    s3.put_object(Bucket=BUCKET, Key=key, Body=b"12345", ContentType="text/x", Metadata={"a": "b"})
    found = s3.get_object(Bucket=BUCKET, Key=key, Range="bytes=1-2")
    assert (found["Body"].read(), found["ContentType"], found["Metadata"]) == (
        b"23",
        "text/x",
        {"a": "b"},
    )
    assert [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [key]
    s3.delete_objects(Bucket=BUCKET, Delete={"Objects": [{"Key": key}]})
    assert responder.counts()["objects"] == 0


def test_meter_lists_in_pages_with_each_prefix_once(responder: Responder) -> None:
    s3 = client(responder)
    keys = [f"{a}/{b}" for a in "xyz" for b in range(3)] + ["top", "x"]
    for key in keys:
        s3.put_object(Bucket=BUCKET, Key=key, Body=b"")
    for operation in ("list_objects_v2", "list_objects"):
        paginator = s3.get_paginator(operation)
        config = {"PageSize": 2}
        pages = list(paginator.paginate(Bucket=BUCKET, Delimiter="/", PaginationConfig=config))
        found = [
            *(p["Prefix"] for page in pages for p in page.get("CommonPrefixes", [])),
            *(each["Key"] for page in pages for each in page.get("Contents", [])),
        ]
        assert found == ["x/", "y/", "z/", "top", "x"]


def test_meter_puts_parts_together_and_counts(responder: Responder) -> None:
    s3 = client(responder)
    content = bytes(range(256)) * 50_000  # above the 8 MiB from which boto3 sends parts
    s3.upload_fileobj(BytesIO(content), BUCKET, "parts")
    s3.copy_object(Bucket=BUCKET, Key="copy", CopySource={"Bucket": BUCKET, "Key": "parts"})
    assert s3.get_object(Bucket=BUCKET, Key="copy")["Body"].read() == content
    assert responder.counts()["requests"] == {"MULTIPART": 2, "PART": 2, "COPY": 1, "GET": 1}


def test_what_the_docs_show_is_drawn_from_the_figures() -> None:
    shown = {name: (drawing.FOLDER / name).read_text(encoding="utf-8") for name in drawing.CHARTED}
    assert shown == dict(drawing.drawn(Figures.load(drawing.DATA)))
