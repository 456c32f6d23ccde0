"""What the float model gives on some items, against chance, against what is known of it, and with other preprocessing."""

from __future__ import annotations

import math
from collections.abc import Iterator

from runner.dataset.subset import Subset
from runner.evaluation.amct_evaluator import AmctEvaluator
from runner.evaluation.evaluator import Evaluator
from runner.evaluation.metric import Metric
from runner.evaluation.scorer import Scorer
from runner.modes.doctor.data import sampled
from runner.modes.doctor.examined import Examined
from runner.modes.doctor.finding import Finding, fault, ok, warning
from runner.modes.doctor.other_preprocessing import better
from runner.modes.expectation import chance_caution, require_expected

# Items that the float model is run on, and the seconds that this may take.
_MOST, _LEAST, _SECONDS = 64, 8, 6.0
# That they may take for other preprocessing to be tried, ten times as much, where nothing speaks for it.
_SECONDS_OF_OTHERS = 2.0
# How unlikely a figure has to be under the expected one to be called another: of items that are hits or misses.
_SIGMAS = 4.0


def look_at_figure(case: Examined) -> Iterator[Finding]:
    """Run the float model on some items, and say what its figure is worth."""
    case.labels  # noqa: B018 - raises where they do not fit
    metric = case.metric
    if isinstance(metric, AmctEvaluator):
        yield ok("the figure is an evaluator's of yours, which a job alone asks")
        return
    sample = sampled(case.split.search, _items(case.seconds))
    scorer = scored(case, metric, sample)
    case.scorer = scorer
    headline = scorer.metrics[0]
    if not headline.needs_labels:
        yield ok(f"{headline.name} holds models against the float model, which has no figure of its own")
        return
    figure = f"{headline.name} {scorer.float_figure:.4g} over {len(sample)} items"
    cautions = chance_caution(case.seen, scorer)
    found = None
    if cautions or case.seconds * len(sample) <= _SECONDS_OF_OTHERS:
        found = better(case, scorer, lambda dataset: scored(case, metric, Subset(dataset, sample.indices)))
    if not cautions and found is None:
        yield ok(figure)
    for caution in cautions if found is None else ():
        yield warning(caution, key="dataset.preprocess")
    if found is not None:
        # What to look at is known then.
        said = cautions[0].partition(", so what is lost")[0] if cautions else figure
        yield warning(f"{said}; better on the same items: {found.said}", key=found.typed)
    yield from _against_expected(case, scorer)


def scored(case: Examined, metric: Metric, items: Subset) -> Scorer:
    """Return the scorer of the float model over items.

    Raises:
        RunnerError: an item does not fit the model, or the metric does not fit the two.
    """
    evaluator = Evaluator(case.engine, items, [metric], output_kind=case.options.output_kind)
    return evaluator.against(evaluator.outputs(case.source.graph))


def _items(seconds: float) -> int:
    return min(_MOST, max(_LEAST, int(_SECONDS / max(seconds, 1e-6))))


def _against_expected(case: Examined, scorer: Scorer) -> Iterator[Finding]:
    expect, headline = case.options.expect, scorer.metrics[0]
    if expect.value is None:
        return
    figure, items = scorer.float_figure, len(scorer.items)
    if items == len(case.split.search):
        require_expected(expect, headline.name, figure, case.seen, scorer)
        yield ok(f"the float model reaches expect={expect.value:g}")
        return
    # Of a share of so many items the standard deviation, at most; other measures spread no less.
    share = min(1.0, max(0.0, expect.value / 100))
    spread = 100 * math.sqrt(max(share * (1 - share), 0.01) / items)
    if abs(figure - expect.value) > expect.within + _SIGMAS * spread:
        yield fault(
            f"expect: the float model's {headline.name} is {figure:.4g} over {items} items, which is not {expect.value:g} "
            f"within {expect.within:g}",
            advice="Look at dataset.preprocess and the labels, or set expect to what the model reaches.",
        )
        return
    yield ok(f"{items} items do not speak against expect={expect.value:g}")
