"""The loss contribution of every layer group, measured with the models of a job's plans."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from runner.convert.simulation import IntegerSimulation
from runner.dataset.item import evenly_spaced
from runner.evaluation.leaving_out import LeavingOut
from runner.evaluation.loss_without import LOSSES, LossWithout
from runner.evaluation.output_loss import item_losses, measured_by
from runner.evaluation.scorer import Scorer
from runner.evaluation.scores import Evaluation
from runner.search.end_to_end import LossContributions, items_that_matter, leave_one_out
from runner.search.plan import LayerGroup, Plan
from runner.search.planned_models import PlannedModels


def measure_contributions(
    groups: Sequence[LayerGroup],
    start: Plan,
    models: PlannedModels,
    scorer: Scorer,
    *,
    after: Evaluation | None,
    items: int,
    progress: Callable[[int], None],
) -> LossContributions:
    """Return the contribution of each group to the loss on the items that matter.

    Args:
        groups: of the plan's layers.
        start: the plan in which every group is int8.
        models: of plans.
        scorer: against the float model.
        after: the scores of ``start``, over every item; None, or without a measure of each item's loss, where the float model's
            outputs are too large for one to be made in a trial: any items are measured on then.
        items: how many to measure on at most.
        progress: told the number of model runs done, ``len(groups) * items`` in the end, and ``items`` more where the layers of
            ``start`` depend on each other and a target has files run.
    """
    base, known = models.left_out(start), None
    if after is None or measured_by(after.scores) is None:
        positions = evenly_spaced(min(items, len(scorer.items)), len(scorer.items))
    else:
        losses = item_losses(after.scores)[1]
        positions = items_that_matter(scorer.float_scores, after, losses, items)
        known = float(losses[positions].mean()) if base == start else None
    # Whatever decides: other figures of these items would be thrown away.
    measure, name = item_losses(scorer.float_scores.scores)[0], measured_by(scorer.float_scores.scores)
    scorer = scorer.by([metric for metric in scorer.metrics if metric.name == name])
    if isinstance(models.simulation, IntegerSimulation):
        total, *without = _in_blocks(groups, base, models, scorer, positions, progress)
    else:
        total, *without = _model_by_model(groups, base, models, scorer, positions, progress, known)
    of_group = dict(zip(groups, without, strict=True))
    return leave_one_out(groups, of_group.__getitem__, total=total, measure=measure, items=positions)


def _in_blocks(
    groups: Sequence[LayerGroup],
    base: Plan,
    models: PlannedModels,
    scorer: Scorer,
    positions: Sequence[int],
    progress: Callable[[int], None],
) -> list[float]:
    """Return the mean loss of a plan, and with each group float, from a model that is run again from the group on."""
    layers = [group.layers for group in groups]
    model = LeavingOut(models.float_model, models.form(base), layers, engine=scorer.engine, profile=scorer.profile)
    work = LossWithout(scorer.of_item, model, len(groups), positions, scorer.reference.kept)
    rows, done = list[Any](), 0
    with contextlib.closing(scorer.engine.each(model, scorer.items.at(positions), work)) as each:
        for row in each:
            if not rows:
                for _ in groups:
                    scorer.ledger.ran(whole=False)
            rows.append(row[LOSSES])
            for _ in scorer.ledger.counted(groups):
                done += 1
                progress(done)
    return [float(loss) for loss in np.mean(np.array(rows, np.float64), axis=0)]


def _model_by_model(
    groups: Sequence[LayerGroup],
    base: Plan,
    models: PlannedModels,
    scorer: Scorer,
    positions: Sequence[int],
    progress: Callable[[int], None],
    known: float | None,
) -> list[float]:
    """Return the same, the first of them where it is not known, where a target has files run, one for each plan."""
    measured = 0

    def loss(plan: Plan) -> float:
        nonlocal measured
        done, measured = measured * len(positions), measured + 1
        model = models.model(plan, own_session=True)
        scores = scorer.evaluate_some(model, positions, lambda scored: progress(done + scored)).scores
        return float(item_losses(scores)[1].mean())

    without = [loss(base.with_fallback(group.layers)) for group in groups]
    return [loss(base) if known is None else known, *without]
