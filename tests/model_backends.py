"""The configurations that programs of `tests.model` run on, each on a server of its own."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from django.core.files.storage import Storage


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


def _s3(server: str, **options: Any) -> Callable[[], Any]:
    @contextmanager
    def make() -> Iterator[Storage]:
        from storages.backends.s3boto3 import S3Boto3Storage  # noqa: PLC0415
        from tests.backends.s3boto3.server import RawBucket, account  # noqa: PLC0415
        from tests.servers.moto import Moto  # noqa: PLC0415
        from tests.servers.seaweedfs import SeaweedFS  # noqa: PLC0415

        kinds = {"moto": Moto, "seaweedfs": SeaweedFS}
        with _started(kinds[server]()) as running, RawBucket(running) as raw:
            yield S3Boto3Storage(bucket_name=raw.bucket, **account(running), **options)

    return make


def _ftp(kind: str) -> Callable[[], Any]:
    @contextmanager
    def make() -> Iterator[Storage]:
        from storages.backends.ftp import FTPStorage  # noqa: PLC0415
        from tests.backends.ftp.server import location  # noqa: PLC0415
        from tests.servers.pyftpdlib_server import Pyftpdlib  # noqa: PLC0415
        from tests.servers.vsftpd import Vsftpd  # noqa: PLC0415

        kinds = {"pyftpdlib": Pyftpdlib, "vsftpd": Vsftpd}
        with (
            _started(kinds[kind]()) as server,
            FTPStorage(location(server, "model"), file_overwrite=True) as found,
        ):
            yield found

    return make


def _sftp(kind: str) -> Callable[[], Any]:
    @contextmanager
    def make() -> Iterator[Storage]:
        from storages.backends.sftpstorage import SFTPStorage  # noqa: PLC0415
        from tests.backends.sftpstorage.server import options  # noqa: PLC0415
        from tests.servers.asyncssh_server import AsyncSSH  # noqa: PLC0415
        from tests.servers.openssh import OpenSSH  # noqa: PLC0415

        kinds = {"asyncssh": AsyncSSH, "openssh": OpenSSH}
        with _started(kinds[kind]()) as server:
            root = str(server.root / "model") if kind == "openssh" else "model"
            with SFTPStorage(**options(server), root_path=root, file_overwrite=True) as found:
                yield found

    return make


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
    "s3-moto-gzip": _s3("moto", gzip=True),
    "s3-seaweedfs": _s3("seaweedfs"),
    "ftp-pyftpdlib": _ftp("pyftpdlib"),
    "ftp-vsftpd": _ftp("vsftpd"),
    "sftp-asyncssh": _sftp("asyncssh"),
    "sftp-openssh": _sftp("openssh"),
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
