"""A misbehaving FTP server of our own: files in memory, and replies, data and ends to order."""

from __future__ import annotations

import socket
import socketserver
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from tests.servers.process import HOST

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

REPLIES = {
    "USER": "331 Password?",
    "PASS": "230 Welcome.",
    "FEAT": "211-Features:\r\n SIZE\r\n UTF8\r\n211 End",
    "OPTS": "200 Yes.",
    "TYPE": "200 Yes.",
    "NOOP": "200 Yes.",
    "PWD": '257 "/home" is it.',
    "QUIT": "221 Goodbye.",
}
MISSING = "550 Not here."


class ScriptedFTP(socketserver.ThreadingTCPServer):
    """Serve FTP without MLSD; use it in a `with` block.

    ``replies`` go out instead of obeying, by command; ``data`` is what a command sends; ``finals``
    are the replies after data, None for hanging up; ``hang_ups`` are commands obeyed once without
    a reply.
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(
        self,
        replies: Mapping[str, str] | None = None,
        data: Mapping[str, bytes | Iterable[bytes]] | None = None,
        finals: Mapping[str, str | None] | None = None,
        hang_ups: set[str] | None = None,
        replaces: bool = True,
        ready: str = "350",
        silent: Container[str] = (),
        source: str = HOST,
    ) -> None:
        super().__init__((HOST, 0), _Session)
        self.replies = {**REPLIES, **(replies or {})}
        self.data = data or {}
        self.finals = finals or {}
        self.hang_ups = hang_ups or set()
        self.replaces = replaces  # whether a rename replaces its target
        self.ready = ready  # code of the reply to RNFR
        self.silent = silent  # commands that are never answered
        self.source = source  # address from which it opens data connections in active mode
        self.files: dict[str, bytes] = {}
        self.directories = {"/", "/home"}
        self.commands: list[str] = []

    @property
    def location(self) -> str:
        """Return the location of the directory /home."""
        return f"ftp://user:secret@{HOST}:{self.server_address[1]}/home"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.shutdown()
        self.server_close()


class _Session(socketserver.StreamRequestHandler):
    server: ScriptedFTP
    passive: socket.socket | None = None
    active = ("", 0)
    old_name = ""
    working = "/"
    start = 0

    def handle(self) -> None:
        self.say("220 Ready.")
        with suppress(OSError):
            while line := self.rfile.readline().decode().strip("\r\n"):
                self.server.commands.append(line)
                verb, _, argument = line.partition(" ")
                reply = self.server.replies.get(verb)
                if verb in self.server.silent:
                    continue
                if reply is None:
                    reply = self.obey(verb, argument)
                elif verb in {"LIST", "RETR", "STOR"} and self.passive is not None:
                    self.passive.close()
                if verb in self.server.hang_ups:
                    self.server.hang_ups.discard(verb)
                    return
                if reply is None:
                    return
                self.say(reply)

    def finish(self) -> None:
        super().finish()
        if self.passive is not None:
            self.passive.close()

    def say(self, reply: str) -> None:
        self.wfile.write(f"{reply}\r\n".encode())

    def obey(self, verb: str, argument: str) -> str | None:
        method = getattr(self, verb.lower(), None)
        if verb in self.server.data:
            return self.give(verb, self.server.data[verb])
        return "500 What?" if method is None else method(argument)

    def give(self, verb: str, content: bytes | Iterable[bytes]) -> str | None:
        self.say("150 Here it comes.")
        with self.data_connection() as connection, suppress(ConnectionError):
            for piece in [content] if isinstance(content, bytes) else content:
                connection.sendall(piece)
        return self.server.finals.get(verb, "226 Done.")

    def listen(self) -> int:
        if self.passive is not None:
            self.passive.close()
        self.passive = socket.create_server((HOST, 0))
        port: int = self.passive.getsockname()[1]
        return port

    def pasv(self, _: str) -> str:
        port = self.listen()
        return f"227 There (192,0,2,1,{port // 256},{port % 256})."

    def port(self, numbers: str) -> str:
        *host, high, low = numbers.split(",")
        self.active = ".".join(host), 256 * int(high) + int(low)
        return "200 Yes."

    def data_connection(self) -> socket.socket:
        if self.passive is None:
            return socket.create_connection(self.active, source_address=(self.server.source, 0))
        with self.passive:
            return self.passive.accept()[0]

    def epsv(self, _: str) -> str:
        return f"229 There (|||{self.listen()}|)."

    def stor(self, path: str) -> str | None:
        if path.rpartition("/")[0] not in self.server.directories:
            if self.passive is not None:
                self.passive.close()
            return MISSING
        self.say("150 Go on.")
        with self.data_connection() as connection, connection.makefile("rb") as file:
            self.server.files[path] = file.read()
        return self.server.finals.get("STOR", "226 Done.")

    def rest(self, position: str) -> str:
        self.start = int(position)
        return "350 From there."

    def retr(self, path: str) -> str | None:
        start, self.start = self.start, 0
        return self.give("RETR", self.server.files[path][start:])

    def size(self, path: str) -> str:
        content = self.server.files.get(path)
        return MISSING if content is None else f"213 {len(content)}"

    def mdtm(self, path: str) -> str:
        return "213 20200102030405" if path in self.server.files else MISSING

    def cwd(self, path: str) -> str:
        if (path.rstrip("/") or "/") not in self.server.directories:
            return MISSING
        self.working = path
        return "250 There."

    def list(self, argument: str) -> str | None:
        directory = (argument.removeprefix("-a").strip() or self.working).rstrip("/")
        lines = [
            f"{mode} 1 ftp ftp {len(self.server.files.get(path, b''))} Jan  2  2020 {name}\r\n"
            for mode, paths in (
                ("-rw-r--r--", self.server.files),
                ("drwxr-xr-x", self.server.directories),
            )
            for parent, _, name in (path.rpartition("/") for path in paths)
            for path in (f"{parent}/{name}",)
            if parent == directory and name
        ]
        if (directory or "/") in self.server.directories:
            lines.append("drwxr-xr-x 1 ftp ftp 0 Jan  2  2020 .\r\n")
        return self.give("LIST", "".join(lines).encode())

    def rnfr(self, path: str) -> str:
        self.old_name = path
        return f"{self.server.ready} To what?" if path in self.server.files else MISSING

    def rnto(self, path: str) -> str:
        if not self.server.replaces and path in self.server.files:
            return "550 Cannot create a file when that file already exists."
        self.server.files[path] = self.server.files.pop(self.old_name)
        return "250 Done."

    def dele(self, path: str) -> str:
        return "250 Gone." if self.server.files.pop(path, None) is not None else MISSING

    def mkd(self, path: str) -> str:
        taken = {*self.server.directories, *self.server.files}
        if path in taken or path.rpartition("/")[0] not in taken:
            return "550 No."
        self.server.directories.add(path)
        return f'257 "{path}" made.'

    def rmd(self, path: str) -> str:
        self.server.directories.discard(path)
        return "250 Gone."
