"""ImageStorage: the contract, and names by content."""

from __future__ import annotations

from storages.backends.image import ImageStorage
from tests.backends.local import LocalContract


class TestImageStorage(LocalContract):
    configuration = "image"
    backend = ImageStorage
