"""Items 132, 133 and 136: what entries tell of contents, files deleted in bulk and copied."""

from __future__ import annotations

import io
from typing import Any, ClassVar, Final

from storages.digests import matches
from storages.transfers import COPIED, copy, delete_many

from .case import Impossible, item
from .listing import ListingContract
from .sources import random_bytes
from .spellings import PUNCTUATION, SCRIPTS

MORE: Final = 50  # files over what one request deletes


class BulkContract(ListingContract):
    """Items 132, 133 and 136."""

    #: Files that one request deletes at most.
    deleted_at_once: ClassVar[int] = 1

    def entries(self) -> dict[str, Any]:
        """Return the entries of all files by name, as the listing tells them."""
        scan = getattr(self.storage, "scan", None)
        if scan is None:
            raise Impossible("it has no scan()")
        return dict(scan(recursive=True))

    @item(132)
    def test_digest_of_an_entry_is_that_of_the_stored_bytes(self) -> None:
        sizes = (0, 1, 70_000, self.large_size)
        for size in sizes:
            self.save(f"{size}.bin", random_bytes(size))
        listed = self.entries()
        for size in sizes:
            name = f"{size}.bin"
            stored = self.raw().get(name) or b""
            for entry in (listed[name], self.storage.stat(name)):  # type: ignore[attr-defined]
                with self.subTest(size=size, digest=entry.digest):
                    has_one = matches(entry.digest, io.BytesIO(stored), len(stored))
                    self.assertIs(has_one, True if entry.digest else None)

    @item(132)
    def test_digest_of_an_entry_changes_with_the_content(self) -> None:
        self.save("a.bin", b"before")
        self.save("a.bin", b"behind")
        for entry in (self.entries()["a.bin"], self.storage.stat("a.bin")):  # type: ignore[attr-defined]
            with self.subTest(digest=entry.digest):
                has_old = matches(entry.digest, io.BytesIO(b"before"), 6)
                self.assertIs(has_old, False if entry.digest else None)

    @item(133)
    def test_files_deleted_in_bulk_are_gone_and_others_stay(self) -> None:
        table = {**PUNCTUATION, **SCRIPTS}
        names = [name for label, name in table.items() if self.takes(label, name)]
        odd = [f"odd/{name}" for name in names]
        spaced = [f"odd/{name.strip()}-stays" for name in names if name.strip()]
        stays = [*spaced, "dir/a.txt.bak", "dir/a.tx", "a.txt"]
        for name in {*odd, *stays, "dir/a.txt"}:
            self.save(name)
        gone = [*odd, "dir/a.txt", "dir/missing.txt", "missing/a.txt"]
        found = dict(delete_many(self.storage, gone))
        self.assertEqual(found, dict.fromkeys(gone))
        self.assertEqual(set(self.raw().names()), set(stays) - set(odd))

    @item(133)
    def test_more_files_than_one_request_takes_are_deleted_in_bulk(self) -> None:
        names = [f"many/{number:04}.txt" for number in range(self.deleted_at_once + MORE)]
        self.plant_many([*names, "many-stay.txt"])
        self.assertEqual(dict(delete_many(self.storage, iter(names))), dict.fromkeys(names))
        self.assertEqual(list(self.raw().names()), ["many-stay.txt"])

    @item(133)
    def test_name_that_no_file_can_have_is_reported_and_keeps_no_other(self) -> None:
        self.save("a.txt")
        self.save("b.txt")
        found = dict(delete_many(self.storage, ["a.txt", "../up.txt", "b.txt"]))
        self.assertIsInstance(found.pop("../up.txt"), ValueError)
        self.assertEqual(found, {"a.txt": None, "b.txt": None})

    @item("133b")
    def test_directory_with_files_is_not_deleted_in_bulk(self) -> None:
        self.save("dir/a.txt")
        self.save("b.txt")
        found = dict(delete_many(self.storage, ["dir", "b.txt"]))
        self.assertIsNone(found["b.txt"])
        self.assertEqual(list(self.raw().names()), ["dir/a.txt"])

    @item(136)
    def test_files_copied_within_the_service_are_whole_and_change_no_other(self) -> None:
        files = {
            "a.txt": b"content",
            "dir/empty.bin": b"",
            "dir/large.bin": random_bytes(self.large_size),
            **{f"many/{number}.txt": random_bytes(number, number) for number in range(20)},
        }
        for name, content in files.items():
            self.save(name, content)
        target = self.make_located("copies")
        report = copy(self.storage, target, verify=True)
        self.assertEqual(
            {each.name: each.action for each in report.outcomes}, dict.fromkeys(files, COPIED)
        )
        for name, content in files.items():
            self.assert_same(self.read(name, target), content, name)
            self.assert_stored(name, content)
        self.assertEqual(len(list(self.raw().names())), 2 * len(files))
