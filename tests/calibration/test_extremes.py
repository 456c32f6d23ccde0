"""The k-th extremes of values that come in pieces, against sorting them all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runner.calibration.extremes import Extremes, check_percentile
from runner.errors import ConfigError


def gathered(items: list[np.ndarray], max_percentile: float, min_percentile: float) -> tuple[float, float, int]:
    """Return the bounds and the number of passes that they took."""
    extremes, passes = Extremes(max_percentile, min_percentile, len(items)), 0
    while True:
        for item in items:
            extremes.merge(extremes.reduce(item))
        passes += 1
        if not extremes.end_pass():
            low, high = extremes.bounds()
            return float(low), float(high), passes


@given(
    seed=st.integers(0, 1000),
    sizes=st.lists(st.integers(1, 200), min_size=1, max_size=8),
    max_percentile=st.sampled_from([1.0, 0.999999, 0.99, 0.9, 0.6]),
    min_percentile=st.sampled_from([1.0, 0.999999, 0.99, 0.9, 0.6]),
)
def test_bounds_are_the_kth_values_of_all_sorted(
    seed: int, sizes: list[int], max_percentile: float, min_percentile: float
) -> None:
    items = [np.random.default_rng([seed, i]).normal(size=n).astype(np.float32) for i, n in enumerate(sizes)]
    values = np.sort(np.concatenate(items))
    k_max, k_min = (1 if p == 1.0 else values.size - int(p * values.size) for p in (max_percentile, min_percentile))
    low, high, passes = gathered(items, max_percentile, min_percentile)
    assert (low, high) == (float(values[k_min - 1]), float(values[-k_max]))
    assert passes <= 2
    if len(set(sizes)) == 1:
        assert passes == 1


def test_an_item_gives_up_no_more_values_than_may_be_needed() -> None:
    extremes = Extremes(0.99, 0.99, 10)
    partial = extremes.reduce(np.random.default_rng(0).normal(size=1000).astype(np.float32))
    assert (partial.count, partial.top.size, partial.bottom.size) == (1000, 101, 101)


@pytest.mark.parametrize("value", [0.5, 0.0, 1.0001, float("nan")])
def test_share_outside_one_half_to_one_is_refused(value: float) -> None:
    with pytest.raises(ConfigError, match=rf"observer\.max_percentile: expected a share in \(0\.5, 1\], got {value}"):
        check_percentile("max_percentile", value)
