"""The Chinese pages: each has the headings, code, tables and lists of its English page, and each leads to the other."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.command import ROOT

DOCS = ROOT / "docs"
CHINESE = sorted((DOCS / "zh").rglob("*.md"))
# A front page says what there is in its own language, which is not the same.
TRANSLATED = [page for page in CHINESE if page != DOCS / "zh" / "index.md"] + sorted(ROOT.glob("README.zh*.md"))
INDENTED = re.compile(r"(?<=\n\n) {4}[^\n]*(?:\n+ {4}[^\n]*)*")
FENCED = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)[^)]*\)([^\[\n]*)")


def english_of(page: Path) -> Path:
    return ROOT / "README.md" if page.parent == ROOT else DOCS / page.relative_to(DOCS / "zh")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def code(text: str) -> list[str]:
    """Return the code blocks of a page with their fences, in their order."""
    rest = FENCED.sub(lambda block: "~" * len(block[0]), text)
    found = [*FENCED.finditer(text), *INDENTED.finditer(rest)]
    return [block[0] for block in sorted(found, key=lambda block: block.start())]


def outline(text: str) -> list[str]:
    """Return what every line outside of code is: a heading of which level, a row of a table, an entry of a list."""
    rest = INDENTED.sub("", FENCED.sub("", text))
    found: list[str] = re.findall(r"^(#+ |\|(?= )|(?:\*|\d+\.) )", rest, re.MULTILINE)
    return found


def link(to: Path, page: Path) -> str:
    return os.path.relpath(to, page.parent)


@pytest.mark.parametrize("page", TRANSLATED, ids=lambda page: page.stem)
def test_code_is_that_of_the_english_page(page: Path) -> None:
    assert code(read(page)) == code(read(english_of(page)))


@pytest.mark.parametrize("page", TRANSLATED, ids=lambda page: page.stem)
def test_headings_tables_and_lists_are_those_of_the_english_page(page: Path) -> None:
    assert outline(read(page)) == outline(read(english_of(page)))


@pytest.mark.parametrize("page", dict.fromkeys(CHINESE + TRANSLATED), ids=lambda page: page.stem)
def test_each_page_leads_to_the_other_below_its_title(page: Path) -> None:
    english = english_of(page)
    assert read(page).split("\n")[1:4] == ["", f"[English]({link(english, page)})", ""]
    assert read(english).split("\n")[1:4] == ["", f"[中文]({link(page, english)})", ""]


@pytest.mark.parametrize("page", CHINESE, ids=lambda page: page.stem)
def test_links_lead_to_chinese_pages_or_say_that_they_are_english(page: Path) -> None:
    for to, behind in LINK.findall(read(page).split("\n", 4)[4]):
        there = (page.parent / to).resolve()
        assert there.is_file(), f"{page}: {to}"
        if DOCS / "zh" not in there.parents:
            assert not (DOCS / "zh" / there.relative_to(DOCS)).is_file(), f"{to} has a Chinese page"
            assert re.match(r"（英文）|，英文）", behind), f"{page}: {to} is English"


def test_code_and_outline_are_read_off_a_page() -> None:
    text = "# A\n\n```sh\n# no heading\n```\n\n* x\n\n    python a\n\n    b\n\n| a |\n| - |\n\n## B\n"
    assert code(text) == ["```sh\n# no heading\n```", "    python a\n\n    b"]
    assert outline(text) == ["# ", "* ", "|", "|", "## "]
