"""System checks: each mistake in ``STORAGES``, and in the storages of file fields, by its own id.

They make storages as Django does, which connects to nothing. They read no option that a property
or a callable of the user's computes, and no text of theirs holds the value of an option.
"""

from __future__ import annotations

import copy
import difflib
import pkgutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import chain, combinations
from pathlib import Path
from typing import Any, NamedTuple

import django
from django.apps import AppConfig, apps
from django.conf import global_settings, settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import DefaultStorage, FileSystemStorage, storages
from django.db.models import FileField
from django.utils.module_loading import import_string
from django.views.debug import SafeExceptionReporterFilter

from . import backends
from .aliases import OLD_SETTINGS, entries, is_overridden
from .configured import Configured, given_options, options_of, unknown_option
from .options import Option
from .utils import setting, unwrapped

TAG = "storages"

#: Backends of other versions that are none here, and what to use instead.
SUCCESSORS = {
    "gcloud": "S3Boto3Storage reaches Google's buckets: set endpoint_url to "
    "'https://storage.googleapis.com', and the keys to an HMAC key. See Recipes in the "
    "documentation.",
    "gs": "S3Boto3Storage reaches Google's buckets: set endpoint_url to "
    "'https://storage.googleapis.com'. See Recipes in the documentation.",
}


class Found(NamedTuple):
    """A storage of ours, and where it is configured: a text or a field."""

    where: Any
    storage: Configured


# -- the checks -----------------------------------------------------------------------------------


@register(Tags.files, TAG)
def check_storages(
    app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Check each entry of ``STORAGES`` and each storage that a file field was given."""
    found: list[Found] = []
    messages: list[CheckMessage] = []
    for alias in entries():
        try:
            found += made(alias)
        except Refused as refused:
            messages += refused.messages
    found += field_storages(app_configs)
    return messages + [message for each in found for message in problems(each)]


@register(Tags.files, TAG)
def check_old_settings(**_kwargs: Any) -> list[CheckMessage]:
    """Show what to write instead of the settings that Django 5.1 removed."""
    plain = getattr(settings.STORAGES, "plain", settings.STORAGES)
    is_default = django.VERSION < (5, 1) or plain is global_settings.STORAGES
    explicit = {} if is_default else plain
    found = old_settings()
    idle = {alias for alias in found if explicit.get(alias) == entries()[alias]}
    messages: list[CheckMessage] = []
    if used := {alias: path for alias, path in found.items() if alias not in idle}:
        text = f"Django 5.1 removed {' and '.join(OLD_SETTINGS[alias] for alias in used)}."
        hint = instead(used, explicit)
        messages.append(Warning(text, hint=hint, obj="settings", id="storages.W001"))
    for alias in sorted(idle):
        text = f"{OLD_SETTINGS[alias]} has no effect, because STORAGES sets {alias!r}."
        messages.append(Warning(text, hint="Remove it.", obj="settings", id="storages.W002"))
    return messages


@register(Tags.files, TAG)
def check_roots(**_kwargs: Any) -> list[CheckMessage]:
    """Warn of two entries of ``STORAGES`` that share files."""
    roots = {alias: root for alias in entries() if (root := root_of(alias))}
    ours = {alias for alias in roots if issubclass(class_of(alias), Configured)}
    return [
        Warning(
            f"It shares its files with STORAGES[{second!r}].",
            hint="Give each a location of its own: what one of them overwrites or deletes "
            "('collectstatic --clear' deletes everything) is gone from the other.",
            obj=entry_of(first),
            id="storages.W004",
        )
        for (first, root), (second, other) in combinations(roots.items(), 2)
        if root[: len(other)] == other[: len(root)] and ours & {first, second}
    ]


@register(Tags.security, TAG, deploy=True)
def check_deployment(
    app_configs: Sequence[AppConfig] | None = None, **_kwargs: Any
) -> list[CheckMessage]:
    """Find what is unsafe in production, or still missing there."""
    fields = field_storages(app_configs)
    messages: list[CheckMessage] = []
    for found in [*all_made(), *fields]:
        messages += [
            Error(text, obj=found.where, id="storages.E004")
            for option, text in unreadable(found.storage)
            if option.is_missing(found.storage)
        ]
        sentences = stated(found.storage, "insecurities")
        messages += [Warning(text, obj=found.where, id="storages.W005") for text in sentences]
    messages += [
        Warning(
            f"Django's debug page and error mails show the secret in {name}.",
            hint="They know secrets by their names: use options for password and key instead.",
            obj=found.where,
            id="storages.W013",
        )
        for found in all_made()
        for name in shown_secrets(found.storage)
    ]
    messages += [
        Warning(
            f"The secret {option} of the field's storage is given in code.",
            hint="Set it in the settings, or give the field a function that returns the storage: "
            "migration files hold what a field is given.",
            obj=found.where,
            id="storages.W006",
        )
        for found in fields
        for option in secrets_in_code(found)
    ]
    return messages


def is_of_a_project(cls: type) -> bool:
    """Return True for a storage class of ours that a project has made its own."""
    return issubclass(cls, Configured) and not cls.__module__.startswith("storages.")


# -- what is configured ---------------------------------------------------------------------------


class Refused(Exception):
    """Raised for an entry of ``STORAGES`` that gives no storage, with the reasons."""

    def __init__(self, *messages: CheckMessage) -> None:
        super().__init__()
        self.messages = messages


def entry_of(alias: str) -> str:
    """Return how messages name an entry."""
    return f"STORAGES[{alias!r}]"


def class_of(alias: str) -> type:
    """Return the class of an entry; raises Refused where it does not import."""
    path = entries()[alias].get("BACKEND")
    if not isinstance(path, str):
        text = "It names no BACKEND."
        raise Refused(Error(text, obj=entry_of(alias), id="storages.E001"))
    try:
        cls: type = import_string(path)
    except ImproperlyConfigured as exc:
        raise Refused(Error(str(exc), obj=entry_of(alias), id="storages.E002")) from exc
    except ImportError as exc:
        text = f"Its BACKEND does not import: {exc}."
        hint = suggested(path)
        raise Refused(Error(text, hint=hint, obj=entry_of(alias), id="storages.E001")) from exc
    return cls


def suggested(path: str) -> str | None:
    """Return a hint at what is meant by a path that does not import, None if nothing is like it."""
    module, _, name = path.removeprefix(f"{backends.__name__}.").rpartition(".")
    if module in SUCCESSORS:
        return SUCCESSORS[module]
    by_name = {each: found for found in backend_classes() for each in [found.rpartition(".")[2]]}
    if close := difflib.get_close_matches(name, by_name, n=1, cutoff=0.9):
        return f"Did you mean {by_name[close[0]]!r}?"
    modules = {found.split(".")[-2]: found for found in reversed(backend_classes())}
    close = difflib.get_close_matches(module.rpartition(".")[2], modules, n=1, cutoff=0.75)
    return f"Did you mean {modules[close[0]]!r}?" if close else None


def backend_classes() -> list[str]:
    """Return the paths of the storage classes of all backends whose libraries are installed."""
    paths = []
    for each in pkgutil.iter_modules(backends.__path__, f"{backends.__name__}."):
        with suppress(ImportError, ImproperlyConfigured):
            paths += [
                f"{each.name}.{name}"
                for name, value in vars(import_module(each.name)).items()
                if isinstance(value, type)
                and issubclass(value, Configured)
                and value.__module__ == each.name
            ]
    return paths


def made(alias: str) -> list[Found]:
    """Return the storage of an entry if its class is ours; raises Refused where it is not made."""
    cls = class_of(alias)
    if not issubclass(cls, Configured):
        return []
    options = entries()[alias].get("OPTIONS", {})
    if not isinstance(options, dict):
        text = f"Its OPTIONS must be a dict, not {type(options).__name__}."
        raise Refused(Error(text, obj=entry_of(alias), id="storages.E005"))
    try:
        return [Found(entry_of(alias), cls(**options))]
    except (ImproperlyConfigured, TypeError) as exc:
        if unknown := cls.unknown_options(options):
            texts, ident = [unknown_option(cls, name) for name in unknown], "storages.E003"
        else:
            texts, ident = [str(exc)], "storages.E006"
        raise Refused(*(Error(each, obj=entry_of(alias), id=ident) for each in texts)) from exc


def all_made() -> Iterator[Found]:
    """Yield the storages of all entries that are ours and give one."""
    for alias in entries():
        with suppress(Refused):
            yield from made(alias)


def field_storages(app_configs: Sequence[AppConfig] | None) -> list[Found]:
    """Return the storages that file fields were given, each once, except those of ``STORAGES``."""
    found: dict[int, Found] = {}
    chosen = apps.get_app_configs() if app_configs is None else app_configs
    for model in chain.from_iterable(each.get_models() for each in chosen):
        for field in model._meta.local_fields:  # noqa: SLF001 - documented by Django
            if isinstance(field, FileField) and (storage := given_storage(field)) is not None:
                found.setdefault(id(storage), Found(field, storage))
    return list(found.values())


def given_storage(field: FileField) -> Configured | None:
    """Return the storage of a field if it is ours, and not one of ``STORAGES``."""
    # The default storage is a proxy, which would be made by looking at it.
    if isinstance(field.storage, DefaultStorage):
        return None
    storage: Any = unwrapped(field.storage)
    if not isinstance(storage, Configured):
        return None
    for alias in entries():
        with suppress(Refused, ImproperlyConfigured):
            if class_of(alias) is type(storage) and storages[alias] is storage:
                return None
    return storage


# -- what is wrong with it ------------------------------------------------------------------------


def problems(found: Found) -> Iterator[CheckMessage]:
    """Yield what is wrong with the options of a storage, one by one and together."""
    for option, text in unreadable(found.storage):
        if option.is_missing(found.storage):
            # Where a site is built and nothing connects, what it needs to run may be missing.
            yield Warning(text, obj=found.where, id="storages.W003")
        else:
            yield Error(text, obj=found.where, id="storages.E005")
    for sentence in stated(found.storage, "contradictions"):
        yield Error(sentence, obj=found.where, id="storages.E006")


def unreadable(storage: Configured) -> Iterator[tuple[Option, str]]:
    """Yield the options that have no value or a wrong one, and why."""
    for each in options_of(type(storage)).values():
        try:
            if not (each.alias_of or each.is_computed(storage)):
                each.value(storage)
        except ImproperlyConfigured as exc:
            yield each, str(exc)


def computed(storage: Configured) -> list[Option]:
    """Return the options that a property or callable computes."""
    declared = options_of(type(storage)).values()
    return [each for each in declared if not each.alias_of and each.is_computed(storage)]


def stated(storage: Configured, method: str) -> Iterator[str]:
    """Yield what a storage says of itself, with the default for each computed option."""
    settled = copy.copy(storage)
    for each in computed(storage):
        setattr(settled, each.name, "" if each.required else each.default)
    # An option that is missing or wrong has a message of its own.
    with suppress(ImproperlyConfigured):
        for sentence in getattr(settled, method)():
            yield f"{type(storage).__name__}: {sentence}"


def root_of(alias: str) -> tuple[str, ...]:
    """Return where an entry keeps its files; empty where that is computed or cannot be told."""
    with suppress(Refused, ImproperlyConfigured, TypeError, ValueError):
        for found in made(alias):
            return () if computed(found.storage) else found.storage.root()
        # Django's own; a site's may compute where it keeps its files.
        cls = class_of(alias)
        if issubclass(cls, FileSystemStorage) and cls.__module__.startswith("django."):
            storage = cls(**entries()[alias].get("OPTIONS", {}))
            return Path(storage.location).parts if storage.base_location else ()
    return ()


def shown_secrets(storage: Configured) -> Iterator[str]:
    """Yield the options and settings whose value holds a secret, and whose name does not say so."""
    given = given_options(storage)
    for each in options_of(type(storage)).values():
        if each.alias_of or each.is_computed(storage):
            continue
        names = [each.name] if given.get(each.name) else [n for n in each.settings if setting(n)]
        value = given.get(each.name) or next(map(setting, names), None)
        if each.refuses(value):
            continue  # That has a message of its own.
        is_secret = isinstance(value, str) and each.redacted(value) != value
        if is_secret and not SafeExceptionReporterFilter.hidden_settings.search(names[0]):
            yield names[0]


def secrets_in_code(found: Found) -> Iterator[Option]:
    """Yield the secret options in the arguments of a storage that migrations would write down."""
    *_, arguments = found.where.deconstruct()
    if unwrapped(arguments.get("storage")) is found.storage:
        declared = options_of(type(found.storage))
        for name, value in given_options(found.storage).items():
            if not callable(value) and declared[name].redacted(value) != value:
                yield declared[name]


# -- the old settings -----------------------------------------------------------------------------


def old_settings() -> dict[str, str]:
    """Return the paths that the old settings in use name, by alias."""
    # Before 5.1 Django takes one or the other, and derives the old from the new.
    if django.VERSION < (5, 1) and is_overridden("STORAGES"):
        return {}
    with warnings.catch_warnings():
        # Until Django dropped them, it warned of them when they were read as well.
        warnings.simplefilter("ignore")
        found = {alias: getattr(settings, name, None) for alias, name in OLD_SETTINGS.items()}
    return {
        alias: path for alias, path in found.items() if path and is_overridden(OLD_SETTINGS[alias])
    }


def instead(used: dict[str, str], explicit: dict[str, Any]) -> str:
    """Return the lines that say in ``STORAGES`` what the old settings say."""
    kept = {} if explicit else {alias: entries()[alias]["BACKEND"] for alias in OLD_SETTINGS}
    lines = [f'    "{alias}": {{"BACKEND": "{path}"}},' for alias, path in (kept | used).items()]
    if explicit:
        return "\n".join(["Add to STORAGES, and remove the old setting:", *lines])
    return "\n".join(["Write instead:", "STORAGES = {", *lines, "}"])
