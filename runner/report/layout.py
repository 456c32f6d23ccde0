"""Text laid out for a terminal: lines broken at spaces, names behind a separator, and never within a word."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from rich.cells import cell_len, chop_cells
from rich.console import Console

# Where a name without spaces may be broken: behind what separates its parts.
_PARTS = re.compile(r"[^/_.:,+-]*[/_.:,+-]+|[^/_.:,+-]+")
_NARROWEST = 20


def console(stream: TextIO) -> Console:
    """Return a console on a stream: with colours only where that is a terminal, whatever the environment asks for."""
    made = Console(file=stream, force_terminal=stream.isatty(), highlight=False)
    # What stands before each line takes room too.
    taken = getattr(stream, "taken", 0)
    made.width = max(_NARROWEST, made.width - taken)
    return made


def wrapped(text: str, width: int) -> list[str]:
    """Return a text in lines of at most so many columns; a word that is longer is broken behind ``/``, ``_``, ``.`` and such.

    Only a part that is longer than a line by itself is broken anywhere.
    """
    lines, line = [], ""
    for word in _pieces(text, width):
        if line and cell_len(line) + cell_len(word.rstrip()) > width:
            lines.append(line.rstrip())
            line = ""
        line += word
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def beside(title: str, text: str, width: int, *, room: int) -> list[str]:
    """Return a text in lines beside its title, which has ``room`` columns."""
    lines = [line for part in text.split("\n") for line in wrapped(part, max(_NARROWEST, width - room))]
    return [f"{title if place == 0 else '':<{room}}{line}".rstrip() for place, line in enumerate(lines)]


def shortest(path: Path) -> str:
    """Return a path as it is typed in the directory of the command, where that is shorter."""
    try:
        near = os.path.relpath(path)
    except (OSError, ValueError):  # the directory is gone, or on another drive
        return str(path)
    return str(path) if near.startswith(os.pardir) or len(near) >= len(str(path)) else near


def standard_output() -> Console:
    """Return the console of standard output."""
    return console(sys.stdout)


def standard_error() -> Console:
    """Return the console of standard error."""
    return console(sys.stderr)


def _pieces(text: str, width: int) -> Iterator[str]:
    """Yield words with the spaces behind them, those that are longer than a line in parts; a comparison is one word."""
    for word in re.findall(r"\s*\S+(?:\s[<>]=?\s\S+)?\s*", text):
        if cell_len(word.strip()) <= width:
            yield word
        else:
            for part in _PARTS.findall(word):
                yield from chop_cells(part, width)
