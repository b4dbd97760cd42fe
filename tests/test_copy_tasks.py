"""Copies split over workers by Django's tasks, with the task backend of django-tasks-db."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from importlib.util import find_spec
from pathlib import Path

import django
import pytest

from storages.driver import Entry, Source
from storages.local import LocalStorage

pytestmark = pytest.mark.skipif(
    django.VERSION < (6,), reason="impossible: Django before 6.0 has no tasks"
)

FILES = {f"dir{number % 4}/{number}.txt": f"content {number}" for number in range(200)}
MISSING = "django_tasks_db is not installed (pip install django-tasks-db)"

SITE = """
import os
import sys
from pathlib import Path
from django.conf import settings
HERE = Path(os.environ["SITE"])
def directory(name):
    return {
        "BACKEND": "tests.test_copy_tasks.Held",
        "OPTIONS": {"location": str(HERE / name), "max_size": 1000},
    }
settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(HERE / "tasks.sqlite3"),
            "OPTIONS": {"timeout": 60, "transaction_mode": "IMMEDIATE"},
        }
    },
    INSTALLED_APPS=["storages", "django_tasks_db"],
    LOGGING={
        "version": 1,
        "handlers": {"all": {"class": "logging.StreamHandler"}},
        "loggers": {"django.tasks": {"handlers": ["all"], "level": "INFO"}},
    },
    STORAGES={name: directory(name) for name in ("one", "two")},
    TASKS={"default": {"BACKEND": os.environ["TASK_BACKEND"]}},
    USE_TZ=True,
)
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", *sys.argv[1:]])
"""


class Held(LocalStorage):
    """Writes nothing as long as there is a file "held" beside its directory."""

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        pause = threading.Event()
        while Path(f"{self.location}/../held").exists():
            pause.wait(0.01)
        super()._write(key, source, overwrite=overwrite, expected=expected)


class Project:
    """A site with two storages and a queue of tasks."""

    def __init__(self, path: Path, backend: str) -> None:
        self.path = path
        self.backend = backend
        for name in ("one", "two"):
            (path / name).mkdir()
        for name, content in FILES.items():
            file = path / "one" / name
            file.parent.mkdir(exist_ok=True)
            file.write_text(content)
            os.utime(file, (1_700_000_000, 1_700_000_000))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", SITE, *arguments],
            env={**os.environ, "SITE": str(self.path), "TASK_BACKEND": self.backend},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[str, str, int]:
        with self.start(*arguments) as process:
            output, errors = process.communicate(timeout=120)
        return output, errors, process.returncode

    def enqueue(self, *arguments: str) -> str:
        """Enqueue a copy and return its id."""
        output, errors, code = self.run("storages_copy", "one", "two", "--enqueue=6", *arguments)
        assert code == 0, errors
        found = re.fullmatch(
            r"Enqueued 6 tasks\.\nAsk for them: manage\.py storages_copy --status (\S+)\n", output
        )
        assert found is not None, output
        return found[1]

    def status(self, job: str) -> str:
        return self.run("storages_copy", "--status", job)[0]

    def work(self, workers: int) -> None:
        """Let workers do the tasks that wait."""
        running = [self.start("db_worker", "--batch", "--interval=0.1") for _ in range(workers)]
        for each in running:
            with each:
                _, errors = each.communicate(timeout=120)
                assert each.returncode == 0, errors

    def copied(self) -> dict[str, str]:
        place = self.path / "two"
        return {
            str(path.relative_to(place)): path.read_text()
            for path in place.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def project(tmp_path: Path) -> Project:
    if find_spec("django_tasks_db") is None:
        pytest.skip(MISSING)
    found = Project(tmp_path, "django_tasks_db.DatabaseBackend")
    _, errors, code = found.run("migrate", "--verbosity=0")
    assert code == 0, errors
    return found


def test_three_workers_copy_the_parts(project: Project) -> None:
    job = project.enqueue()
    waiting = "0 copied, 0 skipped, 0 failed, 0 deleted, 0 B copied.\n"
    assert project.status(job) == (f"Of 6 parts 0 done, 0 running, 6 waiting, 0 broken: {waiting}")
    project.work(3)
    assert project.copied() == FILES
    output = project.run("storages_copy", "--status", job, "--json")[0]
    told = json.loads(output)
    assert (told["parts"], told["counts"], told["failures"]) == ({"done": 6}, {"copied": 200}, [])


def test_tasks_of_a_killed_worker_are_done_by_enqueuing_again(project: Project) -> None:
    lost = project.enqueue()
    held = project.path / "held"
    held.touch()
    with project.start("db_worker", "--batch", "--interval=0.1") as worker:
        assert worker.stderr is not None
        assert any("state=RUNNING" in line for line in worker.stderr)
        worker.kill()
    held.unlink()
    assert project.copied() == {}
    project.work(3)
    assert "Of 6 parts 5 done, 1 running" in project.status(lost)
    job = project.enqueue("--resume")
    project.work(3)
    assert project.copied() == FILES
    assert "Of 6 parts 6 done" in project.status(job)


def test_failures_of_tasks_are_told(project: Project) -> None:
    (project.path / "one/large.txt").write_text("x" * 1001)
    job = project.enqueue()
    project.work(1)
    output, errors, code = project.run("storages_copy", "--status", job)
    reason = "The content is larger than max_size (1000 bytes)"
    assert output.startswith(f"failed large.txt: {reason}\nOf 6 parts 6 done")
    assert (errors.splitlines()[-1], code) == (
        "CommandError: Not all was copied: enqueue again what is left.",
        1,
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_name_that_is_no_text_is_told(project: Project) -> None:
    (project.path / "one/latin-\udce9.txt").write_text("content")
    job = project.enqueue()
    project.work(1)
    output = project.status(job)
    assert output.startswith("failed latin-\\udce9.txt: The name 'latin-\\udce9.txt' cannot be")
    assert "200 copied, 0 skipped, 1 failed" in output


def test_part_that_breaks_is_told(project: Project) -> None:
    job = project.enqueue("--delete")
    for path in (project.path / "one").rglob("*.txt"):
        path.unlink()
    project.work(1)
    output = project.status(job)
    assert "failed part 3/6: storages.transfers.copying.NothingToCopy\n" in output
    assert "Of 6 parts 0 done, 0 running, 0 waiting, 6 broken" in output


def test_unknown_id_is_told(project: Project) -> None:
    _, errors, code = project.run("storages_copy", "--status", "unknown")
    assert "There are no tasks of a copy under 'unknown'." in errors
    assert code == 1


def test_backend_that_keeps_no_results_copies_at_once(tmp_path: Path) -> None:
    if find_spec("django_tasks_db") is None:
        pytest.skip(MISSING)
    project = Project(tmp_path, "django.tasks.backends.immediate.ImmediateBackend")
    output, _, code = project.run("storages_copy", "one", "two", "--enqueue=3")
    assert output == "The tasks are enqueued. Their backend keeps no results to ask for.\n"
    assert code == 0
    assert project.copied() == FILES
    errors = project.run("storages_copy", "--status", "any")[1]
    assert "The task backend keeps no results." in errors
