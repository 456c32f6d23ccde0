"""Tries what a strategy proposes, and ends with what there is when it is stopped; the log remembers the trials."""

from __future__ import annotations

from runner.evaluation.scorer import Progress, silent
from runner.search.budget import Meter
from runner.search.needs import StrategyNeeds
from runner.search.plan import Plan, Ranking, Strategy, Trial, best_of, closest_of
from runner.search.trial_log import TrialLog


def search(
    start: Trial,
    ranking: Ranking,
    strategy: Strategy,
    log: TrialLog,
    meter: Meter,
    *,
    items: int = 0,
    progress: Progress = silent,
) -> None:
    """Try a strategy's plans, until it, the budget or an interruption ends that; the log and the meter know what came of it.

    A plan is tried once. Its trial stands on as many items as settle its verdict where the judge stops early, except for the
    trials that the strategy wants ``in_full`` and for the plan to be returned. If that one's verdict turns out to be another,
    the strategy is asked again from the start, with what is known by then.

    Args:
        start: the trial of the plan to fall back from, which the log knows.
        ranking: of its layers.
        strategy: proposes plans; not asked when ``start`` is accepted, unless it says ``always``.
        log: makes and remembers trials.
        meter: of the job; asked before each new plan and at each item of it, but not where a plan is only confirmed.
        items: of a trial.
        progress: told how many items are scored, at most ``items`` for each plan that the strategy may propose.
    """
    trying = _Trying(strategy, log, meter, items, progress, strategy.most_trials(len(ranking.layers)) * items)
    asking = len(ranking.layers) > 0 and (trying.needs.always or not start.accepted)
    # An interruption may leave estimates; no model is written on one.
    with meter.until_stopped():
        while asking:
            with meter.until_stopped():
                trying.ask(start, ranking)
            if meter.stopped == "interrupted":
                return
            asking = not trying.chosen_stands()


class _Trying:
    """One strategy's proposals being tried."""

    def __init__(
        self, strategy: Strategy, log: TrialLog, meter: Meter, items: int, progress: Progress, most: int
    ) -> None:
        self._strategy, self._log, self._meter = strategy, log, meter
        self._items, self._progress, self._most = items, progress, most
        self._plans = self._reached = 0
        self.needs = StrategyNeeds.of(strategy)

    def ask(self, start: Trial, ranking: Ranking) -> None:
        """Ask the strategy for plans until it has no more, and tell it what each is worth."""
        proposals = self._strategy.propose(ranking, start)
        try:
            plan = next(proposals)
            while True:
                plan = proposals.send(self._log.known(plan) or self._new(plan))
        except StopIteration:
            pass

    def chosen_stands(self) -> bool:
        """Score the chosen plan in full; whether its verdict is still the same."""
        trials = self._log.trials
        chosen = best_of(trials) or closest_of(trials)
        return self._confirmed(chosen).accepted == chosen.accepted

    def _new(self, plan: Plan) -> Trial:
        self._meter.check(self._log.evaluations)
        done, self._plans = self._plans * self._items, self._plans + 1

        def scored(count: int) -> None:
            self._meter.check()
            self._reached = done + count
            self._progress(self._reached)

        trial = self._log.trial(plan, scored, early=self.needs.in_full != "all")
        return self._confirmed(trial) if self.needs.in_full == "accepted" and trial.accepted else trial

    def _confirmed(self, trial: Trial) -> Trial:
        done = self._reached
        return self._log.trial(trial.plan, lambda scored: self._progress(min(self._most, done + scored)))
