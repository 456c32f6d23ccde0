"""Runs a strategy's proposals: alone counts, remembers and judges trials, and ends with what there is when it is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from runner.search.budget import BudgetSpentError
from runner.search.plan import Plan, Ranking, SearchResult, Strategy, Trial, best_of, closest_of


def search(
    all_int8: Trial,
    ranking: Ranking,
    strategy: Strategy,
    evaluate: Callable[[Plan], Trial],
    on_trial: Callable[[Trial], None] = lambda trial: None,
    confirm: Callable[[Plan], Trial] | None = None,
) -> SearchResult:
    """Return the trials made and the best accepted one; those made so far where a budget or an interruption ends it.

    Args:
        all_int8: the trial of the plan without fallback, already made.
        ranking: of its layers.
        strategy: proposes plans; not asked when ``all_int8`` is accepted.
        evaluate: scores a plan, in full or until its verdict is settled; called once a plan. A BudgetSpentError or
            KeyboardInterrupt of it ends the search.
        on_trial: told of each new trial.
        confirm: scores a plan in full; called for the one to be returned where it was not. If the verdict turns out to be
            another, the strategy is asked again from the start, with what is known by then. None where ``evaluate``
            always scores in full.
    """
    seen: dict[Plan, Trial] = {all_int8.plan: all_int8}
    stopped: Literal["interrupted", "budget"] | None = None

    def ask() -> None:
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

    def chosen() -> Trial:
        trials = tuple(seen.values())
        return best_of(trials) or closest_of(trials)

    def confirmed() -> bool:
        """Score the chosen plan in full; whether its verdict stands."""
        trial = chosen()
        if confirm is None or trial.full:
            return True
        seen[trial.plan] = confirm(trial.plan)
        return seen[trial.plan].accepted == trial.accepted

    try:
        asking = not all_int8.accepted and len(ranking.layers) > 0
        while asking:
            try:
                ask()
            except BudgetSpentError:
                stopped = "budget"
            asking = not confirmed()
    except KeyboardInterrupt:
        stopped = "interrupted"
    trials = tuple(seen.values())
    # An interruption may leave estimates; no model is written on one.
    return SearchResult(trials, best_of([trial for trial in trials if trial.full]), stopped)
