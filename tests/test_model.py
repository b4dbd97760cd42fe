"""Files behave as files: random programs, here a few; see `tests.model` for more of them."""

from __future__ import annotations

import random

import pytest

from tests.model import BACKENDS, difference

#: Programs of a run in CI.
LOCAL, NETWORKED = 500, 150
IN_PROCESS = ("memory", "overwrite", "image", "symlinkorcopy")


@pytest.mark.parametrize("backend", BACKENDS)
def test_programs_do_the_same_here_and_on_django_s_own_storage(backend: str) -> None:
    first = random.randrange(10**6)
    with BACKENDS[backend]() as storage:
        for seed in range(first, first + (LOCAL if backend in IN_PROCESS else NETWORKED)):
            assert difference(storage, seed) is None
