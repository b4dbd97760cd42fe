"""Serving under gunicorn and uvicorn, to a plain client and to a browser."""

from __future__ import annotations

import random
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from django.core.files.base import ContentFile
from django.test import override_settings
from django.utils.http import http_date
from django.utils.module_loading import import_string
from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.support.wait import WebDriverWait

from storages.backends.ftp import FTPStorage
from storages.backends.overwrite import OverwriteStorage
from storages.views import signed_url
from tests.servers.film import film
from tests.servers.http import HTTPProxy
from tests.servers.process import HOST
from tests.servers.pyftpdlib_server import Pyftpdlib
from tests.servers.sites import Gunicorn, Site, Uvicorn
from tests.test_browser import FLAGS

MIB = 1024 * 1024
LIMIT = 30  # seconds
CONTENT = random.Random(1).randbytes(300_000)
CONNECTIONS = 2  # to the FTP server
LAST = len(CONTENT) - 1
#: Names of files, and how an answer tells them.
ODD_NAMES = {
    'a"b;c=d.txt': 'attachment; filename="a\\"b;c=d.txt"',
    "a%0d%0aX: y.txt": 'attachment; filename="a%0d%0aX: y.txt"',
    " a  b.txt": 'attachment; filename=" a  b.txt"',
    "é漢\u202e😀.txt": "attachment; filename*=utf-8''%C3%A9%E6%BC%A2%E2%80%AE%F0%9F%98%80.txt",
}

servers = pytest.mark.parametrize("kind", [Gunicorn, Uvicorn], ids=["gunicorn", "uvicorn"])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that are served."""
    directory = tmp_path_factory.mktemp("media")
    (directory / "film.mp4").write_bytes(CONTENT)
    (directory / "zeros.txt").write_bytes(bytes(100_000))
    with (directory / "large.mp4").open("wb") as file:
        file.truncate(64 * MIB)
    (directory / "film.webm").write_bytes(film(300))
    Image.new("RGB", (40, 30), "green").save(directory / "küste #1.png")
    (directory / "evil.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (directory / "empty.mp4").touch()
    for name in ODD_NAMES:
        (directory / name).write_bytes(b"content")
    return directory


@pytest.fixture(scope="module")
def ftp(directory: Path) -> Iterator[Pyftpdlib]:
    """An FTP server with the same files."""
    if reason := Pyftpdlib.available():
        pytest.skip(reason)
    with Pyftpdlib() as server:
        for file in directory.iterdir():
            shutil.copy(file, server.root)
        yield server


def running(site: Site) -> Iterator[Site]:
    if reason := site.available():
        pytest.skip(reason)
    with site:
        yield site


def on_disk(directory: Path) -> dict[str, Any]:
    options = {"location": str(directory), "base_url": "/media/"}
    return {"BACKEND": "storages.backends.overwrite.OverwriteStorage", "OPTIONS": options}


def on_ftp(server: Pyftpdlib) -> dict[str, Any]:
    url = f"ftp://{server.user}:{server.password}@{server.host}:{server.port}/"
    options = {"location": url, "max_connections": CONNECTIONS, "timeout": 10.0}
    return {"BACKEND": "storages.backends.ftp.FTPStorage", "OPTIONS": options}


@pytest.fixture(scope="module", params=[Gunicorn, Uvicorn], ids=["gunicorn", "uvicorn"])
def site(request: pytest.FixtureRequest, directory: Path) -> Iterator[Site]:
    """A site whose files are on its disk."""
    yield from running(request.param(on_disk(directory)))


@pytest.fixture(scope="module", params=[Gunicorn, Uvicorn], ids=["gunicorn", "uvicorn"])
def remote(request: pytest.FixtureRequest, ftp: Pyftpdlib) -> Iterator[Site]:
    """A site whose files are on an FTP server, to which it has two connections."""
    yield from running(request.param(on_ftp(ftp)))


@pytest.fixture(scope="module", params=["disk", "ftp"])
def media(request: pytest.FixtureRequest, directory: Path, ftp: Pyftpdlib) -> dict[str, Any]:
    """The entry of either storage."""
    return on_disk(directory) if request.param == "disk" else on_ftp(ftp)


@pytest.fixture(scope="module", params=[Gunicorn, Uvicorn], ids=["gunicorn", "uvicorn"])
def any_site(request: pytest.FixtureRequest, media: dict[str, Any]) -> Iterator[Site]:
    """Either server with either storage."""
    yield from running(request.param(media))


def ask(
    site: Site, path: str = "/media/film.mp4", method: str = "GET", **headers: str
) -> tuple[HTTPResponse, bytes]:
    with closing(HTTPConnection(HOST, site.port, timeout=LIMIT)) as connection:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=names)
        answer = connection.getresponse()
        return answer, answer.read()


# -- answers --------------------------------------------------------------------------------------


def test_file_is_sent_with_its_length(any_site: Site) -> None:
    answer, content = ask(any_site, accept_encoding="gzip")
    assert (answer.status, content) == (200, CONTENT)
    assert answer.headers["Content-Length"] == "300000"
    assert answer.headers["Transfer-Encoding"] is None
    assert answer.headers["Content-Encoding"] == "identity"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("asked", "start", "stop"), [("0-0", 0, 1), ("-1", -1, None), ("100000-", 100_000, None)]
)
def test_range_is_sent(any_site: Site, asked: str, start: int, stop: int | None) -> None:
    answer, content = ask(any_site, range=f"bytes={asked}", accept_encoding="gzip")
    assert (answer.status, content) == (206, CONTENT[start:stop])
    assert answer.headers["Content-Length"] == str(len(content))


def test_range_outside_is_416(any_site: Site) -> None:
    answer, content = ask(any_site, range="bytes=300000-")
    assert (answer.status, content) == (416, b"")
    assert answer.headers["Content-Range"] == "bytes */300000"


@pytest.mark.parametrize("asked", ["0-1,5-6", "0-1, -1", "300000-,0-1", "-", "5-4", "0-1;x"])
def test_ranges_that_are_not_one_get_everything(any_site: Site, asked: str) -> None:
    answer, content = ask(any_site, range=f"bytes={asked}")
    assert (answer.status, content) == (200, CONTENT)
    assert answer.headers["Content-Range"] is None


@pytest.mark.parametrize(
    ("asked", "status"), [("0-", 416), ("0-0", 416), ("-0", 416), ("-1", 200), ("-999", 200)]
)
def test_empty_file_has_no_range_but_its_end(any_site: Site, asked: str, status: int) -> None:
    """RFC 9110 14.1.2: the last bytes of a file that has fewer are the whole file."""
    answer, content = ask(any_site, "/media/empty.mp4", range=f"bytes={asked}")
    assert (answer.status, content) == (status, b"")
    assert answer.headers["Content-Range"] == ("bytes */0" if status == 416 else None)


def test_conditions_are_looked_at_in_the_order_of_rfc_9110(any_site: Site) -> None:
    told, _ = ask(any_site, method="HEAD", range="bytes=0-1")
    assert (told.status, told.headers["Content-Length"]) == (200, "300000")
    tag, date = told.headers["ETag"], told.headers["Last-Modified"]
    weak = tag if tag.startswith("W/") else f"W/{tag}"
    for status, headers in (
        (304, {"if_none_match": f'"other", {tag}, W/"third"'}),
        (304, {"if_none_match": weak}),
        (304, {"if_none_match": "*"}),
        (304, {"if_none_match": tag, "range": "bytes=0-1"}),
        (304, {"if_none_match": tag, "if_modified_since": http_date(0)}),
        (304, {"if_modified_since": date}),
        # The tag decides alone where there is one.
        (200, {"if_none_match": '"other"', "if_modified_since": http_date(4_000_000_000)}),
        (200, {"if_modified_since": "nonsense"}),
        (206, {"if_range": date, "range": "bytes=0-1"}),
        (206, {"if_match": "*", "range": "bytes=0-1"}),
        (200, {"if_range": weak, "range": "bytes=0-1"}),
        (200, {"if_range": http_date(0), "range": "bytes=0-1"}),
        (200, {"if_range": http_date(4_000_000_000), "range": "bytes=0-1"}),
        (200, {"if_range": '"other"', "range": "bytes=300000-"}),
        (412, {"if_match": '"other"', "range": "bytes=0-1"}),
        (412, {"if_match": weak, "if_none_match": tag}),
        (412, {"if_unmodified_since": http_date(1000)}),
    ):
        answer, content = ask(any_site, **headers)
        assert answer.status == status, headers
        assert content == {206: CONTENT[:2], 200: CONTENT}.get(status, b"")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_name_is_told_as_rfc_6266_has_it(any_site: Site, name: str) -> None:
    answer, content = ask(any_site, f"/media/{quote(name)}")
    assert (answer.status, content) == (200, b"content")
    assert answer.headers["Content-Disposition"] == ODD_NAMES[name]
    assert answer.headers["X"] is None


def test_signed_link_opens_one_file_until_it_ends(
    any_site: Site, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = "/signed/film.mp4"
    storage = import_string(any_site.media["BACKEND"])(**any_site.media["OPTIONS"])
    with override_settings(SECRET_KEY="tests"):
        link = signed_url("film.mp4", storage, url=path)
        of_another = signed_url("film.mp4", OverwriteStorage(directory / "x"), url=path)
        now = time.time()
        with monkeypatch.context() as clock:
            clock.setattr("time.time", lambda: now - 61)
            ended = signed_url("film.mp4", storage, url=path, expire=60)
    with override_settings(SECRET_KEY="another"):
        foreign = signed_url("film.mp4", storage, url=path)
    assert ask(any_site, link)[1] == CONTENT
    assert ask(any_site, link, method="HEAD")[0].status == 200
    assert ask(any_site, link, range="bytes=-1")[1] == CONTENT[-1:]
    query = link.partition("?")[2]
    for refused in (
        f"{link[:-1]}{'A' if link[-1] != 'A' else 'B'}",
        f"{link}x",
        link.replace("signature", "Signature"),
        f"/signed/film.webm?{query}",
        f"/signed/missing.mp4?{query}",
        f"/signed//film.mp4?{query}",
        f"/signed/../signed/x/%2e%2e/film.mp4?{query}",
        f"/signed/film.mp4%00?{query}",
        "/signed/film.mp4?signature=%00%ff",
        ended,
        of_another,
        foreign,
    ):
        answer, content = ask(any_site, refused)
        assert answer.status in {403, 404}, refused
        assert CONTENT[:10] not in content


def test_head_and_conditions_have_no_content(any_site: Site) -> None:
    answer, content = ask(any_site, method="HEAD")
    assert (answer.status, content) == (200, b"")
    assert answer.headers["Content-Length"] == "300000"
    again, content = ask(any_site, if_none_match=answer.headers["ETag"])
    assert (again.status, content) == (304, b"")
    late, content = ask(any_site, range="bytes=0-1", if_range='"other"')
    assert (late.status, content) == (200, CONTENT)


@pytest.mark.parametrize(
    "path",
    [
        "/media/missing.png",
        "/media/../film.mp4",
        "/media/%2e%2e/film.mp4",
        "/media/..%2ffilm.mp4",
        "/media//film.mp4",
        "/media/%00",
        "/media/%5c%5chost%5cfilm.mp4",
        "/media/%2ffilm.mp4",
        "/media/./film.mp4",
        "/media/%2e/film.mp4",
        "/media/film.mp4/",
        "/media/film.mp4/x",
        "/media/film.mp4%00.png",
        "/media/film.mp4%0a",
        "/media/%252e%252e/film.mp4",
        "/media/%c0%ae%c0%ae/film.mp4",
        "/media/%ff",
        "/media/..%5cfilm.mp4",
        "/media/C:%5cfilm.mp4",
        "/media/C:/film.mp4",
        "/media/%20",
        "/media/.",
        "/media/",
        f"/media/{'a' * 300}.mp4",
    ],
)
def test_what_is_not_there_is_404_and_tells_nothing(any_site: Site, path: str) -> None:
    answer, content = ask(any_site, path)
    assert answer.status == 404
    assert b"ftp" not in content.lower()


def test_unsigned_link_is_403(any_site: Site) -> None:
    assert ask(any_site, "/signed/film.mp4")[0].status == 403
    assert ask(any_site, "/signed/missing.mp4")[0].status == 403


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_other_methods_are_405(any_site: Site, method: str) -> None:
    assert ask(any_site, method=method)[0].status == 405


# -- streaming ------------------------------------------------------------------------------------


@pytest.mark.skipif(not psutil.LINUX, reason="the system keeps no peak of memory in /proc")
def test_large_file_takes_little_memory(any_site: Site) -> None:
    for path in ("/media/film.mp4", "/media/zeros.txt"):
        ask(any_site, path)
    before = any_site.peak()
    answer, content = ask(any_site, "/media/large.mp4")
    assert (answer.status, len(content)) == (200, 64 * MIB)
    assert any_site.peak() - before <= 16 * MIB


def begin(site: Site, path: str = "/media/large.mp4") -> socket.socket:
    """Ask for a file, and take no more than the beginning."""
    connection = socket.create_connection((HOST, site.port), LIMIT)
    # Little waits for a client that takes its time.
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    assert connection.recv(12) == b"HTTP/1.1 200"
    return connection


def test_first_bytes_come_before_the_last_are_read(remote: Site, ftp: Pyftpdlib) -> None:
    with closing(begin(remote)) as connection:
        assert connection.recv(1000)


def test_clients_that_take_their_time_hold_no_connection(remote: Site) -> None:
    """Reports 6 and 7 of serving: there are two connections, and three clients that do not read."""
    slow = [begin(remote) for _ in range(CONNECTIONS + 1)]
    try:
        assert ask(remote)[1] == CONTENT
    finally:
        for each in slow:
            each.close()
    # They went away half-way, and left nothing behind that the next would lack.
    for _ in range(2 * CONNECTIONS):
        assert ask(remote)[1] == CONTENT


def test_many_clients_are_served_at_once(any_site: Site) -> None:
    found: list[bytes] = []

    def take() -> None:
        found.append(ask(any_site)[1])

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [CONTENT] * 8


@servers
def test_storage_that_goes_away_is_told_to_the_log_alone(kind: type[Site], directory: Path) -> None:
    if reason := kind.available() or Pyftpdlib.available():
        pytest.skip(reason)
    with Pyftpdlib() as server:
        shutil.copy(directory / "film.mp4", server.root)
        media = on_ftp(server)
        with kind(media) as site:
            assert ask(site)[1] == CONTENT
            server.kill()
            answer, content = ask(site)
            assert (answer.status, content) == (503, b"The file cannot be read now.")
            server.start()
            assert ask(site)[1] == CONTENT


def test_ftp_server_of_these_tests_can_be_reached(ftp: Pyftpdlib) -> None:
    storage = FTPStorage(on_ftp(ftp)["OPTIONS"]["location"])
    storage.save("probe", ContentFile(b"content"))
    storage.delete("probe")
    storage.close()


# -- a browser ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    driver, chromium = shutil.which("chromedriver"), shutil.which("chromium")
    if not driver or not chromium:
        pytest.skip("chromium is not installed (apt-get install chromium chromium-driver)")
    options = ChromeOptions()
    options.binary_location = chromium
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    with Chrome(options, ChromeService(driver)) as chrome:
        yield chrome


def wait(browser: Chrome, script: str) -> Any:
    """Return what a script gives, once that is true."""
    return WebDriverWait(browser, LIMIT).until(lambda each: each.execute_script(f"return {script}"))


def test_browser_shows_a_picture_and_seeks_in_a_film(site: Site, browser: Chrome) -> None:
    """Report 2 of serving: without 206 for ``bytes=0-`` it would not seek."""
    browser.get_log("browser")  # type: ignore[no-untyped-call]
    with HTTPProxy(*site.address) as front:
        browser.get(f"{front.url}/page")
        assert wait(browser, "document.getElementById('picture').naturalWidth") == 40
        assert wait(browser, "document.getElementById('film').duration") == 300
        assert wait(browser, "document.getElementById('film').seekable.length") == 1
        browser.execute_script("document.getElementById('film').currentTime = 290.5")
        wait(browser, "!document.getElementById('film').seeking")
        assert wait(browser, "document.getElementById('film').readyState >= 2")
        position = browser.execute_script("return document.getElementById('film').currentTime")
        assert position == pytest.approx(290.5)
        asked = [each for each in front.requests if each.target == "/media/film.webm"]
    assert asked[0].headers["Range"] == "bytes=0-"
    # It may ask whether what it has is still right, and gives up requests that it needs no more.
    parts = [each for each in asked if each.status not in {0, 304}]
    assert {each.status for each in parts} == {206}
    starts = [int(re.findall(r"\d+", each.headers["Range"])[0]) for each in parts]
    assert max(starts) > 32 * MIB
    assert browser.get_log("browser") == []  # type: ignore[no-untyped-call]


@pytest.mark.parametrize(
    ("path", "script"),
    [
        ("/media/film.webm", "document.querySelector('video')?.duration"),
        ("/media/k%C3%BCste%20%231.png", "document.querySelector('img')?.naturalWidth"),
    ],
)
def test_browser_shows_a_file_by_itself(
    site: Site, browser: Chrome, path: str, script: str
) -> None:
    """Through the policy that keeps other files from running."""
    browser.get(f"{site.url}{path}")
    assert wait(browser, script)


def test_browser_does_not_show_what_could_run(site: Site, browser: Chrome) -> None:
    browser.get(f"{site.url}/page")
    browser.get(f"{site.url}/media/evil.svg")
    # It is downloaded, and the page before stays.
    assert browser.title == "Film and picture"
