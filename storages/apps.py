"""The app: registers the checks, and lets two settings that Django dropped in 5.1 live on."""

from __future__ import annotations

from typing import Any

import django
from django.apps import AppConfig
from django.core.signals import setting_changed

from .aliases import follow, merge_old_settings


class StoragesConfig(AppConfig):
    """The app ``storages``."""

    name = "storages"
    verbose_name = "Storage backends"

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # App configs are made before any models module is imported, so fields find this done.
        if django.VERSION >= (5, 1):
            merge_old_settings()
            setting_changed.connect(follow, dispatch_uid="storages.apps")

    def ready(self) -> None:
        """Register the checks."""
        from . import checks, static_checks, upgrading  # noqa: F401, PLC0415 - importing registers them
