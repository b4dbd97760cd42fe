"""What images are, and images without anything but their picture; by Pillow 12.3 or later."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from typing import IO, Any, cast

from django.core.exceptions import SuspiciousFileOperation

from storages.driver import Source
from storages.utils import guess_content_type, sdk_missing, shown

_missing: ImportError | None = None
try:
    from PIL import IcoImagePlugin, Image, ImageCms, ImageOps
except ImportError as exc:
    _missing = exc

#: Formats by Pillow's name, and their extension. HEIF needs a plugin. Pillow reads forty more,
#: which no browser shows and most advisories are about.
EXTENSIONS = {
    "JPEG": "jpg",
    "MPO": "jpg",
    "PNG": "png",
    "GIF": "gif",
    "WEBP": "webp",
    "AVIF": "avif",
    "TIFF": "tiff",
    "BMP": "bmp",
    "ICO": "ico",
    "HEIF": "heif",
}
LEAST_FRAME = 4096  # pixels that a frame counts for, since each takes memory however small it is
HEADER_LIMIT = 32 * 1024 * 1024  # bytes read to find the format, which a few keep in no header

_ICON = b"\x00\x00\x01\x00"
_ENCODING: dict[str, dict[str, Any]] = {
    "GIF": {"disposal": 2},  # the frames are whole pictures, with nothing behind them
    "JPEG": {"quality": 90},
    "WEBP": {"quality": 90},
    "AVIF": {"quality": 90},
    "HEIF": {"quality": 90},
    "TIFF": {"compression": "tiff_deflate"},
}
# What Pillow raises for odd bytes; its warnings are raised where a site wants them to be.
_UNREADABLE = (
    ArithmeticError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    UserWarning,
    ValueError,
    struct.error,
)


class NotAnImage(SuspiciousFileOperation):
    """Raised for bytes that are no image of a known format, or a broken one."""


def identified(source: Source) -> str:
    """Return Pillow's name of an image's format, by its header.

    Raises NotAnImage, and SuspiciousFileOperation for more pixels than ``Image.MAX_IMAGE_PIXELS``.
    """
    if _missing is not None:
        raise sdk_missing("image", _missing)
    Image.init()
    with _reading(source):
        header = cast("IO[bytes]", _Header(source))
        if header.read(len(_ICON)) == _ICON:
            header.seek(0)
            # Opening an icon would decode it; an index error means that there is nothing in it.
            _ = IcoImagePlugin.IcoFile(header).entry[0]
            return "ICO"
        with Image.open(header, formats=list(EXTENSIONS.keys() & Image.OPEN.keys())) as image:
            _check_pixels(image.width * image.height)
            return str(image.format)


def is_extension(text: str) -> bool:
    """Return True if the end of a name says what a file holds; ".2023" and ". Smith" do not."""
    if text.lower() in Image.registered_extensions():
        return True
    return (
        text[1:].isascii()
        and text[1:].isalnum()
        and guess_content_type(f"x{text}", "") != ""
        and not text[1:].isdigit()
    )


def reencoded(source: Source, found: str) -> IO[bytes]:
    """Return an image of the same format and frames, upright and in sRGB, with nothing else."""
    written = "JPEG" if found == "MPO" else found
    options = dict(_ENCODING.get(written, {}))
    copy = io.BytesIO()
    with _reading(source), Image.open(cast("IO[bytes]", source), formats=[written]) as image:
        first, *rest = frames = list(_frames(image, several=written in Image.SAVE_ALL))
        if rest:
            # What shows where nothing is animated need not be one of the frames.
            is_apart = getattr(image, "default_image", False)
            durations = [each.info.get("duration", 0) for each in frames[is_apart:]]
            options |= {"default_image": True} if is_apart else {}
            options |= {"append_images": rest, "duration": durations}
            options |= {key: image.info[key] for key in ("loop",) if key in image.info}
        first.save(copy, written, save_all=bool(rest), **options)
    return copy


class _Header(io.RawIOBase):
    """Reads `HEADER_LIMIT` bytes of a file and no more, wherever they are."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = HEADER_LIMIT

    def tell(self) -> int:
        return self._source.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._source.seek(offset, whence)

    def read(self, size: int | None = -1, /) -> bytes:
        wanted = self._left if size is None or size < 0 else min(size, self._left)
        data = self._source.read(wanted)
        self._left -= len(data)
        return data


@contextmanager
def _reading(source: Source) -> Iterator[None]:
    """Rewind a content before and after, and turn what Pillow raises into a refusal of it."""
    source.seek(0)
    name = shown(getattr(source.file, "name", None))
    try:
        yield
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
        raise SuspiciousFileOperation(f"{name} has too many pixels: {exc}") from exc
    except _UNREADABLE as exc:
        if source.error is not None:
            raise source.error from None
        raise NotAnImage(f"{name} is no image of a known format, or broken.") from exc
    finally:
        source.seek(0)


def _frames(image: Image.Image, *, several: bool) -> Iterator[Image.Image]:
    pixels = 0
    # How many there are would only be known once all have been looked at.
    for index in count() if several else range(1):
        try:
            image.seek(index)
        except EOFError:
            return
        pixels += max(image.width * image.height, LEAST_FRAME if index else 0)
        _check_pixels(pixels)
        upright = ImageOps.exif_transpose(image)
        frame = _in_srgb(upright)
        # A colour that is transparent is one of the old ones.
        needed = {"duration"} if frame.mode == "RGBA" else {"duration", "transparency"}
        frame.info = {key: upright.info[key] for key in needed if key in upright.info}
        yield frame


def _in_srgb(image: Image.Image) -> Image.Image:
    """Return the colours that an image's profile means; a profile that does not fit is ignored."""
    profile = image.info.get("icc_profile")
    with suppress(ImageCms.PyCMSError, OSError, ValueError):
        if profile:
            own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            if not image.has_transparency_data:
                return ImageCms.profileToProfile(image, own, srgb, outputMode="RGB") or image
            # Profiles know no transparency, be it a channel, a colour or an entry of a palette.
            opaque = image.convert("L" if image.mode in {"1", "L", "LA", "La"} else "RGB")
            found = ImageCms.profileToProfile(opaque, own, srgb, outputMode="RGB") or opaque
            found.putalpha(image.convert("RGBA").getchannel("A"))
            return found
    return image


def _check_pixels(pixels: int) -> None:
    """Raise what Pillow only warns of."""
    if Image.MAX_IMAGE_PIXELS is not None and pixels > Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError(f"{pixels}, the limit is {Image.MAX_IMAGE_PIXELS}.")
