"""Every metric of both models, with the further figures that it tells."""

from __future__ import annotations

import math
from collections.abc import Mapping

from runner.evaluation.metric import Metric, MoreFigures
from runner.figure import Column, Figure, Row, Section, Table
from runner.modes.result import Comparison
from runner.report.tracked import tracker_name
from runner.wording import say

# A figure of the float model, and of the quantized one; None where there is none.
Both = tuple[float | None, float | None]


def metrics(comparison: Comparison) -> Section:
    """Return the section; the deciding figure comes first."""
    headline = comparison.headline
    both: dict[str, Both] = {headline.name: (told(headline.before), told(headline.after))}
    more: dict[str, Both] = {}
    for metric in comparison.metrics:
        values = (comparison.value(metric, evaluation) for evaluation in (comparison.float_, comparison.quantized))
        before, after = map(told, values)
        both[metric.name] = (before, after)
        # A figure of a name that is taken is told by the metric of that name.
        more |= {name: each for name, each in _more(metric, comparison).items() if name not in more}
    more = {name: each for name, each in more.items() if name not in both}
    figures = [
        Figure(key="metrics", value={name: as_json(each) for name, each in (both | more).items()}),
        Figure(key="samples", value=comparison.items),
    ]
    if not more:
        return Section(name="metrics", figures=figures)
    figures += [
        Figure(value=value, tracked=f"{model}/{tracker_name(name)}")
        for name, each in more.items()
        for model, value in zip(("float", "quantized"), each, strict=True)
        if value is not None
    ]
    said = ", ".join(f"{name} {shown(before)} -> {shown(after)}" for name, (before, after) in more.items())
    figures.append(Figure(title="further figures", phrase=said))
    columns = (Column(say("figure"), "name"), Column(say("float"), "number"), Column(say("quantized"), "number"))
    rows = [Row((name, *map(shown, each))) for name, each in more.items()]
    return Section(name="metrics", heading=say("Further figures"), figures=figures, blocks=[Table(columns, rows)])


def _more(metric: Metric, comparison: Comparison) -> Mapping[str, Both]:
    if not isinstance(metric, MoreFigures):
        return {}
    before, after = (
        metric.figures(evaluation.scores[metric.name]) for evaluation in (comparison.float_, comparison.quantized)
    )
    return {
        name: each
        for name in dict.fromkeys([*before, *after])
        if (each := (told(before.get(name)), told(after.get(name)))) != (None, None)
    }


def told(value: float | None) -> float | None:
    """Return a figure as files have it: None where it is no finite number."""
    return None if value is None or not math.isfinite(value) else float(value)


def as_json(both: Both) -> dict[str, float | None]:
    """Return the figures of both models by name."""
    return {"float": both[0], "quantized": both[1]}


def shown(value: float | None) -> str:
    """Return a figure for people."""
    return say("none") if value is None or math.isnan(value) else f"{value:.4g}"
