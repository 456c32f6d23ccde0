"""Histograms against counting each value's bin in exact arithmetic."""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from runner.calibration.histogram import Histogram, HistogramStatistic, _step
from runner.calibration.ifmr import Ifmr
from runner.ranges import Range

F = np.float32


def of(*items: NDArray[np.float32]) -> Histogram:
    histogram = Histogram.of(items[0])
    for item in items[1:]:
        histogram.add(Histogram.of(item))
    return histogram


def as_counter(histogram: Histogram) -> dict[int, int]:
    numbers = range(histogram.first, histogram.first + histogram.counts.size)
    return {number: int(count) for number, count in zip(numbers, histogram.counts, strict=True) if count}


def by_hand(x: NDArray[np.float32]) -> tuple[int, dict[int, int]]:
    """Return the bins' exponent and the count of each bin that is not empty."""
    _, power = math.frexp(max(abs(float(v)) for v in x))
    exponent = max(power, -100) - 14
    # int() of a fraction cuts towards zero.
    return exponent, dict(Counter(int(Fraction(float(v)) / Fraction(2) ** exponent) for v in x))


def normal(count: int, seed: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=count).astype(F)


TENSORS = {
    "normal": normal(3000, 0),
    "relu6": np.clip(normal(3000, 1) * 5, 0, 6),
    "heavy tail": normal(3000, 2) ** 5,
    "all negative": -np.abs(normal(3000, 3)) - 1,
    "all positive": np.abs(normal(3000, 4)) + 7,
    "power of two": np.array([-4, -2, 0, 1, 2, 4], F),
    "constant": np.full(100, -1.7, F),
    "zeros": np.zeros(7, F),
    "subnormal": np.array([1e-44, -3e-42, 0], F),
    "huge": np.array([-3.4e38, 1, 3.4e38], F),
    "more than a block": normal(300_000, 5),
}


@pytest.mark.parametrize("name", TENSORS)
def test_every_value_is_in_its_bin_and_extremes_are_exact(name: str) -> None:
    x = TENSORS[name]
    histogram = of(x)
    sample = x if x.size < 10_000 else x[:0]
    assert (histogram.low, histogram.high) == (float(x.min()), float(x.max()))
    assert int(histogram.counts.sum()) == x.size
    if sample.size:
        assert (histogram.exponent, as_counter(histogram)) == by_hand(sample)


def test_blocks_are_counted_together() -> None:
    x = TENSORS["more than a block"]
    exponent = math.frexp(float(np.abs(x).max()))[1] - 14
    numbers, counts = np.unique(np.trunc(np.ldexp(x.astype(np.float64), -exponent)), return_counts=True)
    assert as_counter(of(x)) == dict(zip(numbers.astype(int).tolist(), counts.tolist(), strict=True))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    powers=st.lists(st.integers(-140, 120), min_size=1, max_size=6),
    data=st.data(),
)
def test_items_in_any_order_give_the_histogram_of_all_values(seed: int, powers: list[int], data: st.DataObject) -> None:
    items = [np.ldexp(normal(40, seed + n) + F(n % 3 - 1), power).astype(F) for n, power in enumerate(powers)]
    whole, pieces = of(np.concatenate(items)), of(*data.draw(st.permutations(items)))
    assert (pieces.low, pieces.high, pieces.exponent) == (whole.low, whole.high, whole.exponent)
    assert as_counter(pieces) == as_counter(whole)


@pytest.mark.parametrize("name", TENSORS)
def test_edges_hold_their_bins_values(name: str) -> None:
    x = np.sort(TENSORS[name].astype(np.float64))
    histogram = of(TENSORS[name])
    edges = histogram.edges()
    assert edges[0] == x[0] and edges[-1] == x[-1] and np.all(np.diff(edges) >= 0)
    for number, count in enumerate(histogram.counts[:200]):
        inside = np.searchsorted(x, edges[number + 1], side="right") - np.searchsorted(x, edges[number], side="left")
        assert inside >= count


@pytest.mark.parametrize("name", TENSORS)
def test_ranked_values_are_less_than_a_bin_off_and_extremes_not_at_all(name: str) -> None:
    x = np.sort(TENSORS[name].astype(np.float64))
    histogram = of(TENSORS[name])
    width = math.ldexp(1, histogram.exponent)
    assert (histogram.smallest(1), histogram.smallest(x.size)) == (x[0], x[-1])
    for rank in {1, 2, x.size // 3 + 1, x.size // 2 + 1, x.size - 1}:
        # Bin 0 is two wide where it holds values of both signs.
        assert abs(histogram.smallest(rank) - x[rank - 1]) < (2 if x[0] < 0 < x[-1] else 1) * width


@pytest.mark.parametrize("bins", [16, 1024, 8192])
@pytest.mark.parametrize("name", ["normal", "relu6", "heavy tail", "all negative", "all positive", "more than a block"])
def test_equal_bins_hold_the_counts_of_values_that_moved_by_less_than_a_bin(name: str, bins: int) -> None:
    x = TENSORS[name].astype(np.float64)
    histogram = of(TENSORS[name])
    counts, edges = histogram.in_bins(bins), np.linspace(x.min(), x.max(), bins + 1)
    width = math.ldexp(1, histogram.exponent) * (2 if x.min() < 0 < x.max() else 1)
    assert counts.size == bins and counts.min() >= 0 and counts.sum() == x.size
    below = np.cumsum(counts)[:-1]
    ordered = np.sort(x)
    assert np.all(below >= np.searchsorted(ordered, edges[1:-1] - width, side="left"))
    assert np.all(below <= np.searchsorted(ordered, edges[1:-1] + width, side="right"))


def test_spikes_at_the_ends_stay_in_the_outermost_bins() -> None:
    x = TENSORS["relu6"]
    counts = of(x).in_bins(1024)
    assert counts[0] >= (x == 0).sum() and counts[-1] >= (x == 6).sum()


def test_size_does_not_grow_with_the_items() -> None:
    histogram = of(normal(500, 0))
    for seed in range(300):
        histogram.add(Histogram.of(np.ldexp(normal(500, seed), seed % 9).astype(F)))
    assert int(histogram.counts.sum()) == 301 * 500 and histogram.counts.size < 2**15


@pytest.mark.parametrize("name", ["normal", "relu6", "heavy tail", "all negative", "all positive", "constant", "zeros"])
@pytest.mark.parametrize("step", [3, 7, 11])
def test_inner_values_are_counted_by_a_sample_that_covers_all_of_them_in_turn(name: str, step: int) -> None:
    x = TENSORS[name]
    x = x[: x.size - 1 if x.size % step == 0 else x.size]
    ends = Range(float(x.min()), float(x.max()))
    whole = of(x)
    parts = [Histogram.of_some(x, ends, step, start) for start in range(min(step, x.size))]
    merged = parts[0]
    for part in parts[1:]:
        merged.add(part)
    # Every value once in a sample that counts it ``step`` times; or in each of ``step`` as one of the outer ones.
    assert as_counter(merged) == {number: step * count for number, count in as_counter(whole).items()}
    assert (merged.low, merged.high) == (whole.low, whole.high)


@pytest.mark.parametrize("name", ["more than a block", "heavy tail", "all negative"])
def test_outer_values_are_all_counted(name: str) -> None:
    x = TENSORS[name][:-1]
    whole, some = of(x), Histogram.of_some(x, Range(float(x.min()), float(x.max())), 7, 2)
    outer = {n: count for n, count in as_counter(whole).items() if n > 13_000 or n < -13_000}
    assert outer == {n: count for n, count in as_counter(some).items() if n > 13_000 or n < -13_000}


@pytest.mark.parametrize(("size", "most"), [(12 * 28 * 28, 1024), (5000, 999), (3 * 1031, 1024), (7, 1), (1, 1)])
def test_steps_fall_on_every_place_in_turn(size: int, most: int) -> None:
    step = _step(size, most)
    assert math.gcd(step, size) == 1 and -(-size // step) <= most + 1 and -(-size // most) <= step < 2 * size + 2


def test_small_tensors_are_counted_whole() -> None:
    x = normal(4000, 7)
    statistic = HistogramStatistic(lambda histogram: Range(histogram.low, histogram.high), items=1000)
    assert as_counter(statistic.reduce_some(x, Range(float(x.min()), float(x.max())), 5)) == as_counter(of(x))


def test_range_of_some_values_rounds_all_of_them_as_well_as_the_best() -> None:
    x, observer = np.maximum(normal(1 << 20, 8), 0), Ifmr()

    def error(range_: Range) -> float:
        step = range_.high / 255
        return float(np.square(np.rint(np.clip(x, 0, range_.high) / step) * step - x, dtype=np.float64).mean())

    statistic = HistogramStatistic(observer.choose, items=64)
    for place in range(4):
        statistic.merge(statistic.reduce_some(x, Range(0.0, float(x.max())), place))
    assert error(statistic.result()) == pytest.approx(error(observer.choose(of(x))), rel=0.01)
