"""From where to where the values of each channel go, beside what int8 can say of them."""

from __future__ import annotations

import numpy as np

from runner.layer_noise.spread import Spread
from runner.report.charts.axis import linear
from runner.report.charts.drawing import line, mark, picture, text, written
from runner.report.charts.histogram import HEIGHT, WIDTH
from runner.report.charts.plane import Area, Plane
from runner.wording import say

_AREA = Area(52, WIDTH - 8, 30, HEIGHT - 34)
# More channels would be less than two units wide each.
_MOST = 180


def channel_ranges(spread: Spread, what: str) -> str:
    """Return the picture: a band from the least to the most of each channel, the widest first.

    Args:
        spread: of the values.
        what: they are, in words.
    """
    order = widest_first(spread)
    count = len(order)
    shown = order[np.unique(np.linspace(0, count - 1, min(count, _MOST)).round().astype(int))]
    least, most = (side[shown].astype(float) for side in spread.channels)
    low, high = (np.broadcast_to(side, count)[shown].astype(float) for side in spread.limits)
    across = linear(0, 1)
    up = linear(float(min(least.min(), low.min())), float(max(most.max(), high.max())))
    plane = Plane(_AREA, across, up)
    svg = picture(WIDTH, HEIGHT, say("range of each channel of {what}", what=what), "chart small")
    plane.rows(svg, "")
    edges = [place / len(shown) for place in range(len(shown) + 1)]
    upper, lower = _stairs(edges, most), _stairs(edges, least)
    told = say(
        "{count} channels, the widest first: from {least:.4g} to {most:.4g}",
        count=count,
        least=float(least.min()),
        most=float(most.max()),
    )
    line(mark(svg, told), [plane.at(*point) for point in [*upper, *reversed(lower)]], "filled")
    for side in (low, high):
        line(svg, [plane.at(*point) for point in _stairs(edges, side)], "clip")
    channels = say("{count} channels, the widest first", count=count) if count > 1 else say("one channel")
    text(svg, ((_AREA.left + _AREA.right) / 2, _AREA.bottom + 20), channels, "soft", anchor="middle")
    return written(svg)


def widest_first(spread: Spread) -> np.ndarray:
    """Return the channels' numbers in the order of their ranges, the widest first; equal ones in their order."""
    return np.argsort(spread.channels[0] - spread.channels[1], kind="stable")


def _stairs(edges: list[float], heights: np.ndarray) -> list[tuple[float, float]]:
    return [point for n, height in enumerate(heights) for point in ((edges[n], height), (edges[n + 1], height))]
