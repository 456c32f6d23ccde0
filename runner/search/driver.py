"""Runs a strategy's proposals: alone counts, remembers and judges trials, and ends with what there is when it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from runner.search.budget import BudgetSpentError
from runner.search.plan import Plan, Ranking, SearchResult, Strategy, Trial, best_of


def search(
    all_int8: Trial,
    ranking: Ranking,
    strategy: Strategy,
    evaluate: Callable[[Plan], Trial],
    on_trial: Callable[[Trial], None] = lambda trial: None,
) -> SearchResult:
    """Return the trials made and the best accepted one; those made so far where a budget or an interruption ends it.

    Args:
        all_int8: the trial of the plan without fallback, already made.
        ranking: of its layers.
        strategy: proposes plans; not asked when ``all_int8`` is accepted.
        evaluate: scores a plan in full; called once a plan. A BudgetSpentError or KeyboardInterrupt of it ends the search.
        on_trial: told of each new trial.
    """
    stopped: Literal["interrupted", "budget"] | None = None
    seen: dict[Plan, Trial] = {all_int8.plan: all_int8}
    if not all_int8.accepted and ranking.layers:
        proposals = strategy.propose(ranking, all_int8)
        try:
            plan = next(proposals)
            while True:
                if plan not in seen:
                    seen[plan] = evaluate(plan)
                    on_trial(seen[plan])
                plan = proposals.send(seen[plan])
        except StopIteration:
            pass
        except BudgetSpentError:
            stopped = "budget"
        except KeyboardInterrupt:
            stopped = "interrupted"
    trials = tuple(seen.values())
    return SearchResult(trials, best_of(trials), stopped)
