"""URLs and pages."""

from __future__ import annotations

from django.core.files.storage import storages
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path

from storages.views import FileView, serve

PAGE = """<!doctype html>
<title>Film and picture</title>
<link rel="icon" href="data:,">
<video id="film" src="/media/film.webm" muted preload="metadata"></video>
<img id="picture" src="/media/k%C3%BCste%20%231.png">
"""


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PAGE)


def media(request: HttpRequest, name: str) -> HttpResponseBase:
    return serve(request, name, "media", inline=["application/pdf"])


def plain(request: HttpRequest, name: str) -> FileResponse:
    """What Django itself has for a local file."""
    return FileResponse(storages["media"].open(name))


urlpatterns = [
    path("page", page),
    path("media/<path:name>", media),
    path("plain/<path:name>", plain),
    path("signed/<path:name>", FileView.as_view(storage="media")),
]
