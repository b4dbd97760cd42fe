"""A thinned form of `tests.scan`, which resets the connection at every position of an exchange."""

from __future__ import annotations

import pytest

from tests import scan
from tests.servers.asyncssh_server import AsyncSSH
from tests.servers.openssh import OpenSSH
from tests.servers.process import Server
from tests.servers.proftpd import Proftpd, ProftpdSFTP
from tests.servers.pyftpdlib_server import Pyftpdlib
from tests.servers.vsftpd import Vsftpd

NEEDS: dict[str, type[Server]] = {
    "sftp-openssh": OpenSSH,
    "sftp-openssh-plain": OpenSSH,
    "sftp-asyncssh": AsyncSSH,
    "sftp-proftpd": ProftpdSFTP,
    "ftp-pyftpdlib-tls": Pyftpdlib,
    "ftp-vsftpd": Vsftpd,
    "ftp-proftpd": Proftpd,
}
EVERY = 7


@pytest.mark.parametrize("name", NEEDS)
def test_reset_connection_leaves_the_old_file_or_the_new_one(name: str) -> None:
    if reason := NEEDS[name].available():
        pytest.skip(reason)
    with scan.LINES[name]() as line:
        for first, operation in enumerate(scan.OPERATIONS, 1):
            outcome = scan.scan(line, operation, EVERY, first)
            assert outcome.problems == []
            assert outcome.positions > 0


@pytest.mark.parametrize("name", ["sftp-openssh", "ftp-pyftpdlib-tls"])
def test_network_that_goes_dark_at_any_step_ends_the_call(name: str) -> None:
    # From the connecting on: greeting, keys, login, subsystem; TLS, user, features, data.
    if reason := NEEDS[name].available():
        pytest.skip(reason)
    with scan.LINES[name]() as line:
        outcome = scan.scan(line, "list", 2, dark=True)
        assert outcome.problems == []
        assert outcome.failures > 5
