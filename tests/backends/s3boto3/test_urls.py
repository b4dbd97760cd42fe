"""URLs of the S3 backend: signed by S3's keys or CloudFront's, or plain."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, quote, urlsplit
from urllib.request import Request, urlopen

import pytest
import time_machine
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from storages.backends.s3boto3 import S3Boto3Storage, S3StaticStorage
from storages.testing.network import network_calls
from tests.backends.s3boto3.server import Site

WEEK = 604_800  # seconds
KEYS = {"access_key": "testkey", "secret_key": "testsecret"}


def storage(**options: Any) -> S3Boto3Storage:
    """Return a storage on AWS, which nobody asks anything."""
    place = {"bucket_name": "files", "region_name": "eu-west-1"}
    return S3Boto3Storage(**{**place, **KEYS, **options})


def fetch(url: str, method: str = "GET", body: bytes | None = None) -> tuple[bytes, Any]:
    """Return content and headers."""
    with urlopen(Request(url, method=method, data=body)) as answer:
        return answer.read(), answer.headers


def query(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


# -- signed by S3 ---------------------------------------------------------------------------------


def test_signed_url_gives_the_file_of_its_location(weed: Site) -> None:
    weed.raw.put("media/dir/é a+b.txt", b"content")
    url = weed.storage(location="media").url("dir/é a+b.txt")
    assert urlsplit(url).path == f"/{weed.raw.bucket}/media/dir/%C3%A9%20a%2Bb.txt"
    assert fetch(url)[0] == b"content"


def test_signed_url_ends_to_work_when_it_expires(weed: Site) -> None:
    weed.raw.put("a.txt", b"content")

    def signed(ago: timedelta) -> str:
        with time_machine.travel(datetime.now(UTC) - ago):
            return weed.storage().url("a.txt", expire=3600)

    assert fetch(signed(timedelta(minutes=59)))[0] == b"content"
    with pytest.raises(HTTPError, match="403"):
        fetch(signed(timedelta(minutes=61)))


def test_signed_url_is_for_one_key_and_one_bucket(weed: Site) -> None:
    weed.raw.put("a.txt", b"content")
    weed.raw.put("b.txt", b"content")
    with pytest.raises(HTTPError, match="403"):
        fetch(weed.storage().url("a.txt").replace("/a.txt", "/b.txt"))
    with pytest.raises(HTTPError, match="403"):
        fetch(weed.storage(secret_key="wrong").url("a.txt"))


def test_life_of_a_signed_url_is_the_option_s_or_the_caller_s() -> None:
    assert query(storage().url("a.txt"))["X-Amz-Expires"] == "3600"
    assert query(storage(querystring_expire=60).url("a.txt"))["X-Amz-Expires"] == "60"
    assert query(storage(querystring_expire=60).url("a.txt", expire=WEEK))["X-Amz-Expires"] == (
        str(WEEK)
    )
    with override_settings(AWS_QUERYSTRING_EXPIRE=90):
        assert query(storage().url("a.txt"))["X-Amz-Expires"] == "90"


@pytest.mark.parametrize("expire", [0, -1, 0.5, float("nan")])
def test_life_that_has_no_seconds_is_refused(expire: float) -> None:
    for domain in (None, "cdn.example"):
        with pytest.raises(ValueError, match="from 1 to 604800"):
            storage(custom_domain=domain).url("a.txt", expire=expire)


@pytest.mark.parametrize("expire", [True, "60", b"60", timedelta(seconds=60)])
def test_life_that_is_no_number_is_refused(expire: Any) -> None:
    with pytest.raises(ValueError, match="number of seconds"):
        storage().url("a.txt", expire=expire)


def test_life_is_a_whole_number_of_seconds() -> None:
    assert query(storage().url("a.txt", expire=3600.0))["X-Amz-Expires"] == "3600"


def test_limit_of_s3_is_s3_s_alone() -> None:
    with pytest.raises(ValueError, match="from 1 to 604800"):
        storage().url("a.txt", expire=WEEK + 1)
    signer = CloudFrontSigner("id", lambda _message: b"signature")
    url = storage(custom_domain="cdn.example", cloudfront_signer=signer).url("a", expire=2 * WEEK)
    assert int(query(url)["Expires"]) > time.time() + WEEK


def test_url_of_no_name_is_that_of_the_root_and_slashes_before_a_name_mean_nothing() -> None:
    plain = {"querystring_auth": False, "region_name": "eu-west-1"}
    base = "https://files.s3.eu-west-1.amazonaws.com/"
    for options, start in (
        (plain, base),
        ({**plain, "location": "static"}, f"{base}static/"),
        ({"custom_domain": "cdn.example"}, "https://cdn.example/"),
        ({"custom_domain": "cdn.example", "location": "l"}, "https://cdn.example/l/"),
        ({"base_url": "/static/"}, "/static/"),
    ):
        ours = storage(**options)
        assert ours.url("") == start
        assert ours.url("/css/a.css") == ours.url("css/a.css") == f"{start}css/a.css"


def test_parameters_that_boto3_does_not_know_are_named_as_such() -> None:
    with pytest.raises(ValueError, match="parameters"):
        storage().url("a.txt", parameters={"ResponseColour": "red"})


def test_parameters_lead_to_no_other_file() -> None:
    # They may come from a form; name and bucket are the storage's to say.
    url = storage().url("a.txt", parameters={"Key": "secret.txt", "Bucket": "another"})
    assert urlsplit(url).path == urlsplit(storage().url("a.txt")).path


def test_url_for_an_upload_takes_the_parameters_of_one(weed: Site) -> None:
    url = weed.storage().url("a.txt", parameters={"ContentType": "text/x"}, http_method="PUT")
    headers = {"Content-Type": "text/x"}
    with urlopen(Request(url, b"content", headers, method="PUT")) as answer:
        assert answer.status == 200
    assert weed.raw.get("a.txt") == b"content"
    assert weed.raw.head("a.txt")["ContentType"] == "text/x"


def test_version_of_an_object_may_be_named_with_a_custom_domain() -> None:
    url = storage(custom_domain="cdn.example").url("a.txt", parameters={"VersionId": "7"})
    assert url == "https://cdn.example/a.txt?versionId=7"


def test_session_token_is_part_of_a_signed_url() -> None:
    assert query(storage(security_token="tok").url("a.txt"))["X-Amz-Security-Token"] == "tok"


def test_answer_may_be_overridden_by_a_signed_url(weed: Site) -> None:
    weed.raw.put("a.txt", b"content")
    parameters = {
        "ResponseContentDisposition": 'attachment; filename="b c.txt"',
        "ResponseContentType": "text/x-own",
    }
    headers = fetch(weed.storage().url("a.txt", parameters=parameters))[1]
    assert headers["Content-Disposition"] == 'attachment; filename="b c.txt"'
    assert headers["Content-Type"] == "text/x-own"


def test_version_of_an_object_may_be_named() -> None:
    assert query(storage().url("a.txt", parameters={"VersionId": "3"}))["versionId"] == "3"


def test_signed_url_is_for_one_method(weed: Site) -> None:
    weed.raw.put("a.txt", b"content")
    url = weed.storage().url("a.txt", http_method="PUT")
    with pytest.raises(HTTPError, match="403"):
        fetch(url)
    fetch(url, "PUT", b"uploaded by the browser")
    assert weed.raw.get("a.txt") == b"uploaded by the browser"


def test_parameters_come_before_the_life_by_position() -> None:
    url = storage().url("a.txt", {"VersionId": "3"}, 60)
    assert (query(url)["versionId"], query(url)["X-Amz-Expires"]) == ("3", "60")


# -- hosts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({}, "https://files.s3.eu-west-1.amazonaws.com/a.txt"),
        ({"bucket_name": "with.dots"}, "https://s3.eu-west-1.amazonaws.com/with.dots/a.txt"),
        ({"addressing_style": "path"}, "https://s3.eu-west-1.amazonaws.com/files/a.txt"),
        ({"region_name": "cn-north-1"}, "https://files.s3.cn-north-1.amazonaws.com.cn/a.txt"),
        ({"endpoint_url": "https://s3.example"}, "https://s3.example/files/a.txt"),
        (
            {"endpoint_url": "https://s3.example", "addressing_style": "virtual"},
            "https://files.s3.example/a.txt",
        ),
        (
            {"endpoint_url": "http://internal:9000", "public_endpoint_url": "https://s3.example"},
            "https://s3.example/files/a.txt",
        ),
        ({"base_url": "https://media.example/files/"}, "https://media.example/files/a.txt"),
        ({"location": "/media/"}, "https://files.s3.eu-west-1.amazonaws.com/media/a.txt"),
    ],
)
def test_host_is_as_the_options_say(options: dict[str, Any], start: str) -> None:
    assert storage(**options).url("a.txt").partition("?")[0] == start
    plain = storage(querystring_auth=False, **options).url("a.txt")
    assert plain == start


def test_public_endpoint_is_for_urls_alone(weed: Site) -> None:
    public = f"http://localhost:{weed.front.port}"
    ours = weed.storage(public_endpoint_url=public)
    ours.exists("a.txt")
    assert weed.sent("GET")[0].headers["Host"] == f"127.0.0.1:{weed.front.port}"
    weed.raw.put("a.txt", b"content")
    assert ours.url("a.txt").startswith(f"{public}/")
    assert fetch(ours.url("a.txt"))[0] == b"content"


def test_unsigned_url_needs_no_credentials() -> None:
    plain = S3Boto3Storage(bucket_name="files", region_name="eu-west-1", querystring_auth=False)
    with network_calls() as calls:
        url = plain.url("dir/é a.txt")
    assert url == "https://files.s3.eu-west-1.amazonaws.com/dir/%C3%A9%20a.txt"
    assert calls == []


def test_static_files_are_never_signed() -> None:
    options = {"bucket_name": "files", "region_name": "eu-west-1", **KEYS}
    with override_settings(AWS_QUERYSTRING_AUTH=True):
        url = S3StaticStorage(**options).url("a.css")
    assert url == "https://files.s3.eu-west-1.amazonaws.com/a.css"


def test_slash_at_the_end_of_a_name_is_kept() -> None:
    for options in ({}, {"custom_domain": "cdn.example"}, {"base_url": "/files/"}):
        url = storage(querystring_auth=False, location="loc", **options).url("dir/")
        assert url.endswith("dir/")


# -- custom domains -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({}, "https://cdn.example/dir/a%20b.txt"),
        ({"location": "media"}, "https://cdn.example/media/dir/a%20b.txt"),
        ({"custom_domain": "cdn.example/base/"}, "https://cdn.example/base/dir/a%20b.txt"),
        ({"url_protocol": "http:"}, "http://cdn.example/dir/a%20b.txt"),
        ({"secure_urls": False}, "http://cdn.example/dir/a%20b.txt"),
        ({"base_url": "https://elsewhere.example/"}, "https://cdn.example/dir/a%20b.txt"),
    ],
)
def test_custom_domain_stands_in_urls(options: dict[str, Any], url: str) -> None:
    with network_calls() as calls:
        found = S3Boto3Storage(**{"bucket_name": "b", "custom_domain": "cdn.example", **options})
        assert found.url("dir/a b.txt") == url
    assert calls == []


def test_false_means_no_custom_domain_where_the_setting_has_one() -> None:
    with override_settings(AWS_S3_CUSTOM_DOMAIN="cdn.example"):
        assert storage().url("a.txt") == "https://cdn.example/a.txt"
        url = storage(custom_domain=False).url("a.txt")
    assert url.startswith("https://files.s3.eu-west-1.amazonaws.com/a.txt?X-Amz-")


def test_answer_may_be_overridden_with_a_custom_domain() -> None:
    url = storage(custom_domain="cdn.example").url(
        "a.txt", parameters={"ResponseContentDisposition": "attachment; a=1", "width": "10"}
    )
    assert url == (
        "https://cdn.example/a.txt?response-content-disposition=attachment%3B+a%3D1&width=10"
    )


# -- CloudFront -----------------------------------------------------------------------------------


def pem(key: PrivateKeyTypes, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


KEY = rsa.generate_private_key(public_exponent=65_537, key_size=2048)


def decoded(text: str) -> bytes:
    """Undo CloudFront's base64 (developer guide, "Create a URL signature")."""
    return base64.b64decode(text.replace("-", "+").replace("_", "=").replace("~", "/"))


def assert_signed(url: str, resource: str, seconds: float) -> None:
    """Verify the signature of a canned policy for a resource that ends in so many seconds."""
    parts = query(url)
    expires = int(parts["Expires"])
    assert abs(expires - datetime.now(UTC).timestamp() - seconds) < 60
    statement = {
        "Resource": resource,
        "Condition": {"DateLessThan": {"AWS:EpochTime": expires}},
    }
    policy = json.dumps({"Statement": [statement]}, separators=(",", ":")).encode()
    KEY.public_key().verify(decoded(parts["Signature"]), policy, padding.PKCS1v15(), SHA1())


def cdn(**options: Any) -> S3Boto3Storage:
    signer = {"cloudfront_key_id": "KEYID", "cloudfront_key": pem(KEY).decode()}
    return storage(**{"custom_domain": "cdn.example", **signer, **options})


def test_signature_of_cloudfront_is_right_for_the_url_and_its_end() -> None:
    url = cdn(location="media").url("dir/é a.txt")
    assert query(url)["Key-Pair-Id"] == "KEYID"
    assert_signed(url, "https://cdn.example/media/dir/%C3%A9%20a.txt", 3600)
    assert_signed(cdn().url("a.txt", expire=60), "https://cdn.example/a.txt", 60)


def test_parameters_are_part_of_what_cloudfront_signs() -> None:
    url = cdn().url("a.txt", parameters={"ResponseContentType": "text/x-own"})
    signed = "https://cdn.example/a.txt?response-content-type=text%2Fx-own"
    assert url.startswith(f"{signed}&Expires=")
    assert_signed(url, signed, 3600)


def test_key_of_cloudfront_may_be_bytes_or_come_from_settings() -> None:
    assert_signed(cdn(cloudfront_key=pem(KEY)).url("a.txt"), "https://cdn.example/a.txt", 3600)
    settings = {"AWS_CLOUDFRONT_KEY_ID": "KEYID", "AWS_CLOUDFRONT_KEY": pem(KEY).decode()}
    with override_settings(AWS_S3_CUSTOM_DOMAIN="cdn.example", **settings):
        assert_signed(storage().url("a.txt"), "https://cdn.example/a.txt", 3600)


def test_signer_may_be_given_ready_made() -> None:
    signer = CloudFrontSigner("OTHER", lambda text: KEY.sign(text, padding.PKCS1v15(), SHA1()))
    url = storage(custom_domain="cdn.example", cloudfront_signer=signer).url("a.txt")
    assert query(url)["Key-Pair-Id"] == "OTHER"
    assert_signed(url, "https://cdn.example/a.txt", 3600)


def test_two_keys_of_cloudfront_are_kept_apart() -> None:
    first = cdn().url("a.txt")
    second = cdn(cloudfront_key_id="SECOND").url("a.txt")
    assert (query(first)["Key-Pair-Id"], query(second)["Key-Pair-Id"]) == ("KEYID", "SECOND")


def test_cloudfront_signs_nothing_with_querystring_auth_off() -> None:
    assert cdn(querystring_auth=False).url("a.txt") == "https://cdn.example/a.txt"
    with override_settings(
        AWS_S3_CUSTOM_DOMAIN="cdn.example",
        AWS_CLOUDFRONT_KEY_ID="KEYID",
        AWS_CLOUDFRONT_KEY=pem(KEY).decode(),
    ):
        assert S3StaticStorage(bucket_name="b").url("a.css") == "https://cdn.example/a.css"


def test_signing_for_cloudfront_asks_nobody() -> None:
    with network_calls() as calls:
        cdn().url("a.txt")
    assert calls == []


@pytest.mark.parametrize(
    "key",
    [
        b"no key at all",
        pem(KEY, b"a passphrase"),
        pem(ec.generate_private_key(ec.SECP256R1())),
    ],
    ids=["no key", "passphrase", "another kind"],
)
def test_key_that_cloudfront_cannot_use_is_named_and_not_shown(key: bytes) -> None:
    with pytest.raises(ImproperlyConfigured, match="AWS_CLOUDFRONT_KEY") as raised:
        cdn(cloudfront_key=key).url("a.txt")
    assert key.decode()[:10] not in str(raised.value)


# -- clocks and names -----------------------------------------------------------------------------


@pytest.mark.parametrize("use_tz", [True, False])
def test_end_of_a_signed_url_does_not_depend_on_time_zones(use_tz: bool) -> None:
    with override_settings(USE_TZ=use_tz, TIME_ZONE="Asia/Tokyo"):
        assert_signed(cdn().url("a.txt", expire=60), "https://cdn.example/a.txt", 60)
        signed_at = query(storage().url("a.txt"))["X-Amz-Date"]
    age = datetime.now(UTC) - datetime.strptime(f"{signed_at}+0000", "%Y%m%dT%H%M%SZ%z")
    assert abs(age) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "make", [storage, cdn, lambda: storage(base_url="/files/")], ids=["S3", "CloudFront", "base"]
)
def test_every_url_quotes_a_name_once(make: Callable[[], S3Boto3Storage]) -> None:
    name = "a%46 +#?&='é"
    path = re.sub("[?].*", "", make().url(name))
    assert path.endswith((f"/{quote(name)}", f"/{quote(name, safe=chr(39))}"))
