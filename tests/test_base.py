"""What the base does that no service shows by itself."""

from __future__ import annotations

import copy
import errno
import pickle
import uuid
from collections.abc import Iterable, Mapping

import pytest
from django.core.files.base import ContentFile

from storages.driver import Entry, Source
from storages.options import option
from tests.memory import MemoryStorage


class HeldStorage(MemoryStorage):
    """Refuses names that are taken by something `exists` does not see, such as a lock."""

    held: Iterable[str] = ()
    tries = 0

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        self.tries += 1
        if key in self.held:
            raise FileExistsError(errno.EEXIST, "Held", key)
        super()._write(key, source, overwrite=overwrite, expected=expected)


class ProxiedStorage(MemoryStorage):
    """Has an option that holds secrets among other things."""

    proxies: Mapping[str, str] = option(default={}, secret=lambda value: dict(value.items()))


def test_value_of_the_wrong_type_is_no_error_of_its_description() -> None:
    storage = ProxiedStorage(bucket="bucket", proxies="http://user:password@host")  # type: ignore[arg-type]
    assert repr(storage) == "ProxiedStorage(bucket='bucket', proxies=…)"
    assert storage.deconstruct()[2] == {"bucket": "bucket"}


@pytest.fixture
def storage() -> HeldStorage:
    return HeldStorage(bucket=uuid.uuid4().hex)


def test_save_goes_on_to_another_name_where_something_unseen_holds_the_first(
    storage: HeldStorage,
) -> None:
    storage.held = ["held/archive.tar.gz"]
    name = storage.save("held/archive.tar.gz", ContentFile(b"content"))
    assert name.startswith("held/archive_")
    assert name.endswith(".tar.gz")
    assert storage.tries == 2
    with storage.open(name) as file:
        assert file.read() == b"content"


def test_name_that_replaces_a_held_one_fits_its_length(storage: HeldStorage) -> None:
    storage.held = ["a-rather-long-name.txt"]
    name = storage.save("a-rather-long-name.txt", ContentFile(b"content"), max_length=22)
    assert len(name) <= 22
    assert name.endswith(".txt")


def test_keys_that_no_name_can_say_are_left_out_of_listings(storage: HeldStorage) -> None:
    storage.save("en/test.pdf", ContentFile(b"content"))
    stored = storage.objects["en/test.pdf"]
    odd = ("en\\test.pdf", "en\\dir/x.pdf", "en//test.pdf", "/test.pdf", "../x.pdf", "en/../x.pdf")
    for key in (*odd, "./test.pdf", "line\n.pdf", "C:/x.pdf", "caf\udce9.pdf"):
        storage.objects[key] = stored
    assert storage.listdir("") == (["en"], [])
    assert storage.listdir("en") == ([], ["test.pdf"])
    assert [name for name, _ in storage.scan(recursive=True)] == ["en/test.pdf"]


def test_entry_can_be_kept_in_a_cache_and_compared() -> None:
    bare = Entry(7)
    for each in (pickle.loads(pickle.dumps(bare)), copy.deepcopy(bare)):
        assert each == bare == Entry(7, headers={}, metadata={})
        assert (dict(each.headers), repr(each.metadata)) == ({}, "{}")
