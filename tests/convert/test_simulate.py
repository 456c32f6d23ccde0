"""The nodes of one simulated layer: what onnxruntime must and must not see."""

import numpy as np
import pytest

from runner import integer_kernels
from runner.convert.fake_quant import fake_quant_model
from runner.graph.constants import constant
from tests.data import noise
from tests.models import model, node_named, random_form


def simulated(layer="Conv(x, w, b)", weight=(4, 3, 3, 3), *, shape="1,3,6,6", multiply=False, zero_point=3):
    channels = weight[0] if layer.startswith("Conv") else weight[1]
    built = model(
        f"g (float[{shape}] x) => (float[] y) {{ [layer] y = {layer} }}", w=noise(1, *weight), b=noise(2, channels)
    )
    found, form = random_form(built, scale=0.1, zero_point=zero_point)
    return fake_quant_model(found.on(built), form, multiply=multiply).graph, form.layers["layer"]


def op_types(graph):
    return [node.op_type for node in graph]


def test_a_layer_is_rounded_summed_cast_and_dequantized():
    graph, _ = simulated()
    assert op_types(graph) == ["Mul", "Add", "QuantizeLinear", "DequantizeLinear", "Conv", "Cast", "DequantizeLinear"]


def test_the_searchs_form_multiplies_the_sums_at_once(monkeypatch):
    monkeypatch.setattr(integer_kernels, "are_exact", lambda: False)
    graph, _ = simulated(multiply=True)
    assert op_types(graph) == ["Mul", "Add", "QuantizeLinear", "DequantizeLinear", "Conv", "Mul"]


def test_the_searchs_form_takes_integer_operators_where_they_are_exact(monkeypatch):
    monkeypatch.setattr(integer_kernels, "are_exact", lambda: True)
    graph, _ = simulated(multiply=True)
    assert op_types(graph) == ["Mul", "Add", "QuantizeLinear", "ConvInteger", "Add", "DequantizeLinear"]


@pytest.mark.parametrize(
    ("name", "index", "expected"),
    [
        pytest.param("layer.quant.mul", 1, np.float32(1 / np.float64(np.float32(0.1))), id="reciprocal"),
        pytest.param("layer.quant.add", 1, np.float32(3), id="zero_point_before_rounding"),
        pytest.param("layer.quant.round", 1, np.float32(1), id="rounding_to_whole_numbers"),
        pytest.param("layer.quant.round", 2, np.int8(0), id="rounding_adds_no_zero_point"),
        pytest.param("layer.quant.codes", 1, np.float32(1), id="codes_keep_their_scale"),
        pytest.param("layer.quant.codes", 2, np.int8(3), id="codes_lose_the_zero_point"),
    ],
)
def test_rounding_has_the_devices_constants(name, index, expected):
    graph, _ = simulated()
    value = constant(node_named(graph, name).inputs[index])
    assert value.dtype == expected.dtype
    assert value == expected


def test_weights_and_bias_are_float_tensors_of_the_integers():
    graph, layer = simulated()
    _, weight, bias = (constant(value) for value in node_named(graph, "layer").inputs)
    assert weight.dtype == bias.dtype == np.float32
    assert np.array_equal(weight, layer.weight)
    assert np.array_equal(bias, layer.bias)


def test_no_weight_sits_behind_a_dequantizelinear():
    graph, _ = simulated()
    assert all(constant(node.inputs[0]) is None for node in graph if node.op_type == "DequantizeLinear")


def test_dequantizing_scale_is_a_product_per_output_channel():
    graph, layer = simulated()
    dequant = node_named(graph, "layer.dequant")
    expected = [np.float32(np.float64(np.float32(0.1)) * np.float64(s)) for s in layer.record.weight_scales]
    assert constant(dequant.inputs[1]).tolist() == [float(value) for value in expected]
    assert dequant.attributes["axis"].as_int() == 1


@pytest.mark.parametrize(
    ("layer", "shape", "axis"), [("Gemm(x, w, b)", "2,6", 1), ("MatMul(x, w)", "2,5,6", -1)], ids=["gemm", "matmul"]
)
def test_one_weight_scale_is_spread_over_the_outputs(layer, shape, axis):
    """A scalar scale lets onnxruntime push the DequantizeLinear through what follows, in 8 bits."""
    graph, _ = simulated(layer, (6, 5), shape=shape)
    dequant = node_named(graph, "layer.dequant")
    assert constant(dequant.inputs[1]).shape == (5,)
    assert dequant.attributes["axis"].as_int() == axis


@pytest.mark.parametrize(
    ("layer", "weight", "shape"),
    [("Conv(x, w, b)", (1, 3, 3, 3), "1,3,6,6"), ("Gemm(x, w, b)", (6, 1), "2,6")],
    ids=["conv", "gemm"],
)
def test_layer_of_one_channel_multiplies_instead_of_dequantizing_with_a_scalar(layer, weight, shape):
    graph, _ = simulated(layer, weight, shape=shape)
    assert op_types(graph)[-4:] == [layer.split("(")[0], "Cast", "Cast", "Mul"]


def test_the_layer_keeps_its_attributes():
    graph, _ = simulated("Conv<pads=[1,0,2,1], strides=[2,1], dilations=[1,2]>(x, w)")
    attributes = {name: attribute.as_ints() for name, attribute in node_named(graph, "layer").attributes.items()}
    assert attributes == {"pads": (1, 0, 2, 1), "strides": (2, 1), "dilations": (1, 2)}
