"""A trial is the fake-quant model of its plan, scored in full."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.engine import Engine
from runner.evaluation.accuracy import Agreement
from runner.evaluation.distance import Mse, Sqnr
from runner.evaluation.evaluator import Evaluator
from runner.events import TrialFinished
from runner.graph.macs import LayerCost
from runner.modes.scoring.judge import MetricJudge
from runner.modes.scoring.trials import TrialRunner, planned_form
from runner.record import QuantizedLayers
from runner.search.plan import INT8, Plan, Trial
from tests.small_data import Items, conv_gemm, normal_items, prepared, run_plain

X = normal_items(8, 2, 6, 6)


@pytest.fixture(scope="module")
def subject():
    """The tiny model, its layers and its int8 form."""
    graph, found = prepared(conv_gemm())
    seen = collect(found.on(graph), Items(X), range(8), observer=MinMax(), engine=Engine(1))
    return graph, found, quantize_layers(found.on(graph), seen, symmetric=False).form


def runner_of(subject, emit=lambda event: None, target=1e-3):
    graph, found, form = subject
    evaluator = Evaluator(Engine(2), Items(X), range(8), [Mse()])
    judge = MetricJudge(evaluator, target)
    judge.look_at_float(evaluator.evaluate_float(graph))
    return TrialRunner(found.on(graph), form, judge, emit)


@pytest.mark.parametrize("fallback", [[], ["first"], ["second", "logits"], ["first", "second", "logits"]], ids=str)
def test_loss_is_that_of_the_written_form_of_the_plan_in_plain_onnxruntime(subject, fallback) -> None:
    graph, found, form = subject
    plan = Plan.all_int8(form.layers).with_fallback(fallback)
    trial = runner_of(subject).run(plan, lambda done: None)
    written = fake_quant_model(found.on(graph), form.without(fallback))
    f = np.concatenate([y for (y,) in run_plain(graph, X, ["logits"])])
    q = np.concatenate([y for (y,) in run_plain(written, X, ["logits"])])
    assert trial.loss == trial.value == pytest.approx(np.mean((f - q).astype(np.float64) ** 2), rel=1e-3, abs=1e-12)
    assert trial.accepted == (trial.loss < 1e-3) and trial.plan == plan


def test_each_trial_is_told_numbered_and_kept(subject) -> None:
    heard: list[TrialFinished] = []
    trials = runner_of(subject, heard.append)
    plans = [Plan.all_int8(subject[2].layers)]
    plans.append(plans[0].with_fallback(["second"]))
    made = [trials.run(plan, lambda done: None) for plan in plans]
    assert heard == [
        TrialFinished(0, made[0].value, made[0].loss, made[0].accepted, 3, ()),
        TrialFinished(1, made[1].value, made[1].loss, made[1].accepted, 2, ("second",)),
    ]
    assert list(trials.verdicts) == plans
    assert trials.verdicts[plans[1]].evaluation.scores["mse"].shape == (8, 2)


def test_progress_counts_items_of_the_trial(subject) -> None:
    told: list[int] = []
    runner_of(subject).run(Plan.all_int8(subject[2].layers), told.append)
    assert told == [1, 2, 3, 4, 5, 6, 7, 8]


MANY = normal_items(300, 2, 6, 6, seed=4)


def judged_early(subject, emit=lambda event: None, metric=None, target=0.5, callers=2):
    """Return an evaluator over many items, and a runner that has tried the all-int8 plan."""
    graph, found, form = subject
    evaluator = Evaluator(Engine(callers), Items(MANY), range(len(MANY)), [metric or Mse()])
    judge = MetricJudge(evaluator, target, confidence=0.99)
    judge.look_at_float(evaluator.evaluate_float(graph))
    trials = TrialRunner(found.on(graph), form, judge, emit)
    trials.run(Plan.all_int8(form.layers), lambda done: None)
    return evaluator, trials


def test_early_trial_stops_at_a_border_and_is_completed_without_scoring_an_item_twice(subject) -> None:
    heard: list[TrialFinished] = []
    evaluator, trials = judged_early(subject, heard.append)
    plan, scored, told = Plan.all_int8(subject[2].layers).with_fallback(["first"]), evaluator.items_scored, []
    early = trials.run_early(plan, told.append)
    assert early.settled_after == evaluator.items_scored - scored == told[-1] < 300
    assert early.settled_after % 64 == 0 and early.accepted and not early.full
    assert trials.verdicts[plan].evaluation is None
    told.clear()
    full = trials.run(plan, told.append)
    assert evaluator.items_scored == scored + 300 and told[-1] == 300 - early.settled_after
    direct = judged_early(subject)[1].run(plan, lambda done: None)
    assert full == direct and full.full
    assert early.loss == pytest.approx(full.loss, rel=0.5)
    assert trials.verdicts[plan].evaluation.scores["mse"].shape == (300, 2)
    assert [(event.step, event.settled_after) for event in heard] == [(0, None), (1, early.settled_after), (1, None)]


@pytest.mark.parametrize("metric", [Mse(), Sqnr(), Agreement(sqnr_min=30)], ids=lambda metric: metric.name)
def test_early_trial_is_the_same_with_any_number_of_callers(subject, metric) -> None:
    plan = Plan.all_int8(subject[2].layers).with_fallback(["second"])
    target = {"mse": 0.5, "sqnr": 25.0, "agreement": 1.0}[metric.name]
    found = [judged_early(subject, metric=metric, target=target, callers=c) for c in (1, 2, 5)]
    made = [(trials.run_early(plan, lambda done: None), evaluator.items_scored) for evaluator, trials in found]
    assert made[0] == made[1] == made[2]


def test_early_trial_that_nothing_settles_is_a_full_one(subject) -> None:
    plan = Plan.all_int8(subject[2].layers).with_fallback(["first"])
    loss = judged_early(subject)[1].run(plan, lambda done: None).loss
    evaluator, trials = judged_early(subject, target=loss * (1 + 1e-6))
    trial = trials.run_early(plan, lambda done: None)
    assert trial == Trial(plan, loss, loss, accepted=True)
    assert evaluator.items_scored == 900 and trials.verdicts[plan].evaluation is not None


def test_log_says_what_amct_says(subject, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "runner.modes.scoring.trials")
    trials = runner_of(subject)
    first = trials.run(Plan.all_int8(subject[2].layers), lambda done: None)
    second = trials.run(first.plan.with_fallback(["first"]), lambda done: None)
    assert caplog.messages == [
        f"global calibration accuracy: {first.value}",
        "******************** fine search step 1 ********************",
        "quant layers:",
        "[('first', False), ('second', True), ('logits', True)]",
        f"metric_eval: ({second.accepted}, {second.loss})",
    ]


def other_form(subject) -> QuantizedLayers:
    """Return the layers under the ranges of two items only: another form of each."""
    graph, found, _ = subject
    seen = collect(found.on(graph), Items(X), range(2), observer=MinMax(), engine=Engine(1))
    return quantize_layers(found.on(graph), seen, symmetric=False).form


def test_each_layer_comes_from_the_form_of_its_treatment(subject) -> None:
    plain, strong = subject[2], other_form(subject)
    plan = Plan((("first", "int8+strong"), ("second", "float"), ("logits", "int8")))
    form = planned_form({INT8: plain, "int8+strong": strong}, plan)
    assert list(form.layers) == ["first", "logits"] and form.tensors is plain.tensors
    assert form.layers["first"] is strong.layers["first"] and form.layers["logits"] is plain.layers["logits"]


def test_trial_of_a_repaired_plan_is_that_of_its_form(subject) -> None:
    graph, found, plain = subject
    trials, strong = runner_of(subject), other_form(subject)
    trials.forms["int8+strong"] = strong
    plan = Plan.all_int8(plain.layers).with_repair("int8+strong").with_fallback(["second"])
    loss = trials.run(plan, lambda done: None).loss
    written = fake_quant_model(found.on(graph), strong.without(["second"]))
    f = np.concatenate([y for (y,) in run_plain(graph, X, ["logits"])])
    q = np.concatenate([y for (y,) in run_plain(written, X, ["logits"])])
    assert loss == pytest.approx(np.mean((f - q).astype(np.float64) ** 2), rel=1e-3)
    assert loss != trials.run(Plan.all_int8(plain.layers).with_fallback(["second"]), lambda done: None).loss


def test_trial_knows_what_it_leaves_float(subject) -> None:
    graph, found, form = subject
    priced = runner_of(subject)
    costs = {"first": LayerCost(100, 1), "second": LayerCost(20, 1), "logits": LayerCost(3, 1)}
    judge = priced._judge
    trials = TrialRunner(found.on(graph), form, judge, lambda event: None, costs)
    plan = Plan.all_int8(form.layers)
    assert trials.run(plan, lambda done: None).float_macs == 0
    assert trials.run(plan.with_fallback(["first", "logits"]), lambda done: None).float_macs == 103
