"""Signed URLs of the S3 backend, which have to be those that boto3 makes, to the byte."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import boto3
import pytest
import time_machine
from botocore import UNSIGNED
from botocore.config import Config
from botocore.handlers import disable_signing
from botocore.signers import CloudFrontSigner
from django.core.exceptions import ImproperlyConfigured

from storages.backends.s3boto3 import S3Boto3Storage
from storages.utils import RefusedName
from tests.backends.s3boto3.server import Site, unshared

NOW = datetime(2026, 2, 28, 23, 59, 58, tzinfo=UTC)
KEYS = {"access_key": "AK+ID/é=", "secret_key": "secret/+="}
TOKEN = "tok/en+with==odd&signs%41"
VIRTUAL: dict[str, Any] = {"s3": {"addressing_style": "virtual"}}
#: Options, the arguments of the boto3 client that is asked for the same.
PLACES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "virtual": ({}, VIRTUAL),
    "path": ({"addressing_style": "path"}, {"s3": {"addressing_style": "path"}}),
    "dots in the bucket": ({"bucket_name": "with.dots"}, {}),
    "us-east-1": ({"region_name": "us-east-1"}, VIRTUAL),
    "China": ({"region_name": "cn-north-1"}, VIRTUAL),
    "a port": ({"endpoint_url": "http://127.0.0.1:9000"}, {}),
    "the usual port": ({"endpoint_url": "https://s3.example:443"}, {}),
    "a capital host": ({"endpoint_url": "https://S3.Example"}, {}),
    "an endpoint with a path": ({"endpoint_url": "https://s3.example/base/"}, {}),
    "a virtual endpoint": (
        {"endpoint_url": "https://s3.example", "addressing_style": "virtual"},
        VIRTUAL,
    ),
    "dualstack": ({"client_config": {"use_dualstack_endpoint": True}},) * 2,
    "accelerate": ({"client_config": {"s3": {"use_accelerate_endpoint": True}}},) * 2,
    "FIPS": (
        {"region_name": "us-east-2", "client_config": {"use_fips_endpoint": True}},
        {"use_fips_endpoint": True, **VIRTUAL},
    ),
    "version 2": ({"signature_version": "s3"}, {"signature_version": "s3", **VIRTUAL}),
    "unsigned": ({"querystring_auth": False}, {"signature_version": UNSIGNED, **VIRTUAL}),
    "a token": ({"security_token": TOKEN}, VIRTUAL),
}
ODD = "aZ09 +%~!*'();:@&=$,/?#[]\"<>^`{|}._-é€😀\u00a0\u200f\\"
PARAMETERS: list[dict[str, Any]] = [
    {"ResponseContentType": "text/plain; charset=utf-8"},
    {
        "ResponseContentDisposition": "attachment; filename=\"a b+c%41é&=.txt\"; x='1'",
        "ResponseCacheControl": "",
        "ResponseContentLanguage": "de,en",
        "ResponseContentEncoding": "identity",
        "VersionId": "3/.~x",
    },
    {"VersionId": "null", "ResponseContentType": "a/b"},
    {"ResponseExpires": NOW},
    {"PartNumber": 3},
    {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32},
    {"RequestPayer": "requester", "VersionId": "1"},
]


def names() -> list[str]:
    """Return odd names, the same at each run."""
    chance = random.Random(14)
    made = ["a.txt", "-", "~", "%2F", "a%20b", ".hidden", "a..b", "x" * 1000, "dir/", "é" * 300]
    made += ["".join(chance.choices(ODD, k=chance.randrange(1, 30))) for _ in range(300)]
    found = []
    for each in made:
        try:
            storage().url(each)
        except RefusedName:
            continue
        found.append(each)
    return found


def storage(**options: Any) -> S3Boto3Storage:
    place = {"bucket_name": "files", "region_name": "eu-west-1"}
    return S3Boto3Storage(**{**place, **KEYS, **options})


def bare(ours: S3Boto3Storage, **config: Any) -> Any:
    """Return a boto3 client of its own for the same place."""
    config = config.get("client_config", config)
    return boto3.client(
        "s3",
        region_name=ours.region_name,
        endpoint_url=ours.endpoint_url,
        aws_access_key_id=ours.access_key,
        aws_secret_access_key=ours.secret_key,
        aws_session_token=ours.security_token,
        config=Config(**{"signature_version": "s3v4", **config}),
    )


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@contextmanager
def no_client() -> Iterator[None]:
    """Let boto3 fail to sign."""
    with mock.patch("botocore.signers.RequestSigner.generate_presigned_url", side_effect=OSError):
        yield


@pytest.mark.parametrize(("options", "config"), PLACES.values(), ids=PLACES.keys())
def test_url_is_boto3_s_to_the_byte(options: dict[str, Any], config: dict[str, Any]) -> None:
    ours = storage(location="lo cé/+", **options)
    theirs = bare(ours, **config)
    with time_machine.travel(NOW, tick=False) as clock:
        for name in names():
            end = "/" if name.endswith(("/", "\\")) else ""
            key = ours.key(name.lstrip("/\\")) + end
            target = {"Bucket": ours.bucket_name, "Key": key}
            wanted = theirs.generate_presigned_url("get_object", Params=target, ExpiresIn=77)
            assert ours.url(name, expire=77) == wanted
            clock.shift(timedelta(seconds=0.4))


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("parameters", PARAMETERS, ids="+".join)
def test_parameters_make_the_url_that_boto3_makes(
    parameters: dict[str, Any], token: str | None
) -> None:
    ours = storage(security_token=token)
    theirs = bare(ours, **VIRTUAL)
    with time_machine.travel(NOW, tick=False):
        for name in ("a.txt", "b c.txt"):
            for each in (parameters, dict(reversed(parameters.items()))):
                wanted = theirs.generate_presigned_url(
                    "get_object", Params={"Bucket": "files", "Key": name, **each}
                )
                assert ours.url(name, parameters=each) == wanted


@pytest.mark.parametrize("method", ["GET", "get", "PUT", "HEAD", "DELETE", "POST"])
def test_method_makes_the_url_that_boto3_makes(method: str) -> None:
    operation = {"PUT": "put_object", "HEAD": "head_object", "DELETE": "delete_object"}
    ours = storage()
    theirs = bare(ours, **VIRTUAL)
    with time_machine.travel(NOW, tick=False):
        for name in ("a.txt", "b c.txt"):
            wanted = theirs.generate_presigned_url(
                operation.get(method, "get_object"),
                Params={"Bucket": "files", "Key": name},
                HttpMethod=method,
            )
            assert ours.url(name, http_method=method) == wanted


def test_type_of_an_upload_is_signed_as_boto3_signs_it() -> None:
    ours = storage()
    theirs = bare(ours, **VIRTUAL)
    with time_machine.travel(NOW, tick=False):
        for kind in ("text/x", "text/y"):
            target = {"Bucket": "files", "Key": "a.txt", "ContentType": kind}
            wanted = theirs.generate_presigned_url("put_object", Params=target, HttpMethod="PUT")
            assert ours.url("a.txt", {"ContentType": kind}, http_method="PUT") == wanted


@pytest.mark.parametrize("options", [{}, {"querystring_auth": False}], ids=["signed", "plain"])
def test_boto3_is_asked_for_the_first_url_of_a_kind_alone(options: dict[str, Any]) -> None:
    ours = storage(client_config=unshared(), **options)
    types = [{"ResponseContentType": each} for each in ("a/b", "c/d")]
    ours.url("a.txt")
    ours.url("a.txt", types[0])
    with no_client():
        ours.url("b.txt")
        ours.url("b.txt", types[1], 60)


def test_day_after_is_signed_with_its_own_key() -> None:
    ours = storage()
    theirs = bare(ours, **VIRTUAL)
    for day in range(3):
        with time_machine.travel(NOW + timedelta(days=day), tick=False):
            target = {"Bucket": "files", "Key": "a.txt"}
            assert ours.url("a.txt") == theirs.generate_presigned_url("get_object", Params=target)


def test_accounts_do_not_sign_for_each_other() -> None:
    with time_machine.travel(NOW, tick=False):
        for secret in ("one", "two"):
            ours = storage(secret_key=secret)
            theirs = bare(ours, **VIRTUAL)
            for bucket in ("files", "others"):
                ours.bucket_name = bucket
                target = {"Bucket": bucket, "Key": "a.txt"}
                wanted = theirs.generate_presigned_url("get_object", Params=target)
                assert ours.url("a.txt") == wanted


# -- others that take part ------------------------------------------------------------------------


def test_hook_that_is_registered_later_is_called_until_it_is_removed() -> None:
    ours = storage(client_config=unshared())
    plain = ours.url("a.txt").partition("?")[0]
    events = ours.client.meta.events
    seen: list[str] = []

    def count(request: Any, **_: Any) -> None:
        seen.append(request.url)

    events.register("before-sign.s3.GetObject", count)
    ours.url("b.txt")
    ours.url("c.txt")
    assert [each.rpartition("/")[2] for each in seen] == ["b.txt", "c.txt"]
    events.unregister("before-sign.s3.GetObject", count)
    assert ours.url("a.txt").partition("?")[0] == plain
    with no_client():
        ours.url("b.txt")
    assert len(seen) == 2


def test_handler_of_botocore_that_ends_signing_is_obeyed() -> None:
    ours = storage(client_config=unshared())
    assert "X-Amz-Signature" in query(ours.url("a.txt"))
    ours.client.meta.events.register("choose-signer.s3.*", disable_signing)
    assert ours.url("a.txt") == "https://files.s3.eu-west-1.amazonaws.com/a.txt"


def test_mock_of_the_client_s_method_is_called() -> None:
    ours = storage(client_config=unshared())
    ours.url("a.txt")
    with mock.patch.object(ours.client, "generate_presigned_url", return_value="https://mock/"):
        assert ours.url("a.txt") == "https://mock/"
    assert ours.url("a.txt").startswith("https://files.s3.")


# -- credentials that end -------------------------------------------------------------------------


def test_url_is_signed_with_credentials_that_botocore_has_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = tmp_path / "count"
    count.write_text("0")
    program = tmp_path / "program.py"
    program.write_text(
        f"""import json, pathlib
count = pathlib.Path({str(count)!r})
number = int(count.read_text()) + 1
count.write_text(str(number))
end = f"2026-03-0{{number}}T06:00:00Z"
print(json.dumps(dict(Version=1, AccessKeyId=f"AK{{number}}", SecretAccessKey=f"s{{number}}",
                      SessionToken=f"t{{number}}", Expiration=end)))
"""
    )
    config = tmp_path / "config"
    config.write_text(f"[profile own]\ncredential_process = {sys.executable} {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(config))
    ours = S3Boto3Storage(bucket_name="files", region_name="eu-west-1", session_profile="own")
    for day, number in ((NOW, 1), (NOW + timedelta(hours=1), 1), (NOW + timedelta(hours=8), 2)):
        with time_machine.travel(day, tick=False):
            said = query(ours.url("a.txt"))
        assert said["X-Amz-Credential"].startswith(f"AK{number}/")
        assert said["X-Amz-Security-Token"] == f"t{number}"


# -- rounding -------------------------------------------------------------------------------------


def test_rounded_url_stays_the_same_and_lives_as_long_as_it_says() -> None:
    ours = storage(querystring_round=600, querystring_expire=300)
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    made = set()
    for seconds in (0, 1, 299, 599):
        now = start + timedelta(seconds=seconds)
        with time_machine.travel(now, tick=False):
            url = ours.url("a.txt")
        said = query(url)
        begin = datetime.strptime(f"{said['X-Amz-Date']}+0000", "%Y%m%dT%H%M%SZ%z")
        assert begin <= now
        assert begin + timedelta(seconds=int(said["X-Amz-Expires"])) >= now + timedelta(seconds=300)
        made.add(url)
    assert len(made) == 1
    with time_machine.travel(start + timedelta(seconds=600), tick=False):
        assert ours.url("a.txt") not in made


def test_rounded_url_is_let_in_by_the_service(weed: Site) -> None:
    weed.raw.put("a.txt", b"content")
    ours = weed.storage(querystring_round=3600)
    with urlopen(ours.url("a.txt")) as answer:
        assert answer.read() == b"content"


def test_rounded_url_of_cloudfront_stays_the_same() -> None:
    signer = CloudFrontSigner("id", lambda message: message)
    ours = storage(custom_domain="cdn.example", cloudfront_signer=signer, querystring_round=600)
    start = datetime(2026, 1, 1, 12, tzinfo=UTC)
    made = set()
    for seconds in (0, 599):
        with time_machine.travel(start + timedelta(seconds=seconds), tick=False):
            made.add(ours.url("a.txt"))
    (url,) = made
    assert int(query(url)["Expires"]) == start.timestamp() + 600 + 3600


def test_life_and_rounding_are_a_week_at_most_together() -> None:
    ours = storage(querystring_round=600)
    assert query(ours.url("a.txt", expire=604_200))["X-Amz-Expires"] == "604800"
    with pytest.raises(ValueError, match="from 1 to 604200"):
        ours.url("a.txt", expire=604_201)
    long = {"querystring_round": 600, "querystring_expire": 604_800}
    with pytest.raises(ImproperlyConfigured, match="AWS_QUERYSTRING_ROUND"):
        storage(client_config=unshared(), **long).url("a.txt")
