"""A film for browsers: noise in VP8, each frame by itself, as a WebM file that can be sought in.

VP8 frames come out of WebP pictures, which are such frames (RFC 9649 2.5); the container is
Matroska (RFC 9559) with the few elements that a player needs.
"""

from __future__ import annotations

import io
import random
import struct

from PIL import Image

WIDTH, HEIGHT = 640, 360
PICTURES = 8  # that take turns, since each takes time to make


def film(seconds: int) -> bytes:
    """Return a film of one frame a second."""
    dice = random.Random(1)
    frames = [_frame(dice) for _ in range(PICTURES)]
    clusters = [_cluster(second, frames[second % PICTURES]) for second in range(seconds)]
    info = _info(seconds)
    tracks = _tracks()
    # The size of the cues does not depend on the positions in them.
    start = len(info) + len(tracks) + len(_cues([0] * seconds))
    positions = [start + sum(map(len, clusters[:number])) for number in range(seconds)]
    segment = b"".join([info, tracks, _cues(positions), *clusters])
    return _head() + _element(0x18538067, segment)


def _frame(dice: random.Random) -> bytes:
    noise = Image.frombytes("RGB", (WIDTH, HEIGHT), dice.randbytes(WIDTH * HEIGHT * 3))
    file = io.BytesIO()
    noise.save(file, "WEBP", quality=60)
    data = file.getvalue()
    at = data.index(b"VP8 ")
    (size,) = struct.unpack("<I", data[at + 4 : at + 8])
    return data[at + 8 : at + 8 + size]


def _head() -> bytes:
    fields = _number(0x4286, 1) + _number(0x42F7, 1) + _number(0x42F2, 4) + _number(0x42F3, 8)
    kind = _element(0x4282, b"webm") + _number(0x4287, 4) + _number(0x4285, 2)
    return _element(0x1A45DFA3, fields + kind)


def _info(seconds: int) -> bytes:
    # Times are in milliseconds.
    duration = _element(0x4489, struct.pack(">d", seconds * 1000.0))
    makers = _element(0x4D80, b"tests") + _element(0x5741, b"tests")
    return _element(0x1549A966, _number(0x2AD7B1, 1_000_000) + duration + makers)


def _tracks() -> bytes:
    picture = _element(0xE0, _number(0xB0, WIDTH) + _number(0xBA, HEIGHT))
    numbers = _number(0xD7, 1) + _number(0x73C5, 1) + _number(0x83, 1)
    return _element(0x1654AE6B, _element(0xAE, numbers + _element(0x86, b"V_VP8") + picture))


def _cues(positions: list[int]) -> bytes:
    points = [
        _element(
            0xBB,
            _number(0xB3, second * 1000)
            + _element(0xB7, _number(0xF7, 1) + _number(0xF1, position)),
        )
        for second, position in enumerate(positions)
    ]
    return _element(0x1C53BB6B, b"".join(points))


def _cluster(second: int, frame: bytes) -> bytes:
    block = b"\x81" + struct.pack(">hB", 0, 0x80) + frame
    return _element(0x1F43B675, _number(0xE7, second * 1000) + _element(0xA3, block))


def _number(identity: int, value: int) -> bytes:
    return _element(identity, value.to_bytes(8, "big"))


def _element(identity: int, content: bytes) -> bytes:
    name = identity.to_bytes((identity.bit_length() + 7) // 8, "big")
    return name + (len(content) | 1 << 56).to_bytes(8, "big") + content
