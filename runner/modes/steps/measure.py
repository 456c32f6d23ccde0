"""Measure: the reported figures of the chosen plan, over the items of the search or over items that it never saw."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial

from runner.evaluation.evaluator import Evaluator
from runner.evaluation.scorer import Scorer
from runner.evaluation.scores import Evaluation
from runner.events import FINAL_EVAL
from runner.modes.acc_auto_options import AccAutoOptions
from runner.modes.cautions import held_out_caution, nothing_held_out
from runner.modes.context import Context
from runner.modes.data import DataSplit
from runner.modes.result import Comparison, Status, Work
from runner.modes.scoring.final_figure import fresh_comparison, held_out_status, judged_comparison
from runner.modes.scoring.remembered_scores import RememberedScores
from runner.modes.steps.quantize import Quantized
from runner.modes.steps.score_float import FloatScores
from runner.modes.steps.search import Searched
from runner.search.plan import Plan


@dataclass(frozen=True, slots=True, eq=False)
class FinalFigures:
    """The reported figures.

    Attributes:
        comparison: of the float model and the chosen plan's.
        status: what they say of the target.
        scorer: that measured the chosen plan's model.
        plan: that they are of.
        searched: what the search found, without its best plan where that does not hold on items that it never saw.
        target_loss: what the loss had to stay below; None where an evaluator of the user's decided.
        work: what it took to get here.
    """

    comparison: Comparison
    status: Status
    scorer: Scorer
    plan: Plan
    searched: Searched
    target_loss: float | None
    work: Work


def measure(
    searched: Searched,
    quantized: Quantized,
    float_scores: FloatScores,
    split: DataSplit,
    options: AccAutoOptions,
    job: Context,
) -> FinalFigures:
    """Return the figures of the chosen plan; those of the search where an interruption leaves no time for others.

    Args:
        searched: the plan.
        quantized: makes its model.
        float_scores: what plans were judged against.
        split: the items.
        options: the job's.
        job: runs models.
    """
    scores, judge, ledger = float_scores.scores, float_scores.judge, float_scores.ledger
    after, plan = searched.verdict.evaluation, searched.chosen.plan
    status: Status = "not_met" if searched.result.best is None else "met"
    scorer, comparison = scores.scorer, None
    if split.held_out:
        evaluator = Evaluator(
            job.engine,
            split.report,
            scorer.metrics,
            output_kind=options.output_kind,
            ledger=ledger,
            profile=scorer.profile,
        )
        fresh = job.meter.unless_interrupted(lambda: _fresh_scores(evaluator, scores.graph, searched, quantized, job))
        if fresh is not None and not math.isfinite(fresh[0].float_figure):
            job.warnings.warn(nothing_held_out(fresh[0].metrics[0].name, len(split.report)))
        elif fresh is not None:
            scorer, after = fresh
            job.warnings.warn(*(caution for caution in scorer.cautions if caution not in job.warnings.told))
            comparison = fresh_comparison(scorer, after, target=judge.target, seed=options.seed)
            status, searched = _borne_out(searched, comparison, options.target_loss, job)
    if comparison is None:
        if after is None or len(after.scores) < len(scorer.metrics):
            # An evaluator of the user's judged, which gives no scores, or a verdict without the other figures was enough.
            # Interrupted, there is no time to make any.
            after = job.meter.unless_interrupted(lambda: _scores(scores, searched, quantized, job)) or after
        comparison = judged_comparison(judge, scorer, searched.verdict, after, seed=options.seed)
    work = Work(ledger.full, ledger.items, job.clock.seconds(), ledger.partial)
    if not scorer.reference.complete:
        scorer.reference.kept.forget()
    return FinalFigures(comparison, status, scorer, plan, searched, judge.target, work)


def _scores(scores: RememberedScores, searched: Searched, quantized: Quantized, job: Context) -> Evaluation:
    """Return the chosen plan's scores where the judge gave none."""
    models, plan = quantized.models, searched.chosen.plan
    with job.clock.stage(FINAL_EVAL, len(scores.scorer.items)) as progress:
        return scores.of_form(models.form(plan), partial(models.model, plan, own_session=True), progress)


def _fresh_scores(
    evaluator: Evaluator, graph: str, searched: Searched, quantized: Quantized, job: Context
) -> tuple[Scorer, Evaluation]:
    """Return the scorer over items that the search never saw, and the chosen plan's scores; ``graph``: the model's digest."""
    models, plan, items = quantized.models, searched.chosen.plan, len(evaluator.items)
    build = partial(models.model, plan, own_session=True)
    with job.clock.stage(FINAL_EVAL, 2 * items, "items that the search never saw") as progress:
        scores = RememberedScores.against(
            models.float_model.graph,
            evaluator,
            float_graph=graph,
            graph=graph,
            simulation=models.simulation,
            store=job.store,
            progress=progress,
        )
        return scores.scorer, scores.of_form(models.form(plan), build, lambda done: progress(items + done))


def _borne_out(searched: Searched, comparison: Comparison, target: float, job: Context) -> tuple[Status, Searched]:
    """Return what items that the search never saw say of its result, and the result that is left."""
    if searched.result.best is None:
        return "not_met", searched
    status = held_out_status(comparison, target)
    job.warnings.warn(*held_out_caution(status, comparison, target))
    if status == "not_met":
        searched = replace(searched, result=replace(searched.result, best=None))
    return status, searched
