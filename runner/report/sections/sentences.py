"""Sentences as a paragraph of the page."""

from __future__ import annotations

from collections.abc import Sequence

from runner.figure import Paragraph


def sentences(told: Sequence[str]) -> Paragraph:
    """Return sentences as a paragraph."""
    return Paragraph([part for sentence in told for part in (sentence, " ")][:-1])
