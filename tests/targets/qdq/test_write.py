"""The Q/DQ file: the layers' own integers, computed by any runtime as a layer on dequantized numbers."""

import numpy as np
import pytest

from runner.graph.constants import constant
from runner.graph.layers import find_layers
from runner.graph.opset import raise_opset
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers, TensorRecord
from runner.session import REFERENCE, Session, plain
from runner.targets.ascend.limits import ASCEND
from runner.targets.qdq.kernels import kernels_of
from runner.targets.qdq.write import PORTABLE, TENSORRT, Dialect, qdq_model
from tests.data import noise
from tests.models import layer_form, model, node_named, random_form

F = np.float32
LAYERS = {
    "conv": ("1,3,6,6", (4, 3, 3, 3), "Conv<pads=[1,1,1,1]>(x, w, b)"),
    "conv over one axis": ("1,3,6", (4, 3, 3), "Conv(x, w, b)"),
    "depthwise": ("1,4,6,6", (4, 1, 3, 3), "Conv<group=4>(x, w, b)"),
    "transposed": ("1,3,4,4", (3, 4, 2, 2), "ConvTranspose<strides=[2,2]>(x, w, b)"),
    "transposed in groups": ("1,4,4,4", (4, 2, 2, 2), "ConvTranspose<group=2>(x, w, b)"),
    "transposed depthwise": ("1,4,4,4", (4, 1, 2, 2), "ConvTranspose<group=4>(x, w, b)"),
    "gemm": ("2,6", (6, 4), "Gemm(x, w, b)"),
    "matmul": ("2,5,6", (6, 4), "MatMul(x, w)"),
}


def built_from(name):
    shape, weight, text = LAYERS[name]
    constants = {"w": noise(1, *weight)} | ({"b": noise(2, 4)} if "b)" in text else {})
    return model(f"g (float[{shape}] x) => (float[] y) {{ [layer] y = {text} }}", **constants)


def axis_of_outputs(name):
    return {"gemm": 1, "matmul": 1, "transposed": 1}.get(name, 0)


def real_weight(name, layer, scales):
    """Return ``code * scale`` of each output channel, by a loop over the channels."""
    real = layer.weight.astype(F)
    for channel, scale in enumerate(scales):
        if name.startswith("transposed") and name != "transposed":
            group = {"transposed depthwise": 4}.get(name, 2)
            inputs, outputs = len(real) // group, real.shape[1]
            at = channel // outputs
            real[at * inputs : (at + 1) * inputs, channel % outputs] *= scale
        else:
            index = [slice(None)] * real.ndim
            index[axis_of_outputs(name)] = channel
            real[tuple(index)] *= scale
    return real


def per_channel(form, channels):
    """Return the form with one weight scale an output for its one layer."""
    layer = form.layers["layer"]
    scales = tuple(float(F(s)) for s in np.random.default_rng(5).uniform(0.001, 0.02, channels))
    record = LayerRecord(layer.record.activation, scales)
    return QuantizedLayers({"layer": QuantizedLayer(record, layer.weight, layer.bias)})


@pytest.mark.parametrize("dialect", [PORTABLE, Dialect("int8"), TENSORRT], ids=["uint8", "int8", "tensorrt"])
@pytest.mark.parametrize("name", LAYERS)
def test_the_file_computes_the_layer_on_dequantized_numbers(name, dialect):
    """Against the float operator on ``q_w * scale_w`` and ``(q - zero) * scale_d``, one scale a channel everywhere."""
    zero_point = 0 if dialect.symmetric else -5
    built = built_from(name)
    found, form = random_form(built, scale=0.25, zero_point=zero_point)
    form = per_channel(form, found.layer("layer").channels)
    layer = form.layers["layer"]
    shape = tuple(int(n) for n in LAYERS[name][0].split(","))
    x = (0.25 * np.random.default_rng(3).integers(-140, 140, shape)).astype(F)
    real = np.clip(np.round(x / 0.25) + zero_point, -128, 127) - zero_point
    scales = np.asarray(layer.record.weight_scales)
    exact = model(
        f"g (float[{LAYERS[name][0]}] x) => (float[] y) {{ [layer] y = {LAYERS[name][2]} }}",
        w=real_weight(name, layer, scales),
        b=(np.zeros(4) if layer.bias is None else layer.bias * 0.25 * scales).astype(F),
    )
    (expected,) = Session(exact, REFERENCE).run({"x": (0.25 * real).astype(F)})
    written = qdq_model(found, form, dialect)
    for level in ("none", "basic", "extended", "all"):
        (got,) = Session(written, plain(level)).run({"x": x})
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max(), err_msg=level)


def test_one_scale_a_group_lies_along_the_axis_of_a_transposed_weight():
    """What every runtime reads as a weight: one DequantizeLinear, nothing behind it."""
    built = built_from("transposed depthwise")
    found, form = random_form(built)
    graph = qdq_model(found, form).graph
    dequantize = node_named(graph, "layer.weight.real")
    assert dequantize.attributes["axis"].as_int() == 0
    assert constant(dequantize.inputs[1]).tolist() == [F(s) for s in form.layers["layer"].record.weight_scales]
    assert {node.op_type for node in graph} == {"QuantizeLinear", "DequantizeLinear", "ConvTranspose"}


def test_the_file_holds_the_forms_integers_and_scales():
    built = built_from("conv")
    found, form = random_form(built, scale=0.1, zero_point=3)
    graph, layer = qdq_model(found, form).graph, form.layers["layer"]
    weight, scales, zero = (constant(value) for value in node_named(graph, "layer.weight.real").inputs)
    assert np.array_equal(weight, layer.weight) and weight.dtype == zero.dtype == np.int8
    assert scales.tolist() == list(layer.record.weight_scales) and not zero.any()
    bias, scales = (constant(value) for value in node_named(graph, "layer.bias.real").inputs)
    assert np.array_equal(bias, layer.bias) and bias.dtype == np.int32
    assert scales.tolist() == [float(F(0.1) * F(s)) for s in layer.record.weight_scales]


def test_averages_and_other_inputs_are_rounded_and_the_rest_stays_float():
    built = model(
        "g (float[1,2,4,4] x) => (float[] y) { [p] p = AveragePool<kernel_shape=[2,2], strides=[2,2]>(x) [a] y = Add(p, p) }"
    )
    ones = np.ones((1, 1, 2, 2), np.int8)
    form = QuantizedLayers(
        {"p": QuantizedLayer(LayerRecord(ActivationParams(0.5, 3), (1.0,)), ones, None)},
        {"a:1": TensorRecord(ActivationParams(2.0, 0))},
    )
    x = noise(0, 1, 2, 4, 4)
    pooled = (np.round(x * 2) / 2).reshape(1, 2, 2, 2, 2, 2).mean((3, 5))
    (y,) = Session(qdq_model(find_layers(built, ASCEND), form), REFERENCE).run({"x": x})
    np.testing.assert_allclose(y, pooled + np.round(pooled / 2) * 2, atol=1e-6)


def test_uint8_codes_are_the_records_plus_128():
    built = built_from("conv")
    found, form = random_form(built, scale=0.1, zero_point=3)
    graph = qdq_model(found, form).graph
    _, scale, zero = (constant(value) for value in node_named(graph, "layer.quant.quantize").inputs)
    assert (scale, zero, zero.dtype) == (F(0.1), 131, np.uint8)


def test_a_symmetric_dialect_refuses_another_zero_point_by_name():
    built = built_from("conv")
    found, form = random_form(built, zero_point=3)
    with pytest.raises(ValueError, match="layer has zero point 3"):
        qdq_model(found, form, TENSORRT)
    tensors = QuantizedLayers({}, {"a:1": TensorRecord(ActivationParams(1.0, -1))})
    with pytest.raises(ValueError, match="a:1 has zero point -1"):
        qdq_model(found, tensors, TENSORRT)


@pytest.mark.parametrize("opset", [13, 21])
def test_the_same_form_holds_at_any_opset(opset):
    built = raise_opset(model("g (float[1,3,6,6] x) => (float[] y) { [layer] y = Conv(x, w) }", opset=13,
                              w=noise(0, 4, 3, 3, 3)), opset)  # fmt: skip
    found, form = random_form(built)
    written = qdq_model(found, form)
    assert written.opset_imports[""] == opset
    assert kernels_of(written).counts["DequantizeLinear"] >= 0  # it loads


PADDED = """g (float[1,3,6,6] x) => (float[] y) {
    [p] s = Pad(x, pads) [layer] y = Conv<strides=[2,2]>(s, w)
}"""


def test_zeros_padded_in_front_of_a_convolution_become_its_own():
    """Against integer sums over codes padded with the zero point: rounding first changes nothing, since zero is a code."""
    built = model(PADDED, w=noise(1, 4, 3, 3, 3), pads=np.array([0, 0, 0, 0, 0, 0, 1, 1]))
    found, form = random_form(built, scale=0.02, zero_point=-7)
    written = qdq_model(found, form)
    assert "Pad" not in {node.op_type for node in written.graph}
    assert list(node_named(written.graph, "layer").attributes["pads"].as_ints()) == [0, 0, 1, 1]
    assert node_named(built.graph, "p") is not None  # of the source, which stays as it is
    x = noise(3, 1, 3, 6, 6)
    codes = np.pad(np.clip(np.round(x / F(0.02)) - 7, -128, 127) + 7, [(0, 0), (0, 0), (0, 1), (0, 1)])
    layer = form.layers["layer"]
    (y,) = Session(written, plain("none")).run({"x": x})
    for row, column in np.ndindex(y.shape[2:]):
        window = codes[0, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        expected = (layer.weight * window[None]).sum((1, 2, 3)) * np.asarray(layer.record.weight_scales) * 0.02
        np.testing.assert_allclose(y[0, :, row, column], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("pads", [[0, 1, 0, 0, 0, 0, 0, 0], [0, 0, -1, 0, 0, 0, 0, 0]], ids=["channels", "a cut"])
def test_other_padding_stays(pads):
    built = model(
        "g (float[1,3,6,6] x) => (float[] y) { s = Pad(x, pads) [layer] y = Conv(s, w) }",
        w=noise(1, 4, 3 + pads[1], 3, 3),
        pads=np.array(pads),
    )
    found, form = random_form(built)
    assert "Pad" in {node.op_type for node in qdq_model(found, form).graph}


def test_the_bias_behind_a_product_of_matrices_is_an_integer_too():
    """Off by half a unit of the sums at most; else onnxruntime computes the layer in float."""
    bias = noise(4, 5)
    built = model(
        "g (float[2,6] x) => (float[] y) { [layer] h = MatMul(x, w) [add] y = Add(h, b) }", w=noise(0, 6, 5), b=bias
    )
    found = find_layers(built, ASCEND)
    form = QuantizedLayers({"layer": layer_form(found, "layer", (6, 5), with_bias=False, scale=0.05)})
    written = qdq_model(found, form)
    codes, scale = (constant(value) for value in node_named(written.graph, "layer.bias.real").inputs)
    unit = F(F(0.05) * F(form.layers["layer"].record.weight_scales[0]))
    assert codes.dtype == np.int32 and np.all(scale == unit)
    assert np.all(np.abs(codes * unit.astype(np.float64) - bias) <= unit / 2)
    assert kernels_of(written).counts["QGemm"] == 1


def test_layers_that_read_one_tensor_alike_share_its_rounding():
    built = model("g (float[1,4] x) => (float[] y, float[] z) { [a] y = MatMul(x, w) [b] z = MatMul(x, v) }",
                  w=noise(0, 4, 4), v=noise(1, 4, 2))  # fmt: skip
    found = find_layers(built, ASCEND)
    form = QuantizedLayers({name: layer_form(found, name, (4, n), with_bias=False) for name, n in (("a", 4), ("b", 2))})
    assert [node.op_type for node in qdq_model(found, form).graph].count("QuantizeLinear") == 1
