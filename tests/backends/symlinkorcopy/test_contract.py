"""The contract on SymlinkOrCopyStorage."""

from __future__ import annotations

import pytest

from storages.backends.symlinkorcopy import SymlinkOrCopyStorage
from tests.backends.local.server import LocalContract
from tests.servers.exfat import ExFAT


class TestSymlinkOrCopyStorage(LocalContract):
    configuration = "symlinkorcopy"
    backend = SymlinkOrCopyStorage


class TestSymlinkOrCopyStorageOnExFAT(LocalContract):
    """Where there are no links, as on most disks of Windows."""

    configuration = "symlinkorcopy-exfat"
    backend = SymlinkOrCopyStorage
    impossible = LocalContract.impossible | {
        "test_dangling_links_and_pipes_do_not_break_listings": "exFAT has no links",
        "test_odd_names_are_listed_as_they_were_saved": "exFAT has no such names",
        "test_readers_see_old_or_new_content_while_a_file_is_overwritten": "exfat-fuse takes the "
        "old file away before it renames the new one",
        "test_upper_and_lower_case_make_two_names": "exFAT has one name for both",
    }
    refused_characters = dict.fromkeys('"*:<>?|', "exFAT has no such names")

    @pytest.fixture(autouse=True)
    def in_exfat(self, exfat: ExFAT) -> None:
        self.place = exfat.directory
