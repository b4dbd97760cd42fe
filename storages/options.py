"""Options: declared once on a backend class, read from wherever a user set them.

One declaration feeds look-up, constructor signatures, errors for unknown keywords, system checks,
``deconstruct()``, pickling and the option tables of the documentation.
"""

from __future__ import annotations

import contextlib
import difflib
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, Self, Union, dataclass_transform

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.utils.functional import Promise
from django.utils.module_loading import import_string

from .utils import lookup_env, setting

UNSET: Final = object()

#: Turns a value that holds secrets into one without them, or `UNSET` where nothing is left.
Redact = Callable[[Any], Any]


def matches(value: object, hint: Any) -> bool:
    """Tell whether ``value`` is of the annotated type ``hint``; element types are not looked at."""
    if type(value) is hint or hint is Any or hint is object:
        return True
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(matches(value, each) for each in typing.get_args(hint))
    if origin is Literal:
        return value in typing.get_args(hint)
    kind = origin or (type(None) if hint is None else hint)
    if kind is float:
        kind = (int, float)
    if kind is Sequence:
        return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, kind)


class Option:
    """A descriptor that finds an option's value when it is read, and checks it.

    First found wins: constructor keyword or assignment, a subclass's attribute or property, the
    Django settings in order, the environment, the default. A setting of None counts as not given.
    Callables are called for their value unless the annotation says the option is one.

    What is found stays until something is assigned or Django sends ``setting_changed``, except for
    what a property, a callable, a lazy text or the environment gives: that is read each time.
    """

    #: The settings as they are now, in Django's word for it: another object after each change.
    settings_now: ClassVar[object] = object()

    def __init__(
        self,
        settings: tuple[str, ...],
        *,
        default: Any,
        required: bool,
        secret: bool | Redact,
        env: tuple[str, ...],
        check: Callable[[Any], None] | None,
        alias_of: str | None,
        read: Callable[[Any], Any] | None,
        positional: bool,
        doc: str,
    ) -> None:
        self.settings = settings
        self.default = default
        self.required = required
        self.secret = secret
        self.env = env
        self.check = check
        self.alias_of = alias_of
        self.read = read
        self.positional = positional
        self.doc = doc
        self.name = ""
        self.override: Any = UNSET
        self.owner: type = object
        self._hint: Any = UNSET

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner = owner
        self.name = name

    def overridden(self, value: Any) -> Option:
        """Return a copy that reads ``value``, what a subclass says, before the settings."""
        copy = object.__new__(Option)
        copy.__dict__.update(self.__dict__, override=value)
        return copy

    def __get__(self, storage: Any, owner: type | None = None) -> Any:
        if storage is None:
            return self if self.override is UNSET else self.override
        return self.value(storage) if self.read is None else self.read(storage)

    def value(self, storage: Any) -> Any:
        """Return the option's value for a storage, found and checked."""
        known = vars(storage).get("_known")
        if known is None or known.settings is not Option.settings_now:
            known = vars(storage)["_known"] = _Known(Option.settings_now)
        value = known.get(self.name, UNSET)
        return self._look_up(storage, known) if value is UNSET else value

    def _look_up(self, storage: Any, known: _Known) -> Any:
        if self.alias_of is not None:
            return getattr(storage, self.alias_of)
        found = value = self._found(storage)
        if value is UNSET:
            found = value = self._fallback(storage)
        else:
            if value is self.override and hasattr(type(value), "__get__"):
                value = value.__get__(storage, type(storage))
            if callable(value) and not self.accepts(value):
                value = value()
            if isinstance(value, Promise):
                value = str(value)
            self._validate(storage, value)
        if value is found and not self.env:
            known[self.name] = value
        return value

    def __set__(self, storage: Any, value: Any) -> None:
        target = self.alias_of or self.name
        given_options(storage)[target] = value
        vars(storage).get("_dropped", set()).discard(target)
        vars(storage).pop("_known", None)

    def __delete__(self, storage: Any) -> None:
        given_options(storage).pop(self.alias_of or self.name, None)
        vars(storage).pop("_known", None)

    @property
    def hint(self) -> Any:
        """The annotation, resolved; it must name things that exist at run time."""
        if self._hint is UNSET:
            self._hint = typing.get_type_hints(self.owner).get(self.name, Any)
        return self._hint

    @property
    def type_text(self) -> str:
        """The annotation as written."""
        return str(inspect.get_annotations(self.owner).get(self.name, "object"))

    def accepts(self, value: object) -> bool:
        """Tell whether a value is of the annotated type."""
        return value is None or matches(value, self.hint)

    def is_computed(self, storage: Any) -> bool:
        """Tell whether a property or a callable makes the value anew each time it is read."""
        value = self._found(storage)
        bound = value is self.override and hasattr(type(value), "__get__")
        return bound or (callable(value) and not self.accepts(value))

    def is_missing(self, storage: Any) -> bool:
        """Tell whether the option is required and nothing gives it a value."""
        value = self._found(storage)
        return self.required and (value is UNSET or value is None)

    def redacted(self, value: Any) -> Any:
        """Return the value without its secrets, `UNSET` where nothing of it may be shown."""
        if callable(self.secret):
            usable = isinstance(value, (str, Mapping)) and self.accepts(value)
            return self.secret(value) if usable else UNSET
        return UNSET if self.secret else value

    def __str__(self) -> str:
        """Say which option this is and where it is set, for messages."""
        places = [f"setting {name}" for name in self.settings]
        places += [f"environment variable {name}" for name in self.env]
        return f"option '{self.name}'" + (f" ({' or '.join(places)})" if places else "")

    def _found(self, storage: Any) -> Any:
        """Return the value as it was set: a property or callable itself, not what it gives."""
        state = vars(storage)
        value = state["_given"].get(self.name, UNSET) if "_given" in state else UNSET
        if value is not UNSET and self.name not in state.get("_dropped", ()):
            return value
        if self.override is not UNSET:
            return self.override
        for name in self.settings:
            if (value := setting(name)) is not None:
                return value
        value = lookup_env(self.env) if self.env else None
        return UNSET if value is None else value

    def _fallback(self, storage: Any) -> Any:
        if self.name in vars(storage).get("_dropped", ()):
            raise ImproperlyConfigured(
                f"{type(storage).__name__}: the {self} was given in code as a secret, and secrets "
                "are not pickled: set it in your settings instead."
            )
        if self.required:
            raise ImproperlyConfigured(f"{type(storage).__name__} needs the {self}: set it.")
        return self.default

    def _validate(self, storage: Any, value: Any) -> None:
        if value is None:
            if self.required:
                raise ImproperlyConfigured(
                    f"{type(storage).__name__} needs the {self}: it is None."
                )
            return
        if not matches(value, self.hint):
            raise ImproperlyConfigured(
                f"{type(storage).__name__}: the {self} must be {self.type_text}, "
                f"not {type(value).__name__}."
            )
        if self.check is not None:
            try:
                self.check(value)
            except ValueError as exc:
                raise ImproperlyConfigured(f"{type(storage).__name__}: the {self} {exc}") from None


class _Known(dict[str, Any]):
    """The values of a storage's options, under settings that have not changed since.

    A change brings a new one: what another thread is about to enter then is entered nowhere.
    """

    def __init__(self, settings_now: object) -> None:
        super().__init__()
        self.settings = settings_now


@receiver(setting_changed)
def _forget_settings(**_kwargs: Any) -> None:
    Option.settings_now = object()


def option(
    *settings: str,
    default: Any = None,
    required: bool = False,
    secret: bool | Redact = False,
    env: Sequence[str] = (),
    check: Callable[[Any], None] | None = None,
    alias_of: str | None = None,
    read: Callable[[Any], Any] | None = None,
    kw_only: bool = True,
    doc: str = "",
) -> Any:
    """Declare an option as a class attribute; its annotation is its type.

    ``settings`` are names of Django settings in order, dotted ones reach into a dict. ``secret`` is
    True, or a function that takes the secrets out of a value. ``check`` raises ValueError with the
    end of a sentence that begins with the option. ``alias_of`` makes the option a second name of
    another. ``read`` gives what reading the name gives, where that is not the value: see `value`.
    ``kw_only=False`` lets the constructor take it by position.
    """
    return Option(
        settings,
        default=default,
        required=required,
        secret=secret,
        env=tuple(env),
        check=check,
        alias_of=alias_of,
        read=read,
        positional=not kw_only,
        doc=doc,
    )


#: Declares an option that the constructor also takes by position: ``default=…, kw_only=False``.
#: Type checkers need this second name. A field that a specifier makes is required unless the call
#: says ``default=``; one made by anything else, such as `option`, may be left out.
positional = option


def given_options(storage: Any) -> dict[str, Any]:
    """Return the live dict of the options given to an instance by keyword or assignment."""
    given: dict[str, Any] = vars(storage).setdefault("_given", {})
    return given


def options_of(cls: type[Configured]) -> Mapping[str, Option]:
    """Return the options of a class by name, base classes first, in the order declared."""
    return cls._declared


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
    _declared: ClassVar[Mapping[str, Option]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, declared in _collect(cls).items():
            current = inspect.getattr_static(cls, name)
            if not isinstance(current, Option):
                # What a subclass calls by an alias is the option's own value.
                setattr(cls, name, declared)
                target = declared.alias_of or name
                setattr(cls, target, _collect(cls)[target].overridden(current))
        cls._declared = types.MappingProxyType(_collect(cls))

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

    def _take(self, options: dict[str, Any]) -> None:
        declared = options_of(type(self))
        given = given_options(self)
        for name, value in options.items():
            if name not in declared:
                raise ImproperlyConfigured(unknown_option(type(self), name))
            target = declared[name].alias_of or name
            if target != name and target in options:
                raise ImproperlyConfigured(
                    f"{type(self).__name__}: '{name}' and '{target}' are one option: give one."
                )
            # An old positional name such as `acl=None` has always meant "not given".
            if not (value is None and declared[name].positional):
                given[target] = value
        vars(self).pop("_known", None)

    def contradictions(self) -> Iterator[str]:
        """Yield a sentence for each pair of options that cannot both hold; backends extend it."""
        yield from ()

    def insecurities(self) -> Iterator[str]:
        """Yield a sentence for each setting that is unsafe in production; backends extend it."""
        yield from ()

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
        if name in declared:
            return declared[declared[name].alias_of or name].redacted(value)
        for given, secret in given_options(self).items():
            if secret is value and value is not None and declared[given].secret:
                return declared[given].redacted(value)
        return value

    def _safe_options(self) -> dict[str, Any]:
        given = given_options(self)
        safe = {name: self._without_secret(value, name) for name, value in given.items()}
        return {name: value for name, value in safe.items() if value is not UNSET}

    def __repr__(self) -> str:
        safe = self._safe_options()
        given = (f"{n}={safe[n]!r}" if n in safe else f"{n}=…" for n in given_options(self))
        return f"{type(self).__name__}({', '.join(given)})"

    def __getstate__(self) -> dict[str, Any]:
        """Leave out secrets and what `volatile` names: connections are made anew."""
        given, safe = given_options(self), self._safe_options()
        dropped = {name for name in given if safe.get(name, UNSET) is not given[name]}
        _, args, kwargs = self.deconstruct()
        return self._lasting() | {
            "_constructor_args": (args, kwargs),
            "_given": safe,
            "_dropped": dropped | vars(self).get("_dropped", set()),
        }

    def _lasting(self) -> dict[str, Any]:
        """Return the attributes that a copy has as well."""
        left = {"_known", *self.volatile}
        return {name: value for name, value in vars(self).items() if name not in left}

    def __setstate__(self, state: dict[str, Any]) -> None:
        restored = self._configured_like(state) if state["_dropped"] else None
        vars(self).update(state if restored is None else restored)
        vars(self)["_constructor_args"] = state["_constructor_args"]

    @classmethod
    def _configured_like(cls, state: dict[str, Any]) -> dict[str, Any] | None:
        """Find the ``STORAGES`` entry that differs from a pickled state in its secrets alone."""
        # One may have been given by position what the other has by keyword.
        arguments = {"_constructor_args": state["_constructor_args"]}
        for configured in cls._configured():
            if configured.__getstate__() | arguments == state:
                return dict(vars(configured))
        return None

    @classmethod
    def _configured(cls) -> Iterator[Self]:
        """Yield a storage for each good ``STORAGES`` entry of this class."""
        for entry in getattr(settings, "STORAGES", {}).values():
            with contextlib.suppress(ImportError, ImproperlyConfigured):
                if import_string(entry["BACKEND"]) is cls:
                    yield cls(**entry.get("OPTIONS", {}))

    def __copy__(self) -> Self:
        copy = type(self).__new__(type(self))
        vars(copy).update(self._lasting(), _given=dict(given_options(self)))
        return copy

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Options are never changed in place, so a copy may share them; some cannot be copied.
        return self.__copy__()


def unknown_option(cls: type, name: str) -> str:
    """Say that ``cls`` has no option ``name``, and which one was probably meant."""
    close = difflib.get_close_matches(name, options_of(cls), n=1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    return f"{cls.__name__} has no option '{name}'.{hint}"
