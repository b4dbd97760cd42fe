"""What the commands share: storages by alias, and progress for whoever watches."""

from __future__ import annotations

import argparse
import difflib
import shutil
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, ClassVar

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import Storage, storages
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from storages.aliases import entries
from storages.jobs import Meter

_CLEAR_LINE = "\r\033[K"
REDRAW = 0.1  # seconds between two states of a job that a person sees


class Watched(BaseCommand):
    """A command that shows progress if a person watches at a terminal."""

    #: What reads the text of an option, by the option's name.
    readers: ClassVar[Mapping[str, Callable[[str], Any]]] = {}
    _drawn = 0.0

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command; settings that are wrong end it without a traceback.

        Options are read here, because the parser does not see those that ``call_command`` gets by
        keyword.
        """
        for name, read in self.readers.items():
            if isinstance(given := options.get(name), (str, int)):
                try:
                    options[name] = read(str(given))
                except argparse.ArgumentTypeError as exc:
                    raise CommandError(f"--{name}: {exc}.") from None
        try:
            return super().execute(*args, **options)
        except ImproperlyConfigured as exc:
            raise CommandError(explained(exc)) from exc

    def progress(self, text: str = "") -> None:
        """Show what is going on in place of what was shown; without a text, clear it."""
        if self.stdout.isatty() and self.stderr.isatty():
            # A line that the terminal breaks could not be cleared.
            cut = text[: shutil.get_terminal_size().columns - 1]
            self.stderr.write(_CLEAR_LINE + cut, style_func=str, ending="")
            self.stderr.flush()

    def show(self, meter: Meter) -> None:
        """Show how far a job is, at most ten times a second."""
        now = time.monotonic()
        if now >= self._drawn + REDRAW:
            self._drawn = now
            self.progress(str(meter))


class StorageCommand(Watched):
    """A command on the storages of ``STORAGES``, which also runs where checks find errors."""

    requires_system_checks: Any = []

    def known(self, alias: str) -> str:
        """Return an alias of ``STORAGES``; raises CommandError for any other."""
        if alias in entries():
            return alias
        close = difflib.get_close_matches(alias, entries(), n=1)
        hint = f"Did you mean {close[0]!r}?" if close else f"There are {', '.join(entries())}."
        raise CommandError(f"STORAGES has no alias {alias!r}. {hint}")

    def storage(self, alias: str) -> Storage:
        """Return the storage of a known alias."""
        return storages[alias]


def positive(text: str) -> int:
    """Return the number that a text gives; raises ArgumentTypeError unless it is 1 or more."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError("give a number of 1 or more")
    return int(text)


def explained(exc: Exception) -> str:
    """Return the text of an exception, an OSError's without number and name."""
    return str(getattr(exc, "strerror", None) or exc) or type(exc).__name__


def shown_time(moment: datetime) -> str:
    """Return a time in the current time zone, to the second."""
    local = timezone.localtime(moment) if timezone.is_aware(moment) else moment
    return f"{local:%Y-%m-%d %H:%M:%S}"


def shown(name: str) -> str:
    """Return a name as it may be printed: what moves a terminal's cursor is escaped."""
    return name if name.isprintable() else repr(name)
