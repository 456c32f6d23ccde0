"""The binary search, exhaustively on small rankings and against the vendor's own procedure."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from runner.search.binary import Binary
from runner.search.plan import Plan, Ranking, SearchResult, Trial
from tests.search.small_searches import searched


def layers(count: int) -> list[str]:
    return [f"layer{index:02d}" for index in range(count)]


def run(count: int, accepts: Callable[[int], bool], order: list[str] | None = None) -> SearchResult:
    """Search a ranking of ``count`` layers; ``accepts`` tells whether falling back the first k is enough."""
    order = order or layers(count)
    ranking = Ranking(tuple((name, float(place)) for place, name in enumerate(order)))

    def evaluate(plan: Plan) -> Trial:
        k = len(plan.fallback)
        assert set(plan.fallback) == set(order[:k]), "not a prefix of the ranking"
        return Trial(plan, 0.0, float(count - k), accepts(k))

    return searched(evaluate(Plan.all_int8(sorted(order))), ranking, Binary(), evaluate)


def tried(result: SearchResult) -> list[int]:
    """Return how many layers fell back in each trial after the all-int8 one."""
    return [len(trial.plan.fallback) for trial in result.trials[1:]]


def amct(count: int, accepts: Callable[[int], bool]) -> tuple[list[int], int | None]:
    """Return AMCT's trials and answer, as numbers of fallen-back layers: its BinarySearch step by step.

    A candidate m rolls back the first m + 1 layers; the one that rolls back everything ends the search untried.
    """
    trials: list[int] = []
    best: int | None = None
    left, right = 0, count - 1
    if right < 0:
        return trials, None
    middle = (left + right) // 2
    while True:
        if middle == count - 1:
            return trials, None
        trials.append(middle + 1)
        if accepts(middle + 1):
            best, right = middle + 1, middle - 1
        else:
            left = middle + 1
        if left > right:
            return trials, best
        middle = (left + right) // 2


@pytest.mark.parametrize("count", range(54))
def test_smallest_accepted_prefix_is_found_in_few_trials(count: int) -> None:
    for smallest in range(count + 1):
        result = run(count, lambda k: k >= smallest)  # noqa: B023 - called before the next turn
        answer = None if result.best is None else len(result.best.plan.fallback)
        # Falling back everything is the float model itself, and no result.
        assert answer == (smallest if smallest < count else None)
        assert len(tried(result)) <= (math.ceil(math.log2(count)) if count else 0)
        assert all(0 < k < count for k in tried(result))


@pytest.mark.parametrize("count", range(54))
def test_most_trials_is_the_largest_number_that_any_search_makes(count: int) -> None:
    most = max(len(tried(run(count, lambda k: k >= smallest))) for smallest in range(1, count + 2))  # noqa: B023
    assert Binary().most_trials(count) == most


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13, 53])
def test_trials_are_amcts_one_by_one_on_monotone_losses(count: int) -> None:
    for smallest in range(1, count + 2):
        trials, best = amct(count, lambda k: k >= smallest)  # noqa: B023
        result = run(count, lambda k: k >= smallest)  # noqa: B023
        assert tried(result) == trials
        assert (None if result.best is None else len(result.best.plan.fallback)) == best


@pytest.mark.parametrize("seed", range(200))
def test_trials_are_amcts_one_by_one_where_losses_are_not_monotone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 54))
    enough = rng.random(count + 1) < rng.random()
    enough[0] = False
    trials, best = amct(count, lambda k: bool(enough[k]))
    result = run(count, lambda k: bool(enough[k]))
    assert tried(result) == trials
    assert (None if result.best is None else len(result.best.plan.fallback)) == best


def test_layers_fall_back_in_the_rankings_order_not_the_graphs() -> None:
    result = run(4, lambda k: k >= 3, order=["layer02", "layer00", "layer03", "layer01"])
    assert result.best is not None and result.best.plan.fallback == ("layer00", "layer02", "layer03")


@pytest.mark.parametrize("count", [1, 2, 5, 53])
def test_model_that_needs_every_layer_float_gets_no_result(count: int) -> None:
    result = run(count, lambda k: k >= count)
    assert result.best is None
    assert count not in tried(result)
