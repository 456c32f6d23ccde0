"""The numbers of a report that sweeps compare, as a tracker takes them."""

from __future__ import annotations

import math
import re

from runner.figure import Report

# A tracker's list opens on these.
_FIRST = ("loss", "quantized/", "float/", "layers/int8")
# The headline, the loss, the layers.
_IN_A_SENTENCE = 3
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]")


def tracked(report: Report) -> dict[str, float]:
    """Return a job's numbers for a tracker, the headline first; names are ``group/name``."""
    given = [(figure.tracked, figure.value) for figure in report.figures if figure.tracked]
    numbers = {name: float(value) for name, value in given if value is not None and math.isfinite(value)}
    return dict(sorted(numbers.items(), key=lambda number: _place(number[0])))


def sentence(report: Report) -> str:
    """Return the result in a sentence of markdown: what came of what, then the first figures that the page shows."""
    cards = [figure.card for figure in report.figures if figure.card is not None][:_IN_A_SENTENCE]
    shown = [f"{card.title} {card.figure}" + (f" ({card.below})" if card.below else "") for card in cards]
    return f"**{report.verdict[0]}**: {report.model} on {report.dataset}; {'; '.join(shown)}."


def tracker_name(text: str) -> str:
    """Return a text as one part of a number's name: MLflow takes few signs."""
    return _NOT_IN_NAMES.sub("_", text)


def _place(name: str) -> int:
    return next((place for place, first in enumerate(_FIRST) if name.startswith(first)), len(_FIRST))
