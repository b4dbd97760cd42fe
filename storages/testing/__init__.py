"""The contract every backend keeps, as tests: mix `StorageContract` into a TestCase of your own."""

from __future__ import annotations

from .case import ContractCase, Impossible, RawStore, item

__all__ = ["ContractCase", "Impossible", "RawStore", "item"]
