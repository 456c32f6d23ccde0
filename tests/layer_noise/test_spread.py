"""Spreads of values against numpy."""

from __future__ import annotations

import numpy as np
import pytest

from runner.layer_noise import spread as spread_module
from runner.layer_noise.spread import BINS, input_spread, together, weight_spread

RNG = np.random.default_rng(3)


def test_counts_and_clipped_values_are_those_of_numpy() -> None:
    values = RNG.normal(size=(2, 5, 7, 7)).astype(np.float32)
    spread = input_spread(values, 1, 0.02, -28)
    assert spread is not None
    assert (spread.low, spread.high) == pytest.approx((-2.0, 3.1), rel=1e-6)
    expected, _ = np.histogram(values, bins=spread.edges)
    # A value at the very end of a bin may fall on either side of it.
    assert np.abs(spread.counts - expected).sum() <= 4 and spread.counts.sum() == values.size
    assert (spread.below, spread.above) == (int((values < -2.0).sum()), int((values > np.float32(3.1)).sum()))
    assert spread.clipped == pytest.approx(np.mean((values < -2.0) | (values > 3.1)))
    assert (spread.channels == np.stack([values.min((0, 2, 3)), values.max((0, 2, 3))])).all()


def test_many_values_are_looked_at_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    values, scales = RNG.normal(size=(7, 3, 5)).astype(np.float32), np.linspace(0.001, 0.02, 7, dtype=np.float32)
    whole = weight_spread(values, scales, 127)
    monkeypatch.setattr(spread_module, "_PIECE", 31)
    pieces = weight_spread(values, scales, 127)
    assert (pieces.counts == whole.counts).all() and (pieces.channels == whole.channels).all()
    assert (pieces.below, pieces.above) == (whole.below, whole.above) and whole.below > 0


def test_values_far_beyond_count_in_the_last_bins() -> None:
    spread = input_spread(np.array([[1e30, -1e30, 0.0, np.nan, np.inf]], np.float32), 0, 0.1, 0)
    assert spread is not None
    assert (spread.counts[0], spread.counts[-1]) == (1, 1) and spread.counts.sum() == 5
    assert np.isfinite(spread.channels).all()


def test_channels_of_a_weight_have_limits_of_their_own() -> None:
    rows = np.array([[1.0, -1.0], [0.1, 0.3]], np.float32).reshape(2, 2, 1, 1)
    spread = weight_spread(rows, np.array([0.01, 0.001], np.float32), 127)
    assert spread.limits == pytest.approx(np.array([[-1.28, -0.128], [1.27, 0.127]]))
    assert (spread.below, spread.above) == (0, 1) and (spread.low, spread.high) == pytest.approx((-1.28, 1.27))


def test_spreads_of_items_add_up_to_that_of_all() -> None:
    values = RNG.normal(size=(4, 3, 6)).astype(np.float32)
    parts = [input_spread(values[n : n + 1], -1, 0.01, 0) for n in range(4)]
    added, whole = together([part for part in parts if part is not None]), input_spread(values, -1, 0.01, 0)
    assert added is not None and whole is not None
    assert (added.counts == whole.counts).all() and (added.channels == whole.channels).all()
    assert (added.below, added.above) == (whole.below, whole.above)


def test_nothing_and_channels_that_differ_have_no_spread() -> None:
    assert input_spread(np.zeros((1, 0, 3), np.float32), 1, 0.1, 0) is None
    assert together([]) is None
    one, other = (input_spread(np.ones((1, n), np.float32), 1, 0.1, 0) for n in (2, 3))
    assert one is not None and other is not None and together([one, other]) is None
    assert len(one.edges) == BINS + 1
