"""Items 106 and 108 to 110: options, the settings they are read from, and secrets."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import subprocess
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import permutations, product
from typing import Any, Final
from unittest import mock

from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.db.migrations.writer import MigrationWriter
from django.test import override_settings

from storages.configured import Configured, options_of
from storages.options import UNSET, Option

from .case import Impossible, item
from .copies import ALIAS, RebuiltStorages, deconstruct
from .network import network_calls
from .parallel import Recipe

CANARY: Final = "canary-d41f8cd98f00b204"

#: What a module that reads settings or connects would do; it has no settings here.
IMPORTING: Final = """
import importlib, sys
from django.conf import settings
from storages.testing.network import network_calls
with network_calls() as calls:
    importlib.import_module(sys.argv[1])
assert not calls, calls
assert not settings.configured, "the settings were read"
"""


class ConfigurationContract(RebuiltStorages):
    """Items 106 and 108 to 110."""

    def canaries(self, canary: str) -> Mapping[str, Any]:
        """Return for each secret option a value with ``canary`` in the place of the secret.

        To be extended for options whose value holds more than the secret, such as a URL.
        """
        return {name: canary for name, each in self.secret_options() if each.accepts(canary)}

    # -- secrets ----------------------------------------------------------------------------------

    @item(106)
    def test_secrets_are_in_no_description_of_a_storage(self) -> None:
        for name, value in self.secret_values():
            storage = type(self.storage)(**{name: value})
            for how, describe in DESCRIPTIONS.items():
                with self.subTest(option=name, how=how):
                    self.assertFalse(CANARY in describe(storage), "the secret is told")

    @item("106b")
    def test_secrets_are_in_no_log_warning_or_error(self) -> None:
        for name, value in self.secret_values():
            with self.subTest(option=name), everything_told() as told:
                told.extend(errors_of(partial(self.make_storage, **{name: value})))
            with self.subTest(option=name):
                self.assertEqual([line for line in told if CANARY in line], [])

    # -- settings ---------------------------------------------------------------------------------

    @item(108)
    def test_changed_setting_reaches_a_storage_made_before(self) -> None:
        storage = type(self.storage)()
        for option, *samples in self.sampled_options():
            for setting, (value, later) in product(option.settings, permutations(samples)):
                with (
                    self.subTest(option=option.name, setting=setting),
                    first_set(option, setting, value, later),
                ):
                    self.assertEqual(option.value(storage), value)

    @item(108)
    def test_argument_wins_over_a_setting(self) -> None:
        for option, sample, other in self.sampled_options():
            storage = type(self.storage)(**{option.name: other})
            with (
                self.subTest(option=option.name),
                first_set(option, option.settings[0], sample, sample),
            ):
                self.assertEqual(option.value(storage), other)

    @item("108b")
    def test_entry_in_the_setting_storages_makes_the_same_storage(self) -> None:
        self.save("a.txt", b"content")
        with self.configured():
            self.assertIs(type(storages[ALIAS]), type(self.storage))
            self.assertEqual(self.read("a.txt", storages[ALIAS]), b"content")

    @item(109)
    def test_missing_option_is_named_with_its_settings_at_first_use(self) -> None:
        required = [each for each in self.options().values() if each.required]
        if not required:
            raise Impossible("no option is required")
        with mock.patch.dict(os.environ, clear=True), without_settings(self.options().values()):
            storage = type(self.storage)()
            for each in required:
                with self.assertRaises(ImproperlyConfigured) as raised:
                    each.value(storage)
                for word in (each.name, *each.settings):
                    self.assertIn(word, str(raised.exception))
            with self.assertRaises(ImproperlyConfigured):
                storage.exists("a.txt")

    @item(109)
    def test_option_of_a_wrong_type_is_named_without_its_value(self) -> None:
        if not self.options():
            raise Impossible("the class declares no options")
        for name, each in self.options().items():
            wrong = Unwelcome()
            if not each.accepts(wrong):
                storage = type(self.storage)(**{name: wrong})
                with self.subTest(option=name), self.assertRaises(ImproperlyConfigured) as raised:
                    each.value(storage)
                self.assertIn(name, str(raised.exception))
                self.assertNotIn(CANARY, str(raised.exception))

    @item(109)
    def test_unknown_option_is_an_error(self) -> None:
        with self.assertRaises((ImproperlyConfigured, TypeError)) as raised:
            type(self.storage)(no_such_option=CANARY)  # type: ignore[call-arg]
        self.assertIn("no_such_option", str(raised.exception))
        self.assertNotIn(CANARY, str(raised.exception))

    @item(109)
    def test_import_of_the_backend_connects_nowhere_and_reads_no_setting(self) -> None:
        environment = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        command = [sys.executable, "-c", IMPORTING, type(self.storage).__module__]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))

    @item(110)
    def test_making_and_describing_a_storage_connects_nowhere(self) -> None:
        recipe = self.recipe()
        with network_calls() as calls:
            storage = recipe.make()
            for describe in DESCRIPTIONS.values():
                describe(storage)
        self.assertEqual(calls, [])

    @item("110b")
    def test_storage_is_made_while_its_server_is_away(self) -> None:
        recipe = Recipe.of(self.make_unreachable(), self.secrets)
        with network_calls() as calls:
            recipe.make()
        self.assertEqual(calls, [])

    # -- what the tests stand on ------------------------------------------------------------------

    def options(self) -> Mapping[str, Option]:
        """Return the options that the class declares, no aliases."""
        cls = type(self.storage)
        if not issubclass(cls, Configured):
            return {}
        return {name: each for name, each in options_of(cls).items() if each.alias_of is None}

    def secret_options(self) -> list[tuple[str, Option]]:
        """Return names and options whose values hold secrets."""
        return [(name, each) for name, each in self.options().items() if each.secret]

    def secret_values(self) -> Iterator[tuple[str, Any]]:
        """Yield names and values with the canary of all secret options, one at a time."""
        secret = {name for name, _ in self.secret_options()}
        if not secret:
            raise Impossible("no option is secret")
        canaries = self.canaries(CANARY)
        self.assertLessEqual(secret, set(canaries), "canaries() needs a value for each")
        yield from canaries.items()

    def sampled_options(self) -> list[tuple[Option, Any, Any]]:
        """Return the options read from settings, each with two values that it takes."""
        options = [
            each
            for each in self.options().values()
            if each.settings and each.override is UNSET and each.check is None
        ]
        found = [
            (each, *values)
            for each in options
            for values in SAMPLES
            if all(map(each.accepts, values))
        ]
        if not found:
            raise Impossible("no option is read from a setting of its own")
        return found


class Unwelcome:
    """Is of no type that an option has, and tells the canary where it is shown."""

    def __repr__(self) -> str:
        return CANARY


#: Pairs of values for options of any type; texts as paths, which Django leaves as they are.
SAMPLES: Final = (("/first", "/second"), (True, False), (12345, 54321))

#: What code and logs may do to show a storage.
DESCRIPTIONS: Final[Mapping[str, Callable[[Storage], str]]] = {
    "repr": repr,
    "str": str,
    "format": "{}".format,
    "deconstruct": lambda storage: repr(deconstruct(storage)),
    "migration": lambda storage: repr(MigrationWriter.serialize(storage)),
    "pickle": lambda storage: pickle.dumps(storage).decode("latin-1"),
    "copy": lambda storage: repr(copy.deepcopy(storage)),
}


@contextmanager
def first_set(option: Option, setting: str, value: Any, later: Any) -> Iterator[None]:
    """Set one setting of an option to a value, those after it to another, and none before it."""
    place = option.settings.index(setting)
    before, after = option.settings[:place], option.settings[place + 1 :]
    values = dict.fromkeys(before) | {setting: value} | dict.fromkeys(after, later)
    with override_settings(**nested(values)):
        yield


@contextmanager
def without_settings(options: Any) -> Iterator[None]:
    """Take the settings of all these options away."""
    names = dict.fromkeys(name for each in options for name in each.settings)
    with override_settings(**nested(names)):
        yield


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Turn dotted names into dicts: ``{"A.b": 1}`` into ``{"A": {"b": 1}}``."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        *path, last = name.split(".")
        inner = found
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = value
    return found


@contextmanager
def everything_told() -> Iterator[list[str]]:
    """Give a list that fills with all log records, from DEBUG on, and all warnings."""
    told: list[str] = []
    handler = logging.Handler(logging.DEBUG)
    handler.emit = lambda record: told.append(handler.format(record))  # type: ignore[method-assign]
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            yield told
        told.extend(str(each.message) for each in warned)
    finally:
        root.setLevel(level)
        root.removeHandler(handler)


def errors_of(make: Callable[[], Storage]) -> Iterator[str]:
    """Make a storage and use it; yield the text of every error with its causes."""
    uses: tuple[Callable[[Storage], object], ...] = (
        lambda storage: storage.exists("a.txt"),
        lambda storage: storage.save("a.txt", ContentFile(b"")),
        lambda storage: storage.url("a.txt"),
    )
    for use in uses:
        try:
            use(make())
        except Exception as exc:  # noqa: BLE001 - whatever it is, its text is looked at
            yield "".join(traceback.format_exception(exc))
