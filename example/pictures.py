"""Pictures to upload: landscapes, painted by Pillow in several formats."""

from __future__ import annotations

import io
import math
from typing import NamedTuple

from PIL import Image, ImageDraw

SIZE = (960, 640)  # pixels


class Picture(NamedTuple):
    """A file to upload, and the title to give it."""

    title: str
    filename: str
    content_type: str
    content: bytes


class Light(NamedTuple):
    """The colours of a time of day, top to bottom, and the height of the sun (0 to 1)."""

    sky: str
    horizon: str
    hills: str
    sun: float


def landscapes() -> list[Picture]:
    """Paint one picture per format."""
    return [
        picture("Morning", "morning.jpg", Light("#5f8fb4", "#fbe3c0", "#2c5a52", 0.48)),
        picture(
            "Über den Hügeln", "Über den Hügeln.png", Light("#2d6ca2", "#cfe8f2", "#3d6b35", 0.2)
        ),
        picture("Evening", "夕焼け.webp", Light("#3b2a63", "#f58a5b", "#2a1c40", 0.55)),
        picture(
            "Night & fog + 100%",
            "night & fog + 100%.gif",
            Light("#0c1730", "#33507d", "#0a0f1f", 0.16),
        ),
    ]


def picture(title: str, filename: str, light: Light) -> Picture:
    """Paint a landscape and encode it in the format of its extension."""
    extension = filename.rpartition(".")[2]
    kind = "jpeg" if extension == "jpg" else extension
    buffer = io.BytesIO()
    paint(light).save(buffer, kind.upper())
    return Picture(title, filename, f"image/{kind}", buffer.getvalue())


def paint(light: Light) -> Image.Image:
    """Paint sky, sun and four rows of hills, each nearer and darker than the last."""
    width, height = SIZE
    shade = Image.linear_gradient("L").resize(SIZE)
    image = Image.composite(
        Image.new("RGB", SIZE, light.horizon), Image.new("RGB", SIZE, light.sky), shade
    )
    draw = ImageDraw.Draw(image)
    x, y, radius = width * 0.68, height * light.sun, 46
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill="#fff3d1")
    for row in range(4):
        top = [ridge(row, column) for column in range(width)]
        outline = [(0, height), *enumerate(top), (width, height)]
        near = Image.blend(
            Image.new("RGB", (1, 1), light.horizon),
            Image.new("RGB", (1, 1), light.hills),
            0.4 + row * 0.2,
        )
        draw.polygon(outline, fill=near.getpixel((0, 0)))
    return image


def ridge(row: int, column: int) -> float:
    """Return the height of a row of hills at a column, in pixels from the top."""
    base = SIZE[1] * (0.55 + row * 0.11)
    return (
        base
        + 34 * math.sin(column / (150 - row * 22) + row * 1.9)
        + 13 * math.sin(column / 41 + row)
    )
