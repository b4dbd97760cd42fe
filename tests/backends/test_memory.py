"""The contract on the smallest backend: it proves the base and the contract itself."""

from __future__ import annotations

import uuid
from typing import Any

from storages.files import Entry
from storages.testing import StorageContract
from tests.memory import OBJECTS, MemoryStorage

ONE_PROCESS = "its files are in the memory of one process"


class TestMemoryStorage(StorageContract):
    configuration = "memory"
    impossible = {"6": ONE_PROCESS, "27": ONE_PROCESS}

    def make_storage(self, **options: Any) -> MemoryStorage:
        return MemoryStorage(bucket=self.root, base_url="/files/", **options)

    def raw(self) -> RawMemory:
        return RawMemory(self.root)

    def headers(self, name: str) -> dict[str, str]:
        return {"Content-Type": OBJECTS[self.root][name][1].content_type or ""}


class RawMemory:
    def __init__(self, bucket: str) -> None:
        self.objects = OBJECTS[bucket]

    def get(self, name: str) -> bytes | None:
        return self.objects[name][0] if name in self.objects else None

    def put(self, name: str, content: bytes) -> None:
        entry = Entry(len(content), etag=uuid.uuid4().hex)
        self.objects[name] = (content, entry)

    def names(self) -> list[str]:
        return list(self.objects)
