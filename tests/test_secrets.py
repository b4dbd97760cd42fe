"""A canary in each secret option of each backend, and a look at every place it could sing in."""

from __future__ import annotations

import base64
import io
import logging
import pickle
import pkgutil
import ssl
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from itertools import chain
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.db.migrations.writer import MigrationWriter
from django.db.models import FileField
from django.test import override_settings
from django.utils.module_loading import import_string
from django.views.debug import ExceptionReporter

from storages import backends
from storages.base import BaseStorage
from storages.configured import Configured, options_of
from storages.options import Option

CANARY = "C4naryC4naryC4nary"
CLOSED_HOST = "127.0.0.1"
CLOSED_PORT = 9  # discard, which nothing listens on

#: Values for what else a backend needs to try to connect, by option.
SURROUNDINGS: dict[str, Any] = {
    "account_url": f"http://{CLOSED_HOST}:{CLOSED_PORT}/account",
    "app_key": "app",
    "azure_container": "container",
    "bucket_name": "bucket",
    "client_config": {"retries": {"total_max_attempts": 1}, "connect_timeout": 2},
    "endpoint_url": f"http://{CLOSED_HOST}:{CLOSED_PORT}",
    "host": CLOSED_HOST,
    "port": CLOSED_PORT,
    "region_name": "us-east-1",
    "secure": False,
    "timeout": 2,
    "type": "libcloud.storage.types.Provider.MINIO",
}
#: What an option is for, without which nothing uses it.
BESIDE = {"cloudfront_key": {"cloudfront_key_id": "K2", "custom_domain": "cdn.example.com"}}
#: What must not be given with an option.
INSTEAD = {"connection_string": "account_url"}
#: Values for what is required beside these, the first that an option takes.
PLAIN = ["plain", f"ftps://{CLOSED_HOST}:{CLOSED_PORT}/"]


class Opaque:
    """An object of an SDK's, such as a credential."""

    def __repr__(self) -> str:
        return CANARY

    def __call__(self, *args: Any) -> Opaque:
        if args:
            raise RuntimeError("This is no real one.")
        return self


#: Forms a secret may have; an option takes those that fit its type and that it can take apart.
FORMS: list[Any] = [
    CANARY,
    f"ftp://user:{CANARY}@{CLOSED_HOST}:{CLOSED_PORT}/",
    f"http://user:{CANARY}@{CLOSED_HOST}:{CLOSED_PORT}/",
    {"password": CANARY, "port": CLOSED_PORT},
    {"http": f"http://user:{CANARY}@{CLOSED_HOST}:{CLOSED_PORT}"},
    {"proxies": {"http": f"http://user:{CANARY}@{CLOSED_HOST}:{CLOSED_PORT}"}},
    {"default": {"key": CANARY}},
    {"SSECustomerKey": CANARY, "SSECustomerAlgorithm": "AES256"},
    base64.b64encode(CANARY.encode()).decode(),
    f"sv=1&sig={CANARY}",
    f"http://{CLOSED_HOST}:{CLOSED_PORT}/account?sv=1&sig={CANARY}",
    f"BlobEndpoint=http://{CLOSED_HOST}:{CLOSED_PORT}/account;SharedAccessSignature=sig={CANARY}",
    ssl.create_default_context(),
    Opaque(),
]


def storage_classes() -> Iterator[type[Any]]:
    """Yield the classes that settings name, not the parts that some of them are made of."""
    infos = pkgutil.iter_modules(backends.__path__, f"{backends.__name__}.")
    names = (info.name for info in infos if "._" not in info.name)
    for value in chain.from_iterable(vars(import_module(name)).values() for name in names):
        if isinstance(value, type) and issubclass(value, Configured) and is_public(value):
            yield value


def is_public(cls: type[Any]) -> bool:
    return f"{backends.__name__}." in cls.__module__ and "._" not in cls.__module__


def takes(cls: type[Any], option: Option, value: Any) -> bool:
    """Return True if an option takes a value."""
    try:
        return getattr(cls(**{option.name: value}), option.name) is value
    except ImproperlyConfigured:
        return False


def secret_options() -> Iterator[tuple[type[Any], Option]]:
    """Yield a class and each of its secret options, where it is declared anew."""
    seen = set()
    for cls in storage_classes():
        for each in options_of(cls).values():
            if each.secret and not each.alias_of and (each.owner, each.name) not in seen:
                seen.add((each.owner, each.name))
                yield cls, each


def forms(cls: type[Any], option: Option) -> list[Any]:
    """Return the forms in which an option takes a secret; one where it is secret as a whole."""
    taken = [form for form in FORMS if takes(cls, option, form) and option.redacted(form) != form]
    return taken if callable(option.secret) else taken[:1]


SECRETS = list(secret_options())
CASES = [(cls, option, form) for cls, option in SECRETS for form in forms(cls, option)]
each_case = pytest.mark.parametrize(
    ("cls", "option", "form"),
    CASES,
    ids=[f"{cls.__name__}-{option.name}-{type(form).__name__}" for cls, option, form in CASES],
)


def surroundings(cls: type[Any], option: Option, form: Any) -> dict[str, Any]:
    """Return the options beside a secret with which a storage can try to connect."""
    declared = options_of(cls)
    given = {name: value for name, value in SURROUNDINGS.items() if name in declared}
    given |= BESIDE.get(option.name, {})
    for name in (option.name, INSTEAD.get(option.name)):
        given.pop(name, None)
    for each in declared.values():
        if each.required and each.name not in {option.name, *given}:
            given[each.name] = next(plain for plain in PLAIN if takes(cls, each, plain))
    # What a secret lacks, such as the other half of a pair, is found by trying.
    for each in declared.values():
        is_free = each.name not in {option.name, *given} and not each.alias_of
        if not list(cls(**given, **{option.name: form}).contradictions()):
            break
        if each.secret and is_free and takes(cls, each, "partner"):
            given[each.name] = "partner"
    return given


def songs() -> set[str]:
    """Return how the canary sounds: as it is, and somewhere inside of base64."""
    encoded = {base64.b64encode(b"x" * shift + CANARY.encode())[4:-4] for shift in range(3)}
    return {CANARY} | {each.decode() for each in encoded}


def silent(text: object) -> bool:
    heard = text if isinstance(text, bytes) else str(text).encode()
    return not any(song.encode() in heard for song in songs())


def operations(storage: BaseStorage) -> list[Callable[[], Any]]:
    return [
        lambda: storage.open("name").read(),
        lambda: storage.save("name", ContentFile(b"content")),
        lambda: storage.delete("name"),
        lambda: storage.exists("name"),
        lambda: storage.listdir(""),
        lambda: storage.size("name"),
        lambda: storage.url("name"),
        lambda: storage.url("name", parameters={"Unknown": 1}),
        lambda: storage.url("name", expire="soon"),
        lambda: storage.open("name", "ab").close(),
    ]


def error_of(operation: Callable[[], Any]) -> str:
    """Return the traceback of an operation that fails, with all its causes."""
    try:
        operation()
    except Exception as exc:  # noqa: BLE001 - whichever it is
        return "".join(traceback.format_exception(exc))
    return ""


@pytest.fixture(autouse=True)
def no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the canary on this machine: some services have an address that no option changes.

    No backend waits before it tries again, since nothing will ever answer.
    """
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{CLOSED_HOST}:{CLOSED_PORT}")


@pytest.fixture(params=["keyword", "setting"])
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    """Make a storage with a secret that is given by keyword, or that the settings hold."""
    overrides = []

    def make(cls: type[Any], option: Option, form: Any) -> Any:
        given = surroundings(cls, option, form)
        if request.param == "keyword":
            return cls(**given, **{option.name: form})
        if not option.settings:
            pytest.skip("impossible: no setting holds it")
        first, *rest = option.settings[0].split(".")
        value = {rest[0]: form} if rest else form
        overrides.append(override_settings(**{first: value}))
        overrides[-1].enable()
        return cls(**given)

    yield make
    for override in overrides:
        override.disable()


def test_each_secret_option_is_tested() -> None:
    tested = {(cls, option.name) for cls, option, _ in CASES}
    assert tested == {(cls, option.name) for cls, option in SECRETS}, "FORMS lacks a form"
    assert len({name for _, name in tested}) >= 5


@each_case
def test_secret_is_not_in_what_a_storage_shows_of_itself(
    cls: type[Any], option: Option, form: Any, make: Callable[..., Any]
) -> None:
    storage = make(cls, option, form)
    shown = [repr(storage), str(storage), f"{storage}", storage.deconstruct()]
    shown += [MigrationWriter.serialize(FileField(storage=storage))]
    shown += [pickle.dumps(storage), pickle.loads(pickle.dumps(storage))]
    assert [each for each in shown if not silent(each)] == []


@each_case
def test_secret_is_not_in_errors_warnings_or_logs(
    cls: type[Any],
    option: Option,
    form: Any,
    make: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    storage = make(cls, option, form)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        for operation in operations(storage):
            assert silent(error_of(operation))
    assert silent([str(each) for each in warned])
    assert [record for record in caplog.records if not silent(record.getMessage())] == []


def reports_of(operation: Callable[[], Any]) -> list[str]:
    """Return what Django shows of an operation that fails: debug page, error mail, log."""
    try:
        operation()
    except Exception:  # noqa: BLE001 - whichever it is
        reporter = ExceptionReporter(None, *sys.exc_info())
        return [reporter.get_traceback_html(), reporter.get_traceback_text()]
    return []


@pytest.mark.parametrize("debug", [True, False], ids=["debug-page", "error-mail"])
@each_case
def test_secret_is_not_in_what_django_shows_of_an_error(
    cls: type[Any], option: Option, form: Any, debug: bool
) -> None:
    storage = cls(**surroundings(cls, option, form), **{option.name: form})
    with override_settings(DEBUG=debug):
        for operation in operations(storage):
            assert [silent(each) for each in reports_of(operation)] in ([], [True, True])


def test_error_pages_show_what_the_test_of_secrets_looks_for() -> None:
    def leak() -> None:
        token = CANARY
        raise OSError(len(token))

    assert [silent(each) for each in reports_of(leak)] == [False, True]


#: Options that are refused, with a secret where none belongs.
REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("s3boto3.S3Boto3Storage", {"bucket_name": "b", "endpoint_url": f"https://u:{CANARY}@h"}),
    ("s3boto3.S3Boto3Storage", {"bucket_name": "b", "public_endpoint_url": f"https://{CANARY}@h"}),
    ("sftpstorage.SFTPStorage", {"host": f"sftp://web:{CANARY}@h"}),
    ("ftp.FTPStorage", {"location": f"ftp://host:21/{CANARY}@h/"}),
    ("couchdb.CouchDBStorage", {"database": "d", "server": f"https://u:a/{CANARY}@h"}),
    ("dropbox.DropBoxStorage", {"oauth2_access_token": "t", "path_root": f"https://{CANARY}@h"}),
]


@pytest.mark.parametrize(("name", "options"), REFUSED)
def test_secret_in_an_option_that_is_refused_is_shown_nowhere(
    name: str, options: dict[str, Any]
) -> None:
    storage = import_string(f"storages.backends.{name}")(**options)
    assert silent(repr(storage))
    for operation in operations(storage):
        assert [silent(each) for each in reports_of(operation)] in ([], [True, True])
        assert silent(error_of(operation))
    with override_settings(
        STORAGES={"secret": {"BACKEND": f"storages.backends.{name}", "OPTIONS": options}}
    ):
        assert silent(run_checks(tags=["storages"], include_deployment_checks=True))


@each_case
def test_secret_is_not_in_checks_or_commands(cls: type[Any], option: Option, form: Any) -> None:
    options = surroundings(cls, option, form) | {option.name: form}
    entry = {"BACKEND": f"{cls.__module__}.{cls.__name__}", "OPTIONS": options}
    out = io.StringIO()
    with override_settings(STORAGES={"secret": entry}):
        messages = run_checks(tags=["storages"], include_deployment_checks=True)
        for command in ("storages_check", "storages_list"):
            with suppress(CommandError):
                call_command(command, "secret", stdout=out)
    assert silent(messages)
    assert silent(out.getvalue())
