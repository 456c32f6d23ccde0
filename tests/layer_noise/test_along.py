"""Noise along a network against numpy, which does the same layer by layer, and against files run by onnxruntime."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from runner.arithmetic import dequantize, quantize
from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.layers import LayeredModel
from runner.graph.probe import with_outputs
from runner.layer_noise import along
from runner.layer_noise.along import LookedAt, NoiseAlong, noise_along
from runner.layer_noise.partly import PARTS
from runner.record import QuantizedLayer, QuantizedLayers, TensorRecord
from tests.data import Items, normal_items
from tests.models import conv_gemm, for_all, onnx_text, plain_session, prepared

X = normal_items(3, 3, 8)
W1 = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)
B1 = np.random.default_rng(2).normal(size=6).astype(np.float32)
W2 = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
CHAIN = onnx_text(
    "g (float[N,3,8] x) => (float[N,3,5] y) { h = MatMul (x, w1)\n b = Add (h, b1)\n r = Relu (b)\n y = MatMul (r, w2) }",
    w1=W1,
    b1=B1,
    w2=W2,
)


def quantized(model: onnx.ModelProto, x: NDArray) -> tuple[LayeredModel, QuantizedLayers]:
    _, found = prepared(model)
    seen = collect(found, Subset.whole(Items(x)), observers=for_all(found, MinMax()), engine=Engine(1))
    return found, quantize_layers(found, seen).form


def noise(found: LayeredModel, form: QuantizedLayers, x: NDArray, engine: Engine | None = None) -> NoiseAlong:
    return noise_along(LookedAt(found, form, form, PARTS), Subset.whole(Items(x)), engine or Engine(1))


def ratio(f: NDArray, q: NDArray) -> float:
    f, q = f.astype(np.float64), q.astype(np.float64)
    return float(((f - q) ** 2).sum() / (f**2).sum())


def through_chain(x: NDArray, form: QuantizedLayers, *, weights: bool, activations: bool) -> list[NDArray]:
    """Return what both layers of the chain give, by numpy alone; a shift is counted where it is added."""
    outputs = []
    for name, weight in zip(form.layers, (W1, W2), strict=True):
        layer = form.layers[name]
        params, factors = layer.record.activation, np.array(layer.record.balance_factors or 1.0, np.float32)
        x, real = x / factors, weight * np.broadcast_to(factors, len(weight))[:, None]
        if activations:
            x = dequantize(quantize(x, params.scale, params.zero_point), params.scale, params.zero_point)
        if weights:
            real = layer.weight * np.float32(layer.record.weight_scales)
        outputs.append(x @ real)
        if weights and layer.shift is not None:
            outputs[-1] = outputs[-1] + layer.shift
        x = np.maximum(outputs[-1] + B1, 0) if not outputs[1:] else outputs[-1]
    return outputs


def changed(form: QuantizedLayers, **changes: object) -> QuantizedLayers:
    """Return a form whose first layer is another."""
    name = next(iter(form.layers))
    return QuantizedLayers({**form.layers, name: replace(form.layers[name], **changes)}, form.tensors)


def balanced(found: LayeredModel, form: QuantizedLayers) -> QuantizedLayers:
    name, layer = next(iter(form.layers.items()))
    factors = np.linspace(0.5, 2, 8).astype(np.float32)
    scale = float(np.abs(W1 * factors[:, None]).max() / 127)
    codes = np.rint(W1 * factors[:, None] / np.float32(scale)).astype(np.int8)
    record = replace(layer.record, weight_scales=(scale,), balance_factors=tuple(map(float, factors)))
    return QuantizedLayers({**form.layers, name: QuantizedLayer(record, codes, None)})


@pytest.mark.parametrize("kind", ["plain", "shifted", "balanced"])
def test_noise_of_each_part_is_that_of_numpy(kind: str) -> None:
    found, form = quantized(CHAIN, X)
    if kind == "shifted":
        form = changed(form, shift=np.linspace(-0.1, 0.2, 6).astype(np.float32))
    if kind == "balanced":
        form = balanced(found, form)
    seen = noise(found, form, X)
    before = through_chain(X, form, weights=False, activations=False)
    for part, weights, activations in (("weights", True, False), ("activations", False, True), ("both", True, True)):
        after = through_chain(X, form, weights=weights, activations=activations)
        expected = [ratio(f, q) for f, q in zip(before, after, strict=True)]
        assert seen.parts[part] == pytest.approx(expected, rel=1e-3), part
    assert seen.layers == tuple(form.layers) and seen.items == 3


def test_layer_alone_reads_float_values_and_the_first_one_always_does() -> None:
    found, form = quantized(CHAIN, X)
    seen = noise(found, form, X)
    second = form.layers[seen.layers[1]]
    read = np.maximum(X @ W1 + B1, 0)
    params = second.record.activation
    codes = dequantize(quantize(read, params.scale, params.zero_point), params.scale, params.zero_point)
    alone = codes @ (second.weight * np.float32(second.record.weight_scales))
    assert seen.own[1] == pytest.approx(ratio(read @ W2, alone), rel=1e-3)
    assert seen.own[0] == pytest.approx(seen.parts["both"][0], rel=1e-3)


def test_noise_is_that_of_the_fake_quant_file_in_plain_onnxruntime() -> None:
    x = normal_items(4, 2, 6, 6)
    found, form = quantized(conv_gemm(), x)
    seen = noise(found, form, x)
    outputs = [found.node(name).outputs[0].name or "" for name in seen.layers]
    models = (found.graph, fake_quant_model(found, form))
    before, after = (
        [plain_session(with_outputs(m, outputs)).run(outputs, {"x": x[n : n + 1]}) for n in range(4)] for m in models
    )
    for number, _ in enumerate(outputs):
        f, q = (np.stack([item[number] for item in side]) for side in (before, after))
        assert seen.parts["both"][number] == pytest.approx(ratio(f, q), rel=1e-3)


def test_layers_left_float_have_no_noise_of_weights_but_that_which_reaches_them() -> None:
    found, form = quantized(CHAIN, X)
    first, second = form.layers
    alone = QuantizedLayers({second: form.layers[second]})
    seen = noise_along(LookedAt(found, alone, form, PARTS), Subset.whole(Items(X)), Engine(1))
    assert [seen.parts[part][0] for part in PARTS] == [0.0, 0.0, 0.0]
    assert seen.parts["weights"][1] > 0 and seen.parts["activations"][1] > 0
    # What it would do in int8 is told all the same.
    assert seen.own[0] > 0 and first in [spread.layer for spread in seen.spreads]


def test_rounded_tensors_count_with_the_activations() -> None:
    found, form = quantized(CHAIN, X)
    relu = next(node for node in found.graph.graph if node.op_type == "Relu")
    params = replace(form.layers[next(iter(form.layers))].record.activation, scale=0.5)
    coarse = QuantizedLayers(form.layers, {f"{relu.name}:0": TensorRecord(params)})
    plain, rounded = noise(found, form, X), noise(found, coarse, X)
    assert rounded.parts["activations"][1] > 10 * plain.parts["activations"][1]
    assert list(rounded.parts["weights"]) == list(plain.parts["weights"])


def test_large_tensors_are_summed_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    found, form = quantized(CHAIN, X)
    whole = noise(found, form, X)
    monkeypatch.setattr(along, "_PIECE", 5)
    for part in PARTS:
        assert noise(found, form, X).parts[part] == pytest.approx(whole.parts[part], rel=1e-6)


@pytest.mark.parametrize("bound", ["_SIDE_BY_SIDE", "_MANY_BYTES"])
def test_bounds_of_memory_change_no_bit(bound: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found, form = quantized(CHAIN, X)
    whole = noise(found, form, X)
    monkeypatch.setattr(along, bound, 1)
    small = noise(found, form, X, Engine(3))
    for part in PARTS:
        assert small.parts[part].tobytes() == whole.parts[part].tobytes()
    assert [s.layer for s in small.spreads] == [s.layer for s in whole.spreads]
    for one, other in zip(small.spreads, whole.spreads, strict=True):
        assert one.input is not None and other.input is not None
        assert one.input.counts.tobytes() == other.input.counts.tobytes()


def test_values_of_the_worst_layers_are_looked_at_the_worst_first() -> None:
    found, form = quantized(CHAIN, X)
    first, second = form.layers
    items = Subset.whole(Items(X))
    named = noise_along(LookedAt(found, form, form, PARTS, worst=("gone", second, first), most=1), items, Engine(1))
    assert [spread.layer for spread in named.spreads] == [second]
    read = np.maximum(X @ W1 + B1, 0)
    spread, weight = named.spreads[0].input, named.spreads[0].weight
    assert spread is not None and weight is not None
    assert spread.channels == pytest.approx(np.stack([read.min((0, 1)), read.max((0, 1))]), rel=1e-5)
    assert int(spread.counts.sum()) == read.size
    assert weight.channels == pytest.approx(np.stack([W2.min(0), W2.max(0)]), rel=1e-6)
    by_own = noise(found, form, X)
    assert by_own.spreads[0].layer == by_own.layers[int(np.argmax(by_own.own))]


def test_values_that_are_not_finite_leave_what_is_behind_them_unknown() -> None:
    found, form = quantized(CHAIN, X)
    with np.errstate(all="ignore"):
        seen = noise(found, form, np.where(X > 2, np.float32(np.inf), X))
    assert np.isnan(seen.parts["both"]).all()
