"""The items that changed, drawn as their task is looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from runner.evaluation.changes import worth_showing
from runner.evaluation.metric import ShowsAnswers
from runner.figure import Part
from runner.modes.result import Comparison
from runner.report.changed_items import ChangedItem
from runner.report.shown.boxes import boxes_drawn, boxes_legend
from runner.report.shown.drawn import Drawn
from runner.report.shown.masks import masks_drawn
from runner.report.shown.texts import TEXT, texts_drawn, texts_legend
from runner.tasks.detection.mean_average_precision import MeanAveragePrecision

# Items that are shown, and of them those that got better most.
MOST, GAINED = 16, 4


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """Items to look at, in order of what they cost.

    Attributes:
        drawn: the items.
        legend: what marks and colours mean, the same for all.
        as_file: whether the pictures alone tell something, without the texts.
    """

    drawn: Sequence[Drawn]
    legend: Sequence[Part] = ()
    as_file: bool = True


def gallery(items: Sequence[ChangedItem], comparison: Comparison) -> Gallery | None:
    """Return what is drawn of the items that changed; None where words are all that there is."""
    metric, dataset = comparison.deciding, comparison.part.dataset
    if not items or metric is None:
        return None
    shown = worth_showing(items, most=MOST, gained=GAINED)
    if isinstance(metric, MeanAveragePrecision):
        drawn = boxes_drawn(shown, dataset)
        return None if drawn is None else Gallery(drawn, boxes_legend())
    if isinstance(metric, ShowsAnswers):
        drawn = masks_drawn(items, dataset, comparison.answers)
        return None if drawn is None else Gallery(drawn)
    if all(item.truth is not None and TEXT in item.before for item in shown):
        return Gallery(texts_drawn(shown, dataset, metric), texts_legend(), as_file=False)
    return None
