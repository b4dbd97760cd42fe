"""System checks of static files: whether pages find them, and which command collects them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import STATICFILES_STORAGE_ALIAS
from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004
from django.core.management import find_commands

from .checks import TAG, Refused, class_of, entry_of
from .configured import Configured


@register(Tags.files, TAG)
def check_static_names(**_kwargs: Any) -> list[CheckMessage]:
    """Warn of static files that are not found under the names that the project gives them."""
    alias = STATICFILES_STORAGE_ALIAS
    with suppress(KeyError, Refused):
        cls = class_of(alias)
        if getattr(cls, "renames", False):
            text = f"{cls.__name__} saves static files under names that pages may not ask for."
            hint = "Use a storage that keeps names, such as OverwriteStorage, for static files."
            return [Warning(text, hint=hint, obj=entry_of(alias), id="storages.W007")]
    return []


@register(Tags.staticfiles, TAG)
def check_collecting(**_kwargs: Any) -> list[CheckMessage]:
    """Warn where a storage of ours is filled by Django's own ``collectstatic``."""
    with suppress(KeyError, Refused):
        is_ours = issubclass(class_of(STATICFILES_STORAGE_ALIAS), Configured)
        if is_ours and app_of_command("collectstatic") == "django.contrib.staticfiles":
            text = "Django's own collectstatic is used, which asks for each file by itself."
            hint = "Name 'storages' before 'django.contrib.staticfiles' in INSTALLED_APPS."
            return [Warning(text, hint=hint, obj="settings", id="storages.W014")]
    return []


def app_of_command(command: str) -> str | None:
    """Return the name of the app whose command is run: the first that has one of this name."""
    for each in apps.get_app_configs():
        if command in find_commands(str(Path(each.path, "management"))):
            return each.name
    return None
