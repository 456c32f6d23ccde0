"""Show: what both models answer for a few of the items that changed, where their scores do not hold it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import onnx_ir as ir

from runner.convert.simulation import Simulation
from runner.evaluation.changes import worth_showing
from runner.evaluation.metric import ShowsAnswers
from runner.events import FINAL_EVAL
from runner.modes.context import Context
from runner.modes.result import Comparison
from runner.modes.scoring.shown_answers import GAINED, MOST, SHOWN_ANSWERS, ShownInputs, answer_pairs
from runner.record import QuantizedLayers


@dataclass(frozen=True, slots=True, eq=False)
class ComparedModels:
    """The two models of a comparison.

    Attributes:
        source: the float (or source) model.
        source_digest: of its graph.
        digest: of the model that the layers are of.
        form: the layers that are int8.
        quantized: makes the model that has them.
        simulation: how they run.
    """

    source: ir.Model
    source_digest: str
    digest: str
    form: QuantizedLayers
    quantized: Callable[[], ir.Model]
    simulation: Simulation


def show(comparison: Comparison, models: Callable[[], ComparedModels], job: Context) -> Comparison:
    """Return a comparison with the answers to show, where the deciding metric has any; as it is where the job is interrupted.

    Args:
        comparison: of the two models.
        models: gives them, where they are wanted.
        job: runs them.
    """
    metric = comparison.deciding
    if not isinstance(metric, ShowsAnswers):
        return comparison
    return job.meter.unless_interrupted(lambda: _with_answers(comparison, metric, models(), job)) or comparison


def _with_answers(comparison: Comparison, metric: ShowsAnswers, models: ComparedModels, job: Context) -> Comparison:
    wanted = worth_showing(comparison.changes or (), most=MOST, gained=GAINED)
    positions = [change.position for change in wanted]
    if not positions:
        return comparison
    items = comparison.part.at(positions)
    inputs = ShownInputs(models.source_digest, models.digest, models.form, items.fingerprint, models.simulation, metric)
    with job.clock.stage(FINAL_EVAL, detail="items that the report shows"):
        pairs = SHOWN_ANSWERS.cached(
            job.store,
            inputs,
            lambda: answer_pairs(
                models.source, models.quantized, items, metric, job.engine, runs=models.simulation.profile
            ),
        )
    return replace(comparison, answers=dict(zip(positions, pairs, strict=True)))
