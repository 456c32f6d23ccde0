"""Weights rounded again to one scale, as well as if everything were tried, and channels too small for float32."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.convert.fake_quant import fake_quant_model
from runner.convert.qdq.layers.rounding import balanced_codes, least_error_scale
from runner.convert.qdq.read import QatModel, read_qdq
from runner.graph.opset import raise_opset
from runner.session import REFERENCE, Session
from runner.targets.ascend.limits import ASCEND

F, I8 = np.float32, np.int8
rng = np.random.default_rng


def squared_error(values: np.ndarray, scale: float) -> float:
    return float(np.sum((np.clip(np.rint(values / scale), -128, 127) * scale - values) ** 2))


def tried_one_by_one(values: np.ndarray, also: tuple[float, ...]) -> float:
    """Return the least squared error over every scale of the grid, weight by weight."""
    widest = max(values.max() / 127, values.min() / -128)
    scales = np.concatenate([widest * np.linspace(0.5, 1, 401), also]).astype(F)
    return min(squared_error(values, float(scale)) for scale in scales if scale > 0)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.sampled_from(["normal", "long tails", "channels"]))
@settings(max_examples=60, deadline=None)
def test_scale_is_the_best_of_those_tried_one_by_one(seed: int, count: int, kind: str) -> None:
    draw = rng(seed)
    values = {
        "normal": draw.normal(0, 10.0 ** draw.integers(-20, 5), count),
        "long tails": draw.standard_t(2, count),
        "channels": draw.integers(-127, 128, (4, count)) * draw.uniform(0.001, 0.01, (4, 1)),
    }[kind]
    also = (float(np.abs(values).max()) / 100,)
    best = tried_one_by_one(values, also)
    assert squared_error(values, float(least_error_scale(values, also))) <= best * (1 + 1e-9)


@given(st.integers(0, 2**32 - 1), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_errors_of_balanced_codes_sum_to_half_a_step_at_the_least_cost(seed: int, count: int) -> None:
    values = rng(seed).normal(0, 40, count)
    codes = balanced_codes(values, 1.0).astype(np.float64)
    nearest = np.clip(np.rint(values), -128, 127)
    excess = nearest - values
    if np.all(np.abs(values) < 127):
        assert abs((codes - values).sum()) <= 0.5 + 1e-9
    # Of all ways to turn as many roundings, those that cost least.
    turned = np.flatnonzero(codes != nearest)
    own_sign = np.flatnonzero(excess * np.sign(excess.sum()) >= 0)
    cost = np.sort(1 - 2 * np.abs(excess[own_sign]))[: turned.size].sum()
    assert np.sum(1 - 2 * np.abs(excess[turned])) == pytest.approx(cost, abs=1e-9)


def model_of(wq: np.ndarray, sw: np.ndarray, s: float = 0.02, bias: np.ndarray | None = None) -> ir.Model:
    operands = "d, w" if bias is None else "d, w, b"
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 13]> g (float[2,3,5,5] x) => (float[n,c,h,k] y) {'
        " q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) w = DequantizeLinear<axis=0>(wq, sw, wz)"
        f" y = Conv({operands}) }}"
    )
    zero = np.zeros(sw.shape, I8)
    arrays = {"wq": wq, "sw": sw.astype(F), "wz": zero, "s": F(s), "z": np.uint8(128)}
    arrays |= {} if bias is None else {"b": bias.astype(F)}
    model.graph.initializer.extend(onnx.numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items())
    return ir.from_proto(model)


def outputs(model: ir.Model, qat: QatModel) -> tuple[np.ndarray, np.ndarray]:
    x = (rng(4).integers(-100, 100, (2, 3, 5, 5)) * F(0.02)).astype(F)
    simulated = fake_quant_model(qat.found.on(raise_opset(qat.graph)), qat.form)
    before, after = (Session(m, REFERENCE).run({"x": x})[0] for m in (model, simulated))
    return before, after


WQ = rng(0).integers(-127, 128, (6, 3, 3, 3)).astype(I8)
SW = np.full(6, 0.004)


@pytest.mark.parametrize("scale", [2e-38, 1e-42, 1e-45])
def test_channel_whose_scale_vanishes_is_rounded_again_and_the_others_stay(scale: float) -> None:
    wq, sw = WQ.copy(), SW.copy()
    sw[5] = scale
    model = model_of(wq, sw)
    qat = read_qdq(model, ASCEND)
    (layer,), (account,) = qat.form.layers.values(), qat.report.layers
    np.testing.assert_array_equal(layer.weight[:5], wq[:5])
    assert account.status == "requantized"
    (error,) = account.weight.inexact
    real = wq[5].astype(np.float64) * float(F(scale))
    assert (error.channel, error.scale) == (5, layer.record.weight_scales[5])
    assert error.max_error == np.abs(layer.weight[5] * error.scale - real).max() == account.weight.max_error
    # Half of the smallest step that float32 has for this layer.
    assert error.max_error <= 0.5 * np.finfo(F).tiny / F(0.02) * 1.001
    assert np.all(F(0.02) * np.asarray(layer.record.weight_scales, F) >= np.finfo(F).tiny)
    before, after = outputs(model, qat)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-30)


def test_channel_of_zeros_under_a_vanishing_scale_is_exact() -> None:
    wq, sw = WQ.copy(), SW.copy()
    wq[2], sw[2] = 0, 1e-40
    qat = read_qdq(model_of(wq, sw, bias=np.ones(6)), ASCEND)
    assert [layer.status for layer in qat.report.layers] == ["exact"]


def test_layer_of_one_vanishing_scale_is_rounded_again() -> None:
    qat = read_qdq(model_of(WQ, np.asarray(3e-38)), ASCEND)
    (layer,) = qat.report.layers
    assert (layer.status, layer.weight.channels_exact) == ("requantized", 0)
    assert 0 < layer.weight.max_error < 1e-36


def test_weights_that_vanish_beside_their_bias_become_zeros() -> None:
    sw, bias = SW.copy(), np.asarray([0.5, -0.3, 0, 1.25, -2, 0.7])
    sw[[1, 3]] = 1e-20
    model = model_of(WQ, sw, bias=bias)
    qat = read_qdq(model, ASCEND)
    (layer,), (account,) = qat.form.layers.values(), qat.report.layers
    assert not np.any(layer.weight[[1, 3]])
    assert [error.channel for error in account.weight.inexact] == [1, 3]
    assert account.weight.inexact[0].max_error == pytest.approx(np.abs(WQ[1].astype(float)).max() * 1e-20)
    before, after = outputs(model, qat)
    np.testing.assert_allclose(after[:, [1, 3]], before[:, [1, 3]], rtol=1e-6)
    np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
