"""What is said where every layer int8 misses the target by less than the items can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from runner.dataset.subset import Subset
from runner.engine import Engine
from runner.evaluation.accuracy import TopK
from runner.evaluation.distance import Kl
from runner.evaluation.judge import PartialScores, Verdict
from runner.evaluation.ledger import Ledger
from runner.evaluation.metric import Metric
from runner.evaluation.scorer import Progress, Scorer
from runner.evaluation.scores import Evaluation
from runner.modes.scoring.narrow_miss import narrow_miss
from runner.search.plan import Plan
from runner.search.trial_log import TrialLog
from tests.data import Items

PLAN = Plan.all_int8("abc")


@dataclass
class Decides:
    """What a judge says of itself."""

    target: float | None
    unit: str = "percentage points"


def lost(items: int, count: int) -> np.ndarray:
    scores = np.ones((items, 1))
    scores[:count] = 0
    return scores


def said(metric: Metric, before: np.ndarray, scores: dict[Plan, np.ndarray], target: float | None) -> list[str]:
    """Return what is said of trials with the given scores, the first of them every layer int8."""
    items = len(before)
    scorer = Scorer(Engine(1), Subset(Items(np.zeros(items)), range(items)), (metric,), None, (), (), True, Ledger())
    scorer.__dict__["float_scores"] = Evaluation({metric.name: before})

    def measure(plan: Plan, progress: Progress, *, early: bool, known: PartialScores | None) -> Verdict:
        own = scores[plan]
        accepted = metric.accepts(before, own, np.inf if target is None else target)
        return Verdict(metric.aggregate(own), metric.loss(before, own), accepted, Evaluation({metric.name: own}))

    log = TrialLog(measure)
    for plan in scores:
        log.trial(plan)
    decides: Any = Decides(target, metric.unit)
    return narrow_miss(log.result(), log, decides, scorer, seed=0)


@pytest.mark.parametrize(("target", "narrow"), [(0.01, False), (0.2, False), (0.23, True), (0.55, True), (0.7, False)])
def test_loss_whose_interval_holds_the_target_is_a_narrow_miss(target: float, narrow: bool) -> None:
    # 6 of 1000 lost: Tango gives 0.215 to 1.3 points. At 0.7 the plan is accepted.
    before = np.ones((1000, 1))
    scores = {PLAN: lost(1000, 6), PLAN.with_fallback("ab"): lost(1000, 0)}
    told = (
        f"with every layer int8 the loss is 0.6 percentage points, which misses target_loss={target:g} by less than the 1000 "
        "items can tell (95% interval 0.215 to 1.3); 2 layers are left float for it, which may be chance. More items would "
        "tell."
    )
    assert said(TopK(), before, scores, target) == [told] * narrow


def test_plan_that_nothing_meets_and_repaired_layers_are_told_alike() -> None:
    before = np.zeros((40, 1))
    errors = np.random.default_rng(0).exponential(0.01, (40, 1))
    repaired = PLAN.with_repair("int8+all")
    (text,) = said(Kl(), before, {PLAN: 3 * errors, repaired: errors}, float(errors.mean()) * 0.999)
    assert text.startswith(f"with every layer int8 the loss is {errors.mean():.4g} nats, which misses target_loss=")
    assert (
        "the 40 items can tell (at most 0.0" in text and "with 95% confidence); no plan meets it, which may be" in text
    )


def test_nothing_is_said_where_int8_is_accepted_or_an_evaluator_decides_or_the_miss_is_clear() -> None:
    before = np.ones((1000, 1))
    fallen = {PLAN.with_fallback("a"): lost(1000, 0)}
    assert said(TopK(), before, {PLAN: lost(1000, 1), **fallen}, 0.2) == []
    repaired = {PLAN: lost(1000, 4), PLAN.with_repair("int8+all"): lost(1000, 1)}
    assert said(TopK(), before, repaired, 0.2) == []
    assert said(TopK(), before, {PLAN: lost(1000, 4), **fallen}, None) == []
    assert said(TopK(), before, {PLAN: lost(1000, 90), **fallen}, 0.2) == []
