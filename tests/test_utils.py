from __future__ import annotations

import io
import itertools
import os
import random
import subprocess
import sys
from enum import Enum
from pathlib import PurePosixPath

import pytest
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.test import override_settings

from storages.utils import (
    RefusedName,
    clean_name,
    content_type_of,
    get_available_overwrite_name,
    guess_content_type,
    is_loopback,
    is_nameable,
    is_seekable,
    is_taken_by_windows,
    lookup_env,
    normalize_name,
    printable,
    public_url,
    safe_join,
    sdk_missing,
    setting,
    shown,
)

# Names

PARTS = ("a", ".", "", "..", "\\", "/", "é", " ", "%2e", "a.b", "C:", "\n", "...")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", "a.txt"),
        ("a/b.txt", "a/b.txt"),
        ("a\\b.txt", "a/b.txt"),
        ("a//b", "a/b"),
        ("a/./b", "a/b"),
        ("./a", "a"),
        ("a/", "a"),
        ("a/.", "a"),
        (".a", ".a"),
        ("...", "..."),
        ("a..b", "a..b"),
        ("..a/b..", "..a/b.."),
        (" a /b ", " a /b "),
        ("~/a", "~/a"),
        ("%2e%2e/a", "%2e%2e/a"),
        ("é", "é"),
        ("e\u0301", "e\u0301"),
        (PurePosixPath("a/b"), "a/b"),
        ("a/" * 511 + "a", "a/" * 511 + "a"),
    ],
)
def test_name_is_relative_and_has_only_real_components(name, expected):
    assert normalize_name(name) == expected


class Logo(str, Enum):  # noqa: UP042
    """A text whose ``str()`` is another."""

    LARGE = "logo.png"


def test_name_that_is_a_kind_of_text_is_that_text():
    assert type(normalize_name(Logo.LARGE)) is str
    assert f"{normalize_name(Logo.LARGE)} {normalize_name('logo.png')}" == "logo.png logo.png"


def test_normalised_name_is_its_own_normal_form():
    for parts in itertools.product(PARTS, repeat=3):
        for separator in ("", "/", "\\"):
            try:
                name = normalize_name(separator.join(parts))
            except RefusedName:
                continue
            assert normalize_name(name) == name
            assert normalize_name(name, root=True) == name


def test_normalised_random_text_is_safe_in_every_component():
    generator = random.Random(61)
    letters = "a./\\ :%\x00\n~é\ud800"
    for _ in range(3000):
        text = "".join(generator.choices(letters, k=generator.randrange(9)))
        try:
            name = normalize_name(text)
        except RefusedName:
            continue
        assert name
        assert not name.startswith("/")
        assert all(is_nameable(part) for part in name.split("/"))
        assert "\\" not in name
        assert name.encode().decode() == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (None, "is empty"),
        ("", "is empty"),
        (".", "is empty"),
        ("./", "is empty"),
        ("./.", "is empty"),
        ("/", "is absolute"),
        ("/a", "is absolute"),
        ("//host/a", "is absolute"),
        ("\\a", "is absolute"),
        ("\\\\host\\a", "is absolute"),
        ("C:\\a", "is absolute"),
        ("c:/a", "is absolute"),
        ("c:", "is absolute"),
        ("./c:/a", "is absolute"),
        ("..", "climbs"),
        ("../a", "climbs"),
        ("a/..", "climbs"),
        ("a/../b", "climbs"),
        ("a\\..\\b", "climbs"),
        ("a\x00", "control characters"),
        ("a\rb", "control characters"),
        ("a\nb", "control characters"),
        ("\x1f", "control characters"),
        ("a\udcff", "UTF-8"),
        ("a/" * 512 + "a", "over 512 parts"),
    ],
)
def test_name_is_refused_with_its_reason(name, reason):
    with pytest.raises(RefusedName, match=reason) as raised:
        normalize_name(name)
    assert isinstance(raised.value, SuspiciousFileOperation)
    assert isinstance(raised.value, ValueError)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("name", ["", ".", "./", "/", "\\", None])
def test_root_of_a_listing_has_several_names(name):
    assert normalize_name(name, root=True) == ""


@pytest.mark.parametrize("name", ["..", "/a", "//", "a/..", "\n"])
def test_listing_refuses_what_every_method_refuses(name):
    with pytest.raises(RefusedName):
        normalize_name(name, root=True)


def test_refused_name_is_quoted_short_and_escaped():
    with pytest.raises(RefusedName) as raised:
        normalize_name("\n" * 10_000)
    assert len(str(raised.value)) < 200
    assert shown("a\nb") == r"'a\nb'"


@pytest.mark.parametrize(
    ("part", "safe"),
    [
        ("a", True),
        (" ", True),
        ("...", True),
        ("", False),
        (".", False),
        ("..", False),
        ("../a", False),
        ("/a", False),
        ("a\\b", False),
        ("a\udcff", False),
        ("a\x00", False),
        ("a\n", False),
        ("a/" * 511 + "a", True),
        ("a/" * 512 + "a", False),
    ],
)
def test_listed_name_is_nameable_when_methods_take_it_as_it_is(part, safe):
    assert is_nameable(part) is safe


def test_no_name_is_nameable_but_those_that_normalising_leaves_as_they_are():
    for length in range(6):
        for letters in itertools.product("a./\\:\n\ud800", repeat=length):
            name = "".join(letters)
            try:
                is_normal = normalize_name(name) == name
            except RefusedName:
                is_normal = False
            assert is_nameable(name) is is_normal, ascii(name)


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("a.txt:stream", True),
        ("directory/what?.txt", True),
        ("a*", True),
        ("a.txt.", True),
        ("directory /a.txt", True),
        ("NUL", True),
        ("con.txt", True),
        ("directory/com1", True),
        ("lpt¹/a.txt", True),
        ("aux .txt", True),
        ("a.txt", False),
        ("console.txt", False),
        (".hidden/a b.txt", False),
        ("com10", False),
        ("a.con", False),
        ("nul_value.txt", False),
    ],
)
def test_names_that_mean_something_else_to_windows(name, taken):
    assert is_taken_by_windows(name) is taken


# Overwriting


@pytest.mark.parametrize(
    ("name", "max_length", "expected"),
    [
        ("a.txt", None, "a.txt"),
        ("a.txt", 5, "a.txt"),
        ("abcd.txt", 6, "ab.txt"),
        ("dir/abcd.txt", 10, "dir/ab.txt"),
        ("dir.d/abcd", 8, "dir.d/ab"),
        ("abcd.tar.gz", 7, "abcd.gz"),
        (".hidden", 4, ".hid"),
    ],
)
def test_root_of_a_long_name_is_shortened(name, max_length, expected):
    assert get_available_overwrite_name(name, max_length) == expected


@pytest.mark.parametrize(("name", "max_length"), [("abcd.txt", 4), ("dir/abcd.txt", 3), ("a.b", 2)])
def test_name_that_cannot_be_shortened_is_refused(name, max_length):
    with pytest.raises(SuspiciousFileOperation, match="max_length"):
        get_available_overwrite_name(name, max_length)


# Content types


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.txt", "text/plain"),
        ("a.PNG", "image/png"),
        ("dir.txt/a", "application/octet-stream"),
        ("a", "application/octet-stream"),
        ("a.unknown", "application/octet-stream"),
        ("a.tar.gz", "application/gzip"),
        ("a.svgz", "application/gzip"),
        ("a.tgz", "application/gzip"),
        ("a.css.gz", "application/gzip"),
        ("a.bz2", "application/x-bzip2"),
        ("a.xz", "application/x-xz"),
        ("a.Z", "application/x-compress"),
        ("a.css.br", "application/octet-stream"),
        # Python takes names for URLs.
        ("data:text/html,photo.jpg", "image/jpeg"),
        ("data:2026/photo.jpg", "image/jpeg"),
        ("aa:page.html?photo.jpg", "image/jpeg"),
        ("https://host/page.html?photo.jpg", "image/jpeg"),
    ],
)
def test_content_type_is_what_the_bytes_are(name, expected):
    assert guess_content_type(name) == expected


NO_TABLE = """
import mimetypes
mimetypes.init([])
from storages.utils import guess_content_type
for each in "webp avif woff2 woff wasm mjs webmanifest map ttf otf ico svg opus m4a md".split():
    assert guess_content_type(f"a.{each}", "") != "", each
assert guess_content_type("A.WEBP") == "image/webp"
mimetypes.add_type("image/of-ours", ".avif")
assert guess_content_type("a.avif") == "image/of-ours"
"""


def test_types_of_today_are_known_where_the_system_has_no_table():
    subprocess.run([sys.executable, "-c", NO_TABLE], check=True)


def test_content_type_of_no_known_name_is_the_default():
    assert guess_content_type("a", "text/plain") == "text/plain"


@pytest.mark.parametrize(
    ("name", "declared", "expected"),
    [
        ("a.jpg", None, "image/jpeg"),
        ("a", None, "of/ours"),
        ("a.jpg", "image/x-own", "image/x-own"),
        ("a.css", "text/css; charset=utf-8", "text/css; charset=utf-8"),
        ("a.docx", (word := "application/vnd.openxmlformats-officedocument.x"), word),
        # What runs in a browser, under names that promise that nothing does.
        ("a.jpg", "text/html", "image/jpeg"),
        ("a.JPG", "Text/HTML ;charset=utf-8", "image/jpeg"),
        ("a.png", "image/svg+xml", "image/png"),
        ("a.txt", "application/xhtml+xml", "text/plain"),
        ("a.gif", "text/javascript", "image/gif"),
        ("a.pdf", "text/xml", "application/pdf"),
        # Names that promise nothing, or the same.
        ("a", "text/html", "text/html"),
        ("a.unheard", "text/html", "text/html"),
        ("a.htm", "application/xhtml+xml", "application/xhtml+xml"),
        ("a.xml", "application/rss+xml", "application/rss+xml"),
        # What no header can hold, and what makes browsers look into the content.
        ("a.jpg", "image/png\nX-Amz-Acl: public-read", "image/jpeg"),
        ("a.jpg", "image/png\r\n\r\n<script>", "image/jpeg"),
        ("a.jpg", "image/png\n", "image/jpeg"),
        ("a.jpg", "image/é", "image/jpeg"),
        ("a.jpg", "*/*", "image/jpeg"),
        ("a.jpg", "unknown/unknown", "image/jpeg"),
        ("a.jpg", "text/html,x", "image/jpeg"),
        ("a.jpg", "image", "image/jpeg"),
        ("a.jpg", "", "image/jpeg"),
        ("a.jpg", "image/" + "x" * 250, "image/jpeg"),
        ("a.jpg", object(), "image/jpeg"),
    ],
)
def test_content_type_of_an_upload_is_no_more_than_its_name_promises(name, declared, expected):
    assert content_type_of(name, declared, "of/ours") == expected


def test_text_that_moves_a_cursor_is_escaped():
    assert printable("all “well” …") == "all “well” …"
    assert printable("a\nb\x1b[31m\x9bé\u202e") == "a\\nb\\x1b[31m\\x9bé\\u202e"


# URLs


@pytest.mark.parametrize(
    ("base_url", "name", "expected"),
    [
        ("/media", "a.txt", "/media/a.txt"),
        ("/media/", "a.txt", "/media/a.txt"),
        ("", "a.txt", "/a.txt"),
        ("https://h.example", "a b/c.txt", "https://h.example/a%20b/c.txt"),
        ("/", "100%.txt", "/100%25.txt"),
        ("/", "a?b#c.txt", "/a%3Fb%23c.txt"),
        ("/", "é.txt", "/%C3%A9.txt"),
        ("/", "%41.txt", "/%2541.txt"),
    ],
)
def test_url_quotes_the_name_once(base_url, name, expected):
    assert public_url(base_url, name) == expected


@pytest.mark.parametrize(
    ("host", "own"),
    [
        (None, True),
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.0.2.1", False),
        ("localhost.example", False),
        ("127.0.0.1.example", False),
    ],
)
def test_loopback_is_this_machine_only(host, own):
    assert is_loopback(host) is own


# What other packages import


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a\\b", "a/b"),
        ("a/./b", "a/b"),
        ("a//b", "a/b"),
        ("a/../b", "b"),
        ("a/b/", "a/b/"),
        ("./", ""),
        (".", ""),
        (PurePosixPath("a/b"), "a/b"),
    ],
)
def test_clean_name_resolves_dots_and_keeps_a_final_slash(name, expected):
    assert clean_name(name) == expected


@pytest.mark.parametrize(
    ("base", "paths", "expected"),
    [
        ("", ("a",), "a"),
        ("base", ("a", "b"), "base/a/b"),
        ("/base/", ("a",), "base/a"),
        ("base", ("a/../b",), "base/b"),
        ("base", ("../base/a",), "base/a"),
        ("base", (".",), "base"),
        ("base", ("a\\b",), "base/a/b"),
        ("base", ("a/",), "base/a/"),
        ("base", ("",), "base"),
        ("base", (), "base"),
        ("", ("",), ""),
        ("base", ("/base/a",), "base/a"),
    ],
)
def test_joined_path_lies_in_its_base(base, paths, expected):
    assert safe_join(base, *paths) == expected


@pytest.mark.parametrize(
    ("base", "paths"),
    [
        ("base", ("..",)),
        ("base", ("../a",)),
        ("base", ("a/../../b",)),
        ("base", ("a", "../..")),
        ("base", ("..\\a",)),
        ("base", ("../base2",)),
        ("base", ("/a",)),
        ("base", ("/base2/a",)),
        ("base", ("a\x00",)),
    ],
)
def test_path_that_leaves_its_base_is_refused(base, paths):
    with pytest.raises(RefusedName, match="leaves its base"):
        safe_join(base, *paths)


def test_joined_random_paths_never_leave_their_base():
    generator = random.Random(69)
    for _ in range(5000):
        path = "".join(generator.choices("ab./\\", k=generator.randrange(10)))
        try:
            joined = safe_join("ab/b", path)
        except RefusedName:
            continue
        assert os.path.normpath(joined).split("/")[:2] == ["ab", "b"]


def test_setting_of_none_is_the_default(settings):
    settings.STORAGES_TEST = None
    assert setting("STORAGES_TEST", "default") == "default"
    assert setting("STORAGES_TEST_MISSING") is None


def test_setting_that_is_false_counts(settings):
    settings.STORAGES_TEST = 0
    assert setting("STORAGES_TEST", 1) == 0


def test_dotted_setting_reaches_into_a_dict(settings):
    settings.STORAGES_TEST = {"inner": {"last": 1}, "flat": 2}
    assert setting("STORAGES_TEST.inner.last") == 1
    assert setting("STORAGES_TEST.missing.last", 3) == 3
    assert setting("STORAGES_TEST.flat.last", 3) == 3
    assert setting("STORAGES_TEST_MISSING.last", 3) == 3


def test_strict_setting_names_itself():
    with (
        override_settings(STORAGES_TEST=None),
        pytest.raises(ImproperlyConfigured, match="STORAGES_TEST"),
    ):
        setting("STORAGES_TEST", strict=True)


def test_environment_is_searched_in_order_past_empty_values(monkeypatch):
    monkeypatch.setenv("STORAGES_TEST_EMPTY", "")
    monkeypatch.setenv("STORAGES_TEST_A", "a")
    monkeypatch.setenv("STORAGES_TEST_B", "b")
    assert lookup_env(["STORAGES_TEST_EMPTY", "STORAGES_TEST_B", "STORAGES_TEST_A"]) == "b"
    assert lookup_env(["STORAGES_TEST_EMPTY", "STORAGES_TEST_MISSING"]) is None
    assert lookup_env([]) is None


def test_missing_sdk_names_the_extra_to_install():
    error = sdk_missing("s3", ImportError("No module named 'boto3'"))
    assert str(error) == (
        "No module named 'boto3': install what this backend needs by "
        "pip install 'django-storages[s3]'."
    )


def test_file_without_the_method_is_taken_to_seek():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb"):
        assert not is_seekable(pipe)
    assert is_seekable(io.BytesIO())
    assert is_seekable(object())
