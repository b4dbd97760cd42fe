"""What SFTP and FTP do with their pools in many threads, in forks, and where a process ends."""

from __future__ import annotations

import asyncio
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest
from asgiref.sync import sync_to_async
from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from storages.backends.ftp import FTPStorage
from storages.backends.sftpstorage import SFTPStorage
from storages.testing.lifecycle import forked, wait_for
from tests.backends.ftp.server import location
from tests.backends.sftpstorage.server import options
from tests.servers.openssh import OpenSSH
from tests.servers.process import Server
from tests.servers.pyftpdlib_server import Pyftpdlib
from tests.servers.vsftpd import Vsftpd

LIMIT = 60.0  # seconds that a child or a crowd of threads has at most
CONTENT = os.urandom(300_000)

# A process that ends with connections idle, leased by open files, and busy in a thread.
ENDING = """
import sys, json, threading
from pathlib import Path
import django
from django.conf import settings
settings.configure(INSTALLED_APPS=["storages"])
django.setup()
from django.core.files.base import ContentFile
from django.utils.module_loading import import_string
path, given, how = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
storage = import_string(path)(**given)
storage.save("ending.bin", ContentFile(bytes(3_000_000)))
file = storage.open("ending.bin")
assert file.read(10) == bytes(10)
def busy():
    while True:
        storage.exists("ending.bin")
if how == "busy":
    threading.Thread(target=busy, daemon=True).start()
if how == "raises":
    raise SystemExit(0)
"""


@pytest.fixture(scope="module", params=[OpenSSH, Pyftpdlib, Vsftpd], ids=lambda each: each.name)
def server(request: pytest.FixtureRequest) -> Iterator[Any]:
    if reason := request.param.available():
        pytest.skip(reason)
    with request.param() as server:
        yield server


def given(server: Any, root: str = "") -> dict[str, Any]:
    if isinstance(server, OpenSSH):
        known_hosts = str(server.known_hosts)
        given = {**options(server), "known_host_file": known_hosts, "root_path": root or "files"}
        return {**given, "timeout": LIMIT}
    return {"location": location(server, root), "timeout": LIMIT}


def kind_of(server: Any) -> Any:
    return SFTPStorage if isinstance(server, OpenSSH) else FTPStorage


def make(server: Any, root: str = "", **other: Any) -> Any:
    return kind_of(server)(**{**given(server, root), **other})


def save(storage: Storage, name: str = "a.bin", content: bytes = CONTENT) -> str:
    return storage.save(name, ContentFile(content))


def read(storage: Storage, name: str) -> bytes:
    with storage.open(name) as file:
        content: bytes = file.read()
    return content


def connections_to(server: Server) -> int:
    """Return how many connections of this process lead to a server's port."""
    found = psutil.Process().net_connections("tcp")
    return sum(
        bool(each.raddr) and each.raddr[1] == server.port and each.status == "ESTABLISHED"
        for each in found
    )


def test_threads_with_many_configurations_leave_few_connections(server: Any) -> None:
    def work(number: int) -> None:
        choose = random.Random(number)
        for turn in range(3):
            # A time limit of its own makes a configuration of its own.
            limit = 30 + choose.randrange(200) / 1000
            storage = make(server, "many", timeout=limit, max_connections=2)
            name = save(storage, f"{number}-{turn}.bin", bytes([number]) * 2000)
            assert read(storage, name) == bytes([number]) * 2000
            if turn:
                storage.close()

    before = threading.active_count()
    with ThreadPoolExecutor(64) as threads:
        list(threads.map(work, range(64)))
    storages = [make(server, timeout=30 + n / 1000, max_connections=2) for n in range(200)]
    for each in storages:
        each.close()
    # Of configurations that were forgotten in the midst of a call, for a minute.
    assert connections_to(server) <= 64
    ours = [each for each in threading.enumerate() if each.name != "storages-pool"]
    assert len(ours) <= before + 64


def test_closing_a_storage_that_others_use_fails_no_call(server: Any) -> None:
    storage = make(server, "closed", max_connections=4)
    done = threading.Event()

    def close() -> None:
        while not done.wait(0.005):
            storage.close()

    def work(number: int) -> None:
        name = save(storage, f"{number}.bin")
        assert read(storage, name) == CONTENT
        storage.delete(name)
        assert not storage.exists(name)

    with ThreadPoolExecutor(9) as threads:
        closing = threads.submit(close)
        try:
            list(threads.map(work, range(40)))
        finally:
            done.set()
        closing.result()
    assert storage.listdir("") == ([], [])
    storage.close()


def test_forks_from_busy_threads_share_no_stream(server: Any) -> None:
    storage = make(server, "forked", max_connections=4)
    name = save(storage)

    def work(_: int) -> None:
        for _ in range(4):
            assert read(storage, name) == CONTENT

    def in_child() -> None:
        assert read(storage, name) == CONTENT
        save(storage, "of a child.bin")

    with ThreadPoolExecutor(4) as threads:
        busy = [threads.submit(work, number) for number in range(8)]
        with storage.open(name) as file:
            head = file.read(1000)
            children = [forked(in_child) for _ in range(4)]
            rest = file.read()
        problems = [wait_for(child) for child in children]
        for each in busy:
            each.result(LIMIT)
    assert head + rest == CONTENT
    assert problems == [""] * 4
    storage.close()


@pytest.mark.parametrize("how", ["idle", "busy", "raises"])
def test_process_that_leaves_everything_open_ends_at_once_and_without_a_word(
    server: Any, how: str
) -> None:
    kind = kind_of(server)
    path = f"{kind.__module__}.{kind.__qualname__}"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", ENDING, path, json.dumps(given(server)), how],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        # Less than the storage's own time limit, for which nothing may wait.
        timeout=LIMIT / 3,
        check=False,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_tasks_of_asyncio_use_a_storage_through_threads(server: Any) -> None:
    storage = make(server, "tasks", max_connections=3)

    async def work(number: int) -> bytes:
        call = partial(sync_to_async, thread_sensitive=False)
        name = await call(save)(storage, f"{number}.bin")
        return await call(read)(storage, name)

    async def all_of_them() -> list[bytes]:
        return await asyncio.gather(*(work(number) for number in range(30)))

    before = connections_to(server)
    assert asyncio.run(all_of_them()) == [CONTENT] * 30
    assert connections_to(server) <= before + 3
    storage.close()


def test_restarted_server_costs_no_call_whatever_was_open(server: Any) -> None:
    storage = make(server, "restarted")
    name = save(storage)
    with storage.open(name) as file:
        head = file.read(1000)
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(lambda _: read(storage, name), range(16)))
            server.stop()
            server.start()
            assert list(threads.map(lambda _: read(storage, name), range(16))) == [CONTENT] * 16
        assert head + file.read() == CONTENT
    storage.close()
