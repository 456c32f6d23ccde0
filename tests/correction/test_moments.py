"""Rows and moments of layers against onnxruntime's outputs and numpy's covariance."""

from __future__ import annotations

import numpy as np
import pytest

from runner.correction.moments import gather, products
from runner.correction.patches import Patches, Rows
from runner.correction.positions import by_channel
from runner.engine import Engine
from runner.graph.constants import constant
from tests.data import normal_items
from tests.models import onnx_text, prepared, run_plain

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("attributes", "weight", "shape"),
    [
        ("pads = [1,1,1,1], strides = [2,2]", (6, 4, 3, 3), (4, 7, 7)),
        ("group = 4, pads = [0,1,1,0], dilations = [2,1]", (8, 1, 3, 2), (4, 8, 8)),
        ('group = 2, auto_pad = "SAME_UPPER", strides = [2,2]', (6, 2, 3, 3), (4, 7, 7)),
        ("strides = [2,2]", (5, 4, 1, 1), (4, 6, 6)),
        ("group = 2", (6, 2, 1, 1), (4, 3, 5)),
        ("pads = [1,0,0,1]", (5, 4, 1, 1), (4, 3, 5)),
        ("group = 2, pads = [1,1,1,1]", (2, 1, 3, 3), (2, 70, 70)),  # more places than a digit holds
    ],
)
def test_weights_times_rows_are_the_convolution(attributes: str, weight: tuple, shape: tuple) -> None:
    sizes = ",".join(map(str, shape))
    model = onnx_text(
        f"g (float[1,{sizes}] x) => (float[1,{weight[0]},P,Q] y) {{ y = Conv <{attributes}> (x, w) }}",
        w=RNG.normal(size=weight).astype(np.float32),
    )
    check_rows(model, normal_items(2, *shape))


def test_weights_times_rows_are_the_matrix_product() -> None:
    w = RNG.normal(size=(5, 3)).astype(np.float32)
    check_rows(onnx_text("g (float[1,4,5] x) => (float[1,4,3] y) { y = MatMul (x, w) }", w=w), normal_items(2, 4, 5))
    check_rows(onnx_text("g (float[1,5] x) => (float[1,3] y) { y = Gemm (x, w) }", w=w), normal_items(2, 5))


def check_rows(model, x) -> None:
    graph, found = prepared(model)
    (layer,) = found.layers
    node = next(n for n in graph.graph if n.name == layer.name)
    weight = layer.layout.rows(constant(node.inputs[1])).reshape(layer.group, -1, 1)
    cut = Patches(graph, node, layer, Engine(1))
    weight = weight.reshape(layer.group, layer.channels // layer.group, cut.weights)
    outputs = [by_channel(output, layer) for (output,) in run_plain(model, x, ["y"])]
    for step in (1, 3):
        wheres = [slice(first, None, step) for first in range(len(x))]
        items = [cut(item[np.newaxis], where, lambda x: 2 * x) for item, where in zip(x, wheres, strict=True)]
        rows = Rows.joined(items)
        columns = np.concatenate([rows.of(slice(group, group + 1)) for group in range(layer.group)])
        product = np.einsum("gdp,god->gop", columns, weight).reshape(layer.channels, -1)
        real = np.concatenate([2 * output[where] for output, where in zip(outputs, wheres, strict=True)])
        np.testing.assert_allclose(product.T, real, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("centred", [True, False])
def test_target_finds_the_weights_behind_noisy_outputs(centred: bool) -> None:
    # The float layer's weights give what other weights lack; many samples leave little to the damping.
    rows = RNG.normal(0.5, 1, (20_000, 2, 3)).astype(np.float32)
    true = RNG.normal(size=(4, 3))
    real = np.concatenate([rows[:, g] @ true[2 * g : 2 * g + 2].T for g in (0, 1)], axis=1).astype(np.float32)
    if centred:
        real += np.array([5, -3, 2, 1], np.float32)  # a bias, which is no matter of the weights
    start = true + RNG.normal(0, 0.1, true.shape)
    parts = [(rows[:9000], real[:9000]), (rows[9000:], real[9000:])]
    moments = gather([products(Rows(x.transpose(1, 2, 0), None), y.T) for x, y in parts], start, centred=centred)
    found = moments.target(start).reshape(4, 3)
    assert np.abs(found - true).max() < 0.05 * np.abs(start - true).max()
    expected = np.cov(rows[:, 1].T, bias=True) if centred else rows[:, 1].T @ rows[:, 1] / len(rows)
    np.testing.assert_allclose(moments.inputs[1], expected, atol=0.03)


def test_what_only_chance_lacks_leaves_the_weights_where_they_are() -> None:
    start = RNG.normal(size=(2, 64))

    def moved(samples: int, parts: int, lack: float) -> float:
        rows = RNG.normal(size=(parts, samples, 1, 64)).astype(np.float32)
        real = rows[:, :, 0] @ ((1 + lack) * start.T) + RNG.normal(size=(parts, samples, 2))
        sums = [
            products(Rows(x.transpose(1, 2, 0), None), y.T.astype(np.float32)) for x, y in zip(rows, real, strict=True)
        ]
        moments = gather(sums, start, centred=True)
        assert np.linalg.eigvalsh(moments.inputs).min() > 0
        return float(np.linalg.norm(moments.target(start)[0] - start) / np.linalg.norm(start))

    # 64 weights could fit 20 samples exactly.
    assert moved(5, 4, lack=0) < 0.05
    assert moved(200, 4, lack=0) < 0.05
    assert 0.04 < moved(5000, 4, lack=0.1) < 0.11
    # One part alone cannot tell.
    assert moved(5000, 1, lack=0.1) == 0


@pytest.mark.parametrize(
    "mean, spread", [(0.0, 0.0), (5.0, 0.0), (300.0, 1.0), (1000.0, 0.1), (1e4, 1.0), (100.0, 0.05)]
)
@pytest.mark.parametrize("positions", [1, 2, 100])
def test_moments_of_inputs_that_hardly_vary_are_positive_definite(mean: float, spread: float, positions: int) -> None:
    rng = np.random.default_rng(0)
    x = (mean + spread * rng.normal(size=(1, 24, positions))).astype(np.float32)
    part = products(Rows(x, None), rng.normal(size=(5, positions)).astype(np.float32))
    for centred in (True, False):
        moments = gather([part], rng.normal(size=(5, 24)), centred=centred)
        assert np.linalg.eigvalsh(moments.inputs).min() > 0
        np.linalg.cholesky(moments.inverse)
        assert np.isfinite(moments.target(np.ones((5, 24)))).all()
