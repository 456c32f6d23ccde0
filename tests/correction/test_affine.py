"""The fit of a layer's output against linear regression and against a search over shifts."""

from __future__ import annotations

import numpy as np
import pytest

from runner.correction.affine import Clipping, Fit, fit_outputs

RNG = np.random.default_rng(0)
REAL = RNG.normal([0.0, 3.0, -2.0], [1.0, 2.0, 0.5], (4000, 3)).astype(np.float32)
NOISE = RNG.normal(0, 0.05, REAL.shape).astype(np.float32)


def test_shift_takes_off_the_mean_error() -> None:
    quantized = REAL + NOISE + np.array([0.3, -0.1, 0.02], np.float32)
    fit = fit_outputs(quantized, REAL, Clipping(), with_factor=False)
    np.testing.assert_array_equal(fit.factor, 1)
    np.testing.assert_allclose((quantized + fit.shift).mean(axis=0), REAL.mean(axis=0, dtype=np.float64), atol=1e-5)


def test_factor_and_shift_are_those_of_linear_regression() -> None:
    quantized = REAL * np.array([0.95, 1.02, 1.1], np.float32) + NOISE + np.float32(0.1)
    fit = fit_outputs(quantized, REAL, Clipping(), with_factor=True)
    for channel in range(3):
        slope, level = np.polyfit(quantized[:, channel].astype(float), REAL[:, channel].astype(float), 1)
        # The prior counts as a hundredth of the positions.
        assert fit.factor[channel] == pytest.approx(slope, abs=0.02 * abs(slope - 1) + 1e-4)
        assert fit.shift[channel] == pytest.approx(level, abs=0.01)


@pytest.mark.parametrize("clipping", [Clipping(low=0.0), Clipping(0.0, 2.0)])
def test_behind_a_clipping_only_what_passes_counts(clipping: Clipping) -> None:
    # Far below 0 the error is large, above it is small: taking the mean off would be wrong.
    quantized = np.where(REAL < 0, REAL - 1, REAL + np.float32(0.05)) + NOISE
    fit = fit_outputs(quantized, REAL, clipping, with_factor=False)

    def loss(shift: float, channel: int) -> float:
        difference = clipping(quantized[:, channel] + np.float32(shift)) - clipping(REAL[:, channel])
        return float(np.mean(difference**2))

    for channel in (0, 1):
        mean = float((REAL - quantized)[:, channel].mean())
        least = min(loss(shift, channel) for shift in np.linspace(-0.5, 0.5, 201))
        assert loss(fit.shift[channel], channel) <= least + 0.1 * (loss(mean, channel) - least)
        assert loss(fit.shift[channel], channel) < loss(mean, channel)


def test_ends_of_channels_are_those_of_each_alone() -> None:
    ends = np.array([1, 4, 8], np.float32).reshape(-1, 1)
    together = Clipping(0.0, ends)
    fit = fit_outputs(REAL + NOISE, REAL, together, with_factor=True)
    alone = [(slice(c, c + 1), Clipping(0.0, float(ends[c, 0]))) for c in range(3)]
    for clippings in ([one for _, one in alone], [together.of(channel) for channel, _ in alone]):
        parts = [
            fit_outputs((REAL + NOISE)[:, channel], REAL[:, channel], clipping, with_factor=True)
            for (channel, _), clipping in zip(alone, clippings, strict=True)
        ]
        np.testing.assert_array_equal(np.concatenate([part.shift for part in parts]), fit.shift)


def test_channel_that_never_passes_keeps_its_mean() -> None:
    fit = fit_outputs(REAL[:, 2:] - 5, REAL[:, 2:] - 4, Clipping(low=100.0), with_factor=True)
    assert fit.factor[0] == pytest.approx(1)
    assert fit.shift[0] == pytest.approx(1, abs=1e-5)


def test_constant_output_gives_a_finite_fit() -> None:
    fit = fit_outputs(np.zeros((10, 1), np.float32), np.ones((10, 1), np.float32), Clipping(), with_factor=True)
    assert (fit.factor[0], fit.shift[0]) == (1, 1)


def test_fit_of_chance_is_next_to_nothing_and_a_real_one_stays() -> None:
    items, channels = 40, 50
    real = RNG.normal(size=(items, 10, channels))
    firsts = list(range(0, items * 10, 10))

    def fitted(quantized: np.ndarray) -> tuple[Fit, Fit]:
        rows = (array.reshape(items * 10, channels).astype(np.float32) for array in (quantized, real))
        fit = fit_outputs(*rows, Clipping(), with_factor=True, firsts=firsts)
        return fit, fit.shrunk()

    # Each item is off as a whole: its ten positions tell no more than one.
    of_item = RNG.normal(0, 0.5, (items, 1, channels))
    fit, shrunk = fitted(real + of_item)
    assert np.mean(fit.level_chance) == pytest.approx(np.mean((fit.level - fit.means) ** 2), rel=0.3)
    assert np.mean((shrunk.level - shrunk.means) ** 2) < 0.1 * np.mean((fit.level - fit.means) ** 2)
    offset, slope = RNG.normal(0, 0.5, channels), RNG.uniform(0.85, 1.15, channels)
    fit, shrunk = fitted(real * slope + offset + 0.1 * of_item)
    np.testing.assert_allclose(shrunk.level - shrunk.means, -offset, atol=0.15)
    np.testing.assert_allclose(shrunk.factor, fit.factor, atol=0.02)
