"""Words for the search: English ones by their stems, Chinese text by pairs of neighbouring characters.

Chinese has no spaces between words, and a dictionary of words would be another dependency. A query is cut in the same way, in
the browser, so that any part of a sentence of two characters or more is found.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.search import languages
from sphinx.search.en import SearchEnglish

_HAN = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RUN = re.compile(rf"[{_HAN}]+|[^\W{_HAN}]+")
_HAN_RUN = re.compile(rf"[{_HAN}]+")
_IN_THE_BROWSER = r"""
function splitQuery(query) {
  const han = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff";
  const runs = query.match(new RegExp("[" + han + "]+|(?:(?![" + han + "])[\\p{L}\\p{N}_])+", "gu")) || [];
  return runs.flatMap((run) =>
    new RegExp("^[" + han + "]").test(run) && run.length > 1
      ? Array.from({ length: run.length - 1 }, (_, start) => run.slice(start, start + 2))
      : [run]);
}
"""


class EnglishAndChinese(SearchEnglish):
    """What the index holds and a query is cut into."""

    lang = "en-zh"
    language_name = "English"  # by which its stemmer is called in the browser
    js_splitter_code = _IN_THE_BROWSER

    def split(self, input: str) -> list[str]:
        """Return the words of a text."""
        return [word for run in _RUN.findall(input) for word in _words(run)]


def _words(run: str) -> list[str]:
    if len(run) > 1 and _HAN_RUN.match(run):
        return [run[start : start + 2] for start in range(len(run) - 1)]
    return [run]


def setup(app: Sphinx) -> dict[str, Any]:
    """Let Sphinx know the language as ``en-zh``."""
    languages["en-zh"] = EnglishAndChinese
    return {"parallel_read_safe": True, "parallel_write_safe": True}
