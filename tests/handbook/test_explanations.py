"""Explanations point at code that is there, name their sources, and stay short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted(path for path in (ROOT / "docs" / "explanation").glob("*.md") if path.name != "index.md")
MOST_WORDS = 950


def places(text: str) -> list[Path]:
    """Return the files and folders that a page names, one without a folder in that of the one before it."""
    found: list[Path] = []
    folder = Path()
    for name in re.findall(r"`((?:runner|conf|tests|benchmarks)/[\w./-]*|\w+\.py)`", text):
        path = Path(name) if "/" in name else folder / name
        folder = path if name.endswith("/") else path.parent
        found.append(path)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_that_a_page_names_is_there(page: Path) -> None:
    assert not [str(place) for place in places(page.read_text(encoding="utf-8")) if not (ROOT / place).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_is_short(page: Path) -> None:
    assert len(page.read_text(encoding="utf-8").split()) <= MOST_WORDS


@pytest.mark.parametrize("folder", ["explanation", "reference", "measured"])
def test_every_page_is_in_the_index_of_its_folder(folder: str) -> None:
    pages = {path.name for path in (ROOT / "docs" / folder).glob("*.md")} - {"index.md"}
    assert not pages - set(
        re.findall(r"\((\S+\.md)\)", (ROOT / "docs" / folder / "index.md").read_text(encoding="utf-8"))
    )
