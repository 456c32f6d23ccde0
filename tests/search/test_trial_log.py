"""The log of trials: each made once, completed where an estimate is not enough."""

from __future__ import annotations

from typing import Any

import pytest

from runner.evaluation.judge import PartialScores, Verdict
from runner.search.plan import Plan, SearchResult, Trial
from runner.search.trial_log import TrialLog

ALL = Plan.all_int8("abc")
FIRST, LAST = ALL.with_fallback("a"), ALL.with_fallback("c")
SOME = PartialScores({7: {}, 3: {}}, counted=True)


class Measures:
    """Gives a verdict on any plan, from two items where that is enough; keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[Plan, bool, PartialScores | None]] = []

    def __call__(self, plan: Plan, progress: Any, *, early: bool, known: PartialScores | None) -> Verdict:
        self.asked.append((plan, early, known))
        progress(2)
        loss = float(len(plan.int8_layers)) + (0.5 if early else 0.0)
        return Verdict(10 - loss, loss, loss < 3, None, SOME if early else None)


def test_trial_is_made_once_and_completed_from_what_is_known() -> None:
    measures, told = Measures(), list[tuple[int, Trial]]()
    log = TrialLog(measures, lambda plan: 5 * len(plan.fallback), lambda *each: told.append(each))
    everything = log.trial(ALL)
    estimate = log.trial(FIRST, early=True)
    assert estimate == Trial(FIRST, 7.5, 2.5, accepted=True, float_macs=5, settled_after=2)
    assert log.trial(FIRST, early=True) is estimate is log.known(FIRST)
    other = log.trial(LAST, early=True)
    complete = log.trial(FIRST)
    assert complete == Trial(FIRST, 8.0, 2.0, accepted=True, float_macs=5)
    # What is complete is so whoever asks.
    assert log.trial(FIRST, early=True) is log.trial(FIRST) is complete
    assert measures.asked == [(ALL, False, None), (FIRST, True, None), (LAST, True, None), (FIRST, False, SOME)]
    assert log.trials == (everything, complete, other) and (len(log), log.evaluations) == (3, 4)
    assert told == [(0, everything), (1, estimate), (2, other), (1, complete)]
    assert log.verdict(FIRST).partial is None and log.verdict(LAST).partial is SOME
    assert log.known(ALL.with_fallback("b")) is None


@pytest.mark.parametrize("stopped", [None, "budget", "interrupted"])
def test_result_is_what_was_tried_and_no_estimate_is_the_best(stopped: Any) -> None:
    log = TrialLog(Measures())
    everything, estimate = log.trial(ALL), log.trial(ALL.with_fallback("ab"), early=True)
    assert estimate.accepted
    assert log.result(stopped) == SearchResult((everything, estimate), None, stopped)
    best = log.trial(FIRST)
    assert log.result(stopped) == SearchResult((everything, estimate, best), best, stopped)


def test_a_trial_that_is_cut_short_is_none() -> None:
    def interrupted(*args: Any, **options: Any) -> Verdict:
        raise KeyboardInterrupt

    log = TrialLog(interrupted)
    with pytest.raises(KeyboardInterrupt):
        log.trial(ALL)
    assert log.trials == () and log.known(ALL) is None
