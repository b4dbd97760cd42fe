"""Configured: carries the options of a storage through construction, migrations and pickles."""

from __future__ import annotations

import contextlib
import copy
import errno
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Self, dataclass_transform

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from .options import UNSET, Option, State, positional, state_of
from .utils import is_clear_text


def given_options(storage: Any) -> dict[str, Any]:
    """Return the live dict of the options given to an instance by keyword or assignment."""
    return state_of(storage).given


#: Options that say where a service or a directory is, in the order in which they are named.
PLACES = ("host", "params", "server", "trackers", "account_url", "account_name", "endpoint_url")
_NOWHERE = {errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPROTO}


def options_of(cls: type[Configured]) -> Mapping[str, Option]:
    """Return the options of a class by name, base classes first, in the order declared."""
    return cls._declared


def said_by_others(cls: type) -> dict[str, Any]:
    """Return what base classes say that are neither ours nor Django's.

    A class for tenants, say, that stands behind ours and would go unheard.
    """
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if not issubclass(base, Configured) and not base.__module__.startswith("django."):
            found |= vars(base)
    return found


def _collect(cls: type) -> dict[str, Option]:
    found: dict[str, Option] = {}
    for base in reversed(cls.__mro__):
        here = {name: each for name, each in vars(base).items() if isinstance(each, Option)}
        for name, each in here.items():
            if each.owner is base:
                # Declared anew it takes a new place, which arguments by position go by.
                found.pop(name, None)
            found[name] = each
    return found


@dataclass_transform(kw_only_default=True, eq_default=False, field_specifiers=(positional,))
class Configured:
    """Mix-in that gives a storage class its options, constructor, ``deconstruct`` and pickling.

    Mix into a class that Django's ``deconstructible`` decorates. Type checkers derive each
    subclass's constructor from its options.
    """

    #: Instance attributes that are neither copied nor pickled: clients, pools, caches.
    volatile: ClassVar[frozenset[str]] = frozenset()
    #: True if a subclass overrides `get_default_settings`.
    is_hooked: ClassVar[bool] = False
    #: Names that users take for options, and what they belong into.
    elsewhere: ClassVar[Mapping[str, str]] = {}
    _declared: ClassVar[Mapping[str, Option]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        others, found = said_by_others(cls), _collect(cls)
        said = {
            name
            for base in cls.__mro__
            for name in vars(base).keys() & found.keys()
            if not isinstance(vars(base)[name], Option)
        }
        for name, declared in found.items():
            if name not in said:
                continue
            current = next(vars(base)[name] for base in cls.__mro__ if name in vars(base))
            if isinstance(current, Option) and current.override is UNSET:
                current = others.get(name, current)
            if not isinstance(current, Option):
                # What a subclass calls by an alias is the option's own value.
                setattr(cls, name, declared)
                target = declared.alias_of or name
                setattr(cls, target, _collect(cls)[target].overridden(current))
        cls._declared = types.MappingProxyType(_collect(cls))
        cls.is_hooked = cls.get_default_settings is not Configured.get_default_settings

    def __init__(self, *args: Any, **options: Any) -> None:
        self._take(self._by_name(args, options))
        super().__init__()

    def _by_name(self, args: tuple[Any, ...], options: dict[str, Any]) -> dict[str, Any]:
        """Return keyword and positional arguments as one dict; a positional None is not given."""
        names = [each.name for each in options_of(type(self)).values() if each.positional]
        if len(args) > len(names):
            raise ImproperlyConfigured(
                f"{type(self).__name__} takes at most {len(names)} positional arguments: "
                "give options by keyword."
            )
        positional = {
            name: value for name, value in zip(names, args, strict=False) if value is not None
        }
        if twice := positional.keys() & options.keys():
            raise ImproperlyConfigured(f"{type(self).__name__} got {min(twice)!r} twice.")
        return positional | options

    @classmethod
    def unknown_options(cls, options: Iterable[str]) -> list[str]:
        """Return the names among keywords that the constructor does not take."""
        return [name for name in options if name not in options_of(cls)]

    def _take(self, options: dict[str, Any]) -> None:
        declared = options_of(type(self))
        state = state_of(self)
        for name in self.unknown_options(options):
            raise ImproperlyConfigured(unknown_option(type(self), name))
        for name, value in options.items():
            target = declared[name].alias_of or name
            if target != name and target in options:
                raise ImproperlyConfigured(
                    f"{type(self).__name__}: '{name}' and '{target}' are one option: give one."
                )
            # An old positional name such as `acl=None` has always meant "not given".
            if not (value is None and declared[name].positional):
                state.given[target] = value

    def get_default_settings(self) -> dict[str, Any]:
        """Return the options by name with what the settings give, or their defaults.

        A subclass may override this to give its own: they win over the settings, while a keyword
        or an attribute of the class wins over them.
        """
        declared = options_of(type(self)).values()
        found = {each.name: each.configured() for each in declared if not each.alias_of}
        return {
            name: options_of(type(self))[name].default if value is UNSET else value
            for name, value in found.items()
        }

    def contradictions(self) -> Iterator[str]:
        """Yield a sentence for each pair of options that cannot both hold; backends extend it."""
        yield from ()

    def doubts(self) -> Iterator[str]:
        """Yield a sentence for each thing that is probably not meant; backends extend it."""
        yield from ()

    def insecurities(self) -> Iterator[str]:
        """Yield a sentence for each setting that is unsafe in production; backends extend it."""
        if is_clear_text(getattr(self, "base_url", None)):
            yield f"URLs are http: begin the {options_of(type(self))['base_url']} with https."

    def root(self) -> tuple[str, ...]:
        """Return where the files lie, from the largest part to the smallest, without secrets.

        System checks compare it: storages share files where one's root begins with another's.
        Empty where it cannot be told.
        """
        return ()

    def deconstruct(self) -> tuple[str, Sequence[Any], dict[str, Any]]:
        """Return path, args and kwargs for migrations, without the values of secret options."""
        path, args, kwargs = super().deconstruct()  # type: ignore[misc]
        safe_args = [
            None if (safe := self._without_secret(each)) is UNSET else safe for each in args
        ]
        while safe_args and safe_args[-1] is None:
            safe_args.pop()
        safe_kwargs = {name: self._without_secret(value, name) for name, value in kwargs.items()}
        return path, safe_args, {n: v for n, v in safe_kwargs.items() if v is not UNSET}

    def _without_secret(self, value: Any, name: str = "") -> Any:
        """Redact an argument by its name, or as the secret that a subclass passed on."""
        declared = options_of(type(self))
        held = self._held(value)
        if name in declared:
            return declared[declared[name].alias_of or name].redacted(held)
        for given, secret in given_options(self).items():
            if secret is value and value is not None and declared[given].secret:
                return declared[given].redacted(held)
        return held

    def _held(self, value: Any) -> Any:
        """Return what migrations and pickles hold in place of an argument: something plain."""
        return value

    def _safe_options(self) -> dict[str, Any]:
        given = given_options(self)
        safe = {name: self._without_secret(value, name) for name, value in given.items()}
        return {name: value for name, value in safe.items() if value is not UNSET}

    def __repr__(self) -> str:
        declared, safe = options_of(type(self)), self._safe_options()
        # A text that is refused may hold a password where none belongs.
        shown = {n: each for n, each in safe.items() if not declared[n].refuses(each)}
        given = (f"{n}={shown[n]!r}" if n in shown else f"{n}=…" for n in given_options(self))
        return f"{type(self).__name__}({', '.join(given)})"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out secrets and what `volatile` names: connections are made anew."""
        given, safe = given_options(self), self._safe_options()
        dropped = {name for name in given if safe.get(name, UNSET) != self._held(given[name])}
        _, args, kwargs = self.deconstruct()
        return self._lasting() | {
            "_constructor_args": (args, kwargs),
            "_options": (safe, sorted(dropped | state_of(self).dropped)),
        }

    def _lasting(self) -> dict[str, Any]:
        """Return the attributes that a copy has as well."""
        left = {"_options", *self.volatile}
        return {name: value for name, value in vars(self).items() if name not in left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        given, dropped = state["_options"]
        like = self._configured_like(state) if dropped else None
        vars(self).update(state if like is None else vars(copy.copy(like)))
        if like is None:
            vars(self)["_options"] = State(given, dropped)
        vars(self)["_constructor_args"] = state["_constructor_args"]

    @classmethod
    def _configured_like(cls, state: dict[str, Any]) -> Self | None:
        """Find the ``STORAGES`` entry that differs from a pickled state in its secrets alone."""
        # One may have been given by position what the other has by keyword.
        arguments = {"_constructor_args": state["_constructor_args"]}
        for configured in cls._configured():
            if configured.__getstate__() | arguments == state:
                return configured
        return None

    @classmethod
    def _configured(cls) -> Iterator[Self]:
        """Yield a storage for each good ``STORAGES`` entry of this class."""
        for entry in getattr(settings, "STORAGES", {}).values():
            with contextlib.suppress(ImportError, ImproperlyConfigured):
                if import_string(entry["BACKEND"]) is cls:
                    yield cls(**entry.get("OPTIONS", {}))

    def __copy__(self) -> Self:
        twin = type(self).__new__(type(self))
        vars(twin).update(self._lasting(), _options=state_of(self).copy())
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Options are never changed in place, so a copy may share them; some cannot be copied.
        return self.__copy__()


def places_of(cls: type[Configured], *, directory: bool = False) -> list[Option]:
    """Return the options that say where the service is, or with ``directory`` where on it."""
    declared = options_of(cls)
    if directory and "root_path" in declared:
        return [declared["root_path"]]
    places = [declared[name] for name in PLACES if name in declared]
    # Where no setting says a place, as with Dropbox, the service is where it always is.
    return places or [each for each in (declared["location"],) if each.settings]


def with_places(cls: type[Configured], code: int, text: str) -> tuple[int, str]:
    """Return an errno and its text, which names an option if no service is where options say."""
    if code in _NOWHERE and not any(f"'{name}'" in text for name in options_of(cls)):
        places = " and ".join(map(str, places_of(cls)))
        text += (
            f"; see whether this is right: {places}"
            if places
            else ": check that firewalls and proxies let requests through"
        )
    return code, text


def unknown_option(cls: type[Configured], name: str) -> str:
    """Say that ``cls`` has no option ``name``, and which one was probably meant."""
    import difflib  # noqa: PLC0415 - for a mistake alone

    close = difflib.get_close_matches(name, options_of(cls), n=1, cutoff=0.6)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    if name in cls.elsewhere:
        hint = f" It belongs into {cls.elsewhere[name]}."
    return f"{cls.__name__} has no option '{name}'.{hint}"


class Translating:
    """Turns errors of an SDK in a ``with`` block into those that a storage raises."""

    # A class, since a generator would leave the frames of each error it turns to the collector.

    def __init__(self, storage: Any, name: str) -> None:
        self._storage = storage
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, exc: BaseException | None, _traceback: object) -> None:
        if isinstance(exc, (OSError, *self._storage.sdk_errors)):
            raise self._storage._error(exc, self._name) from exc  # noqa: SLF001
