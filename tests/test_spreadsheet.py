"""Texts that a spreadsheet would run are put behind an apostrophe; all others stay as they are."""

from __future__ import annotations

import pytest

from runner.printable import printable
from runner.spreadsheet import harmless


@pytest.mark.parametrize(
    "text", ["=cmd|'/c calc'!A1", "+1+1", "-1|x", "-", "@SUM(A1)", "\t=1", "\r=1", "\uff1d1", "\uff0d"]
)
def test_formulas_are_made_texts(text: str) -> None:
    assert harmless(text) == f"'{printable(text)}"


@pytest.mark.parametrize("number", [-1, -0.25, None, "-1", "-0.25", "+2e-3", "-.5"])
def test_numbers_stay_numbers(number: object) -> None:
    assert harmless(number) == number


@pytest.mark.parametrize("text", ["", "a=b", "3 of 4 found", "'=1", "\u732b", " =1", "1-2"])
def test_other_texts_stay(text: str) -> None:
    assert harmless(text) == text
