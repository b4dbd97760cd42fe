"""What mypy with django-stubs, and pyright, say of a project that uses the package."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.settings import BUILD

PROJECT = Path(__file__).with_name("typed")
REPOSITORY = PROJECT.parent.parent
CONFIGURATION = """
[mypy]
strict = True
# The package is found as source, but the project alone is checked.
follow_imports = silent
plugins = mypy_django_plugin.main

[mypy.plugins.django-stubs]
django_settings_module = typed_settings
"""

pytestmark = pytest.mark.skipif(
    find_spec("mypy") is None or find_spec("mypy_django_plugin") is None,
    reason="impossible: mypy and django-stubs are not installed, but 'tox -e types' has them",
)


def errors(path: Path, configuration: Path) -> dict[int, str]:
    """Return what mypy finds in a file, by line."""
    environment = {"PYTHONPATH": str(PROJECT), "MYPYPATH": str(REPOSITORY)}
    process = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-context"),
            *("--config-file", configuration, "--cache-dir", BUILD / "mypy", path),
        ],
        env=os.environ | environment,
        cwd=PROJECT,
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    assert process.returncode in {0, 1}, process.stdout + process.stderr
    found = re.findall(rf"^{path.name}:(\d+): error: (.*)$", process.stdout, re.MULTILINE)
    assert len(found) == process.stdout.count(": error: "), process.stdout
    return {int(number): text for number, text in found}


def expected_errors(path: Path) -> dict[int, str]:
    """Return what the comments of a file say of its lines' errors."""
    return {
        number: line.partition("# error: ")[2]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if "# error: " in line
    }


def test_project_type_checks_and_misspelt_options_do_not(tmp_path: Path) -> None:
    configuration = tmp_path / "mypy.ini"
    configuration.write_text(CONFIGURATION, encoding="utf-8")
    path = PROJECT / "project.py"
    expected = expected_errors(path)
    found = errors(path, configuration)
    assert found.keys() == expected.keys(), found
    assert [found[number] for number in expected if expected[number] not in found[number]] == []


@pytest.mark.skipif(
    find_spec("pyright") is None,
    reason="impossible: pyright is not installed, but 'tox -e types' has it",
)
def test_pyright_finds_the_same_errors_as_mypy(tmp_path: Path) -> None:
    path = tmp_path / "project.py"
    path.write_bytes((PROJECT / "project.py").read_bytes())
    configuration = {"typeCheckingMode": "standard", "extraPaths": [str(REPOSITORY), str(PROJECT)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(configuration), encoding="utf-8")
    process = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable],
        env=os.environ | {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},
        cwd=tmp_path,
        check=False,
        capture_output=True,
        encoding="utf-8",
    )
    found = {
        each["range"]["start"]["line"] + 1: each["message"]
        for each in json.loads(process.stdout)["generalDiagnostics"]
        if each["severity"] == "error"
    }
    assert found.keys() == expected_errors(path).keys(), found
