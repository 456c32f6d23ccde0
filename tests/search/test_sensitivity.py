"""Measures against numpy on the tensors themselves, and the ranking's order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from runner.search.sensitivity import Cosine, MeanSquaredError, Sensitivity, SignalToNoise, rank
from runner.similarity import PairSums


def sums_of(f: NDArray, q: NDArray) -> dict[str, NDArray[np.float64]]:
    """Return the three sums over tensors, and how many values they are of."""
    f, q = f.astype(np.float64), q.astype(np.float64)
    return {"ff": (f * f).sum(), "qq": (q * q).sum(), "dd": ((f - q) ** 2).sum(), "count": np.array(f.size, np.float64)}


def value_of(measure: Sensitivity, f: NDArray, q: NDArray) -> float:
    sums = sums_of(f, q)
    return measure.value(PairSums(*(float(sums[k]) for k in ("ff", "qq", "dd")), count=f.size))


F = np.random.default_rng(0).normal(size=(3, 50))


@pytest.mark.parametrize("noise", [0.0, 1e-6, 1e-3, 0.1, 1.0, 10.0])
def test_cosine_is_half_plus_half_the_cosine_of_the_flat_tensors(noise: float) -> None:
    q = F + noise * np.random.default_rng(1).normal(size=F.shape)
    cos = (F.ravel() @ q.ravel()) / (np.linalg.norm(F) * np.linalg.norm(q))
    assert value_of(Cosine(), F, q) == pytest.approx(0.5 + 0.5 * cos, abs=1e-12)


@pytest.mark.parametrize(
    ("f", "q", "value"),
    [
        pytest.param(0 * F, F, 1.0, id="float all zero: 1"),
        pytest.param(0 * F, 0 * F, 1.0, id="both all zero: 1"),
        pytest.param(F, 0 * F, 0.0, id="quantized all zero: 0"),
        pytest.param(F, F, 1.0, id="identical"),
        pytest.param(F, 3 * F, 1.0, id="scaled"),
        pytest.param(F, -F, 0.0, id="opposite"),
    ],
)
def test_cosine_of_special_pairs(f: NDArray, q: NDArray, value: float) -> None:
    assert value_of(Cosine(), f, q) == pytest.approx(value, abs=1e-12)


def test_cosine_tells_layers_apart_that_are_both_nearly_perfect() -> None:
    side = np.zeros_like(F)
    side[0, 0] = 1e-6
    better, worse = value_of(Cosine(), F, F + side), value_of(Cosine(), F, F + 3 * side)
    assert worse < better < 1.0


def test_mse_is_the_mean_of_squares() -> None:
    q = F + 0.25
    assert value_of(MeanSquaredError(), F, q) == pytest.approx(0.0625)


@pytest.mark.parametrize(
    ("f", "q", "value"),
    [
        pytest.param(np.full((1, 4), 10.0), np.full((1, 4), 9.0), 20.0, id="20 dB"),
        pytest.param(F, F, 300.0, id="identical is a number that JSON can hold"),
        pytest.param(0 * F, F, 0.0, id="no signal"),
    ],
)
def test_signal_to_noise_in_db(f: NDArray, q: NDArray, value: float) -> None:
    assert value_of(SignalToNoise(), f, q) == pytest.approx(value)


def layer_noise(*levels: float) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return the sums of layers called a, b, c … of which each has its own noise."""
    noise = np.random.default_rng(3).normal(size=F.shape)
    return {chr(97 + place): sums_of(F, F + level * noise) for place, level in enumerate(levels)}


@pytest.mark.parametrize("measure", [Cosine(), SignalToNoise(), MeanSquaredError()], ids=["cosine", "sqnr", "mse"])
def test_noisiest_layer_is_first_whichever_way_the_measure_runs(measure: Sensitivity) -> None:
    ranking = rank([layer_noise(0.1, 0.4, 0.05, 0.2)], measure)
    assert ranking.layers == ("b", "d", "a", "c")
    values = [value for _, value in ranking.entries]
    assert values == sorted(values, reverse=not measure.ascending)


@pytest.mark.parametrize("measure", [Cosine(), SignalToNoise(), MeanSquaredError()], ids=["cosine", "sqnr", "mse"])
def test_ties_stay_in_graph_order(measure: Sensitivity) -> None:
    ranking = rank([layer_noise(0.1, 0.4, 0.1, 0.4, 0.1)], measure)
    assert ranking.layers == ("b", "d", "a", "c", "e")


def test_value_is_the_mean_of_the_items_own_values() -> None:
    items = [layer_noise(0.1, 0.3), layer_noise(0.5, 0.2), layer_noise(0.0, 0.1)]
    each = [dict(rank([item], Cosine()).entries) for item in items]
    together = dict(rank(items, Cosine()).entries)
    for name in "ab":
        assert together[name] == math.fsum(values[name] for values in each) / 3


def test_size_of_the_layer_divides_its_squared_error() -> None:
    sums = layer_noise(0.1, 0.1)
    sums["b"]["count"] = 2 * sums["a"]["count"]
    values = dict(rank([sums], MeanSquaredError()).entries)
    assert values["a"] == pytest.approx(2 * values["b"])


@pytest.mark.parametrize("measure", [Cosine(), SignalToNoise(), MeanSquaredError()], ids=["cosine", "sqnr", "mse"])
def test_item_for_which_a_layer_has_no_values_says_nothing_of_it(measure: Sensitivity) -> None:
    none = sums_of(np.zeros((0, 3)), np.zeros((0, 3)))
    usual = layer_noise(0.1, 0.4)
    ranking = dict(rank([usual, {**usual, "b": none}, usual], measure).entries)
    assert ranking == pytest.approx(dict(rank([usual], measure).entries), rel=1e-12)
    never = dict(rank([{**usual, "b": none}], measure).entries)
    assert never["b"] == dict(rank([layer_noise(0.0)], measure).entries)["a"]


@pytest.mark.parametrize("measure", [Cosine(), SignalToNoise(), MeanSquaredError()], ids=["cosine", "sqnr", "mse"])
@pytest.mark.parametrize("sums", [(np.inf, 1.0, np.inf), (np.nan, 1.0, np.nan), (np.inf, np.inf, np.nan)], ids=str)
def test_layer_whose_float_output_is_not_finite_is_the_most_sensitive(
    measure: Sensitivity, sums: tuple[float, ...]
) -> None:
    lost = dict(zip(("ff", "qq", "dd"), map(np.float64, sums), strict=True)) | {"count": np.array(4.0)}
    ranking = rank([{**layer_noise(0.1, 0.4), "c": lost}] * 3, measure)
    assert ranking.layers == ("c", "b", "a")
    assert all(math.isfinite(value) for _, value in ranking.entries)
