"""One page: the form above, the pictures below."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.messages.views import SuccessMessageMixin
from django.urls import reverse_lazy
from django.views.generic import CreateView

from .models import Photo

if TYPE_CHECKING:
    from django.forms import ModelForm

    _CreateView = CreateView[Photo, ModelForm[Photo]]
    _Message = SuccessMessageMixin[ModelForm[Photo]]
else:
    _CreateView = CreateView
    _Message = SuccessMessageMixin


class Album(_Message, _CreateView):
    """Show the pictures, and take another."""

    model = Photo
    fields = ("title", "image")
    success_url = reverse_lazy("album")
    template_name = "album/album.html"
    success_message = "“%(title)s” is in the bucket now."

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the pictures to what the form's page needs."""
        return super().get_context_data(photos=Photo.objects.all(), **kwargs)
