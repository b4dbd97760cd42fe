"""``manage.py storages_copy``: the files of one storage, copied to another."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Any

import django
from django.core.exceptions import ImproperlyConfigured, SuspiciousOperation
from django.core.management.base import CommandError, CommandParser

from storages.jobs import Meter, shown_size
from storages.management.common import StorageCommand, explained, positive, shown
from storages.transfers import NothingToCopy, Outcome, Report, copying

INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended


def _part(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise argparse.ArgumentTypeError("give a part and how many there are, such as 3/16")
    return int(found[1]), int(found[2])


class Command(StorageCommand):
    """Copy files; exit with 1 where one could not be copied."""

    help = (
        "Copy files from one storage to another, skipping those that are equal. Copying again "
        "after an interruption goes on where it ended."
    )
    readers = {"jobs": positive, "part": _part, "enqueue": positive}

    def add_arguments(self, parser: CommandParser) -> None:
        """Take two aliases, a path, and how to copy."""
        parser.add_argument("source", nargs="?", help="The alias of STORAGES to copy from.")
        parser.add_argument("destination", nargs="?", help="The alias of STORAGES to copy to.")
        parser.add_argument("path", nargs="?", default="", help="A directory or file; else all.")
        parser.add_argument(
            "--jobs",
            default=copying.JOBS,
            help=f"Files at a time ({copying.JOBS} by default).",
        )
        for name, text in FLAGS.items():
            parser.add_argument(f"--{name}", action="store_true", help=text)
        parser.add_argument(
            "--part", default=(1, 1), metavar="3/16", help="Copy one of so many parts."
        )
        parser.add_argument("--enqueue", metavar="PARTS", help="Enqueue a task for each part.")
        parser.add_argument("--status", metavar="ID", help="Tell how far the tasks of a copy are.")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Copy, or enqueue tasks that do, or ask for those, and report."""
        self._verbosity, self._is_json = options["verbosity"], options["json"]
        if options["status"]:
            self._ask(options["status"])
        elif not options["destination"]:
            raise CommandError("Name two aliases of STORAGES: the source and the destination.")
        elif options["enqueue"]:
            self._enqueue(options)
        else:
            self._copy_here(options)

    def _copy_here(self, options: dict[str, Any]) -> None:
        report = Report()
        try:
            self._copy(report, options, delete_all=options["yes"])
        except NothingToCopy as exc:
            if not self._is_confirmed(str(exc)):
                raise CommandError(f"{exc} Give --yes if that is what you want.") from exc
            self._copy(report, options, delete_all=True)
        except KeyboardInterrupt:
            self._print(report, options)
            text = "Interrupted: copy again to go on."
            raise CommandError(text, returncode=INTERRUPTED) from None
        except CommandError:
            if report.outcomes:
                self._print(report, options)
            raise
        self._print(report, options)
        if failed := len(report.of(copying.FAILED)):
            raise CommandError(f"{failed} of {len(report.outcomes)} files failed.")

    def _copy(self, report: Report, options: dict[str, Any], *, delete_all: bool) -> None:
        source, destination = (self.known(options[each]) for each in ("source", "destination"))

        def listen(outcome: Outcome, meter: Meter) -> None:
            report.outcomes.append(outcome)
            self._print_outcome(outcome)
            self.show(meter)

        self.progress("Listing both storages")
        passed = ("jobs", "dry_run", "delete", "verify", "resume", "part")
        try:
            copying.copy(
                self.storage(source),
                self.storage(destination),
                options["path"],
                delete_all=delete_all,
                report=listen,
                **{each: options[each] for each in passed},
            )
        except NothingToCopy:
            raise
        except (OSError, ValueError, SuspiciousOperation, ImproperlyConfigured) as exc:
            raise CommandError(f"{source} to {destination}: {explained(exc)}") from exc
        finally:
            self.progress()

    def _enqueue(self, options: dict[str, Any]) -> None:
        tasks = _tasks()
        if options["dry_run"] or options["part"] != (1, 1):
            raise CommandError("Tasks copy all parts, and they do it: leave out the other option.")
        ends = [self.known(options[each]) for each in ("source", "destination")]
        passed = {each: options[each] for each in ("jobs", "delete", "verify", "resume")}
        passed["delete_all"] = options["yes"]
        job = tasks.enqueue(*ends, options["path"], options["enqueue"], passed)
        if not tasks.can_be_asked():
            self.stdout.write("The tasks are enqueued. Their backend keeps no results to ask for.")
        elif self._is_json or not self._verbosity:
            self.stdout.write(json.dumps(job) if self._is_json else job)
        else:
            self.stdout.write(f"Enqueued {options['enqueue']} tasks.")
            self.stdout.write(f"Ask for them: manage.py storages_copy --status {job}")

    def _ask(self, job: str) -> None:
        tasks = _tasks()
        try:
            found = tasks.status(job)
        except NotImplementedError as exc:
            raise CommandError("The task backend keeps no results.") from exc
        except tasks.UNKNOWN as exc:
            raise CommandError(f"There are no tasks of a copy under {job!r}.") from exc
        if self._is_json:
            fields = ("parts", "counts", "size", "failures")
            self.stdout.write(json.dumps({each: getattr(found, each) for each in fields}, indent=2))
        else:
            for name, reason in found.failures:
                self.stdout.write(self.style.ERROR(f"failed {shown(name)}: {reason}"))
            self.stdout.write(tasks.sentence(found))
        if found.failures:
            raise CommandError("Not all was copied: enqueue again what is left.")

    def _is_confirmed(self, text: str) -> bool:
        if not (self.stdout.isatty() and self.stderr.isatty()):
            return False
        with suppress(EOFError):
            return input(f"{text} Delete all files there? [y/N] ").strip().lower() == "y"
        return False

    def _print_outcome(self, outcome: Outcome) -> None:
        is_failure = outcome.action == copying.FAILED
        if self._is_json or not (is_failure or self._verbosity > 1):
            return
        self.progress()
        style: Callable[[str], str] = self.style.ERROR if is_failure else str
        detail = f": {outcome.detail}" if outcome.detail else ""
        self.stdout.write(style(f"{outcome.action} {shown(outcome.name)}{detail}"))

    def _print(self, report: Report, options: dict[str, Any]) -> None:
        if options["json"]:
            rows = [
                {name: getattr(each, name) for name in ("name", "action", "detail", "size")}
                for each in report.outcomes
            ]
            self.stdout.write(json.dumps(rows, indent=2))
        elif options["verbosity"]:
            self.stdout.write(summary(report, dry_run=options["dry_run"]))


#: The options that are on or off.
FLAGS = {
    "dry-run": "Tell what would be done, and do nothing.",
    "delete": "Delete what only the destination has, once all files are copied.",
    "yes": "Delete even if the source has no files at all.",
    "verify": "Compare the contents: by digests, or by reading both.",
    "resume": "Take a file of the same size that is not older for a copy; read no content.",
    "json": "Report in JSON, with what became of each file.",
}


def summary(report: Report, *, dry_run: bool) -> str:
    """Return the numbers of a report in a sentence; by which rules files were skipped."""
    counts = Counter(each.action for each in report.outcomes)
    rules = Counter(each.detail for each in report.of(copying.SKIPPED))
    why = ", ".join(f"{count} {rule}" for rule, count in rules.most_common())
    parts = [
        f"{counts[copying.COPIED]} copied ({shown_size(report.size)})",
        f"{counts[copying.SKIPPED]} skipped" + (f" ({why})" if why else ""),
        f"{counts[copying.FAILED]} failed",
    ]
    if counts[copying.DELETED]:
        parts.append(f"{counts[copying.DELETED]} deleted")
    return ("Nothing was done. It would be: " if dry_run else "") + ", ".join(parts) + "."


def _tasks() -> Any:
    """Return the module of tasks; raises CommandError for a Django that has none."""
    if django.VERSION < (6,):
        raise CommandError(
            "Tasks need Django 6.0: let a scheduler of yours run --part 1/16 to --part 16/16."
        )
    return import_module("storages.transfers._tasks")
