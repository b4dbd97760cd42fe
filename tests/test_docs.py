from __future__ import annotations

import re
from pathlib import Path

import pytest

from storages.testing import StorageContract

DOCS = Path(__file__).parent.parent / "docs"
HEADINGS = ["Install", "Configure", "Options", "Behaviour", "Limits", "Errors", "Notes"]
#: Pages that are no backend's.
OTHERS = {"common"}
PAGES = sorted(page.stem for page in (DOCS / "backends").glob("*.rst") if page.stem not in OTHERS)


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
