"""The cost of rounding evenly spread values against integrating bin by bin on a fine grid."""

from __future__ import annotations

import numpy as np
import pytest

from runner.calibration.rounding_error import EvenlySpread

# Each bin's values are stood for by so many, evenly spread.
_PIECES = 400


def brute(edges: np.ndarray, counts: np.ndarray, levels: np.ndarray) -> float:
    total = 0.0
    for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
        values = left + (right - left) * (np.arange(_PIECES) + 0.5) / _PIECES
        total += count * np.square(np.abs(values[:, None] - levels).min(axis=1)).mean()
    return total


@pytest.mark.parametrize(
    "edges",
    [np.arange(41) / 4.0, np.arange(41) - 20.5, np.concatenate([[0], np.arange(39) ** 1.5, [38**1.5]])],
    ids=["equal", "both signs", "unequal with spikes"],
)
@pytest.mark.parametrize(
    ("first", "step", "count"), [(0.0, 1.0, 8), (-5.0, 0.37, 40), (2.0, 3.0, 2), (1.0, 1.0, 1), (-100.0, 7.0, 60)]
)
def test_losses_are_the_integrals(edges: np.ndarray, first: float, step: float, count: int) -> None:
    counts = np.random.default_rng(0).integers(0, 50, edges.size - 1)
    levels = first + step * np.arange(count)
    middles = (levels[:-1] + levels[1:]) / 2
    (loss,) = EvenlySpread(edges, counts).losses(levels[-1:], np.array([step]), middles[None])
    assert loss == pytest.approx(brute(edges, counts, levels), rel=1e-3)


def test_several_grids_at_once_and_known_bins_give_the_same() -> None:
    counts = np.random.default_rng(1).integers(0, 9, 30)
    spread = EvenlySpread(np.arange(31.0), counts)
    first, step = np.array([0.0, 3.2]), np.array([1.0, 0.7])
    edges = first[:, None] + step[:, None] * (np.arange(20) + 0.5)
    top = first + 20 * step
    together = spread.losses(top, step, edges, edges.astype(np.int64))
    apart = [spread.losses(top[i : i + 1], step[i : i + 1], edges[i : i + 1])[0] for i in range(2)]
    np.testing.assert_allclose(together, apart, rtol=1e-12)
