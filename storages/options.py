"""Options: declared once on a backend class, read from wherever a user set them.

One declaration feeds look-up, constructor signatures, errors for unknown keywords, system checks,
``deconstruct()``, pickling and the option tables of the documentation. How the value of an option
is found is in `storages.declared`, how a storage carries its options in `storages.configured`.
"""

from __future__ import annotations

import os
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, Self

from django.conf import settings
from django.utils.functional import empty

from .declared import READS, UNSET, Option, Redact, State, Value, matches, state_of
from .utils import forget_locals, frozen, setting

__all__ = [
    "UNSET",
    "Option",
    "State",
    "derived",
    "environment",
    "matches",
    "option",
    "positional",
    "state_of",
]

#: What `os.environ` keeps, where it is a dict: comparing that takes a twentieth of the time.
_ENVIRONMENT: Mapping[Any, Any] = getattr(os.environ, "_data", os.environ)


class derived(Generic[Value]):  # noqa: N801 - a decorator
    """Decorates a method whose result is made from options: a client, a pool, a parsed location.

    Used as a read-only attribute. It is made at first use and kept until an option that it was
    made from has another value, wherever that value is set; properties and callables among them
    are called at each use to see that.
    """

    def __init__(self, make: Callable[[Any], Value]) -> None:
        self._make = make
        self.__doc__ = make.__doc__

    @typing.overload
    def __get__(self, storage: None, owner: type) -> Self: ...
    @typing.overload
    def __get__(self, storage: object, owner: type) -> Value: ...
    def __get__(self, storage: object | None, owner: type) -> Self | Value:
        if storage is None:
            return self
        state = state_of(storage)
        found = state.derived.get(self)
        if found is None or not found.holds(storage, state):
            found = state.derived[self] = self._made(storage, state)
        if (reads := READS.get()) is not None:
            reads += found.reads
        value: Value = found.value
        return value

    def __delete__(self, storage: object) -> None:
        """Let the value be made anew at its next use."""
        state_of(storage).derived.pop(self, None)

    def _made(self, storage: object, state: State) -> _Derived:
        version, reads = state.version, list[Option | None]()
        token = READS.set(reads)
        try:
            value = self._make(storage)
        except Exception as exc:
            # What a connection or a signer is made of are secrets, such as a private key.
            forget_locals(exc)
            raise
        finally:
            READS.reset(token)
        return _Derived(value, version, list(dict.fromkeys(reads)), storage)


def environment() -> Mapping[str, str]:
    """Return the environment; a derived value that reads it is made anew when it changes."""
    if (reads := READS.get()) is not None:
        reads.append(None)
    return os.environ


class _Process:
    """Counts the forks that led to this process: a child makes its derived values anew."""

    forks = 0

    @classmethod
    def count(cls) -> None:
        cls.forks += 1


if hasattr(os, "register_at_fork"):
    # A child that used its parent's sockets would read the answers to the parent's requests.
    os.register_at_fork(after_in_child=_Process.count)


class _Settings:
    """Settings as they stand on each level of overrides, remembered to see whether they change."""

    def __init__(self, names: Iterable[str]) -> None:
        self._wanted = wanted = {*names}
        self._top = holder = object.__getattribute__(settings, "_wrapped")
        self._levels: list[tuple[dict[str, Any], dict[str, Any], set[str]]] = []
        while holder is not None and holder is not empty:
            level = vars(holder)
            said = {name: level[name] for name in wanted & level.keys()}
            if "_deleted" in level:
                said["_deleted"] = {*level["_deleted"]}
            self._levels.append((level, said, wanted - level.keys()))
            holder = level.get("default_settings")

    def hold(self) -> bool:
        """Return True if all of them are as they were, and no level came or went."""
        if not self._wanted:
            return True
        if object.__getattribute__(settings, "_wrapped") is not self._top:
            return False
        for level, said, missing in self._levels:
            if not (level.keys().isdisjoint(missing) and said.items() <= level.items()):
                return False
        return True


class _Derived:
    """A derived value, and what it was made from."""

    def __init__(self, value: Any, version: int, reads: list[Option | None], storage: Any) -> None:
        self.value = value
        self.version = version
        self.forks = _Process.forks
        self.reads = reads
        options = [each for each in reads if each is not None]
        computed = [each for each in options if each.is_computed(storage)]
        # What code says wins over settings and environment; `State.version` counts its changes.
        found = [e for e in options if e not in computed and not e.is_said(storage)]
        self.computed = [(each, frozen(each.value(storage))) for each in computed]
        settings = [name for each in found for name in each.settings]
        self.settings = _Settings(name for name in settings if "." not in name)
        # What is within a setting may change without the setting.
        self.dotted = [(name, frozen(setting(name))) for name in settings if "." in name]
        reads_environment = None in reads or any(each.env for each in found)
        self.environment = dict(_ENVIRONMENT) if reads_environment else None

    def holds(self, storage: Any, state: State) -> bool:
        """Return True if every option still has the value that was used."""
        if self.forks != _Process.forks:
            return False
        if self.version != state.version or not self.settings.hold():
            return False
        if self.environment is not None and self.environment != _ENVIRONMENT:
            return False
        if self.dotted and any(frozen(setting(n)) != before for n, before in self.dotted):
            return False
        if not self.computed:
            return True
        return all(frozen(each.value(storage)) == before for each, before in self.computed)


def option(
    *settings: str,
    default: Any = None,
    required: bool = False,
    secret: bool | Redact = False,
    env: Sequence[str] = (),
    check: Callable[[Any], None] | None = None,
    alias_of: str | None = None,
    read: Callable[[Any, Any], Any] | None = None,
    kw_only: bool = True,
    doc: str = "",
) -> Any:
    """Declare an option as a class attribute; its annotation is its type.

    ``settings`` are names of Django settings in order, dotted ones reach into a dict. ``secret`` is
    True, or a function that takes the secrets out of a value. ``check`` raises ValueError with the
    end of a sentence that begins with the option. ``alias_of`` makes the option a second name of
    another. ``read`` takes the storage and the value, and returns what reading the attribute gives.
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


def positional(
    *settings: str,
    default: Any,
    kw_only: Literal[False],
    required: bool = False,
    secret: bool | Redact = False,
    check: Callable[[Any], None] | None = None,
    alias_of: str | None = None,
    read: Callable[[Any, Any], Any] | None = None,
    doc: str = "",
) -> Any:
    """Declare an option that the constructor also takes by position; see `option`.

    Type checkers know this function as what makes a parameter with a default. They look at the
    call alone, so each one has to say ``default=…, kw_only=False``.
    """
    return option(
        *settings,
        default=default,
        kw_only=kw_only,
        required=required,
        secret=secret,
        check=check,
        alias_of=alias_of,
        read=read,
        doc=doc,
    )
