"""Random programs on an open file, run on a backend and on Django's own storage side by side.

``python -m tests.model BACKEND N [SEED]`` runs N programs and ends at the first that differs.
"""

from __future__ import annotations

import io
import os
import random
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import django
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, Storage
from django.db.models import FileField
from django.db.models.fields.files import FieldFile

MODES = ("rb", "r", "wb", "w", "ab", "a", "xb", "x", "r+b", "r+", "w+b", "w+", "a+b", "a+")
TEXT = "one\ntwo\r\nthree\rfour é 漢 😀\n\nlast"
NAME = "file.txt"
STEPS = 12  # of a program at most

#: What differs on purpose, and is not tried or not compared.
ON_PURPOSE = {
    "visibility": "What is written shows at close(), all of it or nothing: Django's own storage "
    "shows half-written files. Contents are compared once a file is closed.",
    "size": "Django keeps the first answer; here it is always the present one. It is compared "
    "where a file was just opened to be read.",
    "mode after reopening": "Django's files keep the mode they were first opened in.",
    "reopening what is gone": "Here as open() says it, FileNotFoundError; Django's ValueError.",
    "fileno of a file being read": "Over a network there is none; Pillow and others fall back.",
    "directories": "Opening a file to be written makes its directories here.",
    "reading and appending": "What Python gives where a file in mode a+ is read, written and read "
    "again without a seek between hangs on the size of its buffer. Programs seek to the end first.",
    "two open files": "The second to close raises where Django's mixes or loses what was written.",
}

Step = tuple[str, tuple[Any, ...]]
Outcome = tuple[str, Any]


class Program:
    """A content that is there before, whether a field is used, and steps."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(seed)
        self.seed = seed
        size = chance.choice((0, 1, 20, 3000, 20_000))
        self.before = chance.choice((None, (TEXT * (size // 30 + 1)).encode()[:size]))
        if self.before is not None:
            # No character is cut in two.
            self.before = self.before.decode(errors="ignore").encode()
        self.by_field = chance.random() < 0.3
        self.steps = [("open", (chance.choice(MODES),))]
        self.steps += [self._step(chance) for _ in range(chance.randint(1, STEPS))]

    @staticmethod
    def _step(chance: random.Random) -> Step:
        number = chance.choice((0, 1, 2, 5, 7, 100, 9000, 70_000))
        data = chance.choice(("", "x", "line\n", "a\r\nb\r", "é漢😀", "y" * 9000, "z" * 40_000))
        steps: list[Step] = [
            ("read", (number,)),
            ("read", ()),
            ("read", (-1,)),
            ("readline", ()),
            ("readline", (number,)),
            ("readlines", ()),
            ("iterate", ()),
            ("chunks", (chance.choice((1000, 65_536)),)),
            ("write", (data,)),
            ("write", (data,)),
            ("writelines", ([data, "more\n"],)),
            ("seek", (number,)),
            ("seek", (0,)),
            ("seek", (0, 2)),
            ("seek", (chance.choice((0, 3, -2)), chance.choice((1, 2)))),
            ("seek", (-1,)),
            ("back", ()),
            ("tell", ()),
            ("truncate", ()),
            ("truncate", (number,)),
            ("flush", ()),
            ("descriptor", (data,)),
            ("reopen", (chance.choice(MODES),)),
            ("reopen", ()),
            ("close", ()),
            ("close and reopen", (chance.choice(MODES),)),
            ("abilities", ()),
            ("size", ()),
        ]
        return chance.choice(steps)

    def __str__(self) -> str:
        kind = "field" if self.by_field else "storage"
        before = "nothing" if self.before is None else f"{len(self.before)} bytes"
        return f"program {self.seed}: {kind}, {before} before: {self.steps}"


class Run:
    """One program on one storage."""

    def __init__(self, storage: Storage, program: Program, name: str) -> None:
        self.storage = storage
        self.name = name
        self.program = program
        self.file: Any = None
        self.mode = ""
        self.told = 0
        self.is_fresh = False

    def outcomes(self) -> Iterator[Outcome]:
        """Yield what each step gives or raises, and in the end what is stored."""
        if self.program.before is not None:
            self.storage.save(self.name, ContentFile(self.program.before))
        for name, arguments in self.program.steps:
            yield self._outcome(name, arguments)
        yield self._outcome("close", ())
        with (
            self.storage.open(self.name) if self.storage.exists(self.name) else io.BytesIO() as file
        ):
            yield "stored", file.read()
        self.storage.delete(self.name)

    def _outcome(self, name: str, arguments: tuple[Any, ...]) -> Outcome:
        if self.file is None and name != "open":
            return name, None
        was_fresh, self.is_fresh = self.is_fresh, False
        try:
            if name == "size" and not (was_fresh and self.mode in {"r", "rb"}):
                return name, None
            value = getattr(self, "_" + name.replace(" ", "_"))(*arguments)
        except (OSError, ValueError, TypeError) as exc:
            return name, _kind(exc)
        return name, value

    def _data(self, text: str) -> Any:
        return text.encode() if "b" in self.mode else text

    def _open(self, mode: str) -> None:
        self.mode = mode
        if self.program.by_field:
            field = FileField(storage=self.storage)
            opened: Any = FieldFile(None, field, self.name)  # type: ignore[arg-type]
            opened.open(mode)
            self.file = opened
        else:
            self.file = self.storage.open(self.name, mode)
        self.is_fresh = True

    def _reopen(self, mode: str | None = None) -> None:
        was_closed, mode = self.file.closed, mode or self.mode
        self.file.open(mode)
        if was_closed:
            self.mode, self.told = mode, 0
            self.is_fresh = True

    def _close_and_reopen(self, mode: str) -> None:
        self.file.close()
        self._reopen(mode)

    def _close(self) -> None:
        self.file.close()

    def _go_to_end(self) -> None:
        if {"a", "+"} <= set(self.mode):
            self.file.seek(0, 2)

    def _write(self, text: str) -> Any:
        self._go_to_end()
        return self.file.write(self._data(text))

    def _writelines(self, lines: list[str]) -> None:
        self._go_to_end()
        self.file.writelines([self._data(each) for each in lines])

    def _read(self, *arguments: int) -> Any:
        return self.file.read(*arguments)

    def _readline(self, *arguments: int) -> Any:
        return self.file.readline(*arguments)

    def _readlines(self) -> Any:
        return self.file.readlines()

    def _iterate(self) -> Any:
        # `list` would ask for a length first, and a field asks the storage for it.
        return [line for line in self.file]  # noqa: C416

    def _chunks(self, size: int) -> Any:
        return list(self.file.chunks(size))

    def _seek(self, *arguments: int) -> Any:
        if "b" not in self.mode and arguments[0] > 0:
            return None  # only what tell() gave is a position of a text
        return self.file.seek(*arguments)

    def _back(self) -> Any:
        return self.file.seek(self.told)

    def _tell(self) -> int:
        self.told = self.file.tell()
        return self.told

    def _truncate(self, *arguments: int) -> Any:
        return self.file.truncate(*arguments)

    def _flush(self) -> None:
        self.file.flush()

    def _descriptor(self, text: str) -> None:
        if not self.file.writable():
            return
        self.file.flush()
        os.write(self.file.fileno(), text.encode())

    def _abilities(self) -> Any:
        file = self.file
        return file.closed, file.readable(), file.writable(), file.seekable()

    def _size(self) -> int:
        return int(self.file.size)


def _kind(exc: Exception) -> str:
    """Name the kind of an error; what reopening a file that is gone raises counts as one."""
    if isinstance(exc, FileNotFoundError) or "cannot be reopened" in str(exc):
        return "gone"
    kinds = (io.UnsupportedOperation, FileExistsError, TypeError, UnicodeError, OSError)
    return next((kind.__name__ for kind in kinds if isinstance(exc, kind)), "ValueError")


def difference(storage: Storage, seed: int) -> str | None:
    """Run a program on a storage and on Django's own; return where they first differ."""
    program, name = Program(seed), f"{uuid.uuid4().hex}-{NAME}"
    with tempfile.TemporaryDirectory() as directory:
        django_s = FileSystemStorage(directory)
        both = zip(
            Run(storage, program, name).outcomes(),
            Run(django_s, program, name).outcomes(),
            strict=True,
        )
        for number, (ours, django_own) in enumerate(both):
            if ours != django_own:
                return f"{program}\nstep {number}: {_short(ours)}\nDjango: {_short(django_own)}"
    return None


def _short(outcome: Outcome) -> str:
    text = repr(outcome)
    return text if len(text) < 300 else f"{text[:150]} … {text[-100:]} ({len(text)})"


# -- backends -------------------------------------------------------------------------------------


class MissingServer(Exception):
    """Raised with the reason why a server cannot run on this machine."""


def _started(server: Any) -> Any:
    """Return a server to be started by ``with``; raise MissingServer if it cannot run here."""
    if reason := server.available():
        raise MissingServer(reason)
    return server


@contextmanager
def _memory() -> Iterator[Storage]:
    from tests.memory import MemoryStorage  # noqa: PLC0415

    yield MemoryStorage(bucket=uuid.uuid4().hex, file_overwrite=True)


def _local(path: str) -> Callable[[], Any]:
    @contextmanager
    def make() -> Iterator[Storage]:
        from django.utils.module_loading import import_string  # noqa: PLC0415

        with tempfile.TemporaryDirectory() as directory:
            yield import_string(path)(directory, file_overwrite=True)

    return make


def _s3(server: str) -> Callable[[], Any]:
    @contextmanager
    def make() -> Iterator[Storage]:
        from storages.backends.s3boto3 import S3Boto3Storage  # noqa: PLC0415
        from tests.backends.s3boto3.server import RawBucket, account  # noqa: PLC0415
        from tests.servers.moto import Moto  # noqa: PLC0415
        from tests.servers.seaweedfs import SeaweedFS  # noqa: PLC0415

        kinds = {"moto": Moto, "seaweedfs": SeaweedFS}
        with _started(kinds[server]()) as running, RawBucket(running) as raw:
            yield S3Boto3Storage(bucket_name=raw.bucket, **account(running))

    return make


@contextmanager
def _ftp() -> Iterator[Storage]:
    from storages.backends.ftp import FTPStorage  # noqa: PLC0415
    from tests.backends.ftp.server import location  # noqa: PLC0415
    from tests.servers.pyftpdlib_server import Pyftpdlib  # noqa: PLC0415

    with Pyftpdlib() as server, FTPStorage(location(server, "model"), file_overwrite=True) as found:
        yield found


@contextmanager
def _sftp() -> Iterator[Storage]:
    from storages.backends.sftpstorage import SFTPStorage  # noqa: PLC0415
    from tests.backends.sftpstorage.server import options  # noqa: PLC0415
    from tests.servers.asyncssh_server import AsyncSSH  # noqa: PLC0415

    with (
        AsyncSSH() as server,
        SFTPStorage(**options(server), root_path="model", file_overwrite=True) as found,
    ):
        yield found


@contextmanager
def _azure() -> Iterator[Storage]:
    from storages.backends.azure_storage import AzureStorage  # noqa: PLC0415
    from tests.backends.azure_storage.server import RawContainer, account  # noqa: PLC0415
    from tests.servers.azurite import Azurite  # noqa: PLC0415

    with _started(Azurite()) as server, RawContainer(server) as raw:
        yield AzureStorage(azure_container=raw.name, file_overwrite=True, **account(server))


@contextmanager
def _couchdb() -> Iterator[Storage]:
    from storages.backends.couchdb import CouchDBStorage  # noqa: PLC0415
    from tests.backends.couchdb.server import RawDatabase  # noqa: PLC0415
    from tests.servers.pouchdb import PouchDB  # noqa: PLC0415

    with _started(PouchDB()) as server, RawDatabase(server) as raw:
        account = {"user": server.user, "password": server.password}
        yield CouchDBStorage(server=server.url, database=raw.name, file_overwrite=True, **account)


def _database(kind: str, *, by_django: bool = False) -> Callable[[], Any]:
    @contextmanager
    def make() -> Iterator[Storage]:
        from storages.backends.database import DatabaseStorage  # noqa: PLC0415
        from tests.backends.database.server import COLUMNS, Place, missing  # noqa: PLC0415
        from tests.servers.database import MariaDB, PostgreSQL  # noqa: PLC0415

        kinds = {"postgresql": PostgreSQL, "mariadb": MariaDB}
        with ExitStack() as stack:
            server = stack.enter_context(_started(kinds[kind]())) if kind in kinds else None
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            place = Place(kind, server, Path(directory))
            if by_django:
                way = {"using": stack.enter_context(place.alias())}
            elif reason := missing(kind):
                raise MissingServer(reason)
            else:
                way = place.options()
            storage = DatabaseStorage(db_table="Files", file_overwrite=True, **COLUMNS, **way)
            storage.create_table()
            stack.callback(storage.close)
            yield storage

    return make


@contextmanager
def _dropbox() -> Iterator[Storage]:
    from tests.backends.dropbox.server import Site  # noqa: PLC0415
    from tests.servers.dropbox_stub import DropboxStub  # noqa: PLC0415
    from tests.servers.http import HTTPProxy  # noqa: PLC0415

    with DropboxStub() as server, HTTPProxy(*server.address) as front:
        yield Site(server, front).storage()


@contextmanager
def _libcloud_local() -> Iterator[Storage]:
    from tests.backends.apache_libcloud.server import local_storage  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as directory:
        yield local_storage(Path(directory), file_overwrite=True)


@contextmanager
def _libcloud_s3() -> Iterator[Storage]:
    from storages.backends.apache_libcloud import LibCloudStorage  # noqa: PLC0415
    from tests.backends.apache_libcloud.server import s3_entry  # noqa: PLC0415
    from tests.backends.s3boto3.server import RawBucket  # noqa: PLC0415
    from tests.servers.moto import Moto  # noqa: PLC0415

    with _started(Moto()) as server, RawBucket(server) as raw:
        yield LibCloudStorage(bucket=raw.bucket, file_overwrite=True, **s3_entry(server))


@contextmanager
def _libcloud_azure() -> Iterator[Storage]:
    from storages.backends.apache_libcloud import LibCloudStorage  # noqa: PLC0415
    from tests.backends.apache_libcloud.server import RawContainer, azure_entry  # noqa: PLC0415
    from tests.servers.azurite import Azurite  # noqa: PLC0415

    with _started(Azurite()) as server, RawContainer(server) as raw:
        yield LibCloudStorage(bucket=raw.name, file_overwrite=True, **azure_entry(server))


@contextmanager
def _mogile() -> Iterator[Storage]:
    from tests.backends.mogile.server import storage  # noqa: PLC0415
    from tests.servers.mogilefs import Cluster  # noqa: PLC0415

    with Cluster() as cluster:
        yield storage(cluster, "model", file_overwrite=True)


BACKENDS: dict[str, Callable[[], Any]] = {
    "memory": _memory,
    "overwrite": _local("storages.backends.overwrite.OverwriteStorage"),
    "image": _local("storages.backends.image.ImageStorage"),
    "symlinkorcopy": _local("storages.backends.symlinkorcopy.SymlinkOrCopyStorage"),
    "s3-moto": _s3("moto"),
    "s3-seaweedfs": _s3("seaweedfs"),
    "ftp-pyftpdlib": _ftp,
    "sftp-asyncssh": _sftp,
    "azure-azurite": _azure,
    "couchdb-pouchdb": _couchdb,
    "database-odbc-sqlite": _database("sqlite"),
    "database-odbc-postgresql": _database("postgresql"),
    "database-odbc-mariadb": _database("mariadb"),
    "database-django-sqlite": _database("sqlite", by_django=True),
    "database-django-postgresql": _database("postgresql", by_django=True),
    "dropbox-stub": _dropbox,
    "libcloud-local": _libcloud_local,
    "libcloud-s3-moto": _libcloud_s3,
    "libcloud-azurite": _libcloud_azure,
    "mogile-emulator": _mogile,
}


def main(backend: str, count: int, first: int = 0) -> int:
    """Run programs on a backend; return 1 if one differs."""
    with ExitStack() as stack:
        storage = stack.enter_context(BACKENDS[backend]())
        for seed in range(first, first + count):
            if found := difference(storage, seed):
                print(found)
                return 1
            if (seed + 1) % 10_000 == 0:
                print(f"{seed + 1 - first} programs", flush=True)
    print(f"{backend}: {count} programs from {first}, no difference")
    return 0


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    django.setup()
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
