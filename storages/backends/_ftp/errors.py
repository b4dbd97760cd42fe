"""What an FTP server's refusals and lost connections mean, as an errno and what to change."""

# ruff: noqa: S321 - that FTP is not encrypted is told by a system check.

from __future__ import annotations

import errno
import ftplib
import os
import re
import socket
import ssl

from storages.pool import CrowdedError
from storages.utils import shown

# What servers write behind the codes that mean anything; the first that is found holds.
_MEANINGS = tuple(
    (re.compile(pattern, re.IGNORECASE), code)
    for pattern, code in (
        (r"denied|permission|not permitted|forbidden|not allowed|privilege", errno.EACCES),
        (r"no space|disk full|quota|insufficient", errno.ENOSPC),
        (r"not empty", errno.ENOTEMPTY),
        (
            r"no such (?!device|process)|(?<!host )(?<!record )(?<!user )not found|n[o']t exist"
            "|cannot find",
            errno.ENOENT,
        ),
        (r"not a (regular|plain) file|is a directory", errno.EISDIR),
        (r"not a directory", errno.ENOTDIR),
        (r"already|exists", errno.EEXIST),
    )
)
# What the codes alone mean (RFC 959 section 4.2). 550 comes for everything, most often a refusal.
_CODES = {
    "425": errno.ECONNABORTED,
    "426": errno.ECONNABORTED,
    "450": errno.EBUSY,
    "452": errno.ENOSPC,
    "530": errno.EACCES,
    "532": errno.EACCES,
    "550": errno.EACCES,
    "552": errno.ENOSPC,
    "553": errno.EACCES,
}

# Too many connections, said by some as a refused login (ProFTPD's 530); not too many failures.
_FULL = re.compile(
    "(?!.*(fail|attempt|incorrect|invalid)).*(too many|maximum)", re.IGNORECASE | re.DOTALL
)

#: What a server answers that goes on to listen.
REFUSED = (ftplib.error_perm, ftplib.error_temp)
#: Codes of a command that is not there (RFC 959 section 4.2.2).
UNKNOWN = frozenset({"500", "502", "504"})
MISSING = (errno.ENOENT, errno.ENOTDIR)
#: How errors name the option that says where the server is.
PLACE = "'location' (FTP_STORAGE_LOCATION)"


class FTPStorageException(OSError):
    """Raised for what an FTP server refuses, where Python has no class for its errno."""


class Refusal(ftplib.Error):
    """What cannot be done, as an errno; the connection can be used on."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


class UnknownCommand(ftplib.error_perm):
    """The server does not know a command, whatever it said of it before."""


class BrokenTransferError(ConnectionError):
    """Raised where the server closes a data connection that it should read from."""


class ContentError(Exception):
    """Raised where the content of a save cannot be read."""


def told(exc: ftplib.Error) -> int | None:
    """Return the errno that a refusal's text tells, None where it could mean anything."""
    if isinstance(exc, Refusal):
        return exc.code
    code, text = str(exc)[:3], str(exc)[3:]
    if code.startswith("53"):
        return None
    found = next((meaning for words, meaning in _MEANINGS if words.search(text)), None)
    # What may be otherwise in a moment does not tell that a file is missing.
    return None if found in MISSING and code.startswith("4") else found


def errno_of(exc: ftplib.Error) -> int:
    """Return the errno for a refusal: what its text tells, or else its code."""
    return told(exc) or _CODES.get(str(exc)[:3], errno.EIO)


def unwelcome(exc: Exception, code: int, text: str) -> Exception:
    """Return the error for a refusal to sign in, which another time may not be one."""
    said = getattr(exc, "strerror", None) or str(exc)
    if said.startswith("421") or _FULL.match(said):
        return CrowdedError(
            errno.ECONNABORTED,
            f"The FTP server says {shown(said)}: if it limits connections, lower the option "
            "'max_connections' (setting FTP_STORAGE_MAX_CONNECTIONS)",
        )
    return Refusal(code, f"{text}; it says {shown(said)}")


def explain(exc: Exception, server: str) -> tuple[int, str]:
    """Return errno and text for what a connection to a server, ``host:port``, raises."""
    if isinstance(exc, Refusal):
        return exc.code, str(exc)
    if isinstance(exc, ftplib.Error):
        return _explain_reply(exc)
    if isinstance(exc, UnicodeEncodeError):
        return errno.EILSEQ, f"The name has no form in {exc.encoding}: set 'encoding'"
    if isinstance(exc, ssl.SSLCertVerificationError):
        return errno.EPROTO, (
            f"The server's certificate is refused ({exc.verify_message}): mend it, or give "
            "your own authority in 'ssl_context'"
        )
    return _explain_lost(exc, server)


def _explain_reply(exc: ftplib.Error) -> tuple[int, str]:
    code = errno_of(exc)
    return code, f"{os.strerror(code)}; the FTP server says {shown(str(exc))}"


def _explain_lost(exc: Exception, server: str) -> tuple[int, str]:
    if isinstance(exc, ssl.SSLError):
        return (
            errno.EPROTO,
            f"TLS with {server} failed ({exc.reason}): check scheme and port in {PLACE}",
        )
    if isinstance(exc, socket.gaierror):
        return errno.EHOSTUNREACH, f"The host of {server} is not known: check {PLACE}"
    code = getattr(exc, "errno", None)
    if isinstance(exc, TimeoutError) and code is None:
        return errno.ETIMEDOUT, f"{server} did not answer in time: see 'timeout'"
    text = getattr(exc, "strerror", None) or "The connection was lost"
    return code or errno.ECONNRESET, f"{text} ({server})"
