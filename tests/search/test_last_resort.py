"""What is tried where a strategy has found nothing: every prefix of a ranking that another strategy could have found."""

from __future__ import annotations

import functools
import itertools

from runner.search.last_resort import LastResort
from runner.search.plan import Plan, Ranking, Trial
from tests.search.small_searches import searched

NAMES = ("a", "b", "c", "d", "e")
RANKING = Ranking(tuple((name, float(place)) for place, name in enumerate(NAMES)))


def trial(plan: Plan, accepted: set[int]) -> Trial:
    count = len(plan.fallback)
    prefix = plan.fallback == NAMES[:count]
    return Trial(plan, 0.0, 1.0, prefix and count in accepted, float_macs=count)


def test_some_prefix_is_found_wherever_there_is_one() -> None:
    start = Plan.all_int8(NAMES)
    for accepted in itertools.chain.from_iterable(itertools.combinations(range(1, 5), size) for size in range(5)):
        found = searched(
            trial(start, set(accepted)), RANKING, LastResort(), functools.partial(trial, accepted=set(accepted))
        )
        assert (found.best is not None) == bool(accepted)
        assert len(found.trials) <= 1 + LastResort().most_trials(len(NAMES))


def test_what_a_prefix_leaves_float_needlessly_becomes_int8_again() -> None:
    start = Plan.all_int8(NAMES)

    def evaluate(plan: Plan) -> Trial:
        return Trial(plan, 0.0, 1.0, "d" in plan.fallback, float_macs=len(plan.fallback))

    found = searched(evaluate(start), RANKING, LastResort(), evaluate)
    assert found.best is not None and found.best.plan.fallback == ("d",)
