"""SymlinkOrCopyStorage: the contract, and what is linked to, copied and refused."""

from __future__ import annotations

from typing import Any

from storages.backends.symlinkorcopy import SymlinkOrCopyStorage
from tests.backends.local import LocalContract


class TestSymlinkOrCopyStorage(LocalContract):
    configuration = "symlinkorcopy"
    backend = SymlinkOrCopyStorage
