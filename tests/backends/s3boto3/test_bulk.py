"""Deleting many files, and copies that S3 makes: requests, names, and what goes wrong."""

from __future__ import annotations

import re
from urllib.parse import quote

import pytest
from boto3.s3.transfer import TransferConfig
from django.core.files.base import ContentFile

from storages.transfers import COPIED, FAILED, copy, delete_many
from tests.backends.s3boto3.server import DENIED, Site, error

MIB = 1024 * 1024
REPORTED = b"""<DeleteResult><Error><Key>b.txt</Key><Code>AccessDenied</Code>
<Message>no</Message></Error></DeleteResult>"""


def plant(site: Site, *names: str) -> None:
    for name in names:
        site.raw.put(name, b"content")


def test_thousand_files_are_deleted_by_one_request(weed: Site) -> None:
    names = [f"{number}.txt" for number in range(1001)]
    plant(weed, *names)
    assert dict(delete_many(weed.storage(), names)) == dict.fromkeys(names)
    assert [each.method for each in weed.sent()] == ["POST", "POST"]
    assert list(weed.raw.names()) == []


@pytest.mark.parametrize("name", ["\ufffe.txt", "\uffff.txt", " a.txt", "a.txt "])
def test_name_that_xml_or_servers_would_change_is_deleted_alone(site: Site, name: str) -> None:
    plant(site, name, "a.txt", "b.txt")
    found = dict(delete_many(site.storage(), [name, "b.txt"]))
    assert found == {name: None, "b.txt": None}
    assert [each.method for each in site.sent()] == ["POST", "DELETE"]
    assert list(site.raw.names()) == ["a.txt"]


def test_file_that_s3_reports_is_tried_alone_and_its_error_explained(weed: Site) -> None:
    plant(weed, "b.txt")
    weed.front.answer(200, REPORTED, method="POST")
    weed.front.answer(403, DENIED, method="DELETE")
    found = dict(delete_many(weed.storage(), ["a.txt", "b.txt"]))
    raised = found.pop("b.txt")
    assert isinstance(raised, PermissionError)
    assert raised.filename == "b.txt"
    assert "s3:DeleteObject" in str(raised)
    assert found == {"a.txt": None}


@pytest.mark.parametrize(
    ("status", "code"),
    [(501, "NotImplemented"), (400, "MissingContentMD5"), (405, "MethodNotAllowed")],
)
def test_service_that_deletes_one_file_at_a_time_is_asked_so(
    weed: Site, status: int, code: str
) -> None:
    plant(weed, "a.txt", "b.txt")
    weed.front.answer(status, error(code), method="POST", times=None)
    assert dict(delete_many(weed.storage(), ["a.txt", "b.txt"])) == {"a.txt": None, "b.txt": None}
    assert list(weed.raw.names()) == []


def test_refusal_of_the_whole_request_is_raised(weed: Site) -> None:
    plant(weed, "a.txt")
    weed.front.answer(403, DENIED, method="POST", times=None)
    with pytest.raises(PermissionError, match="s3:DeleteObject"):
        list(delete_many(weed.storage(), ["a.txt"]))


def test_lost_answer_to_a_bulk_deletion_is_asked_for_again(weed: Site) -> None:
    plant(weed, "a.txt", "b.txt")
    weed.front.reset(method="POST")
    assert dict(delete_many(weed.storage(), ["a.txt", "b.txt"])) == {"a.txt": None, "b.txt": None}
    assert list(weed.raw.names()) == []


# -- copies ---------------------------------------------------------------------------------------


def test_file_that_is_replaced_before_the_copy_is_copied_as_it_is_now(weed: Site) -> None:
    plant(weed, "from/a.txt")
    copied_to = re.escape(f"/{weed.raw.bucket}/to/a.txt")
    weed.front.answer(412, error("PreconditionFailed"), method="PUT", path=copied_to)
    report = copy(weed.storage(location="from"), weed.storage(location="to"))
    assert [each.action for each in report.outcomes] == [COPIED]
    assert weed.raw.get("to/a.txt") == b"content"


def test_copy_that_s3_reports_after_it_answered_200_is_tried_again(weed: Site) -> None:
    plant(weed, "from/a.txt")
    weed.front.answer(200, error("InternalError"), method="PUT")
    report = copy(weed.storage(location="from"), weed.storage(location="to"))
    assert [each.action for each in report.outcomes] == [COPIED]
    assert weed.raw.get("to/a.txt") == b"content"


def test_archived_file_is_reported(weed: Site) -> None:
    plant(weed, "from/a.txt", "from/b.txt")
    path = quote(f"/{weed.raw.bucket}/to/a.txt")
    weed.front.answer(403, error("InvalidObjectState"), method="PUT", path=path, times=None)
    weed.front.answer(403, error("InvalidObjectState"), method="GET", path="a.txt", times=None)
    report = copy(weed.storage(location="from"), weed.storage(location="to"))
    (failed,) = report.of(FAILED)
    assert (failed.name, failed.detail) == ("a.txt", "The file is archived: restore it first")


@pytest.mark.parametrize("part", [1, 2])
def test_copy_in_parts_that_breaks_leaves_nothing(weed: Site, part: int) -> None:
    storage = weed.storage(location="from")
    storage.save("a.bin", ContentFile(bytes(6 * MIB)))
    parts = TransferConfig(multipart_threshold=MIB, multipart_chunksize=5 * MIB)
    target = weed.storage(location="to", transfer_config=parts)
    weed.front.answer(400, error("InvalidRequest"), method="PUT", path=f"partNumber={part}&")
    report = copy(storage, target)
    assert [each.action for each in report.outcomes] == [FAILED]
    assert list(weed.raw.names()) == ["from/a.bin"]
    assert [each.action for each in copy(storage, target).outcomes] == [COPIED]
    assert weed.raw.get("to/a.bin") == bytes(6 * MIB)
