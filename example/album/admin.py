"""The pictures in Django's admin."""

from __future__ import annotations

from django.contrib import admin

from .models import Photo


@admin.register(Photo)
class PhotoAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Lists the pictures, newest first."""

    list_display = ("title", "image", "width", "height", "added")
    search_fields = ("title",)
