"""What open files do that no service shows by itself."""

from __future__ import annotations

import errno
import gc
import gzip
import io
import os
import threading
import tracemalloc
import uuid
from dataclasses import replace
from typing import Any

import pytest
from django.core.files.base import ContentFile
from PIL import Image

from storages.driver import Entry, Source, Stream
from tests.memory import MemoryStorage

MIB = 1024 * 1024


@pytest.fixture
def storage() -> MemoryStorage:
    return MemoryStorage(bucket=uuid.uuid4().hex, file_overwrite=True)


class Vanishing(io.BytesIO):
    """A stream whose file is deleted half-way."""

    def read(self, size: int | None = -1, /) -> bytes:
        if data := super().read(1000 if size is None else min(size, 1000)):
            return data
        raise FileNotFoundError(errno.ENOENT, "Deleted meanwhile")


class VanishingStorage(MemoryStorage):
    def _read(self, key: str, start: int, entry: Entry) -> Stream:
        return Vanishing(self.objects[key][0][start : start + 2000])


@pytest.mark.parametrize("mode", ["ab", "a", "r+b"])
def test_file_whose_copy_breaks_is_not_opened_to_be_changed(mode: str) -> None:
    storage = VanishingStorage(bucket=uuid.uuid4().hex, file_overwrite=True)
    storage.save("file", ContentFile(bytes(5000)))
    with pytest.raises(FileNotFoundError):
        storage.open("file", mode)
    assert storage.size("file") == 5000


def test_reading_all_holds_the_content_once(storage: MemoryStorage) -> None:
    size = 40 * MIB
    storage.save("file", ContentFile(bytes(size)))
    # This backend's own stream is a copy in memory.
    with storage.open("file") as file:
        file.read(1)
        tracemalloc.start()
        try:
            assert len(file.read()) == size - 1
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak <= 1.3 * size


class BoastfulStorage(MemoryStorage):
    """Says that its files have 10 TB."""

    def _stat(self, key: str) -> Entry:
        return replace(super()._stat(key), size=10**13)


def test_size_that_a_service_claims_takes_no_memory() -> None:
    storage = BoastfulStorage(bucket=uuid.uuid4().hex)
    storage.save("file", ContentFile(b"content"))
    with storage.open("file") as file, pytest.raises(ConnectionError, match="ended early"):
        file.read()


class EncodedStorage(MemoryStorage):
    """Says that what it holds is compressed."""

    def _stat(self, key: str) -> Entry:
        return replace(super()._stat(key), encoding="gzip")


@pytest.mark.parametrize(
    "stored", [gzip.compress(bytes(100_000))[:-20], b"no gzip at all", b"\x1f"]
)
def test_stored_bytes_that_are_no_whole_gzip_stream_are_an_oserror(stored: bytes) -> None:
    storage = EncodedStorage(bucket=uuid.uuid4().hex, file_overwrite=True)
    storage.save("file", ContentFile(stored))
    for read in (lambda file: file.read(), lambda file: file.readlines(), lambda file: file.size):
        with storage.open("file") as file, pytest.raises(OSError, match="gzip") as caught:
            read(file)
        assert caught.value.filename == "file"


@pytest.mark.parametrize("kind", ["GIF", "BMP", "PNG", "TIFF", "JPEG"])
@pytest.mark.parametrize("size", [(4, 3), (2000, 1500)])
def test_picture_that_pillow_writes_is_the_picture(
    storage: MemoryStorage, kind: str, size: tuple[int, int]
) -> None:
    with storage.open("picture", "wb") as file:
        Image.new("RGB", size, "red").save(file, kind)
    with storage.open("picture") as file, Image.open(file) as found:
        found.load()
        assert found.size == size


class Tenants(MemoryStorage):
    """Has its files where the thread that uses it says."""

    current = threading.local()

    @property
    def bucket(self) -> str:  # type: ignore[override]
        return str(self.current.bucket)

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        write = super()._write

        def job() -> None:
            write(key, source, overwrite=overwrite, expected=expected)

        worker = threading.Thread(target=job)
        worker.start()
        worker.join()


def test_threads_of_a_save_store_where_the_save_began() -> None:
    Tenants.current.bucket = bucket = uuid.uuid4().hex
    storage = Tenants(file_overwrite=True)
    storage.save("file", ContentFile(b"content"))
    assert MemoryStorage(bucket=bucket).exists("file")


def test_tenants_in_threads_never_see_a_file_of_another() -> None:
    storage, errors = Tenants(file_overwrite=True), list[object]()
    buckets = [uuid.uuid4().hex for _ in range(2)]

    def work(number: int) -> None:
        mine, others = buckets[number % 2], buckets[(number + 1) % 2]
        for turn in range(30):
            name = f"{number}-{turn}"
            Tenants.current.bucket = mine
            with storage.open(name, "wb") as file:
                file.write(mine.encode())
                Tenants.current.bucket = others
            if storage.exists(name):
                errors.append(name)
            Tenants.current.bucket = mine
            with storage.open(name) as file:
                Tenants.current.bucket = others
                if file.read() != mine.encode():
                    errors.append(name)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []
    assert len(MemoryStorage(bucket=buckets[0]).listdir("")[1]) == 8 * 30


def test_file_is_reopened_with_the_arguments_of_python_s_open(storage: MemoryStorage) -> None:
    storage.save("file", ContentFile("é\r\n".encode("latin-1")))
    file: Any = storage.open("file")
    file.close()
    with file.open("r", encoding="latin-1", newline="") as again:
        assert again.read() == "é\r\n"


def test_file_of_bytes_is_not_reopened_with_what_texts_take(storage: MemoryStorage) -> None:
    storage.save("file", ContentFile(b"content"))
    file: Any = storage.open("file")
    file.close()
    with pytest.raises(ValueError, match="Mode 'rb' is binary: it takes no encoding or newline"):
        file.open("rb", encoding="latin-1", newline="")
    assert file.open("r", encoding="latin-1").read() == "content"
    file.close()


def test_size_to_read_is_refused_as_python_s_own_files_do(storage: MemoryStorage) -> None:
    storage.save("file", ContentFile(b"content"))
    with storage.open("file") as file:
        with pytest.raises(ValueError, match="non-negative or -1"):
            file.read(-5)
        assert file.read() == b"content"


@pytest.mark.parametrize("whence", [-1, 3, 4, 5])
@pytest.mark.parametrize("mode", ["rb", "r", "wb", "w", "ab", "a", "r+b", "r+", "w+b", "a+"])
@pytest.mark.parametrize("is_packed", [False, True], ids=["plain", "gzip"])
def test_move_of_an_unknown_kind_is_refused_as_python_s_own_files_do(
    storage: MemoryStorage, mode: str, whence: int, *, is_packed: bool
) -> None:
    storage.save("file", ContentFile(b"content"))
    if is_packed:
        content, entry = storage.objects["file"]
        packed = gzip.compress(content)
        storage.objects["file"] = packed, replace(entry, size=len(packed), encoding="gzip")
    with storage.open("file", mode) as file:
        with pytest.raises(ValueError, match="whence"):
            file.seek(0, whence)
        assert file.seek(0) == 0


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - which opens one itself


def test_reopening_with_an_unknown_encoding_leaves_nothing(storage: MemoryStorage) -> None:
    storage.max_memory_size = 10
    storage.save("file", ContentFile(bytes(1000)))
    file: Any = storage.open("file")
    file.close()
    before = descriptors()
    for mode in ("r", "w", "r+", "a"):
        with pytest.raises(LookupError, match="unknown encoding"):
            file.open(mode, encoding="no such encoding")
        assert file.closed
        assert descriptors() == before
    # One that was left open would warn.
    del file
    gc.collect()
    assert storage.open("file").read() == bytes(1000)
