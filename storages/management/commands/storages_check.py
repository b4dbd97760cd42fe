"""``manage.py storages_check``: try each storage of the project with a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from django.contrib.staticfiles.storage import StaticFilesStorage
from django.core.files.storage import Storage
from django.core.management.base import CommandError, CommandParser

from storages.aliases import entries
from storages.checks import field_storages
from storages.management.common import StorageCommand
from storages.management.probe import Skipped, Step, run, timed

STYLES = {"ok": "SUCCESS", "failed": "ERROR", "skipped": "WARNING", "note": "WARNING"}


class Command(StorageCommand):
    """Report on each alias; exit with 1 where a step failed."""

    help = (
        "Write, read, list, fetch, overwrite and delete a file in each storage, and say "
        "what to change for what fails."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Take aliases and the form of the report."""
        parser.add_argument(
            "alias",
            nargs="*",
            help="An alias of STORAGES, or a file field: app.Model.field; all by default.",
        )
        parser.add_argument("--json", action="store_true", help="Report in JSON.")

    def handle(self, *_args: Any, alias: list[str], **options: Any) -> None:
        """Check the storages one by one."""
        fields = {str(each.where): cast("Storage", each.storage) for each in field_storages(None)}
        names = [each if each in fields else self.known(each) for each in alias]
        report = [
            self._check(each, fields.get(each), show=not options["json"])
            for each in names or (*entries(), *fields)
        ]
        if options["json"]:
            self._print_json(report)
        if bad := [each["alias"] for each in report if not each["ok"]]:
            raise CommandError(f"{len(bad)} of {len(report)} storages failed: {', '.join(bad)}.")
        if not options["json"]:
            count = f"All {len(report)} storages work." if report[1:] else "The storage works."
            self.stdout.write(self.style.SUCCESS(count))

    def _check(self, alias: str, given: Storage | None, *, show: bool) -> dict[str, Any]:
        cls = type(given)
        backend = (
            entries()[alias].get("BACKEND")
            if given is None
            else f"{cls.__module__}.{cls.__qualname__}"
        )
        if show:
            self.stdout.write(f"{alias} ({backend})")
        steps = []
        for step in self._steps(alias, given):
            self.progress()
            steps.append(step)
            if show:
                self._print(step)
        ok = all(step.status != "failed" for step in steps)
        return {"alias": alias, "backend": backend, "ok": ok, "steps": steps}

    def _steps(self, alias: str, given: Storage | None) -> Iterator[Step]:
        def configure() -> str:
            storage = given or self.storage(alias)
            if isinstance(storage, StaticFilesStorage) and not storage.base_location:
                raise Skipped("there is no STATIC_ROOT, so nothing is collected")
            return ""

        self.progress(f"{alias}: configure")
        made = timed("configure", configure)
        yield made
        if made.status == "ok":
            storage = given or self.storage(alias)
            yield from run(storage, lambda step: self.progress(f"{alias}: {step}"))

    def _print(self, step: Step) -> None:
        style = getattr(self.style, STYLES[step.status])
        time = f"{step.seconds * 1000:>8.1f} ms"
        detail = f"  {step.detail}" if step.detail else ""
        self.stdout.write(f"  {step.step:<10}{style(f'{step.status:<8}')}{time}{detail}")
        if step.advice:
            self.stdout.write(f"{'':<32}{step.advice}")

    def _print_json(self, report: list[dict[str, Any]]) -> None:
        rows = [each | {"steps": [step._asdict() for step in each["steps"]]} for each in report]
        self.stdout.write(json.dumps(rows, indent=2))
