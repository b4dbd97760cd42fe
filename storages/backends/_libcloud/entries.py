"""Options that an entry of LIBCLOUD_PROVIDERS gives too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from storages.options import UNSET, Option

#: Keywords of an entry that the attributes of a storage name differently.
RENAMED = {"key": "secret"}


class EntryOption(Option):
    """An option that is also read from the storage's entry in ``LIBCLOUD_PROVIDERS``."""

    def __str__(self) -> str:
        return f"{super().__str__()}, '{self.entry_name}' of an entry in LIBCLOUD_PROVIDERS"

    @property
    def entry_name(self) -> str:
        """The name that the option has in an entry."""
        names = {attribute: name for name, attribute in RENAMED.items()}
        return names.get(self.name, self.name)

    def _counts(self, value: object) -> bool:
        # Any None leaves it to the entry.
        return value is not None

    def _found(self, storage: Any) -> Any:
        found = super()._found(storage)
        if found is UNSET:
            found = storage.provider.get(self.entry_name)
        return UNSET if found is None else found


def of_entry(
    *,
    required: bool = False,
    secret: bool = False,
    check: Callable[[Any], None] | None = None,
    default: Any = None,
    doc: str,
) -> Any:
    """Declare an option that an entry of ``LIBCLOUD_PROVIDERS`` may give."""
    return EntryOption(
        (),
        default=default,
        required=required,
        secret=secret,
        env=(),
        check=check,
        alias_of=None,
        read=None,
        positional=False,
        doc=doc,
    )
