"""The path of a search: plans in their order."""

from __future__ import annotations

import pytest

from runner.report.charts.search_path import search_path
from runner.report.charts.tried import Tried
from tests.report.charts.drawn import classed, parsed, texts, tick, tips


def plans(losses: list[float]) -> list[Tried]:
    names = [f"layer{n}" for n in range(9)]
    return [Tried(n, 0.5, loss, loss < 1, None, n == 1, names[: n % 9], 9) for n, loss in enumerate(losses)]


def test_losses_are_joined_in_the_order_tried_and_bars_count_float_layers() -> None:
    svg = parsed(search_path(plans([3.0, 0.5, 2.0]), unit="points", target=1.0))
    (path,) = classed(svg, "path")
    points = [tuple(map(float, pair.split(","))) for pair in path.get("points", "").split()]
    assert [x for x, _ in points] == sorted(x for x, _ in points)
    y3 = tick(svg, "3", "y") - 4.5
    assert points[0][1] == pytest.approx(y3, abs=0.1) and points[1][1] > points[2][1] > points[0][1]
    bars = [float(bar.get("height", "")) for bar in classed(svg, "bar")]
    assert bars == pytest.approx([0, bars[2] / 2, bars[2]], abs=0.1)
    assert "layers left float, of 9" in texts(svg) and "trial 2: 2 of 9 layers float" in tips(svg)


@pytest.mark.parametrize("count", [2, 60, 500])
def test_any_number_of_plans_is_drawn_within_its_bounds_with_few_numbers_below(count: int) -> None:
    drawn = search_path(plans([float(n % 5) for n in range(count)]), unit="points", target=None)
    svg = parsed(drawn)
    right = float(svg.get("viewBox", "").split()[2])
    assert all(float(bar.get("x", "")) >= 0 and float(bar.get("x", "")) < right for bar in classed(svg, "bar"))
    assert len(classed(svg, "soft")) < 40 and len(drawn) < 450_000
