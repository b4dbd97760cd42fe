"""The contract every backend keeps, as tests: mix `StorageContract` into a TestCase of your own."""

from __future__ import annotations

from .case import ContractCase, Impossible, RawStore, item
from .save import SaveContract

__all__ = ["ContractCase", "Impossible", "RawStore", "StorageContract", "item"]


class StorageContract(SaveContract):
    """All of the contract. Subclass it, name the ``configuration``, and give a storage.

    A subclass gives `make_storage` and `raw`, and declares what its service cannot do in
    ``impossible``. It runs under unittest, Django's test runner and pytest.
    """
