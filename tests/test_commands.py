from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.apps import apps
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import models
from django.test import override_settings
from django.utils import timezone

from storages.driver import Entry, Listed, Source
from storages.jobs import Meter
from storages.management.common import Watched
from tests.memory import OBJECTS, MemoryStorage
from tests.servers.http import HTTPProxy
from tests.servers.moto import Moto

STATIC = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
STEPS = ["configure", "write", "read", "stat", "list", "url", "overwrite", "delete"]
DENIED = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
SITE = f"{__name__}.Site"
UNLISTED = f"{__name__}.UnlistedSite"
EXAMPLES = Path(__file__).parent.parent / "docs/examples"
PROBE = "storages-check-[0-9a-f]{32}"


class Unlisted(MemoryStorage):
    def _list(self, key: str) -> Iterator[Listed]:
        raise PermissionError(13, os.strerror(13), key)


class UnlistedSite(Unlisted):
    bucket = "unlisted site"


class Site(MemoryStorage):
    bucket = "site of commands"


class Pictures(MemoryStorage):
    """Takes pictures, which it makes anew."""

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        if source.read(3) != b"GIF":
            raise SuspiciousFileOperation("This is no picture.")
        anew = Source(io.BytesIO(b"GIF of our own"), source.content_type)
        super()._write(key, anew, overwrite=overwrite, expected=expected)


class Forgetful(MemoryStorage):
    def _list(self, key: str) -> Iterator[Listed]:
        return iter(())


class Interrupted(MemoryStorage):
    def _list(self, key: str) -> Iterator[Listed]:
        raise KeyboardInterrupt


class Undeletable(MemoryStorage):
    refused: list[str] = []

    def _remove(self, key: str) -> None:
        self.refused.append(key)
        raise PermissionError(13, os.strerror(13), key)


class Screen(io.StringIO):
    """Where a person watches."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def front(moto: Moto) -> Iterator[HTTPProxy]:
    with HTTPProxy(moto.host, moto.port) as proxy:
        yield proxy


@pytest.fixture
def bucket(moto: Moto) -> Any:
    """A bucket of its own, seen by boto3 alone."""
    resource = boto3.resource(
        "s3",
        endpoint_url=moto.url,
        aws_access_key_id=moto.access_key,
        aws_secret_access_key=moto.secret_key,
        region_name=moto.region,
    )
    return resource.create_bucket(Bucket=f"commands-{uuid.uuid4().hex}")


def s3(url: str, bucket: Any, **options: Any) -> dict[str, Any]:
    account = {"endpoint_url": url, "access_key": "canary-id", "secret_key": "canary-secret"}
    backend = "storages.backends.s3boto3.S3Boto3Storage"
    return {"BACKEND": backend, "OPTIONS": {"bucket_name": bucket.name} | account | options}


def memory(kind: type[MemoryStorage] = MemoryStorage, **options: Any) -> dict[str, Any]:
    backend = f"{kind.__module__}.{kind.__name__}"
    return {"BACKEND": backend, "OPTIONS": {"bucket": uuid.uuid4().hex} | options}


def run(
    command: str, *arguments: str, entries: dict[str, Any], **streams: Any
) -> tuple[str, str | None]:
    """Return what a command printed, and the error it ended with."""
    out = streams.pop("stdout", io.StringIO())
    error = None
    with override_settings(STORAGES={"default": STATIC, "staticfiles": STATIC} | entries):
        try:
            call_command(command, *arguments, stdout=out, **streams)
        except CommandError as exc:
            error = f"{exc}"
    assert "canary" not in out.getvalue() + str(error)
    return out.getvalue(), error


def check(*, error: str | None = None, **entries: Any) -> dict[str, dict[str, Any]]:
    """Return the steps of the one storage that was checked, by name."""
    (alias,) = entries
    out, raised = run("storages_check", alias, "--json", entries=entries)
    (report,) = json.loads(out)
    assert report["alias"] == alias
    assert report["backend"] == entries[alias]["BACKEND"]
    assert report["ok"] is (raised is None)
    assert raised == error
    return {step["step"]: step for step in report["steps"]}


def failed(steps: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, step in steps.items() if step["status"] == "failed"]


# -- storages_check -------------------------------------------------------------------------------


def test_check_of_a_good_bucket_takes_every_step_and_leaves_nothing(
    moto: Moto, bucket: Any
) -> None:
    steps = check(s3=s3(moto.url, bucket, location="deep/down"))
    assert list(steps) == STEPS
    assert {step["status"] for step in steps.values()} == {"ok"}
    assert all(step["seconds"] > 0 for step in steps.values())
    assert list(bucket.objects.all()) == []


def test_check_fetches_the_signed_url_and_overwrites(
    moto: Moto, bucket: Any, front: HTTPProxy
) -> None:
    steps = check(s3=s3(moto.url, bucket, public_endpoint_url=front.url))
    assert steps["url"]["detail"] == f"from {front.host}"
    (fetch,) = front.requests
    assert re.search(f"{PROBE}.txt\\?.*X-Amz-Signature=", fetch.target)


def test_check_of_a_storage_that_finds_free_names_overwrites_too() -> None:
    entry = memory()
    steps = check(memory=entry)
    assert steps["overwrite"]["status"] == "ok"
    assert OBJECTS[entry["OPTIONS"]["bucket"]] == {}


def test_check_says_which_permission_is_missing(front: HTTPProxy, bucket: Any) -> None:
    front.answer(403, DENIED, method="PUT", times=None)
    steps = check(s3=s3(front.url, bucket), error="1 of 1 storages failed: s3.")
    assert failed(steps) == ["write"]
    assert "s3:PutObject" in steps["write"]["detail"]
    assert list(steps) == STEPS[:2]


def test_check_goes_on_after_a_step_that_fails() -> None:
    steps = check(memory=memory(Unlisted), error="1 of 1 storages failed: memory.")
    assert failed(steps) == ["list"]
    assert steps["list"]["detail"] == "PermissionError: Permission denied"
    assert steps["delete"]["status"] == "ok"


def test_check_says_which_setting_is_wrong(moto: Moto, bucket: Any) -> None:
    bucket.delete()
    steps = check(s3=s3(moto.url, bucket), error="1 of 1 storages failed: s3.")
    assert "AWS_STORAGE_BUCKET_NAME" in steps["write"]["detail"]


def test_check_says_that_nothing_listens(bucket: Any) -> None:
    config = {"retries": {"total_max_attempts": 1}}
    entry = s3("http://127.0.0.1:9", bucket, client_config=config)
    steps = check(s3=entry, error="1 of 1 storages failed: s3.")
    assert "AWS_S3_ENDPOINT_URL" in steps["write"]["detail"]


@pytest.mark.parametrize(("status", "advice"), [(403, "sign"), (404, "base_url"), (500, "host")])
def test_check_says_why_the_url_cannot_be_fetched(
    front: HTTPProxy, status: int, advice: str
) -> None:
    front.answer(status, times=None)
    entry = memory(base_url=front.url)
    steps = check(memory=entry, error="1 of 1 storages failed: memory.")
    assert failed(steps) == ["url"]
    assert advice in steps["url"]["advice"]


@pytest.mark.parametrize("cls", ["S3StaticStorage", "S3ManifestStaticStorage"])
def test_check_fetches_a_static_file_as_a_browser_does(moto: Moto, bucket: Any, cls: str) -> None:
    entry = s3(moto.url, bucket)
    entry["BACKEND"] = f"storages.backends.s3boto3.{cls}"
    with override_settings(DEBUG=False):
        steps = check(static=entry, error="1 of 1 storages failed: static.")
        assert failed(steps) == ["url"]
        assert "policy" in steps["url"]["advice"]
        entry["OPTIONS"]["default_acl"] = "public-read"
        assert check(static=entry)["url"]["status"] == "ok"


def test_check_skips_static_files_that_a_project_does_not_collect() -> None:
    with override_settings(STATIC_ROOT=None):
        assert list(check(staticfiles=STATIC)) == ["configure"]


def test_check_says_at_the_end_that_all_work() -> None:
    with override_settings(STORAGES={"one": memory(), "two": memory()}):
        out = io.StringIO()
        call_command("storages_check", "one", "two", stdout=out)
    assert out.getvalue().splitlines()[-1] == "All 2 storages work."


def test_check_finds_other_content_behind_the_url(front: HTTPProxy) -> None:
    front.answer(200, b"hello", times=None)
    entry = memory(base_url=front.url)
    steps = check(memory=entry, error="1 of 1 storages failed: memory.")
    assert steps["url"]["detail"].startswith("The content is not what was written")


@pytest.mark.parametrize("options", [{}, {"base_url": "/media/"}])
def test_check_skips_urls_that_are_not_of_another_host(options: dict[str, Any]) -> None:
    steps = check(memory=memory(**options))
    assert steps["url"]["status"] == "skipped"
    assert steps["url"]["detail"]


def test_check_of_a_storage_that_takes_pictures_only_writes_one() -> None:
    steps = check(pictures=memory(Pictures))
    assert failed({}) == failed(steps)
    assert steps["write"]["detail"] == "35 bytes"


def test_check_finds_a_listing_without_the_file() -> None:
    steps = check(memory=memory(Forgetful), error="1 of 1 storages failed: memory.")
    assert steps["list"]["detail"] == "The listing does not have the file."


def test_check_tries_again_to_remove_what_it_could_not() -> None:
    check(memory=memory(Undeletable), error="1 of 1 storages failed: memory.")
    assert len(Undeletable.refused) == 2
    assert re.fullmatch(f"{PROBE}.txt", Undeletable.refused[0])


def test_check_that_is_interrupted_leaves_nothing() -> None:
    entry = memory(Interrupted)
    with pytest.raises(KeyboardInterrupt):
        check(memory=entry)
    assert OBJECTS[entry["OPTIONS"]["bucket"]] == {}


def test_check_reports_an_alias_that_cannot_be_made() -> None:
    steps = check(memory=memory(bukket="b"), error="1 of 1 storages failed: memory.")
    assert list(steps) == ["configure"]
    assert "Did you mean 'bucket'?" in steps["configure"]["detail"]


def test_check_reports_a_missing_option() -> None:
    steps = check(
        memory={"BACKEND": "tests.memory.MemoryStorage"},
        error="1 of 1 storages failed: memory.",
    )
    assert "needs the option 'bucket'" in steps["write"]["detail"]
    assert "manage.py check" in steps["write"]["advice"]


def test_check_without_aliases_takes_all() -> None:
    entries = {"default": {"BACKEND": SITE}, "staticfiles": {"BACKEND": UNLISTED}}
    out, error = run("storages_check", entries=entries)
    assert error == "1 of 2 storages failed: staticfiles."
    lines = out.splitlines()
    assert lines[0] == "default (tests.test_commands.Site)"
    assert re.fullmatch(r"  write     ok       +[0-9.]+ ms  32 bytes", lines[2])
    failure = next(index for index, line in enumerate(lines) if "failed" in line)
    assert re.fullmatch(
        r"  list      failed   +[0-9.]+ ms  PermissionError: Permission denied", lines[failure]
    )
    assert lines[failure + 1].strip().startswith("Give the account")


@pytest.fixture
def field() -> Iterator[str]:
    """A file field with a storage of its own."""

    class Sheet(models.Model):  # noqa: DJ008
        file = models.FileField(storage=MemoryStorage(bucket="sheets"))

        class Meta:
            app_label = "tests"

    yield "tests.Sheet.file"
    del apps.all_models["tests"]["sheet"]
    apps.clear_cache()


@pytest.mark.parametrize("named", [(), ("tests.Sheet.file",)])
def test_check_tries_the_storages_of_file_fields(field: str, named: tuple[str, ...]) -> None:
    out, error = run("storages_check", *named, entries={"default": {"BACKEND": SITE}})
    assert not error
    assert f"{field} (tests.memory.MemoryStorage)" in out.splitlines()
    assert ("default (tests.test_commands.Site)" in out) is not bool(named)


def test_check_that_fails_exits_with_1() -> None:
    entries = {"default": {"BACKEND": UNLISTED}, "staticfiles": STATIC}
    with override_settings(STORAGES=entries), pytest.raises(CommandError) as raised:
        call_command("storages_check", "default", stdout=io.StringIO())
    assert raised.value.returncode == 1


def test_check_of_an_unknown_alias_names_the_closest() -> None:
    _, error = run("storages_check", "defaul", entries={})
    assert error == "STORAGES has no alias 'defaul'. Did you mean 'default'?"


def test_check_shows_progress_to_a_person_and_removes_it() -> None:
    out, err = Screen(), Screen()
    run("storages_check", "memory", entries={"memory": memory()}, stdout=out, stderr=err)
    assert "memory: overwrite" in err.getvalue()
    assert err.getvalue().endswith("\r\033[K")


@pytest.mark.parametrize("streams", [(io.StringIO, Screen), (Screen, io.StringIO)])
@pytest.mark.parametrize(
    "arguments", [("storages_check", "memory"), ("storages_list", "memory", "--recursive")]
)
def test_commands_show_no_progress_in_a_pipe(streams: Any, arguments: tuple[str, ...]) -> None:
    out, err = (stream() for stream in streams)
    run(*arguments, entries={"memory": memory()}, stdout=out, stderr=err)
    assert err.getvalue() == ""


def test_progress_fits_into_one_line_of_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    err = Screen()
    Watched(stdout=Screen(), stderr=err).show(Meter(1000, 5000))
    assert err.getvalue() == "\r\033[K" + "0 of 1000 files, 0 "


def test_progress_is_not_drawn_for_each_of_many_files() -> None:
    err = Screen()
    command, meter = Watched(stdout=Screen(), stderr=err), Meter()
    for _ in range(1000):
        command.show(meter)
    assert 1 <= err.getvalue().count("\r") < 100


# -- storages_list --------------------------------------------------------------------------------


@pytest.fixture
def filled() -> dict[str, Any]:
    """An entry whose storage holds some files."""
    entry = memory()
    with override_settings(STORAGES={"filled": entry}):
        for name in ("b.txt", "a.txt", "dir/c.txt", "dir/deep/d.txt", "dirt/e.txt"):
            storages["filled"].save(name, ContentFile(name.encode()))
    return {"filled": entry}


def names(text: str) -> list[str]:
    return [line.split()[-1] for line in text.splitlines()]


def test_list_shows_names_sizes_and_times(filled: dict[str, Any]) -> None:
    out, _ = run("storages_list", "filled", entries=filled)
    today = rf"{timezone.localtime():%Y-%m-}\d\d \d\d:\d\d:\d\d"
    assert re.match(f"^ +5  {today}  a.txt\n +5  {today}  b.txt\n", out)
    assert names(out) == ["a.txt", "b.txt", "dir/", "dirt/"]


def test_list_goes_into_directories_if_asked(filled: dict[str, Any]) -> None:
    out, _ = run("storages_list", "filled", "--recursive", entries=filled)
    assert names(out) == ["a.txt", "b.txt", "dir/c.txt", "dir/deep/d.txt", "dirt/e.txt"]


@pytest.mark.parametrize("path", ["dir", "dir/", "./dir"])
def test_list_of_a_directory_gives_names_of_the_storage(filled: dict[str, Any], path: str) -> None:
    out, _ = run("storages_list", "filled", path, entries=filled)
    assert [name.removeprefix("./") for name in names(out)] == ["dir/c.txt", "dir/deep/"]


def test_list_of_a_file_is_that_file(filled: dict[str, Any]) -> None:
    out, _ = run("storages_list", "filled", "dir/c.txt", entries=filled)
    assert names(out) == ["dir/c.txt"]


def test_list_in_json_has_sizes_and_times(filled: dict[str, Any]) -> None:
    out, _ = run("storages_list", "filled", "dir", "--json", entries=filled)
    file, directory = json.loads(out)
    assert file["name"] == "dir/c.txt"
    assert file["size"] == 9
    assert datetime.fromisoformat(file["modified"]).tzinfo
    assert directory == {"name": "dir/deep/", "size": None, "modified": None}


def test_list_of_nothing_is_empty() -> None:
    assert run("storages_list", "memory", entries={"memory": memory()}) == ("", None)
    out, _ = run("storages_list", "memory", "--json", entries={"memory": memory()})
    assert json.loads(out) == []


def test_list_of_a_bucket_asks_once_for_all_files(front: HTTPProxy, bucket: Any) -> None:
    for number in range(5):
        bucket.put_object(Key=f"{number}.txt", Body=b"12345")
    out, _ = run("storages_list", "s3", "--recursive", entries={"s3": s3(front.url, bucket)})
    assert names(out) == [f"{number}.txt" for number in range(5)]
    assert {request.method for request in front.requests} == {"GET"}


def test_list_escapes_what_would_move_the_cursor(moto: Moto, bucket: Any) -> None:
    bucket.put_object(Key="\x9b2Jx", Body=b"")
    out, _ = run("storages_list", "s3", entries={"s3": s3(moto.url, bucket)})
    assert out.endswith("  '\\x9b2Jx'\n")


@pytest.mark.parametrize(
    ("arguments", "entry", "text"),
    [
        (["there"], memory(Unlisted), "there: Permission denied"),
        (["there", "../up"], memory(), "there: The name '../up' climbs"),
        (["there"], {"BACKEND": "tests.memory.MemoryStorage"}, "there: MemoryStorage needs"),
        (["nowhere"], memory(), "STORAGES has no alias 'nowhere'."),
    ],
)
def test_list_that_fails_says_why(arguments: list[str], entry: dict[str, Any], text: str) -> None:
    _, error = run("storages_list", *arguments, entries={"there": entry})
    assert str(error).startswith(text)


def test_list_shows_a_person_how_far_it_is() -> None:
    entry = memory()
    with override_settings(STORAGES={"many": entry}):
        for number in range(100):
            storages["many"].save(str(number), ContentFile(b""))
    out, err = Screen(), Screen()
    run("storages_list", "many", entries={"many": entry}, stdout=out, stderr=err)
    assert "100 files" in err.getvalue()


# -- the documentation ----------------------------------------------------------------------------


def without_times(text: str) -> str:
    """Return a command's output as it is on every run."""
    text = re.sub(r"[ \d]{6}\.\d ms", "      0.0 ms", text)
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "2026-01-01 00:00:00", text)


@pytest.mark.parametrize(
    ("arguments", "status"),
    [(["storages_check"], 1), (["storages_list", "default", "--recursive"], 0)],
)
def test_documentation_shows_what_the_commands_print(
    moto: Moto, bucket: Any, tmp_path: Path, arguments: list[str], status: int
) -> None:
    for name, size in {"june.pdf": 20017, "may.pdf": 18231}.items():
        bucket.put_object(Key=f"reports/2026/{name}", Body=bytes(size))
    (tmp_path / "run.py").write_text(
        "from project import *\n"
        f"AWS_S3_ENDPOINT_URL = {moto.url!r}\n"
        f"STORAGES['default']['OPTIONS']['bucket_name'] = {bucket.name!r}\n"
    )
    process = subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "run", "PYTHONPATH": f"{EXAMPLES}:{tmp_path}"},
        stdout=subprocess.PIPE,
        check=False,
        encoding="utf-8",
    )
    assert process.returncode == status
    documented = (EXAMPLES / f"{arguments[0]}.txt").read_text(encoding="utf-8")
    assert without_times(process.stdout) == without_times(documented)
