"""IFMR against the vendor's algorithm written down plainly, over all values in one array."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runner.calibration.ifmr import Ifmr
from runner.calibration.observer import Observer
from runner.errors import ConfigError
from runner.ranges import ActivationParams, Range, activation_params

FLT_EPSILON = np.float32(1.1920929e-07)
F = np.float32


def amct(
    x: NDArray[np.float32],
    *,
    asymmetric: bool = True,
    max_percentile: float = 0.999999,
    min_percentile: float = 0.999999,
    start: float = 0.7,
    end: float = 1.3,
    step: float = 0.01,
) -> tuple[float, int]:
    """Return (scale, offset): section 4.3 of the description of AMCT, with every value sorted and kept."""
    x = np.sort(x.reshape(-1).astype(F))
    n = x.size
    k_max = 1 if 1 - max_percentile < FLT_EPSILON else n - int(max_percentile * n)
    k_min = 1 if 1 - min_percentile < FLT_EPSILON else n - int(min_percentile * n)
    max0, min0 = max(F(0), x[n - k_max]), min(F(0), x[k_min - 1])
    best_loss, best_scale = math.inf, F(0)
    for ratio in np.arange(start, end, step).astype(F):
        if asymmetric:
            c = ratio * max0
            low, scale = min0, (c - min0) / F(255)
        else:
            c = ratio * max(abs(max0), abs(min0))
            low, scale = -c, c / F(128 if abs(max0) < abs(min0) else 127)
        if scale < FLT_EPSILON:
            scale = F(1)
        error = np.rint(np.clip(x, low, c) / scale) * scale - x
        loss = math.fsum((error * error).tolist()) / n
        if loss < best_loss:
            best_loss, best_scale = loss, scale
    return float(best_scale), -int(np.rint(min0 / best_scale)) - 128 if asymmetric else 0


def ranges_of(items: list[NDArray[np.float32]], observer: Observer) -> tuple[Range, int]:
    """Return the observer's range of the items, and how many passes it took."""
    statistic = observer.start(len(items))
    for passes in itertools.count(1):
        for item in items:
            statistic.merge(statistic.reduce(item))
        if not statistic.end_pass():
            return statistic.result(), passes
    raise AssertionError


def found(items: list[NDArray[np.float32]], observer: Observer) -> tuple[float, int]:
    params = activation_params(ranges_of(items, observer)[0], symmetric=not observer.asymmetric)
    return params.scale, params.zero_point


def gaussian(count: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 2, count).astype(F)


TENSORS = {
    "normal": gaussian(5000, 1),
    "shifted": gaussian(5000, 2) + F(3),
    "relu": np.maximum(gaussian(5000, 3), 0),
    "relu6": np.clip(gaussian(5000, 4) * 4, 0, 6),
    "heavy tail": gaussian(5000, 5) ** 3,
    "heavy negative tail": -(np.abs(gaussian(5000, 6)) ** 3),
    "negative, few positive": np.minimum(gaussian(5000, 7), F(0.5)),
    "all positive": np.abs(gaussian(3000, 8)) + 1,
    "all negative": -np.abs(gaussian(3000, 9)) - 1,
    "half zeros": np.where(gaussian(4000, 10) > 0, gaussian(4000, 11), 0),
    "one outlier": np.append(gaussian(3000, 12), F(60)),
    "tiny": gaussian(1000, 13) * F(1e-5),
    "below epsilon": gaussian(1000, 14) * F(1e-9),
    "huge": gaussian(1000, 15) * F(1e6),
    "equal extremes": np.concatenate([gaussian(500, 17), np.array([-9, 9], F)]),
    "one value": np.array([1.75], F),
    "more than a block": gaussian(100_000, 16),
}


@pytest.mark.parametrize("asymmetric", [True, False], ids=["asymmetric", "symmetric"])
@pytest.mark.parametrize("name", TENSORS)
def test_scale_and_offset_are_amcts(name: str, asymmetric: bool) -> None:
    x = TENSORS[name]
    items = np.array_split(x, min(4, x.size))
    assert found(items, Ifmr(asymmetric=asymmetric, exact=True)) == amct(x, asymmetric=asymmetric)


@pytest.mark.parametrize("asymmetric", [True, False], ids=["asymmetric", "symmetric"])
@pytest.mark.parametrize(
    ("max_percentile", "min_percentile"), [(0.99, 0.99), (0.9, 1.0), (1.0, 0.95), (0.9995, 0.6), (1.0, 1.0)]
)
@pytest.mark.parametrize("name", ["normal", "relu", "heavy tail", "all negative", "half zeros"])
def test_percentiles_drop_the_extremes_as_amct_does(
    name: str, max_percentile: float, min_percentile: float, asymmetric: bool
) -> None:
    x = TENSORS[name]
    options = {"max_percentile": max_percentile, "min_percentile": min_percentile, "asymmetric": asymmetric}
    assert found(np.array_split(x, 5), Ifmr(**options, exact=True)) == amct(x, **options)


@pytest.mark.parametrize(
    ("start", "end", "step"), [(0.5, 1.0, 0.1), (0.9, 1.1, 0.001), (1.0, 1.01, 0.01), (0.3, 2.0, 0.25), (1.0, 2.0, 1.0)]
)
def test_other_search_ranges_are_searched_as_amct_does(start: float, end: float, step: float) -> None:
    x = TENSORS["heavy tail"]
    expected = amct(x, start=start, end=end, step=step)
    assert found([x], Ifmr(search_range=[start, end], search_step=step, exact=True)) == expected


def test_default_search_has_61_candidates_from_0_70_to_1_30() -> None:
    ratios = Ifmr().ratios()
    assert ratios.dtype == np.float32
    np.testing.assert_allclose(ratios, np.linspace(0.7, 1.3, 61), rtol=1e-6)


@pytest.mark.parametrize(
    "sizes",
    [[1, 1, 1], [1, 3000, 2], [2500, 2, 2, 2], [2, 2, 2, 2500], [10, 20, 400, 3, 1000], [700, 700, 700]],
    ids=str,
)
@pytest.mark.parametrize("percentile", [0.999999, 0.99, 0.8])
def test_items_may_differ_in_size(sizes: list[int], percentile: float) -> None:
    x = gaussian(sum(sizes), 21) ** 3
    items = np.split(x, np.cumsum(sizes)[:-1])
    options = {"max_percentile": percentile, "min_percentile": percentile}
    assert found(items, Ifmr(**options, exact=True)) == amct(x, **options)


def test_uneven_items_take_the_exact_form_one_more_pass_and_even_ones_two() -> None:
    options = Ifmr(max_percentile=0.9, min_percentile=0.9, exact=True)
    even = ranges_of([gaussian(1000, 1), gaussian(1000, 2)], options)
    uneven = ranges_of([gaussian(10, 1), gaussian(3000, 2)], options)
    assert (even[1], uneven[1]) == (2, 3)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    cuts=st.lists(st.integers(1, 1999), max_size=8, unique=True),
    percentile=st.sampled_from([0.999999, 0.97, 0.7]),
    exact=st.booleans(),
)
def test_result_does_not_depend_on_how_values_are_split_into_items(
    seed: int, cuts: list[int], percentile: float, exact: bool
) -> None:
    x = gaussian(2000, seed) + F(0.5)
    options = Ifmr(max_percentile=percentile, min_percentile=percentile, exact=exact)
    assert found(np.split(x, sorted(cuts)), options) == found([x], options)


def brute_loss(x: NDArray[np.float32], low: float, high: float, step: float) -> float:
    clipped = np.clip(x.astype(np.float64), low, high)
    return math.fsum((np.rint(clipped / step) * step - x.astype(np.float64)) ** 2)


@pytest.mark.parametrize("asymmetric", [True, False], ids=["asymmetric", "symmetric"])
@pytest.mark.parametrize("name", TENSORS)
def test_one_pass_loses_no_more_than_stated_against_the_best_candidate(name: str, asymmetric: bool) -> None:
    x = TENSORS[name]
    options = Ifmr(max_percentile=1.0, min_percentile=1.0, asymmetric=asymmetric)
    chosen, passes = ranges_of(np.array_split(x, min(4, x.size)), options)
    assert passes == 1
    width = math.ldexp(1, math.frexp(np.abs(x).max())[1] - 14)
    low, extreme = min(0.0, float(x.min())), max(0.0, float(x.max()))
    if not asymmetric:
        extreme, divisor = max(extreme, -low), 128 if extreme < -low else 127
    losses, bounds = {}, {}
    for ratio in options.ratios():
        c = float(ratio * F(extreme))
        bottom, step = (low, (c - low) / 255) if asymmetric else (-c, c / divisor)
        step = 1.0 if step < FLT_EPSILON else step
        error = np.abs(np.rint(np.clip(x.astype(np.float64), bottom, c) / step) * step - x)
        losses[c], bounds[c] = brute_loss(x, bottom, c, step), float((width * (2 * error + width)).sum())
    # A negative extreme has 128 steps below zero, and 127 above.
    taken = -chosen.low if not asymmetric else chosen.high
    key = min(losses, key=lambda c: abs(c - taken))
    best = min(losses, key=lambda c: losses[c])
    assert taken == pytest.approx(key, rel=1e-6)
    assert losses[key] <= losses[best] + bounds[key] + bounds[best]
    # What the bound allows is the worst case; data that is not made for it comes a hundred times closer.
    assert losses[key] <= losses[best] * 1.01 + 1e-12 * float((x.astype(np.float64) ** 2).sum())


def test_first_of_several_equal_losses_is_taken() -> None:
    # The maximum is 0, so every ratio gives the same candidate; below epsilon every scale is 1 and rounds all to 0.
    for x in (np.array([-4, -1, 0], F), np.array([1e-9, 2e-9], F)):
        result, _ = ranges_of([x], Ifmr())
        assert result.high == float(F(0.7) * max(x.max(), F(0)))


@pytest.mark.parametrize("exact", [True, False])
def test_exact_grid_keeps_ratio_one(exact: bool) -> None:
    x = (np.arange(-128, 128) * F(0.25)).astype(F)
    assert found([x], Ifmr(exact=exact)) == (0.25, 0)


@pytest.mark.parametrize("exact", [True, False])
def test_spike_at_the_maximum_is_not_clipped(exact: bool) -> None:
    x = np.clip(gaussian(20_000, 40) * 8, 0, 6)
    assert found([x], Ifmr(exact=exact))[0] == pytest.approx(6 / 255, rel=1e-6)


@pytest.mark.parametrize("asymmetric", [True, False])
def test_tensor_of_zeros_gives_scale_one(asymmetric: bool) -> None:
    x = np.zeros((2, 3, 4), F)
    assert found([x, x], Ifmr(asymmetric=asymmetric)) == (1.0, -128 if asymmetric else 0)


def test_negative_tensor_maps_zero_to_the_last_code() -> None:
    x = -np.abs(gaussian(1000, 30)) - 1
    scale, offset = found([x], Ifmr())
    assert offset == 127 and scale == float((F(0) - x.min()) / F(255))


def test_symmetric_negative_extreme_uses_all_128_codes() -> None:
    scale, offset = found([np.array([-128, -64, 0, 32], F)], Ifmr(asymmetric=False))
    assert (scale, offset) == (1.0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_percentile": 0.5}, r"observer\.max_percentile: expected a share in \(0\.5, 1\], got 0\.5"),
        ({"max_percentile": 1.1}, r"observer\.max_percentile: .* got 1\.1"),
        ({"min_percentile": 0.0}, r"observer\.min_percentile: .* got 0\.0"),
        ({"min_percentile": math.nan}, r"observer\.min_percentile: .* got nan"),
        (
            {"search_range": [0.7]},
            r"observer\.search_range: expected \[start, end\] with 0 < start < end, got \[0\.7\]",
        ),
        ({"search_range": [1.3, 0.7]}, r"observer\.search_range: .* got \[1\.3, 0\.7\]"),
        ({"search_range": [0.0, 1.0]}, r"observer\.search_range: .* got \[0\.0, 1\.0\]"),
        ({"search_step": 0.0}, r"observer\.search_step: expected more than 0 and at most end - start, got 0\.0"),
        (
            {"search_step": 1e-9},
            r"observer\.search_step: expected at most 100000 ratios in \[0\.7, 1\.3\], got steps of 1e-09",
        ),
        ({"search_step": 0.61}, r"observer\.search_step: .* got 0\.61"),
    ],
    ids=lambda value: f"{value}" if isinstance(value, dict) else "",
)
def test_impossible_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Ifmr(**options)


def test_step_as_wide_as_the_range_is_legal_in_spite_of_binary_fractions() -> None:
    assert Ifmr(search_range=[0.7, 1.3], search_step=0.6).ratios().size >= 1


def test_amct_params_hold_the_options_in_amcts_order() -> None:
    assert list(Ifmr(max_percentile=0.9, asymmetric=False).amct_params().items()) == [
        ("num_bits", 8),
        ("max_percentile", 0.9),
        ("min_percentile", 0.999999),
        ("search_range", [0.7, 1.3]),
        ("search_step", 0.01),
        ("act_algo", "ifmr"),
        ("asymmetric", False),
    ]


def test_reference_agrees_with_numbers_worked_out_by_hand() -> None:
    # x = 0, 1, 2 and 255: ratio 1 gives scale 1 and no error at all.
    assert amct(np.array([0, 1, 2, 255], F)) == (1.0, -128)
    assert isinstance(ActivationParams(1.0, -128), ActivationParams)
