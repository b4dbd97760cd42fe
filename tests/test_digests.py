from __future__ import annotations

import hashlib
import io

import pytest
from dropbox.content_hash import DropboxContentHasher

from storages.digests import hasher, matches, of_etag, of_md5
from storages.testing.sources import random_bytes

MIB = 1024 * 1024


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def in_parts(content: bytes, size: int) -> str:
    """The digest that S3 gives a file that was uploaded in parts of a size."""
    parts = [content[start : start + size] for start in range(0, len(content), size)]
    whole = b"".join(bytes.fromhex(md5(part)) for part in parts)
    return f"md5-{len(parts)}:{md5(whole)}"


def asked(digest: str | None, content: bytes, **options: list[int]) -> bool | None:
    file = io.BytesIO(content)
    file.seek(3)
    found = matches(digest, file, len(content), **options)
    if digest is not None and found is not None:
        assert file.tell() == 0
    return found


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
def test_digest_of_the_content_is_told_from_another(algorithm: str) -> None:
    digest = f"{algorithm}:{hashlib.new(algorithm, b'content').hexdigest()}"
    assert asked(digest, b"content") is True
    assert asked(digest, b"kontent") is False


@pytest.mark.parametrize("size", [0, 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 9 * MIB])
def test_hash_of_dropbox_is_told(size: int) -> None:
    content = random_bytes(size)
    theirs = DropboxContentHasher()
    theirs.update(content)
    digest = f"dropbox:{theirs.hexdigest()}"
    assert asked(digest, content) is True
    assert asked(digest, content + b"x") is False


@pytest.mark.parametrize("size", [5, 8, 15, 16])
def test_upload_in_parts_of_a_common_size_is_told(size: int) -> None:
    content = random_bytes(17 * MIB)
    assert asked(in_parts(content, size * MIB), content) is True


def test_upload_in_parts_of_another_size_is_told_if_that_is_known() -> None:
    content = random_bytes(17 * MIB)
    digest = in_parts(content, 6 * MIB)
    assert asked(digest, content) is None
    assert asked(digest, content, part_sizes=[6 * MIB]) is True


def test_upload_of_one_part_is_told_whatever_the_size_of_parts() -> None:
    assert asked(in_parts(b"content", 100), b"content") is True
    assert asked(in_parts(b"content", 100), b"kontent") is False


@pytest.mark.parametrize(
    "digest", [None, "", "md5", "md5:", "crc:00", "md5-x:00", "md5-2:00", "shake_128:00"]
)
def test_what_cannot_be_told_is_none(digest: str | None) -> None:
    assert asked(digest, b"content") is None


HEX = "9a0364b9e99bb480dd25e1f0284c8555"


@pytest.mark.parametrize(
    ("etag", "digest"),
    [
        (f'"{HEX}"', f"md5:{HEX}"),
        (HEX, f"md5:{HEX}"),
        (f'W/"{HEX}"', f"md5:{HEX}"),
        (f'"{HEX}-12"', f"md5-12:{HEX}"),
        (f'"{HEX}-0"', None),
        (f'"{HEX.upper()}"', None),
        ('"0x8DC5AA0C2D0F8A0"', None),
        ("", None),
        (None, None),
    ],
)
def test_etag_of_the_form_of_s3_is_a_digest(etag: str | None, digest: str | None) -> None:
    assert of_etag(etag) == digest


@pytest.mark.parametrize("text", ["", "content", "mgNkuembtIDdJeHwKEyF", None, "mgNkuembtIDdJ!="])
def test_text_that_is_no_md5_is_no_digest(text: str | None) -> None:
    assert of_md5(text) is None


def test_md5_in_base64_is_a_digest() -> None:
    assert of_md5("mgNkuembtIDdJeHwKEyFVQ==") == f"md5:{HEX}"


def test_pieces_of_any_size_give_the_same_digest() -> None:
    content = random_bytes(9 * MIB)
    found = set()
    for step in (7 * MIB, 1000_003, 4 * MIB):
        each = hasher("dropbox")
        assert each is not None
        for start in range(0, len(content), step):
            each.update(content[start : start + step])
        found.add(each.hexdigest())
    assert len(found) == 1
