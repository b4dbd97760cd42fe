"""Items 98 to 104: URLs."""

from __future__ import annotations

from typing import ClassVar, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.storage import Storage
from django.test import override_settings
from django.utils.functional import lazystr

from storages.configured import Configured, options_of

from .case import Impossible, item
from .names import OddNames
from .network import network_calls
from .spellings import COMMANDS, ENCODED, PUNCTUATION, SCRIPTS

BASE_URL: Final = "https://files.example/base"
EXPIRE: Final = 300  # seconds

#: Names that a browser might take for another host, if they stood in a URL as they are.
MISLEADING: Final = (
    "//evil.example/a.txt",
    "\\\\evil.example\\a.txt",
    "/\\evil.example/a.txt",
    "///evil.example/a.txt",
    "https://evil.example/a.txt",
    "https:evil.example",
    "@evil.example/a.txt",
    ":80@evil.example",
    ".evil.example",
)


class UrlContract(OddNames):
    """Items 98 to 104.

    Of a signed URL this shows that it works, and that it does not without its signature. What
    happens to it when the clock or the key changes is for the backend's own tests.
    """

    #: True where ``url(name, expire=seconds)`` gives a URL that ends to work.
    signs_urls: ClassVar[bool] = False
    #: Seconds that the service lets a signed URL work; None without a limit.
    longest_expire: ClassVar[int | None] = None
    #: Secret options whose values are meant to be seen in URLs, such as the name of a key.
    named_in_urls: ClassVar[frozenset[str]] = frozenset()

    def limit(self, *keys: str) -> None:
        """Raise Impossible for each of these tests if the storage has no URLs."""
        super().limit(*keys)
        if keys[-1] in vars(UrlContract):
            self.require_urls()

    @item(98)
    def test_url_quotes_every_odd_character_once(self) -> None:
        names = {**PUNCTUATION, **SCRIPTS, **COMMANDS, **{name: name for name in ENCODED}}
        self.for_each_name("98", names, self.assert_has_url)

    @item(98)
    def test_url_keeps_the_slashes_of_a_name(self) -> None:
        self.assert_has_url("a/b c/d#e/f.txt")

    @item(99)
    def test_base_url_may_end_with_a_slash(self) -> None:
        for base_url in (BASE_URL, f"{BASE_URL}/"):
            with self.subTest(base_url=base_url):
                storage = self.make_storage(base_url=base_url)
                self.assertEqual(storage.url("a b/c.txt"), f"{BASE_URL}/a%20b/c.txt")

    @item("99b")
    def test_storage_without_base_url_has_no_urls(self) -> None:
        # Some backends fall back to that setting.
        with override_settings(MEDIA_URL=None), self.assertRaises(ValueError):
            self.make_storage(base_url=None).url("a.txt")

    @item("99c")
    def test_base_url_may_be_lazy(self) -> None:
        storage = self.make_storage(base_url=lazystr(f"{BASE_URL}/"))
        url = storage.url("a.txt")
        self.assertEqual((type(url), url), (str, f"{BASE_URL}/a.txt"))

    @item(100)
    def test_no_name_changes_the_host_of_its_url(self) -> None:
        # Some services make a URL for a file that is there, and for no other.
        self.save("a.txt")
        self.assert_same_host(self.storage)

    @item("100b")
    def test_no_name_changes_the_host_of_a_url_without_one(self) -> None:
        for base_url in ("/", "/media/", ""):
            with self.subTest(base_url=base_url):
                self.assert_same_host(self.make_storage(base_url=base_url))

    @item(101)
    def test_signed_url_gives_the_file(self) -> None:
        self.save("dir/a b.txt", b"signed")
        self.assert_same(self.fetch(self.signed_url("dir/a b.txt")), b"signed")

    @item(101)
    def test_signed_url_without_its_signature_is_refused(self) -> None:
        self.save("dir/a b.txt", b"signed")
        parts = urlsplit(self.signed_url("dir/a b.txt"))
        self.assertTrue(parts.query)
        with self.assertRaises(OSError):
            self.fetch(urlunsplit(parts._replace(query="")))

    @item(101)
    def test_signature_of_one_file_does_not_open_another(self) -> None:
        self.save("a.txt", b"one")
        self.save("b.txt", b"two")
        one, two = urlsplit(self.signed_url("a.txt")), urlsplit(self.signed_url("b.txt"))
        with self.assertRaises(OSError):
            self.fetch(urlunsplit(two._replace(query=one.query)))

    @item(102)
    def test_url_that_ends_in_the_past_is_refused(self) -> None:
        self.save("a.txt")
        self.signed_url("a.txt")
        with self.assertRaises((ValueError, ImproperlyConfigured)):
            self.signed_url("a.txt", -1)

    @item("102b")
    def test_url_that_works_longer_than_the_service_allows_is_refused(self) -> None:
        if self.longest_expire is None:
            raise Impossible("the service sets no limit to the life of a URL")
        self.save("a.txt")
        self.signed_url("a.txt", self.longest_expire)
        with self.assertRaises((ValueError, ImproperlyConfigured)):
            self.signed_url("a.txt", self.longest_expire + 1)

    @item(103)
    def test_urls_hold_no_credentials(self) -> None:
        self.save("a.txt")
        url = self.storage.url("a.txt")
        parts = urlsplit(url)
        self.assertEqual((parts.username, parts.password), (None, None))
        for secret in self.secret_texts():
            self.assertFalse(secret in url or secret in unquote(url), "the URL holds a secret")

    @item(104)
    def test_making_a_url_needs_no_network(self) -> None:
        storage = self.make_storage()
        # A kept connection could be used without making one.
        getattr(storage, "close", lambda: None)()
        with network_calls() as calls:
            storage.url("a.txt")
        self.assertEqual(calls, [])

    # -- checks -----------------------------------------------------------------------------------

    def signed_url(self, name: str, expire: int = EXPIRE) -> str:
        """Return a URL that is signed for so many seconds."""
        if not self.signs_urls:
            raise Impossible("its URLs are not signed")
        url: str = self.storage.url(name, expire=expire)  # type: ignore[call-arg]
        return url

    def secret_texts(self) -> set[str]:
        """Return the values of secret options that no URL may show, and passwords in them."""
        storage = self.storage
        if not isinstance(storage, Configured):
            return set()
        options = options_of(type(storage)).values()
        secrets = [each for each in options if each.secret and each.name not in self.named_in_urls]
        values = [each.value(storage) for each in secrets]
        texts = {value for value in values if isinstance(value, str)}
        return {each for text in texts for each in (text, urlsplit(text).password) if each}

    def assert_has_url(self, name: str) -> None:
        """Save a file and get it by its URL."""
        content = name.encode()
        self.save(name, content)
        url = self.storage.url(name)
        self.assertTrue(url.isascii(), url)
        self.assert_url_of(url, name, content)

    def assert_same_host(self, storage: Storage) -> None:
        """Fail unless misleading names are refused, or stay on the host of others."""
        host = urlsplit(storage.url("a.txt"))[:2]
        for name in MISLEADING:
            with self.subTest(name=name):
                try:
                    url = storage.url(name)
                except (SuspiciousFileOperation, ValueError, FileNotFoundError):
                    continue
                # Browsers take a backslash for a slash.
                self.assertEqual(urlsplit(url.replace("\\", "/"))[:2], host)
