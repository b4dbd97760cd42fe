"""``manage.py storages_createtable``: the table in which a database storage keeps its files."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import CommandError, CommandParser

from storages.aliases import entries
from storages.backends.database import DatabaseStorage
from storages.management.common import StorageCommand, explained


class Command(StorageCommand):
    """Make the table of a storage, or print the SQL that does."""

    help = "Make the table in which a storage of class DatabaseStorage keeps its files."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take an alias, and whether to print only."""
        parser.add_argument(
            "alias",
            nargs="?",
            help="An alias of STORAGES; may be left out where one alone keeps files in a database.",
        )
        parser.add_argument("--sql", action="store_true", help="Print the SQL, change nothing.")

    def handle(self, *_args: Any, alias: str | None, sql: bool, **_options: Any) -> None:
        """Make the table."""
        chosen, storage = self._chosen(alias)
        try:
            if sql:
                for statement in storage.table_sql():
                    self.stdout.write(f"{statement};")
                return
            with storage:
                storage.create_table()
        except (OSError, ImproperlyConfigured) as exc:
            raise CommandError(f"{chosen}: {explained(exc)}") from exc
        self.stdout.write(f"Made the table {storage.db_table} for {chosen!r}.")

    def _chosen(self, alias: str | None) -> tuple[str, DatabaseStorage]:
        """Return the alias named, or the only one of its kind, with its storage."""
        names = list(entries()) if alias is None else [self.known(alias)]
        found = [
            (each, made)
            for each in names
            if isinstance(made := self.storage(each), DatabaseStorage)
        ]
        if len(found) == 1:
            return found[0]
        if alias is not None:
            raise CommandError(f"STORAGES[{alias!r}] keeps no files in a database.")
        if found:
            several = ", ".join(each for each, _ in found)
            raise CommandError(f"Several aliases keep files in a database, name one: {several}.")
        raise CommandError("No alias of STORAGES keeps files in a database.")
