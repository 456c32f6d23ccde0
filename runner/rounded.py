"""Numbers as people write them: a few digits, and no exponent where the number is large."""

from __future__ import annotations


def rounded(value: float, digits: int) -> str:
    """Return a number with so many digits that count, or with all of those before the point where it has more."""
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text else text
