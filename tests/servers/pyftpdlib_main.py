"""The program behind `pyftpdlib_server`: settings as JSON in its only argument."""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from typing import IO, Any

from pyftpdlib.authorizers import DummyAuthorizer  # type: ignore[import-untyped]
from pyftpdlib.filesystems import AbstractedFS  # type: ignore[import-untyped]
from pyftpdlib.handlers import FTPHandler, TLS_FTPHandler  # type: ignore[import-untyped]
from pyftpdlib.servers import FTPServer  # type: ignore[import-untyped]

from tests.servers.pyftpdlib_server import Pyftpdlib, Quirks

CONNECTIONS = 512


class Dated:
    """A file being written, whose time will be that of another clock."""

    def __init__(self, file: IO[bytes], clock: float) -> None:
        self._file = file
        self._clock = clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        """Close the file and date it."""
        self._file.close()
        os.utime(self._file.name, (time.time() + self._clock,) * 2)


class Odd:
    """Handle commands with the quirks asked for."""

    quirks: Quirks

    def process_command(self, cmd: str, *args: Any, **kwargs: Any) -> None:
        """Obey, or give the reply asked for instead."""
        reply = self.quirks.replies.get(cmd)
        if reply is None:
            super().process_command(cmd, *args, **kwargs)  # type: ignore[misc]
            return
        self.respond(reply)
        if reply.startswith("421"):
            self.close_when_done()  # type: ignore[attr-defined]

    def respond(self, resp: str, *args: Any, **kwargs: Any) -> None:
        """Reply; tell another port for data than the true one where one is asked for."""
        port = self.quirks.told_port
        if port is not None and resp.startswith("229"):
            resp = f"229 Entering extended passive mode (|||{port}|)."
        elif port is not None and resp.startswith("227"):
            numbers = resp[resp.index("(") + 1 : resp.index(")")].split(",")
            told = ",".join([*numbers[:4], str(port // 256), str(port % 256)])
            resp = f"227 Entering passive mode ({told})."
        super().respond(resp, *args, **kwargs)  # type: ignore[misc]


class Plain(Odd, FTPHandler):  # type: ignore[misc]
    """Speak FTP."""


class Explicit(Odd, TLS_FTPHandler):  # type: ignore[misc]
    """Speak FTP after AUTH TLS."""


class Implicit(Explicit):
    """Speak FTP after a handshake."""

    def handle(self) -> None:
        """Begin with the handshake."""
        self.secure_connection(self.ssl_context)

    def handle_ssl_established(self) -> None:
        """Greet, as others do at once."""
        super().handle()


HANDLERS: dict[str, Any] = {"": Plain, "explicit": Explicit, "implicit": Implicit}


def dated(clock: float) -> Any:
    """Return a way to open files that dates those that are written."""

    def opened(self: Any, path: str, mode: str) -> Any:
        file = AbstractedFS.open(self, path, mode)
        return file if "r" in mode else Dated(file, clock)

    return opened


def handler(settings: dict[str, Any]) -> Any:
    """Return the handler class for the settings."""
    quirks = Quirks(**settings["quirks"])
    attributes: dict[str, Any] = {"quirks": quirks, "timeout": quirks.idle_limit}
    base = HANDLERS[settings["tls"]]
    known = base.proto_cmds.items()
    attributes["proto_cmds"] = {name: use for name, use in known if name not in quirks.without}
    attributes["encoding"] = "utf8" if quirks.utf8 else "latin-1"
    attributes["masquerade_address"] = quirks.told_host or None
    if quirks.clock:
        attributes["abstracted_fs"] = type("Files", (AbstractedFS,), {"open": dated(quirks.clock)})
    if quirks.data_port is not None:
        attributes["passive_ports"] = [quirks.data_port]
    if settings["data_ports"]:
        first, last = settings["data_ports"]
        attributes["passive_ports"] = range(first, last + 1)
    attributes["auth_failed_timeout"] = 0
    attributes["authorizer"] = DummyAuthorizer()
    attributes["authorizer"].add_user(
        Pyftpdlib.user, Pyftpdlib.password, settings["root"], perm="elradfmwMT"
    )
    if settings["tls"]:
        attributes |= {name: settings[name] for name in ("certfile", "keyfile")}
        attributes |= {"tls_control_required": True, "tls_data_required": True}
    return type("Handler", (base,), attributes)


def serve(settings: dict[str, Any]) -> None:
    """Serve until the process is ended."""
    quota = settings["quirks"]["quota"]
    # The log is a file too.
    logging.basicConfig(level=logging.INFO if quota is None else logging.CRITICAL)
    server = FTPServer((settings["host"], settings["port"]), handler(settings))
    server.max_cons = CONNECTIONS
    if quota is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (quota, quota))
    server.serve_forever()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
