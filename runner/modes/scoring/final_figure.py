"""The reported figures: over the items of the search, or over items that it never saw."""

from __future__ import annotations

from runner.dataset.subset import Subset
from runner.evaluation.evaluator import Evaluation, Evaluator
from runner.evaluation.uncertainty import Interval, loss_interval
from runner.modes.result import Comparison, Headline, Status
from runner.modes.scoring.judge import AmctJudge, Judge, Verdict


def judged_comparison(
    judge: Judge,
    evaluator: Evaluator,
    part: Subset,
    *,
    before: tuple[float, Evaluation],
    after: tuple[Verdict, Evaluation | None],
    seed: int,
) -> Comparison:
    """Return the float model against a judged one.

    Args:
        judge: what decided.
        evaluator: what made both evaluations.
        part: the items.
        before: of the float model.
        after: of the quantized model; without scores where an interruption left no time for any but the judge's figure.
        seed: of the interval's bootstrap.
    """
    (figure, old), (verdict, new) = before, after
    headline = Headline(judge.name, judge.unit, figure, verdict.value, verdict.loss)
    if new is None:
        return Comparison((), old, Evaluation({}), None, part, headline)
    # Nothing is known of the spread of a figure that an evaluator of the user's gives.
    interval = None if isinstance(judge, AmctJudge) else _interval(evaluator, old, new, judge.target, seed)
    return Comparison(evaluator.metrics, old, new, evaluator.classes, part, headline, interval)


def fresh_comparison(
    evaluator: Evaluator,
    part: Subset,
    models: tuple[Evaluation, Evaluation],
    *,
    target: float | None,
    seed: int,
) -> Comparison:
    """Return the float model against the quantized one over items that the search never saw.

    Args:
        evaluator: over the part's items.
        part: the items.
        models: scores of the float one and of the quantized one.
        target: of the loss, if there is one.
        seed: of the interval's bootstrap.
    """
    before, after = models
    interval = _interval(evaluator, before, after, target, seed)
    return Comparison(evaluator.metrics, before, after, evaluator.classes, part, interval=interval, held_out=True)


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


def _interval(evaluator: Evaluator, before: Evaluation, after: Evaluation, target: float | None, seed: int) -> Interval:
    metric = evaluator.metrics[0]
    return loss_interval(metric, before.scores[metric.name], after.scores[metric.name], target=target, seed=seed)
