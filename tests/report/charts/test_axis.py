"""Where values lie on an axis."""

from __future__ import annotations

import itertools
import math

import pytest

from runner.report.charts.axis import bent, linear, logarithmic


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 12.0), (0.0, 0.0), (1e-9, 2e-9), (-5.0, -4.0)])
def test_linear_axis_holds_what_it_is_made_for(low: float, high: float) -> None:
    axis = linear(low, high)
    assert axis.place(axis.marks[0]) == 0 and axis.place(axis.marks[-1]) == pytest.approx(1)
    assert 0 <= axis.place(low) <= axis.place(high) <= 1
    middle = (axis.marks[0] + axis.marks[-1]) / 2
    assert axis.place(middle) == pytest.approx(0.5)


@pytest.mark.parametrize(("low", "high"), [(1e-7, 3e-3), (0.5, 0.6), (1.0, 1.0), (1e-30, 1e30), (10.0, 1000.0)])
def test_equal_ratios_are_equally_long_on_a_logarithmic_axis(low: float, high: float) -> None:
    axis = logarithmic(low, high)
    places = [axis.place(mark) for mark in axis.marks]
    assert places[0] == 0 and places[-1] == pytest.approx(1)
    assert 0 <= axis.place(low) <= axis.place(high) <= 1 + 1e-12
    steps = [b - a for a, b in itertools.pairwise(places)]
    assert steps == pytest.approx([steps[0]] * len(steps))
    assert len(axis.marks) <= 8


@pytest.mark.parametrize(
    ("low", "high", "knee"), [(0.0, 60.0, 0.2), (-40.0, 3.0, 0.2), (0.0, 1e6, 0.01), (0.0, 0.0, 1.0)]
)
def test_bent_axis_is_linear_near_0_and_logarithmic_far_from_it(low: float, high: float, knee: float) -> None:
    axis = bent(low, high, knee)
    assert axis.place(axis.marks[0]) == pytest.approx(0) and axis.place(axis.marks[-1]) == pytest.approx(1)
    assert 0 <= axis.place(low) <= axis.place(high) <= 1 and 0.0 in axis.marks
    near = axis.place(knee / 100) - axis.place(0), axis.place(knee / 50) - axis.place(0)
    assert near[1] == pytest.approx(2 * near[0], rel=1e-3)
    far = [axis.place(knee * factor) for factor in (1e3, 1e4, 1e5)]
    assert far[2] - far[1] == pytest.approx(far[1] - far[0], rel=1e-3)
    assert list(axis.marks) == sorted(axis.marks) and math.isfinite(sum(axis.marks))
