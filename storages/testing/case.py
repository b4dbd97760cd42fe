"""What contract tests stand on: a storage to act on, a raw look behind it, declared limits."""

from __future__ import annotations

import functools
import hashlib
import unittest
import urllib.request
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar, Final, ParamSpec, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from django.core.files.base import ContentFile
from django.core.files.storage import Storage

FETCH_TIMEOUT: Final = 30  # seconds

Params = ParamSpec("Params")
Case = TypeVar("Case", bound="ContractCase")


class Impossible(unittest.SkipTest):
    """Raised where a backend's test declares that its service cannot keep an item, and why."""

    #: What the reason of such a skip begins with, in any runner's report.
    PREFIX: ClassVar[str] = "impossible: "

    def __str__(self) -> str:
        return f"{self.PREFIX}{super().__str__()}"


class NotTried(unittest.SkipTest):
    """Raised where a backend's test gives no way to try an item, though the service may keep it."""

    PREFIX: ClassVar[str] = "not tried: "

    def __str__(self) -> str:
        return f"{self.PREFIX}{super().__str__()}"


class RawStore(Protocol):
    """A look at what the server holds, past the backend under test; names are relative to it."""

    def get(self, name: str) -> bytes | None:
        """Return the stored bytes, None where there is no such file."""

    def put(self, name: str, content: bytes) -> None:
        """Plant a file as another client would, parents included."""

    def names(self) -> Iterable[str]:
        """Return the names of all files under the storage's root, at any depth.

        Temporary files count, and so do unfinished uploads where the service can list them.
        """


def item(
    *numbers: int | str,
) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Give a test the number of the contract item it shows; declared limits are raised here.

    A number may carry a letter where a backend can keep one half of an item only ("26b").
    """

    def decorate(test: Callable[[Case], None]) -> Callable[[Case], None]:
        @functools.wraps(test)
        def run(self: Case) -> None:
            for number in numbers:
                self.limit(str(number), test.__name__)
            test(self)

        run.items = tuple(str(number) for number in numbers)  # type: ignore[attr-defined]
        return run

    return decorate


class _Abstract(type):
    """Hides the tests of a class without a configuration from what collects tests.

    Unittest, Django's runner and pytest all find them by ``dir()``.
    """

    def __dir__(cls) -> list[str]:
        names = super().__dir__()
        concrete = getattr(cls, "configuration", "")
        return [name for name in names if concrete or not name.startswith("test")]


class ContractCase(unittest.TestCase, metaclass=_Abstract):
    """Base of the contract's themes. A backend's test gives `make_storage` and `raw`."""

    #: Name in the printed matrix: backend, server and variant, in lower case.
    configuration: ClassVar[str] = ""
    #: What the service cannot do: an item's number, or a test's name, to the reason.
    impossible: ClassVar[Mapping[str, str]] = {}
    #: True where the service has directories of its own, False where keys imply them.
    has_directories: ClassVar[bool] = False
    #: True where the backend reaches its files over a network.
    is_networked: ClassVar[bool] = False
    #: False where the storage has no URLs at all.
    has_urls: ClassVar[bool] = True
    #: True where `fetch` gets what a URL names.
    urls_are_served: ClassVar[bool] = False
    #: True where the service keeps the time, False where the method raises NotImplementedError.
    has_modified_time: ClassVar[bool] = True
    #: The values of ``file_overwrite`` that the backend has.
    modes: ClassVar[tuple[bool, ...]] = (True, False)
    #: Bytes from which the backend stores a file in parts; any large size where it never does.
    large_size: ClassVar[int] = 12 * 1024 * 1024
    #: Bytes that saving a file of 256 MiB may add to a process.
    memory_budget: ClassVar[int] = 64 * 1024 * 1024
    #: Options that another process needs in addition to what ``deconstruct`` tells: secrets.
    secrets: Mapping[str, Any] = {}

    def __init__(self, methodName: str = "runTest") -> None:  # noqa: N803 - unittest's word
        super().__init__(methodName)
        #: A name no other test uses, for `make_storage` to make its root of.
        self.root = uuid.uuid4().hex

    def make_storage(self, **options: Any) -> Storage:
        """Return a storage on this test's own, empty root; equal calls share that root.

        ``options`` are the backend's own; ``file_overwrite`` is used by all.
        """
        raise NotImplementedError

    def raw(self) -> RawStore:
        """Return the look behind the storages that `make_storage` returns."""
        raise NotImplementedError

    def make_located(self, location: str) -> Storage:
        """Return an overwriting storage on a location inside of this test's root.

        To be extended where `make_storage` makes its root of ``location`` already.
        """
        return self.make_storage(file_overwrite=True, location=location)

    def make_unreachable(self) -> Storage:
        """Return a storage whose server is away, and that gives up soon."""
        raise NotTried("no make_unreachable()")

    def fetch(self, url: str) -> bytes:
        """Get what a URL names; raises OSError where that is refused."""
        with urllib.request.urlopen(url, timeout=FETCH_TIMEOUT) as response:
            content: bytes = response.read()
        return content

    def headers(self, name: str) -> Mapping[str, str]:  # noqa: ARG002 - for those that override
        """Return how the server would serve a file: Content-Type, Content-Encoding if it has one.

        A backend whose service keeps them overrides this.
        """
        raise NotTried("no headers()")

    def name_of_open(self, name: str, storage: Storage) -> str:  # noqa: ARG002
        """Return the ``name`` that a file has when it is open: a path where files have one."""
        return name

    def limit(self, *keys: str) -> None:
        """Raise Impossible if the backend's test declares one of the keys."""
        for key in keys:
            if key in self.impossible:
                raise Impossible(self.impossible[key])

    def require_urls(self) -> None:
        """Raise Impossible for a storage without URLs."""
        if not self.has_urls:
            raise Impossible("it has no URLs")

    @functools.cached_property
    def storage(self) -> Storage:
        """A storage that overwrites, or else one that finds free names."""
        return self.make_storage(file_overwrite=True in self.modes)

    @functools.cached_property
    def unique(self) -> Storage:
        """A storage that finds a free name instead of overwriting."""
        if False not in self.modes:
            raise Impossible("it always overwrites")
        return self.make_storage(file_overwrite=False)

    def each_mode(self) -> Iterator[Storage]:
        """Yield a storage for each of `modes`, in a subtest of its own."""
        for overwrite in self.modes:
            with self.subTest(file_overwrite=overwrite):
                yield self.storage if overwrite else self.unique

    def save(self, name: str, content: bytes = b"content", storage: Storage | None = None) -> str:
        """Save bytes and return the name."""
        return (storage or self.storage).save(name, ContentFile(content))

    def read(self, name: str, storage: Storage | None = None) -> bytes:
        """Read a whole file and close it."""
        with (storage or self.storage).open(name) as file:
            content: bytes = file.read()
        return content

    def assert_same(self, found: bytes | None, expected: bytes | None, message: str = "") -> None:
        """Compare contents; a failure shows their ends and digests, however large they are."""
        self.assertEqual(_shown(found), _shown(expected), message)

    def assert_stored(self, name: str, content: bytes | None) -> None:
        """Compare what the server holds under a name, None for nothing."""
        self.assert_same(self.raw().get(name), content, f"stored as {name!r}")

    def assert_url_of(self, url: str, name: str, content: bytes) -> None:
        """Fail unless a URL gives a file's content, or where none is served quotes its name."""
        if self.urls_are_served:
            self.assert_same(self.fetch(url), content, url)
        else:
            self.assertEqual(unquote(f"/{urlsplit(url).path}")[-len(name) - 1 :], f"/{name}")

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Assert that the server holds the same files with the same content afterwards."""
        before = self._contents()
        yield
        self.assertEqual(self._contents(), before)

    def _contents(self) -> dict[str, str]:
        raw = self.raw()
        return {name: _shown(raw.get(name)) for name in raw.names()}


def _shown(content: bytes | None) -> str:
    if content is None or len(content) <= 80:
        return repr(content)
    digest = hashlib.sha256(content).hexdigest()
    return f"{content[:20]!r} … {content[-20:]!r}, {len(content)} bytes, SHA-256 {digest}"
