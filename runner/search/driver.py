"""Runs a strategy's proposals: alone counts, remembers and judges trials, and ends with what there is when it is stopped."""

from __future__ import annotations

from collections.abc import Callable

from runner.search.budget import BudgetSpentError
from runner.search.plan import InFull, Plan, Ranking, SearchResult, Stopped, Strategy, Trial, best_of, closest_of


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
        strategy: proposes plans; not asked when ``all_int8`` is accepted, unless it says ``always``.
        evaluate: scores a plan, in full or until its verdict is settled; called once a plan. A BudgetSpentError or
            KeyboardInterrupt of it ends the search.
        on_trial: told of each new trial.
        confirm: scores a plan in full; called where ``evaluate`` did not, for the trials that the strategy wants
            ``in_full`` before it is told of them, and for the one to be returned. If that one's verdict turns out to be
            another, the strategy is asked again from the start, with what is known by then. None where ``evaluate``
            always scores in full.
    """
    seen: dict[Plan, Trial] = {all_int8.plan: all_int8}
    stopped: Stopped | None = None

    def score(plan: Plan) -> None:
        seen[plan] = evaluate(plan)
        if confirm is not None and not seen[plan].full and _wanted_in_full(strategy, seen[plan]):
            seen[plan] = confirm(plan)

    def ask() -> None:
        proposals = strategy.propose(ranking, all_int8)
        try:
            plan = next(proposals)
            while True:
                if plan not in seen:
                    score(plan)
                    on_trial(seen[plan])
                plan = proposals.send(seen[plan])
        except StopIteration:
            pass

    def confirmed() -> bool:
        """Score the chosen plan in full; whether its verdict stands."""
        trials = tuple(seen.values())
        trial = best_of(trials) or closest_of(trials)
        if confirm is None or trial.full:
            return True
        seen[trial.plan] = confirm(trial.plan)
        return seen[trial.plan].accepted == trial.accepted

    try:
        asking = len(ranking.layers) > 0 and (not all_int8.accepted or goes_on(strategy))
        while asking:
            try:
                ask()
            except BudgetSpentError:
                stopped = "budget"
            asking = not confirmed()
    except KeyboardInterrupt:
        stopped = "interrupted"
    # An interruption may leave estimates; no model is written on one.
    return SearchResult.of(seen.values(), stopped)


def goes_on(strategy: Strategy) -> bool:
    """Return whether a strategy has something to propose also where the first plan is accepted."""
    return bool(getattr(strategy, "always", False))


def in_full(strategy: Strategy) -> InFull:
    """Return which trials a strategy wants scored over every item."""
    wanted: InFull = getattr(strategy, "in_full", "chosen")
    return wanted


def _wanted_in_full(strategy: Strategy, trial: Trial) -> bool:
    wanted = in_full(strategy)
    return wanted == "all" or (wanted == "accepted" and trial.accepted)
