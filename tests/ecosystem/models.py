from __future__ import annotations

from django.db import models
from easy_thumbnails.fields import ThumbnailerImageField
from imagekit.models import ImageSpecField, ProcessedImageField
from imagekit.processors import ResizeToFill
from sorl.thumbnail import ImageField


class Picture(models.Model):
    """A picture, thumbnails of which three packages make."""

    sorl = ImageField(upload_to="sorl", blank=True)
    easy = ThumbnailerImageField(upload_to="easy", blank=True)
    kit = models.ImageField(upload_to="kit", blank=True)
    small = ImageSpecField(source="kit", processors=[ResizeToFill(10, 10)], format="JPEG")
    cut = ProcessedImageField(
        upload_to="cut", processors=[ResizeToFill(8, 8)], format="PNG", blank=True
    )

    class Meta:
        app_label = "ecosystem"

    def __str__(self) -> str:
        return f"picture {self.pk}"
