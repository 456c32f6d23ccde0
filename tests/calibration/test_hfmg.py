"""HFMG against its definition written down plainly: a walk over bins and integrals bin by bin."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from runner.calibration.hfmg import Hfmg, best_bins
from runner.errors import ConfigError
from runner.ranges import Range


def seen(items: list[NDArray], observer: Hfmg) -> tuple[Range, int]:
    """Return the range and the number of passes."""
    statistic = observer.start(len(items))
    for passes in itertools.count(1):
        for item in items:
            statistic.merge(statistic.reduce(item.astype(np.float32)))
        if not statistic.end_pass():
            return statistic.result(), passes
    raise AssertionError


def walk(counts: list[int]) -> list[tuple[int, int]]:
    """Return the whole range and AMCT's: section 4.4 of the description of AMCT, one bin at a time."""
    step = max(math.ceil(sum(counts) / 100_000), 1)
    left, right = 0, len(counts) - 1
    ranges = [(left, right)]
    while right - left > math.ceil(len(counts) / 4):
        new_left, dropped = left, 0
        while new_left < right and dropped < step:
            dropped += counts[new_left]
            new_left += 1
        new_right, dropped = right, 0
        while new_right > left and dropped < step:
            dropped += counts[new_right]
            new_right -= 1
        if right - new_right >= new_left - left:
            right = new_right
        else:
            left = new_left
        ranges.append((left, right))
    return ranges


def error(counts: list[int], left: int, right: int) -> float:
    """Return the squared error, each bin cut at the cells' ends and integrated in closed form."""
    width = (right - left + 1) / 256
    total = 0.0
    for index, count in enumerate(counts):
        cuts = [left + width * k for k in range(1, 256) if index < left + width * k < index + 1]
        for begin, end in itertools.pairwise([index, *cuts, index + 1]):
            cell = min(max(math.floor(((begin + end) / 2 - left) / width), 0), 255)
            middle = left + (cell + 0.5) * width
            total += count * ((end - middle) ** 3 - (begin - middle) ** 3) / 3
    return total


def histograms() -> dict[str, NDArray]:
    rng = np.random.default_rng(0)
    draws = {
        "normal": rng.normal(size=40_000),
        "heavy tail": rng.normal(size=40_000) ** 3,
        "heavy negative tail": -(np.abs(rng.normal(size=40_000)) ** 3),
        "relu": np.maximum(rng.normal(size=40_000), 0),
        "uniform": rng.uniform(size=40_000),
        "two hills": np.concatenate([rng.normal(size=20_000), rng.normal(30, 2, 20_000)]),
        "one outlier": np.append(rng.normal(size=5000), 400.0),
        "few values": rng.normal(size=20),
        "many values": rng.normal(size=250_000),
    }
    return {name: np.histogram(x, 1024)[0] for name, x in draws.items()}


@pytest.mark.parametrize("name", histograms())
def test_range_is_the_first_of_least_error_along_the_walk(name: str) -> None:
    counts = histograms()[name]
    ranges = walk(counts.tolist())
    best = best_bins(counts)
    assert best in ranges
    # Every candidate is too slow here; those around the answer and some of all the way are not.
    tried = {best, *ranges[:: max(1, len(ranges) // 8)]}
    tried |= {ranges[i] for i in (ranges.index(best) - 1, ranges.index(best) + 1) if 0 <= i < len(ranges)}
    errors = {candidate: error(counts.tolist(), *candidate) for candidate in tried}
    assert errors[best] <= min(errors.values()) * (1 + 1e-9)


def test_tail_is_clipped_and_data_without_one_is_not() -> None:
    rng = np.random.default_rng(1)
    # Two values at 12 cost less when they are cut off than 400 000 others do in steps three times as wide.
    tailed = np.concatenate([rng.normal(size=400_000), [-12, 12]])
    clipped, _ = seen([tailed], Hfmg())
    assert -12 < clipped.low < -3.5 and 3.5 < clipped.high < 12
    even = rng.uniform(-2, 3, 50_000).astype(np.float32)
    assert seen([even], Hfmg())[0] == Range(float(even.min()), float(even.max()))


@pytest.mark.parametrize("bins", [1024, 2048, 4096, 8192])
def test_bounds_are_edges_of_the_histograms_bins(bins: int) -> None:
    x = (np.random.default_rng(2).normal(size=20_000) ** 3).astype(np.float32)
    found, passes = seen(np.array_split(x, 7), Hfmg(num_of_bins=bins, exact=True))
    low, high = float(x.min()), float(x.max())
    counts, _ = np.histogram(x.astype(np.float64), bins, (low, high))
    first, last = best_bins(counts)
    assert passes == 2
    assert found.low == pytest.approx(low + first * (high - low) / bins, abs=1e-9)
    assert found.high == pytest.approx(low + (last + 1) * (high - low) / bins, abs=1e-9)


@pytest.mark.parametrize("bins", [1024, 4096, 8192])
@pytest.mark.parametrize("shape", ["normal", "relu6", "heavy tail", "negative"])
def test_one_pass_costs_hardly_more_than_the_exact_form(shape: str, bins: int) -> None:
    draw = np.random.default_rng(4).normal(size=200_000)
    x = {
        "normal": draw,
        "relu6": np.clip(draw * 3, 0, 6),
        "heavy tail": draw**3,
        "negative": -np.abs(draw) - 1,
    }[shape].astype(np.float32)
    (near, passes), (exact, _) = (seen(np.array_split(x, 5), Hfmg(bins, exact=e)) for e in (False, True))
    assert passes == 1

    def cost(range_: Range) -> float:
        cell = (range_.high - range_.low) / 256
        middle = np.clip(np.floor((x - range_.low) / cell), 0, 255) + 0.5
        return float(np.square(x - (range_.low + middle * cell), dtype=np.float64).sum())

    assert cost(near) == pytest.approx(cost(exact), rel=0.02)
    if shape == "relu6":
        assert near == exact == Range(0.0, 6.0)


@pytest.mark.parametrize("exact", [True, False])
def test_result_depends_neither_on_the_cut_into_items_nor_on_their_order(exact: bool) -> None:
    x = (np.random.default_rng(3).normal(size=(12, 900)) ** 3).astype(np.float32)
    observer = Hfmg(exact=exact)
    expected = seen([x], observer)
    assert seen(list(x), observer) == expected
    assert seen(list(x[::-1]), observer) == expected
    assert seen(np.array_split(x.reshape(-1), 5), observer) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.0], Range(0.0, 0.0)),
        ([2.5], Range(2.5, 2.5)),
        ([1e-9, -1e-9], Range(float(np.float32(-1e-9)), float(np.float32(1e-9)))),
    ],
    ids=["zeros", "one value", "below epsilon"],
)
def test_tensor_without_a_width_is_not_counted(values: list[float], expected: Range) -> None:
    assert seen([np.array(values)], Hfmg()) == seen([np.array(values)], Hfmg(exact=True)) == (expected, 1)


@pytest.mark.parametrize("exact", [True, False])
def test_widest_range_of_float32_is_counted(exact: bool) -> None:
    huge = float(np.finfo(np.float32).max)
    assert seen([np.array([-huge, 0.0, huge])], Hfmg(exact=exact))[0].low < 0


def test_amct_params_hold_the_options_in_amcts_order() -> None:
    assert list(Hfmg(num_of_bins=8192, asymmetric=False).amct_params().items()) == [
        ("num_bits", 8),
        ("act_algo", "hfmg"),
        ("num_of_bins", 8192),
        ("asymmetric", False),
    ]


@pytest.mark.parametrize("bins", [0, 1000, 4097, 16384])
def test_other_numbers_of_bins_are_refused(bins: int) -> None:
    with pytest.raises(ConfigError, match=rf"observer\.num_of_bins: expected 1024, 2048, 4096 or 8192, got {bins}\."):
        Hfmg(num_of_bins=bins)
