"""The Q/DQ twin: the same integers as the form, and onnxruntime runs it with its int8 kernels."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from runner.convert.qdq_twin import qdq_twin
from runner.graph.constants import constant
from runner.graph.layers import find_layers
from runner.graph.model_file import model_bytes
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayer, QuantizedLayers, TensorRecord
from runner.session import REFERENCE, Session
from tests.data import noise
from tests.models import layer_form, model, node_named, random_form

F = np.float32
LAYERS = {
    "conv": ("1,3,6,6", (4, 3, 3, 3), "Conv<pads=[1,1,1,1]>(x, w, b)"),
    "depthwise": ("1,4,6,6", (4, 1, 3, 3), "Conv<group=4>(x, w, b)"),
    "transposed": ("1,3,4,4", (3, 4, 2, 2), "ConvTranspose<strides=[2,2]>(x, w, b)"),
    "transposed_groups": ("1,4,4,4", (4, 2, 2, 2), "ConvTranspose<group=2>(x, w, b)"),
    "gemm": ("2,6", (6, 4), "Gemm(x, w, b)"),
    "matmul": ("2,5,6", (6, 4), "MatMul(x, w)"),
}


def built_from(name):
    shape, weight, text = LAYERS[name]
    constants = {"w": noise(1, *weight)} | ({"b": noise(2, 4)} if "b)" in text else {})
    return model(f"g (float[{shape}] x) => (float[] y) {{ [layer] y = {text} }}", **constants)


@pytest.mark.parametrize("name", LAYERS)
def test_twin_computes_the_layer_on_dequantized_integers(name):
    """Against the float operator on real weights ``q_w * scale_w`` and inputs ``(q - zero) * scale_d``, in float64."""
    built = built_from(name)
    found, form = random_form(built, scale=0.25, zero_point=-5)
    layer = form.layers["layer"]
    shape = tuple(int(n) for n in LAYERS[name][0].split(","))
    x = (0.25 * np.random.default_rng(3).integers(-120, 120, shape)).astype(F)
    real = np.clip(np.round(x / 0.25) - 5, -128, 127) + 5
    scales = np.asarray(layer.record.weight_scales)
    if name == "transposed_groups":  # one scale an output channel: two of each group's
        rows = layer.weight.reshape(2, 2, 2, 2, 2) * scales.reshape(2, 1, 2, 1, 1)
        weights = rows.reshape(layer.weight.shape)
    else:
        axis = {"transposed": 1, "gemm": 1, "matmul": 1}.get(name, 0)
        weights = layer.weight * scales.reshape([-1 if i == axis else 1 for i in range(layer.weight.ndim)])
    exact = model(
        f"g (float[{LAYERS[name][0]}] x) => (float[] y) {{ [layer] y = {LAYERS[name][2]} }}",
        w=weights.astype(F),
        b=(np.zeros(4) if layer.bias is None else layer.bias * 0.25 * scales).astype(F),
    )
    (expected,) = Session(exact, REFERENCE).run({"x": (0.25 * real).astype(F)})
    (got,) = Session(qdq_twin(found.on(built), form), REFERENCE).run({"x": x})
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_twin_holds_the_forms_integers_and_scales():
    built = built_from("conv")
    found, form = random_form(built, scale=0.1, zero_point=3)
    graph, layer = qdq_twin(found.on(built), form).graph, form.layers["layer"]
    values = [constant(value) for value in node_named(graph, "layer.weight.real").inputs]
    assert np.array_equal(values[0], layer.weight) and values[0].dtype == np.int8
    assert values[1].tolist() == list(layer.record.weight_scales)
    values = [constant(value) for value in node_named(graph, "layer.bias.real").inputs]
    assert np.array_equal(values[0], layer.bias) and values[0].dtype == np.int32
    assert values[1].tolist() == [float(F(0.1) * F(s)) for s in layer.record.weight_scales]
    _, scale, zero_point = (constant(value) for value in node_named(graph, "layer.quant.quantize").inputs)
    assert (scale, zero_point, zero_point.dtype) == (F(0.1), 3, np.int8)


def test_average_and_tensor_are_rounded_and_the_rest_stays_float():
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
    (y,) = Session(qdq_twin(find_layers(built), form), REFERENCE).run({"x": x})
    np.testing.assert_allclose(y, pooled + np.round(pooled / 2) * 2, atol=1e-6)


def test_layers_that_read_one_tensor_alike_share_its_rounding():
    built = model("g (float[1,4] x) => (float[] y, float[] z) { [a] y = MatMul(x, w) [b] z = MatMul(x, v) }",
                  w=noise(0, 4, 4), v=noise(1, 4, 2))  # fmt: skip
    found = find_layers(built)
    form = QuantizedLayers({name: layer_form(found, name, (4, n), with_bias=False) for name, n in (("a", 4), ("b", 2))})
    kinds = [node.op_type for node in qdq_twin(found.on(built), form).graph]
    assert kinds.count("QuantizeLinear") == 1


def test_default_session_runs_the_twin_with_int8_kernels(tmp_path):
    """Else the figure would compare the simulation with float kernels."""
    built = model(
        "g (float[1,3,6,6] x) => (float[] y) { [a] h = Conv(x, w, b) [r] r = Relu(h) [c] y = Conv(r, v) }",
        w=noise(0, 4, 3, 3, 3),
        b=noise(1, 4),
        v=noise(2, 5, 4, 1, 1),
    )
    found, form = random_form(built, scale=0.1, zero_point=-128)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    ort.InferenceSession(model_bytes(qdq_twin(found.on(built), form)), options, providers=["CPUExecutionProvider"])
    kinds = {node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node}
    assert "QLinearConv" in kinds and "Relu" not in kinds
