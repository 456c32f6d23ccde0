"""Mean errors against separate runs of the float and the quantized layer, and what chance may not do to them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.correction.bias_correction import correct_biases, helps, shifted, shrunk_mean
from runner.correction.calibrated import Calibrated
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.record import QuantizedLayers
from tests.data import Items, normal_items
from tests.models import conv_gemm, dense, for_all, onnx_text, prepared, run_plain

RNG = np.random.default_rng(3)
# Off zero, so that rounding the weights makes mean errors.
X = 2 + normal_items(40, 2, 6, 6)


def corrected(model: onnx.ModelProto, x: NDArray) -> tuple:
    graph, found = prepared(model)
    seen = collect(found, Subset.whole(Items(x)), observers=for_all(found, MinMax()), engine=Engine(1))
    form = quantize_layers(found, seen).form
    return (
        graph,
        found,
        form,
        correct_biases(Calibrated(found, form, seen), Subset.whole(Items(x)), engine=Engine(2)),
    )


def test_shift_of_each_layer_is_what_separate_runs_say() -> None:
    graph, found, before, after = corrected(conv_gemm(), X)
    nodes = {node.name: node.outputs[0].name for node in graph.graph}
    for layer in found.layers:
        alone = fake_quant_model(found, QuantizedLayers({layer.name: before.layers[layer.name]}))
        q, f = (
            np.array(
                [
                    a.swapaxes(0, 1).reshape(layer.channels, -1).mean(axis=1)
                    for (a,) in run_plain(m, X, [nodes[layer.name]])
                ]
            )
            for m in (alone, graph)
        )
        record = before.layers[layer.name].record
        deq = record.activation.scale * np.array(record.weight_scales, np.float64)
        moved = (after.layers[layer.name].bias - before.layers[layer.name].bias.astype(np.int64)) * deq
        np.testing.assert_allclose(moved, shrunk_mean((f - q).astype(np.float64)), atol=0.51 * deq.max() + 1e-6)
        assert np.array_equal(after.layers[layer.name].weight, before.layers[layer.name].weight)


def test_mean_of_pure_chance_is_next_to_nothing_and_a_real_one_stays() -> None:
    noise = RNG.normal(size=(50, 200))
    real = RNG.normal(size=200)
    assert np.mean(shrunk_mean(noise) ** 2) < 0.2 * np.mean(noise.mean(axis=0) ** 2)
    estimate = shrunk_mean(real + noise)
    assert np.mean((estimate - real) ** 2) < np.mean(((real + noise).mean(axis=0) - real) ** 2)
    np.testing.assert_allclose(shrunk_mean(np.tile(real, (5, 1))), real)


def test_mean_of_one_item_is_taken_as_it_is() -> None:
    np.testing.assert_array_equal(shrunk_mean(np.array([[1.0, -2.0]])), [1.0, -2.0])


def test_shift_of_a_matmul_is_its_mean_error_and_its_integers_stay() -> None:
    x = 1 + normal_items(40, 7, 5)
    graph, found, before, after = corrected(dense(shape="N,7,5"), x)
    for name, added in (("h", "s"), ("k", "logits")):
        alone = fake_quant_model(found, QuantizedLayers({name: before.layers[name]}))
        q, f = (np.array([a[0].mean(axis=0) for (a,) in run_plain(m, x, [added])]) for m in (alone, graph))
        old, new = before.layers[name], after.layers[name]
        np.testing.assert_allclose(new.shift, shrunk_mean((f - q).astype(np.float64)), atol=2e-6)
        assert new.shift.dtype == np.float32 and np.abs(new.shift).max() > 1e-4
        assert (new.weight is old.weight, new.bias, new.record) == (True, None, old.record)


def test_matmul_has_no_mean_error_where_nothing_is_left_to_chance() -> None:
    # Items that are all the same.
    x = np.repeat(normal_items(1, 7, 5), 3, axis=0)
    _, found, before, after = corrected(dense(shape="N,7,5"), x)
    for name, added in (("h", "s"), ("k", "logits")):
        ((f,), *_), ((q,), *_), ((plain,), *_) = (
            run_plain(fake_quant_model(found, QuantizedLayers(layers)), x, [added])
            for layers in ({}, {name: after.layers[name]}, {name: before.layers[name]})
        )
        error, was = (np.abs((y - f)[0].mean(axis=0, dtype=np.float64)).max() for y in (q, plain))
        assert error < 1e-6 < 1e-4 < was


def test_layers_without_a_place_for_a_bias_stay_as_they_are() -> None:
    model = onnx_text(
        "g (float[N,2,4,4] x) => (float[N,3] y) { c = Conv (x, w1)\n m = GlobalAveragePool (c)\n f = Flatten (m)\n"
        " y = MatMul (f, w2) }",
        w1=RNG.normal(size=(4, 2, 1, 1)).astype(np.float32),
        w2=RNG.normal(size=(4, 3)).astype(np.float32),
    )
    _, found, before, after = corrected(model, 1 + normal_items(10, 2, 4, 4))
    conv, matmul = (layer.name for layer in found.layers)
    assert after.layers[matmul] is before.layers[matmul]
    assert (before.layers[conv].bias, after.layers[conv].bias is None) == (None, False)


def test_model_whose_layers_all_take_no_bias_stays_as_it_is() -> None:
    model = onnx_text(
        "g (float[N,3,5] x) => (float[N,3,4] y) { y = MatMul (x, w) }", w=RNG.normal(size=(5, 4)).astype(np.float32)
    )
    _, _, before, after = corrected(model, normal_items(10, 3, 5))
    assert after is before


@pytest.mark.parametrize("shift", [1e9, -1e9])
def test_shift_beyond_int32_is_not_made(shift: float) -> None:
    _, found, before, _ = corrected(conv_gemm(), X)
    layer = found.layers[0]
    assert shifted(layer, before.layers[layer.name], np.full(layer.channels, shift)) is before.layers[layer.name]


def test_shift_helps_where_errors_are_alike_and_not_where_they_are_chance() -> None:
    rng = np.random.default_rng(5)
    chance = rng.normal(size=(50, 40))
    assert helps(0.3 + chance) and helps(np.ones((2, 1)))
    # Of a single channel nothing is shrunk but by its own chance; two halves that contradict each other.
    contradicting = np.concatenate([np.full((1, 3), 5.0), np.full((1, 3), -5.0)] * 5)
    assert not helps(contradicting)
    # The gain is what squared errors on the items left out say.
    items = 0.05 + rng.normal(size=(23, 6))
    gain = 0.0
    for fold in range(5):
        out = np.arange(23) % 5 == fold
        shift = shrunk_mean(items[~out])
        gain += float(np.sum(items[out] ** 2) - np.sum((items[out] - shift) ** 2))
    assert helps(items) == (gain > 0)
