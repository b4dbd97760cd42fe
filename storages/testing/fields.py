"""Model fields: what Django's `FieldFile` does with a storage, without a database."""

from __future__ import annotations

from typing import Any

from django.apps.registry import Apps
from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import models

from .case import ContractCase, item


class FieldContract(ContractCase):
    """Item 59."""

    @item(59)
    def test_file_of_a_model_is_saved_read_and_deleted(self) -> None:
        for storage in self.each_mode():
            document = make_document(storage)
            document.file.save("file.txt", ContentFile(b"content"))
            name = document.file.name
            self.assertEqual(name, "documents/file.txt")
            self.assertEqual(document.times_saved, 1)
            self.assert_stored(name, b"content")
            self.assertEqual(document.file.size, 7)
            with document.file.open() as file:
                self.assertEqual(file.read(), b"content")
            document.file.delete()
            self.assertFalse(document.file)
            self.assertEqual(document.times_saved, 2)
            self.assert_stored(name, None)

    @item(59)
    def test_file_of_a_model_is_read_without_open(self) -> None:
        self.raw().put("documents/file.txt", b"content")
        document = make_document(self.storage, "documents/file.txt")
        self.assertEqual(document.file.read(), b"content")
        self.assertEqual(list(document.file.chunks()), [b"content"])
        document.file.close()
        self.assertTrue(document.file.closed)

    @item(59)
    def test_file_of_a_model_is_opened_again_after_it_was_closed(self) -> None:
        self.raw().put("file", b"content")
        document = make_document(self.storage, "file")
        for _ in range(2):
            with document.file.open("rb") as file:
                self.assertEqual(file.read(), b"content")

    @item(59)
    def test_file_of_a_model_that_is_missing_raises_when_it_is_used(self) -> None:
        document = make_document(self.storage, "missing.txt")
        self.assertRaises(FileNotFoundError, document.file.open)
        for attribute in ("read", "size"):
            self.assertRaises(FileNotFoundError, getattr, document.file, attribute)

    @item(59)
    def test_file_of_a_model_is_written_through_open(self) -> None:
        document = make_document(self.storage, "file.txt")
        with document.file.open("wb") as file:
            file.write(b"written")
        self.assert_stored("file.txt", b"written")

    @item(59)
    def test_save_false_leaves_the_model_alone(self) -> None:
        document = make_document(self.storage)
        document.file.save("file.txt", ContentFile(b"content"), save=False)
        self.assert_stored("documents/file.txt", b"content")
        document.file.delete(save=False)
        self.assert_stored("documents/file.txt", None)
        self.assertEqual(document.times_saved, 0)

    @item(59)
    def test_assigned_file_is_stored_when_the_model_is_saved(self) -> None:
        for kind, content in (
            ("content", ContentFile(b"content", "content.txt")),
            ("upload", SimpleUploadedFile("upload.txt", b"content")),
        ):
            document = make_document(self.storage)
            with self.subTest(kind), self.unchanged():
                document.file = content
                self.assertEqual(document.file.size, 7)
                self.assertEqual(document.file.read(), b"content")
            document.save()
            self.assertEqual(document.file.name, f"documents/{kind}.txt")
            self.assert_stored(document.file.name, b"content")

    @item(59)
    def test_model_saved_again_does_not_store_its_file_again(self) -> None:
        document = make_document(self.storage)
        document.file.save("file.txt", ContentFile(b"ours"))
        self.raw().put(document.file.name, b"another client's")
        document.save()
        self.assert_stored(document.file.name, b"another client's")

    @item(59)
    def test_files_of_two_models_with_one_name_are_two_files(self) -> None:
        first, second = (make_document(self.unique) for _ in range(2))
        first.file.save("file.txt", ContentFile(b"first"))
        second.file.save("file.txt", ContentFile(b"second"))
        self.assertNotEqual(first.file.name, second.file.name)
        self.assert_stored(first.file.name, b"first")
        self.assert_stored(second.file.name, b"second")

    @item(59)
    def test_default_file_of_a_field_is_read_from_the_storage(self) -> None:
        self.raw().put("default.txt", b"default")
        document = make_document(self.storage, default="default.txt")
        with document.file.open() as file:
            self.assertEqual(file.read(), b"default")

    @item(59)
    def test_url_of_a_model_s_file_is_that_of_its_name(self) -> None:
        document = make_document(self.storage)
        document.file.save("é.txt", ContentFile(b"content"))
        self.require_urls()
        self.assert_url_of(document.file.url, "documents/é.txt", b"content")


def make_document(storage: Storage, name: str | None = None, **options: Any) -> Any:
    """Return an instance of a model with one file; it counts how often it was saved."""
    field = models.FileField(storage=storage, upload_to="documents", **options)
    meta = type("Meta", (), {"app_label": "contract", "apps": Apps()})
    members = {"__module__": __name__, "Meta": meta, "file": field}
    make_model: Any = type(models.Model)
    kind = make_model("Document", (models.Model,), members)
    kind.times_saved = 0
    kind.save = save_files
    return kind() if name is None else kind(file=name)


def save_files(document: Any, **_options: Any) -> None:
    """Do what a model's ``save`` does about files, and leave out the database."""
    document.times_saved += 1
    document._meta.get_field("file").pre_save(document, add=True)  # noqa: SLF001 - documented
