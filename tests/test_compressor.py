"""django-compressor packs styles in the storages, when a page is shown and before that."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("kind", ["s3", "local"])
@pytest.mark.parametrize("when", ["on", "off"])
def test_django_compressor_packs_styles(kind: str, when: str) -> None:
    command = [sys.executable, "-m", "tests.compressed", kind, when]
    subprocess.run(command, check=True, capture_output=True, text=True)
