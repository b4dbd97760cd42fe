"""The options of the Libcloud backend: those of an entry of ``LIBCLOUD_PROVIDERS``, and a few more.

An entry's ``key`` cannot be an attribute of a storage, whose method has that name: here it is
``secret``. Keywords that only some drivers have are gathered in ``option``.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import libcloud.security

from storages.base import BaseStorage
from storages.options import UNSET, option, positional
from storages.utils import is_loopback

from . import providers
from .entries import RENAMED, EntryOption, of_entry
from .urls import check_expire


def _check_bucket(name: str) -> None:
    if not name or name in {".", ".."} or "/" in name or "\\" in name:
        raise ValueError("must be the name of one container, without slashes")


def _check_host(name: str) -> None:
    if "/" in name or "@" in name or (":" in name and not name.startswith("[")):
        raise ValueError(
            "must be a host name alone: 'port' and 'secure' say the port, and whether to use TLS"
        )


def _check_port(port: int | str) -> None:
    if not (str(port).isdecimal() and 0 < int(port) < 1 << 16):
        raise ValueError("must be a number from 1 to 65535")


def _check_positive(number: float) -> None:
    if isinstance(number, bool) or number <= 0:
        raise ValueError("must be more than 0")


def _without_secrets(keywords: Mapping[str, Any]) -> Any:
    safe = {name: value for name, value in keywords.items() if not providers.is_secret(name)}
    return keywords if len(safe) == len(keywords) else safe or UNSET


def _without_entries_secrets(entries: Mapping[str, Any]) -> Any:
    safe = {
        name: _without_secrets(entry)
        for name, entry in entries.items()
        if isinstance(entry, Mapping)
    }
    return {name: entry for name, entry in safe.items() if entry is not UNSET}


class LibCloudOptions(BaseStorage):
    """The options of `LibCloudStorage`."""

    provider_name: str = positional(
        "DEFAULT_LIBCLOUD_PROVIDER",
        default="default",
        kw_only=False,
        doc="Which entry of ``LIBCLOUD_PROVIDERS`` is used.",
    )
    file_overwrite: bool = option(
        default=True, doc="Save over a file of the same name; False finds a free name instead."
    )
    type: str = of_entry(
        required=True,
        check=providers.check_type,
        doc="``libcloud.storage.types.Provider.NAME``: the driver.",
    )
    user: str = of_entry(
        required=True,
        doc="Access key, account or user name; for LOCAL the directory that holds the containers.",
    )
    secret: str | None = of_entry(
        secret=True, doc="The secret that belongs to ``user``; given as ``key``."
    )
    bucket: str = of_entry(
        required=True, check=_check_bucket, doc="Container that holds the files; it has to exist."
    )
    region: str | None = of_entry(doc="Region, for drivers that have several.")
    project: str | None = of_entry(doc="Project, for GOOGLE_STORAGE.")
    host: str | None = of_entry(check=_check_host, doc="Host name of the service.")
    port: int | str | None = of_entry(check=_check_port, doc="Port of the service.")
    secure: bool = of_entry(default=True, doc="Use TLS.")
    timeout: float = of_entry(
        default=60.0,
        check=_check_positive,
        doc="Seconds to wait for a connection, and for each piece of an answer.",
    )
    ca_certs: str | os.PathLike[str] | None = of_entry(
        doc="File or directory of the authorities that certificates are checked against; None "
        "leaves it to libcloud."
    )
    multipart_threshold: int | None = of_entry(
        check=_check_positive,
        doc="Bytes over which a file is sent in parts; by default what the service takes in one "
        "request: 5 GiB on S3, 256 MiB on Azure.",
    )
    max_connections: int = of_entry(
        default=32, check=_check_positive, doc="Requests under way at once."
    )
    querystring_auth: bool = option(
        default=True, doc="Sign URLs, where the service has signed ones; False gives public URLs."
    )
    querystring_expire: int = option(
        default=86_400, check=check_expire, doc="Seconds that a signed URL works."
    )
    providers: Mapping[str, Any] = option(
        "LIBCLOUD_PROVIDERS",
        default={},
        secret=_without_entries_secrets,
        doc="The entries, by name.",
    )
    # The last one, since its name hides the function in what follows.
    option: Mapping[str, Any] | None = positional(
        default=None,
        secret=_without_secrets,
        kw_only=False,
        doc="Further keywords of the entry, such as ``token``, or a whole entry. Keywords of the "
        "constructor that are no options are gathered here.",
    )

    # -- the entry --------------------------------------------------------------------------------

    @property
    def provider(self) -> Mapping[str, Any]:
        """The entry of ``LIBCLOUD_PROVIDERS``, with what ``option`` adds."""
        entry = self.providers.get(self.provider_name)
        return {**(entry if isinstance(entry, Mapping) else {}), **(self.option or {})}

    def keywords(self) -> tuple[str, dict[str, Any]]:
        """Return the name of the type of driver, and all that the driver is made with."""
        name, extra = providers.resolved(self.type)
        declared = {
            "region": self.region,
            "project": self.project,
            "host": self.host,
            "port": None if self.port is None else int(self.port),
            "secure": self.secure if name != "LOCAL" else None,
        }
        given = {each: value for each, value in declared.items() if value is not None}
        further = {
            each: value
            for each, value in self.provider.items()
            if RENAMED.get(each, each) not in entry_options() and value is not None
        }
        key = {"key": self.user, **({"secret": self.secret} if self.secret is not None else {})}
        return name, {**key, **extra, **further, **given}

    @classmethod
    def unknown_options(cls, options: Iterable[str]) -> list[str]:
        """Return the keywords that are neither options nor known to any driver."""
        known = {*RENAMED, *providers.KEYWORDS}
        names = super().unknown_options(options)
        return [each for each in names if each not in known and not each.startswith("ex_")]

    def _take(self, options: dict[str, Any]) -> None:
        named = {RENAMED.get(name, name): value for name, value in options.items()}
        unknown = {*self.unknown_options(options)}
        further = {
            name: value
            for name, value in named.items()
            if name not in self._declared and name not in unknown
        }
        own = {name: value for name, value in named.items() if name not in further}
        if further:
            own["option"] = {**(own.get("option") or {}), **further}
        super()._take(own)

    def _without_secret(self, value: Any, name: str = "") -> Any:
        if name and name not in self._declared:
            return UNSET if providers.is_secret(name) else value
        if not name and isinstance(value, Mapping):
            return _without_secrets(value)
        return super()._without_secret(value, name)

    # -- what is wrong with it --------------------------------------------------------------------

    def contradictions(self) -> Iterator[str]:
        """Yield what the entry says that its driver does not take."""
        yield from super().contradictions()
        if self.providers and self.provider_name not in self.providers and not self.option:
            close = difflib.get_close_matches(self.provider_name, self.providers, n=1)
            hint = f": did you mean {close[0]!r}?" if close else "."
            yield f"'provider_name' names no entry of LIBCLOUD_PROVIDERS{hint}"
        name, keywords = self.keywords()
        for keyword in providers.unknown(name, keywords.keys() - {"key", "secret"}):
            yield f"the driver of type {name} takes no {keyword}: take it out of the entry."
        region, known = keywords.get("region"), providers.regions(name)
        if region and known and region not in known:
            yield (
                f"the driver of type {name} does not know the region that 'region' names, whatever "
                f"'host' says. It knows {', '.join(sorted(known))}. For another, use the type "
                "MINIO with 'host' and 'region': it speaks S3's protocol to any service."
            )
        if name in {"MINIO", "S3_RGW"} and not self.host:
            yield f"the driver of type {name} needs 'host'."
        if self.secret is None and name != "LOCAL" and "auth_type" not in keywords:
            yield f"the driver of type {name} needs 'key'."

    def insecurities(self) -> Iterator[str]:
        """Yield what lets others read or change what is sent."""
        yield from super().insecurities()
        name, _ = self.keywords()
        if name != "LOCAL" and not self.secure and not is_loopback(self.host):
            yield "'secure' is off: names, contents and signatures are sent in the clear."
        if not libcloud.security.VERIFY_SSL_CERT:
            yield "libcloud.security.VERIFY_SSL_CERT is off: anyone can pass for the service."
        if os.environ.get("LIBCLOUD_DEBUG"):
            yield "LIBCLOUD_DEBUG is set: libcloud writes requests with their credentials to it."

    def root(self) -> tuple[str, ...]:
        """Return where the files lie: service, container and location."""
        name, keywords = self.keywords()
        location = [each for each in self.key("", root=True).split("/") if each]
        if name == "LOCAL":
            return (*Path(self.user).absolute().parts, self.bucket, *location)
        # Buckets of S3 are named for all accounts.
        place = [str(keywords.get(each, "")) for each in ("host", "port")]
        return (name.split("_")[0], *place, self.bucket, *location)

    @property
    def login(self) -> str:
        """Whom it signs in as; another may have a container of the same name."""
        return self.user


def entry_options() -> frozenset[str]:
    """Return the names of what an entry gives to options."""
    found = vars(LibCloudOptions).items()
    return frozenset(name for name, each in found if isinstance(each, EntryOption))
