"""Cells of tables that people open in a spreadsheet."""

from __future__ import annotations

import re
from typing import TypeVar

from runner.printable import printable

# What begins so is a formula to a spreadsheet, and may start a program; in the wide forms of East Asian keyboards too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

Cell = TypeVar("Cell")


def harmless(cell: Cell) -> Cell | str:
    """Return a cell that no spreadsheet takes for a formula: such a text stands behind an apostrophe, numbers as they are."""
    if not isinstance(cell, str):
        return cell
    seen = printable(cell)
    return f"'{seen}" if cell.startswith(_FORMULA) and not _NUMBER.fullmatch(cell) else seen
