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
from runner.evaluation.distance import Mse
from runner.evaluation.evaluator import Evaluator
from runner.events import TrialFinished
from runner.modes.judge import MetricJudge
from runner.modes.trials import TrialRunner
from runner.search.plan import Plan
from tests.small_data import Items, conv_gemm, normal_items, prepared, run_plain

X = normal_items(8, 2, 6, 6)


@pytest.fixture(scope="module")
def subject():
    """The tiny model, its layers and its int8 form."""
    graph, found = prepared(conv_gemm())
    seen = collect(graph, found, Items(X), range(8), observer=MinMax(), engine=Engine(1))
    return graph, found, quantize_layers(graph, found, seen, symmetric=False).form


def runner_of(subject, emit=lambda event: None, target=1e-3):
    graph, found, form = subject
    evaluator = Evaluator(Engine(2), Items(X), range(8), [Mse()])
    judge = MetricJudge(evaluator, target)
    judge.look_at_float(evaluator.evaluate_float(graph))
    return TrialRunner(graph, found, form, judge, emit)


@pytest.mark.parametrize("fallback", [[], ["first"], ["second", "logits"], ["first", "second", "logits"]], ids=str)
def test_loss_is_that_of_the_written_form_of_the_plan_in_plain_onnxruntime(subject, fallback) -> None:
    graph, found, form = subject
    plan = Plan.all_int8(form.layers).with_fallback(fallback)
    trial = runner_of(subject).run(plan, lambda done: None)
    written = fake_quant_model(graph, found, form.without(fallback))
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


def test_log_says_what_amct_says(subject, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "runner.modes.trials")
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
