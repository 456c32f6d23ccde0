"""The range of least output error against the definition, tried out."""

from __future__ import annotations

import numpy as np

from runner.correction.activation_range import best_range, output_moments
from runner.ranges import Range, activation_params

RNG = np.random.default_rng(0)


def output_error(values, weight, params) -> float:
    r = np.float32(1) / np.float32(params.scale)
    codes = np.clip(np.rint(values * r + np.float32(params.zero_point)), -128, 127) - params.zero_point
    return float(np.sum(((codes * np.float32(params.scale) - values) @ weight.T.astype(np.float32)) ** 2))


def test_rare_large_values_in_a_channel_that_hardly_counts_are_cut_off() -> None:
    values = np.abs(RNG.normal(0, 1, (2000, 2))).astype(np.float32)
    values[:3, 1] = 12
    observed, weight = Range(0.0, 12.0), np.array([[1.0, 0.01]])
    costs = output_moments(weight, 1, 2)
    found = best_range(observed, values, costs, activation_params, centred=False)
    whole = activation_params(observed)
    assert found.scale < 0.8 * whole.scale
    assert output_error(values, weight, found) < output_error(values, weight, whole)
    # Where that channel counts, they are kept.
    assert (
        best_range(observed, values, output_moments(weight[:, ::-1], 1, 2), activation_params, centred=False) == whole
    )


def test_costs_are_the_products_of_the_weights_of_each_group() -> None:
    weight = RNG.normal(size=(4, 2 * 9))
    kernels = weight.reshape(2, 2, 2, 9)
    expected = sum(kernels[:, o, :, k, None] * kernels[:, o, None, :, k] for o in range(2) for k in range(9))
    np.testing.assert_allclose(output_moments(weight, 2, 2), expected)


def test_range_of_nothing_stays() -> None:
    params = best_range(Range(0, 0), np.zeros((4, 1), np.float32), np.ones((1, 1, 1)), activation_params, centred=True)
    assert params == activation_params(Range(0, 0))
