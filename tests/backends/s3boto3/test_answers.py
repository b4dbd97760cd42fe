"""Answers to requests that go past boto3's models are taken as boto3 takes them."""

from __future__ import annotations

import functools
import logging
from typing import Any
from unittest import mock

import pytest
from botocore.client import BaseClient
from botocore.exceptions import EndpointConnectionError
from botocore.httpsession import URLLib3Session
from django.core.files.base import ContentFile

from storages.backends._s3.messages import page_of
from storages.backends.s3boto3 import S3Boto3Storage
from tests.backends.s3boto3.server import Site, error, unshared

ABOUT = {"ETag": '"e"', "Last-Modified": "Wed, 25 Nov 2026 00:00:00 GMT"}
XML = {"Content-Type": "application/xml"}


def storage_of(weed: Site, **config: Any) -> S3Boto3Storage:
    """Return a storage that has sent each request once, so that the next is its own."""
    weed.raw.put("a.txt", b"content")
    storage = weed.storage(client_config={**unshared(), **config})
    storage.size("a.txt")
    with storage.open("a.txt") as file:
        file.read()
    storage.save("b.txt", ContentFile(b"content"))
    storage.delete("b.txt")
    weed.front.clear()
    return storage


def test_service_that_refuses_a_connection_is_asked_again(weed: Site) -> None:
    storage = storage_of(weed)
    send = URLLib3Session.send
    refusals = [EndpointConnectionError(endpoint_url=weed.front.url)]

    def refused(session: URLLib3Session, request: Any) -> Any:
        if refusals:
            raise refusals.pop()
        return send(session, request)

    with mock.patch.object(URLLib3Session, "send", refused):
        assert storage.size("a.txt") == 7


def test_checksum_that_was_not_asked_for_is_not_compared(weed: Site) -> None:
    # Some services tell the checksum of the whole file with every part of it.
    storage = storage_of(weed)
    about = {**ABOUT, "Content-Range": "bytes 0-6/7", "x-amz-checksum-crc32": "DZuKDg=="}
    weed.front.answer(206, b"content", about)
    with storage.open("a.txt") as file:
        assert file.read() == b"content"


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_error_in_an_answer_of_success_is_one(weed: Site, method: str) -> None:
    storage = storage_of(weed)
    weed.front.answer(200, error("InternalError"), {**XML, **ABOUT}, method=method)
    if method == "PUT":
        storage.save("b.txt", ContentFile(b"content"))
    else:
        storage.delete("a.txt")
    assert weed.raw.names() == (["a.txt", "b.txt"] if method == "PUT" else [])


def test_size_that_an_answer_does_not_tell_is_not_0(weed: Site) -> None:
    storage = storage_of(weed)
    weed.front.answer(200, b"7\r\ncontent\r\n0\r\n\r\n", {**ABOUT, "Transfer-Encoding": "chunked"})
    with pytest.raises(OSError, match="S3"), storage.open("a.txt") as file:
        file.read()
    weed.front.answer(200, b"", {**ABOUT, "Transfer-Encoding": "chunked"})
    with pytest.raises(OSError, match="S3"):
        storage.size("a.txt")


def test_date_of_another_kind_is_read(weed: Site) -> None:
    storage = storage_of(weed)
    about = {**ABOUT, "Last-Modified": "2026-11-25T00:00:00Z"}
    weed.front.answer(200, b"", about, method="HEAD")
    assert storage.get_modified_time("a.txt").year == 2026


def test_mock_of_one_client_s_core_is_called(weed: Site) -> None:
    storage = storage_of(weed)
    with mock.patch.object(storage.client, "_make_api_call", return_value={}) as asked:
        storage.delete("a.txt")
    asked.assert_called_once()


def test_names_of_metadata_are_in_lower_case_whoever_sends_the_request(weed: Site) -> None:
    storage = storage_of(weed)
    weed.front.answer(200, b"", {**ABOUT, "X-Amz-Meta-Own-Name": "x"}, method="HEAD", times=None)
    told = [storage.stat("a.txt").metadata]
    storage.client.meta.events.register("provide-client-params.s3", lambda **_: None)
    assert [*told, storage.stat("a.txt").metadata] == [{"own-name": "x"}] * 2


def test_page_that_does_not_tell_where_the_next_begins_is_an_error(weed: Site) -> None:
    # So answer services that know the first version of the request alone.
    storage = storage_of(weed)
    page = b"<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"
    weed.front.answer(200, page, XML)
    with pytest.raises(OSError, match="S3"):
        storage.listdir("")


def test_function_that_bears_botocore_s_names_is_called(
    weed: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = storage_of(weed)
    call, seen = vars(BaseClient)["_make_api_call"], []

    @functools.wraps(call)
    def traced(*arguments: Any) -> Any:
        seen.append(arguments[1])
        return call(*arguments)

    monkeypatch.setattr(BaseClient, "_make_api_call", traced)
    storage.size("a.txt")
    assert seen == ["HeadObject"]


def test_success_gives_back_what_failures_took_of_the_right_to_try_again(weed: Site) -> None:
    storage = storage_of(weed, retries={"total_max_attempts": 2, "mode": "standard"})
    weed.front.reset(method="HEAD", times=None, forward=False)
    with mock.patch("time.sleep"):  # boto3 1.36 waits half a second, and longer
        for _ in range(110):
            with pytest.raises(ConnectionError):
                storage.size("a.txt")
    weed.front.clear()
    for _ in range(50):
        storage.size("a.txt")
    weed.front.reset(method="HEAD", forward=False)
    assert storage.size("a.txt") == 7


def test_debug_log_tells_every_request(weed: Site, caplog: pytest.LogCaptureFixture) -> None:
    storage = storage_of(weed)
    with caplog.at_level(logging.DEBUG, "botocore.endpoint"):
        storage.size("a.txt")
    assert "HeadObject" in caplog.text


def test_trace_that_lambda_begins_later_is_sent(
    weed: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "name")
    storage = storage_of(weed)
    monkeypatch.setenv("_X_AMZN_TRACE_ID", "Root=1")
    storage.size("a.txt")
    assert weed.sent("HEAD")[-1].headers["X-Amzn-Trace-Id"] == "Root=1"


def test_signatures_of_the_old_version_may_hold_slashes(weed: Site) -> None:
    storage = weed.storage(client_config=unshared(), signature_version="s3")
    weed.front.answer(404, b"", {}, method="HEAD", times=None)
    weed.front.answer(200, b"<ListBucketResult/>", XML, method="GET", times=None)
    for number in range(200):
        # Whatever is registered has the requests learnt anew.
        storage.client.meta.events.register("provide-client-params.other", str, unique_id=number)
        with pytest.raises(FileNotFoundError):
            storage.size(f"{number}.txt")


class Nameless(S3Boto3Storage):
    """Has a file whose key is empty."""

    def key(self, name: str, *, root: bool = False) -> str:
        return "" if name == "nameless" else super().key(name, root=root)


def test_key_that_is_empty_is_not_the_bucket(weed: Site) -> None:
    storage = Nameless(**weed.options(client_config=unshared()))
    storage.delete("a.txt")
    with pytest.raises(OSError, match="nameless"):
        storage.delete("nameless")
    assert weed.raw.names() == []


def test_page_tells_of_storage_classes() -> None:
    # ETags of EXPRESS_ONEZONE are none of the content's.
    page = page_of(
        b"<ListBucketResult><Contents><Key>a</Key><Size>1</Size>"
        b"<StorageClass>EXPRESS_ONEZONE</StorageClass></Contents></ListBucketResult>"
    )
    assert page is not None
    assert page["Contents"][0]["StorageClass"] == "EXPRESS_ONEZONE"


START = '<?xml version="1.0" encoding="UTF-8"?>\n'
OWNER = "<Owner><ID>i</ID><DisplayName>Key</DisplayName></Owner>"
USUAL = (
    "<Key>a+b%26/{}</Key><LastModified>2026-11-25T00:00:00.000Z</LastModified>"
    "<ETag>&quot;00000000000000000000000000000000&quot;</ETag><Size>7</Size>"
    "<StorageClass>STANDARD</StorageClass>"
)


@pytest.mark.parametrize(
    "file",
    [
        USUAL,
        f"<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>{USUAL}<Type>Normal</Type>",
        f"{USUAL}{OWNER}",
        "<Size>0</Size><Key>é&amp;&#x2028;{}</Key>",
        "<Size> 1 </Size><Key> {}</Key><ETag/><StorageClass></StorageClass>",
        "\n  <Key>a {}</Key>\n  <Size>1</Size>\n",
        "<Key xml:space='preserve'>{}</Key><Size>1</Size>",
        "<Key><![CDATA[<&{}]]></Key><Size>1</Size>",
    ],
)
@pytest.mark.parametrize("name", ["<ListBucketResult>", '<ListBucketResult xmlns="http://s3/">'])
@pytest.mark.parametrize("encoding", ["", "<EncodingType>url</EncodingType>"])
def test_page_tells_the_same_by_the_pattern_and_by_the_parser(
    file: str, name: str, encoding: str
) -> None:
    files = [file.format(1), USUAL.format(2), file.format(3)]
    entries = "".join(f"<Contents>{each}</Contents>" for each in files)
    prefixes = "<CommonPrefixes><Prefix>dir/</Prefix></CommonPrefixes>"
    told = f"{name}<IsTruncated>false</IsTruncated>{encoding}{entries}{prefixes}</ListBucketResult>"
    pages = [page_of(each.encode()) for each in (told, START + told, f"<!-- -->{told}")]
    assert pages[0] == pages[1] == pages[2]
    assert pages[0] is not None
    assert [each["Key"][-1] for each in pages[0]["Contents"]] == ["1", "2", "3"]
    assert pages[0]["CommonPrefixes"] == [{"Prefix": "dir/"}]


@pytest.mark.parametrize(
    "page",
    [
        "<ListBucketResult><Contents><Key>a</Key><Size>1</Size></Contents>",
        "<ListBucketResult><Contents><Key>a</Size><Size>1</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a</Key></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>a\x01</Key><Size>1</Size></Contents></ListBucketResult>",
        "<Other><Contents><Key>a</Key><Size>1</Size></Contents></Other>",
        "",
    ],
)
def test_page_that_is_not_whole_or_not_right_is_left_to_boto3(page: str) -> None:
    assert page_of(page.encode()) is None


def test_page_in_another_encoding_is_read_by_what_it_declares() -> None:
    start = '<?xml version="1.0" encoding="ISO-8859-1"?>'
    entry = "<Contents><Key>é</Key><Size>1</Size></Contents>"
    page = page_of(f"{start}<ListBucketResult>{entry}</ListBucketResult>".encode("latin-1"))
    assert page is not None
    assert page["Contents"][0]["Key"] == "é"


def test_metadata_of_options_and_file_may_differ_by_case(weed: Site) -> None:
    storage = weed.storage(headers={"x-amz-meta-Own-Name": "new"}, client_config=unshared())
    storage.save("a.txt", ContentFile(b"content"))
    for _ in range(2):
        with storage.open("a.txt", "r+b") as file:
            file.write(b"C")
    assert weed.raw.get("a.txt") == b"Content"
