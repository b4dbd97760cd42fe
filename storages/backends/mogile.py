"""Files in a MogileFS cluster: names from its trackers, bytes from its storage nodes."""

from __future__ import annotations

import errno
import hashlib
import posixpath
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

from django.core.cache import cache
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages as configured
from django.http import HttpRequest, HttpResponseBase

from storages.base import Name
from storages.driver import Entry, Source
from storages.driver import Listed as ListedName
from storages.options import derived
from storages.pool import Pool, shared
from storages.temporaries import is_due, is_temporary, refused
from storages.utils import RefusedName, sdk_missing, shown
from storages.views import serve

try:
    import requests  # noqa: F401
    from pymogilefs.exceptions import MogilefsError
except ImportError as exc:
    raise sdk_missing("mogile", exc) from exc

from storages.http import TRANSPORT_ERRORS, explain_transport

from ._mogile.connector import Connector, Tracker
from ._mogile.downloads import Copies, Download, described, locate, open_copy
from ._mogile.errors import explain
from ._mogile.listings import Listed, keys
from ._mogile.options import MogileFSOptions
from ._mogile.session import Cluster, to_nodes
from ._mogile.uploads import Upload, sweep, temporary_key
from ._mogile.urls import is_among

IDLE_TIMEOUT = 60.0  # seconds until a connection to a tracker that nobody uses is closed
LONGEST_KEY = 255  # bytes; a tracker's database may cut off what is longer
_LOOKS = 3  # at a file whose copies vanish while it is opened, because it was replaced


class MogileFSStorage(MogileFSOptions):
    """Keeps files in one domain of a MogileFS cluster.

    A subclass may set `mogile_class`, on which the number of copies depends.
    """

    unasked_size = 256 * 1024
    sdk_errors = (MogilefsError, *TRANSPORT_ERRORS)

    # -- connections ------------------------------------------------------------------------------

    @derived
    def _pool(self) -> Pool[Tracker]:
        return shared(
            Connector(tuple(self.trackers), self.timeout),
            limit=self.max_connections,
            idle_timeout=IDLE_TIMEOUT,
            wait_timeout=self.timeout,
        )

    @property
    def _cluster(self) -> Cluster:
        hosts = None if self.node_hosts is None else tuple(self.node_hosts)
        http = to_nodes()
        return Cluster(self._pool, http, self.domain, hosts, self.timeout)

    def close(self) -> None:
        """Close idle connections of this storage and of those with equal options."""
        self._pool.close()
        to_nodes().close()

    def key(self, name: Name, *, root: bool = False) -> str:
        """Return the key of a name; raises RefusedName for one too long, or a temporary one."""
        key = refused(super().key(name, root=root))
        if len(key.encode()) > LONGEST_KEY:
            raise RefusedName(
                f"The name {shown(name)} makes a key of more than {LONGEST_KEY} bytes: shorten it."
            )
        return key

    def _explain(self, exc: Exception) -> tuple[int, str]:
        if isinstance(exc, MogilefsError):
            return explain(exc)
        if isinstance(exc, TRANSPORT_ERRORS) and not isinstance(exc, OSError):
            return explain_transport(exc, "A storage node")
        return super()._explain(exc)

    def places(self, name: Name) -> tuple[list[str], int]:
        """Return the URLs of a file's copies on storage nodes, the best first, and its size.

        They are remembered for ``cache_timeout`` seconds, in Django's cache.
        """
        key = self.key(name)
        place = repr((tuple(self.trackers), self.domain, key))
        remembered = f"storages.mogile.{hashlib.sha256(place.encode()).hexdigest()}"
        found: tuple[list[str], int] | None = cache.get(remembered) if self.cache_timeout else None
        if found is None:
            with self._errors(str(name)):
                copies = locate(self._cluster, key)
            found = copies.urls, copies.size
            if self.cache_timeout:
                cache.set(remembered, found, self.cache_timeout)
        return found

    def proxied(self, name: Name, peer: str) -> dict[str, str]:
        """Return headers that tell a proxy of ours where a file is, as the options say."""
        is_wanted = self.serve_with_perlbal or self.accel_redirect
        # A socket of this machine has no address.
        if not is_wanted or (peer and not is_among(peer, self.proxy_hosts)):
            return {}
        urls, size = self.places(name)
        if not urls:
            return {}
        if self.serve_with_perlbal:
            return {"X-REPROXY-URL": " ".join(urls), "X-REPROXY-EXPECTED-SIZE": str(size)}
        place = f"{self.accel_redirect}".rstrip("/")
        return {"X-Accel-Redirect": f"{place}/{urls[0].removeprefix('http://')}"}

    # -- primitives -------------------------------------------------------------------------------

    def _stat(self, key: str) -> Entry:
        cluster = self._cluster
        try:
            return described(cluster.ask("file_info", key=key))
        except MogilefsError as exc:
            if exc.code != "unknown_key" or not any(keys(cluster, f"{key}/")):
                raise
        return Entry(0, is_directory=True)

    def _open_stream(self, key: str) -> tuple[Entry, Download | None]:
        cluster = self._cluster
        copies = locate(cluster, key)
        for _ in range(_LOOKS):
            try:
                return copies, open_copy(cluster, copies, 0) if copies.size else None
            except OSError:
                before, copies = copies, locate(cluster, key)
                if copies.etag == before.etag:
                    raise
        raise OSError(errno.ESTALE, "The file was replaced again and again while it was opened")

    def _read(self, key: str, start: int, entry: Entry) -> Download:
        return self._read_range(key, start, None, entry)

    def _read_part(self, key: str, start: int, stop: int, entry: Entry) -> Download:
        return self._read_range(key, start, stop, entry)

    def _read_range(self, key: str, start: int, stop: int | None, entry: Entry) -> Download:
        cluster = self._cluster
        known = entry if isinstance(entry, Copies) else None
        if known is not None:
            with suppress(OSError):
                return open_copy(cluster, known, start, stop)
        now = locate(cluster, key)
        if now.etag != entry.etag:
            raise OSError(errno.ESTALE, "The file was replaced while it was read")
        return open_copy(cluster, now, start, stop)

    def _write(
        self, key: str, source: Source, *, overwrite: bool, expected: Entry | None = None
    ) -> None:
        cluster = self._cluster
        temporary = None if overwrite else temporary_key()
        upload = Upload(cluster, source, self.mogile_class)
        try:
            upload.send(temporary or key)
            self._require_unchanged(key, expected)
            upload.publish(key, temporary)
        except BaseException:
            upload.discard(temporary)
            raise
        if temporary is not None and is_due((tuple(self.trackers), self.domain)):
            with suppress(OSError, MogilefsError):
                sweep(cluster)

    def _remove(self, key: str) -> None:
        self._cluster.ask("delete", key=key)

    def _list(self, key: str) -> Iterator[ListedName]:
        for name, entry in self._walk(key):
            first, slash, _ = name.partition("/")
            yield first, Entry(0, is_directory=True) if slash else entry

    def _walk(self, key: str) -> Iterator[tuple[str, Entry]]:
        prefix = f"{key}/" if key else ""
        for each in keys(self._cluster, prefix):
            if not is_temporary(posixpath.basename(each)):
                yield each.removeprefix(prefix), Listed(partial(self._size, each))

    def _size(self, key: str) -> int:
        name = key.removeprefix(self.key("", root=True)).lstrip("/")
        # Nothing is left of what others removed since it was listed.
        with suppress(FileNotFoundError), self._errors(name):
            return self._stat(key).size
        return 0


def serve_mogilefs_file(
    request: HttpRequest, key: str, storage: str | MogileFSStorage | None = None
) -> HttpResponseBase:
    """Serve a file as `storages.views.serve` does; its own part is to find the storage.

    ``storage`` is one, or an alias of ``STORAGES``; without it that is the default storage if it is
    on MogileFS, else one that the settings describe. It asks nobody whether the file may be seen:
    wrap it in what does.
    """
    return serve(request, key, _chosen(storage))


def _chosen(storage: str | MogileFSStorage | None) -> MogileFSStorage:
    if isinstance(storage, MogileFSStorage):
        return storage
    found = configured[storage or "default"]
    if isinstance(found, MogileFSStorage):
        return found
    if storage is None:
        return MogileFSStorage()
    raise ImproperlyConfigured(f"The storage {storage!r} is not on MogileFS.")
