"""Items 61 to 75: names of any script and punctuation, and names no backend may take."""

from __future__ import annotations

import posixpath
import tempfile
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Final

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from .case import ContractCase, Impossible, item
from .spellings import (
    ABSOLUTE,
    BYSTANDERS,
    CLIMBING,
    COMMANDS,
    CONTROLS,
    ENCODED,
    NOT_UNICODE,
    PUNCTUATION,
    SCRIPTS,
)

REFUSALS: Final = (SuspiciousFileOperation, ValueError)

#: Methods that change nothing, as they are called with a name.
READING: Final[Mapping[str, Callable[[Storage, str], object]]] = {
    "open": lambda storage, name: storage.open(name).close(),
    "exists": lambda storage, name: storage.exists(name),
    "size": lambda storage, name: storage.size(name),
    "url": lambda storage, name: storage.url(name),
    "get_accessed_time": lambda storage, name: storage.get_accessed_time(name),
    "get_created_time": lambda storage, name: storage.get_created_time(name),
    "get_modified_time": lambda storage, name: storage.get_modified_time(name),
    "path": lambda storage, name: storage.path(name),
}
LISTING: Final[Mapping[str, Callable[[Storage, str], object]]] = {
    "listdir": lambda storage, name: storage.listdir(name),
}
WRITING: Final[Mapping[str, Callable[[Storage, str], object]]] = {
    "save": lambda storage, name: storage.save(name, ContentFile(b"")),
    "open to write": lambda storage, name: storage.open(name, "wb").close(),
    "delete": lambda storage, name: storage.delete(name),
    "get_available_name": lambda storage, name: storage.get_available_name(name),
}
# Django's own makes a valid name of most others, and leaves the rest to `save`.
GENERATING: Final[Mapping[str, Callable[[Storage, str], object]]] = {
    "generate_filename": lambda storage, name: storage.generate_filename(name),
}
#: Methods that a storage may not have.
OPTIONAL: Final = frozenset({"path", "get_accessed_time", "get_created_time"})


class OddNames(ContractCase):
    """Calls a check with odd names, but for those that a service refuses as declared."""

    #: What a name cannot hold, to why: text, or a label of `PUNCTUATION`, `SCRIPTS` or
    #: `in_directories`.
    refused_characters: ClassVar[Mapping[str, str]] = {}

    def for_each_name(
        self, number: str, names: Mapping[str, str], check: Callable[[str], None]
    ) -> None:
        """Check every name in a subtest; ``number`` is the item, for those declared impossible."""
        for label, name in names.items():
            with self.subTest(item=f"{number}:{label}"):
                reason = self._refusal(label, name)
                if reason is not None:
                    self.assert_refused_cleanly(name)
                    raise Impossible(reason)
                check(name)

    def takes(self, label: str, name: str) -> bool:
        """Return True if nothing declared stands against a name."""
        return self._refusal(label, name) is None

    def assert_refused_cleanly(self, name: str) -> None:
        """Fail unless saving raises, and leaves nothing behind."""
        before = set(self.raw().names())
        with self.assertRaises((OSError, *REFUSALS)):
            self.save(name)
        self.assertEqual(set(self.raw().names()), before)

    def _refusal(self, label: str, name: str) -> str | None:
        refused = self.refused_characters.items()
        return next((why for part, why in refused if part == label or part in name), None)


class NameContract(OddNames):
    """Items 61 to 75."""

    #: Characters of the longest name that the service takes in a new root; None without a limit.
    longest_name: ClassVar[int | None] = None

    @item(61)
    def test_punctuation_in_names_survives_every_method(self) -> None:
        self.for_each_name("61", PUNCTUATION, self.assert_round_trip)

    @item(61)
    def test_punctuation_in_directory_names_survives_every_method(self) -> None:
        self.for_each_name("61", in_directories(PUNCTUATION), self.assert_round_trip)

    @item(62)
    def test_letters_of_every_script_survive_every_method(self) -> None:
        self.for_each_name("62", SCRIPTS, self.assert_round_trip)

    @item(63)
    def test_composed_and_decomposed_letters_make_two_names(self) -> None:
        names = {unicodedata.normalize(form, "é.txt") for form in ("NFC", "NFD")}
        for name in names:
            self.assertEqual(self.save(name, ascii(name).encode()), name)
        for name in names:
            self.assertEqual(self.read(name), ascii(name).encode())
        self.assertEqual(set(self.storage.listdir("")[1]), names)

    @item("63b")
    def test_listing_gives_a_decomposed_name_as_it_was_saved(self) -> None:
        name = unicodedata.normalize("NFD", "é.txt")
        self.save(name)
        self.assertEqual(list(map(ascii, self.storage.listdir("")[1])), [ascii(name)])

    @item(64)
    def test_upper_and_lower_case_make_two_names(self) -> None:
        self.save("A.txt", b"upper")
        self.save("a.txt", b"lower")
        self.assertEqual((self.read("A.txt"), self.read("a.txt")), (b"upper", b"lower"))
        self.assertEqual(set(self.storage.listdir("")[1]), {"A.txt", "a.txt"})

    @item("64b")
    def test_name_of_another_case_never_replaces_a_file(self) -> None:
        upper = self.save("A.txt", b"upper", self.unique)
        lower = self.save("a.txt", b"lower", self.unique)
        self.assertEqual((self.read(upper), self.read(lower)), (b"upper", b"lower"))

    @item(65)
    def test_base_name_of_255_bytes_works_or_is_refused_cleanly(self) -> None:
        for name in ("a" * 251 + ".txt", "é" * 125 + "a.txt"):
            with self.subTest(name=name[-6:]):
                self.assert_round_trip_or_refused(name)

    @item("65b")
    def test_longest_name_works_and_one_character_more_is_refused(self) -> None:
        if self.longest_name is None:
            raise Impossible("the service sets no limit to the length of a name")
        self.assert_round_trip(name_of_length(self.longest_name))
        self.assert_refused_cleanly(name_of_length(self.longest_name + 1))

    @item("65c")
    def test_names_of_very_many_directories_are_refused_by_every_method(self) -> None:
        self.assert_refused(["d/" * 1500 + "a.txt"], {**READING, **LISTING, **WRITING})

    @item(66)
    def test_patterns_and_commands_in_names_are_plain_text(self) -> None:
        for name in BYSTANDERS:
            self.save(name, name.encode())
        self.for_each_name("66", COMMANDS, self.assert_touches_no_bystander)

    @item("66b")
    def test_names_like_temporary_ones_are_kept_or_refused(self) -> None:
        # A later save looks for what others left unfinished, and these look long abandoned.
        plain = ".Holiday-film-2026-part-one-final.part", f".{'0' * 32}.part", ".storages-x.part"
        ours = [f".storages-{'0' * 32}.{kind}" for kind in ("part", "lock", "old")]
        for name in (*plain, *ours, f".storages-{'1' * 32}.part/a.txt"):
            with self.subTest(name=name):
                self.assert_kept_or_refused(posixpath.join("66b", name), is_plain=name in plain)

    @item(67)
    def test_backslash_means_slash_in_every_method(self) -> None:
        self.assertEqual(self.save("a\\b.txt", b"content"), "a/b.txt")
        self.assert_same_file("a/b.txt", "a\\b.txt")
        self.assertEqual(self.storage.listdir("a\\"), self.storage.listdir("a"))
        self.storage.delete("a\\b.txt")
        self.assertEqual(list(self.raw().names()), [])

    @item(68)
    def test_empty_and_dot_components_mean_nothing_in_every_method(self) -> None:
        for spelling in ("a//b.txt", "a/./b.txt", "./a/b.txt", "a///.//b.txt"):
            with self.subTest(spelling=spelling):
                self.assertEqual(self.save(spelling, b"content"), "a/b.txt")
                self.assert_same_file("a/b.txt", spelling)
                self.storage.delete(spelling)
                self.assertEqual(list(self.raw().names()), [])

    @item(68)
    def test_empty_and_dot_components_mean_nothing_in_listings(self) -> None:
        self.save("a/b/c.txt")
        for spelling in ("a//b", "./a/b", "a/./b/", "a/b//"):
            with self.subTest(spelling=spelling):
                self.assertEqual(self.storage.listdir(spelling), ([], ["c.txt"]))

    @item(69)
    def test_climbing_names_are_refused_by_every_method(self) -> None:
        methods = {**READING, **LISTING, **WRITING, **GENERATING}
        self.assert_refused(CLIMBING, methods, (SuspiciousFileOperation,))

    @item(70)
    def test_absolute_names_are_refused_when_writing(self) -> None:
        self.assert_refused(ABSOLUTE, WRITING)

    @item("70b")
    def test_absolute_names_are_refused_when_reading(self) -> None:
        methods = {name: READING[name] for name in READING.keys() - {"url"}}
        self.assert_refused(ABSOLUTE, {**methods, **LISTING})

    @item("70c")
    def test_absolute_names_never_reach_a_file_of_this_machine(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            outside = Path(directory) / "outside.txt"
            outside.write_bytes(b"outside")
            for called in READING.keys() - {"exists", "url"}:
                with (
                    self.subTest(method=called),
                    self.assertRaises((OSError, NotImplementedError, *REFUSALS)),
                ):
                    READING[called](self.storage, str(outside))
            with suppress(*REFUSALS):
                self.assertFalse(self.storage.exists(str(outside)))
            for called in ("save", "open to write", "delete"):
                with self.subTest(method=called), suppress(OSError, *REFUSALS):
                    WRITING[called](self.storage, str(outside))
            self.assertEqual(outside.read_bytes(), b"outside")

    @item(71)
    def test_control_characters_are_refused_by_every_method(self) -> None:
        self.assert_refused(CONTROLS, {**READING, **LISTING, **WRITING})

    @item(72)
    def test_empty_names_are_refused_by_open_save_and_delete(self) -> None:
        self.assert_refused(("", ".", "./"), {"open": READING["open"], **WRITING})

    @item("72b")
    def test_empty_names_are_refused_where_only_a_file_is_meant(self) -> None:
        methods = {name: READING[name] for name in READING.keys() - {"exists", "path", "url"}}
        self.assert_refused(("", ".", "./"), {**methods, **GENERATING})

    @item("72c")
    def test_empty_name_is_the_root_that_exists_and_is_listed(self) -> None:
        self.save("a.txt")
        self.assertTrue(self.storage.exists(""))
        self.assertEqual(self.storage.listdir(""), ([], ["a.txt"]))

    @item(73)
    def test_encoded_traversal_is_plain_text(self) -> None:
        self.for_each_name("73", {name: name for name in ENCODED}, self.assert_round_trip)

    @item(74)
    def test_location_stands_once_before_keys_and_never_in_names(self) -> None:
        located = self.make_located("loc")
        self.assertEqual(self.save("a/b.txt", b"content", located), "a/b.txt")
        self.assertEqual(list(self.raw().names()), ["loc/a/b.txt"])
        self.assertEqual(
            (located.listdir(""), located.listdir("a")), ((["a"], []), ([], ["b.txt"]))
        )
        self.assertEqual(self.read("a/b.txt", located), b"content")

    @item("74b")
    def test_open_file_has_the_name_it_was_opened_by(self) -> None:
        located = self.make_located("loc")
        self.save("a/b.txt", b"content", located)
        with located.open("a/b.txt") as file:
            self.assertEqual(file.name, self.name_of_open("a/b.txt", located))

    @item(74)
    def test_location_never_matches_another_that_begins_like_it(self) -> None:
        located, other = self.make_located("loc"), self.make_located("loc2")
        self.save("a.txt", b"one", located)
        self.save("b.txt", b"two", other)
        self.assertEqual((located.listdir("")[1], other.listdir("")[1]), (["a.txt"], ["b.txt"]))
        self.assertFalse(located.exists("b.txt"))
        other.delete("a.txt")
        self.assertEqual(self.read("a.txt", located), b"one")

    @item(74)
    def test_location_of_several_components_is_one_prefix(self) -> None:
        located = self.make_located("one/two")
        self.save("a.txt", b"content", located)
        self.assertEqual(list(self.raw().names()), ["one/two/a.txt"])
        self.assertEqual(located.listdir(""), ([], ["a.txt"]))

    @item("74c")
    def test_location_may_have_slashes_at_its_ends(self) -> None:
        self.save("a.txt", b"content", self.make_located("loc"))
        for spelling in ("loc/", "/loc", "/loc/"):
            with self.subTest(location=spelling):
                self.assertEqual(self.read("a.txt", self.make_located(spelling)), b"content")

    @item(75)
    def test_names_that_are_no_unicode_are_refused_clearly(self) -> None:
        for error in self.assert_refused(NOT_UNICODE, {**READING, **LISTING, **WRITING}):
            self.assertNotIsInstance(error, UnicodeError)

    # -- checks -----------------------------------------------------------------------------------

    def assert_round_trip(self, name: str) -> None:
        """Save a file, find it through every method and in the raw store, and delete it."""
        content = name.encode()
        directory, base = posixpath.split(name)
        self.assertEqual(self.save(name, content), name)
        self.assertEqual(self.raw().get(name), content)
        self.assertEqual(self.read(name), content)
        self.assertTrue(self.storage.exists(name))
        self.assertEqual(self.storage.size(name), len(content))
        self.assertIn(base, self.storage.listdir(directory)[1])
        if self.has_urls and "98" not in self.impossible:
            self.assert_url_of(self.storage.url(name), name, content)
        self.storage.delete(name)
        self.assertFalse(self.storage.exists(name))
        self.assertIsNone(self.raw().get(name))

    def assert_round_trip_or_refused(self, name: str) -> None:
        """Fail if a name neither works nor is refused without a trace."""
        try:
            self.save(name)
        except (OSError, *REFUSALS):
            self.assertEqual(list(self.raw().names()), [])
        else:
            self.assert_round_trip(name)

    def assert_kept_or_refused(self, name: str, *, is_plain: bool) -> None:
        """Fail unless a file outlives the saves of others; only temporary names may be refused."""
        try:
            saved = self.save(name, name.encode())
        except REFUSALS:
            self.assertFalse(is_plain)
            self.assertIsNone(self.raw().get(name))
            return
        self.save(posixpath.join(posixpath.dirname(name), "other.txt"))
        self.assertIn(posixpath.basename(saved), self.storage.listdir(posixpath.dirname(saved))[1])
        self.assert_stored(saved, name.encode())

    def assert_same_file(self, name: str, spelling: str) -> None:
        """Fail unless two spellings of a name mean one file in every method that reads."""
        storage = self.storage
        self.assertEqual(self.read(spelling), self.read(name))
        self.assertTrue(storage.exists(spelling))
        self.assertEqual(storage.size(spelling), storage.size(name))
        if self.has_modified_time:
            self.assertEqual(storage.get_modified_time(spelling), storage.get_modified_time(name))
        if self.has_urls and "98" not in self.impossible:
            self.assert_url_of(storage.url(spelling), name, self.read(name))
        self.assertEqual(storage.get_available_name(spelling), name)

    def assert_touches_no_bystander(self, name: str) -> None:
        """Fail if a name acts on files that it would match as a pattern."""
        self.assertFalse(self.storage.exists(name))
        self.storage.delete(name)
        self.assert_round_trip(name)
        for bystander in BYSTANDERS:
            self.assertEqual(self.raw().get(bystander), bystander.encode())

    def assert_refused(
        self,
        names: Iterable[str],
        methods: Mapping[str, Callable[[Storage, str], object]],
        refusals: tuple[type[Exception], ...] = REFUSALS,
    ) -> list[Exception]:
        """Fail unless every method refuses every name and nothing is stored; return the errors."""
        errors: list[Exception] = []
        for name in names:
            for called, method in methods.items():
                missing = (NotImplementedError,) if called in OPTIONAL else ()
                with (
                    self.subTest(method=called, name=ascii(name)),
                    self.assertRaises((*refusals, *missing)) as raised,
                ):
                    method(self.storage, name)
                if hasattr(raised, "exception"):
                    errors.append(raised.exception)
        self.assertEqual(list(self.raw().names()), [])
        return errors


def in_directories(names: Mapping[str, str]) -> dict[str, str]:
    """Return names of files in directories of these names, as "leading dot of a directory"."""
    return {f"{label} of a directory": f"{name}/x.txt" for label, name in names.items()}


def name_of_length(characters: int) -> str:
    """Return a name whose components have at most 200 characters."""
    components = ("x" * 199 + "/") * (characters // 200)
    return (components + "x" * characters)[: characters - 1] + "y"
