"""What tests of S3's requests have in common."""

from __future__ import annotations

import uuid

import pytest
from botocore import handlers


@pytest.fixture
def without_moto(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make clients without the handler that moto, once imported, gives to every new session."""
    own = [each for each in handlers.BUILTIN_HANDLERS if "moto" not in type(each[1]).__module__]
    monkeypatch.setattr(handlers, "BUILTIN_HANDLERS", own)
    # A changed environment has a session of its own.
    monkeypatch.setenv("AWS_WITHOUT_MOTO", uuid.uuid4().hex)
