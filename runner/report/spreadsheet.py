"""Cells of tables that people open in a spreadsheet."""

from __future__ import annotations

from runner.printable import printable

# What begins so is a formula to a spreadsheet, and may start a program; in the wide forms of East Asian keyboards too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def harmless(text: str) -> str:
    """Return a text as a cell that no spreadsheet takes for a formula: behind an apostrophe, which it does not show."""
    seen = printable(text)
    return f"'{seen}" if text.startswith(_FORMULA) else seen
