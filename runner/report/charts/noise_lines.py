"""Noise at the output of every layer, as lines along the network: in dB below the signal, and as a share of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from runner.report.charts.axis import Axis, ticks
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
from runner.report.charts.layer_bars import depth
from runner.report.charts.plane import BOTTOM, LEFT, WIDTH, Area, Plane
from runner.wording import listed, say

_HEIGHT, _TOP, _RIGHT, _TITLES = 376, 66, 84, 118
# Less than this is no noise that anybody could see.
_LEAST_DB, _MOST_DB = -90.0, 20.0
# Percent from which on no digit behind the point is written.
_WHOLE = 10


@dataclass(frozen=True, slots=True)
class NoiseLine:
    """A line of the picture.

    Attributes:
        name: in its legend.
        kind: its class: ``both``, ``weights``, ``activations`` or ``own``; the last are dots.
        noise: of each layer, as power over that of the signal; NaN where it is not known.
    """

    name: str
    kind: str
    noise: Sequence[float]


def noise_lines(
    layers: Sequence[str], lines: Sequence[NoiseLine], float_layers: frozenset[str], *, named: int | None = None
) -> str:
    """Return the picture.

    Args:
        layers: their names, in the order of the network, at least one.
        lines: the most telling last, which is drawn above the others.
        float_layers: those that the result leaves float.
        named: index of a layer whose name stands above the last line; None for none.
    """
    levels = [[_db(value) for value in drawn.noise] for drawn in lines]
    known = [level for of_line in levels for level in of_line if not math.isnan(level)] or [0.0]
    marks = ticks(max(_LEAST_DB, min(known)), min(_MOST_DB, max(known)))
    low, high = marks[0], marks[-1]
    up = Axis(marks, lambda value: (value - low) / (high - low))
    plane = Plane(Area(LEFT, WIDTH - _RIGHT, _TOP, _HEIGHT - BOTTOM), depth(len(layers)), up)
    svg = picture(WIDTH, _HEIGHT, say("noise at the output of every layer, along the network"), "chart")
    plane.rows(svg, "", lambda value: f"{-value:g} dB" if value else "0 dB")
    for value in marks:
        text(svg, (plane.area.right + 7, plane.y(value) + 4.5), _percent(value), "soft")
    plane.columns(svg, say("layers, in the order of the network"), lines=False)
    text(svg, (4, _TOP - 18), say("signal to noise"))
    text(svg, (WIDTH - 4, _TOP - 18), say("noise / signal"), anchor="end")
    for drawn, of_line in zip(lines, levels, strict=True):
        _draw(svg, plane, drawn, of_line)
    _legend(svg, lines)
    if named is not None:
        name = ending(without_common_start(layers)[named], 40)
        _name(svg, name, (plane.x(named + 1), plane.y(levels[-1][named])))
    _marks(svg, plane, layers, lines, levels, float_layers)
    return written(svg)


def _db(noise: float) -> float:
    """Return a level in dB over the signal, within the bounds of the picture; NaN where it is not known."""
    if math.isnan(noise):
        return math.nan
    return min(_MOST_DB, max(_LEAST_DB, 10 * math.log10(noise))) if noise > 0 else _LEAST_DB


def _percent(db: float) -> str:
    share = 100 * 10 ** (db / 20)
    return f"{share:.0f} %" if share >= _WHOLE else f"{share:.2g} %"


def _draw(svg: ET.Element, plane: Plane, drawn: NoiseLine, levels: Sequence[float]) -> None:
    """Draw a line, broken where nothing is known; or its dots."""
    points = [(plane.x(n), plane.y(level)) if level == level else None for n, level in enumerate(levels, 1)]
    radius = 2.6 if len(levels) <= 80 else 1.6
    if drawn.kind == "own":
        for point in points:
            if point is not None:
                dot(svg, point, radius, "noise own")
        return
    piece: list[tuple[float, float]] = []
    for point in [*points, None]:
        if point is not None:
            piece.append(point)
            continue
        if len(piece) > 1:
            line(svg, piece, f"noise {drawn.kind}")
        elif piece:
            dot(svg, piece[0], radius, f"noise-point {drawn.kind}")
        piece = []


def _name(svg: ET.Element, name: str, at: tuple[float, float]) -> None:
    """Write a layer's name above the area, between the titles of its axes, and join it with its point."""
    x, y = at
    half = LETTER * len(name) / 2
    middle = min(max(x, _TITLES + half), WIDTH - _TITLES - half)
    line(svg, [(min(max(x, middle - half), middle + half), _TOP - 13), (x, _TOP - 6), (x, y - 4)], "leader wide")
    text(svg, (middle, _TOP - 18), name, "wide", anchor="middle")


def _legend(svg: ET.Element, lines: Sequence[NoiseLine]) -> None:
    """Write what the lines are, in the order of drawing backwards: the most telling first."""
    step = (WIDTH - 8) / max(1, len(lines))
    for number, drawn in enumerate(reversed(lines)):
        x = 4 + number * step
        if drawn.kind == "own":
            dot(svg, (x + 12, 13), 3, "noise own")
        else:
            line(svg, [(x, 13), (x + 24, 13)], f"noise {drawn.kind}")
        text(svg, (x + 31, 17.5), drawn.name)


def _marks(
    svg: ET.Element,
    plane: Plane,
    layers: Sequence[str],
    lines: Sequence[NoiseLine],
    levels: Sequence[Sequence[float]],
    float_layers: frozenset[str],
) -> None:
    """Put over each layer what all lines say of it."""
    area = plane.area
    step = (area.right - area.left) / len(layers)
    for number, name in enumerate(layers, 1):
        x, index = plane.x(number), number - 1
        figures = [
            say(
                "{line}: {level:.1f} dB, {share}",
                line=drawn.name,
                level=-of_line[index],
                share=_percent(of_line[index]),
            )
            for drawn, of_line in reversed(list(zip(lines, levels, strict=True)))
            if of_line[index] == of_line[index]
        ]
        named = f"{number}: {name}"
        told = [say("{layer} (float)", layer=named) if name in float_layers else named, *figures]
        group = mark(svg, listed(told, "\n"))
        rectangle(group, (x - step / 2, area.top), (x + step / 2, area.bottom + 6), "hit")
        if name in float_layers:
            reach = min(step / 3, 4)
            rectangle(group, (x - reach, area.bottom + 1.5), (x + reach, area.bottom + 5), "float-mark")
