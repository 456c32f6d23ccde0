"""From ranges to integers: each layer's scales, codes and bias, and layers that cannot be expressed in int8."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest

from runner.calibration.collect import Calibration
from runner.calibration.quantize import Quantization, quantize_layers, quantize_tensors
from runner.graph.tensors import TensorInput
from runner.ranges import Range
from tests.models import onnx_text, prepared

F = np.float32
RANGE = Range(-1.0, 4.0)


def quantized(model: onnx.ModelProto, range_: Range = RANGE, *, symmetric: bool = False) -> Quantization:
    _, found = prepared(model)
    names = [layer.name for layer in found.layers]
    sample = np.linspace(range_.low, range_.high, 1000).astype(F)
    return quantize_layers(
        found,
        Calibration(
            dict.fromkeys(names, range_),
            dict.fromkeys(names, sample),
            dict.fromkeys(names, (1, 2, 4, 4)),
            dict.fromkeys(names, range_),
        ),
        symmetric=names if symmetric else (),
    )


def conv(weight: np.ndarray, bias: np.ndarray | None = None, extra: str = "") -> onnx.ModelProto:
    arrays = {"w": weight.astype(F)} | ({} if bias is None else {"b": bias.astype(F)})
    outputs, inputs = weight.shape[0], weight.shape[1] * (2 if "group" in extra else 1)
    names = "x, w, b" if bias is not None else "x, w"
    return onnx_text(
        f"g (float[N,{inputs},4,4] x) => (float[N,{outputs},H,W] y) {{ y = Conv {extra} ({names}) }}", **arrays
    )


def gemm(weight: np.ndarray, bias: np.ndarray | None = None) -> onnx.ModelProto:
    arrays = {"w": weight.astype(F)} | ({} if bias is None else {"b": bias.astype(F)})
    names = "x, w, b" if bias is not None else "x, w"
    rows, columns = weight.shape
    return onnx_text(f"g (float[N,{rows}] x) => (float[N,{columns}] y) {{ y = Gemm ({names}) }}", **arrays)


@pytest.mark.parametrize("symmetric", [False, True], ids=["asymmetric", "symmetric"])
def test_convolution_gets_a_scale_a_channel_and_its_bias_in_their_units(symmetric: bool) -> None:
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(5, 2, 3, 3)).astype(F), rng.normal(size=5).astype(F)
    layer = quantized(conv(weight, bias), symmetric=symmetric).form.layers["y"]
    scale_d, offset = (F(4) / F(127), 0) if symmetric else (F(5) / F(255), round(1 / (5 / 255)) - 128)
    assert (layer.record.activation.scale, layer.record.activation.zero_point) == (float(scale_d), offset)
    for c in range(5):
        extreme = weight[c].flat[np.argmax(np.abs(weight[c]))]
        scale_w = abs(extreme) / F(128 if extreme < 0 else 127)
        assert layer.record.weight_scales[c] == float(scale_w)
        assert np.array_equal(layer.weight[c], np.rint(weight[c] / scale_w))
        assert layer.bias[c] == round(float(bias[c]) / float(scale_d * scale_w))
    assert layer.weight.dtype == np.int8 and layer.bias.dtype == np.int32


def test_gemm_gets_one_scale_and_a_bias_of_one_value_is_spread() -> None:
    weight = np.random.default_rng(0).normal(size=(4, 3)).astype(F)
    layer = quantized(gemm(weight, np.array([0.5]))).form.layers["y"]
    assert len(layer.record.weight_scales) == 1
    assert layer.bias.tolist() == [round(0.5 / float(F(5) / F(255) * F(layer.record.weight_scales[0])))] * 3


def test_layer_without_bias_stays_without() -> None:
    assert quantized(conv(np.ones((2, 2, 1, 1)))).form.layers["y"].bias is None


def test_dead_layer_gets_scale_one() -> None:
    layer = quantized(conv(np.zeros((3, 2, 1, 1)), np.array([0.0, 1.0, -2.0]))).form.layers["y"]
    assert layer.record.weight_scales == (1.0, 1.0, 1.0)
    assert not layer.weight.any()
    assert layer.bias.tolist() == [0, 51, -102]  # in units of 5 / 255


def test_dead_input_gets_scale_one_and_zero_is_the_first_code() -> None:
    layer = quantized(conv(np.ones((1, 2, 1, 1))), Range(0.0, 0.0)).form.layers["y"]
    assert (layer.record.activation.scale, layer.record.activation.zero_point) == (1.0, -128)


@pytest.mark.parametrize("sign", [1, -1])
def test_bias_beyond_int32_leaves_the_layer_float_and_the_reason_says_how_far(sign: int) -> None:
    weight = np.full((2, 2, 1, 1), 1e-4)
    result = quantized(conv(weight, np.array([1.0, sign * 1e5])))
    in_units = round(float(F(1e5)) / float(F(5) / F(255) * (F(1e-4) / F(127))))
    assert in_units > 2**31
    assert not result.form.layers
    (left,) = result.impossible
    assert (left.name, left.op_type) == ("y", "Conv")
    assert left.reason == (
        f"its bias becomes {in_units} in units of scale_d * scale_w, which exceeds int32 (2147483647)"
    )


def test_one_impossible_layer_does_not_keep_the_others_from_int8() -> None:
    model = onnx_text(
        "g (float[N,2,4,4] x) => (float[N,2,4,4] c) { a = Conv (x, w1)\n b = Conv (a, w2, big)\n c = Conv (b, w3) }",
        w1=np.full((2, 2, 1, 1), 0.5, F),
        w2=np.full((2, 2, 1, 1), 1e-4, F),
        big=np.full(2, 1e5, F),
        w3=np.full((2, 2, 1, 1), 0.5, F),
    )
    result = quantized(model)
    assert list(result.form.layers) == ["a", "c"]
    assert [left.name for left in result.impossible] == ["b"]


def test_activation_scale_beyond_amcts_limit_leaves_the_layer_float_with_the_scale() -> None:
    result = quantized(conv(np.ones((1, 2, 1, 1))), Range(0.0, 255.0 * 2**24))
    assert not result.form.layers
    assert result.impossible[0].reason.startswith("activation scale must be positive, at most 1/FLT_EPSILON")
    assert "got 16777216.0" in result.impossible[0].reason


def test_grouped_layer_whose_sums_no_float_holds_stays_float() -> None:
    # 600 weights of 127 on one input channel times codes up to 255 wide exceed 2 ** 24.
    model = conv(np.ones((2, 1, 20, 30)), extra="<group = 2, pads = [20,30,20,30]>")
    result = quantized(model, Range(0.0, 1.0))
    assert [left.name for left in result.impossible] == ["y"]
    assert "2**24" in result.impossible[0].reason


def test_symmetric_pixels_are_taken_off_their_ties() -> None:
    _, found = prepared(conv(np.ones((1, 3, 1, 1))))
    pixels = ((np.arange(256) - 127.5) / 127.5).astype(F)
    ends = {"y": Range(-1.0, 1.0)}
    seen = Calibration(ends, {"y": pixels}, {"y": (1, 3, 4, 4)}, ends)
    scale = quantize_layers(found, seen).form.layers["y"].record.activation.scale
    assert 2 / 255 < scale < 1.02 * 2 / 255


def test_layers_named_symmetric_get_zero_point_0_and_the_others_do_not() -> None:
    model = onnx_text(
        "g (float[N,2,4,4] x) => (float[N,3,4,4] y) { a = Conv (x, w1)\n b = Conv (x, w2)\n y = Add (a, b) }",
        w1=np.full((3, 2, 1, 1), 0.5, F),
        w2=np.full((3, 2, 1, 1), -0.25, F),
    )
    _, found = prepared(model)
    sample = np.linspace(-1, 4, 1000).astype(F)
    ends = dict.fromkeys("ab", RANGE)
    seen = Calibration(ends, dict.fromkeys("ab", sample), dict.fromkeys("ab", (1, 2, 4, 4)), ends)
    layers = quantize_layers(found, seen, symmetric={"b"}).form.layers
    assert [layers[name].record.activation.zero_point for name in "ab"] == [round(1 / (5 / 255)) - 128, 0]


def test_tensor_gets_the_parameters_that_a_layer_of_the_same_range_gets() -> None:
    _, found = prepared(conv(np.ones((1, 3, 1, 1))))
    tensors = tuple(TensorInput("add", "Add", index, "x") for index in range(3))
    # Values on ties, which widen the range; one tensor lies evenly around zero, one has a scale beyond AMCT's limit.
    pixels = ((np.arange(256) - 127.5) / 127.5).astype(F)
    names = ["y", *(tensor.key for tensor in tensors)]
    ranges = dict.fromkeys(names, Range(-1.0, 1.0)) | {"add:2": Range(0.0, 255.0 * 2**24)}
    seen = Calibration(ranges, dict.fromkeys(names, pixels), dict.fromkeys(names, (1, 3, 4, 4)), ranges)
    layers = quantize_layers(found, seen)
    result = quantize_tensors(layers, replace(found, tensors=tensors), seen, symmetric={"add:1"})
    assert result.form.layers == layers.form.layers and list(result.form.tensors) == ["add:0", "add:1"]
    assert result.form.tensors["add:0"].activation == layers.form.layers["y"].record.activation
    assert result.form.tensors["add:1"].activation.zero_point == 0
    (left,) = result.impossible
    assert (left.name, left.op_type) == ("add:2", "Add")
    assert left.reason.startswith("activation scale must be positive, at most 1/FLT_EPSILON")
