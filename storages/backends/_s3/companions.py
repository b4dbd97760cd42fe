"""Private names of the public django-storages that its companions call, such as collectfasta."""

from __future__ import annotations

import gzip
import io
from typing import Any

from botocore.config import Config
from django.core.files.base import ContentFile

from storages.base import Name
from storages.driver import Source
from storages.utils import content_type_of

from .uploads import S3Uploads


class CalledByCompanions(S3Uploads):
    """Answers calls from other packages; nothing here calls these methods."""

    @property
    def config(self) -> Config:
        """The botocore configuration; assigning one sets the option ``client_config``."""
        return super().config

    @config.setter
    def config(self, value: Config) -> None:
        self.client_config = value

    def _normalize_name(self, name: Name) -> str:
        return self.key(name, root=True)

    def _get_write_parameters(self, name: Name, content: Any = None) -> dict[str, Any]:
        declared = getattr(content, "content_type", None)
        kind = content_type_of(str(name), declared, self.default_content_type)
        return self._upload_parameters(self.key(name), Source(io.BytesIO(), kind))

    def _compress_content(self, content: Any) -> ContentFile[bytes]:
        content.seek(0)
        # Without name and time, equal files give equal objects.
        return ContentFile(gzip.compress(content.read(), mtime=0))
