"""Option: how the value of an option is found and checked, and what a storage keeps of it.

Backends declare options with the functions of `storages.options`.
"""

from __future__ import annotations

import functools
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from typing import Any, Final, Literal, TypeVar, Union

from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import LazyObject, Promise

from .utils import forget_locals, lookup_env, setting, unwrapped

UNSET: Final = object()
Value = TypeVar("Value")

#: Turns a value that holds secrets into one without them, or `UNSET` where nothing is left.
Redact = Callable[[Any], Any]


def matches(value: object, hint: Any) -> bool:
    """Return True if ``value`` is of the annotated type ``hint``; element types do not count."""
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


class State:
    """What one storage knows of its options: the one attribute that the options keep on it."""

    __slots__ = ("derived", "dropped", "given", "known", "version")

    def __init__(self, given: dict[str, Any] | None = None, dropped: Sequence[str] = ()) -> None:
        #: Values given by keyword or assignment.
        self.given: dict[str, Any] = given or {}
        #: Names of secrets that pickling left out.
        self.dropped: set[str] = set(dropped)
        #: Values that were checked, each with what it was made of.
        self.known: dict[Option, tuple[Any, Any]] = {}
        #: Values of `derived` attributes.
        self.derived: dict[object, Any] = {}
        #: Counts the changes of ``given``.
        self.version = 0

    def copy(self) -> State:
        """Return what a copy of the storage starts with."""
        return State(dict(self.given), sorted(self.dropped))


def state_of(storage: Any) -> State:
    """Return the state of a storage's options."""
    state: State | None = storage.__dict__.get("_options")
    if state is None:
        state = vars(storage).setdefault("_options", State())
    return state


#: The options that are read while a derived value is made; None at other times.
#: The environment itself is in it as None.
READS: ContextVar[list[Option | None] | None] = ContextVar("reads", default=None)


class Option:
    """A descriptor that finds an option's value when it is read, and checks it.

    The first place that gives a value wins: constructor keyword or assignment, a subclass's
    attribute or property, the Django settings in order, the environment, the default. None counts
    as not given unless the annotation allows None. Callables are called for their value unless the
    annotation says the option is one; lazy texts and objects are resolved.
    """

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
        read: Callable[[Any, Any], Any] | None,
        positional: bool,
        doc: str,
    ) -> None:
        self.settings = settings
        # Every storage that has none of its own shares it.
        self.default = types.MappingProxyType(default) if isinstance(default, dict) else default
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

    def __set_name__(self, owner: type, name: str) -> None:
        self.owner = owner
        self.name = name

    def overridden(self, value: Any) -> Option:
        """Return a copy that reads ``value``, what a subclass says, before the settings."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__, override=value)
        return copy

    def __get__(self, storage: Any, owner: type | None = None) -> Any:
        if storage is None:
            return self if self.override is UNSET else self.override
        try:
            value = self.value(storage)
        except ImproperlyConfigured as exc:
            # A value that is refused may hold a secret where none belongs.
            forget_locals(exc)
            raise
        return value if self.read is None else self.read(storage, value)

    def value(self, storage: Any) -> Any:
        """Return the option's value for a storage, found and checked."""
        if self.alias_of is not None:
            return getattr(storage, self.alias_of)
        if (reads := READS.get()) is not None:
            reads.append(self)
        found = self._found(storage)
        known = state_of(storage).known
        before = known.get(self)
        # What was checked once stays right as long as the same object is found.
        if before is not None and before[0] is found:
            return before[1]
        value = self._resolved(storage, found)
        if not self._is_computed(found):
            known[self] = (found, value)
        return value

    def __set__(self, storage: Any, value: Any) -> None:
        state = state_of(storage)
        target = self.alias_of or self.name
        state.given[target] = value
        state.dropped.discard(target)
        state.version += 1

    def __delete__(self, storage: Any) -> None:
        state = state_of(storage)
        state.given.pop(self.alias_of or self.name, None)
        state.version += 1

    @property
    def hint(self) -> Any:
        """The annotation, resolved; it must name things that exist at run time."""
        return _hints(self.owner).get(self.name, Any)

    @property
    def type_text(self) -> str:
        """The annotation as written."""
        return str(inspect.get_annotations(self.owner).get(self.name, "object"))

    def accepts(self, value: object) -> bool:
        """Return True if a value is of the annotated type; None means "not given" and is."""
        return value is None or matches(value, self.hint)

    def is_computed(self, storage: Any) -> bool:
        """Return True if a property, a callable or a lazy object gives the value each time."""
        if (reads := READS.get()) is not None:
            reads.append(self)
        return _is_hooked(storage) or self._is_computed(self._found(storage))

    def is_said(self, storage: Any) -> bool:
        """Return True if code gives the value, whatever settings and environment say."""
        return self._said(storage) is not UNSET

    def is_missing(self, storage: Any) -> bool:
        """Return True if the option is required and nothing gives it a value."""
        return self.required and self._found(storage) is UNSET

    def refuses(self, value: object) -> bool:
        """Return True for a text that the option does not take."""
        if self.check is None or not isinstance(value, str) or not self.accepts(value):
            return False
        try:
            self.check(value)
        except ValueError:
            return True
        return False

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
        if (value := self._said(storage)) is not UNSET:
            return value
        if getattr(type(storage), "is_hooked", False):
            value = storage.get_default_settings().get(self.name, UNSET)
            if value is not UNSET and self._counts(value):
                return value
        return self.configured()

    def _said(self, storage: Any) -> Any:
        """Return what code says, by keyword, assignment or subclass, else `UNSET`."""
        state = state_of(storage)
        value = state.given.get(self.name)
        if self.name in state.given and self.name not in state.dropped and self._counts(value):
            return value
        return self.override if self._counts(self.override) else UNSET

    def configured(self) -> Any:
        """Return what the settings or the environment give, else `UNSET`."""
        for name in self.settings:
            if (value := setting(name)) is not None:
                return value
        value = lookup_env(self.env) if self.env else None
        return UNSET if value is None else value

    def _counts(self, value: object) -> bool:
        """Return True if a value counts as given: None does only if the annotation allows it."""
        return value is not None or matches(None, self.hint)

    def _is_computed(self, found: Any) -> bool:
        if isinstance(found, (Promise, LazyObject)):
            return True
        bound = found is self.override and hasattr(type(found), "__get__")
        return bound or (callable(found) and not self.accepts(found))

    def _resolved(self, storage: Any, found: Any) -> Any:
        value = found
        if value is self.override and value is not UNSET and hasattr(type(value), "__get__"):
            value = value.__get__(storage, type(storage))
        if callable(value) and not self.accepts(value):
            value = value()
        if isinstance(value, Promise):
            value = str(value)
        if isinstance(value, LazyObject):
            value = unwrapped(value)
        if value is UNSET or not self._counts(value):
            return self._fallback(storage)
        if isinstance(value, str) and not self.accepts(value):
            value = self._number(value)
        self._validate(storage, value)
        return value

    def _number(self, text: str) -> Any:
        """Return the number of an option that a text gives, as environment variables do."""
        with suppress(ValueError):
            if matches(0, self.hint):
                # A mode is octal, as `chmod` takes it.
                return int(text, 8 if self.name.endswith("_mode") else 10)
        with suppress(ValueError):
            if matches(0.0, self.hint) and math.isfinite(number := float(text)):
                return number
        return text

    def _fallback(self, storage: Any) -> Any:
        if self.name in state_of(storage).dropped:
            raise ImproperlyConfigured(
                f"{type(storage).__name__}: the {self} was given in code as a secret, and secrets "
                "are not pickled: set it in your settings instead."
            )
        if self.required:
            raise ImproperlyConfigured(f"{type(storage).__name__} needs the {self}: set it.")
        return self.default

    def _validate(self, storage: Any, value: Any) -> None:
        if not matches(value, self.hint):
            wanted = f"{self.type_text}, not {type(value).__name__}"
            if typing.get_origin(self.hint) is Literal:
                wanted = " or ".join(map(repr, typing.get_args(self.hint)))
            is_one = isinstance(value, str) and self.type_text.startswith("Sequence")
            hint = ": put it into a list" if is_one else ""
            raise ImproperlyConfigured(
                f"{type(storage).__name__}: the {self} must be {wanted}{hint}."
            )
        if self.check is not None and value is not None:
            try:
                self.check(value)
            except ValueError as exc:
                raise ImproperlyConfigured(f"{type(storage).__name__}: the {self} {exc}") from None


def _is_hooked(storage: Any) -> bool:
    """Return True if a subclass says by ``get_default_settings()`` what holds for its options."""
    return getattr(type(storage), "is_hooked", False)


@functools.cache
def _hints(owner: type) -> dict[str, Any]:
    return typing.get_type_hints(owner)
