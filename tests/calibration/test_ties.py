"""Pixels whose range puts each of them on a rounding tie."""

from __future__ import annotations

import numpy as np
import pytest

from runner.calibration.ties import params_off_ties, tie_share
from runner.ranges import ActivationParams, Range, activation_params

PIXELS = ((np.arange(256) - 127.5) / 127.5).astype(np.float32)
UNIT = Range(-1.0, 1.0)


def exact_tie_share(values: np.ndarray, params: ActivationParams) -> float:
    """Return the share of values within 1/100 code of the middle between two codes, in float64."""
    fraction = np.mod(values.astype(np.float64) / params.scale, 1.0)
    return float(np.mean(np.abs(fraction - 0.5) < 0.01))


def test_every_pixel_between_minus_one_and_one_is_a_tie() -> None:
    params = activation_params(UNIT)
    assert exact_tie_share(PIXELS, params) == 1.0
    assert tie_share(PIXELS, params) == 1.0


def test_widened_range_takes_pixels_off_the_ties() -> None:
    params = params_off_ties(UNIT, PIXELS, symmetric=False)
    before = activation_params(UNIT)
    assert exact_tie_share(PIXELS, params) < 0.05
    assert before.scale < params.scale < before.scale * 1.02  # a fraction of a step at the ends
    error = np.abs(np.rint(PIXELS / params.scale) * params.scale - PIXELS)
    assert error.mean() < 0.6 * before.scale / 2  # off the ties the mean error halves


def test_symmetric_ranges_are_widened_too() -> None:
    values = (PIXELS * np.float32(127)).round().astype(np.float32) + np.float32(0.5)
    assert exact_tie_share(values, activation_params(Range(-127, 127), symmetric=True)) == 1.0
    assert exact_tie_share(values, params_off_ties(Range(-127, 127), values, symmetric=True)) < 0.2


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("symmetric", [True, False])
def test_ordinary_data_keeps_its_range(seed: int, symmetric: bool) -> None:
    values = np.random.default_rng(seed).normal(size=4000).astype(np.float32)
    range_ = Range(float(values.min()), float(values.max()))
    assert params_off_ties(range_, values, symmetric=symmetric) == activation_params(range_, symmetric=symmetric)


@pytest.mark.parametrize(
    "values", [np.arange(256, dtype=np.float32), np.arange(256, dtype=np.float32) / 255], ids=["0..255", "0..1"]
)
def test_pixels_that_are_codes_keep_their_range(values: np.ndarray) -> None:
    range_ = Range(0.0, float(values.max()))
    assert params_off_ties(range_, values, symmetric=False) == activation_params(range_)


def test_zeros_do_not_count() -> None:
    assert tie_share(np.zeros(100, np.float32), ActivationParams(1.0, 0)) == 0.0
    mixed = np.concatenate([np.zeros(1000, np.float32), np.full(4, 0.5, np.float32)])
    assert tie_share(mixed, ActivationParams(1.0, 0)) == 1.0


def test_illegal_range_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=r"activation range must be finite, got -inf \.\. 1"):
        params_off_ties(Range(-np.inf, 1.0), PIXELS, symmetric=False)
