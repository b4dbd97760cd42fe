"""Configurations of boto3's: made of what the options say, and told so that Django can write it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterable, Mapping
from typing import Any, Final

from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import BotoCoreError

#: Stands for botocore's UNSIGNED, an object that neither migrations nor pickles can hold.
_UNSIGNED: Final = "unsigned"


def client_config(given: Config | Mapping[str, Any]) -> Config:
    """Return the configuration of a client that an option says."""
    if isinstance(given, Config):
        return given
    # botocore changes what is in it.
    said = copy.deepcopy(dict(given))
    if said.get("signature_version") == _UNSIGNED:
        said["signature_version"] = UNSIGNED
    return Config(**said)


def transfer_config(given: TransferConfig | Mapping[str, Any]) -> TransferConfig:
    """Return the configuration of transfers that an option says."""
    return given if isinstance(given, TransferConfig) else TransferConfig(**given)


def check_client(given: Config | Mapping[str, Any]) -> None:
    """Raise ValueError for what boto3 refuses."""
    try:
        client_config(given)
    except (TypeError, BotoCoreError) as exc:
        raise ValueError(f"is refused by boto3: {exc}") from exc


def check_transfer(given: TransferConfig | Mapping[str, Any]) -> None:
    """Raise ValueError for what boto3 refuses."""
    try:
        transfer_config(given)
    except (TypeError, ValueError) as exc:
        raise ValueError(f"is refused by boto3: {exc}") from exc


def written(value: Any) -> Any:
    """Return the keywords that make an equal of a configuration; any other value as it is."""
    if isinstance(value, Config):
        value = _made_of(value, Config(), Config.OPTION_DEFAULTS)
    elif isinstance(value, TransferConfig):
        names = inspect.signature(TransferConfig).parameters
        value = _made_of(value, TransferConfig(), names)
    if isinstance(value, Mapping) and value.get("signature_version") is UNSIGNED:
        value = {**value, "signature_version": _UNSIGNED}
    return value


def _made_of(config: Any, standard: Any, names: Iterable[str]) -> dict[str, Any]:
    found = {name: getattr(config, name) for name in names}
    return {name: each for name, each in found.items() if each != getattr(standard, name)}
