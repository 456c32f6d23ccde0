"""The error of a layer's forms on items held back, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from runner.correction.affine import Clipping
from runner.correction.held_back import HeldBack
from tests.correction.test_correct import calibrated
from tests.data import normal_items
from tests.models import conv_gemm

NO_CLIPPING = Clipping()
ITEMS = normal_items(8, 2, 6, 6)
LAYER = calibrated(conv_gemm(), ITEMS).model.layers[0]
REAL = {item: normal_items(9, 1, LAYER.channels, 6, 6)[0] * 3 for item in (1, 5)}
REAL = {item: array + item for item, array in REAL.items()}


def held_back(clipping: Clipping = NO_CLIPPING) -> HeldBack:
    return HeldBack.of(LAYER, REAL, clipping, clipping, callers=1)


def test_error_is_the_share_of_noise() -> None:
    found = {item: array + 0.5 * np.sin(7 * array) for item, array in REAL.items()}
    real, off = (np.stack(list(one.values())).astype(np.float64) for one in (REAL, found))
    expected = np.sum((real - off) ** 2) / np.sum(real**2)
    assert held_back().error(found, bias_to_come=False) == pytest.approx(expected, rel=1e-5)


def test_mean_errors_cost_nothing_where_a_bias_is_to_come() -> None:
    shift = np.arange(LAYER.channels, dtype=np.float32).reshape(-1, 1, 1)
    off = {item: array + 0.5 * np.sin(7 * array) for item, array in REAL.items()}
    shifted = {item: array + shift for item, array in off.items()}
    judge = held_back()
    assert judge.error(shifted, bias_to_come=False) > 2 * judge.error(off, bias_to_come=False)
    real, found = (np.stack(list(one.values())).astype(np.float64)[:, 0] for one in (REAL, off))
    left = real - found
    left -= left.mean(axis=(0, 2, 3), keepdims=True)
    for form in (off, shifted):
        assert judge.error(form, bias_to_come=True) == pytest.approx(np.sum(left**2) / np.sum(real**2), rel=1e-3)


def test_what_is_clipped_costs_nothing() -> None:
    wrong_below = {item: np.where(array < 0, array * 9, array).astype(np.float32) for item, array in REAL.items()}
    assert held_back().error(wrong_below, bias_to_come=False) > 0
    assert held_back(Clipping(0.0)).error(wrong_below, bias_to_come=False) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_outputs_that_are_no_numbers_are_worse_than_any(bad: float) -> None:
    found = {item: np.where(array == array.max(), np.float32(bad), array) for item, array in REAL.items()}
    assert held_back().error(found, bias_to_come=True) == np.inf


def test_outputs_whose_squares_float32_does_not_hold_are_compared() -> None:
    def large(factor: float) -> dict[int, np.ndarray]:
        return {item: (array * np.float32(factor)).astype(np.float32) for item, array in REAL.items()}

    judge = HeldBack.of(LAYER, large(1e25), Clipping(), Clipping(), callers=1)
    assert judge.error(large(1.1e25), bias_to_come=False) == pytest.approx(0.01, rel=1e-3)
    assert judge.error(large(1e25), bias_to_come=True) < 1e-12
