"""The settings from before ``STORAGES``, on every Django, as Django 4.2 honours them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import django
import pytest
from django.contrib.staticfiles.storage import StaticFilesStorage, staticfiles_storage
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, default_storage, storages
from django.core.management import call_command
from django.template import Context, Engine
from django.test import override_settings

from tests.memory import OBJECTS, MemoryStorage

DJANGO_HAS_OLD_SETTINGS = django.VERSION < (5, 1)
pytestmark = pytest.mark.filterwarnings("ignore:The .*_STORAGE setting is deprecated")

# An app whose fields are made while its models module is imported.
MODELS = """
from django.core.files.storage import storages
from django.db import models

class Paper(models.Model):
    implicit = models.FileField()
    explicit = models.FileField(storage=storages["default"])

seen = storages["default"].__class__.__name__
"""
SETTINGS = """
SECRET_KEY = "x"
INSTALLED_APPS = ["papers", "django.contrib.staticfiles", "storages"]
STATIC_URL = "/static/"
STATIC_ROOT = "collected"
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
"""
STORAGES_PY = """
from django.contrib.staticfiles.storage import StaticFilesStorage
from django.core.files.storage import FileSystemStorage

class Default(FileSystemStorage):
    pass

class Static(StaticFilesStorage):
    def url(self, name):
        return super().url(name) + "?stamped"
"""
REPORT = """
import json
import django
django.setup()
from django.conf import settings
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.files.storage import default_storage, storages
from django.template import engines
from papers import models

template = engines["django"].from_string("{% load static %}{% static 'a.css' %}")
print(json.dumps({
    "default_storage": default_storage.__class__.__name__,
    "storages": storages["default"].__class__.__name__,
    "while models were imported": models.seen,
    "implicit field": models.Paper._meta.get_field("implicit").storage.__class__.__name__,
    "explicit field": models.Paper._meta.get_field("explicit").storage.__class__.__name__,
    "staticfiles_storage": staticfiles_storage.__class__.__name__,
    "static": template.render(),
}))
"""


class SiteStorage(MemoryStorage):
    bucket = "site"


class OtherStorage(MemoryStorage):
    bucket = "other"


class StaticStorage(MemoryStorage):
    bucket = "static"
    base_url = "/from-memory/"


SITE = f"{__name__}.SiteStorage"
OTHER = f"{__name__}.OtherStorage"
STATIC = f"{__name__}.StaticStorage"


class Project:
    """A project in a directory of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("papers/__init__.py", "")
        self.write("papers/models.py", MODELS)
        self.write("papers/static/a.css", "a {}")
        self.write("site_storages.py", STORAGES_PY)

    def write(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")

    def run(self, *arguments: str) -> str:
        environment = os.environ | {
            "DJANGO_SETTINGS_MODULE": "site_settings",
            "PYTHONPATH": str(self.root),
            "PYTHONWARNINGS": "ignore:The :DeprecationWarning",
        }
        process = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.root,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            encoding="utf-8",
        )
        return process.stdout

    def report(self, settings: str) -> dict[str, str]:
        self.write("site_settings.py", SETTINGS + dedent(settings))
        report: dict[str, str] = json.loads(self.run("-c", REPORT))
        return report


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_both_old_settings_reach_all_that_django_makes_of_them(project: Project) -> None:
    report = project.report("""
        DEFAULT_FILE_STORAGE = "site_storages.Default"
        STATICFILES_STORAGE = "site_storages.Static"
        """)
    assert report == {
        "default_storage": "Default",
        "storages": "Default",
        "while models were imported": "Default",
        "implicit field": "Default",
        "explicit field": "Default",
        "staticfiles_storage": "Static",
        "static": "/static/a.css?stamped",
    }


def test_one_old_setting_leaves_the_other_alias_as_it_is(project: Project) -> None:
    report = project.report('STATICFILES_STORAGE = "site_storages.Static"')
    assert report["default_storage"] == "FileSystemStorage"
    assert report["staticfiles_storage"] == "Static"


def test_without_old_settings_nothing_changes(project: Project) -> None:
    report = project.report("")
    assert report["default_storage"] == "FileSystemStorage"
    assert report["static"] == "/static/a.css"


def test_collectstatic_writes_through_the_old_setting(project: Project) -> None:
    project.write("site_settings.py", SETTINGS + 'STATICFILES_STORAGE = "site_storages.Manifest"')
    project.write(
        "site_storages.py",
        """
        from django.contrib.staticfiles.storage import ManifestStaticFilesStorage

        class Manifest(ManifestStaticFilesStorage):
            manifest_name = "ours.json"
        """,
    )
    project.run("-m", "django", "collectstatic", "--noinput", "-v0")
    assert (project.root / "collected/ours.json").is_file()


def test_old_settings_work_with_settings_configure(project: Project) -> None:
    script = """
        import django
        from django.conf import settings
        settings.configure(
            INSTALLED_APPS=["storages"], DEFAULT_FILE_STORAGE="site_storages.Default"
        )
        django.setup()
        from django.core.files.storage import default_storage
        print(default_storage.__class__.__name__)
        """
    assert project.run("-c", dedent(script)).strip() == "Default"


@pytest.mark.skipif(
    DJANGO_HAS_OLD_SETTINGS,
    reason="impossible: Django before 5.1 refuses STORAGES and old settings",
)
def test_storages_wins_for_an_alias_that_it_sets(project: Project) -> None:
    report = project.report("""
        STORAGES = {"staticfiles": {"BACKEND": "site_storages.Static"}}
        DEFAULT_FILE_STORAGE = "site_storages.Default"
        STATICFILES_STORAGE = "django.contrib.staticfiles.storage.StaticFilesStorage"
        """)
    assert report["staticfiles_storage"] == "Static"
    assert report["default_storage"] == "Default"


def test_override_settings_of_the_old_default_takes_effect_and_ends() -> None:
    before = default_storage.__class__
    with override_settings(DEFAULT_FILE_STORAGE=SITE):
        name = default_storage.save("old.txt", ContentFile(b"old"))
        assert name in OBJECTS["site"]
        assert isinstance(storages["default"], SiteStorage)
    assert default_storage.__class__ is before
    assert storages["default"].__class__ is before


def test_override_settings_of_the_old_static_setting_takes_effect_and_ends() -> None:
    engine = Engine(libraries={"static": "django.templatetags.static"})
    template = engine.from_string("{% load static %}{% static 'a.css' %}")
    with override_settings(STATICFILES_STORAGE=STATIC):
        assert isinstance(storages["staticfiles"], StaticStorage)
        assert template.render(Context()) == "/from-memory/a.css"
    assert staticfiles_storage.__class__ is StaticFilesStorage
    assert template.render(Context()) == "/static/a.css"


def test_collectstatic_follows_an_override(tmp_path: Path) -> None:
    (tmp_path / "collected.css").write_text("a {}")
    with override_settings(STATICFILES_STORAGE=STATIC, STATICFILES_DIRS=[tmp_path]):
        call_command("collectstatic", interactive=False, verbosity=0)
    assert OBJECTS["static"]["collected.css"][0] == b"a {}"


def test_overrides_of_the_old_setting_nest() -> None:
    with override_settings(DEFAULT_FILE_STORAGE=SITE):
        with override_settings(DEFAULT_FILE_STORAGE=OTHER):
            assert isinstance(storages["default"], OtherStorage)
        assert isinstance(storages["default"], SiteStorage)


def test_override_of_storages_inside_one_of_the_old_setting_wins() -> None:
    entry = {"BACKEND": OTHER}
    with override_settings(DEFAULT_FILE_STORAGE=SITE):
        with override_settings(STORAGES={"default": entry, "staticfiles": entry}):
            assert isinstance(storages["default"], OtherStorage)
        assert isinstance(storages["default"], SiteStorage)


def test_override_of_the_old_setting_inside_one_of_storages_wins() -> None:
    entry = {"BACKEND": OTHER}
    with override_settings(STORAGES={"default": entry, "staticfiles": entry}):
        with override_settings(DEFAULT_FILE_STORAGE=SITE):
            assert isinstance(storages["default"], SiteStorage)
            assert isinstance(storages["staticfiles"], OtherStorage)
        if not DJANGO_HAS_OLD_SETTINGS:  # there the override stays behind in the dict
            assert isinstance(storages["default"], OtherStorage)


@pytest.mark.skipif(
    DJANGO_HAS_OLD_SETTINGS,
    reason="impossible: Django before 5.1 refuses STORAGES and old settings",
)
@pytest.mark.parametrize("first", ["STORAGES", "DEFAULT_FILE_STORAGE"])
def test_in_one_override_storages_wins_whichever_comes_first(first: str) -> None:
    both: dict[str, Any] = {
        "STORAGES": {"default": {"BACKEND": OTHER}, "staticfiles": {"BACKEND": STATIC}},
        "DEFAULT_FILE_STORAGE": SITE,
    }
    ordered = {name: both[name] for name in sorted(both, key=lambda name: name != first)}
    with override_settings(**ordered):
        assert isinstance(storages["default"], OtherStorage)


@pytest.mark.skipif(
    DJANGO_HAS_OLD_SETTINGS,
    reason="impossible: Django before 5.1 refuses STORAGES and old settings",
)
def test_storages_without_an_alias_leaves_that_to_the_old_setting() -> None:
    with override_settings(
        STORAGES={"staticfiles": {"BACKEND": STATIC}}, DEFAULT_FILE_STORAGE=SITE
    ):
        assert isinstance(storages["default"], SiteStorage)
        assert isinstance(storages["staticfiles"], StaticStorage)


@pytest.mark.skipif(
    DJANGO_HAS_OLD_SETTINGS, reason="impossible: Django before 5.1 takes None for a path"
)
def test_old_setting_of_none_counts_as_not_given() -> None:
    with override_settings(DEFAULT_FILE_STORAGE=SITE), override_settings(DEFAULT_FILE_STORAGE=None):
        assert storages["default"].__class__ is FileSystemStorage


def test_pytest_fixture_of_settings_takes_effect(settings: Any) -> None:
    settings.DEFAULT_FILE_STORAGE = SITE
    assert isinstance(storages["default"], SiteStorage)
