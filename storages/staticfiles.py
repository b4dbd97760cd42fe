"""What the static files storages of several backends share."""

from __future__ import annotations

import os
import posixpath
from typing import Any, cast

from django.contrib.staticfiles.storage import ManifestFilesMixin


class Resolving:
    """Resolves ``..`` in URLs: Django's hashing asks for those of directories that styles name."""

    def _url_name(self, name: str | os.PathLike[str] | None) -> str:
        text = os.fspath(name or "")
        if ".." in text.split("/"):
            # As browsers have it: above the root is the root.
            text = posixpath.normpath(f"/{text}") + "/" * text.endswith("/")
        return cast("str", super()._url_name(text))  # type: ignore[misc]


class LazyManifest(Resolving, ManifestFilesMixin):
    """Django's manifest of hashed names, read at first use instead of in the constructor."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # An instance attribute, so that Django's constructor finds nothing to read.
        vars(self)["load_manifest"] = lambda: ({}, "")
        super().__init__(*args, **kwargs)
        for name in ("load_manifest", "hashed_files", "manifest_hash"):
            vars(self).pop(name)
        if self.manifest_storage is cast("Any", self):
            # A copy would go on to keep its manifest in the original.
            del self.manifest_storage

    def __getattr__(self, name: str) -> Any:
        if name == "manifest_storage":
            return self
        if name not in {"hashed_files", "manifest_hash"}:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        vars(self).update(zip(("hashed_files", "manifest_hash"), self.load_manifest(), strict=True))
        return vars(self)[name]
