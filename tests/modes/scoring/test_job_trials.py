"""A trial is the fake-quant model of its plan, scored in full."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from runner.calibration.collect import collect
from runner.calibration.minmax import MinMax
from runner.calibration.quantize import quantize_layers
from runner.convert.fake_quant import fake_quant_model
from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.evaluation.accuracy import Agreement
from runner.evaluation.distance import Mse, Sqnr
from runner.evaluation.early_stopping.early_judge import EarlyJudge
from runner.evaluation.evaluator import Evaluator
from runner.evaluation.judge import MetricJudge
from runner.evaluation.ledger import Ledger
from runner.evaluation.scorer import Scorer
from runner.events import TrialFinished
from runner.graph.macs import LayerCost
from runner.modes.scoring.job_trials import job_trials
from runner.record import QuantizedLayers
from runner.search.binary import Binary
from runner.search.budget import Budget, Meter
from runner.search.linear import Linear
from runner.search.plan import INT8, Plan, Ranking, Trial
from runner.search.planned_models import PlannedModels, planned_form
from runner.search.search import search
from runner.search.trial_log import TrialLog
from tests.data import Items, normal_items
from tests.models import conv_gemm, for_all, prepared, run_plain

X = normal_items(8, 2, 6, 6)


@pytest.fixture(scope="module")
def subject():
    """The tiny model, its layers and its int8 form."""
    graph, found = prepared(conv_gemm())
    seen = collect(found, Subset.whole(Items(X)), observers=for_all(found, MinMax()), engine=Engine(1))
    return graph, found, quantize_layers(found, seen).form


def scorer_of(graph, x, metric, callers=2) -> Scorer:
    evaluator = Evaluator(Engine(callers), Subset.whole(Items(x)), [metric])
    return evaluator.against(evaluator.outputs(graph))


def log_of(subject, emit=lambda event: None, target=1e-3, forms=None, **options) -> TrialLog:
    graph, found, form = subject
    models = PlannedModels(found, {INT8: form, **(forms or {})})
    return job_trials(models, MetricJudge(scorer_of(graph, X, Mse()), target), emit, **options)


@pytest.mark.parametrize("fallback", [[], ["first"], ["second", "logits"], ["first", "second", "logits"]], ids=str)
def test_loss_is_that_of_the_written_form_of_the_plan_in_plain_onnxruntime(subject, fallback) -> None:
    graph, found, form = subject
    plan = Plan.all_int8(form.layers).with_fallback(fallback)
    trial = log_of(subject).trial(plan, lambda done: None)
    written = fake_quant_model(found, form.without(fallback))
    f = np.concatenate([y for (y,) in run_plain(graph, X, ["logits"])])
    q = np.concatenate([y for (y,) in run_plain(written, X, ["logits"])])
    assert trial.loss == trial.value == pytest.approx(np.mean((f - q).astype(np.float64) ** 2), rel=1e-3, abs=1e-12)
    assert trial.accepted == (trial.loss < 1e-3) and trial.plan == plan


def test_each_trial_is_told_numbered_and_kept(subject) -> None:
    heard: list[TrialFinished] = []
    trials = log_of(subject, heard.append)
    plans = [Plan.all_int8(subject[2].layers)]
    plans.append(plans[0].with_fallback(["second"]))
    made = [trials.trial(plan, lambda done: None) for plan in plans]
    assert heard == [
        TrialFinished(0, made[0].value, made[0].loss, made[0].accepted, 3, ()),
        TrialFinished(1, made[1].value, made[1].loss, made[1].accepted, 2, ("second",)),
    ]
    assert [trial.plan for trial in trials.trials] == plans
    assert trials.verdict(plans[1]).evaluation.scores["mse"].shape == (8, 2)


def test_progress_counts_items_of_the_trial(subject) -> None:
    told: list[int] = []
    log_of(subject).trial(Plan.all_int8(subject[2].layers), told.append)
    assert told == [1, 2, 3, 4, 5, 6, 7, 8]


MANY = normal_items(300, 2, 6, 6, seed=4)


def judged_early(
    subject, emit=lambda event: None, metric=None, target=0.5, callers=2, confidence=0.99, early=True
) -> tuple[Ledger, TrialLog]:
    """Return a log that has tried the all-int8 plan over many items, and what counts its runs."""
    graph, found, form = subject
    scorer = scorer_of(graph, MANY, metric or Mse(), callers)
    judge = MetricJudge(scorer, target)
    trials = job_trials(
        PlannedModels(found, {INT8: form}), EarlyJudge(judge, confidence=confidence) if early else judge, emit
    )
    trials.trial(Plan.all_int8(form.layers))
    return scorer.ledger, trials


def test_early_trial_stops_at_a_border_and_is_completed_without_scoring_an_item_twice(subject) -> None:
    heard: list[TrialFinished] = []
    ledger, trials = judged_early(subject, heard.append)
    plan, scored, told = Plan.all_int8(subject[2].layers).with_fallback(["first"]), ledger.items, []
    early = trials.trial(plan, told.append, early=True)
    assert early.settled_after == ledger.items - scored == told[-1] < 300
    assert early.settled_after % 64 == 0 and early.accepted and not early.full
    assert trials.verdict(plan).evaluation is None
    told.clear()
    full = trials.trial(plan, told.append)
    assert ledger.items == scored + 300 and told[-1] == 300 - early.settled_after
    direct = judged_early(subject)[1].trial(plan, lambda done: None)
    assert full == direct and full.full
    assert early.loss == pytest.approx(full.loss, rel=0.5)
    assert trials.verdict(plan).evaluation.scores["mse"].shape == (300, 2)
    assert [(event.step, event.settled_after) for event in heard] == [(0, None), (1, early.settled_after), (1, None)]


@pytest.mark.parametrize("metric", [Mse(), Sqnr(), Agreement(sqnr_min=30)], ids=lambda metric: metric.name)
def test_early_trial_is_the_same_with_any_number_of_callers(subject, metric) -> None:
    plan = Plan.all_int8(subject[2].layers).with_fallback(["second"])
    target = {"mse": 0.5, "sqnr": 25.0, "agreement": 1.0}[metric.name]
    found = [judged_early(subject, metric=metric, target=target, callers=c) for c in (1, 2, 5)]
    made = [(trials.trial(plan, lambda done: None, early=True), ledger.items) for ledger, trials in found]
    assert made[0] == made[1] == made[2]


def test_early_trial_that_nothing_settles_is_a_full_one(subject) -> None:
    plan = Plan.all_int8(subject[2].layers).with_fallback(["first"])
    loss = judged_early(subject)[1].trial(plan, lambda done: None).loss
    ledger, trials = judged_early(subject, target=loss * (1 + 1e-6))
    trial = trials.trial(plan, lambda done: None, early=True)
    assert trial == Trial(plan, loss, loss, accepted=True)
    assert ledger.items == 900 and trials.verdict(plan).evaluation is not None


def test_log_says_what_amct_says(subject, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "runner.modes.scoring.job_trials")
    trials = log_of(subject)
    first = trials.trial(Plan.all_int8(subject[2].layers), lambda done: None)
    second = trials.trial(first.plan.with_fallback(["first"]), lambda done: None)
    assert caplog.messages == [
        f"global calibration accuracy: {first.value}",
        "******************** fine search step 1 ********************",
        "quant layers:",
        "[('first', False), ('second', True), ('logits', True)]",
        f"metric_eval: ({second.accepted}, {second.loss})",
    ]


def other_form(subject) -> QuantizedLayers:
    """Return the layers under the ranges of two items only: another form of each."""
    _, found, _ = subject
    seen = collect(found, Subset(Items(X), range(2)), observers=for_all(found, MinMax()), engine=Engine(1))
    return quantize_layers(found, seen).form


def test_each_layer_comes_from_the_form_of_its_treatment(subject) -> None:
    plain, strong = subject[2], other_form(subject)
    plan = Plan((("first", "int8+strong"), ("second", "float"), ("logits", "int8")))
    form = planned_form({INT8: plain, "int8+strong": strong}, plan)
    assert list(form.layers) == ["first", "logits"] and form.tensors == plain.tensors
    assert form.layers["first"] is strong.layers["first"] and form.layers["logits"] is plain.layers["logits"]


def test_trial_of_a_repaired_plan_is_that_of_its_form(subject) -> None:
    graph, found, plain = subject
    strong = other_form(subject)
    trials = log_of(subject, forms={"int8+strong": strong})
    plan = Plan.all_int8(plain.layers).with_repair("int8+strong").with_fallback(["second"])
    loss = trials.trial(plan, lambda done: None).loss
    written = fake_quant_model(found, strong.without(["second"]))
    f = np.concatenate([y for (y,) in run_plain(graph, X, ["logits"])])
    q = np.concatenate([y for (y,) in run_plain(written, X, ["logits"])])
    assert loss == pytest.approx(np.mean((f - q).astype(np.float64) ** 2), rel=1e-3)
    assert loss != trials.trial(Plan.all_int8(plain.layers).with_fallback(["second"]), lambda done: None).loss


def test_trial_knows_what_it_leaves_float(subject) -> None:
    form = subject[2]
    costs = {"first": LayerCost(100, 1), "second": LayerCost(20, 1), "logits": LayerCost(3, 1)}
    trials = log_of(subject, costs=costs)
    plan = Plan.all_int8(form.layers)
    assert trials.trial(plan, lambda done: None).float_macs == 0
    assert trials.trial(plan.with_fallback(["first", "logits"]), lambda done: None).float_macs == 103


TARGETS = {"mse": (1e-9, 1e-4, 0.05), "sqnr": (1.0, 20.0, 30.0, 40.0), "agreement": (0.0, 2.0, 10.0, 60.0)}


@pytest.mark.parametrize("metric", [Mse(), Sqnr(), Agreement(sqnr_min=30)], ids=lambda metric: metric.name)
def test_verdicts_that_have_to_be_certain_are_those_without_early_stopping(subject, metric) -> None:
    everything = Plan.all_int8(subject[2].layers)
    plans = [everything.with_fallback(names) for names in (["first"], ["second"], ["logits"], ["first", "logits"])]
    saved = 0
    for target in TARGETS[metric.name]:
        options = {"metric": metric, "target": target, "confidence": None}
        (ledger, early), (_, plain) = (judged_early(subject, early=early, **options) for early in (True, False))
        for plan in plans:
            settled, scored = early.trial(plan, early=True), plain.trial(plan, early=True)
            assert scored.full and settled.accepted == scored.accepted
            assert settled == scored or not settled.full
        saved += plain.evaluations * len(MANY) - ledger.items
        # Completed they are the same to the last bit.
        assert tuple(early.trial(plan) for plan in (everything, *plans)) == plain.trials
    assert saved > 0


@pytest.mark.parametrize("strategy", [Linear(), Binary(give_back=None)], ids=["linear", "binary"])
@pytest.mark.parametrize("target", [0.001, 0.05, 0.5])
def test_search_without_early_stopping_tries_the_same_plans_and_finds_the_same(subject, strategy, target) -> None:
    found = []
    for early in (True, False):
        _, log = judged_early(subject, target=target, confidence=None, early=early)
        meter, ranking = Meter(Budget()), Ranking((("second", 3.0), ("logits", 2.0), ("first", 1.0)))
        search(log.trials[0], ranking, strategy, log, meter)
        result = log.result(meter.stopped)
        found.append((result.best, [(trial.plan, trial.accepted) for trial in result.trials]))
    assert found[0] == found[1]


def test_a_model_counts_once_whether_it_was_run_in_one_go_or_in_two(subject) -> None:
    ledger, log = judged_early(subject)
    plan = Plan.all_int8(subject[2].layers).with_fallback(["first"])
    assert not log.trial(plan, early=True).full
    assert (ledger.full, ledger.partial) == (2, 1)  # the float model and the all-int8 plan
    log.trial(plan)
    assert (ledger.full, ledger.partial, ledger.items) == (3, 0, 900)
