"""The isolated pass against separate runs of each layer in onnxruntime, float and quantized, summed by numpy."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from runner.calibration.collect import collect
from runner.calibration.layer_by_layer import FF, MEAN_ERROR, PAIR_SUMS, LayerSums, Reduction, layer_by_layer, pair_sums
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.layers import Layer, LayeredModel
from runner.graph.opset import DEPLOY_OPSET
from runner.record import QuantizedLayer, QuantizedLayers
from tests.data import Items, normal_items
from tests.models import conv_gemm, dense, for_all, onnx_text, plain_session, prepared, run_plain

X = normal_items(4, 2, 6, 6)
DENSE = onnx_text(
    "g (float[N,3,8] x) => (float[N,3,5] y) { h = MatMul (x, w1)\n r = Relu (h)\n y = MatMul (r, w2) }",
    w1=np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32),
    w2=np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32),
)
GROUPED = onnx_text(
    """g (float[N,4,5,5] x) => (float[N,6,3,3] y) {
        d = Conv <group = 4, pads = [1,1,1,1]> (x, w1, b1)
        y = Conv <group = 2> (d, w2)
    }""",
    w1=np.random.default_rng(2).normal(size=(4, 1, 3, 3)).astype(np.float32),
    b1=np.random.default_rng(3).normal(size=4).astype(np.float32),
    w2=np.random.default_rng(4).normal(size=(6, 2, 3, 3)).astype(np.float32),
)
SHARED = onnx_text(
    "g (float[N,2,4,4] x) => (float[N,3,4,4] y) { a = Conv (x, w1)\n b = Conv (x, w2)\n y = Add (a, b) }",
    w1=np.random.default_rng(5).normal(size=(3, 2, 1, 1)).astype(np.float32),
    w2=np.random.default_rng(6).normal(size=(3, 2, 1, 1)).astype(np.float32),
)
CASES = [
    pytest.param(conv_gemm(), X, id="conv and gemm"),
    pytest.param(DENSE, normal_items(3, 3, 8), id="matmul over three axes"),
    pytest.param(GROUPED, normal_items(3, 4, 5, 5), id="grouped and depthwise"),
    pytest.param(SHARED, normal_items(3, 2, 4, 4), id="one input, two layers"),
]


def quantized(model: onnx.ModelProto, x: NDArray) -> tuple[ir.Model, LayeredModel, QuantizedLayers]:
    graph, found = prepared(model)
    seen = collect(found, Subset.whole(Items(x)), observers=for_all(found, MinMax()), engine=Engine(1))
    return graph, found, quantize_layers(found, seen).form


def twin_output(graph: ir.Model, layer: Layer, form: QuantizedLayer, source: NDArray) -> NDArray[np.float64]:
    """Return the quantized layer's output: codes by numpy, exact integers by the layer alone in float64-free ONNX."""
    params = form.record.activation
    r = np.float32(1) / np.float32(params.scale)
    codes = np.clip(np.rint(source * r + np.float32(params.zero_point)), -128, 127) - params.zero_point
    node = next(n for n in ir.to_proto(graph).graph.node if n.name == layer.name)
    arrays = {layer.weight: form.weight.astype(np.float32)}
    if form.bias is not None:
        arrays[layer.bias] = form.bias.astype(np.float32)
    alone = onnx.NodeProto()
    alone.CopyFrom(node)
    tensor = onnx.TensorProto.FLOAT
    model = helper.make_model(
        helper.make_graph(
            [alone],
            "alone",
            [helper.make_tensor_value_info(node.input[0], tensor, list(source.shape))],
            [helper.make_tensor_value_info(node.output[0], tensor, None)],
            [numpy_helper.from_array(array, name) for name, array in arrays.items()],
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    (total,) = plain_session(model).run(None, {node.input[0]: codes.astype(np.float32)})
    deq = (np.float32(params.scale) * np.array(form.record.weight_scales, np.float32)).astype(np.float32)
    return total * (deq.reshape(1, -1, 1, 1) if total.ndim == 4 and layer.op_type == "Conv" else deq)


@pytest.mark.parametrize(("model", "x"), CASES)
def test_sums_are_those_of_the_layers_run_alone(model: onnx.ModelProto, x: NDArray) -> None:
    graph, found, form = quantized(model, x)
    names = [name for layer in found.layers for name in (layer.input, _output(graph, layer))]
    tensors = run_plain(graph, x, names)
    results = list(layer_by_layer(found, form, Subset.whole(Items(x)), engine=Engine(2)))
    assert len(results) == len(x)
    for item, sums in zip(tensors, results, strict=True):
        assert list(sums) == [layer.name for layer in found.layers]
        for place, layer in enumerate(found.layers):
            source, f = item[2 * place], item[2 * place + 1].astype(np.float64)
            q = twin_output(graph, layer, form.layers[layer.name], source).astype(np.float64)
            ours = pair_sums(sums[layer.name])
            assert ours.ff == pytest.approx((f * f).sum(), rel=1e-5)
            assert ours.qq == pytest.approx((q * q).sum(), rel=1e-5)
            assert ours.dd == pytest.approx(((f - q) ** 2).sum(), rel=1e-3)
            assert ours.count == f.size


def _output(graph: ir.Model, layer: Layer) -> str:
    return next(node.outputs[0].name for node in graph.graph if node.name == layer.name)


def as_numbers(sums: LayerSums) -> dict[tuple[str, str], list[float]]:
    return {(layer, name): values.tolist() for layer, by_name in sums.items() for name, values in by_name.items()}


@pytest.mark.parametrize("opset", [13, 17, 18, 21])
def test_sums_and_means_are_the_same_at_every_opset(opset: int) -> None:
    def taken(model: onnx.ModelProto) -> list[LayerSums]:
        graph, found, form = quantized(model, X)
        # A newer source is written at the opset that a deploy model has.
        assert graph.opset_imports[""] == min(model.opset_import[0].version, DEPLOY_OPSET)
        reductions = (FF, MEAN_ERROR)
        return list(layer_by_layer(found, form, Subset(Items(X), range(2)), engine=Engine(1), reductions=reductions))

    at_opset = conv_gemm()
    at_opset.opset_import[0].version = opset
    at_opset.ir_version = max(at_opset.ir_version, onnx.helper.find_min_ir_version_for(at_opset.opset_import))
    for expected, sums in zip(taken(conv_gemm()), taken(at_opset), strict=True):
        for layer, reduced in expected.items():
            assert {name: array.tolist() for name, array in reduced.items()} == {
                name: array.tolist() for name, array in sums[layer].items()
            }


def test_results_have_the_same_bits_with_any_number_of_callers() -> None:
    _, found, form = quantized(conv_gemm(), X)
    one, *others = (
        [as_numbers(s) for s in layer_by_layer(found, form, Subset(Items(X), [3, 0, 2]), engine=Engine(n))]
        for n in (1, 2, 4)
    )
    assert all(other == one for other in others)


def test_pass_reads_the_float_models_activations_not_the_quantized_ones() -> None:
    # Quantizing the first layer alone or all layers makes no difference to what is seen of a later one.
    _, found, form = quantized(conv_gemm(), X)
    whole = next(layer_by_layer(found, form, Subset(Items(X), [0]), engine=Engine(1)))
    last = next(layer_by_layer(found, form.without(["first", "second"]), Subset(Items(X), [0]), engine=Engine(1)))
    assert list(last) == ["logits"]
    np.testing.assert_allclose(last["logits"]["dd"], whole["logits"]["dd"], rtol=1e-3)


@pytest.mark.parametrize(("model", "x"), CASES)
def test_caller_may_ask_for_the_mean_of_each_channel(model: onnx.ModelProto, x: NDArray) -> None:
    graph, found, form = quantized(model, x)
    asked = (Reduction("mean_f", "f", squared=False), FF)
    (item,) = run_plain(graph, x[:1], [_output(graph, layer) for layer in found.layers])
    sums = next(layer_by_layer(found, form, Subset(Items(x), [0]), engine=Engine(1), reductions=asked))
    for layer, f in zip(found.layers, item, strict=True):
        axes = (0, 2, 3) if layer.op_type == "Conv" else tuple(range(f.ndim - 1))
        assert list(sums[layer.name]) == ["mean_f", "ff", "count"]
        np.testing.assert_allclose(sums[layer.name]["mean_f"], f.mean(axis=axes), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(sums[layer.name]["ff"], (f.astype(np.float64) ** 2).sum(), rtol=1e-5)


def test_twin_of_a_layer_with_a_shifted_bias_has_the_shift() -> None:
    x = normal_items(3, 7, 5)
    _, found, form = quantized(dense(shape="N,7,5"), x)
    shifts = {"h": np.arange(6, dtype=np.float32), "k": -np.arange(4, dtype=np.float32)}
    moved = QuantizedLayers({name: replace(layer, shift=shifts[name]) for name, layer in form.layers.items()})
    before, after = (
        list(layer_by_layer(found, f, Subset(Items(x), range(3)), engine=Engine(1), reductions=[MEAN_ERROR]))
        for f in (form, moved)
    )
    for one, other in zip(before, after, strict=True):
        for name, shift in shifts.items():
            np.testing.assert_allclose(other[name]["mean_d"], one[name]["mean_d"] - shift, atol=1e-5)


def test_progress_counts_items_and_the_model_is_left_as_it_was() -> None:
    graph, found, form = quantized(conv_gemm(), X)
    before, told = ir.to_proto(graph).SerializeToString(), []
    for _ in layer_by_layer(found, form, Subset(Items(X), range(4)), engine=Engine(2), progress=told.append):
        pass
    assert told == [1, 2, 3, 4]
    assert ir.to_proto(graph).SerializeToString() == before


def test_items_are_read_as_their_sums_are_taken() -> None:
    _, found, form = quantized(conv_gemm(), X)
    items = Items(np.concatenate([X] * 10))
    sums = layer_by_layer(found, form, Subset(items, range(40)), engine=Engine(1))
    next(sums)
    assert len(items.reads) < 10


@pytest.mark.parametrize("size", [1e20, 1e30, 1e-25, 1e-30])
def test_squares_that_leave_float32_are_summed_in_double(size: float) -> None:
    model = dense("Gemm")
    for name in ("w2", "b2"):
        (tensor,) = (t for t in model.graph.initializer if t.name == name)
        tensor.CopyFrom(numpy_helper.from_array((numpy_helper.to_array(tensor) * size).astype(np.float32), name))
    x = normal_items(3, 5)
    graph, found, form = quantized(model, x)
    names = [name for layer in found.layers for name in (layer.input, _output(graph, layer))]
    results = list(layer_by_layer(found, form, Subset(Items(x), range(3)), engine=Engine(2)))
    for item, sums in zip(run_plain(graph, x, names), results, strict=True):
        f = item[3].astype(np.float64)
        q = twin_output(graph, found.layer("logits"), form.layers["logits"], item[2]).astype(np.float64)
        ours = pair_sums(sums["logits"])
        assert ours.ff == pytest.approx((f * f).sum(), rel=1e-5)
        assert ours.qq == pytest.approx((q * q).sum(), rel=1e-5)
        assert ours.dd == pytest.approx(((f - q) ** 2).sum(), rel=1e-3)
        assert ours.ff != 0 and np.isfinite(ours.dd)


def test_layer_without_values_for_an_item_has_sums_of_none() -> None:
    model = onnx_text(
        """g (float[N,5] x) => (float[rows,4] y) {
            firsts = Gather <axis = 1> (x, zero)
            positive = Greater (firsts, nought)
            picked = Compress <axis = 0> (x, positive)
            y = Gemm (picked, w)
        }""",
        zero=np.int64(0),
        nought=np.float32(0),
        w=normal_items(5, 4),
    )
    x = np.abs(normal_items(3, 5))
    x[1] *= -1
    _, found, form = quantized(model, x)
    passes = layer_by_layer(
        found, form, Subset(Items(x), range(3)), engine=Engine(1), reductions=(*PAIR_SUMS, MEAN_ERROR)
    )
    sums = [item["y"] for item in passes]
    assert [int(each["count"]) for each in sums] == [4, 0, 4]
    assert (pair_sums(sums[1]).ff, pair_sums(sums[1]).dd) == (0, 0) and pair_sums(sums[0]).ff > 0
