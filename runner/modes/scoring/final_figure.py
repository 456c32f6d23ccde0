"""The reported figures: over the items of the search, or over items that it never saw."""

from __future__ import annotations

from runner.evaluation.judge import Judge, Verdict
from runner.evaluation.scorer import Scorer
from runner.evaluation.scores import Evaluation
from runner.evaluation.uncertainty import Interval, loss_interval
from runner.modes.result import Comparison, Headline, Status


def judged_comparison(
    judge: Judge, scorer: Scorer, verdict: Verdict, after: Evaluation | None, *, seed: int
) -> Comparison:
    """Return the float model against a judged one.

    Args:
        judge: what decided.
        scorer: against the float model.
        verdict: on the quantized model.
        after: its scores; None where an interruption left no time for any but the judge's figure.
        seed: of the interval's bootstrap.
    """
    headline = Headline(judge.name, judge.unit, judge.float_value, verdict.value, verdict.loss)
    before, items = scorer.float_scores, scorer.items
    if after is None:
        return Comparison((), before, Evaluation({}), None, items, headline)
    # Nothing is known of the spread of a figure that is judged by a rule of its own.
    interval = None if judge.target is None else interval_of(scorer, after, judge.target, seed)
    metrics = [metric for metric in scorer.metrics if metric.name in after.scores]
    return Comparison(metrics, before, after, scorer.classes, items, headline, interval, outputs=scorer.outputs)


def fresh_comparison(scorer: Scorer, after: Evaluation, *, target: float | None, seed: int) -> Comparison:
    """Return the float model against the quantized one over items that the search never saw.

    Args:
        scorer: over those items.
        after: scores of the quantized model.
        target: of the loss, if there is one.
        seed: of the interval's bootstrap.
    """
    interval = interval_of(scorer, after, target, seed)
    return Comparison(
        scorer.metrics,
        scorer.float_scores,
        after,
        scorer.classes,
        scorer.items,
        interval=interval,
        held_out=True,
        outputs=scorer.outputs,
    )


def held_out_status(comparison: Comparison, target: float) -> Status:
    """Return what items that the search never saw say of a plan that it accepted.

    ``met`` where the loss on them is below the target too, ``not_met`` where it is surely not, ``undecided`` between.
    """
    metric = comparison.metrics[0]
    scores = comparison.float_.scores[metric.name], comparison.quantized.scores[metric.name]
    if metric.accepts(*scores, target):
        return "met"
    surely = comparison.interval is not None and comparison.interval.verdict(target) == "not_met"
    return "not_met" if surely else "undecided"


def interval_of(scorer: Scorer, after: Evaluation, target: float | None, seed: int) -> Interval:
    """Return the interval of a model's loss under the first metric of a scorer."""
    name, before = scorer.metrics[0].name, scorer.float_scores
    return loss_interval(scorer.metrics[0], before.scores[name], after.scores[name], target=target, seed=seed)
