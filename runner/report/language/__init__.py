"""The languages of a page: templates of each in a file beside this one, which only a page in that language reads."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Literal

from runner.strict_json import parse_object
from runner.wording import Language

LanguageName = Literal["en", "zh"]
_CODES = {"zh": "zh-CN"}
# Chinese has a sign of its own between the parts of a list, ends sentences with another, and has no space behind that.
_SEPARATORS = {"zh": {", ": "、", "; ": "；", ";\n": "；\n", " and ": "和", " + ": " + ", " ": ""}}
_STOPS = {"zh": "。"}


@functools.cache
def language_of(name: LanguageName) -> Language | None:
    """Return a language; None for English, which needs no words of its own."""
    return None if name == "en" else Language(_CODES[name], templates(name), _SEPARATORS[name], _STOPS[name])


def templates(name: LanguageName) -> dict[str, str]:
    """Return a language's words: English template -> template with the same values."""
    file = Path(__file__).with_name(f"{name}.json")
    return parse_object(file.read_text(encoding="utf-8"), file.name)
