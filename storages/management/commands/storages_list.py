"""``manage.py storages_list``: the files of a storage, with size and time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple

from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.core.files.storage import Storage
from django.core.management.base import CommandError, CommandParser

from storages.base import BaseStorage
from storages.driver import Entry
from storages.management.common import StorageCommand, explained, shown, shown_time
from storages.transfers.ends import ForeignEnd

PROGRESS_STEP = 100  # files between two signs of life


class Row(NamedTuple):
    """A file, or a directory where ``size`` is None; the time is None where none is kept."""

    name: str
    size: int | None
    modified: datetime | None


class Command(StorageCommand):
    """List what a storage holds."""

    help = "List the files of a storage with their sizes in bytes and the times they were written."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take an alias, a directory and the form of the list."""
        parser.add_argument("alias", help="An alias of STORAGES.")
        parser.add_argument("path", nargs="?", default="", help="A directory; the root by default.")
        parser.add_argument("--recursive", action="store_true", help="List all that is below, too.")
        parser.add_argument("--json", action="store_true", help="List in JSON.")

    def handle(self, *_args: Any, alias: str, path: str, **options: Any) -> None:
        """Print a line per file."""
        try:
            storage = self.storage(self.known(alias))
            rows = self._watched(listed(storage, path, recursive=options["recursive"]))
            if options["json"]:
                self._print_json(rows)
            else:
                for row in rows:
                    self.stdout.write(line(row))
        except (OSError, ImproperlyConfigured, SuspiciousOperation, NotImplementedError) as exc:
            raise CommandError(f"{alias}: {explained(exc)}") from exc
        finally:
            self.progress()

    def _watched(self, rows: Iterator[Row]) -> Iterator[Row]:
        """Pass rows on, and now and then show how many there were."""
        for count, row in enumerate(rows, 1):
            self.progress()
            yield row
            if count % PROGRESS_STEP == 0:
                self.progress(f"{count} files")

    def _print_json(self, rows: Iterator[Row]) -> None:
        # Row by row, since a storage may hold millions.
        separator = "["
        for row in rows:
            time = row.modified and row.modified.isoformat()
            text = json.dumps(row._asdict() | {"modified": time})
            self.stdout.write(f"{separator}\n{text}", ending="")
            separator = ","
        self.stdout.write("\n]" if separator == "," else "[]")


def listed(storage: Storage, path: str, *, recursive: bool) -> Iterator[Row]:
    """Yield what is in a directory; where ``path`` is a file, that alone."""
    found, problem = False, None
    try:
        for row in entries_of(storage, path, recursive=recursive):
            found = True
            yield row
    except (NotADirectoryError, FileNotFoundError) as exc:
        # Of a file that is opened as a directory, OpenSSH says that it is not there.
        problem = exc
    if not found and path:
        with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            yield described(storage, path)
            return
    if problem is not None:
        raise problem


def entries_of(storage: Storage, path: str, *, recursive: bool) -> Iterator[Row]:
    """Yield what is in a directory, files first; all files below in the order of the listing."""
    if not isinstance(storage, BaseStorage):
        yield from asked(storage, path, recursive=recursive)
        return
    found = storage.scan(path, recursive=recursive)
    for name, entry in found if recursive else in_order(found):
        if entry.is_directory:
            yield Row(f"{name}/", None, None)
        else:
            yield Row(name, entry.size, entry.modified)


def in_order(found: Iterable[tuple[str, Entry]]) -> list[tuple[str, Entry]]:
    """Return entries by name, files before directories, each once."""
    return sorted(dict(found).items(), key=lambda each: (each[1].is_directory, each[0]))


def asked(storage: Storage, path: str, *, recursive: bool) -> Iterator[Row]:
    """Yield what is in a directory of a storage that is not ours, which is asked for each file."""
    directory = path.rstrip("/") if path.strip("./") else ""
    if recursive:
        for name, entry in ForeignEnd(storage).walk(directory):
            yield Row(name, entry.size, entry.modified)
        return
    directories, files = storage.listdir(path)
    prefix = f"{directory}/" if directory else ""
    for each in sorted(files):
        # Others may delete what was listed a moment ago.
        with suppress(FileNotFoundError):
            yield described(storage, prefix + each)
    for each in sorted(directories):
        yield Row(f"{prefix}{each}/", None, None)


def described(storage: Storage, name: str) -> Row:
    """Return the row of a file."""
    modified = None
    size = storage.size(name)
    with suppress(NotImplementedError):
        modified = storage.get_modified_time(name)
    return Row(name, size, modified)


def line(row: Row) -> str:
    """Return the line of a row."""
    size = "" if row.size is None else str(row.size)
    time = "" if row.modified is None else shown_time(row.modified)
    return f"{size:>14}  {time:<19}  {shown(row.name)}"
