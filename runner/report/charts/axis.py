"""Axes of our pictures: round numbers to write beside them, and where a value lies."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_TICKS = 6
# Powers of ten beside each other on a bent or logarithmic axis; beyond, every second, third ... one is written.
_DECADES = 6


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis of a picture.

    Attributes:
        marks: values to write beside it, ascending, the first and the last at its ends.
        place: of a value, 0 at the first mark to 1 at the last; what lies beyond is beyond.
    """

    marks: Sequence[float]
    place: Callable[[float], float]


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


def linear(low: float, high: float) -> Axis:
    """Return an axis on which equal differences are equally long."""
    marks = ticks(low, high)
    return Axis(marks, scale(marks, 0.0, 1.0))


def logarithmic(low: float, high: float) -> Axis:
    """Return an axis on which equal ratios are equally long, from a power of ten to another; both ends are above 0."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    last = max(last, first + 1)
    step = -(-(last - first) // _DECADES)
    last = first + step * -(-(last - first) // step)
    marks = [10.0**power for power in range(first, last + 1, step)]
    return Axis(marks, lambda value: (math.log10(value) - first) / (last - first))


def bent(low: float, high: float, knee: float) -> Axis:
    """Return an axis that is linear around 0 and logarithmic far beyond ``knee``: losses around a target, and large ones.

    Args:
        low: the least value, drawn.
        high: the largest one.
        knee: above 0, where one goes over into the other.
    """

    def bend(value: float) -> float:
        return math.asinh(value / knee)

    def outward(reach: float) -> list[float]:
        """Return the marks from the knee to the first at or beyond a value."""
        count = max(0, math.ceil(math.log10(max(reach, knee) / knee) - 1e-9))
        step = max(1, -(-count // _DECADES))
        return [knee * 10.0**power for power in range(0, step * -(-count // step) + 1, step)]

    below = [-value for value in reversed(outward(-low))] if low < 0 else []
    marks = [*below, 0.0, *(outward(high) if high > 0 else [])]
    if len(marks) == 1:
        marks.append(knee)
    start, end = bend(marks[0]), bend(marks[-1])
    return Axis(marks, lambda value: (bend(value) - start) / (end - start))
