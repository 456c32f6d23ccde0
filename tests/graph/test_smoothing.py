"""Balanced layers of every type: the same function, found channel by channel from what onnxruntime gives."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from runner.graph.layers import find_layers
from runner.graph.smoothing import (
    balanced,
    can_be_smoothed,
    input_channels,
    rounded_tensor,
    smoothed_rows,
    weight_peaks,
    why_not_smoothed,
    with_smoothed_inputs,
)
from runner.targets.ascend.limits import ASCEND
from tests.data import noise
from tests.models import model, node_named, plain_session, run_plain

# id -> node, shape of x, shape of w, groups. Padding and strides let a single value of x meet each of its weights, once.
LAYERS = {
    "conv": ("Conv<pads=[2,1,2,1]>", (1, 3, 1, 1), (4, 3, 3, 2), 1),
    "conv1d": ("Conv<pads=[1,1]>", (1, 3, 1), (2, 3, 2), 1),
    "conv3d": ("Conv<pads=[1,0,1,1,0,1]>", (1, 2, 1, 1, 1), (2, 2, 2, 1, 2), 1),
    "grouped": ("Conv<group=2, pads=[1,1,1,1]>", (1, 6, 1, 1), (4, 3, 2, 2), 2),
    "depthwise": ("Conv<group=4, pads=[2,2,2,2]>", (1, 4, 1, 1), (4, 1, 3, 3), 4),
    "depthwise_twice": ("Conv<group=3, pads=[1,1,1,1]>", (1, 3, 1, 1), (6, 1, 2, 2), 3),
    "transpose": ("ConvTranspose", (1, 3, 1, 1), (3, 4, 2, 2), 1),
    "transpose_grouped": ("ConvTranspose<group=2>", (1, 4, 1, 1), (4, 3, 2, 2), 2),
    "gemm": ("Gemm", (1, 5), (5, 3), 1),
    "matmul": ("MatMul", (1, 1, 6), (6, 4), 1),
    "matmul_batch": ("MatMul", (2, 1, 6), (2, 6, 4), 1),
    "matmul_of_a_vector": ("MatMul", (6,), (6, 4), 1),
}
RNG = np.random.default_rng(5)


def one_layer(name: str, weight: np.ndarray | None = None) -> ir.Model:
    op, shape, stored, _ = LAYERS[name]
    w = noise(1, *stored) if weight is None else weight
    return model(f"g (float[{','.join(map(str, shape))}] x) => (float[] y) {{ [layer] y = {op}(x, w) }}", w=w)


def channels(name: str) -> int:
    op, shape, _, _ = LAYERS[name]
    return shape[1] if op.startswith("Conv") else shape[-1]


def run(built: ir.Model, x: np.ndarray) -> np.ndarray:
    return plain_session(built).run(None, {"x": x.astype(np.float32)})[0]


def only(name: str, channel: int) -> np.ndarray:
    """Return ones in one channel of the input, zeros in the others."""
    op, shape, _, _ = LAYERS[name]
    x = np.zeros(shape, np.float32)
    x[(slice(None), channel) if op.startswith("Conv") else (..., channel)] = 1
    return x


@pytest.mark.parametrize("name", LAYERS)
def test_peaks_are_of_the_weights_that_a_channel_meets(name: str) -> None:
    built = one_layer(name)
    layer, node = find_layers(built, ASCEND).layer("layer"), node_named(built.graph, "layer")
    # A single 1 in the channel: each output is one weight, or 0.
    expected = [np.abs(run(built, only(name, channel))).max() for channel in range(channels(name))]
    assert input_channels(node, layer) == channels(name)
    assert np.array_equal(weight_peaks(node, layer), expected)


@pytest.mark.parametrize("name", LAYERS)
def test_layer_computes_the_same_on_its_balanced_input(name: str) -> None:
    built = one_layer(name)
    layer, node = find_layers(built, ASCEND).layer("layer"), node_named(built.graph, "layer")
    _, shape, stored, _ = LAYERS[name]
    # Powers of two, so that nothing is rounded: every bit must stay.
    factors = tuple(2.0 ** RNG.integers(-3, 4, channels(name)))
    weight = layer.layout.stored(smoothed_rows(node, layer, factors), stored)
    x = noise(2, *shape)
    assert balanced(x, factors, layer).shape == x.shape
    assert np.array_equal(run(one_layer(name, weight), balanced(x, factors, layer)), run(built, x))
    # Each channel is divided by its own factor.
    for channel, factor in enumerate(factors):
        assert np.array_equal(balanced(only(name, channel), factors, layer), only(name, channel) / factor)


def test_without_factors_nothing_changes() -> None:
    built = one_layer("conv")
    layer, node = find_layers(built, ASCEND).layer("layer"), node_named(built.graph, "layer")
    x = noise(2, 1, 3, 1, 1)
    assert balanced(x, (), layer) is x
    assert np.array_equal(smoothed_rows(node, layer, ()), noise(1, 4, 3, 3, 2))
    assert rounded_tensor(layer, ()) == "x"
    found = find_layers(built, ASCEND)
    assert with_smoothed_inputs(found, {}) is found


def test_layers_that_read_one_tensor_have_a_balanced_input_each() -> None:
    built = model(
        """g (float[1,3,2,2] x) => (float[] y, float[] z, float[] p) {
            [a] y = Conv(x, v) [b] z = Conv(x, w) [pool] p = AveragePool<kernel_shape=[2,2]>(x)
        }""",
        v=noise(1, 2, 3, 1, 1),
        w=noise(2, 2, 3, 1, 1),
    )
    found = find_layers(built, ASCEND)
    factors = {"a": (1.0, 3.0, 0.3), "b": (7.0, 1.0, 1.0)}
    probed = with_smoothed_inputs(found, factors)
    reads = {layer.name: layer.input for layer in probed.layers}
    assert reads["pool"] == "x" and len(set(reads.values())) == 3
    assert reads["a"] == rounded_tensor(found.layer("a"), factors["a"])
    x = noise(3, 1, 3, 2, 2)
    plain, seen = (
        run_plain(made, x, ["y", "z", *extra])[0] for made, extra in ((built, []), (probed.graph, reads.values()))
    )
    # The layers themselves still read what they read.
    assert all(np.array_equal(a, b) for a, b in zip(plain, seen[:2], strict=True))
    for read, name in zip(seen[2:], reads, strict=True):
        by = np.float32(1) / np.asarray(factors.get(name, (1, 1, 1)), np.float32)
        assert np.array_equal(read[0], x[0] * by.reshape(3, 1, 1)), name


def test_pool_and_old_opsets_are_not_balanced() -> None:
    pool = model("g (float[1,3,4,4] x) => (float[] y) { [p] y = AveragePool<kernel_shape=[2,2]>(x) }", opset=6)
    assert not can_be_smoothed(find_layers(pool, ASCEND).layer("p"))
    assert why_not_smoothed(pool) == "a Mul by one factor a channel needs opset 7 or later, and the model has 6"
    assert why_not_smoothed(one_layer("conv")) is None
