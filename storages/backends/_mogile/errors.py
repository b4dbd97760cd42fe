"""What a tracker refuses, as errno and advice."""

from __future__ import annotations

import errno

from pymogilefs.exceptions import MogilefsError

_DOMAIN = (
    errno.ENXIO,
    "The tracker does not know the domain: check the option 'domain' (setting MOGILEFS_DOMAIN)",
)
_DAMAGED = (errno.EIO, "The file changed on its way to the storage node, and was not stored")

_ERRORS = {
    "unknown_key": (errno.ENOENT, "No such file"),
    "key_exists": (errno.EEXIST, "The name is taken"),
    "unreg_domain": _DOMAIN,
    "domain_not_found": _DOMAIN,
    "no_domain": _DOMAIN,
    "unknown_command": (errno.ENOSYS, "The tracker is too old: it does not know a command"),
    "unreg_class": (
        errno.EINVAL,
        "The domain has no such class: make it with mogadm, or check 'mogile_class'",
    ),
    "no_devices": (
        errno.ENOSPC,
        "No storage node takes the file: all are full, read-only or down",
    ),
    "plugin_aborted": (errno.EACCES, "A plugin of the tracker refuses the command"),
    "size_mismatch": _DAMAGED,
    "size_verify_error": _DAMAGED,
    "checksum_mismatch": _DAMAGED,
}


def explain(exc: MogilefsError) -> tuple[int, str]:
    """Return errno and text of a tracker's ERR line."""
    known = _ERRORS.get(exc.code)
    return known or (errno.EIO, f"The tracker answers {exc.code!r}")
