"""Run the album against an S3 server of its own, and check what a visitor gets, byte by byte.

``--serve`` leaves the site running. The server is SeaweedFS, which pip installs; where it has no
build, moto's emulator takes its place, and the output says so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import secrets
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from html import unescape
from http.client import HTTPResponse
from http.cookiejar import CookieJar
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urljoin, urlsplit
from urllib.request import HTTPCookieProcessor, Request, build_opener
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

ROOT = Path(__file__).resolve().parent.parent
sys.path[0] = str(ROOT)
# These would overrule the site's own settings and the local server's plain HTTP.
for _name in ("AWS_CA_BUNDLE", "AWS_PROFILE", "AWS_ENDPOINT_URL", "HTTP_PROXY", "http_proxy"):
    os.environ.pop(_name, None)

from example.pictures import Picture, landscapes  # noqa: E402
from tests.servers.moto import Moto  # noqa: E402
from tests.servers.seaweedfs import SeaweedFS  # noqa: E402

PUBLIC = "static/*"  # what anyone may read
ADMIN = "admin"


class Failed(Exception):
    """Raised by the first check that does not hold."""


class Report:
    """Prints each step as it is done, and counts the checks."""

    def __init__(self) -> None:
        self.count = 0
        self._colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ

    def step(self, text: str) -> None:
        """Say what comes next."""
        print(f"\033[1m{text}\033[0m" if self._colour else text, flush=True)

    def check(self, text: str, *, holds: bool, otherwise: str = "") -> None:
        """Count a check, or end the demo with what is wrong."""
        if not holds:
            raise Failed(f"{text}: no. {otherwise}".strip())
        self.count += 1
        tick = "\033[32m✓\033[0m" if self._colour else "ok"
        print(f"  {tick} {text}", flush=True)


class Visitor:
    """A browser as small as will do: cookies, forms, and what a page refers to."""

    def __init__(self, site: str) -> None:
        self.site = site
        self._open = build_opener(HTTPCookieProcessor(CookieJar())).open

    def get(self, url: str) -> tuple[int, str, bytes]:
        """Return status, content type and body."""
        return self._ask(Request(urljoin(self.site, url)))

    def page(self, url: str) -> str:
        """Return the text of a page."""
        return self.get(url)[2].decode()

    def post(self, url: str, fields: dict[str, str], files: dict[str, Picture]) -> int:
        """Send a page's form, with the token that the page holds; return the status at the end."""
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.page(url))
        fields = {"csrfmiddlewaretoken": token[1] if token else "", **fields}
        body, content_type = multipart(fields, files)
        headers = {"Content-Type": content_type, "Referer": urljoin(self.site, url)}
        return self._ask(Request(urljoin(self.site, url), body, headers))[0]

    def _ask(self, request: Request) -> tuple[int, str, bytes]:
        try:
            answer: HTTPResponse = self._open(request, timeout=30)
        except HTTPError as error:
            with error:
                return error.code, error.headers.get_content_type(), error.read()
        with answer:
            return answer.status, answer.headers.get_content_type(), answer.read()


def multipart(fields: dict[str, str], files: dict[str, Picture]) -> tuple[bytes, str]:
    """Encode a form as browsers do (RFC 7578); return the body and its type."""
    boundary = uuid.uuid4().hex
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, each in files.items():
        head = (
            f'Content-Disposition: form-data; name="{name}"; filename="{each.filename}"\r\n'
            f"Content-Type: {each.content_type}\r\n\r\n"
        )
        parts.append(head.encode() + each.content + b"\r\n")
    marked = b"".join(f"--{boundary}\r\n".encode() + part for part in parts)
    return marked + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


# -- what runs ------------------------------------------------------------------------------------


@contextmanager
def bucket_server(report: Report) -> Iterator[None]:
    """Run an S3 server, and set what the site's settings and boto3 read from the environment."""
    kind = Moto if SeaweedFS.available() else SeaweedFS
    report.step(f"Starting an S3 server of our own ({kind.name})")
    if kind is Moto:
        print("  SeaweedFS has no build for this machine: an emulator takes its place.")
    with kind() as server:
        os.environ |= {
            "ALBUM_SERVER": kind.name,
            "ALBUM_ENDPOINT": server.url,
            "AWS_ACCESS_KEY_ID": server.access_key,
            "AWS_SECRET_ACCESS_KEY": server.secret_key,
        }
        yield


def prepare(report: Report) -> None:
    """Make the bucket, the database and the static files."""
    import django  # noqa: PLC0415 - the settings read the environment set just now

    os.environ["DJANGO_SETTINGS_MODULE"] = "example.settings"
    django.setup()
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.core.files.storage import default_storage  # noqa: PLC0415
    from django.core.management import call_command  # noqa: PLC0415

    storage: Any = default_storage
    report.step("Making the bucket, its static files open to everyone")
    storage.client.create_bucket(Bucket=storage.bucket_name)
    allow = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{storage.bucket_name}/{PUBLIC}",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    storage.client.put_bucket_policy(Bucket=storage.bucket_name, Policy=policy)
    report.step("Running migrate")
    call_command("migrate", verbosity=0)
    password = secrets.token_urlsafe(9)
    User.objects.create_superuser(ADMIN, password=password)
    os.environ["ALBUM_PASSWORD"] = password
    report.step("Running collectstatic to the bucket (a hundred files or so)")
    call_command("collectstatic", interactive=False, verbosity=0)


class _SiteServer(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Leave the output to the demo's own steps."""


@contextmanager
def site(port: int) -> Iterator[str]:
    """Serve the album, and give its address."""
    from django.core.wsgi import get_wsgi_application  # noqa: PLC0415 - needs the settings

    application = get_wsgi_application()
    with make_server("127.0.0.1", port, application, _SiteServer, _QuietHandler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


# -- what is checked ------------------------------------------------------------------------------


def run_checks(report: Report, address: str) -> None:
    """Do what visitors do, and compare every byte they get."""
    visitor = Visitor(address)
    pictures = landscapes()
    report.step("Uploading pictures through the site's form")
    for each in pictures:
        status = visitor.post("/", {"title": each.title}, {"image": each})
        shown = each.title in unescape(visitor.page("/"))
        report.check(f"{each.filename} is on the page", holds=status == 200 and shown)
    check_pictures(report, visitor, pictures)
    check_name_twice(report, visitor, pictures[0])
    report.step("Fetching the static files of the album and of the admin")
    for page in ("/", "/admin/login/"):
        check_static(report, visitor, page)
    check_admin(report, visitor)


def check_pictures(report: Report, visitor: Visitor, pictures: list[Picture]) -> None:
    """Fetch each picture by its signed URL, and without the signature."""
    report.step("Fetching each picture by its signed URL")
    urls = [
        unescape(each) for each in re.findall(r'<img src="([^"]+)" alt="[^"]', visitor.page("/"))
    ]
    report.check("the page shows every picture", holds=len(urls) == len(pictures))
    for url, each in zip(reversed(urls), pictures, strict=True):
        status, content_type, body = visitor.get(url)
        report.check(
            f"{each.filename}: {len(body):,} bytes, the same",
            holds=digest(body) == digest(each.content),
            otherwise=f"The bucket answered {status}.",
        )
        report.check(f"{each.filename} is {content_type}", holds=content_type == each.content_type)
    if os.environ["ALBUM_SERVER"] == SeaweedFS.name:  # moto looks at no signature
        status, *_ = visitor.get(urlsplit(urls[0])._replace(query="").geturl())
        report.check("without its signature it is refused", holds=status == 403)


def check_name_twice(report: Report, visitor: Visitor, each: Picture) -> None:
    """Upload a second picture of a name."""
    visitor.post("/", {"title": "The same name"}, {"image": each})
    names = set(re.findall(r"photos/\d+/(morning[^?]*)\?", visitor.page("/")))
    report.check(f"a second {each.filename} gets a name of its own", holds=len(names) == 2)


def check_static(report: Report, visitor: Visitor, page: str) -> None:
    """Fetch what a page refers to, and what its style sheets do."""
    from django.contrib.staticfiles import finders  # noqa: PLC0415 - needs the settings

    found = re.findall(r'(?:href|src)="([^"]+/static/[^"]+)"', visitor.page(page))
    report.check(f"{page} refers to static files in the bucket", holds=bool(found))
    for url in dict.fromkeys(map(unescape, found)):
        status, _, body = visitor.get(url)
        name = urlsplit(url).path.partition("/static/")[2]
        report.check(f"{name}: {len(body):,} bytes", holds=status == 200 and bool(body))
        original = finders.find(re.sub(r"\.[0-9a-f]{12}(?=\.\w+$)", "", name))
        if name.endswith(".css"):
            check_references(report, visitor, url, body.decode())
        else:
            holds = original is not None and digest(Path(str(original)).read_bytes()) == digest(
                body
            )
            report.check(f"{name} is what the project has", holds=holds)


def check_references(report: Report, visitor: Visitor, url: str, style: str) -> None:
    """Fetch what a style sheet refers to by its hashed name."""
    for reference in dict.fromkeys(re.findall(r'url\("?([^")]+?)"?\)', style)):
        if not reference.startswith("data:"):
            status, *_ = visitor.get(urljoin(url, reference))
            report.check(f"{reference}, from the style sheet", holds=status == 200)


def check_admin(report: Report, visitor: Visitor) -> None:
    """Sign in and look at the list of pictures."""
    report.step("Signing in to the admin")
    fields = {"username": ADMIN, "password": os.environ["ALBUM_PASSWORD"], "next": "/admin/"}
    visitor.post("/admin/login/", fields, {})
    listed = unescape(visitor.page("/admin/album/photo/"))
    titles = [each.title for each in landscapes()]
    report.check("the admin lists the pictures", holds=all(title in listed for title in titles))


def digest(content: bytes) -> str:
    """Return the SHA-256 of bytes."""
    return hashlib.sha256(content).hexdigest()


def until_told() -> None:
    """Wait for the Enter key. Ctrl-C does as well, but tox calls that a failure."""
    with suppress(KeyboardInterrupt):
        if sys.stdin.isatty():
            input("Press Enter to end both servers. ")
        else:
            print("Ctrl-C ends both servers.", flush=True)
            threading.Event().wait()
    print("The servers are stopped, the bucket is gone.", flush=True)


def main() -> None:
    """Run the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help="leave the site running")
    parser.add_argument("--port", type=int, default=0, help="the site's port; any free one")
    arguments = parser.parse_args()
    report = Report()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        os.environ["ALBUM_DATABASE"] = str(Path(folder, "album.sqlite3"))
        stack.enter_context(bucket_server(report))
        prepare(report)
        address = stack.enter_context(site(arguments.port))
        try:
            run_checks(report, address)
        except Failed as failure:
            sys.exit(f"demo: {failure}")
        print(f"demo: {report.count} checks passed", flush=True)
        if arguments.serve:
            password = os.environ["ALBUM_PASSWORD"]
            print(f"Open {address} and add a picture.")
            print(f"The admin is at {address}admin/: sign in as {ADMIN} with {password}.")
            until_told()


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
