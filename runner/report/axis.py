"""Axes of our pictures: round numbers to write beside them, and where a value lies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

_TICKS = 6


def ticks(low: float, high: float) -> list[float]:
    """Return about 6 round numbers, the first at or below ``low``, the last at or above ``high``."""
    span = (high - low) or 1.0
    power = 10.0 ** math.floor(math.log10(span / _TICKS))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= span / _TICKS)
    first, last = math.floor(low / step), math.ceil(high / step)
    if first == last:
        last += 1
    # Rounded, so that 3 * 0.1 is written 0.3.
    return [round(index * step, 12) for index in range(first, last + 1)]


def scale(marks: Sequence[float], start: float, end: float) -> Callable[[float], float]:
    """Return where a value lies on an axis from its first tick, at ``start``, to its last, at ``end``."""
    low, high = marks[0], marks[-1]
    return lambda value: start + (value - low) / (high - low) * (end - start)
