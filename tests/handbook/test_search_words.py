"""What the site's search finds: words, and any two neighbouring characters of Chinese."""

from __future__ import annotations

import pytest

pytest.importorskip("sphinx", reason="needs the extra 'docs'")
from docs.handbook.search_words import EnglishAndChinese


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("target_loss stays", ["target_loss", "stays"]),
        ("敏感层", ["敏感", "感层"]),
        ("层", ["层"]),
        ("用int8量化", ["用", "int8", "量化"]),
        ("", []),
    ],
)
def test_text_is_cut_into_words_and_pairs_of_characters(text: str, words: list[str]) -> None:
    assert EnglishAndChinese({}).split(text) == words
