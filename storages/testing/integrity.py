"""Items 118 to 120: what arrives is what was sent."""

from __future__ import annotations

from contextlib import suppress

from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from .case import ContractCase, NotTried, item

CONTENT = bytes(range(256)) * 400


class IntegrityContract(ContractCase):
    """Items 118 to 120. A backend gives storages whose line to the service is bad."""

    def make_corrupting_uploads(self) -> Storage:
        """Return an overwriting storage whose next upload arrives with a byte changed."""
        raise NotTried("no make_corrupting_uploads()")

    def make_cutting_downloads(self) -> Storage:
        """Return a storage whose next download ends cleanly, but before its announced length."""
        raise NotTried("no make_cutting_downloads()")

    def make_corrupting_downloads(self) -> Storage:
        """Return a storage whose next download arrives with a byte changed."""
        raise NotTried("no make_corrupting_downloads()")

    @item(118)
    def test_upload_that_changed_on_its_way_is_not_stored(self) -> None:
        storage = self.make_corrupting_uploads()
        try:
            name = storage.save("a.bin", ContentFile(CONTENT))
        except OSError:
            self.assert_stored("a.bin", None)
        else:
            self.assert_stored(name, CONTENT)

    @item("118b")
    def test_upload_that_changed_on_its_way_replaces_nothing(self) -> None:
        storage = self.make_corrupting_uploads()
        self.raw().put("a.bin", b"before")
        with suppress(OSError):
            storage.save("a.bin", ContentFile(CONTENT))
        self.assertIn(self.raw().get("a.bin"), (b"before", CONTENT))

    @item(119)
    def test_download_that_ends_early_is_never_taken_for_the_whole(self) -> None:
        storage = self.make_cutting_downloads()
        self.raw().put("a.bin", CONTENT)
        self.assert_whole_or_error(storage)

    @item(120)
    def test_download_that_changed_on_its_way_is_never_taken_for_the_file(self) -> None:
        storage = self.make_corrupting_downloads()
        self.raw().put("a.bin", CONTENT)
        self.assert_whole_or_error(storage)

    def assert_whole_or_error(self, storage: Storage) -> None:
        """Fail unless reading gives all of the content, or raises OSError."""
        with suppress(OSError):
            self.assert_same(self.read("a.bin", storage), CONTENT)
