"""SFTP against OpenSSH: throughput next to its own client, memory, round trips of small saves."""

from __future__ import annotations

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from django.core.files.base import ContentFile, File

from storages.backends.sftpstorage import SFTPStorage
from tests.backends.sftpstorage.server import options
from tests.servers.openssh import OpenSSH
from tests.servers.proxy import Proxy, Turns

from .report import MIB, Row, mixed_row, peak_memory_of, print_table, progress

SIZE = 256 * MIB
CHUNK = MIB  # bytes read at once
ROUNDS = 5
SAVES = 2000

FILES = 200

LEAST_RATIO = 0.95  # of what the `sftp` client does in the same run
MOST_SECONDS = 1.1  # times what `sftp -b` takes for small files
MOST_MEMORY = 32 * MIB
MOST_TURNS = 4  # round trips of a save beyond the one of its content


def main() -> bool:
    """Measure, print the table, tell whether all targets were met."""
    if reason := OpenSSH.available():
        raise SystemExit(reason)
    with OpenSSH() as server, tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "source.bin")
        with source.open("wb") as file:
            for _ in range(SIZE // MIB):
                file.write(os.urandom(MIB))
        rows = [
            *throughput(server, source),
            *memory(server, source),
            *small_saves(server),
            small_files(server, Path(directory)),
            threads(server),
        ]
    return print_table("SFTP (OpenSSH)", rows)


def storage_on(server: OpenSSH) -> SFTPStorage:
    """Return an overwriting storage on the server."""
    return SFTPStorage(**options(server), root_path=str(server.root), file_overwrite=True)


def save(storage: SFTPStorage, source: Path) -> None:
    """Store the large file, over a new connection."""
    storage.close()
    with source.open("rb") as file:
        storage.save("large.bin", File(file))


def read(storage: SFTPStorage) -> None:
    """Read the large file in pieces, over a new connection."""
    storage.close()
    left = SIZE
    with storage.open("large.bin") as file:
        while data := file.read(CHUNK):
            left -= len(data)
    assert left == 0


def client(server: OpenSSH, command: str) -> None:
    """Run one command of OpenSSH's own client."""
    login = ["-P", str(server.port), "-i", str(server.key_file)]
    trust = ["-o", f"UserKnownHostsFile={server.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
    address = f"{server.user}@{server.host}"
    subprocess.run(
        ["sftp", "-q", "-b", "-", *login, *trust, address],
        input=command.encode(),
        stdout=subprocess.DEVNULL,
        check=True,
    )


def throughput(server: OpenSSH, source: Path) -> list[Row]:
    """Compare both directions with the client, in alternating rounds."""
    storage = storage_on(server)
    target = source.with_name("target.bin")
    ways: list[tuple[str, Callable[[], object], str]] = [
        ("save 256 MiB", lambda: save(storage, source), f"put {source} {server.root}/client.bin"),
        ("read 256 MiB", lambda: read(storage), f"get {server.root}/large.bin {target}"),
    ]
    rows = []
    for name, call, command in ways:
        progress(name)
        reference = partial(client, server, command)
        rounds = [(rate_of(call), rate_of(reference)) for _ in range(ROUNDS)]
        ours, theirs = (statistics.median(each) for each in zip(*rounds, strict=True))
        ratio = statistics.median(mine / its for mine, its in rounds)
        result = f"{ours:.0f} MB/s, sftp {theirs:.0f} MB/s: {ratio:.0%}"
        rows.append(Row(name, result, f"at least {LEAST_RATIO:.0%}", ratio >= LEAST_RATIO))
    storage.close()
    return rows


def rate_of(call: Callable[[], object]) -> float:
    """Return the millions of bytes a second at which a call moves the large file."""
    return SIZE / seconds_of(call) / 1e6


def memory(server: OpenSSH, source: Path) -> list[Row]:
    """Measure what either direction adds to a process that has connected already."""
    storage = storage_on(server)
    rows = []
    for name, call in (
        ("memory of a save", lambda: save(storage, source)),
        ("memory of a read", lambda: read(storage)),
    ):
        progress(name)
        used = peak_memory_of(call)
        target = f"at most {MOST_MEMORY // MIB} MiB more"
        rows.append(Row(name, f"{used / MIB:.1f} MiB", target, used <= MOST_MEMORY))
    return rows


def small_saves(server: OpenSSH) -> list[Row]:
    """Count connections and round trips of small saves under new names, and time them."""
    progress(f"{SAVES} small saves")
    place = str(server.root / "small")
    with (
        Turns(*server.address) as turns,
        SFTPStorage(**options(server, turns), root_path=place, file_mode=0o640) as storage,
    ):
        storage.save("first.txt", ContentFile(b"content"))
        before, start = turns.count, time.perf_counter()
        for number in range(SAVES):
            storage.save(f"{number}.txt", ContentFile(b"content"))
        seconds = time.perf_counter() - start
        beyond = (turns.count - before) / SAVES - 1
    used = f"{turns.connections} connection, {SAVES / seconds:.0f} saves/s"
    return [
        Row(f"{SAVES} small saves", used, "1 connection", turns.connections == 1),
        Row("round trips of one", f"{beyond:.2f} + 1", f"{MOST_TURNS} + 1", beyond <= MOST_TURNS),
    ]


def small_files(server: OpenSSH, directory: Path) -> Row:
    """Compare small files, one after the other on one connection, with the client's batch."""
    progress(f"{FILES} small files")
    contents = {f"{number}.txt": os.urandom(1000) for number in range(FILES)}
    folder = directory / "small files"
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    (server.root / "batch").mkdir()
    batch = "".join(f'put "{folder / name}" {server.root}/batch/{name}\n' for name in contents)
    storage = storage_on(server)

    def ours() -> None:
        storage.close()
        for name, content in contents.items():
            storage.save(f"ours/{name}", ContentFile(content))

    rounds = [(seconds_of(ours), seconds_of(partial(client, server, batch))) for _ in range(ROUNDS)]
    storage.close()
    mine, its = (statistics.median(each) for each in zip(*rounds, strict=True))
    ratio = statistics.median(own / other for own, other in rounds)
    result = f"{mine:.2f} s, sftp -b {its:.2f} s: {ratio:.2f}"
    return Row(f"{FILES} small files", result, f"at most {MOST_SECONDS}", ratio <= MOST_SECONDS)


def seconds_of(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def threads(server: OpenSSH) -> Row:
    """Use one storage from many threads."""
    place = str(server.root / "mixed")
    with (
        Proxy(*server.address) as proxy,
        SFTPStorage(**options(server, proxy), root_path=place, file_overwrite=True) as storage,
    ):
        return mixed_row(storage, lambda: proxy.open_connections, storage.max_connections)
