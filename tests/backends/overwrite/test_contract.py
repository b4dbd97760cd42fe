"""The contract on OverwriteStorage."""

from __future__ import annotations

from storages.backends.overwrite import OverwriteStorage
from tests.backends.local.server import LocalContract


class TestOverwriteStorage(LocalContract):
    configuration = "overwrite"
    backend = OverwriteStorage
