"""FTP against vsftpd: speed beside curl's in the same run, memory, and what a short read costs."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from django.core.files.base import ContentFile, File

from benchmarks.report import (
    MIB,
    Row,
    mixed_row,
    peak_memory_of,
    print_table,
    progress,
    sparse_file,
)
from storages.backends.ftp import FTPStorage
from tests.backends.ftp.server import bad_data_line, location, trust
from tests.servers.certificates import authority
from tests.servers.ftp import TLS, FTPServer
from tests.servers.proxy import Proxy
from tests.servers.vsftpd import Vsftpd

LARGE = 256 * MIB
ROUNDS = 5
SPEED = 0.8  # of curl's
MEMORY = 32 * MIB
SHORT = 64 * 1024  # bytes read of a large file


def main() -> bool:
    """Print the tables; tell whether all targets were met."""
    met = [measure(tls) for tls in ("", "explicit")]
    return all(met)


def measure(tls: TLS) -> bool:
    """Measure without or with TLS."""
    with tempfile.TemporaryDirectory() as folder, Vsftpd(tls) as server:
        large = sparse_file(Path(folder, "large"), LARGE)
        storage = FTPStorage(location(server), file_overwrite=True, **trust(server))
        storage.save("start", ContentFile(b"start"))
        rows = [*speed_rows(storage, server, large), *memory_rows(storage, large)]
        if not tls:
            rows += [short_row(large.parent), threads_row(server)]
    return print_table(f"FTP on vsftpd{' with TLS' if tls else ''}, 256 MiB", rows)


def speed_rows(storage: FTPStorage, server: FTPServer, large: Path) -> list[Row]:
    """Compare with curl, in turns."""
    progress("speed")
    url = f"ftp://{server.host}:{server.port}/large"
    trusted = ["--ssl-reqd", "--cacert", str(authority().ca_file)] if server.tls else []
    curl = ["curl", "-s", "-S", "--user", f"{server.user}:{server.password}", *trusted, url]

    def client(*options: str) -> None:
        subprocess.run([*curl, *options], check=True)

    return [
        speed_row("save", lambda: save(storage, large), lambda: client("-T", str(large))),
        speed_row("read", lambda: read(storage), lambda: client("-o", "/dev/null")),
    ]


def speed_row(operation: str, ours: Callable[[], None], curls: Callable[[], None]) -> Row:
    """Take the best of some rounds of each."""
    times = [(seconds(ours), seconds(curls)) for _ in range(ROUNDS)]
    mine, its = (LARGE / min(each) / 1e6 for each in zip(*times, strict=True))
    result = f"{mine:.0f} MB/s, {mine / its:.0%} of curl's {its:.0f}"
    return Row(operation, result, f"at least {SPEED:.0%} of curl", mine >= SPEED * its)


def memory_rows(storage: FTPStorage, large: Path) -> list[Row]:
    """Measure the growth of a new process."""
    progress("memory")
    rows = []
    for operation, call in (
        ("save", lambda: save(storage, large)),
        ("read", lambda: read(storage)),
    ):
        grown = peak_memory_of(call)
        rows.append(
            Row(
                f"memory of {operation}",
                f"{grown / MIB:.1f} MiB more",
                f"at most {MEMORY / MIB:.0f} MiB",
                grown <= MEMORY,
            )
        )
    return rows


def short_row(folder: Path) -> Row:
    """Count what crosses the data connection for the first bytes of a large file."""
    with bad_data_line(folder) as (server, proxy), FTPStorage(location(server)) as storage:
        with storage.open("large") as file:
            file.read(SHORT)
        count = proxy.bytes_down
    return Row("first 64 KiB", f"{count / 1024:.0f} KiB transferred", "under 1 MiB", count < MIB)


def threads_row(server: FTPServer) -> Row:
    """Use one storage from many threads."""
    with (
        Proxy(*server.address) as proxy,
        FTPStorage(location(server, "mixed", proxy), file_overwrite=True) as storage,
    ):
        return mixed_row(storage, lambda: proxy.open_connections, storage.max_connections)


def seconds(call: Callable[[], None]) -> float:
    """Return how long a call takes."""
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def save(storage: FTPStorage, large: Path) -> None:
    """Save the large file."""
    with large.open("rb") as file:
        storage.save("large", File(file, "large"))


def read(storage: FTPStorage) -> None:
    """Read the large file in pieces."""
    with storage.open("large") as file:
        for _ in file.chunks(MIB):
            pass
