"""Sphinx builds the documentation from this folder: `tox -e docs`."""

from __future__ import annotations

import sys
from pathlib import Path

import django
from django.conf import settings

import storages

sys.path.insert(0, str(Path(__file__).resolve().parent / "_ext"))
settings.configure(INSTALLED_APPS=["storages"], USE_TZ=True)
django.setup()

project = "django-storages"
author = "The django-storages contributors"
copyright = f"2026, {author}"  # noqa: A001
release = version = storages.__version__

extensions = ["contract_matrix", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"{project} {release}"

autodoc_member_order = "bysource"
# A reference into our own modules must resolve; those of Django, Python and the SDKs are not built.
nitpick_ignore_regex = [(r"py:.*", r"(?!storages\b).*")]
html_static_path = ["_static"]
html_css_files = ["wide.css"]
