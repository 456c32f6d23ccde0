"""The search: what is tried, what is confirmed, what ends it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from runner.search.binary import Binary
from runner.search.budget import BudgetSpentError
from runner.search.plan import Plan, Proposals, Ranking, Trial
from tests.search.small_searches import searched

NAMES = ("a", "b", "c", "d")
ALL = Plan.all_int8(NAMES)
RANKING = Ranking(tuple((name, 0.0) for name in NAMES))


@dataclass(frozen=True)
class Scripted:
    """Proposes given plans and keeps what it is told."""

    fallbacks: Sequence[str]
    told: list[Trial]

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        self.told.append(all_int8)
        for names in self.fallbacks:
            self.told.append((yield ALL.with_fallback(names)))

    def most_trials(self, layers: int) -> int:
        return len(self.fallbacks)


class Oracle:
    """Evaluates plans: accepted where the fallback is among the good ones."""

    def __init__(self, *good: str) -> None:
        self.good = good
        self.calls: list[str] = []

    def __call__(self, plan: Plan) -> Trial:
        names = "".join(plan.fallback)
        self.calls.append(names)
        return Trial(plan, 0.0, 10.0 - len(names), names in self.good)


REFUSED = Trial(ALL, 0.0, 10.0, accepted=False)


def test_plan_is_evaluated_once_and_answered_from_memory() -> None:
    oracle, strategy = Oracle(), Scripted(["a", "ab", "a", "", "ab"], [])
    told: list[tuple[int, Trial]] = []
    result = searched(REFUSED, RANKING, strategy, oracle, told=lambda step, trial: told.append((step, trial)))
    assert oracle.calls == ["a", "ab"]
    assert ["".join(t.plan.fallback) for t in strategy.told] == ["", "a", "ab", "a", "", "ab"]
    assert [t.plan for t in result.trials] == [ALL, ALL.with_fallback("a"), ALL.with_fallback("ab")]
    assert told == list(enumerate(result.trials))


def test_best_is_the_accepted_trial_with_the_fewest_fallbacks_not_the_last() -> None:
    result = searched(REFUSED, RANKING, Scripted(["abc", "ab", "cd", "d", "a"], []), Oracle("abc", "ab", "cd"))
    assert result.best is not None and result.best.plan.fallback == ("a", "b")


def test_nothing_accepted_gives_no_best_and_the_closest() -> None:
    result = searched(REFUSED, RANKING, Scripted(["a", "abc", "b"], []), Oracle())
    assert result.best is None
    assert result.closest.plan.fallback == ("a", "b", "c")


def test_all_float_is_never_the_best() -> None:
    assert searched(REFUSED, RANKING, Scripted(["abcd"], []), Oracle("abcd")).best is None


def test_strategy_is_not_asked_when_all_int8_is_accepted() -> None:
    accepted, strategy, oracle = Trial(ALL, 0.0, 0.0, accepted=True), Scripted(["a"], []), Oracle()
    result = searched(accepted, RANKING, strategy, oracle)
    assert result.trials == (accepted,) and result.best == accepted
    assert strategy.told == [] and oracle.calls == []


@pytest.mark.parametrize("ranking", [Ranking(()), RANKING], ids=["no layer", "no proposal"])
def test_search_without_proposals_ends_with_the_first_trial(ranking: Ranking) -> None:
    result = searched(REFUSED, ranking, Scripted([], []), Oracle())
    assert result.trials == (REFUSED,) and result.best is None and result.closest == REFUSED


class Glance:
    """Judges plans by a glance, which is wrong about some of them, and for sure when asked to confirm."""

    def __init__(self, *good: str, wrong: Sequence[str]) -> None:
        self.good, self.wrong = good, wrong
        self.glances: list[str] = []
        self.confirmed: list[str] = []

    def __call__(self, plan: Plan) -> Trial:
        names = "".join(plan.fallback)
        self.glances.append(names)
        return Trial(plan, 0.0, 5.0 - len(names), (names in self.good) != (names in self.wrong), settled_after=64)

    def confirm(self, plan: Plan) -> Trial:
        names = "".join(plan.fallback)
        self.confirmed.append(names)
        return Trial(plan, 0.0, 10.0 - len(names), names in self.good)


@dataclass(frozen=True)
class Shortest:
    """Proposes longer prefixes until one is accepted."""

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        for length in range(1, len(ranking.layers)):
            if (yield ALL.with_fallback(ranking.layers[:length])).accepted:
                return

    def most_trials(self, layers: int) -> int:
        return layers - 1


def test_best_plan_is_confirmed_and_no_other() -> None:
    glance = Glance("ab", "abc", wrong=[])
    result = searched(REFUSED, RANKING, Shortest(), glance.confirm, glance=glance)
    assert (glance.glances, glance.confirmed) == (["a", "ab"], ["ab"])
    assert result.best == Trial(ALL.with_fallback("ab"), 0.0, 8.0, accepted=True)
    assert [trial.settled_after for trial in result.trials] == [None, 64, None]


def test_search_goes_on_where_the_best_plan_is_not_confirmed() -> None:
    glance = Glance("abc", wrong=["a", "ab"])
    told: list[tuple[int, bool, bool]] = []

    def note(step: int, trial: Trial) -> None:
        told.append((step, trial.accepted, trial.full))

    result = searched(REFUSED, RANKING, Shortest(), glance.confirm, glance=glance, told=note)
    assert (glance.glances, glance.confirmed) == (["a", "ab", "abc"], ["a", "ab", "abc"])
    assert result.best is not None and result.best.plan.fallback == ("a", "b", "c")
    assert [(t.accepted, t.full) for t in result.trials] == [(False, True)] * 3 + [(True, True)]
    # Each plan keeps its step when its trial is completed.
    glances = [(step, True, False) for step in (1, 2, 3)]
    assert told == [
        (0, False, True),
        *(glances[0], (1, False, True)),
        *(glances[1], (2, False, True)),
        *(glances[2], (3, True, True)),
    ]


@dataclass(frozen=True)
class Fussy(Shortest):
    """A prefix, and on from there; wants some trials in full."""

    in_full: str
    told: list[Trial]

    def propose(self, ranking: Ranking, all_int8: Trial) -> Proposals:
        for names in ("a", "ab", "abc"):
            self.told.append((yield ALL.with_fallback(names)))
            if self.told[-1].accepted:
                break
        self.told.append((yield ALL.with_fallback("c")))


@pytest.mark.parametrize(
    ("in_full", "glances", "confirmed"),
    [
        ("chosen", ["a", "ab", "c"], ["ab"]),
        ("accepted", ["a", "ab", "abc", "c"], ["ab", "abc"]),
        ("all", [], ["a", "ab", "abc", "c"]),
    ],
)
def test_strategy_says_which_trials_it_wants_in_full(in_full: str, glances: list[str], confirmed: list[str]) -> None:
    # A glance takes "ab" for accepted, which it is not.
    glance = Glance("abc", wrong=["ab"]) if in_full != "chosen" else Glance("ab", wrong=[])
    told: list[Trial] = []
    result = searched(REFUSED, RANKING, Fussy(in_full, told), glance.confirm, glance=glance)
    assert (glance.glances, glance.confirmed) == (glances, confirmed)
    if in_full != "chosen":
        # The strategy is told of what was confirmed, not of the estimate.
        assert [t.accepted for t in told] == [False, False, True, False]
        assert [t.full for t in result.trials[1:]] == [in_full == "all", True, True, in_full == "all"]
    assert result.best is not None and result.best.plan.fallback == tuple("ab" if in_full == "chosen" else "abc")


def test_closest_plan_is_confirmed_where_none_is_accepted() -> None:
    glance = Glance(wrong=[])
    result = searched(REFUSED, RANKING, Shortest(), glance.confirm, glance=glance)
    assert glance.confirmed == ["abc"] and result.best is None
    assert result.closest == Trial(ALL.with_fallback("abc"), 0.0, 7.0, accepted=False)


def test_closest_plan_that_turns_out_to_be_good_is_the_best() -> None:
    glance = Glance("abc", wrong=["abc"])
    result = searched(REFUSED, RANKING, Shortest(), glance.confirm, glance=glance)
    assert glance.confirmed == ["abc"]
    assert result.best is not None and result.best.plan.fallback == ("a", "b", "c")


def test_estimates_are_never_the_closest() -> None:
    glance = Glance(wrong=[])
    result = searched(
        REFUSED, RANKING, Scripted(["ab", "abc"], []), lambda plan: Trial(plan, 0.0, 50.0, False), glance=glance
    )
    assert result.closest == REFUSED


def test_fault_of_an_evaluation_propagates() -> None:
    def broken(plan: Plan) -> Trial:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        searched(REFUSED, RANKING, Scripted(["a"], []), broken)


@pytest.mark.parametrize(
    ("error", "stopped"), [(KeyboardInterrupt, "interrupted"), (BudgetSpentError, "budget")], ids=str
)
def test_search_that_is_stopped_ends_with_what_it_found(error: type[BaseException], stopped: str) -> None:
    ranking = Ranking(tuple((name, 0.0) for name in "abcdef"))
    plan = Plan.all_int8("abcdef")
    made: list[Plan] = []

    def evaluate(plan: Plan) -> Trial:
        if len(made) == 2:
            raise error
        made.append(plan)
        return Trial(plan, 0.0, 0.0, accepted=len(plan.fallback) >= 3)

    result = searched(Trial(plan, 0.0, 1.0, accepted=False), ranking, Binary(), evaluate)
    assert result.stopped == stopped
    assert [trial.plan for trial in result.trials] == [plan, *made]
    assert result.best is not None and len(result.best.plan.fallback) == 3
