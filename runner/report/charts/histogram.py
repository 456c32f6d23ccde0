"""A histogram of values that are rounded, with the ends of what int8 can say."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import numpy as np

from runner.layer_noise.spread import Spread
from runner.report.charts.axis import Axis, scale, ticks
from runner.report.charts.drawing import line, mark, picture, rectangle, text, written
from runner.report.charts.plane import Area, Plane
from runner.wording import say

WIDTH, HEIGHT = 420, 220
_AREA = Area(14, WIDTH - 14, 30, HEIGHT - 34)
_MARKS = 6


def histogram(spread: Spread, what: str) -> str:
    """Return the picture: how many values lie where, on a logarithmic scale, and between what int8 does not clip them.

    Args:
        spread: of the values.
        what: they are, in words.
    """
    edges, counts = spread.edges, spread.counts
    filled = np.flatnonzero(counts)
    low = min(spread.low, float(edges[filled[0]])) if len(filled) else spread.low
    high = max(spread.high, float(edges[filled[-1] + 1])) if len(filled) else spread.high
    margin = 0.03 * (high - low)
    across = Axis([low - margin, high + margin], scale([low - margin, high + margin], 0.0, 1.0))
    most = math.log10(max(10, int(counts.max(initial=1)) + 1))
    plane = Plane(_AREA, across, Axis([0.0, most], lambda value: value / most))
    svg = picture(WIDTH, HEIGHT, say("histogram of {what}", what=what), "chart small")
    for value, beyond in ((spread.low, _AREA.left), (spread.high, _AREA.right)):
        rectangle(svg, (plane.x(value), _AREA.top), (beyond, _AREA.bottom), "beyond")
    inside = slice(filled[0], filled[-1] + 1) if len(filled) else slice(0, 0)
    _steps(svg, plane, edges[inside.start : inside.stop + 1], counts[inside])
    for value in (spread.low, spread.high):
        line(svg, [(plane.x(value), _AREA.top - 8), (plane.x(value), _AREA.bottom)], "clip")
    _ends(svg, plane, spread)
    numbers(svg, plane, low, high)
    return written(svg)


def numbers(svg: ET.Element, plane: Plane, low: float, high: float) -> None:
    """Write round numbers below the area, those between two values."""
    line(svg, [(plane.area.left, plane.area.bottom), (plane.area.right, plane.area.bottom)], "axis")
    marks = [value for value in ticks(low, high) if low <= value <= high]
    for value in marks if len(marks) <= _MARKS else marks[::2]:
        text(svg, (plane.x(value), plane.area.bottom + 18), f"{value:g}", "soft", anchor="middle")


def _steps(svg: ET.Element, plane: Plane, edges: np.ndarray, counts: np.ndarray) -> None:
    """Draw the bins as one area."""
    if not len(counts):
        return
    points = [(plane.x(float(edges[0])), plane.area.bottom)]
    for start, end, count in zip(edges[:-1], edges[1:], counts, strict=True):
        y = plane.y(math.log10(1 + count))
        points += [(plane.x(float(start)), y), (plane.x(float(end)), y)]
    points.append((plane.x(float(edges[-1])), plane.area.bottom))
    line(mark(svg, say("{count:,} values; the height is logarithmic", count=int(counts.sum()))), points, "filled")


def _ends(svg: ET.Element, plane: Plane, spread: Spread) -> None:
    """Write what int8 can say at its ends."""
    for value, anchor in ((spread.low, "start"), (spread.high, "end")):
        text(svg, (plane.x(value), _AREA.top - 13), f"{value:.3g}", "clip-name", anchor=anchor)
