"""A file that goes through all a site does with files, to see what a storage can do."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

from django.contrib.staticfiles.storage import HashedFilesMixin
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from storages.configured import Configured, options_of, places_of
from storages.options import UNSET, Option

from .common import explained, shown_time

FETCH_LIMIT = 30  # seconds

#: What to change, by the error; `{step}` is what was tried.
ADVICE: tuple[tuple[type[Exception], str], ...] = (
    (
        ImproperlyConfigured,
        "Change the setting it names; 'manage.py check' lists what else is wrong.",
    ),
    (PermissionError, "Give the account in the alias's settings the permission to {step}."),
    (FileNotFoundError, "Make the directory, bucket or container that the alias's settings name."),
    (
        TimeoutError,
        "See whether host and port in the settings are right and no firewall is between.",
    ),
    (URLError, "This machine does not reach the host of the URL; see whether browsers shall."),
    (ConnectionError, "See whether host and port in the settings are right and the service runs."),
)
#: Errors that a wrong one of them leads to.
MISPLACED = (ConnectionError, TimeoutError, NotADirectoryError, FileNotFoundError)
#: Options without which URLs are not signed.
SIGNING = ("querystring_auth", "expiration_secs")
#: What to change, by the status with which a URL answered.
FETCH_ADVICE = {
    401: "The URL asks for a login that browsers have not: let the storage sign its URLs.",
    403: "Strangers may not read: let the storage sign its URLs, or make the files public.",
    404: "The URL leads elsewhere: set 'base_url' or the custom domain to what serves the files.",
}


class Step(NamedTuple):
    """One step and how it went: ``ok``, ``failed``, ``skipped``, or a ``note`` on the server."""

    step: str
    status: str
    seconds: float
    detail: str
    advice: str = ""


class Skipped(Exception):
    """Raised where a step has no meaning for a storage, with the reason."""


class Wrong(Exception):
    """Raised where a storage did something else than it was asked."""


def text() -> bytes:
    """Return a line that no other is equal to."""
    return f"storages_check {secrets.token_hex(8)}\n".encode()


def picture() -> bytes:
    """Return a GIF of random colours."""
    palette = secrets.token_bytes(6)
    head = b"GIF89a\x01\x00\x01\x00\x80\x00\x00"
    return head + palette + b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"


class Probe:
    """Steps on one file of a name that nobody guesses, which is removed whatever happens."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.name = f"storages-check-{secrets.token_hex(16)}.txt"
        self.make = text
        self.content = self.make()

    def steps(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Yield the steps in order, each with what does it and returns a detail to print."""
        names = ("write", "read", "stat", "list", "url", "overwrite", "delete")
        return ((name, getattr(self, name)) for name in names)

    def write(self) -> str:
        """Save the file."""
        try:
            self.name = self.storage.save(self.name, ContentFile(self.content))
        except SuspiciousFileOperation:
            # Some storages take pictures only.
            self.make = picture
            self.content = self.make()
            self.name = self.storage.save(self.name, ContentFile(self.content))
        return f"{len(self.content)} bytes"

    def read(self) -> str:
        """Read the file back."""
        with self.storage.open(self.name) as file:
            self._compare(file.read())
        return ""

    def stat(self) -> str:
        """Look at existence, size and time."""
        if not self.storage.exists(self.name):
            raise Wrong("exists() says that the file is not there.")
        size = self.storage.size(self.name)
        if self.make is text and size != len(self.content):
            raise Wrong(f"size() says {size} bytes where {len(self.content)} were written.")
        with suppress(NotImplementedError):
            return f"modified {shown_time(self.storage.get_modified_time(self.name))}"
        return ""

    def list(self) -> str:
        """Find the file in the listing of its directory."""
        directory, _, base = self.name.rpartition("/")
        _, files = self.storage.listdir(directory)
        if base not in files:
            raise Wrong("The listing does not have the file.")
        return f"{len(files)} file{'s' if files[1:] else ''}"

    def url(self) -> str:
        """Sign the URL if the storage does, and fetch it as a browser would."""
        try:
            url = self._plain_url()
        except (NotImplementedError, ValueError) as exc:
            raise Skipped(str(exc)) from exc
        if urlsplit(url).scheme not in {"http", "https"}:
            raise Skipped("the site itself serves its URLs")
        try:
            with urlopen(url, timeout=FETCH_LIMIT) as answer:  # noqa: S310 - http, as just seen
                self._compare(answer.read(len(self.content) + 1))
        except HTTPError as exc:
            exc.close()
            raise
        return f"from {urlsplit(url).hostname}"

    def _plain_url(self) -> str:
        if isinstance(self.storage, HashedFilesMixin):
            # Its manifest has the files that collectstatic found, and no others.
            plain: str = super(HashedFilesMixin, self.storage).url(self.name)
            return plain
        return self.storage.url(self.name)

    def overwrite(self) -> str:
        """Put other content in its place."""
        self.content = self.make()
        with self.storage.open(self.name, "wb") as file:
            file.write(self.content)
        return self.read()

    def delete(self) -> str:
        """Remove the file."""
        self.storage.delete(self.name)
        if self.storage.exists(self.name):
            raise Wrong("exists() says that the file is still there.")
        return ""

    def _compare(self, content: bytes) -> None:
        # A storage of pictures may make other bytes of them.
        if content != self.content and self.make is text:
            raise Wrong(
                "The content is not what was written: something between changes or keeps it."
            )


def run(storage: Storage, begin: Callable[[str], None]) -> Iterator[Step]:
    """Yield the steps of a probe as they end; ``begin`` is told the name of each before."""
    probe = Probe(storage)
    status = {"write": "", "delete": ""}
    try:
        for name, action in probe.steps():
            begin(name)
            step = timed(name, action, storage)
            status[name] = step.status
            yield step
            if status["write"] == "failed":
                break
        # Where the options make no connection, the first step has said so.
        with suppress(ImproperlyConfigured):
            for sentence in getattr(storage, "notices", tuple)():
                yield Step("server", "note", 0, sentence)
    finally:
        # After a failed step, or Ctrl-C, the file may be there still.
        if status["delete"] != "ok":
            with suppress(Exception):
                storage.delete(probe.name)


def timed(name: str, action: Callable[[], str], storage: Storage | None = None) -> Step:
    """Take one step, on a storage if there is one already."""
    begin = time.perf_counter()
    status, advice = "failed", ""
    try:
        status, detail = "ok", action()
    except (Skipped, NotImplementedError) as exc:
        status, detail = "skipped", str(exc)
    except Wrong as exc:
        detail = str(exc)
    except Exception as exc:  # noqa: BLE001 - whatever a storage raises is what is asked for
        status, detail, advice = (
            "failed",
            f"{type(exc).__name__}: {explained(exc)}",
            advise(name, exc, storage),
        )
    return Step(name, status, round(time.perf_counter() - begin, 6), detail, advice)


def advise(step: str, exc: Exception, storage: Storage | None) -> str:
    """Say what to change, "" where nothing is known."""
    if isinstance(exc, MISPLACED) and isinstance(storage, Configured):
        directory = isinstance(exc, (NotADirectoryError, FileNotFoundError))
        places = places_of(type(storage), directory=directory)
        if not places or any(f"'{each.name}'" in explained(exc) for each in places):
            return ""
        return f"See whether this is right: {' and '.join(map(str, places))}."
    if isinstance(exc, HTTPError) and exc.code in {401, 403} and (option := unsigned_by(storage)):
        # A class that never signs cannot be told to.
        change = f"set the {option}, " if option.override is UNSET else ""
        others = "open the directory by a policy, or put a CDN before it"
        return f"Its URLs are not signed: {change}{others}."
    if isinstance(exc, HTTPError):
        return FETCH_ADVICE.get(exc.code, "Ask who runs the host of the URL.")
    if isinstance(exc, OSError) and exc.errno and exc.strerror != os.strerror(exc.errno):
        # A backend's own text says it better.
        return ""
    return next((each.format(step=step) for kind, each in ADVICE if isinstance(exc, kind)), "")


def unsigned_by(storage: Any) -> Option | None:
    """Return the option that leaves the URLs of a storage unsigned, None where there is none."""
    declared = options_of(type(storage)) if isinstance(storage, Configured) else {}
    found = (declared[name] for name in SIGNING if name in declared)
    return next((each for each in found if not getattr(storage, each.name)), None)
