"""What the tests of the S3 backend share: options for a server, and a look past the backend."""

from __future__ import annotations

import functools
import uuid
from collections.abc import Iterable
from contextlib import closing
from http.client import HTTPConnection
from typing import Any, Self
from urllib.parse import quote
from urllib.request import Request as URLRequest
from urllib.request import urlopen

import boto3
from botocore.config import Config

from storages.backends.s3boto3 import S3Boto3Storage
from tests.servers.http import HTTPProxy, Request
from tests.servers.seaweedfs import SeaweedFS

#: One answer is the last word, and soon.
IMPATIENT = Config(retries={"total_max_attempts": 1}, connect_timeout=1, read_timeout=1)
FILER_PORT = 3  # of SeaweedFS's own protocol, counted from that of S3


def error(code: str, message: str = "what S3 says") -> bytes:
    """Return the body of an answer of S3's that is an error."""
    return f"<Error><Code>{code}</Code><Message>{message}</Message></Error>".encode()


DENIED = error("AccessDenied")


def unshared() -> dict[str, str]:
    """Return a ``client_config`` that no other test has: its client finds its own credentials."""
    return {"user_agent_extra": uuid.uuid4().hex}


def locate(place: Any) -> str:
    """Return the URL of a host and port that speak plain HTTP."""
    return f"http://{place.host}:{place.port}"


def account(server: Any) -> dict[str, Any]:
    """Return the options that reach a server, its secrets among them."""
    return {
        "endpoint_url": server.url,
        "access_key": server.access_key,
        "secret_key": server.secret_key,
        "region_name": server.region,
    }


def client_of(server: Any) -> Any:
    """Return a client of boto3's own making."""
    return _client(server.url, server.access_key, server.secret_key, server.region)


@functools.cache
def _client(url: str, access_key: str, secret_key: str, region: str) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=region,
        config=Config(max_pool_connections=50),
    )


class RawBucket:
    """A bucket, or what is under a prefix of it, seen by boto3 alone."""

    def __init__(self, server: Any, bucket: str = "", prefix: str = "") -> None:
        self.server = server
        self.client = client_of(server)
        self.bucket = bucket or f"test-{uuid.uuid4().hex}"
        self.prefix = prefix

    def get(self, name: str) -> bytes | None:
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.prefix + name)
        except self.client.exceptions.NoSuchKey:
            return None
        with answer["Body"] as body:
            content: bytes = body.read()
        return content

    def put(self, name: str, content: bytes, **parameters: Any) -> None:
        self.client.put_object(
            Bucket=self.bucket, Key=self.prefix + name, Body=content, **parameters
        )

    def plant(self, names: Iterable[str]) -> None:
        """Make small files, faster than boto3 would."""
        # Moto asks for no signature, and neither does SeaweedFS's own protocol.
        is_weed = isinstance(self.server, SeaweedFS)
        port = self.server.port + FILER_PORT if is_weed else self.server.port
        root = f"{'/buckets' if is_weed else ''}/{self.bucket}/{self.prefix}"
        with closing(HTTPConnection(self.server.host, port)) as connection:
            for name in names:
                connection.request("PUT", quote(root + name), b"x")
                answer = connection.getresponse()
                answer.read()
                assert answer.status in {200, 201}, answer.status

    def head(self, name: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.client.head_object(Bucket=self.bucket, Key=self.prefix + name)
        return answer

    def names(self) -> list[str]:
        return [key[len(self.prefix) :] for key in self.keys()] + [
            f"{key[len(self.prefix) :]} (unfinished)" for key, _ in self.uploads()
        ]

    def keys(self) -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.bucket, Prefix=self.prefix
        )
        return [each["Key"] for page in pages for each in page.get("Contents", ())]

    def uploads(self) -> list[tuple[str, str]]:
        """Return key and id of each multipart upload that was neither completed nor aborted."""
        answer = self.client.list_multipart_uploads(Bucket=self.bucket, Prefix=self.prefix)
        return [(each["Key"], each["UploadId"]) for each in answer.get("Uploads", ())]

    def __enter__(self) -> Self:
        self.client.create_bucket(Bucket=self.bucket)
        return self

    def __exit__(self, *raised: object) -> None:
        self.empty()
        self.client.delete_bucket(Bucket=self.bucket)

    def empty(self) -> None:
        """Remove all there is, unfinished uploads too."""
        keys = [{"Key": key} for key in self.keys()]
        for start in range(0, len(keys), 1000):
            self.client.delete_objects(
                Bucket=self.bucket, Delete={"Objects": keys[start : start + 1000], "Quiet": True}
            )
        for key, upload in self.uploads():
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload)
        if isinstance(self.server, SeaweedFS):
            self._remove_directories()

    def _remove_directories(self) -> None:
        """Remove what SeaweedFS would go on to list: directories whose last file is gone."""
        answer = self.client.list_objects_v2(Bucket=self.bucket, Delimiter="/")
        for each in answer.get("CommonPrefixes", ()):
            path = quote(f"/buckets/{self.bucket}/{each['Prefix']}")
            url = f"http://{self.server.host}:{self.server.port + FILER_PORT}{path}?recursive=true"
            with urlopen(URLRequest(url, method="DELETE")):
                pass


class Site:
    """An empty bucket for one test, and the proxy through which its storages reach it."""

    def __init__(self, raw: RawBucket, front: HTTPProxy) -> None:
        self.server = raw.server
        self.raw = raw
        self.front = front

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.front.clear()
        self.raw.empty()

    def storage(self, **options: Any) -> S3Boto3Storage:
        """Return a storage on the bucket."""
        return S3Boto3Storage(**self.options(**options))

    def options(self, **options: Any) -> dict[str, Any]:
        """Return the options of a storage on the bucket; those given win."""
        ours = {"bucket_name": self.raw.bucket, "endpoint_url": self.front.url}
        return {**account(self.server), **ours, **options}

    def sent(self, method: str = "", query: str = "") -> list[Request]:
        """Return the requests so far, of one method, and whose query holds a text."""
        return [
            each
            for each in self.front.requests
            if method in {"", each.method} and query in each.target.partition("?")[2]
        ]

    def only(self, method: str = "", query: str = "") -> Request:
        """Return the one request there was."""
        (request,) = self.sent(method, query)
        return request
