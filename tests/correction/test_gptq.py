"""Integers of least output error against trying all of them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from runner.correction import gptq
from runner.correction.gptq import compensated, descended, least_error, nearest, output_error, upper_factor


def problem(seed: int, weights: int, channels: int = 4) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return targets and the moments of correlated inputs."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(4 * weights, weights)) @ rng.normal(size=(weights, weights)) + 2
    return rng.normal(0, 20, (channels, weights)), inputs.T @ inputs / len(inputs) + 1e-6 * np.eye(weights)


def exhaustive(target: NDArray[np.float64], moments: NDArray[np.float64]) -> float:
    """Return the least error among codes at most two steps below or above the target."""
    floors = np.floor(target)
    tried = (floors + np.array(steps, float) for steps in itertools.product((-1, 0, 1, 2), repeat=len(target)))
    return min(float((q - target) @ moments @ (q - target)) for q in tried)


@pytest.mark.parametrize("seed", range(5))
def test_least_error_lies_between_the_exhaustive_optimum_and_rounding_to_nearest(seed: int) -> None:
    target, moments = problem(seed, 4)
    found = output_error(least_error(target, moments, np.linalg.inv(moments)), target, moments)
    plain = output_error(nearest(target), target, moments)
    for channel, row in enumerate(target):
        assert exhaustive(row, moments) - 1e-9 <= found[channel] <= plain[channel] + 1e-12


@pytest.mark.parametrize("weights", [3, 70, 150])  # also beyond one block
def test_correlated_inputs_make_a_large_difference(weights: int) -> None:
    target, moments = problem(1, weights)
    plain = output_error(nearest(target), target, moments).sum()
    assert output_error(compensated(target, upper_factor(np.linalg.inv(moments))), target, moments).sum() < plain
    assert output_error(least_error(target, moments, np.linalg.inv(moments)), target, moments).sum() < 0.5 * plain


def test_compensation_is_the_columnwise_least_squares_update() -> None:
    # The definition: after rounding one weight the others move to the least squares optimum given it.
    target, moments = problem(3, 5, channels=1)
    order = range(5)
    moving, done = target[0].copy(), np.empty(5)
    for place, j in enumerate(order):
        done[j] = np.rint(moving[j])
        rest = list(order[place + 1 :])
        if rest:
            h = moments[np.ix_(rest, rest)]
            moving[rest] -= np.linalg.solve(h, moments[rest, j]) * (done[j] - moving[j])
    np.testing.assert_array_equal(compensated(target, upper_factor(np.linalg.inv(moments)))[0], done)


def test_uncorrelated_inputs_leave_rounding_to_nearest() -> None:
    target, _ = problem(0, 6)
    moments = np.diag([3.0, 1.0, 2.0, 5.0, 4.0, 0.5])
    np.testing.assert_array_equal(least_error(target, moments, np.linalg.inv(moments)), nearest(target))


def test_no_single_change_makes_descended_codes_better() -> None:
    target, moments = problem(2, 12)
    codes = descended(nearest(target), target, moments)
    least = output_error(codes, target, moments)
    for place in range(12):
        for step in (-1, 1):
            other = codes.copy()
            other[:, place] += step
            assert np.all(output_error(other, target, moments) >= least - 1e-9)


def test_each_channel_goes_to_the_next_code_that_moves() -> None:
    # The definition: each code in turn goes where the error is least while the others stay, until none moves.
    for seed in range(4):
        target, moments = problem(seed, 30)
        codes = nearest(target + np.random.default_rng(seed).normal(0, 1, target.shape))
        expected = codes.copy()
        for _ in range(8):
            before = expected.copy()
            for j in range(30):
                best = expected[:, j] + (target - expected) @ moments[:, j] / moments[j, j]
                expected[:, j] = nearest(best)
            if np.array_equal(before, expected):
                break
        assert not np.array_equal(codes, expected)
        np.testing.assert_array_equal(descended(codes, target, moments), expected)


def test_problems_side_by_side_are_solved_as_if_alone() -> None:
    problems = [problem(seed, 7) for seed in range(3)]
    target, moments = (np.stack(arrays) for arrays in zip(*problems, strict=True))
    np.testing.assert_array_equal(
        least_error(target, moments, np.linalg.inv(moments)), [least_error(t, h, np.linalg.inv(h)) for t, h in problems]
    )


def test_channels_are_solved_as_if_alone_whoever_solves_them(monkeypatch: pytest.MonkeyPatch) -> None:
    target, moments = problem(4, 40, channels=11)
    inverse = np.linalg.inv(moments)
    whole = least_error(target, moments, inverse)
    monkeypatch.setattr(gptq, "CHANNELS", 3)
    for callers in (1, 2, 4):
        np.testing.assert_array_equal(least_error(target, moments, inverse, callers), whole)


def test_codes_are_integers_of_eight_bits() -> None:
    target, moments = problem(5, 8)
    codes = least_error(10 * target, moments, np.linalg.inv(moments))
    assert codes.min() == -128
    assert codes.max() == 127
    np.testing.assert_array_equal(codes, np.rint(codes))
