"""Factors of the DMQ balancer against its formula, and what they do to the rounding of layers with outlier channels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.correction.calibrated import Calibrated
from runner.correction.channels import ChannelStatistics
from runner.correction.correct import correct
from runner.correction.options import AUTO, SPARING, Correction
from runner.correction.smoothing import best_strength, choose_smoothing, smoothing_factors
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.errors import DatasetError
from runner.graph.layers import Layer
from runner.graph.smoothing import Factors, with_smoothed_inputs
from runner.ranges import ActivationParams
from runner.record import LayerRecord, QuantizedLayers
from tests.data import Items, normal_items
from tests.models import for_all, onnx_text, prepared, run_plain

RNG = np.random.default_rng(0)
EPS = float(np.finfo(np.float32).eps)
SIZES = np.array([1, 60, 0.5, 2, 25, 1], np.float32)


def outliers(factors: Factors | None = None) -> onnx.ModelProto:
    """Return a convolution and two products that read tensors with a few channels far wider than the others.

    With ``factors`` of all three, powers of two, the float model itself divides what they read and multiplies their weights.
    """
    rng = np.random.default_rng(0)
    by_group = SIZES.reshape(2, 3).repeat(3, axis=0).reshape(6, 3, 1, 1)
    w1 = rng.normal(size=(6, 3, 3, 3)).astype(np.float32) / by_group
    w2, w3 = (rng.normal(size=(6, outputs)).astype(np.float32) / SIZES.reshape(6, 1) for outputs in (5, 3))
    inverses, reads = {}, {"conv": "wide", "y": "f", "z": "f"}
    lines = dict.fromkeys(reads, "")
    if factors:
        f1, f2, f3 = (np.array(factors[name], np.float32) for name in reads)
        w1 = w1 * f1.reshape(2, 3).repeat(3, axis=0).reshape(6, 3, 1, 1)
        w2, w3 = w2 * f2.reshape(6, 1), w3 * f3.reshape(6, 1)
        inverses = {"i_conv": 1 / f1.reshape(1, 6, 1, 1), "i_y": 1 / f2, "i_z": 1 / f3}
        lines = {name: f"d_{name} = Mul ({read}, i_{name})" for name, read in reads.items()}
        reads = {name: f"d_{name}" for name in reads}
    return onnx_text(
        f"""g (float[N,6,4,4] x) => (float[N,5] y, float[N,3] z) {{
            wide = Mul (x, sizes)
            {lines["conv"]}
            conv = Conv <group = 2, pads = [1,1,1,1]> ({reads["conv"]}, w1, b1)
            back = Mul (conv, sizes)
            p = GlobalAveragePool (back)
            f = Flatten (p)
            {lines["y"]}
            {lines["z"]}
            y = Gemm ({reads["y"]}, w2, b2)
            z = MatMul ({reads["z"]}, w3)
        }}""",
        sizes=SIZES.reshape(1, 6, 1, 1),
        w1=w1,
        w2=w2,
        w3=w3,
        b1=rng.normal(size=6).astype(np.float32),
        b2=rng.normal(size=5).astype(np.float32),
        **inverses,
    )


ITEMS = normal_items(64, 6, 4, 4)
FRESH = normal_items(64, 6, 4, 4, seed=8)


def half(model: onnx.ModelProto) -> Factors:
    """Return the factors of every layer for a strength of 0.5."""
    graph, found = prepared(model)
    strengths = dict.fromkeys(("conv", "y", "z"), 0.5)
    return choose_smoothing(graph, found.layers, strengths, Subset.whole(Items(ITEMS)), engine=Engine(2)).factors


def calibrated(model: onnx.ModelProto, factors: Factors) -> Calibrated:
    _, found = prepared(model)
    layers = with_smoothed_inputs(found, factors)
    seen = collect(layers, Subset.whole(Items(ITEMS)), observers=for_all(layers, MinMax()), engine=Engine(2))
    return Calibrated(found, quantize_layers(found, seen, smoothing=factors).form, seen)


def loss(start: Calibrated, form: QuantizedLayers) -> float:
    def outputs(of: QuantizedLayers) -> NDArray:
        made = fake_quant_model(start.model, of)
        return np.array([np.concatenate([y[0], z[0]]) for y, z in run_plain(made, FRESH, ["y", "z"])], np.float64)

    return float(np.mean((outputs(form) - outputs(QuantizedLayers({}))) ** 2))


@pytest.mark.parametrize("strength", [0.2, 0.5, 0.8])
def test_factors_are_the_formulas(strength: float) -> None:
    inputs, weights = RNG.uniform(0.1, 50, 6), RNG.uniform(0.01, 2, 6)
    factors = smoothing_factors(inputs, weights, strength)
    assert factors.dtype == np.float32
    np.testing.assert_allclose(factors, inputs**strength / weights ** (1 - strength), rtol=1e-6)
    # What comes of it: both peaks of a channel are powers of the same product.
    np.testing.assert_allclose(inputs / factors, (inputs * weights) ** (1 - strength), rtol=1e-6)
    np.testing.assert_allclose(weights * factors, (inputs * weights) ** strength, rtol=1e-6)


def test_channel_that_lacks_one_of_both_widens_neither_range() -> None:
    inputs = np.array([4, 0, 9, 0, 1e-8, 16], float)
    weights = np.array([1, 5, 0, 0, 0.25, 4], float)
    factors = smoothing_factors(inputs, weights, 0.5).astype(float)
    # Channels 0 and 5 have both: f = sqrt(4 / 1) = 2 and sqrt(16 / 4) = 2, balanced inputs 2 and 8, balanced weights 2 and 8.
    assert factors[[0, 5, 3]].tolist() == [2, 2, 1]
    np.testing.assert_allclose(weights[[1, 4]] * factors[[1, 4]], 8, rtol=1e-6)  # no input: up to the widest weight
    np.testing.assert_allclose(inputs[2] / factors[2], 8, rtol=1e-6)  # no weight: up to the widest input


@pytest.mark.parametrize(
    ("inputs", "weights"),
    [([0, 0], [1, 2]), ([1, 2], [0, 0]), ([0, 3], [2, 0])],
    ids=["no_input", "no_weight", "apart"],
)
def test_layer_that_multiplies_nothing_by_nothing_is_left_alone(inputs: list[float], weights: list[float]) -> None:
    assert smoothing_factors(np.array(inputs, float), np.array(weights, float), 0.5).tolist() == [1, 1]


def test_factors_stay_within_what_a_record_takes() -> None:
    factors = smoothing_factors(np.array([1e20, 2e-7, 1]), np.array([1e-5, 1e20, 1]), 0.8)
    LayerRecord(ActivationParams(1.0, 0), (1.0,), balance_factors=tuple(float(factor) for factor in factors))
    assert EPS < factors.min() < 1.01 * EPS and 0.99 / EPS < factors.max() < 1 / EPS


def test_peaks_are_taken_over_all_items_and_each_layers_own_weight() -> None:
    graph, found = prepared(outliers())
    strengths = {"conv": 0.5, "y": 0.4, "z": 0.5}
    made = choose_smoothing(graph, found.layers, strengths, Subset(Items(ITEMS), range(0, 64, 3)), engine=Engine(2))
    assert made.strengths == strengths
    factors = made.factors
    wide, flat = (np.array(a) for a in zip(*run_plain(graph, ITEMS[::3], ["wide", "f"]), strict=True))
    arrays = {name: value.const_value.numpy() for name, value in graph.graph.initializers.items()}
    np.testing.assert_allclose(
        factors["y"], np.abs(flat).max((0, 1)) ** 0.4 / np.abs(arrays["w2"]).max(1) ** 0.6, rtol=1e-6
    )
    np.testing.assert_allclose(factors["z"], np.sqrt(np.abs(flat).max((0, 1)) / np.abs(arrays["w3"]).max(1)), rtol=1e-6)
    # Two groups of three outputs: channel 4 is the second of the second group.
    peak = np.abs(arrays["w1"][3:, 1]).max()
    assert factors["conv"][4] == pytest.approx(np.sqrt(np.abs(wide[:, 0, 4]).max() / peak), rel=1e-6)


def test_layer_of_one_channel_and_one_that_is_not_asked_for_have_no_factors() -> None:
    graph, found = prepared(
        onnx_text(
            "g (float[N,1,4,4] x) => (float[N,2,4,4] y) { a = Conv (x, w) y = Conv (a, v) }",
            w=np.ones((2, 1, 1, 1), np.float32),
            v=np.ones((2, 2, 1, 1), np.float32),
        )
    )
    data = Items(normal_items(3, 1, 4, 4))
    for strengths in ({}, {"a": 0.5}):
        assert choose_smoothing(graph, found.layers, strengths, Subset(data, range(3)), engine=Engine(1)).factors == {}


def test_activation_that_is_not_finite_is_named() -> None:
    graph, found = prepared(outliers())
    broken = ITEMS[:2].copy()
    broken[1, 0, 0, 0] = np.nan
    with pytest.raises(DatasetError, match=r"item item 1 holds 1 value\(s\) .* the activation 'wide' made of it"):
        choose_smoothing(graph, found.layers, {"conv": 0.5}, Subset(Items(broken), range(2)), engine=Engine(1))


def test_outlier_channels_lose_less_when_balanced() -> None:
    model = outliers()
    plain, balanced = calibrated(model, {}), calibrated(model, half(model))
    assert all(layer.record.balance_factors for layer in balanced.form.layers.values())
    assert loss(balanced, balanced.form) < loss(plain, plain.form) / 10


def test_only_the_layers_that_stay_int8_are_balanced() -> None:
    model = outliers()
    start = calibrated(model, half(model))
    made = fake_quant_model(start.model, start.form.without(["conv"]))
    names = {node.name for node in made.graph}
    assert "conv.mul" not in names and {"y.mul", "z.mul"} <= names
    weights = (graph.initializers["w1"].const_value.numpy() for graph in (made.graph, start.model.graph.graph))
    assert np.array_equal(*weights)


@pytest.mark.parametrize(
    "options",
    [
        Correction(),
        Correction("isolated"),
        Correction("sequential", scale=True),
        Correction(rounding="compensated"),
        Correction(range="output"),
        Correction("sequential", scale=True, rounding="compensated", range="output"),
    ],
    ids=str,
)
def test_balanced_layers_are_those_of_a_model_that_divides_and_multiplies_itself(options: Correction) -> None:
    factors = {name: tuple(2.0 ** RNG.integers(-5, 6, 6)) for name in ("conv", "y", "z")}
    balanced, itself = calibrated(outliers(), factors), calibrated(outliers(factors), {})
    one, other = (
        start.form
        if options == Correction()
        else correct(start, Subset.whole(Items(ITEMS)), options=options, engine=Engine(2))
        for start in (balanced, itself)
    )
    for name, layer in one.layers.items():
        assert layer.record == replace(other.layers[name].record, balance_factors=factors[name])
        assert np.array_equal(layer.weight, other.layers[name].weight)
        assert np.array_equal(layer.bias, other.layers[name].bias)
    assert loss(balanced, one) == loss(itself, other)


@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("kind", ["pointwise", "depthwise", "matrix"])
@given(seed=st.integers(0, 10_000), spread=st.floats(0, 2.5))
def test_strength_of_auto_is_the_one_that_rounding_for_real_likes_best(
    kind: str, symmetric: bool, seed: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    sizes = np.exp(spread * rng.normal(size=8))
    x = (rng.normal(size=(400, 8)) * sizes).astype(np.float32)
    weight = rng.normal(size=(8, 1)) / sizes[:, np.newaxis] if kind == "depthwise" else rng.normal(size=(16, 8)) / sizes
    weight = weight.astype(np.float32)
    node, layer = single(kind, weight)
    seen = ChannelStatistics(x.min(0), x.max(0), x.mean(0), np.square(x).mean(0), np.ones(8))

    def real_error(strength: float) -> float:
        peaks = np.abs(weight).max(axis=1) if kind == "depthwise" else np.abs(weight).max(axis=0)
        factors = (
            smoothing_factors(np.abs(x).max(0).astype(float), peaks.astype(float), strength) if strength else np.ones(8)
        )
        scaled, grown = x / factors, weight * (factors[:, np.newaxis] if kind == "depthwise" else factors)
        widest = 2 * np.abs(scaled).max() if symmetric else max(scaled.max(), 0) - min(scaled.min(), 0)
        step = widest / 255
        steps = np.abs(grown).max(axis=None if kind == "matrix" else 1, keepdims=True) / 127
        inputs, weights = np.rint(scaled / step) * step, np.rint(grown / steps) * steps
        if kind == "depthwise":
            return float(np.mean((inputs * weights[:, 0] - x * weight[:, 0]) ** 2))
        return float(np.mean((inputs @ weights.T - x @ weight.T) ** 2))

    errors = {strength: real_error(strength) for strength in (0, 0.25, 0.5, 0.75)}
    chosen = best_strength(node, layer, seen, symmetric=symmetric)
    # What is chosen is worth it, and hardly anything is worth more.
    assert errors[chosen] <= (0.9 * errors[0] if chosen else errors[0])
    assert errors[chosen] < 1.7 * min(errors.values())


def single(kind: str, weight: NDArray) -> tuple[ir.Node, Layer]:
    """Return a layer of the weight, rows by outputs, and its node."""
    graph = {
        "pointwise": "g (float[N,8,H,W] x) => (float[N,C,H,W] y) { y = Conv (x, w) }",
        "depthwise": "g (float[N,8,H,W] x) => (float[N,C,H,W] y) { y = Conv <group = 8> (x, w) }",
        "matrix": "g (float[N,8] x) => (float[N,C] y) { y = MatMul (x, w) }",
    }[kind]
    made, found = prepared(onnx_text(graph, w=weight.T if kind == "matrix" else weight[..., np.newaxis, np.newaxis]))
    return next(iter(made.graph)), found.layers[0]


def test_auto_balances_outliers_and_leaves_layers_of_even_channels_alone() -> None:
    graph, found = prepared(outliers())
    strengths = dict.fromkeys(("conv", "y", "z"), AUTO)
    made = choose_smoothing(graph, found.layers, strengths, Subset(Items(ITEMS), range(64)), engine=Engine(2))
    assert made.strengths.keys() == made.factors.keys() == {"conv", "y", "z"}
    for name, strength in made.strengths.items():
        alone = choose_smoothing(
            graph, found.layers, {name: strength}, Subset(Items(ITEMS), range(64)), engine=Engine(1)
        )
        assert alone.factors == {name: made.factors[name]}
    even, layers = prepared(
        onnx_text(
            "g (float[N,6,4,4] x) => (float[N,2,H,W] y) { y = Conv (x, w) }",
            w=RNG.normal(size=(2, 6, 3, 3)).astype(np.float32),
        )
    )
    made = choose_smoothing(even, layers.layers, {"y": AUTO}, Subset(Items(ITEMS), range(64)), engine=Engine(2))
    assert (made.strengths, made.factors) == ({}, {})


def test_glance_at_few_items_tells_which_layers_are_looked_at_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, found = prepared(outliers())
    items, seen = Subset(Items(ITEMS), range(40)), list[int]()
    strengths = dict.fromkeys(("conv", "y", "z"), SPARING)
    made = choose_smoothing(graph, found.layers, strengths, items, engine=Engine(2), progress=seen.append)
    assert made.factors and seen[-1] == 40
    monkeypatch.setattr("runner.correction.smoothing._GLANCED_AT", 40)
    again = choose_smoothing(graph, found.layers, strengths, items, engine=Engine(2))
    assert (again.factors, again.strengths) == (made.factors, made.strengths)


def test_layers_that_a_glance_finds_nothing_in_are_not_looked_at_again() -> None:
    graph, found = prepared(
        onnx_text(
            "g (float[N,6,4,4] x) => (float[N,2,H,W] y) { y = Conv (x, w) }",
            w=RNG.normal(size=(2, 6, 3, 3)).astype(np.float32),
        )
    )
    items, seen = Subset(Items(ITEMS), range(64)), list[int]()
    made = choose_smoothing(graph, found.layers, {"y": SPARING}, items, engine=Engine(1), progress=seen.append)
    assert (made.strengths, made.factors) == ({}, {}) and seen == [*range(1, 9), 64]
