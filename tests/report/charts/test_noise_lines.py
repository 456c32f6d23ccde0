"""Lines of noise: where their levels say, broken where nothing is known."""

from __future__ import annotations

import math

import pytest

from runner.report.charts.noise_lines import NoiseLine, noise_lines
from tests.report.charts.drawn import classed, parsed, texts, tick, tips

LAYERS = ["net/a/Conv", "net/<b>/Conv", "net/c/Conv", "net/d/Conv"]


def points(polyline: object) -> list[tuple[float, float]]:
    return [tuple(map(float, pair.split(","))) for pair in polyline.get("points", "").split()]


def test_lines_lie_at_their_levels_with_more_noise_higher_up() -> None:
    svg = parsed(noise_lines(LAYERS, [NoiseLine("both", "both", [1e-4, 1e-3, 1e-2, 1e-1])], frozenset()))
    # The other one stands in the legend.
    (at,) = [points(line) for line in classed(svg, "noise") if len(points(line)) == 4]
    assert [y for _, y in at] == sorted((y for _, y in at), reverse=True)
    y40, y20 = tick(svg, "40 dB", "y") - 4.5, tick(svg, "20 dB", "y") - 4.5
    assert (at[0][1], at[2][1]) == pytest.approx((y40, y20), abs=0.2)
    # The other side of the picture says the same as a share: 20 dB are a tenth.
    assert tick(svg, "10 %", "y") - 4.5 == pytest.approx(y20, abs=0.1)


def test_line_is_broken_where_nothing_is_known_and_a_lone_point_is_a_dot() -> None:
    noise = [1e-3, math.nan, 1e-3, 1e-2]
    svg = parsed(noise_lines(LAYERS, [NoiseLine("weights", "weights", noise)], frozenset()))
    assert len(classed(svg, "noise-point")) == 1
    assert "weights" not in tips(svg)[1]


def test_marks_say_every_figure_of_a_layer_and_which_is_float() -> None:
    lines = [NoiseLine("layer alone", "own", [1e-4] * 4), NoiseLine("both", "both", [1e-2] * 4)]
    svg = parsed(noise_lines(LAYERS, lines, frozenset([LAYERS[1]]), named=1))
    assert tips(svg)[1] == "2: net/<b>/Conv (float)\nboth: 20.0 dB, 10 %\nlayer alone: 40.0 dB, 1 %"
    # What all names begin with is left out above the picture.
    assert "<b>/Conv" in texts(svg) and len(classed(svg, "float-mark")) == 1


@pytest.mark.parametrize(
    "noise", [[0.0] * 4, [math.nan] * 4, [math.inf, 0.0, 1.0, math.nan], [1e-300, 1e300, 1.0, 0.5], [1.0] * 4]
)
def test_any_noise_gives_a_picture_within_its_bounds(noise: list[float]) -> None:
    drawn = noise_lines(LAYERS, [NoiseLine("a", "own", noise), NoiseLine("b", "both", noise)], frozenset())
    assert "nan" not in drawn.lower() and "inf" not in drawn.lower()
    svg = parsed(drawn)
    _, _, width, height = map(float, svg.get("viewBox", "").split())
    for line in svg.iter("{http://www.w3.org/2000/svg}polyline"):
        assert all(0 <= x <= width and 0 <= y <= height for x, y in points(line))


def test_hundreds_of_layers_stay_small() -> None:
    layers = [f"block{n}/Conv" for n in range(400)]
    lines = [NoiseLine(name, name, [1e-3] * 400) for name in ("own", "weights", "activations", "both")]
    assert len(noise_lines(layers, lines, frozenset(layers[:50]))) < 250_000
