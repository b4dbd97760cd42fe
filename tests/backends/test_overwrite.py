"""OverwriteStorage: the contract, crashes, full disks and odd things in its directory."""

from __future__ import annotations

from storages.backends.overwrite import OverwriteStorage
from tests.backends.local import LocalContract


class TestOverwriteStorage(LocalContract):
    configuration = "overwrite"
    backend = OverwriteStorage
