"""The URLs of copies on storage nodes, which a tracker tells and nobody vouches for."""

from __future__ import annotations

import errno
import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

#: Names and addresses of hosts, and networks; None for any.
Hosts = tuple[str, ...] | None

_FID = re.compile(r"/0*(\d+)\.fid$")
_PLAIN = re.compile(r"[!-~]+")  # visible ASCII, no space


def usable(urls: Iterable[str], hosts: Hosts) -> list[str]:
    """Return the URLs that may be asked; raises OSError if there are others only."""
    told = list(urls)
    found = [each for each in told if _is_usable(each, hosts)]
    if told and not found:
        raise OSError(
            errno.EPERM,
            "The tracker tells no http:// URL of a host that may be asked: check the option "
            "'node_hosts' (setting MOGILEFS_NODE_HOSTS)",
        )
    return found


def fid_of(url: str) -> str | None:
    """Return the number of the file that a URL is about, None where it does not tell."""
    found = _FID.search(url)
    return found[1] if found else None


def is_among(host: str, hosts: Iterable[str]) -> bool:
    """Return True if a host is one of those named, or its address in one of the networks."""
    try:
        told = ipaddress.ip_address(host)
    except ValueError:
        return host in hosts
    address = getattr(told, "ipv4_mapped", None) or told
    return any(address in network for network in map(_network, hosts) if network is not None)


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None


def _is_usable(url: str, hosts: Hosts) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    plain = parts.scheme == "http" and _PLAIN.fullmatch(url) and "@" not in parts.netloc
    return bool(plain and host) and (hosts is None or is_among(str(host), hosts))
