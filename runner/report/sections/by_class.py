"""The deciding figure class by class, where it is a mean over classes: where the loss is."""

from __future__ import annotations

from runner.evaluation.metric import FiguresByClass
from runner.figure import Block, Column, Figure, Paragraph, Row, Section, Table
from runner.modes.result import Comparison
from runner.report.class_names import class_names, keys
from runner.report.sections.metrics import Both, as_json, shown, told
from runner.report.summary import SUMMARY
from runner.wording import say

_MOST, _MOST_NAMED = 20, 3
_COLUMNS = (
    Column(say("class"), "name"),
    Column(say("float"), "number"),
    Column(say("quantized"), "number"),
    Column(say("loss"), "number"),
)


def by_class(comparison: Comparison) -> Section:
    """Return the section; empty where no figure of a class is known."""
    found = _found(comparison)
    if not found:
        return Section(name="by_class")
    ordered = sorted(found, key=lambda name: -_loss(found[name]))
    name = comparison.headline.name
    worst = [each for each in ordered if _loss(found[each]) > 0][:_MOST_NAMED]
    said = ", ".join(f"{each} {shown(found[each][0])} -> {shown(found[each][1])}" for each in worst)
    figures = (
        Figure(key="by_class", value={each: as_json(both) for each, both in found.items()}),
        Figure(title="worst classes", phrase=said),
    )
    rows = [Row((each, *map(shown, found[each]), shown(_difference(found[each])))) for each in ordered[:_MOST]]
    blocks: list[Block] = [Table(_COLUMNS, rows)]
    if len(ordered) > _MOST:
        blocks.append(
            Paragraph((say("and {count} more; {file} has all.", count=len(ordered) - _MOST, file=SUMMARY),), soft=True)
        )
    return Section(name="by_class", heading=say("{metric} by class", metric=name), figures=figures, blocks=blocks)


def _found(comparison: Comparison) -> dict[str, Both]:
    """Return both models' figures of each class by its name, or its number, in the order of classes."""
    metric = comparison.deciding
    if not isinstance(metric, FiguresByClass):
        return {}
    name = metric.name
    before, after = (
        metric.by_class(evaluation.scores[name]) for evaluation in (comparison.float_, comparison.quantized)
    )
    numbers = sorted({*before, *after})
    names = keys(numbers, class_names(comparison.part.dataset))
    both = {names[number]: (told(before.get(number)), told(after.get(number))) for number in numbers}
    return {name: each for name, each in both.items() if each != (None, None)}


def _difference(both: Both) -> float | None:
    before, after = both
    return None if before is None or after is None else before - after


def _loss(both: Both) -> float:
    return _difference(both) or 0.0
