"""SFTP by asyncssh (PyPI `asyncssh`): password login, and refusals to order."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path

from tests.servers.process import HOST
from tests.servers.ssh import SSHServer

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Quirks:
    """What the server is to do otherwise than a good one."""

    posix_rename: bool = True  # False: the extension is not there
    linkless: str = ""  # where names with this in them are, there are no hard links
    setstat: bool = True  # False: changes of mode, owner and times are refused
    knows_setstat: bool = True  # False: it has no such thing
    quota: int | None = None  # bytes a file may have; writing more fails
    most: int = 4 * 1024 * 1024  # bytes that a request to write may have, as it says
    writes: int = 1_000_000  # such requests that a session may have
    lossy: bool = False  # writing beyond `quota` succeeds, and the bytes are lost
    denied: str = ""  # names with this in them are refused
    hides: str = ""  # "size", "kind" or "handles": of what it tells nothing
    vague: bool = False  # it says "failure" where a directory is missing
    short: bool = False  # reads bring half of what was asked for
    extra: int = 0  # bytes that it tells too much of each file's size
    looks: int = 0  # so many clients look whether a name is free before one of them takes it
    clock: int = 0  # seconds by which it is fast


class AsyncSSH(SSHServer):
    """Serve `root` as / to the user `test` with the password `test` or a key file in `keys`."""

    name = "asyncssh"
    user = "test"
    password = "test"

    def __init__(self, quirks: Quirks | None = None) -> None:
        super().__init__()
        self.quirks = quirks or Quirks()

    @classmethod
    def available(cls) -> str | None:
        return None if find_spec("asyncssh") else "asyncssh is not installed (pip install asyncssh)"

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(PROJECT)}

    def command(self) -> list[str]:
        settings = {
            "host": HOST,
            "port": self.port,
            "root": str(self.root),
            "host_keys": [str(key) for key in self.keys.host_keys],
            "authorized_keys": str(self.keys.authorized_keys),
            "quirks": asdict(self.quirks),
        }
        return [sys.executable, "-m", "tests.servers.asyncssh_main", json.dumps(settings)]
