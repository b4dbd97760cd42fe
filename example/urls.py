"""The album, and Django's admin."""

from __future__ import annotations

from django.contrib import admin
from django.urls import path

from example.album.views import Album

urlpatterns = [path("", Album.as_view(), name="album"), path("admin/", admin.site.urls)]
