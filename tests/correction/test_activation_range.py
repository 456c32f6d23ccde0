"""The range of least output error against the definition, tried out."""

from __future__ import annotations

import numpy as np

from runner.correction.activation_range import Cost, best_range, output_roots
from runner.ranges import Range, activation_params

RNG = np.random.default_rng(0)
# Of a layer whose output is its input.
ONE = np.ones((1, 1, 1), np.float32)


def output_error(values, weight, params) -> float:
    r = np.float32(1) / np.float32(params.scale)
    codes = np.clip(np.rint(values * r + np.float32(params.zero_point)), -128, 127) - params.zero_point
    return float(np.sum(((codes * np.float32(params.scale) - values) @ weight.T.astype(np.float32)) ** 2))


def test_rare_large_values_in_a_channel_that_hardly_counts_are_cut_off() -> None:
    values = np.abs(RNG.normal(0, 1, (2000, 2))).astype(np.float32)
    values[:3, 1] = 12
    observed, weight = Range(0.0, 12.0), np.array([[1.0, 0.01]])
    found = best_range(observed, observed, values, [Cost(output_roots([weight], 1, 2), False)], activation_params)
    whole = activation_params(observed)
    assert found.scale < 0.8 * whole.scale
    assert output_error(values, weight, found) < output_error(values, weight, whole)
    # Where that channel counts, they are kept.
    counting = Cost(output_roots([weight[:, ::-1]], 1, 2), False)
    assert best_range(observed, observed, values, [counting], activation_params) == whole


def test_costs_are_the_products_of_the_weights_of_each_group() -> None:
    weight = RNG.normal(size=(4, 2 * 9))
    kernels = weight.reshape(2, 2, 2, 9)
    expected = sum(kernels[:, o, :, k, None] * kernels[:, o, None, :, k] for o in range(2) for k in range(9))
    roots = output_roots([weight], 2, 2)
    assert roots.shape == (2, 2, 2)
    np.testing.assert_allclose(roots @ roots.swapaxes(1, 2), expected, rtol=1e-5)


def test_layers_that_read_one_tensor_cost_as_much_as_one_with_all_their_outputs() -> None:
    first, second = RNG.normal(size=(4, 2 * 9)), RNG.normal(size=(2, 2 * 9))
    # The first hardly reads the channel that has large values.
    first.reshape(2, 2, 2, 9)[0, :, 1] *= 0.001
    one, other, both = (output_roots(weights, 2, 2) for weights in ([first], [second], [first, second]))
    each = sum(roots @ roots.swapaxes(1, 2) for roots in (one, other))
    np.testing.assert_allclose(both @ both.swapaxes(1, 2), each, rtol=1e-5)
    values = np.abs(RNG.normal(0, 1, (2000, 4))).astype(np.float32)
    values[:3, 1] = 12
    observed = Range(0.0, 12.0)
    apart, together, alone = (
        best_range(observed, observed, values, [Cost(roots, False) for roots in costs], activation_params)
        for costs in ([one, other], [both], [one])
    )
    assert apart == together != alone


def test_mean_errors_cost_what_no_bias_makes_up_for() -> None:
    # The values lie close together at the end of what is seen, so that clipping gives all about the same error; rounding
    # does not, as they lie around the middle between the last two steps.
    values = np.repeat(RNG.normal(0, 0.002, (500, 1)), 2, axis=1).astype(np.float32) + np.float32(9)
    observed = Range(0.0, 9 * 255 / 254.5)
    free, counted, some = (
        best_range(
            observed, observed, values, [Cost(np.ones((1, 2, 1), np.float32), c) for c in kinds], activation_params
        )
        for kinds in ([True], [False], [True, False])
    )
    assert free.scale < counted.scale
    assert some == counted


def test_few_outputs_cost_as_many_columns() -> None:
    weight = RNG.normal(size=(2, 5))
    np.testing.assert_allclose(output_roots([weight], 1, 5), [weight.T], rtol=1e-6)


def test_number_of_callers_does_not_change_the_range() -> None:
    values = RNG.normal(0, 1, (2000, 2)).astype(np.float32)
    values[:3, 1] = (-12, 12, 12)
    observed, costs = Range(-12.0, 12.0), [Cost(output_roots([np.array([[1.0, 0.01]])], 1, 2), True)]
    one, three = (best_range(observed, observed, values, costs, activation_params, callers=n) for n in (1, 3))
    assert one == three != activation_params(observed)


def test_range_of_nothing_stays() -> None:
    params = best_range(Range(0, 0), Range(0, 0), np.zeros((4, 1), np.float32), [Cost(ONE, True)], activation_params)
    assert params == activation_params(Range(0, 0))


def test_observers_range_is_taken_where_it_costs_less_than_any_inside_what_was_seen() -> None:
    # Whole numbers: a range of 255 steps of 1 loses nothing, although it is wider than what was seen.
    values = RNG.integers(0, 250, (500, 1)).astype(np.float32)
    seen, chosen, costs = Range(0.0, float(values.max())), Range(0.0, 255.0), [Cost(ONE, False)]
    assert best_range(seen, chosen, values, costs, activation_params) == activation_params(chosen)
    assert best_range(seen, seen, values, costs, activation_params) != activation_params(chosen)


def test_ends_move_inwards_as_far_as_that_lowers_the_error() -> None:
    # Normal values and two far outside: the least error lies at less than a third of what was seen.
    values = RNG.normal(0, 1, (20_000, 1)).astype(np.float32)
    values[:2, 0] = (-20, 20)
    seen, costs = Range(-20.0, 20.0), [Cost(ONE, False)]
    found = best_range(seen, seen, values, costs, activation_params)
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
