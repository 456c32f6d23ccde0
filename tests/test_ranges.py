"""Scales and zero points of ranges against AMCT's formulas in exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runner.ranges import ActivationParams, Range, activation_params, symmetric_scale

bounds = st.floats(-1e6, 1e6, width=32)


@pytest.mark.parametrize(
    ("low", "high", "scale", "zero_point"),
    [
        pytest.param(0.0, 6.0, 6 / 255, -128, id="relu6"),
        pytest.param(-1.0, 1.04, 0.008, -3, id="both_signs"),
        pytest.param(-6.0, 0.0, 6 / 255, 127, id="never_positive"),
        pytest.param(2.0, 5.1, 5.1 / 255, -128, id="range_above_zero_is_widened_to_zero"),
        pytest.param(-5.1, -2.0, 5.1 / 255, 127, id="range_below_zero_is_widened_to_zero"),
        pytest.param(-1.0, 2.0, 3 / 255, -43, id="one_third_below_zero"),
        pytest.param(0.0, 0.0, 1.0, -128, id="nothing_but_zero"),
        pytest.param(-1e-6, 1e-6, 1.0, -128, id="negligible"),
    ],
)
def test_asymmetric_range_gets_the_scale_and_zero_point_of_the_table(low, high, scale, zero_point):
    params = activation_params(Range(low, high))
    assert params.scale == pytest.approx(scale, rel=1e-6)
    assert params.zero_point == zero_point


@pytest.mark.parametrize(
    ("low", "high", "scale"),
    [
        pytest.param(-1.0, 1.0, 1 / 127, id="alike_divides_by_127"),
        pytest.param(-1.0, 0.5, 1 / 128, id="negative_extreme_divides_by_128"),
        pytest.param(-0.5, 1.0, 1 / 127, id="positive_extreme_divides_by_127"),
        pytest.param(-1e-9, 0.0, 1.0, id="negligible_gets_one"),
    ],
)
def test_symmetric_range_is_divided_by_the_sign_of_its_extreme(low, high, scale):
    params = activation_params(Range(low, high), symmetric=True)
    assert params == ActivationParams(float(np.float32(scale)), 0)


def test_symmetric_scales_of_channels_are_taken_one_by_one():
    scale = symmetric_scale(np.float32([-128, -1, 2, 0]), np.float32([1, 127, 254, 0]))
    assert scale.dtype == np.float32
    assert scale.tolist() == [1.0, 1.0, 2.0, 1.0]


@given(low=bounds, high=bounds)
def test_asymmetric_codes_span_the_range_and_zero(low, high):
    low, high = min(low, high), max(low, high)
    assume(max(high, 0.0) - min(low, 0.0) > 1e-3)
    params = activation_params(Range(low, high))
    step = Fraction(params.scale)
    smallest, largest = (-128 - params.zero_point) * step, (127 - params.zero_point) * step
    # The zero point is rounded, so either end may be cut by half a step.
    slack = step * Fraction(50001, 100000)
    assert smallest <= min(Fraction(low), 0) + slack
    assert largest >= max(Fraction(high), 0) - slack
    assert smallest <= 0 <= largest


@given(low=bounds, high=bounds)
def test_symmetric_codes_reach_the_extreme_and_no_further_than_needed(low, high):
    low, high = min(low, high), max(low, high)
    extreme = max(-low, high, 0.0)
    assume(extreme > 1e-3)
    scale = activation_params(Range(low, high), symmetric=True).scale
    code = -128 if -low > high else 127
    assert abs(code) * scale == pytest.approx(extreme, rel=1e-6)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize(
    ("low", "high"),
    [(float("nan"), 1.0), (0.0, float("nan")), (-float("inf"), 0.0), (0.0, float("inf")), (0.0, 1e39)],
)
def test_range_that_is_not_finite_is_refused(low, high, symmetric):
    with pytest.raises(ValueError, match=r"activation range must be finite, got .* \.\. "):
        activation_params(Range(low, high), symmetric=symmetric)


def test_range_wider_than_float32_is_refused():
    with pytest.raises(ValueError, match=r"activation scale must be positive, at most 1/FLT_EPSILON"):
        activation_params(Range(-3e38, 3e38))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e-46, 1e-39, 8388609.0])
def test_scale_without_a_use_on_the_device_is_refused(scale):
    with pytest.raises(ValueError, match=r"activation scale must be positive, .* got "):
        ActivationParams(scale, 0)


@pytest.mark.parametrize("zero_point", [-129, 128])
def test_zero_point_outside_int8_is_refused(zero_point):
    with pytest.raises(ValueError, match=rf"activation zero point must lie in -128\.\.127, got {zero_point}"):
        ActivationParams(1.0, zero_point)


@pytest.mark.parametrize("scale", [float(np.float32(1.2e-38)), 8388608.0])
def test_the_outermost_legal_scales_are_taken(scale):
    assert ActivationParams(scale, -128).scale == scale
