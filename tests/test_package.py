from __future__ import annotations

from importlib import metadata

import storages


def test_installed_version_is_the_one_in_the_source() -> None:
    assert metadata.version("django-storages") == storages.__version__
