"""Exponents from what channels hold, held against rounding done for real."""

from __future__ import annotations

import itertools

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.correction.calibrated import Calibrated
from runner.correction.channels import ChannelStatistics
from runner.correction.correct import correct
from runner.correction.cross_layer_equalization import Maker, Reader, best_exponents, choose_exponents
from runner.correction.held_back import HeldBack
from runner.correction.options import Correction
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.graph.cross_layer_equalization import equalized
from runner.graph.layers import find_layers
from runner.targets.ascend.limits import ASCEND
from tests.data import Items, normal_items
from tests.models import for_all, onnx_text, prepared, run_plain

RNG = np.random.default_rng(0)
X = normal_items(24, 3, 6, 6)
SIZES = np.array([8, 1, 0.25, 4, 0.125, 2], np.float32)


def unbalanced(line: str = "r = Relu (a)") -> onnx.ModelProto:
    """Return a convolution whose channels differ in size by 64, a depthwise one that evens them out, and a projection."""
    rng = np.random.default_rng(1)
    return onnx_text(
        f"""g (float[N,3,6,6] x) => (float[N,4,6,6] z) {{
            a = Conv (x, w1)
            {line}
            d = Conv <group = 6, pads = [1,1,1,1]> (r, w2)
            z = Conv (d, w3)
        }}""",
        w1=SIZES.reshape(6, 1, 1, 1) * rng.uniform(0.5, 1, (6, 3, 1, 1)).astype(np.float32),
        w2=rng.normal(size=(6, 1, 3, 3)).astype(np.float32) / SIZES.reshape(6, 1, 1, 1),
        w3=rng.normal(size=(4, 6, 1, 1)).astype(np.float32),
        zero=np.float32(0),
        high=np.float32(10),
    )


def statistics(x: NDArray[np.float64]) -> ChannelStatistics:
    """Return those of values of shape (places, channels)."""
    return ChannelStatistics(x.min(0), x.max(0), x.mean(0), (x * x).mean(0), (x != 0).mean(0))


def rounded_error(x: NDArray, weight: NDArray, exponents: NDArray) -> float:
    """Return the mean squared error of ``x @ weight.T`` after inputs and weights were scaled and rounded."""
    factors = np.exp2(exponents)
    scaled, divided = x * factors, weight / factors
    step = (max(scaled.max(), 0) - min(scaled.min(), 0)) / 255
    steps = np.abs(divided).max(1, keepdims=True) / 127
    return float(np.mean((np.rint(scaled / step) * step @ (np.rint(divided / steps) * steps).T - x @ weight.T) ** 2))


def test_channels_before_a_depthwise_layer_come_to_the_width_of_the_widest() -> None:
    # Nearly constant channels: what they reach is what was seen, 5 % more at most.
    x = RNG.uniform(0.99, 1, (1000, 4)) * [8, 1, 0.3, 0]
    weight = np.array([1.0, 8, 25, 1]).reshape(4, 1, 1, 1)
    got = best_exponents(statistics(x), [Reader(weight)], (0.0, np.inf))
    # 8 / 1 is 3 powers and 8 / 0.3 is 4.7; a channel that holds nothing stays.
    assert got.tolist() == [0, 2, 4, 0] or got.tolist() == [0, 3, 4, 0]


def test_channel_that_was_hardly_seen_is_given_room() -> None:
    x = np.zeros((1000, 2))
    x[:, 0] = RNG.uniform(0, 8, 1000)
    x[:, 1] = np.where(np.arange(1000) < 500, 1.0, 0.0)  # mean 0.5, deviation 0.5: may reach 3.5
    weight = np.array([1.0, 8]).reshape(2, 1, 1, 1)
    # The first may reach 4 + 6 * 2.3 = 17.9: 2.4 powers above 3.5, where what was seen would give 3.
    assert best_exponents(statistics(x), [Reader(weight)], (0.0, np.inf)).tolist() == [0, 2]
    # Cut off at 8 the first reaches 8, and a power less lies between.
    assert best_exponents(statistics(x), [Reader(weight)], (0.0, 8.0)).tolist() == [0, 1]


def test_balanced_channels_are_left_alone() -> None:
    x = RNG.uniform(0, 1, (1000, 6)) * [1, 1, 0.9, 0.8, 1, 0.9]
    weight = RNG.normal(size=(1, 5, 6, 1))
    assert not best_exponents(statistics(x), [Reader(weight)], (0.0, np.inf)).any()


def test_scaling_a_full_convolution_pays_when_rounding_is_done_for_real() -> None:
    """Random pairs of sizes and weights: whatever is chosen, rounding hurts less than without it."""
    chosen = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.uniform(0, 1, (4000, 8)) * np.exp2(rng.uniform(-6, 3, 8))
        weight = rng.normal(size=(5, 8)) * np.exp2(rng.uniform(-3, 6, 8))
        got = best_exponents(statistics(x), [Reader(weight[np.newaxis, :, :, np.newaxis])], (0.0, np.inf))
        if got.any():
            chosen += 1
            assert rounded_error(x, weight, got) < rounded_error(x, weight, np.zeros(8))
    assert chosen >= 10


@pytest.mark.parametrize("line", ["r = Relu (a)", "r = Clip (a, zero, high)", "r = Identity (a)"])
def test_equalized_model_loses_less_in_int8(line: str) -> None:
    graph, found = prepared(unbalanced(line))
    exponents = choose_exponents(graph, Subset(Items(X), range(12)), engine=Engine(2))
    assert list(exponents) == ["a"]
    assert np.ptp(exponents["a"]) >= 3
    errors = []
    wanted = np.concatenate([y for (y,) in run_plain(graph, X, ["z"])])
    for model in (graph, equalized(graph, exponents)):
        seen = collect(
            found.on(model), Subset(Items(X), range(12)), observers=for_all(found, MinMax()), engine=Engine(2)
        )
        layers = find_layers(model, ASCEND)
        form = quantize_layers(layers.on(model), seen).form
        got = np.concatenate([y for (y,) in run_plain(fake_quant_model(layers.on(model), form), X, ["z"])])
        errors.append(float(np.mean((got - wanted) ** 2)))
    assert errors[1] < errors[0] / 2


def test_pair_whose_second_layer_stays_float_is_left_alone() -> None:
    graph, _ = prepared(unbalanced())
    seen: list[int] = []
    chosen = choose_exponents(
        graph, Subset(Items(X), range(6)), engine=Engine(1), float_layers=("d",), progress=seen.append
    )
    assert "a" not in chosen
    assert seen == [1, 2, 3, 4, 5, 6]
    assert choose_exponents(graph, Subset(Items(X), range(6)), engine=Engine(1), float_layers=("d", "z")) == {}


def test_exponents_do_not_depend_on_the_number_of_callers() -> None:
    graph, _ = prepared(unbalanced())
    assert choose_exponents(graph, Subset(Items(X), range(24)), engine=Engine(1)) == choose_exponents(
        graph, Subset(Items(X), range(24)), engine=Engine(3)
    )


def test_fit_of_a_bias_sees_the_ends_of_an_equalized_relu6(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same integers come of the plain model and of one whose channels are all scaled alike: nothing is lost on the way."""
    # Whether a fit is worth it is told by items held back: take every one.
    errors = itertools.count(0, -1)
    monkeypatch.setattr(HeldBack, "error", lambda self, outputs, *, bias_to_come: float(next(errors)))
    graph, _ = prepared(unbalanced("r = Clip (a, zero, high)"))
    options = Correction("sequential", scale=True)
    biases = []
    for model in (graph, equalized(graph, {"a": (1,) * 6})):
        layers = find_layers(model, ASCEND)
        seen = collect(
            layers.on(model), Subset(Items(X), range(24)), observers=for_all(layers, MinMax()), engine=Engine(1)
        )
        form = quantize_layers(layers.on(model), seen).form
        made = correct(
            Calibrated(layers.on(model), form, seen), Subset(Items(X), range(24)), options=options, engine=Engine(1)
        )
        biases.append([None if layer.bias is None else layer.bias.tolist() for layer in made.layers.values()])
    assert biases[0] == biases[1]
    assert biases[0][0] is not None
    assert any(biases[0][0])


def test_every_channel_is_fitted_up_to_its_own_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums are counted in steps that grow with the channel, so the integers of the bias do not depend on the exponents."""
    # Whether a fit is worth it is judged over all channels, and those count for more that are scaled up: take every one.
    errors = itertools.count(0, -1)
    monkeypatch.setattr(HeldBack, "error", lambda self, outputs, *, bias_to_come: float(next(errors)))
    rng = np.random.default_rng(4)
    graph, _ = prepared(
        onnx_text(
            """g (float[N,3,6,6] x) => (float[N,4,6,6] z) {
                a = Conv (x, w1)
                r = Clip (a, zero, one)
                z = Conv (r, w2)
            }""",
            w1=rng.normal(size=(40, 3, 1, 1)).astype(np.float32),
            w2=rng.normal(size=(4, 40, 1, 1)).astype(np.float32),
            zero=np.float32(0),
            one=np.float32(0.3),
        )
    )
    made = []
    powers = tuple(int(power) for power in rng.integers(0, 6, 40))
    for model in (graph, equalized(graph, {"a": powers})):
        layers = find_layers(model, ASCEND)
        seen = collect(
            layers.on(model), Subset(Items(X + 1), range(12)), observers=for_all(layers, MinMax()), engine=Engine(1)
        )
        start = Calibrated(layers.on(model), quantize_layers(layers.on(model), seen).form, seen)
        options = Correction("isolated", scale=True)
        form = correct(start, Subset(Items(X + 1), range(12)), options=options, engine=Engine(2))
        made.append(form.layers["a"])
    plain, scaled = made
    np.testing.assert_array_equal(scaled.bias, plain.bias)
    np.testing.assert_array_equal(scaled.record.weight_scales, np.array(plain.record.weight_scales) * np.exp2(powers))
    assert np.any(plain.bias)


# Matrix products: one scale for all weights


def test_maker_with_one_scale_is_weighed_against_what_its_readers_gain() -> None:
    """Random pairs of products: whatever is chosen, rounding everything hurts less than without it."""
    chosen = spared = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        before = rng.normal(size=(4000, 12))
        first = rng.normal(size=(12, 8)) * np.exp2(rng.uniform(-4, 2, 8))
        second = rng.normal(size=(8, 5)) * np.exp2(rng.uniform(-2, 4, (8, 1)))
        hidden = np.maximum(before @ first, 0)
        readers = [Reader(second.T[np.newaxis, :, :, np.newaxis], one_scale=True)]
        maker = Maker(np.abs(first).max(axis=0), float((before**2).mean(axis=0).sum()))
        got = best_exponents(statistics(hidden), readers, (0.0, np.inf), maker, of_tokens=True)
        alone = best_exponents(statistics(hidden), readers, (0.0, np.inf), of_tokens=True)
        spared += bool(alone.any()) and not np.array_equal(alone, got)
        if got.any():
            chosen += 1
            errors = [_both_rounded(before, first, second, powers) for powers in (got, np.zeros(8))]
            assert errors[0] < errors[1]
    assert chosen >= 5 and spared >= 5


def _both_rounded(x: NDArray, first: NDArray, second: NDArray, exponents: NDArray) -> float:
    """Return the mean squared error with the hidden channels and both weights rounded."""
    factors = np.exp2(exponents)

    def rounded(weight: NDArray) -> NDArray:
        step = np.abs(weight).max() / 127
        return np.rint(weight / step) * step

    hidden = np.maximum(x @ rounded(first * factors), 0)
    step = hidden.max() / 255
    found = np.rint(hidden / step) * step @ rounded(second / factors[:, np.newaxis])
    return float(np.mean((found - np.maximum(x @ first, 0) @ second) ** 2))


def projections(outlier: float) -> onnx.ModelProto:
    """Return a normalization with one channel that is as many times as wide, whose three projections make little of it."""
    rng = np.random.default_rng(7)
    gamma, shrunk = np.ones(16, np.float32), np.ones((16, 1), np.float32)
    gamma[5], shrunk[5] = outlier, 1 / outlier
    return onnx_text(
        """g (float[N,7,16] x) => (float[N,7,12] z) {
            [norm] n = Mul (x, gamma)
            y = Add (n, beta)
            q = MatMul (y, wq)
            k = MatMul (y, wk)
            v = MatMul (y, wv)
            s = Add (q, k)
            z = Mul (s, v)
        }""",
        gamma=gamma,
        beta=gamma * rng.normal(0, 0.3, 16).astype(np.float32),
        **{f"w{name}": shrunk * rng.normal(size=(16, 12)).astype(np.float32) for name in "qkv"},
    )


def sqnr_in_int8(graph: object, x: NDArray, fresh: NDArray) -> float:
    layers = find_layers(graph, ASCEND)  # type: ignore[arg-type]
    seen = collect(layers, Subset.whole(Items(x)), observers=for_all(layers, MinMax()), engine=Engine(1))
    form = quantize_layers(layers, seen).form
    wanted, got = (
        np.concatenate([z for (z,) in run_plain(made, fresh, ["z"])])
        for made in (graph, fake_quant_model(layers, form))  # type: ignore[arg-type]
    )
    return float(10 * np.log10(np.sum(wanted**2) / np.sum((wanted - got) ** 2)))


def test_outlier_behind_a_normalization_goes_into_gamma_beta_and_all_projections() -> None:
    x, fresh = normal_items(32, 7, 16), normal_items(32, 7, 16, seed=5)
    even, _ = prepared(projections(1))
    wide, _ = prepared(projections(64))
    exponents = choose_exponents(wide, Subset.whole(Items(x)), engine=Engine(2), one_scale=("q", "k", "v"))
    assert list(exponents) == ["y"]
    # All channels but the outlier are scaled alike, or nearly so.
    others = [power for channel, power in enumerate(exponents["y"]) if channel != 5]
    assert exponents["y"][5] == 0 and min(others) >= 4 and max(others) <= 7
    plain, scaled = sqnr_in_int8(wide, x, fresh), sqnr_in_int8(equalized(wide, exponents), x, fresh)
    assert plain < 20
    assert scaled > plain + 12 and scaled > sqnr_in_int8(even, x, fresh) - 3
    # The float model has none, and gains nothing.
    assert choose_exponents(even, Subset.whole(Items(x)), engine=Engine(2), one_scale=("q", "k", "v")) == {}


def test_only_readers_that_are_to_be_int8_count() -> None:
    wide, _ = prepared(projections(64))
    items = Subset.whole(Items(normal_items(8, 7, 16)))
    some = choose_exponents(wide, items, engine=Engine(1), float_layers=("q", "k"), one_scale=("v",))
    assert list(some) == ["y"]
    assert choose_exponents(wide, items, engine=Engine(1), float_layers=("q", "k", "v")) == {}


def test_channels_of_tokens_are_scaled_only_where_rounding_done_for_real_gains() -> None:
    """Normally distributed channels some of which are wider, and weights of any size that share a scale."""
    chosen = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(4000, 16)) * np.exp2(rng.choice([0, 0, 0, 1, 2, 4], 16))
        weight = rng.normal(size=(24, 16)) * np.exp2(rng.choice([0, 0, -1, -4], 16))
        readers = [Reader(weight[np.newaxis, :, :, np.newaxis], one_scale=True)]
        got = best_exponents(statistics(x), readers, (-np.inf, np.inf), of_tokens=True)
        if got.any():
            chosen += 1
            after, before = (_product_error(x, weight, powers) for powers in (got, np.zeros(16)))
            assert after < before
    assert 5 <= chosen < 40


def _product_error(x: NDArray, weight: NDArray, exponents: NDArray) -> float:
    """Return the mean squared error of ``x @ weight.T``, all weights rounded with one scale."""
    scaled, divided = x * np.exp2(exponents), weight / np.exp2(exponents)
    step, step_w = np.ptp(scaled) / 255, np.abs(divided).max() / 127
    found = (np.rint(scaled / step) * step) @ (np.rint(divided / step_w) * step_w).T
    return float(np.mean((found - x @ weight.T) ** 2))
