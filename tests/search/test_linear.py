"""The linear search against trying every prefix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from runner.search.linear import Linear
from runner.search.plan import Plan, Ranking, SearchResult, Trial
from tests.search.small_searches import searched


def run(order: list[str], accepts: Callable[[int], bool]) -> SearchResult:
    """Search a ranking; ``accepts`` tells whether falling back the first k layers is enough."""

    def evaluate(plan: Plan) -> Trial:
        k = len(plan.fallback)
        assert set(plan.fallback) == set(order[:k]), "not a prefix of the ranking"
        return Trial(plan, 0.0, float(len(order) - k), accepts(k))

    ranking = Ranking(tuple((name, float(place)) for place, name in enumerate(order)))
    return searched(evaluate(Plan.all_int8(sorted(order))), ranking, Linear(), evaluate)


def tried(result: SearchResult) -> list[int]:
    """Return how many layers fell back in each trial, the all-int8 one first."""
    return [len(trial.plan.fallback) for trial in result.trials]


@pytest.mark.parametrize("count", range(1, 9))
def test_prefixes_grow_by_one_until_one_is_accepted_and_never_hold_every_layer(count: int) -> None:
    order = [f"layer{index}" for index in np.random.default_rng(count).permutation(count)]
    for smallest in range(count + 1):
        result = run(order, lambda k: k >= smallest)  # noqa: B023 - called before the next turn
        assert tried(result) == list(range(min(smallest, count - 1) + 1))
        best = None if result.best is None else set(result.best.plan.fallback)
        assert best == (set(order[:smallest]) if smallest < count else None)


@pytest.mark.parametrize("seed", range(50))
def test_first_accepted_prefix_is_found_where_losses_are_not_monotone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    enough = rng.random(20) < 0.2
    result = run([f"layer{index:02d}" for index in range(20)], lambda k: bool(enough[k]))
    accepted = np.flatnonzero(enough)
    expected = int(accepted[0]) if accepted.size else None
    assert (None if result.best is None else len(result.best.plan.fallback)) == expected


@pytest.mark.parametrize("count", [0, 1, 2, 7])
def test_most_trials_is_what_a_search_that_accepts_nothing_makes(count: int) -> None:
    result = run([f"layer{index}" for index in range(count)], lambda k: False)
    assert Linear().most_trials(count) == len(result.trials) - 1
