"""Files behave as files: random programs, here a few; see `tests.model` for more of them."""

from __future__ import annotations

import random
from contextlib import ExitStack

import pytest
from pytest_django import DjangoDbBlocker

from tests.model import difference, opened
from tests.model_backends import BACKENDS, MissingServer

#: Programs of a run in CI.
LOCAL, NETWORKED = 500, 100
IN_PROCESS = ("memory", "overwrite", "image", "symlinkorcopy", "libcloud-local")


@pytest.mark.parametrize("backend", BACKENDS)
def test_programs_do_the_same_here_and_on_django_s_own_storage(
    backend: str, django_db_blocker: DjangoDbBlocker
) -> None:
    first = random.randrange(10**6)
    with ExitStack() as stack, django_db_blocker.unblock():
        try:
            pair = stack.enter_context(opened(backend))
        except MissingServer as exc:
            pytest.skip(str(exc))
        for seed in range(first, first + (LOCAL if backend in IN_PROCESS else NETWORKED)):
            assert difference(pair, seed) is None
