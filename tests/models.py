"""The model of the "Model" walk-through in the seed, and of Django's own documentation then."""

from __future__ import annotations

import random

from django.db import models


def random_directory(_instance: models.Model, filename: str) -> str:
    """Return another name each time, to see that it is asked for once."""
    return f"{random.randint(100, 999)}/{filename}"


class MyStorage(models.Model):
    """Fields of the default storage."""

    normal = models.FileField(upload_to="tests")
    default = models.FileField(upload_to="tests", default="tests/default.txt")
    random = models.FileField(upload_to=random_directory)

    def __str__(self) -> str:
        return str(self.pk)
