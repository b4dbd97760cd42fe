"""The options of the MogileFS backend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from storages.base import BaseStorage
from storages.options import option, positional

from .connector import split_address

_PRIVATE = ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1", "fc00::/7")


def _check_trackers(value: Sequence[str]) -> None:
    if not value:
        raise ValueError("must name at least one tracker.")
    for each in value:
        split_address(str(each))


def _check_positive(value: float) -> None:
    if value <= 0:
        raise ValueError("must be more than 0.")


def _check_location(value: str) -> None:
    if not value.startswith("/"):
        raise ValueError("must be a location of nginx, such as '/mogilefs-node/'.")


class MogileFSOptions(BaseStorage):
    """The options of `MogileFSStorage`."""

    base_url: str | None = positional(
        "MOGILEFS_MEDIA_URL",
        "MEDIA_URL",
        default=None,
        kw_only=False,
        doc="URL under which `serve_mogilefs_file` serves the files.",
    )
    domain: str = option("MOGILEFS_DOMAIN", required=True, doc="Domain that holds the keys.")
    trackers: Sequence[str] = option(
        "MOGILEFS_TRACKERS",
        required=True,
        check=_check_trackers,
        doc="Addresses of the trackers, such as ``tracker.example.com:7001``.",
    )
    mogile_class: str | None = option(
        doc="Class of new files, which decides on the number of copies; the domain's own if unset."
    )
    timeout: float = option(
        "MOGILEFS_TIMEOUT",
        default=10.0,
        check=_check_positive,
        doc="Seconds to wait for a tracker or a node, at each step.",
    )
    max_connections: int = option(
        "MOGILEFS_MAX_CONNECTIONS",
        default=10,
        check=_check_positive,
        doc="Connections to trackers that one process opens at most; more threads wait.",
    )
    node_hosts: Sequence[str] | None = option(
        "MOGILEFS_NODE_HOSTS",
        doc="Names, addresses and networks (``10.1.0.0/16``) that storage nodes may have; "
        "any if unset.",
    )
    serve_with_perlbal: bool = option(
        "SERVE_WITH_PERLBAL",
        default=False,
        doc="Let the proxy before Django fetch the file: ``X-REPROXY-URL``.",
    )
    accel_redirect: str | None = option(
        "MOGILEFS_ACCEL_REDIRECT",
        check=_check_location,
        doc="Internal location of nginx that fetches the file: ``X-Accel-Redirect``.",
    )
    proxy_hosts: Sequence[str] = option(
        "MOGILEFS_PROXY_HOSTS",
        default=_PRIVATE,
        doc="Addresses and networks of proxies that are told where files are; private ones, "
        "unless set.",
    )
    cache_timeout: int = option(
        "MOGILEFS_CACHE_TIMEOUT",
        default=10,
        doc="Seconds for which the view keeps in mind where a file is; 0 for not at all.",
    )

    def contradictions(self) -> Iterator[str]:
        """Yield a sentence for each pair of options that cannot both hold."""
        yield from super().contradictions()
        if self.serve_with_perlbal and self.accel_redirect:
            yield (
                "The options 'serve_with_perlbal' (setting SERVE_WITH_PERLBAL) and "
                "'accel_redirect' (setting MOGILEFS_ACCEL_REDIRECT) are for one proxy each: "
                "set one of them."
            )

    def insecurities(self) -> Iterator[str]:
        """Yield what lets a tracker send this process anywhere."""
        yield from super().insecurities()
        if self.node_hosts is None:
            yield (
                "any host that a tracker names is sent requests, and files: name those of the "
                "storage nodes in 'node_hosts' (MOGILEFS_NODE_HOSTS)."
            )
