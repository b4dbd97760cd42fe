"""The program behind `asyncssh_server`: settings as JSON in its only argument."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncssh

from tests.servers.asyncssh_server import AsyncSSH, Quirks


class Door(asyncssh.SSHServer):
    """Let the one user in with the one password; asyncssh itself looks at keys."""

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == (AsyncSSH.user, AsyncSSH.password)


class Files(asyncssh.SFTPServer):
    """Serve a directory, with the quirks asked for."""

    quirks: Quirks
    root: str
    barrier: asyncio.Barrier

    def __init__(self, channel: asyncssh.SSHServerChannel[bytes]) -> None:
        super().__init__(channel, chroot=self.root.encode())
        self.writes = 0

    def map_path(self, path: bytes) -> bytes:
        if self.quirks.denied and self.quirks.denied.encode() in path:
            raise asyncssh.SFTPPermissionDenied("Permission denied")
        return super().map_path(path)

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> Any:
        try:
            return super().open(path, pflags, attrs)
        except FileNotFoundError:
            self._say_it_vaguely()
            raise

    def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> Any:
        try:
            return super().mkdir(path, attrs)
        except FileNotFoundError:
            self._say_it_vaguely()
            raise

    def _say_it_vaguely(self) -> None:
        if self.quirks.vague:
            raise asyncssh.SFTPFailure("Failure") from None

    def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
        if not self.quirks.posix_rename:
            raise asyncssh.SFTPOpUnsupported("Operation not supported")
        return super().posix_rename(oldpath, newpath)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        self._require_free(self.map_path(newpath))
        if self.quirks.looks:
            await self.barrier.wait()
        super().posix_rename(oldpath, newpath)

    def _require_free(self, path: bytes) -> None:
        if os.path.lexists(path):
            raise asyncssh.SFTPFailure("Failure")

    def link(self, oldpath: bytes, newpath: bytes) -> Any:
        if self.quirks.linkless and self.quirks.linkless.encode() in newpath:
            raise asyncssh.SFTPOpUnsupported("Operation not supported")
        return super().link(oldpath, newpath)

    def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> Any:
        self._change(attrs)
        return super().setstat(path, attrs)

    def fsetstat(self, file_obj: object, attrs: asyncssh.SFTPAttrs) -> Any:
        self._change(attrs)
        return super().fsetstat(file_obj, attrs)

    def stat(self, path: bytes) -> Any:
        return self._told(super().stat(path))

    def lstat(self, path: bytes) -> Any:
        return self._told(super().lstat(path))

    def fstat(self, file_obj: object) -> Any:
        if self.quirks.hides == "handles":
            raise asyncssh.SFTPPermissionDenied("Permission denied")
        return self._told(super().fstat(file_obj))

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        async for each in super().scandir(path):
            each.attrs = self._told(each.attrs)
            yield each

    def read(self, file_obj: object, offset: int, size: int) -> Any:
        return super().read(file_obj, offset, (size + 1) // 2 if self.quirks.short else size)

    def write(self, file_obj: object, offset: int, data: bytes) -> Any:
        self.writes += 1
        if len(data) > self.quirks.most or self.writes > self.quirks.writes:
            raise asyncssh.SFTPFailure("Too much for a request, or too many of them")
        left = len(data) if self.quirks.quota is None else max(0, self.quirks.quota - offset)
        if left < len(data) and not self.quirks.lossy:
            raise asyncssh.SFTPFailure("No space left on device")
        super().write(file_obj, offset, data[:left])
        return len(data)

    def _change(self, attrs: asyncssh.SFTPAttrs) -> None:
        if not self.quirks.knows_setstat:
            raise asyncssh.SFTPOpUnsupported("Operation not supported")
        if not self.quirks.setstat:
            raise asyncssh.SFTPPermissionDenied("Permission denied")
        if attrs.mtime is not None:
            attrs.mtime -= self.quirks.clock

    def _told(self, found: Any) -> asyncssh.SFTPAttrs:
        is_native = isinstance(found, os.stat_result)
        attrs = asyncssh.SFTPAttrs.from_local(found) if is_native else found
        if attrs.mtime is not None:
            attrs.mtime += self.quirks.clock
        if attrs.size is not None:
            attrs.size += self.quirks.extra
        if self.quirks.hides == "size":
            attrs.size = None
        if self.quirks.hides == "kind":
            attrs.permissions = stat.S_IMODE(attrs.permissions or 0)
        return attrs


async def serve(settings: dict[str, Any]) -> None:
    """Serve until the process is ended."""
    Files.quirks = Quirks(**settings["quirks"])
    Files.root = settings["root"]
    Files.barrier = asyncio.Barrier(Files.quirks.looks or 1)
    asyncssh.sftp.MAX_SFTP_WRITE_LEN = Files.quirks.most
    await asyncssh.listen(
        settings["host"],
        settings["port"],
        server_factory=Door,
        server_host_keys=settings["host_keys"],
        authorized_client_keys=settings["authorized_keys"],
        sftp_factory=Files,
    )
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
