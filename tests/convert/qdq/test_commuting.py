"""Operators between a pair and a layer: which of them rounding commutes with, and that the layer is quantized through them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from runner.convert.fake_quant import fake_quant_model
from runner.convert.qdq.read import QatModel, read_qdq
from runner.graph.opset import raise_opset
from runner.session import REFERENCE, Session
from runner.targets.ascend.limits import ASCEND

F, U8, I8, I64 = np.float32, np.uint8, np.int8, np.int64
S, Z = F(0.02), U8(120)
rng = np.random.default_rng
PAIR = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) "
TAIL = " n = Identity(m) w = DequantizeLinear<axis=0>(wq, sw) y = Conv(n, w)"


def model_of(nodes: str, opset: int = 13, **arrays: Any) -> ir.Model:
    text = f'<ir_version: 10, opset_import: ["" : {opset}]> g (float[2,4,6,6] x) => (float[n,c,h,k] y) {{ {nodes} }}'
    model = onnx.parser.parse_model(text)
    given = {"s": S, "z": Z, "sw": rng(1).uniform(0.005, 0.02, 3).astype(F), **arrays}
    read = {name for node in model.graph.node for name in node.input} - {o for n in model.graph.node for o in n.output}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(given[n]), n) for n in read & given.keys())
    onnx.checker.check_model(model)
    return ir.from_proto(model)


def run(model: ir.Model, qat: QatModel | None = None) -> np.ndarray:
    x = rng(5).normal(0, 1.2, (2, 4, 6, 6)).astype(F)
    # No value near a tie between two codes, where the order of roundings shows.
    steps = x / S
    x = np.where(np.abs(steps - np.floor(steps) - 0.5) < 0.01, x + S * F(0.02), x).astype(F)
    built = model if qat is None else fake_quant_model(qat.found.on(raise_opset(qat.graph)), qat.form)
    return np.asarray(Session(built, REFERENCE).run({"x": x})[0])


# Between the pair and the convolution, and how many channels reach it.
CARRYING: dict[str, tuple[str, int, dict[str, Any]]] = {
    "Dropout": ("m = Dropout(d)", 4, {}),
    "Dropout with a mask": ("m, u = Dropout(d)", 4, {}),
    "Gather": ("m = Gather<axis=1>(d, i)", 3, {"i": np.array([3, 0, 3])}),
    "GatherElements": ("m = GatherElements<axis=2>(d, i)", 4, {"i": rng(3).integers(0, 6, (2, 4, 6, 6))}),
    "Slice": ("m = Slice(d, a, b, c)", 2, {"a": np.array([1]), "b": np.array([3]), "c": np.array([1])}),
    "Split": ("m, u = Split<axis=1>(d, i)", 1, {"i": np.array([1, 3])}),
    "nearest Resize": ('m = Resize<mode="nearest">(d, , f)', 4, {"f": np.array([1, 1, 2, 2], F)}),
    "Resize of no stated mode": ("m = Resize(d, , f)", 4, {"f": np.array([1, 1, 0.5, 0.5], F)}),
    "Transpose": ("m = Transpose<perm=[0,1,3,2]>(d)", 4, {}),
    "Reshape": ("m = Reshape(d, i)", 8, {"i": np.array([0, 8, 3, 6])}),
    "Squeeze": ("a = Unsqueeze(d, i) m = Squeeze(a, i)", 4, {"i": np.array([0])}),
    "DepthToSpace": ("m = DepthToSpace<blocksize=2>(d)", 1, {}),
    "SpaceToDepth": ("m = SpaceToDepth<blocksize=2>(d)", 16, {}),
    "Tile": ("m = Tile(d, i)", 8, {"i": np.array([1, 2, 1, 1])}),
    "Expand": ("g = GlobalMaxPool(d) m = Expand(g, i)", 4, {"i": np.array([2, 4, 3, 3])}),
    "MaxPool": ("m = MaxPool<kernel_shape=[2,2], pads=[1,1,0,0]>(d)", 4, {}),
    "ReduceMax": ("m = ReduceMax<axes=[2], keepdims=1>(d)", 4, {}),
    "Relu": ("m = Relu(d)", 4, {}),
    "Clip at codes": ("m = Clip(d, lo, hi)", 4, {"lo": F(-12 * S), "hi": F(25 * S)}),
    "Clip beyond the range": ("m = Clip(d, lo, hi)", 4, {"lo": F(-99), "hi": F(25 * S)}),
    "Clip with one limit": ("m = Clip(d, , hi)", 4, {"hi": F(0.5)}),
    "Pad with zeros": ("m = Pad(d, i)", 4, {"i": np.array([0, 0, 1, 1, 0, 0, 1, 1])}),
    "Pad that reflects": ('m = Pad<mode="reflect">(d, i)', 4, {"i": np.array([0, 0, 1, 1, 0, 0, 1, 1])}),
    "Concat of one value twice": ("m = Concat<axis=1>(d, d)", 8, {}),
    "Concat with a constant of codes": ("m = Concat<axis=1>(d, k)", 5, {"k": np.full((2, 1, 6, 6), 7 * S, F)}),
    "Max with a constant": ("m = Max(d, k)", 4, {"k": F(4 * S)}),
    "Where": ("c = Less(x, h) m = Where(c, d, k)", 4, {"h": F(0.3), "k": F(0)}),
    "Cast to the same type": ("m = Cast<to=1>(d)", 4, {}),
    "several": ("a = Dropout(d) b = Relu(a) c = Transpose<perm=[0,1,3,2]>(b) m = Concat<axis=1>(c, b)", 8, {}),
}


@pytest.mark.parametrize("name", CARRYING)
def test_layer_is_quantized_with_the_pair_in_front_of_what_moves_values(name: str) -> None:
    between, channels, arrays = CARRYING[name]
    wq = rng(0).integers(-127, 128, (3, channels, 1, 1)).astype(I8)
    model = model_of(PAIR + between + TAIL, wq=wq, **arrays)
    qat = read_qdq(model, ASCEND)
    (layer,) = qat.form.layers.values()
    assert (layer.record.activation.scale, layer.record.activation.zero_point) == (float(S), int(Z) - 128)
    assert [account.use for account in qat.report.nodes] == ["layer"] * 3
    np.testing.assert_allclose(run(model, qat), run(model), rtol=1e-5, atol=2e-5)


TWO = (
    "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) p = Neg(x) "
    "r = QuantizeLinear(p, s2, z2) e = DequantizeLinear(r, s2, z2) "
)


@pytest.mark.parametrize("join", ["Concat<axis=1>(d, e)", "Max(d, e)", "Min(d, e)"])
def test_pairs_that_are_equal_are_carried_through_what_joins_them(join: str) -> None:
    channels = 8 if join.startswith("Concat") else 4
    arrays = {"wq": rng(0).integers(-127, 128, (3, channels, 1, 1)).astype(I8), "s2": S, "z2": I8(-8)}
    # Zero point -8 of int8 is 120 of uint8.
    model = model_of(f"{TWO} m = {join} {TAIL}", **arrays)
    qat = read_qdq(model, ASCEND)
    assert [account.use for account in qat.report.nodes] == ["layer"] * 5
    assert all(account.users == (qat.report.layers[0].name,) for account in qat.report.nodes)
    np.testing.assert_allclose(run(model, qat), run(model), rtol=1e-5, atol=2e-5)


STAYING: dict[str, tuple[str, int, dict[str, Any]]] = {
    "Concat of two grids": (f"{TWO} m = Concat<axis=1>(d, e)", 8, {"s2": F(0.021), "z2": U8(120)}),
    "Concat of two zero points": (f"{TWO} m = Concat<axis=1>(d, e)", 8, {"s2": S, "z2": U8(121)}),
    "Concat with what is not rounded": (f"{PAIR} m = Concat<axis=1>(d, x)", 8, {}),
    "Concat with a constant between codes": (
        f"{PAIR} m = Concat<axis=1>(d, k)",
        5,
        {"k": np.full((2, 1, 6, 6), F(0.031))},
    ),
    "Clip between codes": (f"{PAIR} m = Clip(d, lo, hi)", 4, {"lo": F(0), "hi": F(0.51)}),
    "linear Resize": (f'{PAIR} m = Resize<mode="linear">(d, , f)', 4, {"f": np.array([1, 1, 2, 2], F)}),
    "Pad with another value": (f"{PAIR} m = Pad(d, i, k)", 4, {"i": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "k": F(0.013)}),
    "average": (f"{PAIR} m = GlobalAveragePool(d)", 4, {}),
    "Neg": (f"{PAIR} m = Neg(d)", 4, {}),
}


@pytest.mark.parametrize("name", STAYING)
def test_layer_behind_what_does_not_commute_stays_float_and_says_so(name: str) -> None:
    before, channels, arrays = STAYING[name]
    wq = rng(0).integers(-127, 128, (3, channels, 1, 1)).astype(I8)
    # Another layer, so that there is something to convert.
    other = " v = DequantizeLinear(vq, s) o = Conv(d, v) u = ReduceMean<keepdims=1>(o) t = Conv(n, w) y = Add(t, u)"
    vq = rng(0).integers(-127, 128, (3, 4, 1, 1)).astype(I8)
    nodes = before + TAIL.replace("y = Conv(n, w)", other)
    qat = read_qdq(model_of(nodes, wq=wq, vq=vq, **arrays), ASCEND)
    stays = next(layer for layer in qat.report.layers if layer.status == "float")
    assert stays.reason == "its input does not go through QuantizeLinear and DequantizeLinear"
    assert any("feeds" in (account.reason or "") for account in qat.report.nodes)


def test_relu6_limit_that_was_computed_another_way_counts_as_on_the_grid() -> None:
    scale = F(F(6) / 255)
    arrays = {"s": scale, "z": U8(0), "lo": F(0), "hi": F(6), "wq": rng(0).integers(-127, 128, (3, 4, 1, 1)).astype(I8)}
    assert read_qdq(model_of(f"{PAIR} m = Clip(d, lo, hi) {TAIL}", **arrays), ASCEND).form.layers


MOVED_CODES = {
    "Transpose": ("t = Transpose<perm=[0,1,3,2]>(q)", 4, {}),
    "Reshape and Transpose": ("r = Reshape(q, i) t = Transpose<perm=[0,1,3,2]>(r)", 8, {"i": np.array([0, 8, 3, 6])}),
    "Gather": ("t = Gather<axis=1>(q, i)", 2, {"i": np.array([3, 1])}),
    "MaxPool": ("t = MaxPool<kernel_shape=[2,2]>(q)", 4, {}),
}


@pytest.mark.parametrize("name", MOVED_CODES)
def test_codes_that_are_moved_before_they_are_dequantized_are_still_a_pair(name: str) -> None:
    between, channels, arrays = MOVED_CODES[name]
    wq = rng(0).integers(-127, 128, (3, channels, 1, 1)).astype(I8)
    model = model_of(f"q = QuantizeLinear(x, s, z) {between} m = DequantizeLinear(t, s, z) {TAIL}", wq=wq, **arrays)
    qat = read_qdq(model, ASCEND)
    assert [account.use for account in qat.report.nodes] == ["layer"] * 3
    np.testing.assert_allclose(run(model, qat), run(model), rtol=1e-5, atol=2e-5)
