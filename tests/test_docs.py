"""README and the documentation: blocks run, settings exist, pages are complete."""

from __future__ import annotations

import ast
import builtins
import doctest
import json
import pkgutil
import re
import shlex
import sys
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.core.management import get_commands
from django.test import override_settings
from django.test.utils import isolate_apps

from storages import backends
from storages.aliases import OLD_SETTINGS
from storages.configured import Configured, options_of
from storages.options import Option
from storages.testing import StorageContract
from tests.blocks import ROOT, Block, blocks, without_language

DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS / "_ext"))
from option_lists import rewritten  # noqa: E402 - found by the line above

HEADINGS = ["Install", "Configure", "Options", "Behaviour", "Limits", "Errors", "Notes"]
#: Pages that are no backend's.
OTHERS = {"common"}
PAGES = sorted(page.stem for page in (DOCS / "backends").glob("*.rst") if page.stem not in OTHERS)

BLOCKS = list(blocks())
#: Languages whose blocks show what a program prints, or are read by programs of others.
SHOWN = {"text", "nginx", "apache"}
#: How many blocks may say that they are not run. A new one is a decision, so it is counted.
NOT_RUN = 2
#: The page on upgrading names settings of other versions, and tells what became of each.
PAGES_WITH_SETTINGS = [
    ROOT / "README.rst",
    *(page for page in DOCS.rglob("*.rst") if page.stem not in {"upgrading", "ecosystem"}),
]
#: What Django's own settings module has before any block of ours.
PRELUDE = {"BASE_DIR": Path("/srv/site")}
#: The message that the documented use of an old setting must have.
OLD = {"storages.W001"}
#: What is said of directories, since those of the examples are on no machine of ours.
ABSENT = "names a directory that is not there"


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
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every variable that a block reads is set; nothing of this machine's own signs URLs."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "known_hosts").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    for each in BLOCKS:
        for name in re.findall(r'os\.environ\["(\w+)"\]', each.code):
            monkeypatch.setenv(name, "dmFsdWU=")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")


@pytest.mark.filterwarnings("ignore:The .*_STORAGE setting is deprecated")
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
    found = [each for each in found if each.id not in allowed and ABSENT not in each.msg]
    assert list(map(str, found)) == []


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
        # The index has another package under this name, up to 1.14.
        assert "'django-storages" not in line or ">=2.0'" in line
        if "manage.py" in words:
            assert words[words.index("manage.py") + 1] in get_commands()
        if any(word.endswith("tox") for word in words) and "-e" in words:
            name = words[words.index("-e") + 1]
            assert f"[testenv:{name}]" in environments


def test_tests_that_the_pages_on_reliability_name_exist() -> None:
    sources = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "storages/testing").glob("*.py")]
    texts = [each.read_text(encoding="utf-8") for each in sources]
    tests = {name for text in texts for name in re.findall(r"def (test_\w+)", text)}
    named = {
        (page.name, name)
        for page in (ROOT / "docs/reliability").glob("*.rst")
        for name in re.findall(r"\b(test_\w+)``", page.read_text(encoding="utf-8"))
    }
    assert len(named) > 200
    assert {(page, name) for page, name in named if name not in tests} == set()


def test_files_that_readme_names_exist() -> None:
    text = (ROOT / "README.rst").read_text(encoding="utf-8")
    named = re.findall(r"``((?:docs|example|tests)/[\w./-]*)``", text)
    assert len(named) > 4
    assert [name for name in named if not (ROOT / name).exists()] == []


# -- options and settings -------------------------------------------------------------------------

#: How the names of our backends' settings begin.
PREFIXES = (
    "AWS",
    "AZURE",
    "COUCHDB",
    "DATABASE",
    "DB_FILES",
    "DEFAULT_LIBCLOUD",
    "DROPBOX",
    "FTP",
    "GZIP",
    "LIBCLOUD",
    "MOGILEFS",
    "SERVE_WITH",
    "SFTP",
)
#: Names that begin so and are no settings: variables of programs of others, and of Django.
OTHERS_NAMES = {
    "AWS_CA_BUNDLE",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "DATABASES",
    "DATABASE_URL",
    "LIBCLOUD_DEBUG",
    "AZURE_BLOBS",
}


def declared() -> dict[str, list[Option]]:
    """Return the options of each backend's classes, by module."""
    found: dict[str, list[Option]] = {}
    for info in pkgutil.iter_modules(backends.__path__):
        if not info.name.startswith("_"):
            module = import_module(f"{backends.__name__}.{info.name}")
            found[info.name] = [
                option
                for cls in vars(module).values()
                if isinstance(cls, type) and issubclass(cls, Configured)
                if re.match(r"storages\.backends\.[a-z]", cls.__module__)
                for option in options_of(cls).values()
            ]
    return found


def text_of(pages: Iterable[Path]) -> str:
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def settings_read() -> set[str]:
    """Return the settings that the package reads: by options, and by name in its source."""
    read = {name for each in declared().values() for option in each for name in option.settings}
    for path in (ROOT / "storages").rglob("*.py"):
        read |= set(re.findall(r"\bsettings\.([A-Z][A-Z_]+)\b", path.read_text(encoding="utf-8")))
    return read


def test_pages_list_the_options_that_the_code_declares() -> None:
    stale = [
        str(page) for page in DOCS.rglob("*.rst") if rewritten(text_of([page])) != text_of([page])
    ]
    assert stale == [], "Run python docs/_ext/option_lists.py."


@pytest.mark.parametrize("module", sorted(declared()))
def test_each_option_and_setting_of_a_backend_has_an_anchor_on_its_page(module: str) -> None:
    page = {"sftpstorage": "sftp", "s3": "s3boto3", "s3boto": "s3boto3"}.get(module, module)
    text = text_of([DOCS / f"backends/{page}.rst"])
    anchors = set(re.findall(r"_`([\w.]+)`", text))
    for option in declared()[module]:
        assert option.name in anchors
        assert {name for name in option.settings if name.lower() not in anchors} <= anchors


def test_every_setting_that_the_code_reads_is_documented() -> None:
    text = text_of(DOCS.rglob("*.rst"))
    assert sorted(name for name in settings_read() if f"`{name}`" not in text) == []


def test_every_setting_in_the_documentation_is_read_by_the_code() -> None:
    options = [option for each in declared().values() for option in each]
    known = settings_read() | {name.partition(".")[0] for name in settings_read()} | OTHERS_NAMES
    known |= {name for option in options for name in option.env}
    text = re.sub(r'os\.environ\["\w+"\]', "", text_of(PAGES_WITH_SETTINGS))
    named = set(
        re.findall(rf"(?<![\w.])((?:{'|'.join(PREFIXES)})_?[A-Z0-9_]*[A-Z0-9])(?![\w*])", text)
    )
    words = set(PREFIXES) | {f"{each}S" for each in PREFIXES}
    assert sorted(named - known - words) == []
