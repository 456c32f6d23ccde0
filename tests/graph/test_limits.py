"""What another target holds in int8, where Ascend's format does not: layers found and quantized under its limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx_ir as ir
import pytest
from numpy.typing import NDArray

from runner.calibration.collect import Calibration
from runner.calibration.quantize import quantize_layers
from runner.convert.exact_sums import exact_sums
from runner.convert.fake_quant import fake_quant_model
from runner.graph.layers import LayeredModel, find_layers
from runner.graph.limits import Limits
from runner.graph.prepare import prepare
from runner.ranges import Range
from runner.record import QuantizedLayers
from runner.record_text import format_record, parse_record
from runner.session import REFERENCE, SIMULATION, Session
from runner.targets.ascend.limits import ASCEND
from runner.targets.qdq.write import qdq_model
from tests.models import model, onnx_text

RNG = np.random.default_rng(7)
ANY = replace(ASCEND, per_channel=ASCEND.operators, symmetric_over=frozenset(), over_two_axes=frozenset())

# Columns of unlike size: one scale for all of them would be that of the last.
COLUMNS = np.float32([0.01, 1, 100])
PRODUCTS = {
    "gemm": "y = Gemm (x, w, b)",
    "gemm_of_one_bias": "y = Gemm (x, w, one)",
    "transposed_gemm": "y = Gemm <transB=1> (x, t, b)",
    "matmul": "y = MatMul (x, w)",
    "matmul_with_add": "m = MatMul (x, w) y = Add (m, b)",
}


def weight(inputs: int) -> NDArray[np.float32]:
    return RNG.uniform(-1, 1, (inputs, 3)).astype(np.float32) * COLUMNS


def product(name: str, inputs: int = 5) -> ir.Model:
    w = weight(inputs)
    constants = {"w": w, "t": w.T.copy(), "b": np.float32([0.5, -1, 2]), "one": np.float32([0.25])}
    text = PRODUCTS[name]
    read = {key: array for key, array in constants.items() if f" {key}" in text}
    return ir.from_proto(onnx_text(f"g (float[N,{inputs}] x) => (float[N,3] y) {{ {text} }}", **read))


def quantized(graph: ir.Model, x: NDArray, limits: Limits) -> tuple[LayeredModel, QuantizedLayers]:
    found = find_layers(graph, limits)
    range_ = Range(float(x.min()), float(x.max()))
    names = [layer.name for layer in found.layers]
    seen = Calibration(
        dict.fromkeys(names, range_),
        dict.fromkeys(names, x.reshape(-1)),
        dict.fromkeys(names, x.shape),
        dict.fromkeys(names, range_),
    )
    quantization = quantize_layers(found, seen)
    assert not quantization.impossible
    return found, quantization.form


@pytest.mark.parametrize("inputs", [5, 4000])
@pytest.mark.parametrize("name", PRODUCTS)
def test_product_with_a_scale_for_each_output_computes_its_closed_form(name: str, inputs: int) -> None:
    graph = prepare(product(name, inputs), limits=ANY).graph
    x = RNG.normal(size=(6, inputs)).astype(np.float32)
    found, form = quantized(graph, x, ANY)
    (layer,), (made,) = found.layers, form.layers.values()
    (node,) = (node for node in graph.graph if node.name == layer.name)
    w = node.inputs[1].const_value.numpy().astype(np.float32)
    top, bottom = w.max(axis=0), -w.min(axis=0)
    ends = np.where(top >= bottom, top / np.float32(127), bottom / np.float32(128))
    scales = np.float32(made.record.weight_scales)
    np.testing.assert_allclose(scales, ends, rtol=1e-6)
    assert np.array_equal(made.weight, np.clip(np.rint(w / scales), -128, 127))

    scale, zero_point = np.float32(made.record.activation.scale), made.record.activation.zero_point
    codes = np.clip(np.rint(x * (np.float32(1) / scale) + np.float32(zero_point)), -128, 127).astype(np.int64)
    sums = (codes - zero_point) @ made.weight.astype(np.int64)
    if made.bias is not None:
        bias = np.broadcast_to(np.float32([0.25] if name == "gemm_of_one_bias" else [0.5, -1, 2]), 3)
        assert np.array_equal(made.bias, np.rint(bias / (scale * scales).astype(np.float64)))
        sums = sums + made.bias
    expected = sums.astype(np.float32) * (scale * scales)
    if name == "matmul_with_add":
        expected = expected + np.float32([0.5, -1, 2])
    # Many inputs are summed in parts.
    assert exact_sums(layer, made).plain == (inputs == 5)
    for multiply, profile in ((False, REFERENCE), (True, SIMULATION)):
        (y,) = Session(fake_quant_model(found, form, multiply=multiply), profile).run({"x": x})
        assert np.array_equal(y, expected), profile
    (y,) = Session(qdq_model(found, form), REFERENCE).run({"x": x})
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=np.abs(expected).max() * 1e-2)


@pytest.mark.parametrize("name", PRODUCTS)
def test_one_scale_an_output_loses_nothing_of_small_outputs(name: str) -> None:
    graph = prepare(product(name), limits=ANY).graph
    x = RNG.normal(size=(6, 5)).astype(np.float32)
    real = Session(graph, REFERENCE).run({"x": x})[0]
    errors = []
    for limits in (ANY, ASCEND):
        found, form = quantized(graph, x, limits)
        y = Session(fake_quant_model(found, form), REFERENCE).run({"x": x})[0]
        errors.append(float(np.abs(y - real)[:, 0].max()))
        assert len(form.record.layers[found.layers[0].name].weight_scales) == (3 if limits is ANY else 1)
    assert errors[0] < 0.003 < errors[1]


def test_record_holds_a_scale_for_each_output() -> None:
    graph = prepare(product("gemm"), limits=ANY).graph
    _, form = quantized(graph, np.ones((1, 5), np.float32), ANY)
    assert parse_record(format_record(form.record)).layers == form.record.layers


def test_batch_of_matrices_keeps_one_scale_in_all() -> None:
    graph = model("g (float[2,4,5] x) => (float[2,4,3] y) { [m] y = MatMul (x, w) }", w=np.ones((2, 5, 3), np.float32))
    (layer,) = find_layers(graph, ANY).layers
    assert not layer.per_channel


def test_type_that_the_target_lacks_is_left_alone() -> None:
    found = find_layers(product("gemm"), replace(ASCEND, operators=frozenset({"Conv"})))
    assert not found.layers
    assert [(left.op_type, left.reason) for left in found.left_alone] == [("Gemm", "the target has no Gemm in int8")]


def test_layer_over_one_axis_stays_so_where_the_target_has_it() -> None:
    source = model(
        "g (float[1,2,9] x) => (float[1,3,L] y) { [t] y = ConvTranspose (x, w) }", w=np.ones((2, 3, 4), np.float32)
    )
    (kept,) = find_layers(prepare(source, limits=ANY).graph, ANY).layers
    (spread,) = find_layers(prepare(source, ASCEND).graph, ASCEND).layers
    assert (kept.spatial, spread.spatial) == (1, 2)


def test_input_is_symmetric_where_the_target_asks_it() -> None:
    graph = product("gemm")
    asked = (ASCEND, replace(ANY, symmetric_over=frozenset({0})))
    assert [find_layers(graph, limits).layers[0].symmetric for limits in asked] == [False, True]
