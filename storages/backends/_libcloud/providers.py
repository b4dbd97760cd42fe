"""The types of providers, from the seed's to today's, and the keywords that their drivers take."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from libcloud.common.base import BaseDriver
from libcloud.storage.base import StorageDriver
from libcloud.storage.providers import DRIVERS, get_driver
from libcloud.storage.types import Provider

PREFIX = "libcloud.storage.types.Provider."
#: Names of the types that libcloud has, with the values of its constants.
TYPES: Mapping[str, str] = {
    name: value for name, value in vars(Provider).items() if name.isupper() and str(value)
}
#: Names that libcloud renamed or dropped, with their successor and what that has to be told.
RENAMED: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "S3_US_STANDARD": ("S3", {}),
    # libcloud has a constant for it, but no driver.
    "S3_EU_WEST3": ("S3", {"region": "eu-west-3"}),
    "CLOUDFILES_US": ("CLOUDFILES", {"region": "ord"}),
    "CLOUDFILES_UK": ("CLOUDFILES", {"region": "lon"}),
    "CLOUDFILES_SWIFT": ("OPENSTACK_SWIFT", {}),
}
#: Types that cannot work any more, whatever libcloud has a driver for.
GONE: Mapping[str, str] = {
    "NIMBUS": "Nimbus.io has ended its service",
    "NINEFOLD": "Ninefold has ended its service",
    "DUMMY": "it keeps no files, being made for the tests of libcloud",
}
INSTEAD = "S3, MINIO (any service with S3's protocol), AZURE_BLOBS, GOOGLE_STORAGE or LOCAL"
#: What `BaseDriver` takes from keywords that it does not declare.
_TAKEN = frozenset({"timeout", "retry_delay", "backoff", "proxy_url"})
#: Where the drivers that do not tell their regions keep them.
_TABLES = {
    "DIGITALOCEAN_SPACES": "DO_SPACES_HOSTS_BY_REGION",
    "S3_RGW_OUTSCALE": "S3_RGW_OUTSCALE_HOSTS_BY_REGION",
}
#: Keywords that some driver or other takes, apart from those that begin with "ex_".
KEYWORDS = frozenset(
    {
        *_TAKEN,
        "api_version",
        "auth_type",
        "cloud_environment",
        "identity",
        "name",
        "signature_version",
        "tenant_id",
        "token",
        "url",
        "use_internal_url",
    }
)
#: What drivers take from the keywords that they pass on.
_PASSED = {
    "S3_RGW": {"name", "signature_version"},
    "S3_RGW_OUTSCALE": {"name", "signature_version"},
    "DIGITALOCEAN_SPACES": {"signature_version"},
    # Not the driver, but `Connector` takes these two.
    "MINIO": {"region", "token"},
}


def resolved(text: str) -> tuple[str, Mapping[str, str]]:
    """Return the name of a type as libcloud has it today, and keywords that go with it.

    Takes ``libcloud.storage.types.Provider.NAME`` and the value of that constant. Raises ValueError
    with the end of a sentence that begins with the option.
    """
    by_value = {value: name for name, value in TYPES.items()}
    name = by_value.get(text) or text.removeprefix(PREFIX)
    if name == text and text not in by_value:
        close = difflib.get_close_matches(text.rpartition(".")[2].upper(), DRIVERS_BY_NAME, n=1)
        hint = f": did you mean '{PREFIX}{close[0]}'?" if close else ""
        raise ValueError(f"must be '{PREFIX}NAME', with a name that libcloud has{hint}")
    # The seed spells it so.
    name = name.removesuffix("_HOST").replace("CLOUDFIULES", "CLOUDFILES")
    if name in GONE:
        raise ValueError(f"names {name}, which cannot be used: {GONE[name]}. Use {INSTEAD}")
    name, extra = RENAMED.get(name, (name, {}))
    if name not in DRIVERS_BY_NAME:
        close = difflib.get_close_matches(name, DRIVERS_BY_NAME, n=1)
        raise ValueError(
            f"names {name}, which libcloud does not have. Use {close[0] if close else INSTEAD}"
        )
    return name, extra


def check_type(text: str) -> None:
    """Raise ValueError for a type that has no driver."""
    resolved(text)


def driver_class(name: str) -> type[StorageDriver]:
    """Return libcloud's driver for a name; imports it."""
    found: type[StorageDriver] = get_driver(TYPES[name])
    return found


def accepted(name: str) -> frozenset[str]:
    """Return the keywords that the driver of a type takes, apart from key and secret."""
    names = set(_PASSED.get(name, ()))
    for cls in driver_class(name).__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = inspect.signature(vars(cls)["__init__"]).parameters.values()
        names |= {each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD}
        if all(each.kind is not each.VAR_KEYWORD for each in parameters):
            break
        if cls is BaseDriver:
            names |= _TAKEN
    return frozenset(names - {"self", "key", "secret"})


def unknown(name: str, keywords: Collection[str]) -> Iterator[str]:
    """Yield the keywords that the driver of a type does not take."""
    known = accepted(name)
    # The drivers look up many of these among the keywords that they pass on.
    swallows = "ex_" if "VAR_KEYWORD" in _kinds(driver_class(name)) else "\0"
    for each in sorted(keywords):
        if each not in known and not each.startswith(swallows):
            close = difflib.get_close_matches(each, known, n=1, cutoff=0.6)
            yield f"{each!r}" + (f" (did you mean {close[0]!r}?)" if close else "")


def _kinds(cls: type) -> set[str]:
    return {each.kind.name for each in inspect.signature(cls).parameters.values()}


def regions(name: str) -> frozenset[str]:
    """Return the regions that the driver of a type knows; empty where it takes any."""
    cls: Any = driver_class(name)
    if table := _TABLES.get(name):
        return frozenset(getattr(importlib.import_module(cls.__module__), table))
    # That of Rackspace is inherited by drivers for any OpenStack.
    is_told = hasattr(cls, "list_regions") and name not in {"OPENSTACK_SWIFT", "KTUCLOUD"}
    return frozenset(cls.list_regions()) if is_told else frozenset()


def is_secret(keyword: str) -> bool:
    """Return True if the value of a driver's keyword is to be shown nowhere."""
    return re.search("key|secret|token|pass|cred|proxy|auth_url", keyword) is not None


#: Names of the types that have a driver.
DRIVERS_BY_NAME = frozenset(name for name, value in TYPES.items() if value in DRIVERS)
