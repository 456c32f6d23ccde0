"""Histograms and ranges of channels: where values lie, and where int8 ends."""

from __future__ import annotations

import numpy as np
import pytest

from runner.layer_noise.spread import Spread, input_spread, weight_spread
from runner.report.charts.channel_ranges import channel_ranges, widest_first
from runner.report.charts.histogram import histogram
from tests.report.charts.drawn import classed, parsed, texts, tick, tips

RNG = np.random.default_rng(0)
NORMAL = RNG.normal(size=(1, 5, 40, 40)).astype(np.float32) * np.arange(1, 6, dtype=np.float32).reshape(5, 1, 1)


def spread_of(values: np.ndarray, scale: float = 0.05) -> Spread:
    spread = input_spread(values, 1, scale, 0)
    assert spread is not None
    return spread


def points(line: object) -> list[tuple[float, float]]:
    return [tuple(map(float, pair.split(","))) for pair in line.get("points", "").split()]


def test_red_lines_stand_where_int8_ends_on_the_axis_of_the_values() -> None:
    svg = parsed(histogram(spread_of(NORMAL), "its input"))
    low, high = (points(line)[0][0] for line in classed(svg, "clip"))
    per_unit = (tick(svg, "10", "x") - tick(svg, "0", "x")) / 10
    assert high - low == pytest.approx(255 * 0.05 * per_unit, abs=0.3)
    assert {"-6.4", "6.35"} <= set(texts(svg))


def test_height_is_the_logarithm_of_the_count() -> None:
    values = np.repeat(np.array([0.1, 3.1], np.float32), [999, 9]).reshape(1, 1, -1)
    svg = parsed(histogram(spread_of(values), "its input"))
    (area,) = classed(svg, "filled")
    heights = sorted({y for _, y in points(area)})
    bottom = heights[-1]
    assert (bottom - heights[0]) == pytest.approx(3 * (bottom - heights[1]), abs=0.4)
    assert tips(svg) == ["1,008 values; the height is logarithmic"]


def test_band_goes_from_least_to_most_of_each_channel_the_widest_first() -> None:
    spread = spread_of(NORMAL)
    assert list(widest_first(spread)) == list(np.argsort(NORMAL.min((0, 2, 3)) - NORMAL.max((0, 2, 3))))
    svg = parsed(channel_ranges(spread, "its input"))
    (band,) = classed(svg, "filled")
    top, bottom = min(y for _, y in points(band)), max(y for _, y in points(band))
    per_unit = (tick(svg, "0", "y") - tick(svg, "10", "y")) / 10
    assert bottom - top == pytest.approx(float(NORMAL.max() - NORMAL.min()) * per_unit, abs=0.3)


@pytest.mark.parametrize("channels", [1, 2, 200, 5000])
def test_any_number_of_channels_gives_a_small_picture_with_limits_of_each(channels: int) -> None:
    rows = RNG.normal(size=(channels, 9)).astype(np.float32)
    drawn = channel_ranges(weight_spread(rows, np.abs(rows).max(1) / np.float32(127), 127), "its weight")
    assert len(drawn) < 20_000 and len(classed(parsed(drawn), "clip")) == 2


@pytest.mark.parametrize(
    "values", [np.zeros((1, 1, 1)), np.full((1, 2, 3), 1e30), np.full((1, 1, 2), -1e-30), np.full((1, 1, 2), np.nan)]
)
def test_any_values_give_pictures(values: np.ndarray) -> None:
    spread = spread_of(values.astype(np.float32))
    for drawn in (histogram(spread, "<x>"), channel_ranges(spread, "<x>")):
        assert "nan" not in drawn and "inf" not in drawn and "<x>" not in drawn
        parsed(drawn)


def test_same_values_give_the_same_bytes() -> None:
    assert histogram(spread_of(NORMAL), "x") == histogram(spread_of(NORMAL), "x")
