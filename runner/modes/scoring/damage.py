"""The damage of every unit, measured with the models of a job's plans."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from runner.evaluation.evaluator import Evaluation, Evaluator
from runner.modes.scoring.trials import TrialRunner
from runner.search.end_to_end import Damage, damages_of, items_that_matter, leave_one_out
from runner.search.plan import Plan, Unit


def measure_damage(
    units: Sequence[Unit],
    start: Plan,
    trials: TrialRunner,
    evaluator: Evaluator,
    *,
    evaluations: tuple[Evaluation, Evaluation],
    items: int,
    progress: Callable[[int], None],
) -> Damage:
    """Return the damage of each unit to the items that matter.

    Args:
        units: of the plan's layers.
        start: the plan in which every unit is int8.
        trials: makes the plans' models.
        evaluator: after it has run the float model.
        evaluations: of the float model and of ``start``, over every item.
        items: how many to measure on at most.
        progress: told the number of model runs done, ``len(units) * items`` in the end.
    """
    before, after = evaluations
    measure, damages = damages_of(after.scores)
    positions = items_that_matter(before, after, damages, items)
    measured = 0

    def damage(plan: Plan) -> float:
        nonlocal measured
        done, measured = measured * len(positions), measured + 1
        model = trials.model(plan, multiply=True)
        scores = evaluator.evaluate_some(model, positions, lambda scored: progress(done + scored)).scores
        return float(damages_of(scores)[1].mean())

    total = float(damages[positions].mean())
    return leave_one_out(units, start, damage, total=total, measure=measure, items=positions)
