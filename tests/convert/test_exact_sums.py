"""How sums are cut into parts, against the worst input that each part could get."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.convert.exact_sums import exact_sums, part_weight
from runner.graph.layers import Layer
from runner.graph.layout import InputsFirst, Matrix, OutputsFirst
from runner.graph.operators import OPERATORS
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer

LIMIT = 2**24


def layer_of(op_type, channels, group=1, axes=2):
    layout = {"Conv": OutputsFirst(group), "ConvTranspose": InputsFirst(group)}.get(op_type, Matrix(axes))
    return Layer("layer", OPERATORS[op_type], "x", "w", None, layout, channels, op_type.startswith("Conv"))


def quantized(weight, bias=None, zero_point=0):
    record = LayerRecord(ActivationParams(1.0, zero_point), (1.0,))
    bias = None if bias is None else np.asarray(bias, np.int32)
    return QuantizedLayer(record, np.asarray(weight, np.int8), bias)


def worst(weight, zero_point):
    """Return the largest magnitude that any input gives each column of ``weight`` [in, out]."""
    weight = weight.astype(np.int64)
    ends = np.asarray([-128 - zero_point, 127 - zero_point])
    products = weight[None] * ends[:, None, None]
    return np.maximum(products.max(axis=0).sum(axis=0), -products.min(axis=0).sum(axis=0))


@given(
    inputs=st.integers(1, 4000),
    channels=st.integers(1, 3),
    largest=st.integers(1, 127),
    zero_point=st.integers(-128, 127),
    seed=st.integers(0, 99),
)
def test_every_part_stays_exact_for_the_worst_input(inputs, channels, largest, zero_point, seed):
    weight = np.random.default_rng(seed).integers(-largest - 1, largest + 1, (inputs, channels)).astype(np.int8)
    sums = exact_sums(layer_of("MatMul", channels), quantized(weight, zero_point=zero_point))
    assert all(np.all(worst(weight[part], zero_point) < LIMIT) for part in sums.slices)


@given(inputs=st.integers(1, 4000), zero_point=st.integers(-128, 127), seed=st.integers(0, 99))
def test_parts_follow_one_another_over_all_inputs(inputs, zero_point, seed):
    weight = np.random.default_rng(seed).integers(-128, 128, (2, inputs, 1, 1)).astype(np.int8)
    slices = exact_sums(layer_of("Conv", 2), quantized(weight, zero_point=zero_point)).slices
    assert [part.start for part in slices] == [0, *(part.stop for part in slices[:-1])]
    assert slices[-1].stop == inputs
    assert all(part.start < part.stop for part in slices)


@pytest.mark.parametrize(
    ("inputs", "parts"),
    [
        # 127 * 128 = 16256 an input channel at zero point 0; 2**24 / 16256 = 1032.06
        pytest.param(1032, 1, id="just_exact"),
        pytest.param(1033, 2, id="one_too_many"),
        pytest.param(2064, 2, id="two_full_parts"),
        pytest.param(4608, 5, id="five_parts"),
    ],
)
def test_layer_is_cut_into_as_few_parts_as_needed(inputs, parts):
    weight = np.full((1, inputs, 1, 1), 127)
    assert len(exact_sums(layer_of("Conv", 1), quantized(weight)).slices) == parts


def test_every_matrix_of_a_batch_counts_for_itself():
    weight = np.zeros((2, 2064, 3))
    weight[0, :1032], weight[1, 1032:, 1] = 127, 127
    assert len(exact_sums(layer_of("MatMul", 3), quantized(weight)).slices) == 1
    weight[1, 1031, 1] = 127
    assert exact_sums(layer_of("MatMul", 3), quantized(weight)).slices == (slice(0, 2063), slice(2063, 2064))


@pytest.mark.parametrize(
    ("bias", "plain"),
    [
        pytest.param(None, True, id="none"),
        pytest.param(LIMIT - 1 - 128, True, id="just_exact"),
        pytest.param(LIMIT - 128, False, id="one_too_large"),
        pytest.param(-(LIMIT - 128), False, id="one_too_small"),
    ],
)
def test_bias_counts_against_the_limit(bias, plain):
    sums = exact_sums(layer_of("Gemm", 1), quantized([[1]], None if bias is None else [bias]))
    assert (sums.slices, sums.plain) == ((slice(0, 1),), plain)


def test_grouped_convolution_with_a_large_bias_needs_no_slices():
    sums = exact_sums(layer_of("Conv", 8, 8), quantized(np.ones((8, 1, 3, 3)), [2**30] * 8))
    assert (sums.slices, sums.plain) == ((slice(0, 1),), False)


def test_layer_that_no_split_makes_exact_is_refused():
    one_input_channel = quantized(np.full((1, 2, 40, 40), 127))
    with pytest.raises(ValueError, match=r"its integer sums do not stay below 2\*\*24, and no split over input chan"):
        exact_sums(layer_of("Conv", 1), one_input_channel)


@pytest.mark.parametrize(
    ("op_type", "shape", "part"),
    [("Conv", (4, 3, 2, 2), (4, 1, 2, 2)), ("ConvTranspose", (3, 4, 2, 2), (1, 4, 2, 2)), ("Gemm", (3, 5), (1, 5)),
     ("MatMul", (3, 5), (1, 5)), ("MatMul", (1, 3, 5), (1, 1, 5)),
     ("MatMul", (2, 3, 5), (2, 1, 5))],
)  # fmt: skip
def test_part_holds_the_weights_of_its_input_channels(op_type, shape, part):
    weight = np.arange(np.prod(shape)).reshape(shape).astype(np.int8)
    axis = shape.index(3)
    got = part_weight(layer_of(op_type, 4, axes=len(shape)), weight, slice(1, 2))
    assert got.shape == part
    assert np.array_equal(got, np.take(weight, [1], axis=axis))


def test_parts_of_a_grouped_layer_add_up_to_its_weight_without_overlap():
    weight = np.arange(1, 49).reshape(6, 2, 2, 2).astype(np.int8)
    for layer in (layer_of("Conv", 6, 3), layer_of("ConvTranspose", 4, 2)):
        parts = [part_weight(layer, weight, slice(start, start + 1)) for start in range(2 if layer.group == 3 else 3)]
        assert np.array_equal(sum(parts), weight)
        assert np.array_equal(np.maximum.reduce(parts), weight)
