"""A figure of every layer along the network, the larger the worse; and the worst of them by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree as ET

from runner.report.charts.axis import Axis, linear, logarithmic
from runner.report.charts.drawing import (
    LETTER,
    dot,
    ending,
    line,
    mark,
    picture,
    rectangle,
    text,
    without_common_start,
    written,
)
from runner.report.charts.plane import BOTTOM, LEFT, RIGHT, WIDTH, Area, Plane
from runner.wording import listed, say

_HEIGHT, _LABEL_ROWS, _ROW = 336, 3, 17
_NAMED, _LONGEST = 4, 30
_WIDEST = 20
_WORST_ROW, _LISTED, _LISTED_LETTERS = 37, 10, 42


@dataclass(frozen=True, slots=True)
class LayerBar:
    """A layer's bar.

    Attributes:
        layer: its name.
        value: the larger the worse.
        is_float: whether the result leaves it float.
        told: the figure in words.
    """

    layer: str
    value: float
    is_float: bool
    told: str


@dataclass(frozen=True, slots=True)
class Measure:
    """What the bars of a picture mean.

    Attributes:
        title: of the axis.
        form: how a value is written beside it.
        scale: whether equal differences or equal ratios are equally long.
    """

    title: str
    form: str = "{:g}"
    scale: Literal["linear", "log"] = "linear"

    def axis(self, values: Sequence[float]) -> Axis:
        """Return the axis for values; those that are not finite, or not above 0 where ratios count, are left to its edges."""
        finite = [value for value in values if math.isfinite(value)]
        if self.scale == "linear":
            return linear(min(0.0, *finite, 0.0), max(0.0, *finite, 0.0))
        above = [value for value in finite if value > 0] or [1.0]
        # A bar of the least value shall be seen.
        axis = logarithmic(min(above) / 1.5, max(above))
        return Axis(axis.marks, lambda value: axis.place(value) if value > 0 else 0.0)


def bars_along(bars: Sequence[LayerBar], measure: Measure) -> str:
    """Return the picture of all layers, in the order of the network; the worst few have their names above.

    Args:
        bars: at least one, in the order of the network.
        measure: of their values.
    """
    up = measure.axis([bar.value for bar in bars])
    area = Area(LEFT, WIDTH - RIGHT, 32 + _LABEL_ROWS * _ROW, _HEIGHT - BOTTOM)
    plane = Plane(area, depth(len(bars)), up)
    svg = picture(WIDTH, _HEIGHT, say("{measure}, layer by layer along the network", measure=measure.title), "chart")
    text(svg, (4, 18), measure.title)
    plane.rows(svg, "", measure.form.format)
    plane.columns(svg, say("layers, in the order of the network"), lines=False)
    step = (area.right - area.left) / len(bars)
    half = min(_WIDEST, 0.72 * step) / 2
    zero = plane.y(0.0)
    for number, bar in enumerate(bars, 1):
        x, group = plane.x(number), mark(svg, listed([f"{number}: {bar.layer}", bar.told], "\n"))
        rectangle(group, (x - step / 2, area.top), (x + step / 2, area.bottom + 6), "hit")
        if not math.isnan(bar.value):
            _bar(group, bar, (x, half), (zero, plane.y(bar.value)), measure)
        if bar.is_float:
            reach = min(half, 4)
            rectangle(group, (x - reach, area.bottom + 1.5), (x + reach, area.bottom + 5), "float-mark")
    line(svg, [(area.left, zero), (area.right, zero)], "axis")
    _names(svg, bars, plane)
    return written(svg)


def _bar(
    group: ET.Element, bar: LayerBar, across: tuple[float, float], up: tuple[float, float], measure: Measure
) -> None:
    """Draw a bar around its middle, or where lengths mean nothing a dot on a stem."""
    (x, half), (zero, top) = across, up
    if measure.scale == "linear":
        rectangle(group, (x - half, zero), (x + half, top), "bar float" if bar.is_float else "bar")
    else:
        line(group, [(x, zero), (x, top)], "stem")
        dot(group, (x, top), max(1.6, min(4.5, half)), "dot open" if bar.is_float else "dot")


def depth(layers: int) -> Axis:
    """Return the axis along the network: layer 1 to so many, each in the middle of its share of the length."""
    step = next(step for power in range(6) for step in (10**power, 2 * 10**power, 5 * 10**power) if layers / step <= 14)
    marks = [number for number in range(1, layers + 1) if number == 1 or number % step == 0]
    if len(marks) > 1 and marks[1] - 1 < step / 2:
        del marks[0]
    return Axis([float(number) for number in marks], lambda number: (number - 0.5) / layers)


def worst_first(bars: Sequence[LayerBar]) -> list[LayerBar]:
    """Return the bars that say something, the largest first; equal ones in their order."""
    return sorted((bar for bar in bars if bar.value > 0), key=lambda bar: -bar.value)


def worst_by_name(bars: Sequence[LayerBar], measure: Measure) -> str:
    """Return the picture of the worst layers, the worst on top, each below its name; empty where none is bad."""
    shown = worst_first(bars)[:_LISTED]
    if not shown:
        return ""
    height = _WORST_ROW * len(shown) + 6
    svg = picture(WIDTH, height, say("{measure}: the worst layers", measure=measure.title), "chart")
    # From 0, whatever the axis along the network is: lengths beside each other are compared as they are.
    most = max((bar.value for bar in shown if math.isfinite(bar.value)), default=1.0)
    for row, bar in enumerate(shown):
        top, group = row * _WORST_ROW, mark(svg, listed([bar.layer, bar.told], "\n"))
        rectangle(group, (0, top), (WIDTH, top + _WORST_ROW), "hit")
        named = ending(bar.layer, _LISTED_LETTERS)
        text(group, (4, top + 19), say("{layer} (left float)", layer=named) if bar.is_float else named, "name")
        text(group, (WIDTH - 4, top + 19), measure.form.format(bar.value), "soft", anchor="end")
        share = min(1.0, bar.value / most)
        kind = "bar float" if bar.is_float else "bar"
        rectangle(group, (4, top + 25), (4 + max(1.0, share * (WIDTH - 8)), top + 33), kind)
    return written(svg)


def _names(svg: ET.Element, bars: Sequence[LayerBar], plane: Plane) -> None:
    """Write the names of the worst bars above the picture, where they do not lie on each other."""
    worst = worst_first(bars)[:_NAMED]
    numbers = {id(bar): number for number, bar in enumerate(bars, 1)}
    taken = [plane.area.left - LETTER] * _LABEL_ROWS
    short = without_common_start([bar.layer for bar in bars])
    written_: list[tuple[float, float, str]] = []
    for bar in sorted(worst, key=lambda bar: numbers[id(bar)]):
        number = numbers[id(bar)]
        name, x = ending(short[number - 1], _LONGEST), plane.x(number)
        length = LETTER * len(name)
        start = min(max(x - length / 2, plane.area.left), plane.area.right - length)
        row = next((row for row in reversed(range(_LABEL_ROWS)) if taken[row] + LETTER <= start), None)
        if row is None:
            continue
        taken[row] = start + length
        y = plane.area.top - 8 - (_LABEL_ROWS - 1 - row) * _ROW
        line(svg, [(x, y + 4), (x, plane.y(bar.value) - 2)], "leader wide")
        written_.append((start, y, name))
    for start, y, name in written_:
        text(svg, (start, y), name, "halo wide")
