"""The loss contribution of every layer group, measured with the models of a job's plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from runner.dataset.item import evenly_spaced
from runner.evaluation.leaving_out import LeavingOut
from runner.evaluation.model_outputs import NamedRunnable
from runner.evaluation.scorer import Scorer
from runner.evaluation.scores import Evaluation
from runner.search.end_to_end import LossContributions, item_losses, items_that_matter, leave_one_out, measured_by
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
            ``start`` depend on each other.
    """
    measured, base = 0, models.left_out(start)
    if after is None or measured_by(after.scores) is None:
        positions, total = evenly_spaced(min(items, len(scorer.items)), len(scorer.items)), None
    else:
        losses = item_losses(after.scores)[1]
        positions = items_that_matter(scorer.float_scores, after, losses, items)
        total = float(losses[positions].mean()) if base == start else None
    # Whatever decides: other figures of these items would be thrown away.
    measure, name = item_losses(scorer.float_scores.scores)[0], measured_by(scorer.float_scores.scores)
    scorer = scorer.by([metric for metric in scorer.metrics if metric.name == name])

    def loss(model: ir.Model | NamedRunnable) -> float:
        nonlocal measured
        done, measured = measured * len(positions), measured + 1
        scores = scorer.evaluate_some(model, positions, lambda scored: progress(done + scored)).scores
        return float(item_losses(scores)[1].mean())

    model = models.switched(base)
    session = None if model is None else scorer.session(model)

    def without(group: LayerGroup) -> float:
        if session is not None:
            return loss(LeavingOut(session, group.layers))
        return loss(models.model(base.with_fallback(group.layers), own_session=True))

    if total is None:
        total = loss(models.model(base, own_session=True))
    return leave_one_out(groups, without, total=total, measure=measure, items=positions)
