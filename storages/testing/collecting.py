"""Items 134 and 135: static files collected in bulk, by this package's ``collectstatic``."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, Final

from django.contrib.staticfiles.storage import ManifestStaticFilesStorage
from django.core.files.storage import Storage
from django.core.management import load_command_class

from .case import Impossible, item
from .statics import LONG_AGO, STATIC, StaticFilesContract

#: Files that name each other in all ways that Django's hashing knows, and some that it does not.
WEB: Final = {
    **STATIC,
    "css/all.css": b'@import "site.css"; @import url(deep/more.css);\n'
    b"i { background: url('../img/dot.svg#part') } b { src: url(../img/dot.svg?#iefix) }\n"
    b"u { background: url(data:image/png;base64,AA) } s { background: url(//x.example/y.png) }\n"
    b"/*# sourceMappingURL=all.css.map */",
    "css/deep/more.css": b"a { background: url(/static/top.txt) }",
    "css/all.css.map": b"{}",
    "js/app.js": b"import {a} from './lib.js';\nexport * from \"./lib.js\";\nimport('./lib.js');\n"
    b"//# sourceMappingURL=app.js.map\n",
    "js/lib.js": b"export const a = 1;\n",
    "js/app.js.map": b"{}",
    "empty.css": b"",
    "twin/top.txt": b"top",
}


class CollectingContract(StaticFilesContract):
    """Items 134 and 135."""

    def collect_in_bulk(self, storage: Storage, *args: Any, **options: Any) -> str:
        """Run this package's ``collectstatic``; return what it says."""
        command = load_command_class("storages", "collectstatic")
        return self.collect(storage, *args, command=command, **options)

    @item(134)
    def test_collecting_in_bulk_does_and_says_what_django_does(self) -> None:
        changed = {name: content + b" " for name, content in STATIC.items()} | {"new": b"new"}
        old, new = LONG_AGO, time.time() + 3600
        steps: list[tuple[str, float, dict[str, Any]]] = [
            ("dry", old, {"dry_run": True}),
            ("some", old, {"ignore_patterns": ["*.json"]}),
            ("all", old, {}),
            ("changed", new, {"files": changed}),
            ("dry clear", old, {"clear": True, "dry_run": True, "files": changed}),
            ("clear", old, {"clear": True, "post_process": False}),
        ]
        for label, modified, options in steps:
            with self.subTest(label=label):
                ours = self.lines("ours", self.collect_in_bulk, modified, options)
                theirs = self.lines("theirs", self.collect, modified, options)
                if self.has_modified_time:
                    self.assertEqual(ours, theirs)
                self.assertEqual(self.tree("ours"), self.tree("theirs"))

    def lines(self, location: str, collect: Any, modified: float, options: Any) -> list[str]:
        """Return what a run at a location says, in order of the alphabet."""
        storage: Any = self.make_located(location)
        said: str = collect(storage, modified, verbosity=2, **options)
        return sorted(said.replace(str(storage.location), "location").splitlines())

    def tree(self, location: str) -> dict[str, bytes | None]:
        """Return what the server holds at a location."""
        prefix = f"{location}/"
        found = self.stored().items()
        return {n.removeprefix(prefix): each for n, each in found if n.startswith(prefix)}

    @item(134)
    def test_collecting_in_bulk_skips_what_is_the_same(self) -> None:
        self.collect_in_bulk(self.storage)
        with self.unchanged():
            said = self.collect_in_bulk(self.storage)
        if not self.has_modified_time:
            raise Impossible(
                "the service tells neither digests nor times, by which files are skipped"
            )
        self.assertIn(f"{len(STATIC)} unmodified", said)

    @item(134)
    def test_collecting_in_bulk_replaces_what_differs_though_it_is_newer(self) -> None:
        self.save("top.txt", b"odd")
        scan: Any = self.storage.scan  # type: ignore[attr-defined]
        if not dict(scan())["top.txt"].digest:
            # Only the size can tell.
            self.save("top.txt", b"longer")
        self.collect_in_bulk(self.storage)
        self.assertEqual(self.stored(), STATIC)

    @item(134)
    def test_collecting_in_bulk_clears_its_location_only(self) -> None:
        located = self.make_located("static")
        for name in ("stale.txt", "old/er/stale.txt", "css/stale.css"):
            self.save(name, b"stale", located)
        kept = dict.fromkeys(("static.txt", "static2/a.txt", "media/a.txt"), b"kept")
        for name, content in kept.items():
            self.save(name, content)
        self.collect_in_bulk(located, clear=True)
        collected = {f"static/{name}": content for name, content in STATIC.items()}
        self.assertEqual(self.stored(), {**kept, **collected})

    @item(134)
    def test_collecting_in_bulk_replaces_files_without_overwriting_too(self) -> None:
        for modified, content in ((LONG_AGO, b"old"), (time.time() + 3600, b"newer")):
            storage = self.make_storage(file_overwrite=False)
            self.collect_in_bulk(storage, modified, files={**STATIC, "top.txt": content})
            self.assertEqual(self.stored(), {**STATIC, "top.txt": content})

    @item(135)
    def test_collecting_in_bulk_hashes_names_as_django_does(self) -> None:
        self.collect_in_bulk(self.make_manifest(), files=WEB)
        with tempfile.TemporaryDirectory() as directory:
            self.collect(ManifestStaticFilesStorage(location=directory), files=WEB)
            paths = [each for each in Path(directory).rglob("*") if each.is_file()]
            theirs = {each.relative_to(directory).as_posix(): each.read_bytes() for each in paths}
        self.assertEqual(self.stored(), theirs)

    @item(135)
    def test_collecting_hashed_names_in_bulk_again_changes_nothing(self) -> None:
        self.collect_in_bulk(self.make_manifest(), files=WEB)
        with self.unchanged():
            said = self.collect_in_bulk(self.make_manifest(), files=WEB)
        if self.has_modified_time:
            self.assertIn(f"{len(WEB)} unmodified", said)
