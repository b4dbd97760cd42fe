"""The contract on ImageStorage."""

from __future__ import annotations

from storages.backends.image import ImageStorage
from tests.backends.local.server import LocalContract


class TestImageStorage(LocalContract):
    configuration = "image"
    backend = ImageStorage
