"""README and the documentation: blocks run, settings exist, pages are complete."""

from __future__ import annotations

import ast
import builtins
import doctest
import json
import re
import shlex
from collections import Counter
from contextlib import ExitStack
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import get_commands
from django.test import override_settings
from django.test.utils import isolate_apps

from storages.aliases import OLD_SETTINGS
from storages.testing import StorageContract
from tests.blocks import ROOT, Block, blocks, without_language

DOCS = ROOT / "docs"
HEADINGS = ["Install", "Configure", "Options", "Behaviour", "Limits", "Errors", "Notes"]
#: Pages that are no backend's.
OTHERS = {"common"}
PAGES = sorted(page.stem for page in (DOCS / "backends").glob("*.rst") if page.stem not in OTHERS)

BLOCKS = list(blocks())
#: Languages whose blocks show what a program prints, or are read by programs of others.
SHOWN = {"text", "nginx", "apache"}
#: How many blocks may say that they are not run. A new one is a decision, so it is counted.
NOT_RUN = 2
#: What Django's own settings module has before any block of ours.
PRELUDE = {"BASE_DIR": Path("/srv/site")}
#: The message that the documented use of an old setting must have.
OLD = {"storages.W001"}


def of(*languages: str) -> list[Any]:
    """Return the blocks in a language that are run, as parameters named by their places."""
    chosen = [each for each in BLOCKS if each.language in languages and not each.reason]
    return [pytest.param(each, id=each.place) for each in chosen]


def headings(text: str) -> list[str]:
    return re.findall(r"^(.+)\n-{3,}$", text, re.MULTILINE)


@pytest.mark.parametrize("name", PAGES)
def test_page_of_a_backend_has_the_common_headings(name: str) -> None:
    assert headings((DOCS / f"backends/{name}.rst").read_text(encoding="utf-8")) == HEADINGS


def test_every_item_of_the_contract_has_its_sentence() -> None:
    text = (DOCS / "contract.rst").read_text(encoding="utf-8")
    found = re.findall(r"^(\d+)\. ", text, re.MULTILINE)
    numbers = {
        re.sub(r"\D", "", item)
        for cls in StorageContract.__mro__
        for name, test in vars(cls).items()
        if name.startswith("test_")
        for item in getattr(test, "items", ())
    }
    assert [int(each) for each in found] == list(range(1, len(found) + 1))
    assert numbers == set(found)


# -- code blocks ----------------------------------------------------------------------------------


def test_every_block_says_its_language() -> None:
    assert list(without_language()) == []
    languages = {"python", "pycon", "json", "shell", *SHOWN}
    assert {each.language for each in BLOCKS} <= languages


def test_blocks_that_are_not_run_have_a_reason_and_are_few() -> None:
    assert len([each for each in BLOCKS if each.reason]) == NOT_RUN
    kinds = Counter(each.language for each in BLOCKS)
    assert kinds["python"] > 50, kinds


def undefined(code: str) -> set[str]:
    """Return the names that a block reads and neither defines nor imports, in functions too."""
    nodes = list(ast.walk(ast.parse(code)))
    stored = {
        each.id for each in nodes if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)
    }
    defined = stored | {each.arg for each in nodes if isinstance(each, ast.arg)}
    for each in nodes:
        if isinstance(each, ast.FunctionDef | ast.ClassDef):
            defined.add(each.name)
        elif isinstance(each, ast.Import | ast.ImportFrom):
            defined |= {(name.asname or name.name).partition(".")[0] for name in each.names}
    read = {
        each.id for each in nodes if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load)
    }
    return read - defined - set(dir(builtins)) - set(PRELUDE)


def run(block: Block) -> dict[str, Any]:
    """Run a block alone, as in a module of a project; return the settings that it makes."""
    names = PRELUDE | {"__name__": "tests.block"}
    with isolate_apps("tests"):
        exec(compile(block.code, block.place, "exec"), names)
    return {name: value for name, value in names.items() if name.isupper() and name not in PRELUDE}


def settings_before(block: Block) -> dict[str, Any]:
    """Return the settings that earlier blocks of the page make, for one that uses them."""
    found: dict[str, Any] = {}
    if not re.search(r"\bstorages\[", block.code):
        return found
    for each in BLOCKS:
        is_before = each.page == block.page and each.line < block.line
        if (
            is_before
            and each.language == "python"
            and re.search("^STORAGES", each.code, re.MULTILINE)
        ):
            found = run(each)
    return found


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable that a block reads is set; nothing of this machine's own signs URLs."""
    for each in BLOCKS:
        for name in re.findall(r'os\.environ\["(\w+)"\]', each.code):
            monkeypatch.setenv(name, "dmFsdWU=")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.parametrize("block", of("python"))
def test_block_of_python_runs_alone_and_passes_the_checks(block: Block, environment: None) -> None:
    assert undefined(block.code) == set()
    with ExitStack() as stack:
        stack.enter_context(override_settings(**settings_before(block)))
        made = run(block)
        # The checks of a project look at its own apps.
        made.pop("INSTALLED_APPS", None)
        stack.enter_context(override_settings(**made))
        found = run_checks(tags=["storages"])
    allowed = OLD if made.keys() & set(OLD_SETTINGS.values()) else set()
    assert [str(each) for each in found if each.id not in allowed] == []


@pytest.mark.parametrize("block", of("pycon"))
def test_session_shows_what_python_says(block: Block, tmp_path: Path) -> None:
    test = doctest.DocTestParser().get_doctest(block.code, {}, block.place, None, 0)
    local = {"BACKEND": "storages.backends.overwrite.OverwriteStorage"}
    with override_settings(STORAGES={"default": local}, MEDIA_ROOT=tmp_path):
        result = doctest.DocTestRunner().run(test)
    assert result.failed == 0


@pytest.mark.parametrize("block", of("json"))
def test_block_of_json_can_be_read(block: Block) -> None:
    json.loads(block.code)


@pytest.mark.parametrize("block", of("shell"))
def test_commands_in_the_documentation_exist(block: Block) -> None:
    extras = metadata.metadata("django-storages").get_all("Provides-Extra") or []
    environments = (ROOT / "tox.ini").read_text(encoding="utf-8")
    for line in block.code.replace("\\\n", "").splitlines():
        words = shlex.split(line, comments=True)
        for word in re.findall(r"\[(\w+)\]", line) if "pip install" in line else []:
            assert word in extras
        if "manage.py" in words:
            assert words[words.index("manage.py") + 1] in get_commands()
        if any(word.endswith("tox") for word in words) and "-e" in words:
            name = words[words.index("-e") + 1]
            assert f"[testenv:{name}]" in environments
