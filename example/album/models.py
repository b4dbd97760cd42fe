"""One model: a picture and its title."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class Photo(models.Model):
    """A picture; its file is wherever the default storage keeps files."""

    title = models.CharField(max_length=80)
    image = models.ImageField(
        "picture", upload_to="photos/%Y", width_field="width", height_field="height"
    )
    width = models.PositiveIntegerField(editable=False)
    height = models.PositiveIntegerField(editable=False)
    added = models.DateTimeField(auto_now_add=True)
    objects: ClassVar[models.Manager[Photo]]

    class Meta:
        """Newest first."""

        ordering = ("-added", "-pk")

    def __str__(self) -> str:
        return self.title
