"""Bars along the network: as long as their figures say, whatever these are."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest

from runner.report.charts.layer_bars import LayerBar, Measure, bars_along, depth, worst_by_name
from tests.report.charts.drawn import NS, classed, parsed, texts, tick, tips

SHARES = Measure("damage", "{:g} %")
RATIOS = Measure("noise", "{:g}", "log")


def bars(values: list[float], floats: tuple[int, ...] = ()) -> list[LayerBar]:
    return [LayerBar(f"block<{n}>/Conv", v, n in floats, f"{v:g} of it") for n, v in enumerate(values, 1)]


def heights(svg: ET.Element) -> list[float]:
    return [float(bar.get("height", "")) for bar in classed(svg, "bar")]


def test_bars_are_as_high_as_their_values_from_zero() -> None:
    svg = parsed(bars_along(bars([10.0, 40.0, -20.0]), SHARES))
    per_unit = (tick(svg, "0 %", "y") - tick(svg, "40 %", "y")) / 40
    assert heights(svg) == pytest.approx([10 * per_unit, 40 * per_unit, 20 * per_unit], abs=0.11)
    tops = [float(bar.get("y", "")) for bar in classed(svg, "bar")]
    # What is below 0 hangs from the line that the others stand on.
    assert tops[2] == pytest.approx(tops[0] + heights(svg)[0], abs=0.11)


def test_layers_left_float_are_hollow_and_marked_below() -> None:
    svg = parsed(bars_along(bars([1.0, 2.0, 3.0], floats=(2,)), SHARES))
    assert [("float" in (bar.get("class") or "").split()) for bar in classed(svg, "bar")] == [False, True, False]
    assert len(classed(svg, "float-mark")) == 1


def test_dots_lie_where_their_logarithms_say() -> None:
    svg = parsed(bars_along(bars([1e-4, 1e-3, 1e-2, 0.0]), RATIOS))
    y = [float(dot.get("cy", "")) for dot in classed(svg, "dot")]
    assert y[0] - y[1] == pytest.approx(y[1] - y[2], abs=0.2)
    assert y[1] == pytest.approx(tick(svg, "0.001", "y") - 4.5, abs=0.1)
    # 0 has no logarithm: it lies on the lower edge.
    assert y[3] == max(y) == pytest.approx(tick(svg, "1e-05", "y") - 4.5, abs=0.1)


def test_marks_say_layer_and_figure_and_names_are_text() -> None:
    svg = parsed(bars_along(bars([1.0, 2.0]), SHARES))
    assert tips(svg) == ["1: block<1>/Conv\n1 of it", "2: block<2>/Conv\n2 of it"]
    assert "block<2>/Conv" in texts(svg)


@pytest.mark.parametrize("scale", [SHARES, RATIOS])
@pytest.mark.parametrize(
    "values",
    [
        [0.0],
        [0.0, 0.0],
        [math.nan, 1.0],
        [math.inf, 1.0, 2.0],
        [-1.0, -2.0],
        [1e-300, 1e300],
        [math.inf],
        [-math.inf, 0],
    ],
)
def test_every_value_gives_a_picture_within_its_bounds(values: list[float], scale: Measure) -> None:
    for drawn in (bars_along(bars(values), scale), worst_by_name(bars(values), scale)):
        if not drawn:
            continue
        assert "nan" not in drawn.lower().replace("nan of it", "")
        svg = parsed(drawn)
        _, _, width, height = map(float, svg.get("viewBox", "").split())
        for rect in svg.iter(f"{NS}rect"):
            x, y, w, h = (float(rect.get(key, "")) for key in ("x", "y", "width", "height"))
            assert x >= 0 and y >= 0 and x + w <= width + 0.1 and y + h <= height + 0.1


@pytest.mark.parametrize("layers", [1, 2, 14, 15, 53, 300, 2000])
def test_few_numbers_stand_below_any_depth(layers: int) -> None:
    axis = depth(layers)
    assert 1 <= len(axis.marks) <= 15 and all(1 <= mark <= layers for mark in axis.marks)
    assert 0 < axis.place(1) <= axis.place(layers) < 1


def test_hundreds_of_layers_stay_apart_and_small() -> None:
    drawn = bars_along(bars([float(n % 17) for n in range(400)]), SHARES)
    assert len(drawn) < 150_000
    lefts = [float(bar.get("x", "")) for bar in classed(parsed(drawn), "bar")]
    assert lefts == sorted(lefts)


def test_worst_layers_come_first_and_those_that_do_good_are_not_among_them() -> None:
    svg = parsed(worst_by_name(bars([1.0, 4.0, -9.0, 2.0], floats=(4,)), SHARES))
    named = [text.text for text in classed(svg, "name")]
    assert named == ["block<2>/Conv", "block<4>/Conv (left float)", "block<1>/Conv"]
    lengths = [float(bar.get("width", "")) for bar in classed(svg, "bar")]
    assert lengths == pytest.approx([lengths[0], lengths[0] / 2, lengths[0] / 4], abs=0.1)
    assert worst_by_name(bars([0.0, -1.0]), SHARES) == ""
