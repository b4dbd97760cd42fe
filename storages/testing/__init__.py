"""The contract every backend keeps, as tests: subclass `StorageContract`, and give it a storage."""

from __future__ import annotations

from .bulk import BulkContract
from .case import ContractCase, Impossible, NotTried, RawStore, item
from .collecting import CollectingContract
from .configuration import ConfigurationContract
from .copies import CopyContract
from .fields import FieldContract
from .handles import HandleContract
from .integrity import IntegrityContract
from .lifecycle import LifeCycleContract
from .lookups import LookupContract
from .names import NameContract
from .opening import OpenContract
from .overwriting import OverwriteContract, UniqueNameContract
from .reading import ReadContract
from .save import SaveContract
from .urls import UrlContract
from .writing import WriteContract

__all__ = ["ContractCase", "Impossible", "NotTried", "RawStore", "StorageContract", "item"]


class StorageContract(
    SaveContract,
    UniqueNameContract,
    OverwriteContract,
    OpenContract,
    ReadContract,
    WriteContract,
    HandleContract,
    FieldContract,
    NameContract,
    LookupContract,
    BulkContract,
    UrlContract,
    CopyContract,
    ConfigurationContract,
    LifeCycleContract,
    CollectingContract,
    IntegrityContract,
):
    """All of the contract. Subclass it, name the ``configuration``, and give a storage.

    A subclass gives `make_storage` and `raw`, and declares what its service cannot do in
    ``impossible``. It runs under unittest, Django's test runner and pytest.
    """
