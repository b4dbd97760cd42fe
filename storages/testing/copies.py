"""Items 105 and 107: storages made again, from migrations, pickles, copies and settings."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, cast

from django.apps import apps
from django.conf import settings
from django.core.files.storage import Storage
from django.db import models
from django.db.migrations import Migration
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.graph import MigrationGraph
from django.db.migrations.operations import CreateModel
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter
from django.db.models.base import ModelBase
from django.test import override_settings
from django.utils.module_loading import import_string

from .case import ContractCase, item
from .parallel import Recipe, in_processes

ALIAS: Final = "contract"  # in the setting STORAGES
LABEL: Final = "contract"  # of an app that is not there


class RebuiltStorages(ContractCase):
    """Tells how to make the overwriting storage again, to code and to settings."""

    def recipe(self) -> Recipe:
        """Tell how to make the overwriting storage again."""
        return Recipe.of(self.storage, self.secrets)

    @contextmanager
    def configured(self) -> Iterator[None]:
        """Put the overwriting storage into the setting STORAGES, where its secrets may be."""
        recipe = self.recipe()
        entry = {"BACKEND": recipe.path, "OPTIONS": dict(recipe.options)}
        with override_settings(STORAGES={**settings.STORAGES, ALIAS: entry}):
            yield


class CopyContract(RebuiltStorages):
    """Items 105 and 107."""

    # -- migrations -------------------------------------------------------------------------------

    @item(105)
    def test_storage_made_without_arguments_deconstructs_to_none(self) -> None:
        cls = type(self.storage)
        path, args, options = deconstruct(cls())
        self.assertIs(import_string(path), cls)
        self.assertEqual((list(args), dict(options)), ([], {}))

    @item(105)
    def test_storage_made_anew_from_its_description_has_the_same_files(self) -> None:
        self.save("a.txt", b"content")
        rebuilt = self.recipe().make()
        self.assertEqual(self.read("a.txt", rebuilt), b"content")
        self.assertEqual(deconstruct(rebuilt), deconstruct(self.storage))

    @item(105)
    def test_second_makemigrations_finds_no_change(self) -> None:
        self.assertEqual(self.changes_to(self.make_storage(file_overwrite=True)), {})

    @item(105)
    def test_makemigrations_finds_a_changed_option(self) -> None:
        self.assertEqual(list(self.changes_to(self.make_located("elsewhere"))), [LABEL])

    # -- pickling and copying ---------------------------------------------------------------------

    @item(107)
    def test_pickled_storage_has_the_same_files(self) -> None:
        self.save("a.txt", b"content")
        with self.configured():
            restored = pickle.loads(pickle.dumps(self.storage))
            self.assertEqual(self.read("a.txt", restored), b"content")

    @item(107)
    def test_copied_storage_has_the_same_files_and_outlives_its_original(self) -> None:
        self.save("a.txt", b"content")
        for make in (copy.copy, copy.deepcopy):
            with self.subTest(how=make.__name__):
                copied = make(self.storage)
                getattr(self.storage, "close", lambda: None)()
                self.assertEqual(self.read("a.txt", copied), b"content")

    @item(107)
    def test_pickled_model_instance_has_its_file(self) -> None:
        self.save("a.txt", b"content")
        with self.configured(), document_model(self.storage) as model:
            restored = pickle.loads(pickle.dumps(model(file="a.txt")))
            self.assertEqual(content_of(restored.file), b"content")

    @item("107b")
    def test_pickled_storage_works_in_another_process(self) -> None:
        self.save("a.txt", b"content")
        with self.configured():
            job = partial(read_pickled, pickle.dumps(self.storage))
            self.assertEqual(in_processes(self.recipe(), 1, job), [b"content"])

    @item("107b")
    def test_pickled_model_instance_and_field_file_work_in_another_process(self) -> None:
        self.save("a.txt", b"content")
        with self.configured(), document_model(self.storage) as model:
            document = model(file="a.txt")
            for each in (document, document.file):
                job = partial(read_pickled_document, pickle.dumps(each))
                self.assertEqual(in_processes(self.recipe(), 1, job), [b"content"])

    def changes_to(self, storage: Storage) -> dict[str, list[Migration]]:
        """Return what ``makemigrations`` finds where a migration had the overwriting storage."""
        written = Migration("0001_initial", LABEL)
        vars(written)["operations"] = [CreateModel("Document", document_fields(self.storage))]
        namespace: dict[str, Any] = {}
        exec(MigrationWriter(written).as_string(), namespace)
        migration: Migration = namespace["Migration"]("0001_initial", LABEL)
        graph = MigrationGraph()
        graph.add_node((LABEL, "0001_initial"), migration)
        before, after = ProjectState(), ProjectState()
        migration.mutate_state(before, preserve=False)
        after.add_model(ModelState(LABEL, "Document", document_fields(storage)))
        return MigrationAutodetector(before, after).changes(graph=graph)


def deconstruct(storage: Any) -> tuple[str, Sequence[Any], Mapping[str, Any]]:
    """Call what Django's migrations call."""
    return cast("tuple[str, Sequence[Any], Mapping[str, Any]]", storage.deconstruct())


def document_fields(storage: Storage) -> list[tuple[str, models.Field[Any, Any]]]:
    """Return the fields of a model with a file."""
    return [
        ("id", models.AutoField(primary_key=True)),
        ("file", models.FileField(storage=storage)),
    ]


@contextmanager
def document_model(storage: Storage) -> Iterator[Any]:
    """Register a model with a file for a while, with some app that is installed."""
    label = next(iter(apps.get_app_configs())).label
    meta = type("Meta", (), {"app_label": label})
    attributes = {**dict(document_fields(storage)), "Meta": meta, "__module__": __name__}
    model = ModelBase("ContractDocument", (models.Model,), attributes)
    try:
        yield model
    finally:
        del apps.all_models[label]["contractdocument"]
        apps.clear_cache()


def content_of(file: Any) -> bytes:
    """Read a field's file and close it."""
    with file.open() as opened:
        content: bytes = opened.read()
    return content


def read_pickled(pickled: bytes, *_: object) -> bytes:
    """Read ``a.txt`` of a pickled storage."""
    with pickle.loads(pickled).open("a.txt") as file:
        content: bytes = file.read()
    return content


def read_pickled_document(pickled: bytes, storage: Storage, _index: int) -> bytes:
    """Read the file of a pickled model instance, or a pickled file of one."""
    with document_model(storage):
        restored = pickle.loads(pickled)
        return content_of(getattr(restored, "file", restored))
