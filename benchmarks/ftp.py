"""FTP against vsftpd: speed beside curl's in the same run, memory, and what a short read costs."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
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
UPLOADS = 50
MOST_SECONDS = 1.2  # times what lftp takes for a small upload with TLS
CROWD = 20_000  # files of a directory
IDLE = 11  # seconds after which a connection is asked whether it still works
TIMEOUT = 5.0  # seconds
SHORT = 64 * 1024  # bytes read of a large file


def main() -> bool:
    """Print the tables; tell whether all targets were met."""
    met = [measure(tls) for tls in ("", "explicit")]
    rows = [*lftp_rows(), *crowd_rows(), half_open_row()]
    return print_table("FTP on vsftpd, small files", rows) and all(met)


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


def lftp_rows() -> list[Row]:
    """Compare small uploads with TLS, one after the other on one connection, with lftp's."""
    if shutil.which("lftp") is None:
        return [Row("small upload with TLS", "lftp is not installed", f"{MOST_SECONDS}", False)]
    progress("small uploads")
    with tempfile.TemporaryDirectory() as folder, Vsftpd("explicit") as server:
        names = [f"{number}.txt" for number in range(UPLOADS)]
        for name in names:
            Path(folder, name).write_bytes(b"x" * 1000)
        storage = FTPStorage(location(server), file_overwrite=True, **trust(server))
        commands = (
            f"set ssl:ca-file {authority().ca_file}; set ftp:ssl-force yes; "
            f"set ftp:ssl-protect-data yes; open -p {server.port} -u {server.user},"
            f"{server.password} ftp://{server.host}; mput {folder}/*.txt"
        )

        def ours() -> None:
            storage.close()
            for name in names:
                storage.save(name, ContentFile(b"x" * 1000))

        def lftps() -> None:
            subprocess.run(["lftp", "-c", commands], check=True, stdout=subprocess.DEVNULL)

        times = [(seconds(ours), seconds(lftps)) for _ in range(ROUNDS)]
        storage.close()
    mine, its = (min(each) / UPLOADS * 1000 for each in zip(*times, strict=True))
    result = f"{mine:.1f} ms, lftp {its:.1f} ms: {mine / its:.2f}"
    is_met = mine <= MOST_SECONDS * its
    return [Row("small upload with TLS", result, f"at most {MOST_SECONDS}", is_met)]


class LoggedVsftpd(Vsftpd):
    """Writes down each command."""

    def prepare(self) -> None:
        super().prepare()
        with (self.directory / "vsftpd.conf").open("a") as config:
            config.write(f"log_ftp_protocol=YES\nvsftpd_log_file={self.directory}/log\n")
            config.write("xferlog_enable=YES\nxferlog_std_format=NO\n")

    def listings(self) -> int:
        """Return how many listings were asked for so far."""
        return (self.directory / "log").read_text(errors="replace").count('"LIST')


def crowd_rows() -> list[Row]:
    """Count the listings of a save into a large directory."""
    progress(f"{CROWD} files")
    rows = []
    with LoggedVsftpd() as server:
        for number in range(CROWD):
            (server.root / f"{number}.txt").touch()
        for overwrite, most in ((False, 1), (True, 0)):
            with FTPStorage(location(server), file_overwrite=overwrite) as storage:
                # Looks for leftovers of others, hourly.
                storage.save("first", ContentFile(b"x"))
                before = server.listings()
                took = seconds(partial(storage.save, "a.txt", ContentFile(b"x")))
                count = server.listings() - before
            name = "overwriting" if overwrite else "unique"
            result = f"{count} listings, {took * 1000:.0f} ms"
            rows.append(
                Row(f"save among {CROWD} files, {name}", result, f"at most {most}", count <= most)
            )
    return rows


def half_open_row() -> Row:
    """Measure a call when all idle connections are dead and do not know it."""
    progress("a pool of half-open connections")
    with (
        Vsftpd() as server,
        Proxy(*server.address) as proxy,
        FTPStorage(location(server, via=proxy), timeout=TIMEOUT) as storage,
    ):
        storage.save("a", ContentFile(b"x"))
        files = [storage.open("a") for _ in range(storage.max_connections)]
        for file in files:
            file.read(0)
        with ThreadPoolExecutor(len(files)) as pool:
            list(pool.map(lambda file: file.read(), files))
        idle = proxy.open_connections
        time.sleep(IDLE)
        proxy.forget()
        took = seconds(partial(storage.exists, "a"))
    result = f"{took:.1f} s with {idle} connections"
    # One time limit, and connecting anew.
    most = TIMEOUT + 0.5
    return Row("exists() when all are half open", result, f"at most {most} s", took <= most)


def threads_row(server: FTPServer) -> Row:
    """Use one storage from many threads."""
    with (
        Proxy(*server.address) as proxy,
        FTPStorage(location(server, "mixed", proxy), file_overwrite=True) as storage,
    ):
        return mixed_row(storage, lambda: proxy.open_connections, storage.max_connections)


def seconds(call: Callable[[], object]) -> float:
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
