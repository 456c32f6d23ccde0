"""Sentences as a paragraph of the page."""

from __future__ import annotations

from collections.abc import Sequence

from runner.figure import Paragraph
from runner.wording import listed


def sentences(told: Sequence[str]) -> Paragraph:
    """Return sentences as a paragraph."""
    return Paragraph((listed(told, " "),))
