"""The device's arithmetic against hand-made tables, exact fractions and onnxruntime's own kernels."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from runner import arithmetic
from tests import device

scales = st.floats(2.0**-20, 2.0**20, width=32)
zero_points = st.integers(-128, 127)
ordinary = st.floats(-1e6, 1e6, width=32)


def float32(*values):
    return np.asarray(values, np.float32)


@pytest.mark.parametrize(
    ("x", "zero_point", "code"),
    [
        pytest.param(0.5, 0, 0, id="tie_to_even_zero"),
        pytest.param(1.5, 0, 2, id="tie_to_even_two"),
        pytest.param(-0.5, 0, 0, id="negative_tie_to_even_zero"),
        pytest.param(-1.5, 0, -2, id="negative_tie_to_even_minus_two"),
        pytest.param(0.5, 1, 2, id="odd_zero_point_is_added_before_rounding"),
        pytest.param(1.5, 1, 2, id="odd_zero_point_turns_the_next_tie_down"),
        pytest.param(0.5, -3, -2, id="odd_negative_zero_point"),
        pytest.param(126.5, 0, 126, id="last_tie"),
        pytest.param(127.49, 0, 127, id="largest"),
        pytest.param(500.0, 0, 127, id="saturates_above"),
        pytest.param(-500.0, 0, -128, id="saturates_below"),
        pytest.param(255.0, -128, 127, id="largest_with_the_smallest_zero_point"),
        pytest.param(-255.0, 127, -128, id="smallest_with_the_largest_zero_point"),
        pytest.param(0.0, -128, -128, id="zero_gets_the_zero_point"),
    ],
)
def test_a_number_gets_the_code_of_the_table(x, zero_point, code):
    assert arithmetic.quantize(float32(x), 1.0, zero_point).tolist() == [code]


def test_quantize_multiplies_with_the_rounded_reciprocal():
    """For this pair x * fl32(1/s) is a tie, which goes to -118, while x / s, as QuantizeLinear divides, is above it."""
    scale, x = np.float32(0.15), np.float32(-17.625)
    assert Fraction(float(x)) / Fraction(float(scale)) > Fraction(-235, 2)
    assert np.float32(x / scale) > -117.5
    assert arithmetic.quantize(float32(x), float(scale), 0).tolist() == [-118]


@pytest.mark.parametrize("zero_point", [-128, -7, 0, 5, 127])
def test_quantize_agrees_with_exact_arithmetic_on_many_numbers(zero_point):
    x = np.random.default_rng(0).normal(size=20000).astype(np.float32) * 3
    ours = arithmetic.quantize(x, 0.0235294122, zero_point).astype(np.int64) - zero_point
    assert np.array_equal(ours, device.centred(x, 0.0235294122, zero_point))


@given(x=hnp.arrays(np.float32, 5, elements=ordinary), scale=scales, zero_point=zero_points)
def test_codes_rise_with_the_number(x, scale, zero_point):
    codes = arithmetic.quantize(np.sort(x), scale, zero_point)
    assert np.all(np.diff(codes.astype(int)) >= 0)


@given(code=st.integers(-128, 127), scale=scales, zero_point=zero_points)
def test_dequantized_codes_are_quantized_to_themselves(code, scale, zero_point):
    codes = np.asarray([code], np.int8)
    assert np.array_equal(
        arithmetic.quantize(arithmetic.dequantize(codes, scale, zero_point), scale, zero_point), codes
    )


@given(x=st.floats(-50, 50, width=32), scale=st.floats(2.0**-2, 4, width=32), zero_point=st.integers(-20, 20))
def test_rounding_moves_a_number_inside_the_range_by_half_a_step_at_most(x, scale, zero_point):
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    inside = float32(np.clip(x, low, high))
    back = arithmetic.dequantize(arithmetic.quantize(inside, scale, zero_point), scale, zero_point)
    assert abs(float(back[0]) - float(inside[0])) <= 0.5 * scale * (1 + 1e-4)


def test_zero_is_represented_exactly():
    for zero_point in range(-128, 128):
        codes = arithmetic.quantize(float32(0.0), 0.37, zero_point)
        assert arithmetic.dequantize(codes, 0.37, zero_point).tolist() == [0.0]


@given(scale=scales)
def test_reciprocal_is_the_float32_nearest_to_one_over_the_scale(scale):
    ours = arithmetic.reciprocal(scale)
    true = 1 / Fraction(scale)
    neighbours = (np.nextafter(ours, np.float32(0)), np.nextafter(ours, np.float32(np.inf)))
    error = abs(Fraction(float(ours)) - true)
    assert all(error <= abs(Fraction(float(other)) - true) for other in neighbours)


def test_dequant_scale_is_rounded_to_float32_once():
    scale_d, scale_w = np.float32(0.0798481479), float32(0.00297622895, 0.00213421136)
    expected = [np.float32(float(scale_d) * float(s)) for s in scale_w]
    ours = arithmetic.dequant_scale(float(scale_d), scale_w)
    assert ours.dtype == np.float32
    assert ours.tolist() == [float(value) for value in expected]


def test_weights_are_divided_along_the_channel_axis():
    weight = float32(1, 2, 3, 4, 5, 6).reshape(2, 3)
    assert arithmetic.quantize_weight(weight, float32(1, 0.5), 0).tolist() == [[1, 2, 3], [8, 10, 12]]
    assert arithmetic.quantize_weight(weight, float32(1, 0.5, 0.25), 1).tolist() == [[1, 4, 12], [4, 10, 24]]


def test_one_weight_scale_serves_every_channel():
    weight = float32(-64, -0.25, 0.25, 0.75, 64).reshape(1, 5)
    assert arithmetic.quantize_weight(weight, float32(0.5), 1).tolist() == [[-128, 0, 0, 2, 127]]


def test_bias_is_rounded_half_to_even_in_float64():
    assert arithmetic.quantize_bias(float32(0.5, 1.5, -2.5, 100000.25), float32(1, 1, 1, 0.5)).tolist() == [
        0,
        2,
        -2,
        200000,
    ]


def test_bias_beyond_int32_stays_visible():
    assert arithmetic.quantize_bias(float32(1.0, -1.0), float32(1e-12, 1e-30)).tolist() == [
        round(1.0 / float(np.float32(1e-12))),
        -(2**62),
    ]


@given(
    weight=hnp.arrays(np.int8, (3, 4, 2, 2)),
    bias=hnp.arrays(np.int32, 3, elements=st.integers(-(2**30), 2**30)),
    zero_point=zero_points,
    seed=st.integers(0, 9),
)
def test_no_input_makes_a_sum_larger_than_the_accumulator_bound(weight, bias, zero_point, seed):
    bound = arithmetic.accumulator_bound(weight, bias, zero_point, 0)
    # The worst codes take the end of the range that the sign of the weight asks for.
    flat = weight.astype(np.int64).reshape(3, -1)
    rng = np.random.default_rng(seed)
    for codes in (np.where(flat > 0, 127, -128), np.where(flat > 0, -128, 127), rng.integers(-128, 128, flat.shape)):
        sums = ((codes - zero_point) * flat).sum(axis=1) + bias
        assert np.all(np.abs(sums) <= bound)


def test_accumulator_bound_of_a_known_layer():
    weight = np.asarray([[1, -128], [3, 4]], np.int8)  # [in, out], as a MatMul holds it
    assert arithmetic.accumulator_bound(weight, np.asarray([10, -20], np.int32), -128, 1).tolist() == [
        4 * 255 + 10,
        132 * 255 + 20,
    ]
    assert arithmetic.accumulator_bound(weight, None, 27, 1).tolist() == [4 * 155, 132 * 155]


@pytest.mark.parametrize(("axis", "shape"), [(0, (3, 1, 1)), (1, (1, 3, 1)), (-1, (1, 1, 3))])
def test_values_are_laid_along_one_axis(axis, shape):
    assert arithmetic.along_axis(float32(1, 2, 3), 3, axis).shape == shape


@pytest.mark.parametrize(("scale", "offset"), [(0.03, 0), (0.1, -128), (0.02, 127), (1e-3, 5)])
def test_rounded_is_what_the_codes_stand_for(scale: float, offset: int) -> None:
    x = np.random.default_rng(0).normal(0, 3, (4, 1000)).astype(np.float32)
    expected = arithmetic.dequantize(arithmetic.quantize(x, scale, offset), scale, offset)
    np.testing.assert_array_equal(arithmetic.rounded(x, scale, offset), expected)
    assert arithmetic.rounded(x, scale, offset, out=x) is x
    np.testing.assert_array_equal(x, expected)
