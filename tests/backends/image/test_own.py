"""ImageStorage: the contract, names by content, and what is no image or too much of one."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import warnings
import zlib
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile, File
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from PIL import Image, ImageCms, ImageFile, PngImagePlugin

from storages.backends.image import ImageStorage
from storages.testing.sources import Generated, pipe
from tests.backends.directory import files_in
from tests.backends.local.server import picture

EXTENSIONS = {
    "JPEG": "jpg",
    "PNG": "png",
    "GIF": "gif",
    "WEBP": "webp",
    "AVIF": "avif",
    "TIFF": "tiff",
    "BMP": "bmp",
    "ICO": "ico",
}
NOT_IMAGES = {
    "nothing": b"",
    "text": b"no image",
    "zeros": bytes(1000),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
    "html": b"<!DOCTYPE html><script>alert(1)</script>",
    "empty icon": b"\x00\x00\x01\x00\x00\x00" + bytes(100),
    "bare icon": b"\x00\x00\x01\x00",
    **{f"half a header of {kind}": picture(kind)[:20] for kind in EXTENSIONS},
}
OTHER_FORMATS = ["PPM", "PCX", "TGA", "SGI", "EPS", "JPEG2000", "DDS"]
ORIENTATION = 0x0112
ARTIST = 0x013B


@pytest.fixture
def storage(tmp_path):
    return ImageStorage(tmp_path / "files")


@pytest.fixture
def stored(tmp_path):
    """Return what is stored under a name."""
    return lambda name: (tmp_path / "files" / name).read_bytes()


def save(storage: ImageStorage, name: str, content: bytes, **options: Any) -> str:
    return storage.save(name, ContentFile(content), **options)


# Names


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_extension_is_appended_or_replaced_by_that_of_the_format(storage, stored, kind):
    content = picture(kind)
    extension = EXTENSIONS[kind]
    for name, root in {
        "photo": "photo",
        "photo.JPEG": "photo",
        "photo.PNG": "photo",
        "directory.d/photo": "directory.d/photo",
        "photo.tar.gz": "photo.tar",
        "Été 1.Été": "Été 1.Été",
        "Mr. Smith": "Mr. Smith",
        "map.2023": "map.2023",
        "version 1.2": "version 1.2",
        ".hidden": ".hidden",
    }.items():
        saved = save(storage, name, content)
        assert saved.startswith(root)
        assert saved.endswith(f".{extension}")
        assert stored(saved) == content
        storage.delete(saved)
    assert save(storage, f"photo.{extension}", content) == f"photo.{extension}"


def test_jpeg_of_several_pictures_is_a_jpeg(storage):
    content = picture("MPO", save_all=True, append_images=[Image.new("RGB", (4, 3))])
    assert save(storage, "photo.mpo", content) == "photo.jpg"


def test_format_of_a_plugin_is_found(storage, monkeypatch):
    class Heif(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self) -> None:
            self._size, self._mode = (4, 3), "RGB"

    monkeypatch.setitem(Image.OPEN, "HEIF", (Heif, lambda prefix: prefix[4:12] == b"ftypheic"))
    assert save(storage, "photo.HEIC", b"\0\0\0\x18ftypheic....") == "photo.heif"


def test_name_that_is_taken_with_its_new_extension_gets_another(storage, stored):
    names = [save(storage, name, picture("JPEG")) for name in ("photo.jpg", "photo", "photo.png")]
    assert names[0] == "photo.jpg"
    assert len(set(names)) == 3
    assert all(name.startswith("photo_") and name.endswith(".jpg") for name in names[1:])
    assert {stored(name) for name in names} == {picture("JPEG")}


def test_overwriting_replaces_no_file_of_another_name(tmp_path, stored):
    storage = ImageStorage(tmp_path / "files", file_overwrite=True)
    names = {
        save(storage, name, picture("JPEG", colour)): colour
        for name, colour in (("photo.jpg", "red"), ("photo.png", "blue"), ("photo", "green"))
    }
    assert len(names) == 3
    assert {name: stored(name) for name in names} == {
        name: picture("JPEG", colour) for name, colour in names.items()
    }


def test_overwriting_replaces_the_file_of_the_same_name(tmp_path, stored):
    storage = ImageStorage(tmp_path / "files", file_overwrite=True)
    for colour in ("red", "blue"):
        assert save(storage, "photo.jpg", picture("JPEG", colour)) == "photo.jpg"
    assert stored("photo.jpg") == picture("JPEG", "blue")


def test_max_length_holds_for_the_name_with_its_new_extension(tmp_path):
    unique = ImageStorage(tmp_path, file_overwrite=False)
    overwriting = ImageStorage(tmp_path, file_overwrite=True)
    for storage in (unique, overwriting):
        name = save(storage, "photograph", picture("AVIF"), max_length=14)
        assert len(name) <= 14
        assert name.endswith(".avif")
    for storage in (unique, overwriting):
        with pytest.raises(SuspiciousFileOperation):
            save(storage, "photo", picture("AVIF"), max_length=5)


def test_file_written_through_open_keeps_its_name(storage, stored):
    with storage.open("photo.png", "wb") as file:
        file.write(picture("JPEG"))
    assert stored("photo.png") == picture("JPEG")


# Contents


def test_content_is_read_from_wherever_it_can_be(storage, stored):
    content = picture("PNG") + bytes(300_000)
    at_its_end = io.BytesIO(content)
    at_its_end.seek(0, io.SEEK_END)
    with TemporaryUploadedFile("a", "image/png", len(content), None) as upload:
        upload.write(content)
        pieces = (content[start : start + 1000] for start in range(0, len(content), 1000))
        for file in (
            nullcontext(at_its_end),
            nullcontext(SimpleUploadedFile("a", content)),
            nullcontext(Generated(pieces)),
            nullcontext(upload),
            pipe(content),
        ):
            with file as opened:
                name = storage.save("photo", opened)
            assert name.endswith(".png")
            assert stored(name) == content
    assert not at_its_end.closed


def test_finding_the_format_of_a_large_image_reads_little_of_it(storage):
    read = 0

    class Counted(io.FileIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal read
            data = super().read(size)
            read += len(data)
            return data

    path = Path(storage.location).with_name("large.bmp")
    size = 30_000_000
    path.write_bytes(picture("BMP"))
    os.truncate(path, size)
    with Counted(path) as file:
        assert storage.save("large", File(file, "large")) == "large.bmp"
    assert size <= read < size + 10_000


@pytest.mark.parametrize("kind", OTHER_FORMATS)
def test_formats_that_are_not_on_the_list_are_not_looked_for(storage, kind):
    assert save(storage, "photo.Bin", picture(kind)) == "photo.Bin"


@pytest.mark.parametrize("content", NOT_IMAGES.values(), ids=NOT_IMAGES)
def test_what_is_no_image_is_kept_under_its_own_name(storage, stored, content):
    assert save(storage, "photo.JPEG", content) == "photo.JPEG"
    assert stored("photo.JPEG") == content


@pytest.mark.parametrize("content", NOT_IMAGES.values(), ids=NOT_IMAGES)
def test_what_is_no_image_is_refused_if_it_is_to_be(tmp_path, content):
    storage = ImageStorage(tmp_path, on_unknown="refuse")
    with pytest.raises(SuspiciousFileOperation, match=r"'photo\.jpg' is no image"):
        storage.save("photo.jpg", ContentFile(content, "photo.jpg"))
    with pytest.raises(SuspiciousFileOperation), storage.open("photo.jpg", "wb") as file:
        file.write(content)
    assert save(storage, "photo", picture("GIF")) == "photo.gif"
    assert list(files_in(tmp_path)) == ["photo.gif"]


def test_unknown_policy_is_refused(tmp_path):
    with pytest.raises(Exception, match="on_unknown"):
        save(ImageStorage(tmp_path, on_unknown="drop"), "a", b"no image")


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that claims a size and has next to no data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(b""))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [9_500, 20_000])
@pytest.mark.parametrize("warn", ["error", "ignore"])
def test_image_of_too_many_pixels_is_refused(tmp_path, side, warn):
    for policy in ("keep", "refuse"):
        storage = ImageStorage(tmp_path, on_unknown=policy)
        with warnings.catch_warnings():
            warnings.simplefilter(warn, Image.DecompressionBombWarning)
            with pytest.raises(SuspiciousFileOperation, match="too many pixels"):
                save(storage, "photo.png", png_header(side, side))
    assert list(files_in(tmp_path)) == []


def test_image_of_many_pixels_is_not_too_many(storage):
    assert save(storage, "photo", png_header(9_400, 9_400)) == "photo.png"


# Encoding anew


@pytest.fixture
def pure(tmp_path):
    return ImageStorage(tmp_path / "files", reencode=True)


@pytest.mark.parametrize("kind", EXTENSIONS)
def test_encoding_anew_keeps_the_picture_and_drops_what_follows_it(pure, stored, kind):
    name = save(pure, "photo", picture(kind) + b"<script>alert(1)</script>")
    assert b"script" not in stored(name)
    with Image.open(io.BytesIO(stored(name))) as image:
        assert (image.format, image.size) == (kind, (4, 3))
        assert near(image.convert("RGB").getpixel((1, 1)), (255, 0, 0))


def test_without_the_option_nothing_is_encoded_anew(storage, stored):
    content = picture("JPEG") + b"more"
    assert stored(save(storage, "photo", content)) == content


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_encoding_anew_turns_the_picture_upright_and_drops_its_metadata(pure, stored, kind):
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[ARTIST] = "an artist"
    name = save(pure, "photo", picture(kind, exif=exif))
    assert b"artist" not in stored(name)
    with Image.open(io.BytesIO(stored(name))) as image:
        assert image.size == (3, 4)
        assert image.getexif().get(ORIENTATION, 1) == 1


def test_encoding_anew_drops_comments_and_texts(pure, stored):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("Comment", "a secret")
    for kind, options in (
        ("PNG", {"pnginfo": texts}),
        ("GIF", {"comment": b"a secret"}),
        ("JPEG", {"comment": b"a secret"}),
        ("WEBP", {"xmp": b"a secret"}),
        ("TIFF", {"description": "a secret"}),
    ):
        content = picture(kind, **options)
        assert b"a secret" in content
        assert b"a secret" not in stored(save(pure, "photo", content))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_encoding_anew_puts_the_colours_of_a_profile_into_srgb(pure, stored, mode):
    content = io.BytesIO()
    Image.new(mode, (4, 3), "red").save(content, "PNG", icc_profile=profile_of_red_for_blue())
    with Image.open(io.BytesIO(stored(save(pure, "photo", content.getvalue())))) as image:
        assert "icc_profile" not in image.info
        assert image.mode == mode
        assert near(image.convert("RGB").getpixel((0, 0)), (0, 0, 255))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_encoding_anew_passes_over_what_is_no_profile(pure, stored, kind):
    name = save(pure, "photo", picture(kind, icc_profile=b"<script>alert(1)</script>"))
    assert b"script" not in stored(name)
    with Image.open(io.BytesIO(stored(name))) as image:
        assert near(image.getpixel((0, 0)), (255, 0, 0))


def profile_of_red_for_blue() -> bytes:
    """Return sRGB with two entries of its table of tags swapped."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"....").replace(b"bXYZ", b"rXYZ").replace(b"....", b"bXYZ")


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "AVIF"])
def test_encoding_anew_keeps_an_animation(pure, stored, kind):
    content = io.BytesIO()
    frames = [Image.new("RGBA", (40, 30)) for _ in range(3)]
    for index, frame in enumerate(frames):
        frame.paste("red", (10 * index, 0, 10 * index + 10, 30))
    durations = [100, 200, 300]
    first, *rest = frames
    first.save(
        content, kind, save_all=True, append_images=rest, duration=durations, loop=3, disposal=2
    )
    name = save(pure, "photo", content.getvalue())
    with Image.open(content) as before, Image.open(io.BytesIO(stored(name))) as after:
        assert (after.n_frames, after.info.get("loop")) == (3, before.info.get("loop"))
        for index, duration in enumerate(durations):
            before.seek(index)
            after.seek(index)
            assert colours(after) == colours(before)
            assert after.info["duration"] == duration


def colours(image: Image.Image) -> list[str]:
    """Name the colours of four columns."""
    shown = image.convert("RGBA")
    pixels = [shown.getpixel((x, 15)) for x in (5, 15, 25, 35)]
    return ["none" if pixel[3] < 10 else "red" if pixel[0] > 200 else "black" for pixel in pixels]


def test_encoding_anew_keeps_transparency(pure, stored):
    content = io.BytesIO()
    palette = Image.new("P", (4, 3), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    palette.putpixel((0, 0), 0)
    palette.save(content, "PNG", transparency=0)
    with Image.open(io.BytesIO(stored(save(pure, "photo", content.getvalue())))) as image:
        again = image.convert("RGBA")
    assert again.getpixel((0, 0))[3] == 0
    assert again.getpixel((1, 1)) == (255, 0, 0, 255)


def test_image_that_cannot_be_decoded_is_refused_where_it_would_be_encoded_anew(pure, tmp_path):
    cut = [picture(kind)[:-10] for kind in ("GIF", "BMP", "TIFF", "AVIF")]
    for content in (png_header(100, 100), *cut):
        with pytest.raises(SuspiciousFileOperation):
            save(pure, "photo", content)
    assert list(files_in(tmp_path)) == []


def test_frames_that_are_too_many_pixels_together_are_refused(pure, tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    colours = [Image.new("RGB", (4, 3), colour) for colour in ("blue", "green")]
    content = picture("GIF", save_all=True, append_images=colours)
    with pytest.raises(SuspiciousFileOperation, match="too many pixels"):
        save(pure, "photo", content)
    assert list(files_in(tmp_path)) == []


def test_frames_take_memory_however_small_they_are(pure, tmp_path):
    # 60,000 frames in 1.3 MB, each of which Pillow needs kilobytes for.
    frame = b"\x2c" + bytes(4) + b"\x01\x00\x01\x00\x80" + bytes(6) + b"\x02\x02\x44\x01\x00"
    content = b"GIF89a\x01\x00\x01\x00\x00\x00\x00" + frame * 60_000 + b";"
    with pytest.raises(SuspiciousFileOperation, match="too many pixels"):
        save(pure, "photo", content)
    assert list(files_in(tmp_path)) == []


def test_what_is_no_image_is_kept_also_where_images_are_encoded_anew(pure, stored):
    assert stored(save(pure, "notes.txt", b"no image")) == b"no image"


def near(found: Any, wanted: Any) -> bool:
    """Return True if two colours look the same."""
    return all(abs(one - two) < 30 for one, two in zip(found, wanted, strict=True))


# Pillow


def test_without_pillow_the_first_save_says_what_to_install(tmp_path):
    program = """
import sys
sys.modules["PIL"] = None
from django.conf import settings
settings.configure()
from django.core.files.base import ContentFile
from storages.backends.image import ImageStorage
storage = ImageStorage(sys.argv[1])
assert not storage.exists("a")
try:
    storage.save("a", ContentFile(b""))
except Exception as exc:
    print(type(exc).__name__, exc)
"""
    command = [sys.executable, "-c", program, tmp_path]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "ImproperlyConfigured" in said
    assert "pip install 'django-storages[image]'" in said


# Profiles and transparency


def grey_profile() -> bytes:
    """Return the smallest profile of greys with a gamma of 2.2 (ICC.1:2001-04)."""
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(2.2 * 256)) + bytes(2)
    white = b"XYZ " + bytes(4) + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    at = 128 + 4 + 2 * 12
    tags = struct.pack(">I4sII4sII", 2, b"kTRC", at, 14, b"wtpt", at + 16, 20)
    body = tags + curve + white
    head = struct.pack(
        ">I4sI4s4s4s", 128 + len(body), b"none", 0x02400000, b"mntr", b"GRAY", b"XYZ "
    )
    head += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 0xF6D6, 0x10000, 0xD32D)
    return head.ljust(128, b"\0") + body


def grey(mode: str) -> Image.Image:
    """Return an image whose left half is a grey that shows, its right half transparent."""
    image = Image.new("LA", (4, 2), (128, 255))
    image.paste((200, 0), (2, 0, 4, 2))
    if mode == "L":
        image = image.convert("L")
        image.info["transparency"] = 200
    return image if mode in {"L", "LA"} else image.convert("RGBA").convert(mode)


@pytest.mark.parametrize("mode", ["LA", "L", "RGBA"])
@pytest.mark.parametrize("with_profile", [True, False])
def test_encoding_anew_keeps_what_is_transparent(pure, stored, mode, with_profile):
    file = io.BytesIO()
    profile = {"icc_profile": grey_profile()} if with_profile and mode != "RGBA" else {}
    if with_profile and mode == "RGBA":
        profile = {
            "icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
        }
    image = grey(mode)
    image.save(file, "PNG", **{**image.info, **profile})
    with Image.open(io.BytesIO(stored(save(pure, "grey.png", file.getvalue())))) as found:
        assert "icc_profile" not in found.info
        colours = found.convert("RGBA")
    assert colours.getpixel((0, 0))[3] == 255
    assert near(colours.getpixel((0, 0))[:3], (128, 128, 128))
    assert colours.getpixel((3, 1))[3] == 0


def test_picture_that_stands_apart_from_an_animation_stays_apart(pure, stored):
    colours = ("red", "green", "blue")
    first, *frames = [Image.new("RGB", (4, 3), colour) for colour in colours]
    file = io.BytesIO()
    options = {"append_images": frames, "duration": [100, 300], "default_image": True}
    first.save(file, "PNG", save_all=True, **options)
    with Image.open(io.BytesIO(stored(save(pure, "a.png", file.getvalue())))) as found:
        assert found.default_image
        assert found.n_frames == 3
        shown = []
        for index in range(3):
            found.seek(index)
            shown.append(found.convert("RGB").getpixel((1, 1)))
        assert found.info["duration"] == 300
    assert shown == [(255, 0, 0), (0, 128, 0), (0, 0, 255)]
