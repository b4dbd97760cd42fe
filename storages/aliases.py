"""The entries of ``STORAGES``, and two settings that Django dropped in 5.1 worked into them."""

from __future__ import annotations

from typing import Any, cast

from django.conf import DEFAULT_STORAGE_ALIAS, STATICFILES_STORAGE_ALIAS, settings
from django.core.files.storage import storages
from django.core.signals import setting_changed

#: The settings from before ``STORAGES``, by the alias whose backend they name.
OLD_SETTINGS = {
    DEFAULT_STORAGE_ALIAS: "DEFAULT_FILE_STORAGE",
    STATICFILES_STORAGE_ALIAS: "STATICFILES_STORAGE",
}


def is_overridden(name: str) -> bool:
    """Return True if the project sets a setting itself."""
    # The type that django-stubs gives `settings` has the settings alone.
    return bool(settings.is_overridden(name))  # type: ignore[misc]


def entries() -> dict[str, dict[str, Any]]:
    """Return the entries that Django makes storages from, by alias."""
    # django-stubs says that the values are storages.
    return cast("dict[str, dict[str, Any]]", storages.backends)


class Merged(dict[str, Any]):
    """The value of ``STORAGES`` with the old settings worked in.

    ``plain`` is the value without them. ``own`` tells whether the settings layer that holds this
    object set ``STORAGES`` itself.
    """

    def __init__(self, merged: dict[str, Any], plain: dict[str, Any], *, own: bool) -> None:
        super().__init__(merged)
        self.plain = plain
        self.own = own


def merge_old_settings() -> None:
    """Set ``STORAGES`` to what it and the old settings say together, as Django 5.0 did.

    An alias that ``STORAGES`` sets is left alone. Under ``override_settings`` the innermost
    override of either wins.
    """
    # What one override sets is told by no public name.
    here = vars(settings._wrapped)  # type: ignore[misc]  # noqa: SLF001
    current = settings.STORAGES
    plain = getattr(current, "plain", current)
    set_here = here.get("STORAGES")
    own = getattr(set_here, "own", set_here is not None and is_overridden("STORAGES"))
    merged = dict(plain if own else current)
    for alias, name in OLD_SETTINGS.items():
        if alias in plain if own else name not in here:
            continue
        if path := getattr(settings, name, None):
            merged[alias] = {"BACKEND": path}
        elif alias in plain:
            merged[alias] = plain[alias]
    if merged != current:
        settings.STORAGES = Merged(merged, plain, own=own)


def follow(*, sender: Any, setting: str, enter: bool, **_kwargs: Any) -> None:
    """Do for ``override_settings`` what is done at start-up."""
    if enter and setting in {"STORAGES", *OLD_SETTINGS.values()}:
        merge_old_settings()
    if setting in OLD_SETTINGS.values():
        # Django's own receiver drops the storages made so far.
        setting_changed.send(sender, setting="STORAGES", value=settings.STORAGES, enter=enter)
