"""Percentile ranges against sorting every value, and against IFMR with one candidate."""

from __future__ import annotations

import numpy as np
import pytest

from runner.calibration.ifmr import Ifmr
from runner.calibration.observer import Observer
from runner.calibration.percentile import Percentile
from runner.errors import ConfigError
from runner.ranges import Range, activation_params


def seen(items: list[np.ndarray], observer: Observer) -> Range:
    statistic = observer.start(len(items))
    again = True
    while again:
        for item in items:
            statistic.merge(statistic.reduce(item))
        again = statistic.end_pass()
    return statistic.result()


def heavy(count: int, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=count) ** 3).astype(np.float32)


@pytest.mark.parametrize(("upper", "lower"), [(0.99, 0.9), (0.9999, 0.9999), (1.0, 0.95), (1.0, 1.0)])
@pytest.mark.parametrize("sizes", [[500] * 8, [10, 3000, 1, 700]], ids=["even", "uneven"])
def test_range_leaves_out_the_outermost_values(upper: float, lower: float, sizes: list[int]) -> None:
    x = heavy(sum(sizes))
    items = [item.reshape(1, -1) for item in np.split(x, np.cumsum(sizes)[:-1])]
    found, near = seen(items, Percentile(upper, lower, exact=True)), seen(items, Percentile(upper, lower))
    ordered = np.sort(x)
    # k values lie beyond the bound or on it; 1 keeps every value.
    above, below = (x.size - int(p * x.size) if p < 1 else 1 for p in (upper, lower))
    expected = Range(float(ordered[below - 1]), float(ordered[-above]))
    assert found == expected
    # A bin is at most 2**-13 of the largest magnitude wide.
    bin_width = float(np.abs(x).max()) / 2**13
    assert (near.low, near.high) == pytest.approx((expected.low, expected.high), abs=bin_width, rel=0)
    assert all(
        p < 1 or bound == wanted
        for p, bound, wanted in ((lower, near.low, expected.low), (upper, near.high, expected.high))
    )


@pytest.mark.parametrize("asymmetric", [True, False])
@pytest.mark.parametrize("shift", [-9.0, 0.0, 9.0])
def test_the_ifmr_options_written_for_amct_mean_the_same_range(asymmetric: bool, shift: float) -> None:
    items = list((heavy(3000) + np.float32(shift)).reshape(3, -1))
    observer = Percentile(0.99, 0.995, asymmetric)
    params = observer.amct_params()
    assert list(params) == list(Ifmr().amct_params()) and params["act_algo"] == "ifmr"
    as_amct = Ifmr(**{key: value for key, value in params.items() if key not in ("num_bits", "act_algo")})
    assert as_amct.ratios().tolist() == [1.0]
    one, other = (activation_params(seen(items, o), symmetric=not asymmetric) for o in (observer, as_amct))
    assert one == other


@pytest.mark.parametrize("key", ["max_percentile", "min_percentile"])
@pytest.mark.parametrize("value", [0.5, 1.5, float("nan")])
def test_impossible_share_is_refused(key: str, value: float) -> None:
    with pytest.raises(ConfigError, match=rf"observer\.{key}: expected a share in \(0\.5, 1\], got {value}"):
        Percentile(**{key: value})
