"""The range of least output error against the definition, tried out."""

from __future__ import annotations

import numpy as np

from runner.correction.activation_range import best_range, output_roots
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
    roots = output_roots(weight, 1, 2)
    found = best_range(observed, observed, values, roots, activation_params, centred=False)
    whole = activation_params(observed)
    assert found.scale < 0.8 * whole.scale
    assert output_error(values, weight, found) < output_error(values, weight, whole)
    # Where that channel counts, they are kept.
    assert (
        best_range(observed, observed, values, output_roots(weight[:, ::-1], 1, 2), activation_params, centred=False)
        == whole
    )


def test_costs_are_the_products_of_the_weights_of_each_group() -> None:
    weight = RNG.normal(size=(4, 2 * 9))
    kernels = weight.reshape(2, 2, 2, 9)
    expected = sum(kernels[:, o, :, k, None] * kernels[:, o, None, :, k] for o in range(2) for k in range(9))
    roots = output_roots(weight, 2, 2)
    assert roots.shape == (2, 2, 2)
    np.testing.assert_allclose(roots @ roots.swapaxes(1, 2), expected, rtol=1e-5)


def test_few_outputs_cost_as_many_columns() -> None:
    weight = RNG.normal(size=(2, 5))
    np.testing.assert_allclose(output_roots(weight, 1, 5), [weight.T], rtol=1e-6)


def test_number_of_callers_does_not_change_the_range() -> None:
    values = RNG.normal(0, 1, (2000, 2)).astype(np.float32)
    values[:3, 1] = (-12, 12, 12)
    observed, roots = Range(-12.0, 12.0), output_roots(np.array([[1.0, 0.01]]), 1, 2)
    one, three = (
        best_range(observed, observed, values, roots, activation_params, centred=True, callers=n) for n in (1, 3)
    )
    assert one == three != activation_params(observed)


def test_range_of_nothing_stays() -> None:
    params = best_range(
        Range(0, 0),
        Range(0, 0),
        np.zeros((4, 1), np.float32),
        np.ones((1, 1, 1), np.float32),
        activation_params,
        centred=True,
    )
    assert params == activation_params(Range(0, 0))


def test_observers_range_is_taken_where_it_costs_less_than_any_inside_what_was_seen() -> None:
    # Whole numbers: a range of 255 steps of 1 loses nothing, although it is wider than what was seen.
    values = RNG.integers(0, 250, (500, 1)).astype(np.float32)
    seen, chosen, roots = Range(0.0, float(values.max())), Range(0.0, 255.0), np.ones((1, 1, 1), np.float32)
    assert best_range(seen, chosen, values, roots, activation_params, centred=False) == activation_params(chosen)
    assert best_range(seen, seen, values, roots, activation_params, centred=False) != activation_params(chosen)


def test_ends_move_inwards_as_far_as_that_lowers_the_error() -> None:
    # Normal values and two far outside: the least error lies at less than a third of what was seen.
    values = RNG.normal(0, 1, (20_000, 1)).astype(np.float32)
    values[:2, 0] = (-20, 20)
    seen, roots = Range(-20.0, 20.0), np.ones((1, 1, 1), np.float32)
    found = best_range(seen, seen, values, roots, activation_params, centred=False)
    weight = np.ones((1, 1))
    shares = np.linspace(0.1, 1, 91)
    least = min(
        output_error(values, weight, activation_params(Range(-20 * low, 20 * high)))
        for low in shares
        for high in shares[::5]
    )
    assert output_error(values, weight, found) < 1.1 * least + 0.1 * output_error(
        values, weight, activation_params(seen)
    )
