"""Repairs are tried before anything falls back."""

from __future__ import annotations

from runner.search.ladder import climb, starting_plan
from runner.search.plan import Plan, Trial, best_of

PLAIN = Plan.all_int8(["a", "b"])
REFUSED = Trial(PLAIN, 90.0, 5.0, accepted=False)


def evaluate(losses: dict[str, float]):
    def trial(plan: Plan) -> Trial:
        (treatment,) = {treatment for _, treatment in plan.treatments}
        loss = losses[treatment]
        return Trial(plan, 100 - loss, loss, loss < 2)

    return trial


def test_without_repairs_only_the_first_trial_is_there() -> None:
    trials = climb(REFUSED, [], evaluate({}))
    assert trials == (REFUSED,) and starting_plan(trials) is REFUSED


def test_accepted_plan_is_not_repaired() -> None:
    accepted = Trial(PLAIN, 99.0, 1.0, accepted=True)
    assert climb(accepted, ["int8+strong"], evaluate({})) == (accepted,)


def test_first_accepted_repair_ends_the_climb() -> None:
    table = {"int8+a": 3.0, "int8+b": 1.0, "int8+c": 0.0}
    trials = climb(REFUSED, list(table), evaluate(table))
    assert [trial.plan.treatments[0][1] for trial in trials] == ["int8", "int8+a", "int8+b"]
    assert starting_plan(trials).plan == PLAIN.with_repair("int8+b")


def test_search_starts_from_the_rung_of_least_loss_the_strongest_among_equals() -> None:
    worse, same = {"int8+a": 7.0}, {"int8+a": 4.0, "int8+b": 4.0}
    assert starting_plan(climb(REFUSED, worse, evaluate(worse))) is REFUSED
    assert starting_plan(climb(REFUSED, same, evaluate(same))).plan == PLAIN.with_repair("int8+b")


def test_layers_that_stay_int8_keep_their_repair() -> None:
    plan = PLAIN.with_repair("int8+strong").with_fallback(["b"])
    assert plan.treatments == (("a", "int8+strong"), ("b", "float")) and plan.repaired == ("a",)
    assert plan.with_repair("int8+more").treatments == (("a", "int8+more"), ("b", "float"))


def test_tensors_are_given_back_behind_the_repairs_from_the_best_of_them() -> None:
    losses = {("int8+a", False): 4.0, ("int8+b", False): 4.5, ("int8+a", True): 3.0, ("int8", True): 3.0}

    def trial(plan: Plan) -> Trial:
        loss = losses[plan.treatments[0][1], plan.float_tensors]
        return Trial(plan, 100 - loss, loss, loss < 2)

    trials = climb(REFUSED, ["int8+a", "int8+b"], trial, tensors=True)
    assert [each.loss for each in trials] == [5.0, 4.0, 4.5, 3.0]
    assert starting_plan(trials).plan == PLAIN.with_repair("int8+a").with_float_tensors()
    assert climb(REFUSED, [], trial, tensors=True)[-1].plan == PLAIN.with_float_tensors()


def test_tensors_stay_where_a_plan_with_them_is_accepted() -> None:
    accepted = Trial(PLAIN, 99.0, 1.0, accepted=True)
    assert climb(accepted, [], evaluate({}), tensors=True) == (accepted,)
    assert len(climb(REFUSED, ["int8+a"], evaluate({"int8+a": 1.0}), tensors=True)) == 2


def test_plans_made_of_one_with_float_tensors_have_float_tensors() -> None:
    plan = PLAIN.with_float_tensors()
    fallen = plan.with_fallback(["a"])
    assert fallen.float_tensors and fallen.with_repair("x").float_tensors and fallen.restored(["a"], plan) == plan
    assert plan != PLAIN


def test_of_equal_plans_the_one_with_rounded_tensors_is_best() -> None:
    trials = [Trial(plan, 99.0, 1.0, accepted=True) for plan in (PLAIN.with_float_tensors(), PLAIN)]
    assert best_of(trials) is trials[1]
