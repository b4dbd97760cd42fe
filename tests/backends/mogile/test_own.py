"""What is MogileFS's own: exchanges, classes, temporary keys, options, and the view."""

from __future__ import annotations

import io
import pickle
import secrets
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import call_command
from django.http import Http404, StreamingHttpResponse
from django.test import AsyncRequestFactory, RequestFactory, override_settings

from storages.backends.mogile import MogileFSStorage, serve_mogilefs_file
from storages.testing.network import network_calls
from storages.views import serve
from tests.backends.mogile.server import storage
from tests.servers.mogilefs import Cluster
from tests.servers.process import HOST, refusing_port
from tests.servers.proxy import Turns

PATH = "storages.backends.mogile.MogileFSStorage"
pytestmark = pytest.mark.usefixtures("ends_no_request")
DAY = 24 * 3600
#: A client in the Internet, and a proxy beside this machine.
STRANGER, PROXY = "203.0.113.9", "10.0.0.7"


class AvatarStorage(MogileFSStorage):
    mogile_class = "avatar"


class TenantStorage(MogileFSStorage):
    tenant = "one"

    @property
    def location(self) -> Any:
        return f"tenants/{self.tenant}"


def test_hosts_that_a_tracker_may_name_are_asked_for_before_a_deployment() -> None:
    options: dict[str, Any] = {"domain": "d", "trackers": ["tracker.example:7001"]}
    (sentence,) = MogileFSStorage(**options).insecurities()
    assert "node_hosts" in sentence
    assert "MOGILEFS_NODE_HOSTS" in sentence
    for hosts in ([], ["10.0.0.0/8"]):
        assert list(MogileFSStorage(**options, node_hosts=hosts).insecurities()) == []


@pytest.fixture
def one() -> Iterator[Cluster]:
    with Cluster(nodes=1) as cluster:
        cluster.domain("d", avatar=True)
        yield cluster


@pytest.fixture
def configured(one: Cluster) -> Iterator[Cluster]:
    """The cluster in the settings."""
    cache.clear()
    with override_settings(
        MOGILEFS_DOMAIN="d",
        MOGILEFS_TRACKERS=one.addresses,
        MOGILEFS_MEDIA_URL="/mogilefs/",
        STORAGES={**storages.backends, "default": {"BACKEND": PATH}},
    ):
        yield one
    cache.clear()


@pytest.fixture
def turns(one: Cluster) -> Iterator[Turns]:
    with Turns(*one.trackers[0].address) as relay:
        yield relay


def through(turns: Turns, one: Cluster, **given: Any) -> MogileFSStorage:
    host, port = turns.address
    return storage(one, "d", trackers=[f"{host}:{port}"], **given)


def exchanges(turns: Turns, one: Cluster) -> int:
    """Return the exchanges with trackers and nodes since the last call."""
    requests = one.nodes[0].requests
    count = turns.count + len(requests)
    turns.count = 0
    requests.clear()
    return count


# Exchanges


def test_save_takes_three_exchanges(one: Cluster, turns: Turns) -> None:
    store = through(turns, one, file_overwrite=True)
    for content in (b"new", b"replaced", b""):
        store.save("a.txt", ContentFile(content))
        assert exchanges(turns, one) == 3


def test_save_under_a_free_name_takes_three_and_a_large_one_asks_first(
    one: Cluster, turns: Turns
) -> None:
    store = through(turns, one)
    store.save("first.txt", ContentFile(b"looks for what others left"))
    exchanges(turns, one)
    store.save("a.txt", ContentFile(b"content"))
    assert exchanges(turns, one) == 3
    store.save("b.txt", ContentFile(bytes(2_000_000)))
    assert exchanges(turns, one) == 3 + 2


def test_read_takes_two_exchanges_and_a_seek_one_more(one: Cluster, turns: Turns) -> None:
    content = bytes(2_000_000)
    one.put("d", "a.bin", content)
    one.put("d", "empty", b"")
    store = through(turns, one)
    with store.open("a.bin") as file:
        assert file.read() == content
        assert exchanges(turns, one) == 2
        file.seek(10)
        assert file.read() == content[10:]
        assert exchanges(turns, one) == 1
    with store.open("empty") as file:
        assert file.read() == b""
    assert exchanges(turns, one) == 1


def test_look_ups_take_one_exchange(one: Cluster, turns: Turns) -> None:
    one.put("d", "dir/a.txt", b"content")
    store = through(turns, one)
    for call, count in (
        (lambda: store.size("dir/a.txt"), 1),
        (lambda: store.exists("dir/a.txt"), 1),
        (lambda: store.exists("missing"), 2),
        (lambda: store.listdir("dir"), 2),
        (lambda: store.delete("dir/a.txt"), 1),
        (lambda: store.url("dir/a.txt"), 0),
    ):
        call()
        assert exchanges(turns, one) == count


def test_connections_to_trackers_and_nodes_are_kept(one: Cluster) -> None:
    store = storage(one, "d")
    for number in range(20):
        name = store.save(f"{number}.txt", ContentFile(b"content"))
        with store.open(name) as file:
            file.read()
    assert one.trackers[0].accepted == 1
    assert one.nodes[0].accepted == 1


def test_proxies_of_the_environment_are_not_asked_for_nodes(
    one: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert storage(one, "d").save("a.txt", ContentFile(b"content")) == "a.txt"


# Classes and options


def test_class_of_a_subclass_is_that_of_its_files(one: Cluster) -> None:
    given = {"trackers": one.addresses, "domain": "d"}
    AvatarStorage(**given).save("a.png", ContentFile(b"x"))
    MogileFSStorage(**given).save("b.png", ContentFile(b"x"))
    MogileFSStorage(**given, mogile_class="avatar").save("c.png", ContentFile(b"x"))
    found = {key: each.class_name for key, each in one.domains["d"].files.items()}
    assert found == {"a.png": "avatar", "b.png": "default", "c.png": "avatar"}
    assert AvatarStorage().deconstruct()[0] == f"{__name__}.AvatarStorage"


def test_unknown_class_and_domain_are_named_with_their_options(one: Cluster) -> None:
    with pytest.raises(OSError, match="mogile_class"):
        storage(one, "d", mogile_class="other").save("a", ContentFile(b""))
    with pytest.raises(OSError, match="MOGILEFS_DOMAIN") as raised:
        MogileFSStorage(trackers=one.addresses, domain="other").exists("a")
    assert not isinstance(raised.value, FileNotFoundError)


@pytest.mark.parametrize(
    "trackers",
    [[], ["host:port"], [":7001"], ["host:99999"], ["::1:7001"], ["host:7001", ""], "host:7001"],
)
def test_wrong_trackers_are_refused_by_name(trackers: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match="MOGILEFS_TRACKERS"):
        MogileFSStorage(trackers=trackers, domain="d").exists("a")


def test_settings_of_the_seed_are_enough(configured: Cluster) -> None:
    store = storages["default"]
    assert store.save("a b.txt", ContentFile(b"content")) == "a b.txt"
    assert store.url("a b.txt") == "/mogilefs/a%20b.txt"
    assert configured.get("d", "a b.txt") == b"content"


def test_two_proxies_are_a_contradiction_and_a_location_is_absolute() -> None:
    given = {"trackers": ["host:7001"], "domain": "d", "serve_with_perlbal": True}
    (problem,) = MogileFSStorage(**given, accel_redirect="/node/").contradictions()
    assert "SERVE_WITH_PERLBAL" in problem
    with pytest.raises(ImproperlyConfigured, match="MOGILEFS_ACCEL_REDIRECT"):
        _ = MogileFSStorage(accel_redirect="node").accel_redirect


def test_base_url_is_the_first_argument_and_else_media_url() -> None:
    with override_settings(MEDIA_URL="/media/", MOGILEFS_MEDIA_URL=None):
        assert MogileFSStorage("/m/").url("a") == "/m/a"
        assert MogileFSStorage().url("a") == "/media/a"


def test_checks_find_what_is_missing_and_commands_work(configured: Cluster) -> None:
    storages["default"].save("dir/a.txt", ContentFile(b"content"))
    assert [each for each in run_checks() if "mogile" in str(each).lower()] == []
    out = io.StringIO()
    call_command("storages_list", "default", "--recursive", stdout=out)
    assert "dir/a.txt" in out.getvalue()
    out = io.StringIO()
    with override_settings(DEBUG=True):
        call_command("storages_check", "default", stdout=out)
    assert "failed" not in out.getvalue()


def test_tenants_of_a_property_are_kept_apart(one: Cluster) -> None:
    store = TenantStorage(trackers=one.addresses, domain="d")
    store.save("a.txt", ContentFile(b"one"))
    store.tenant = "two"
    assert not store.exists("a.txt")
    store.save("a.txt", ContentFile(b"two"))
    assert one.names("d") == ["tenants/one/a.txt", "tenants/two/a.txt"]


def test_pickled_storage_works_and_has_no_connection(one: Cluster) -> None:
    store = storage(one, "d")
    store.save("a.txt", ContentFile(b"content"))
    with network_calls() as calls:
        again = pickle.loads(pickle.dumps(store))
    assert calls == []
    assert again.open("a.txt").read() == b"content"


def test_sizes_in_a_listing_are_asked_for_where_they_are_wanted(one: Cluster) -> None:
    for number in range(20):
        one.put("d", f"dir/{number}", b"x" * number)
    store = storage(one, "d")
    assert len(store.listdir("dir")[1]) == 20
    assert "file_info" not in one.exchanges
    sizes = {name: entry.size for name, entry in store.scan("", recursive=True)}
    assert sizes["dir/7"] == 7


def test_file_that_was_removed_since_it_was_listed_has_no_size(one: Cluster) -> None:
    one.put("d", "a", b"content")
    ((_, entry),) = storage(one, "d").scan("")
    one.remove("d", "a")
    assert entry.size == 0
    one.domains["d"].aborts = True
    with pytest.raises(PermissionError):
        _ = entry.size


# Temporary keys


def temporary(age: float) -> str:
    return f".storages-{int(time.time() - age):08x}{secrets.token_hex(12)}.part"


def test_abandoned_uploads_are_hidden_and_swept_a_day_later(one: Cluster) -> None:
    old, young = temporary(2 * DAY), temporary(DAY / 2)
    for key in (old, young, ".storages-mine.part"):
        one.put("d", key, b"")
    store = storage(one, "d")
    assert store.listdir("") == ([], [".storages-mine.part"])
    store.save("a.txt", ContentFile(b"content"))
    assert sorted(one.names("d")) == sorted([young, ".storages-mine.part", "a.txt"])


def test_temporary_keys_are_refused_as_names(one: Cluster) -> None:
    store = storage(one, "d")
    for name in (temporary(0), f"dir/{temporary(0)}"):
        with pytest.raises(SuspiciousFileOperation):
            store.save(name, ContentFile(b""))


# The view


def get(key: str, client: str = STRANGER, method: str = "GET", **given: Any) -> Any:
    request = RequestFactory().generic(method, "/mogilefs/x", REMOTE_ADDR=client)
    return serve_mogilefs_file(request, key, **given)


def body(response: Any) -> bytes:
    content = response.getvalue() if response.streaming else response.content
    response.close()
    return bytes(content)


def test_view_streams_a_file_with_headers_that_keep_it_harmless(configured: Cluster) -> None:
    configured.put("d", "dir/a.html", b"<script>")
    response = get("dir/a.html")
    assert response.status_code == 200
    assert response["Content-Length"] == "8"
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"] == 'attachment; filename="a.html"'
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "sandbox; default-src 'none'"
    assert response["Cache-Control"] == "private"
    assert body(response) == b"<script>"


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "é 漢.webp"])
def test_view_shows_pictures(configured: Cluster, name: str) -> None:
    configured.put("d", name, b"picture")
    response = get(name)
    assert response["Content-Type"].startswith("image/")
    assert response["Content-Disposition"].startswith("inline")
    assert body(response) == b"picture"


@pytest.mark.parametrize("name", ["a.svg", "a.xml", "a.js", "a"])
def test_view_shows_nothing_else(configured: Cluster, name: str) -> None:
    configured.put("d", name, b"content")
    response = get(name)
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"].startswith("attachment")
    response.close()


def test_view_answers_head_without_reading(configured: Cluster) -> None:
    configured.put("d", "a.bin", bytes(1000))
    response = get("a.bin", method="HEAD")
    assert response["Content-Length"] == "1000"
    assert body(response) == b""
    assert "GET" not in configured.exchanges


@pytest.mark.parametrize(
    ("asked", "status", "content"),
    [
        ({"Range": "bytes=2-4"}, 206, b"nte"),
        ({"Range": "bytes=-3"}, 206, b"ent"),
        ({"Range": "bytes=9-"}, 416, b""),
        ({"If-None-Match": "*"}, 304, b""),
    ],
)
def test_view_answers_ranges_and_conditions(
    configured: Cluster, asked: dict[str, str], status: int, content: bytes
) -> None:
    configured.put("d", "a.bin", b"content")
    request = RequestFactory().get("/mogilefs/x", headers=asked)
    response = serve_mogilefs_file(request, "a.bin")
    assert response.status_code == status
    assert body(response) == content


def test_view_moves_no_more_of_a_file_than_the_range(configured: Cluster) -> None:
    configured.put("d", "a.bin", bytes(20_000_000))
    request = RequestFactory().get("/mogilefs/x", headers={"Range": "bytes=5000000-5000999"})
    assert body(serve_mogilefs_file(request, "a.bin")) == bytes(1000)
    (sent,) = [each for each in configured.nodes[0].requests if each.method == "GET"]
    assert sent.range == "bytes=5000000-5000999"


def test_view_streams_by_itself_under_asgi(configured: Cluster) -> None:
    configured.put("d", "a.bin", b"content")
    response = serve_mogilefs_file(AsyncRequestFactory().get("/mogilefs/x"), "a.bin")
    assert isinstance(response, StreamingHttpResponse)
    assert response.is_async
    response.close()


def test_view_tells_a_cluster_that_is_away_to_the_log_alone(
    configured: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    with override_settings(MOGILEFS_TRACKERS=[f"{HOST}:{refusing_port()}"], MOGILEFS_TIMEOUT=1):
        response = get("a.bin")
    assert response.status_code == 503
    assert HOST not in body(response).decode()
    assert HOST in caplog.text


def test_any_view_of_the_storage_tells_proxies_of_ours(configured: Cluster) -> None:
    configured.put("d", "a.png", b"picture")
    with override_settings(SERVE_WITH_PERLBAL=True):
        request = RequestFactory().get("/media/x", REMOTE_ADDR=PROXY)
        assert serve(request, "a.png").has_header("X-REPROXY-URL")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_view_takes_no_other_method(configured: Cluster, method: str) -> None:
    assert get("a.bin", method=method).status_code == 405
    assert configured.exchanges == []


@pytest.mark.parametrize(
    "key", ["missing", "dir", "", "../a", "a/../../b", "/etc/passwd", "a\r\nb", "x" * 300, "C:/a"]
)
@pytest.mark.parametrize("perlbal", [True, False])
def test_view_answers_404_to_missing_and_bad_names_alike(
    configured: Cluster, key: str, perlbal: bool
) -> None:
    configured.put("d", "dir/a", b"")
    with (
        override_settings(SERVE_WITH_PERLBAL=perlbal),
        pytest.raises(Http404, match=r"^There is no such file\.$"),
    ):
        get(key, PROXY)


def test_view_tells_perlbal_all_places_and_the_size(cluster: Cluster) -> None:
    cache.clear()
    cluster.domain("d")
    stored = cluster.put("d", "a.png", b"picture", devices=3)
    store = storage(cluster, "d", serve_with_perlbal=True)
    response = get("a.png", PROXY, storage=store)
    urls = response["X-REPROXY-URL"].split(" ")
    assert sorted(urls) == sorted(each.url(stored.fid) for each in cluster.devices)
    assert response["X-REPROXY-EXPECTED-SIZE"] == "7"
    assert response["Content-Type"] == "image/png"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert body(response) == b""
    assert "GET" not in cluster.exchanges


@pytest.mark.parametrize("client", [STRANGER, "2001:db8::1", "unknown"])
def test_view_tells_no_place_to_strangers(configured: Cluster, client: str) -> None:
    configured.put("d", "a.png", b"picture")
    for given in ({"SERVE_WITH_PERLBAL": True}, {"MOGILEFS_ACCEL_REDIRECT": "/node/"}):
        with override_settings(**given):
            response = get("a.png", client)
            assert not {"X-REPROXY-URL", "X-Accel-Redirect"} & set(response.headers)
            assert body(response) == b"picture"


@pytest.mark.parametrize(
    ("hosts", "client", "is_told"),
    [
        (None, "127.0.0.1", True),
        (None, "192.168.1.9", True),
        (None, "", True),
        (None, "::ffff:10.0.0.7", True),
        ([STRANGER], STRANGER, True),
        (["203.0.113.0/24"], STRANGER, True),
        (["203.0.113.0/24"], "127.0.0.1", False),
        ([], "127.0.0.1", False),
    ],
)
def test_view_tells_places_to_proxies_that_are_ours(
    configured: Cluster, hosts: Any, client: str, is_told: bool
) -> None:
    configured.put("d", "a.png", b"picture")
    with override_settings(SERVE_WITH_PERLBAL=True, MOGILEFS_PROXY_HOSTS=hosts):
        response = get("a.png", client)
        assert response.has_header("X-REPROXY-URL") == is_told
        response.close()


def test_view_tells_nginx_the_first_place(configured: Cluster) -> None:
    stored = configured.put("d", "a.png", b"picture")
    with override_settings(MOGILEFS_ACCEL_REDIRECT="/mogilefs-node/"):
        response = get("a.png", PROXY)
    url = configured.devices[0].url(stored.fid)
    assert response["X-Accel-Redirect"] == url.replace("http://", "/mogilefs-node/")


def test_view_remembers_places_for_a_while_under_a_key_of_its_own(configured: Cluster) -> None:
    configured.put("d", "a.png", b"picture")
    cache.set("a.png", "another's")
    with override_settings(SERVE_WITH_PERLBAL=True):
        told = {get("a.png", PROXY)["X-REPROXY-URL"] for _ in range(3)}
        assert len(told) == 1
        assert configured.exchanges == ["file_info", "get_paths"]
        assert cache.get("a.png") == "another's"
        with override_settings(MOGILEFS_CACHE_TIMEOUT=0):
            get("a.png", PROXY)
    assert len(configured.exchanges) == 4


def test_places_of_two_domains_are_remembered_apart(one: Cluster) -> None:
    cache.clear()
    for domain, content in (("d", b"one"), ("e", b"other one")):
        one.domain(domain)
        one.put(domain, "a.png", content)
    stores = [storage(one, domain, serve_with_perlbal=True) for domain in ("d", "e")]
    answers = [get("a.png", PROXY, storage=store) for store in stores]
    assert [each["X-REPROXY-EXPECTED-SIZE"] for each in answers] == ["3", "9"]


def test_view_takes_an_alias_and_no_storage_of_another_kind(configured: Cluster) -> None:
    configured.domain("e")
    configured.put("e", "a.png", b"content")
    entry = {"BACKEND": PATH, "OPTIONS": {"domain": "e"}}
    other = {"BACKEND": "django.core.files.storage.InMemoryStorage"}
    with override_settings(STORAGES={**storages.backends, "other": entry, "default": other}):
        assert body(get("a.png", storage="other")) == b"content"
        with pytest.raises(Http404):
            get("a.png")
        with pytest.raises(ImproperlyConfigured, match="default"):
            get("a.png", storage="default")
