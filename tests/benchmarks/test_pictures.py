"""The pictures of the explanations: each is kept, shown by a page, and drawn the same twice."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.pictures.look import write
from benchmarks.pictures.named import PICTURES

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


@pytest.mark.parametrize("name", PICTURES)
def test_picture_is_kept_and_shown(name: str) -> None:
    picture = DOCS / "pictures" / f"{name}.svg"
    assert ET.parse(picture).getroot().tag.endswith("svg")
    assert any(f"({name}.svg)" in text or f"/{name}.svg)" in text for text in map(Path.read_text, DOCS.rglob("*.md")))


@pytest.mark.parametrize("name", ["interval", "pixels"])
def test_picture_has_the_same_bytes_when_drawn_again(name: str, tmp_path: Path) -> None:
    first, again = tmp_path / "first.svg", tmp_path / "again.svg"
    write(PICTURES[name](), first)
    write(PICTURES[name](), again)
    assert first.read_bytes() == again.read_bytes()
