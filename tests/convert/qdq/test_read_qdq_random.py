"""Random Q/DQ models: whatever a record can say is taken over exactly, and the models that are written compute it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from runner.convert.fake_quant import fake_quant_model
from runner.convert.qdq.read import QatModel, read_qdq
from runner.graph.opset import raise_opset
from runner.record import QuantizedLayer
from runner.session import SIMULATION, Session, plain
from runner.targets.ascend.deploy import deploy_model
from runner.targets.ascend.limits import ASCEND
from tests.convert.qdq.qdq_graphs import qdq_models
from tests.convert.qdq.source_reading import Integers, Source, attribute, evaluate


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(qdq_models())
def test_conversion_says_and_computes_what_the_source_does(model: onnx.ModelProto) -> None:
    source, qat = Source(model), read_qdq(ir.from_proto(model), ASCEND)
    layers = {node.name: _taken_over(source, node, qat) for node in source.layers}
    assert set(qat.form.layers) == set(layers)
    _accounted_once(source, qat)
    x = np.random.default_rng(0).normal(0, 2, _shape(model)).astype(np.float32)
    written = fake_quant_model(qat.found.on(raise_opset(qat.graph)), qat.form)
    (plainly,), (optimised,) = (Session(written, plain(level)).run({"x": x}) for level in ("none", "all"))
    np.testing.assert_array_equal(plainly, optimised)
    np.testing.assert_array_equal(plainly, evaluate(source, layers, x))
    deploy_model(qat.found.on(qat.graph), qat.form)
    # Where every rounding of the source is still made, only ties and the order of roundings differ.
    exact = all(layer.status == "exact" for layer in qat.report.layers)
    if exact and not any("feeds" in (account.reason or "") for account in qat.report.nodes):
        (before,) = Session(ir.from_proto(model), SIMULATION).run({"x": x})
        assert np.max(np.abs(before - plainly)) <= _furthest(source, layers, qat)


def _taken_over(source: Source, node: onnx.NodeProto, qat: QatModel) -> Integers:
    """Return a layer's integers after holding them against the source's own."""
    layer, report = qat.form.layers[node.name], next(r for r in qat.report.layers if r.name == node.name)
    pair = source.pair(node.input[0])
    assert pair is not None
    activation = layer.record.activation
    assert (activation.scale, activation.zero_point) == source.activation(pair)
    if node.op_type == "AveragePool":
        assert (report.status, layer.record.weight_scales, layer.bias) == ("exact", (1.0,), None)
        return Integers(layer.weight, layer.record.weight_scales, None)
    weight = source.constant(node.input[1])
    assert weight is not None
    turned = node.op_type == "Gemm" and attribute(node, "transB", 0)
    integers, scales = (a.T if turned else a for a in (weight.integers, weight.scales))
    rows, steps, codes = (_rows(node, array) for array in (integers, scales, layer.weight))
    fits = np.all((rows >= -128) & (rows <= 127), axis=1)
    if node.op_type in ("Gemm", "MatMul"):
        fits = np.full(fits.shape, np.all(fits) and np.all(steps == steps[0, 0]))
    taken = np.broadcast_to(np.asarray(layer.record.weight_scales, np.float32), fits.shape)
    np.testing.assert_array_equal(codes[fits], rows[fits])
    np.testing.assert_array_equal(taken[fits], steps[fits, 0])
    assert (report.status == "exact") == bool(np.all(fits))
    errors = np.abs(codes * taken.astype(np.float64)[:, None] - rows * steps.astype(np.float64))
    assert report.weight is not None
    assert report.weight.max_error == errors.max()
    _bias_taken_over(source, node, layer, requantized=not np.all(fits))
    return Integers(layer.weight, layer.record.weight_scales, layer.bias)


def _furthest(source: Source, layers: dict[str, Integers], qat: QatModel) -> float:
    """Return how far the output can be off when every input of every layer and Add is rounded to a neighbouring code."""
    steps = max(entry.activation.scale for entry in qat.form.record.values())
    apart = steps
    for node in source.nodes:
        if node.op_type == "Add":
            apart = 2 * (apart + steps)
        elif node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul"):
            integers = np.abs(_rows(node, layers[node.name].weight).astype(np.float64))
            apart = max(1.0, np.max(integers.sum(axis=1) * layers[node.name].scales)) * (apart + steps)
    return float(apart + steps)


def _rows(node: onnx.NodeProto, array: NDArray[Any]) -> NDArray[Any]:
    """Return a weight [channels, weights of one], the channels of a ConvTranspose group by group."""
    if node.op_type == "Conv":
        return array.reshape(array.shape[0], -1)
    groups = np.split(array, attribute(node, "group", 1) if node.op_type == "ConvTranspose" else 1)
    return np.concatenate([np.moveaxis(part, 1, 0).reshape(array.shape[1], -1) for part in groups])


def _bias_taken_over(source: Source, node: onnx.NodeProto, layer: QuantizedLayer, *, requantized: bool) -> None:
    if len(node.input) < 3:
        assert layer.bias is None
        return
    scale = np.float32(layer.record.activation.scale)
    deq = (scale * np.asarray(layer.record.weight_scales, np.float32)).astype(np.float64)
    stored, real = source.constant(node.input[2]), source.array(node.input[2])
    if stored is not None and not requantized and np.allclose(stored.scales, deq, rtol=1e-5, atol=0):
        np.testing.assert_array_equal(layer.bias, stored.integers)
        return
    values = real if stored is None else stored.integers * stored.scales.astype(np.float64)
    np.testing.assert_array_equal(layer.bias, np.rint(np.asarray(values, np.float64) / deq))


def _accounted_once(source: Source, qat: QatModel) -> None:
    assert Counter(account.name for account in qat.report.nodes) == Counter(source.rounding)
    for account in qat.report.nodes:
        assert (account.use == "dropped") <= bool(account.reason)
        assert (account.use == "dropped") == (not account.users)
    weights = {node.input[1] for node in source.layers if node.op_type != "AveragePool"}
    used = {account.name: account for account in qat.report.nodes}
    for name in weights:
        assert (used[source.maker[name].name].use, used[source.maker[name].name].role) == ("layer", "weight")


def _shape(model: onnx.ModelProto) -> list[int]:
    return [dimension.dim_value for dimension in model.graph.input[0].type.tensor_type.shape.dim]
