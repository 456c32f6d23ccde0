"""Plans, and which trial is best or closest."""

from __future__ import annotations

import pytest

from runner.search.plan import Plan, Ranking, SearchResult, Trial, best_of

ALL = Plan.all_int8(["a", "b", "c"])


def trial(fallback: str, loss: float, accepted: bool = True) -> Trial:
    return Trial(ALL.with_fallback(fallback), 100 - loss, loss, accepted)


def test_plan_keeps_graph_order_whatever_the_order_of_falling_back() -> None:
    plan = ALL.with_fallback(["c", "a"])
    assert plan.fallback == ("a", "c") and plan.int8_layers == ("b",)
    assert ALL.fallback == () and ALL.int8_layers == ("a", "b", "c")


def test_equal_plans_are_one_key() -> None:
    assert {ALL.with_fallback("ab"): 1}[ALL.with_fallback("b").with_fallback("a")] == 1
    assert ALL.with_fallback("a") != ALL.with_fallback("b")


def test_repaired_layer_counts_as_int8() -> None:
    plan = Plan((("a", "int8+bias"), ("b", "int8"), ("c", "float")))
    assert plan.int8_layers == ("a", "b")
    assert plan.with_fallback("b").treatments == (("a", "int8+bias"), ("b", "float"), ("c", "float"))


def test_ranking_gives_the_names_in_order() -> None:
    assert Ranking((("b", 0.1), ("a", 0.2))).layers == ("b", "a")


@pytest.mark.parametrize(
    ("trials", "best"),
    [
        pytest.param([trial("ab", 0.1), trial("c", 0.4), trial("ac", 0.0)], "c", id="fewest fallbacks"),
        pytest.param([trial("a", 0.3), trial("b", 0.1)], "a", id="earliest among equals"),
        pytest.param([trial("a", 0.1, accepted=False), trial("bc", 0.4)], "bc", id="accepted only"),
        pytest.param([trial("abc", 0.0)], None, id="all float is no result"),
        pytest.param([trial("a", 0.1, accepted=False)], None, id="nothing accepted"),
        pytest.param([trial("", 0.1), trial("a", 0.0)], "", id="all int8"),
    ],
)
def test_best_trial(trials: list[Trial], best: str | None) -> None:
    found = best_of(trials)
    assert (None if found is None else "".join(found.plan.fallback)) == best


def test_closest_trial_has_the_least_loss_and_among_equals_the_fewest_float_layers() -> None:
    trials = (trial("", 3, False), trial("ab", 1, False), trial("a", 1, False), trial("c", 2, False))
    assert SearchResult(trials, None).closest.plan.fallback == ("a",)
