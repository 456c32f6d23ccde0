"""The site of docs/ builds without a warning, has every page, and asks no other machine for anything."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import ROOT

DOCS = ROOT / "docs"
LOADED = re.compile(r"<(?:script|link|img|iframe)\b[^>]*?\b(?:src|href)=\"(?:https?:)?//[^\"]*\"")
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("furo") is None or importlib.util.find_spec("myst_parser") is None,
    reason="needs the extra 'docs'",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "html"
    line = [sys.executable, "-m", "docs.handbook", "build", str(folder)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


def test_what_cuts_a_query_is_a_script_that_a_browser_reads(site: Path) -> None:
    script = (site / "_static" / "language_data.js").read_text(encoding="utf-8")
    assert "function splitQuery" in script
    # Sphinx makes a name of the language's: with a space in it nothing would be found, and nothing would say so.
    assert re.search(r"Stemmer = (EnglishStemmer;|function)", script)


@pytest.fixture(scope="module")
def index(site: Path) -> dict[str, object]:
    text = (site / "searchindex.js").read_text(encoding="utf-8")
    found: dict[str, object] = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    return found


def test_every_page_is_there_and_in_the_side_bar(site: Path) -> None:
    front = (site / "index.html").read_text(encoding="utf-8")
    for page in DOCS.rglob("*.md"):
        name = page.relative_to(DOCS).with_suffix(".html").as_posix()
        assert (site / name).is_file(), name
        assert name == "index.html" or f'href="{name}"' in front, name


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert LOADED.findall(page.read_text(encoding="utf-8")) == [], page


def test_search_index_has_words_of_both_languages(index: dict[str, object]) -> None:
    terms = index["terms"]
    assert isinstance(terms, dict)
    assert {"calibr", "int8", "amct", "量化", "校准"} <= set(terms)


def test_a_broken_link_ends_the_build(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "conf.py").write_text((DOCS / "conf.py").read_text(encoding="utf-8"), encoding="utf-8")
    (docs / "index.md").write_text("# Front\n\n[gone](nothing.md)\n", encoding="utf-8")
    line = [sys.executable, "-m", "sphinx", "-b", "html", "-n", "-q", "-W", str(docs), str(tmp_path / "html")]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=120, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode != 0
    assert "nothing.md" in done.stderr
