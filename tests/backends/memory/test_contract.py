"""The contract on the smallest backend: it proves the base and the contract itself."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from storages.driver import Entry
from storages.testing import StorageContract
from tests.memory import MemoryStorage

ONE_PROCESS = "its files are in the memory of one process"


class TestMemoryStorage(StorageContract):
    configuration = "memory"
    impossible = dict.fromkeys(("6", "27", "107b", "112b"), ONE_PROCESS)

    def make_storage(self, **options: Any) -> MemoryStorage:
        return MemoryStorage(bucket=self.root, **{"base_url": "/files/", **options})

    def raw(self) -> RawMemory:
        return RawMemory(self.make_storage().objects)

    def headers(self, name: str) -> dict[str, str]:
        return {"Content-Type": self.make_storage().objects[name][1].content_type or ""}


class RawMemory:
    def __init__(self, objects: dict[str, tuple[bytes, Entry]]) -> None:
        self.objects = objects

    def get(self, name: str) -> bytes | None:
        return self.objects[name][0] if name in self.objects else None

    def put(self, name: str, content: bytes) -> None:
        now = datetime.now(UTC)
        entry = Entry(len(content), now, now, now, etag=uuid.uuid4().hex)
        self.objects[name] = (content, entry)

    def names(self) -> list[str]:
        return list(self.objects)
