"""What a storage does on an SFTP server: open, send, rename, remove and list."""

from __future__ import annotations

import errno
import struct
from contextlib import suppress

from paramiko import sftp

from storages.driver import Source

from .directories import Directories
from .messages import NOTHING, REFUSALS, Attributes, text

# Bytes of content in a request: every server takes 32 KiB, and with what stands before the content
# it has to fit in one packet of SSH, or the rest costs another.
REQUEST_SIZE = 32 * 1024 - 256
LARGE = 8 * REQUEST_SIZE  # bytes of content in one to a server that says it takes so many
WINDOW = 64  # requests on their way
CREATE_NEW = sftp.SFTP_FLAG_WRITE | sftp.SFTP_FLAG_CREATE | sftp.SFTP_FLAG_EXCL


class Session(Directories):
    """One conversation with a server; for one thread at a time.

    Paths are absolute or relative to the login directory. Raises OSError with an errno for what
    the server refuses, `LostError` where the connection broke, TimeoutError where it is silent.
    """

    refusals = REFUSALS

    # -- files ------------------------------------------------------------------------------------

    def open(self, path: str, flags: int, attributes: Attributes = NOTHING) -> bytes:
        """Open a file and return its handle."""
        return self.call(
            sftp.CMD_OPEN, text(path), struct.pack(">I", flags), attributes.pack()
        ).text()

    def fstat(self, handle: bytes, path: str) -> Attributes:
        """Describe an open file, by its path where the server tells nothing of handles."""
        try:
            return self.call(sftp.CMD_FSTAT, text(handle)).attributes()
        except REFUSALS:
            return self.lookup(path)

    def lookup(self, path: str) -> Attributes:
        """Describe what a path leads to, the link itself where that is nothing."""
        found = self.call(sftp.CMD_LSTAT, text(path)).attributes()
        if found.is_link:
            with suppress(FileNotFoundError):
                found = self.call(sftp.CMD_STAT, text(path)).attributes()
        return found if found.has_kind else found.of_kind(is_directory=self._can_list(path))

    def _can_list(self, path: str) -> bool:
        try:
            self.scan(path, 1)
        except REFUSALS:
            return False
        return True

    def measured(self, path: str) -> Attributes:
        """Describe a file with its size, by reading it where the server tells none."""
        found = self.lookup(path)
        if found.size is not None or found.is_directory or found.is_link:
            return found
        handle = self.open(path, sftp.SFTP_FLAG_READ)
        try:
            return found._replace(size=self._count(handle))
        finally:
            self.close(handle)

    def _count(self, handle: bytes) -> int:
        position = 0
        while True:
            place = struct.pack(">QI", position, REQUEST_SIZE)
            self.ask(sftp.CMD_READ, text(handle), place)
            reply = self.reply()
            if reply.is_end or not (data := reply.checked().text()):
                return position
            position += len(data)

    def upload(
        self, handle: bytes, source: Source, attributes: Attributes, path: str
    ) -> Attributes:
        """Send all content, set owner and mode, close the handle; return what is there then.

        The server handles requests for one file in their order, so only the end is waited for.
        """
        opened = text(handle)
        try:
            self._send_content(opened, source)
            if attributes != NOTHING:
                self.ask(sftp.CMD_FSETSTAT, opened, attributes.pack())
            number = self.ask(sftp.CMD_FSTAT, opened)
            self.ask(sftp.CMD_CLOSE, opened)
            found = self._checked_replies(number)
        except BaseException:
            with suppress(OSError):
                self.drain()
                self.close(handle)
            raise
        # Some, such as rclone's, tell the size before they have written all.
        return found if found.size == source.tell() else self.measured(path)

    def _send_content(self, opened: bytes, source: Source) -> None:
        position = 0
        size = self._request_size() if source.size > LARGE else REQUEST_SIZE
        most = WINDOW * REQUEST_SIZE // size
        while data := source.read(size):
            place = struct.pack(">QI", position, len(data))
            self.ask(sftp.CMD_WRITE, opened, place, data)
            self.flush()
            position += len(data)
            while len(self.pending) >= most:
                self.reply().checked()

    def _request_size(self) -> int:
        """Return how much content the server takes in a request, asked once for each server.

        Fewer requests have fewer answers, which cost as much as they do.
        """
        extension, size = "limits@openssh.com", REQUEST_SIZE
        if extension in self.extensions and "request size" not in self.traits:
            with suppress(*REFUSALS):
                reply = self.call(sftp.CMD_EXTENDED, text(extension))
                _, _, told = (reply.integer(8) for _ in range(3))
                # 0 is no limit.
                size = max(size, min(LARGE, told or LARGE))
            self.traits["request size"] = size
        return int(self.traits.get("request size", size))

    def _checked_replies(self, number: int) -> Attributes:
        found = Attributes()
        while self.pending:
            reply = self.reply()
            if reply.number != number:
                reply.checked()
            elif reply.kind == sftp.CMD_ATTRS:
                # What is refused here is asked for by the path.
                found = reply.attributes()
        return found

    def remove_file(self, path: str) -> None:
        """Remove a file or a link."""
        self.call(sftp.CMD_REMOVE, text(path))

    def move(self, path: str, target: str) -> None:
        """Give a file another name, which must be free."""
        self.call(sftp.CMD_RENAME, text(path), text(target))

    def link(self, path: str, target: str) -> None:
        """Give a file a second name, which must be free."""
        self.call(sftp.CMD_EXTENDED, text("hardlink@openssh.com"), text(path), text(target))

    def is_there(self, path: str) -> bool:
        """Return True if anything has a path."""
        try:
            self.lookup(path)
        except FileNotFoundError:
            return False
        return True

    def find_file(self, path: str) -> bool:
        """Return True if a file has a path, False if nothing has; raises for a directory."""
        try:
            found = self.lookup(path)
        except FileNotFoundError:
            return False
        if found.is_directory:
            raise IsADirectoryError(errno.EISDIR, "Is a directory")
        return True

    def replace(self, path: str, target: str) -> bool:
        """Rename as POSIX does; return False if the server cannot do that at all."""
        extension = "posix-rename@openssh.com"
        if extension not in self.extensions:
            return False
        try:
            self.call(sftp.CMD_EXTENDED, text(extension), text(path), text(target))
        except OSError as exc:
            if exc.errno != errno.EOPNOTSUPP:
                raise
            return False
        return True

    def is_full(self, path: str) -> bool:
        """Return True if the disk of a path is known to have no room for another request."""
        if "statvfs@openssh.com" not in self.extensions:
            return False
        reply = self.call(sftp.CMD_EXTENDED, text("statvfs@openssh.com"), text(path))
        _, unit, _, _, available = (reply.integer(8) for _ in range(5))
        return unit * available < REQUEST_SIZE

    def set_attributes(self, path: str, attributes: Attributes) -> None:
        """Set owner, times and mode, which the server's umask does not touch."""
        self.call(sftp.CMD_SETSTAT, text(path), attributes.pack())
