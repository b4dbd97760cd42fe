"""``manage.py storages_copy``: output, exit codes, Ctrl-C."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import django
import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.test import override_settings

from storages.driver import Entry, Listed, Source
from tests.memory import MemoryStorage

MEMORY = "tests.memory.MemoryStorage"


class Slow(MemoryStorage):
    """Tells of each save before it takes a while."""

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        sys.stdout.write("saving\n")
        sys.stdout.flush()
        sys.stdin.read(1)
        super()._write(key, source, overwrite=overwrite, expected=expected)


PAUSE = threading.Event()


class Endless(MemoryStorage):
    """Lists more files than anyone waits for."""

    def _walk(self, key: str) -> Iterator[Listed]:
        sys.stdout.write(f"listing {self.bucket}\n")
        sys.stdout.flush()
        for number in count():
            # As a service would be waited for: two threads that spin leave others no turn.
            PAUSE.wait(0.001)
            yield f"{key}{number % 1000}.txt", Entry(1)


class Protected(MemoryStorage):
    """Lets nobody delete."""

    def _remove_many(self, keys: Iterable[str]) -> Iterator[tuple[str, Exception | None]]:
        raise PermissionError(errno.EACCES, "Nothing is deleted here")


class Screen(io.StringIO):
    """Where a person watches."""

    def isatty(self) -> bool:
        return True


def entries(**more: Any) -> dict[str, Any]:
    one, two = ({"BACKEND": MEMORY, "OPTIONS": {"bucket": uuid.uuid4().hex}} for _ in range(2))
    return {"one": one, "two": two, **more}


@pytest.fixture(autouse=True)
def configured() -> Any:
    with override_settings(STORAGES=entries()):
        for name in ("a.txt", "dir/b.txt"):
            storages["one"].save(name, ContentFile(name.encode()))
        yield


def run(*arguments: str, **streams: Any) -> tuple[str, CommandError | None]:
    out = streams.pop("stdout", io.StringIO())
    try:
        call_command(
            "storages_copy", *arguments, stdout=out, stderr=streams.pop("stderr", io.StringIO())
        )
    except CommandError as exc:
        return out.getvalue(), exc
    return out.getvalue(), None


def test_report_tells_numbers_and_rules() -> None:
    assert run("one", "two") == ("2 copied (14 B), 0 skipped, 0 failed.\n", None)
    rule = "2 same size and not older"
    assert run("one", "two") == (f"0 copied (0 B), 2 skipped ({rule}), 0 failed.\n", None)


def test_each_file_has_a_line_if_asked() -> None:
    out, _ = run("one", "two", "dir", "--verbosity=2", "--jobs=1")
    assert out.splitlines() == ["copied dir/b.txt", "1 copied (9 B), 0 skipped, 0 failed."]


def test_nothing_is_printed_if_asked() -> None:
    assert run("one", "two", "--verbosity=0") == ("", None)


def test_dry_run_is_told_as_such() -> None:
    out, _ = run("one", "two", "--dry-run")
    assert out == "Nothing was done. It would be: 2 copied (14 B), 0 skipped, 0 failed.\n"
    assert not storages["two"].exists("a.txt")


def test_json_has_an_object_for_each_file() -> None:
    storages["two"].save("old.txt", ContentFile(b"x"))
    out, _ = run("one", "two", "--json", "--delete", "--jobs=1")
    assert json.loads(out) == [
        {"name": "a.txt", "action": "copied", "detail": "", "size": 5},
        {"name": "dir/b.txt", "action": "copied", "detail": "", "size": 9},
        {"name": "old.txt", "action": "deleted", "detail": "", "size": 0},
    ]


def test_report_is_printed_if_nothing_can_be_deleted() -> None:
    given = entries()
    given["two"]["BACKEND"] = "tests.test_copy_command.Protected"
    with override_settings(STORAGES=given):
        storages["one"].save("a.txt", ContentFile(b"content"))
        storages["two"].save("old.txt", ContentFile(b"x"))
        out, error = run("one", "two", "--delete")
        rows, _ = run("one", "two", "--delete", "--json")
    assert out == "1 copied (7 B), 0 skipped, 0 failed.\n"
    assert str(error) == "one to two: Nothing is deleted here"
    assert [each["action"] for each in json.loads(rows)] == ["skipped"]


def test_failed_file_is_named_and_fails_the_command() -> None:
    given = entries()
    given["two"]["OPTIONS"]["max_size"] = 5
    with override_settings(STORAGES=given):
        for name in ("a.txt", "dir/b\x7f.txt"):
            storages["one"].save(name, ContentFile(name.encode()))
        out, error = run("one", "two")
    text = "The content is larger than max_size (5 bytes)"
    assert out.splitlines() == [
        f"failed 'dir/b\\x7f.txt': {text}",
        "1 copied (5 B), 0 skipped, 1 failed.",
    ]
    assert error is not None
    assert (str(error), error.returncode) == ("1 of 2 files failed.", 1)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("one", "tow"), "Did you mean 'two'?"),
        (("one", "one"), "Source and destination are one place: name two."),
        (("one", "two", "missing"), "one to two: The source has nothing there"),
        (("one", "two", "../up"), "climbs with '..'"),
        (("one", "two", "--jobs=0"), "give a number of 1 or more"),
        (("one", "two", "--part=4/3"), "give a part and how many there are, such as 3/16"),
        (("one", "two", "--part=x"), "give a part and how many there are, such as 3/16"),
    ],
)
def test_what_cannot_be_done_is_said(arguments: tuple[str, ...], reason: str) -> None:
    out, error = run(*arguments)
    assert reason in str(error)
    assert out == ""


@pytest.mark.parametrize(
    "backend",
    [
        "django.contrib.staticfiles.storage.StaticFilesStorage",
        "django.core.files.storage.FileSystemStorage",
        "storages.backends.overwrite.OverwriteStorage",
    ],
)
def test_directory_that_no_setting_names_is_not_the_working_directory(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.py").write_text("SECRET_KEY")
    with override_settings(
        STORAGES=entries(here={"BACKEND": backend}), MEDIA_ROOT="", STATIC_ROOT=None
    ):
        for ends in (("one", "here"), ("here", "two"), ("here", "here")):
            out, error = run(*ends)
            assert "has no directory: set MEDIA_ROOT, for static files STATIC_ROOT" in str(error)
            assert out == ""
        assert not list(storages["two"].scan(recursive=True))
    assert [each.name for each in tmp_path.iterdir()] == ["settings.py"]


def test_numbers_and_parts_may_be_text_where_the_command_is_called_in_code() -> None:
    for part in ("1/2", (2, 2)):
        call_command("storages_copy", "one", "two", jobs="2", part=part, stdout=io.StringIO())
    assert {name for name, _ in storages["two"].scan(recursive=True)} == {"a.txt", "dir/b.txt"}
    with pytest.raises(CommandError, match="--part: give a part"):
        call_command("storages_copy", "one", "two", part="x")


def test_parts_together_copy_all() -> None:
    for part in ("1/2", "2/2"):
        run("one", "two", f"--part={part}")
    assert {name for name, _ in storages["two"].scan(recursive=True)} == {"a.txt", "dir/b.txt"}


@pytest.fixture
def emptied() -> None:
    """A source without files, and one file at the destination."""
    for name in ("a.txt", "dir/b.txt"):
        storages["one"].delete(name)
    storages["two"].save("old.txt", ContentFile(b"x"))


@pytest.mark.usefixtures("emptied")
def test_deletion_for_an_empty_source_is_refused_unless_confirmed() -> None:
    _, error = run("one", "two", "--delete")
    assert "Give --yes if that is what you want." in str(error)
    assert storages["two"].exists("old.txt")
    assert run("one", "two", "--delete", "--yes")[1] is None
    assert not storages["two"].exists("old.txt")


@pytest.mark.usefixtures("emptied")
@pytest.mark.parametrize(("answer", "stays"), [("", True), ("n", True), ("y", False)])
def test_person_is_asked_before_an_empty_source_deletes(
    monkeypatch: pytest.MonkeyPatch, answer: str, stays: bool
) -> None:
    monkeypatch.setattr("builtins.input", lambda _prompt: answer)
    run("one", "two", "--delete", stdout=Screen(), stderr=Screen())
    assert storages["two"].exists("old.txt") is stays


@pytest.mark.usefixtures("emptied")
def test_terminal_that_nobody_types_at_deletes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    _, error = run("one", "two", "--delete", stdout=Screen(), stderr=Screen())
    assert "Give --yes if that is what you want." in str(error)
    assert storages["two"].exists("old.txt")


def test_progress_is_shown_to_a_person_and_cleared() -> None:
    stdout, stderr = Screen(), Screen()
    run("one", "two", stdout=stdout, stderr=stderr)
    assert "1 of 2 files" in stderr.getvalue() or "2 of 2 files" in stderr.getvalue()
    assert stderr.getvalue().endswith("\r\033[K")


SITE = """
import sys
from django.conf import settings
settings.configure(
    INSTALLED_APPS=["storages"],
    USE_TZ=True,
    STORAGES={
        "one": {"BACKEND": "storages.local.LocalStorage", "OPTIONS": {"location": sys.argv[1]}},
        "two": {"BACKEND": "tests.test_copy_command.Slow", "OPTIONS": {"bucket": "two"}},
    },
)
from django.core.management import execute_from_command_line
execute_from_command_line(["manage.py", "storages_copy", "one", "two", "--jobs=2"])
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_the_files_on_their_way_and_tells_how_to_go_on(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}.txt").write_text("content")
    with subprocess.Popen(
        [sys.executable, "-c", SITE, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "saving\n"
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate("go on" * 50)
    assert process.returncode == 130
    assert errors == "CommandError: Interrupted: copy again to go on.\n"
    assert output.count("saving\n") < 20
    assert "skipped, 0 failed.\n" in output


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_the_listings(tmp_path: Path) -> None:
    site = SITE.replace("storages.local.LocalStorage", "tests.test_copy_command.Endless")
    site = site.replace('"location": sys', '"bucket": sys').replace("Slow", "Endless")
    with subprocess.Popen(
        [sys.executable, "-c", site, str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert {process.stdout.readline() for _ in range(2)} == {
            f"listing {tmp_path}\n",
            "listing two\n",
        }
        process.send_signal(signal.SIGINT)
        try:
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, errors) == (
        130,
        "CommandError: Interrupted: copy again to go on.\n",
    )


@pytest.mark.skipif(django.VERSION >= (6,), reason="impossible: Django has tasks from 6.0 on")
@pytest.mark.parametrize("arguments", [("one", "two", "--enqueue=4"), ("--status", "any")])
def test_older_django_has_no_tasks_and_a_part_is_recommended(arguments: tuple[str, ...]) -> None:
    _, error = run(*arguments)
    assert "Tasks need Django 6.0: let a scheduler of yours run --part 1/16" in str(error)


def test_one_alias_is_not_enough() -> None:
    assert "Name two aliases" in str(run("one")[1])
