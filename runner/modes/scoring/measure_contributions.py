"""The loss contribution of every layer group, measured with the models of a job's plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import onnx_ir as ir

from runner.evaluation.leaving_out import LeavingOut
from runner.evaluation.model_outputs import NamedRunnable
from runner.evaluation.scorer import Scorer
from runner.evaluation.scores import Evaluation
from runner.search.end_to_end import LossContributions, item_losses, items_that_matter, leave_one_out
from runner.search.plan import LayerGroup, Plan
from runner.search.planned_models import PlannedModels


def measure_contributions(
    groups: Sequence[LayerGroup],
    start: Plan,
    models: PlannedModels,
    scorer: Scorer,
    *,
    after: Evaluation,
    items: int,
    progress: Callable[[int], None],
) -> LossContributions:
    """Return the contribution of each group to the loss on the items that matter.

    Args:
        groups: of the plan's layers.
        start: the plan in which every group is int8.
        models: of plans.
        scorer: against the float model.
        after: the scores of ``start``, over every item.
        items: how many to measure on at most.
        progress: told the number of model runs done, ``len(groups) * items`` in the end, and ``items`` more where the layers of
            ``start`` depend on each other.
    """
    measure, losses = item_losses(after.scores)
    positions = items_that_matter(scorer.float_scores, after, losses, items)
    measured, base = 0, models.left_out(start)

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

    total = float(losses[positions].mean()) if base == start else loss(models.model(base, own_session=True))
    return leave_one_out(groups, without, total=total, measure=measure, items=positions)
